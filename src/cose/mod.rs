//! The three COSE structures this protocol uses (RFC 9052), as narrow as it uses them.
//!
//! [`sign1`] is COSE_Sign1 with ES256: receipts, vouchers, evidence, and the to-be-signed bytes of EDHOC's
//! Signature_or_MAC. [`mac0`] is COSE_Mac0 with HMAC 256/256: evidence. [`encrypt0`] is COSE_Encrypt0 with A256GCM: the
//! package and the records after message_4.
//!
//! A general COSE library such as `coset` spends its bytes on what is refused here (unknown algorithms, detached payloads,
//! several signers), and takes what this crate's codec does not: long forms, keys in both headers. In what we make ourselves, headers have one accepted form, so there is nothing to negotiate and nothing to
//! confuse; what others make (`foreign`) may say more, as long as nothing in it has to be understood.

pub mod encrypt0;
pub mod mac0;
pub mod sign1;

use crate::{
    error::Malformed,
    wire::{Entries, Reader},
};

/// COSE header parameter `alg` (RFC 9052 §3.1).
const ALG: i64 = 1;

/// COSE header parameter `crit` (RFC 9052 §3.1).
const CRIT: i64 = 2;

/// Reads both headers of a structure of somebody else's making: this algorithm, in the protected one, and nothing that has
/// to be understood. Gives the protected one as it came.
fn foreign_header<'a>(reader: &mut Reader<'a>, algorithm: i64) -> Result<&'a [u8], Malformed> {
    let protected = reader.bytes()?;
    let header = Entries::decode(protected)?;
    let unprotected = Entries::read(reader)?;
    let critical = header.get(CRIT).is_some() || unprotected.get(CRIT).is_some();
    if header.required::<i64>(ALG)? != algorithm || unprotected.get(ALG).is_some() || critical {
        return Err(Malformed::OutOfRange);
    }
    Ok(protected)
}
