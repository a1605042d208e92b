//! Uniquely identifiable, verifiably secure, rightly owned: what both sides refuse, and what nobody outside gets to see.
#![cfg(feature = "sim")]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::std_instead_of_alloc,
    clippy::unwrap_used,
    reason = "a test that goes wrong here should stop"
)]

#[path = "../lab/mod.rs"]
mod lab;

mod clones;
mod entitled;
mod evidence;
mod private;
mod sizes;

use lab::{Lab, Outcome, Session};
use remote_provisioning::error::{Code, Error, Refused, Voucher};

/// EDHOC error 1, the answer to every failed proof.
const EDHOC_ERROR: &[u8] = b"\x01\x6cnot accepted";

fn refused(code: Code) -> Outcome {
    Err(Refused::Code(code).into())
}

fn not_entitled(why: Voucher) -> Outcome {
    Err(Error::Untrusted(why.into()))
}

/// The device has no credential, and nothing was written since its request.
fn assert_untouched(lab: &Lab, before: usize) {
    assert_eq!((lab.held(), lab.store.memory.commits()), (None, before + 1));
}

/// Runs a session until one side has nothing more to say, and gives all of it.
fn play(lab: &mut Lab) -> Session {
    let mut session = lab.session(1);
    loop {
        let before = session.messages.len();
        let _ = lab.step(&mut session);
        if session.messages.len() == before {
            return session;
        }
    }
}
