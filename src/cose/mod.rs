//! The two COSE structures this protocol uses (RFC 9052), as narrow as it uses them.
//!
//! [`sign1`] is COSE_Sign1 with ES256: receipts, and the to-be-signed bytes of EDHOC's Signature_or_MAC.
//! [`encrypt0`] is COSE_Encrypt0 with A256GCM: the package and the records after message_4.
//!
//! A general COSE library spends its bytes on what is refused here: unknown algorithms, header parameters in two places,
//! detached payloads. Headers have one accepted form each, so there is nothing to negotiate and nothing to confuse.

pub mod encrypt0;
pub mod sign1;
