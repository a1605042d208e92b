//! Evidence: what is believed, and each reason for which the rest is not.
//!
//! `published` holds the tokens of RFC 9783 against everything that is said about them; `findings` has a token for each
//! finding and its code; `eat` reads plain EATs, `binding` ties evidence to a session, `bytes` plays with the bytes of
//! tokens, `verdict` is about what is recorded, `names` about UEID, IMEI and EUI.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::std_instead_of_alloc,
    reason = "tests fail by panicking"
)]

mod binding;
mod bytes;
mod eat;
mod findings;
mod lab;
mod names;
mod published;
mod verdict;
