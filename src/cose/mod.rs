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
    wire::{self, Entries, Reader},
};

/// COSE header parameter `alg` (RFC 9052 §3.1).
const ALG: i64 = 1;

/// COSE header parameter `crit` (RFC 9052 §3.1).
const CRIT: i64 = 2;

/// Reads both headers of a structure of somebody else's making: this algorithm, in the protected one, and nothing that has
/// to be understood. Gives the protected one as it came.
fn foreign_header<'a>(reader: &mut Reader<'a>, algorithm: i64) -> Result<&'a [u8], Malformed> {
    let protected = reader.bytes()?;
    let mut inner = Reader::new(protected)?;
    let (found, critical) = header(&mut inner)?;
    inner.end()?;
    let (other, also_critical) = header(reader)?;
    if wire::decode::<i64>(found.ok_or(Malformed::MissingKey)?)? != algorithm
        || other.is_some()
        || critical
        || also_critical
    {
        return Err(Malformed::OutOfRange);
    }
    Ok(protected)
}

/// The algorithm that a header names, and whether something in it has to be understood.
// One map on the stack at a time.
#[inline(never)]
fn header<'a>(reader: &mut Reader<'a>) -> Result<(Option<&'a [u8]>, bool), Malformed> {
    let entries = Entries::read(reader)?;
    Ok((entries.get(ALG), entries.get(CRIT).is_some()))
}
