//! The form in which an operator stores what it knows: serde values in CBOR, and not a byte behind them.

use alloc::vec::Vec;

use serde::{Serialize, de::DeserializeOwned};

use crate::error::{Backend, Malformed};

pub(super) fn to_cbor(value: &impl Serialize) -> Result<Vec<u8>, Backend> {
    let mut out = Vec::new();
    ciborium::into_writer(value, &mut out).map_err(|_| Backend::Store)?;
    Ok(out)
}

pub(super) fn from_cbor<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Malformed> {
    let mut rest = bytes;
    let value = ciborium::from_reader(&mut rest).map_err(|_| Malformed::Syntax)?;
    if rest.is_empty() { Ok(value) } else { Err(Malformed::TrailingBytes) }
}
