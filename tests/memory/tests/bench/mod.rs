//! A run, and the search for what it left.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    thread,
};

use remote_provisioning::{
    aka::milenage,
    crypto::{Secret, rustcrypto::RustCrypto},
    sim::{identities, maker},
};
use remote_provisioning_memory::{
    heap,
    needle::{Label, Needles},
    stack,
};

use crate::lab::{
    Lab,
    double::{Double, Kind, Recording},
};

#[global_allocator]
static ALLOCATOR: heap::Watching = heap::Watching;

/// The lists of the allocator are for one test at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

thread_local! {
    /// What each call left on the stack.
    static STACKS: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Makes a call on the painted stack, and keeps what it left there.
///
/// A debugger that wants to know who wrote there: `STOPPED=call`, and `stack::top()` is where the places are counted from.
pub(crate) fn painted(call: &mut dyn FnMut()) {
    let number = STACKS.with_borrow(Vec::len);
    if std::env::var("STOPPED").is_ok_and(|stopped| stopped == number.to_string()) {
        stack::stop();
    }
    let ((), left) = stack::painted(call);
    heap::unwatched(|| STACKS.with_borrow_mut(|stacks| stacks.push(left)));
}

/// The backend of a run.
pub(crate) type Crypto = &'static Double<Recording>;

pub(crate) fn lab(mut lab: Lab, crypto: Crypto) -> Lab {
    lab.crypto = crypto;
    lab.around = painted;
    lab
}

/// Where something was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    Freed,
    Live,
    Stack,
}

/// Runs this, and fails if it leaves anything.
pub(crate) fn examined(what: &str, work: impl FnOnce(Crypto)) {
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let crypto = Recording::over(RustCrypto, |note| heap::unwatched(note));
    heap::release();
    heap::count_anew(std::env::var("TRACED").ok().and_then(|serial| serial.parse().ok()));
    heap::watched(|| work(crypto));

    let stacks = STACKS.take();
    // Elsewhere, so that what is known of secrets does not come to the stack that machines are moved over.
    let found = thread::scope(|scope| scope.spawn(|| look(what, crypto, &stacks)).join().unwrap());
    heap::release();
    assert!(found == 0, "{what}");
}

/// How many kinds of finds there are, after they were printed.
fn look(what: &str, crypto: Crypto, stacks: &[Vec<u8>]) -> usize {
    let needles = needles(crypto);
    let mut found = BTreeMap::<(Place, Label), Vec<(u64, usize, usize)>>::new();
    let mut blocks = 0;
    let mut note = |place, bytes: &[u8], serial| {
        blocks += 1;
        for (label, at) in needles.find(bytes) {
            found.entry((place, label)).or_default().push((serial, bytes.len(), bytes.len() - at));
        }
    };
    heap::freed(|block| note(Place::Freed, block.bytes, block.serial));
    heap::live(|block| note(Place::Live, block.bytes, block.serial));
    for (call, left) in stacks.iter().enumerate() {
        note(Place::Stack, left, call as u64);
    }
    let used: usize = stacks.iter().map(Vec::len).sum();
    println!("{what}: {} secrets, {blocks} blocks, {} calls, {used} bytes of stack", needles.len(), stacks.len());
    for ((place, (name, form)), places) in &found {
        println!("  {place:?}: {name}, {form}: {} times: {:?}", places.len(), &places[..places.len().min(12)]);
    }
    found.len()
}

fn needles(crypto: &Double<Recording>) -> Needles {
    let mut needles = Needles::new();
    let op = Secret::from_slice(&[0xcd; 16]).unwrap();
    needles.add("identity key", identities::device_key());
    needles.add("identity key", identities::operator_key());
    needles.add("home key", maker::home_scalar().unwrap().bytes());
    for (kind, secret) in crypto.watch.take().secrets {
        match kind {
            Kind::Scalar => needles.add("scalar", &secret),
            Kind::Shared => needles.add("shared secret", &secret),
            // K is the first half of one of them.
            Kind::Prk => {
                needles.add("PRK", &secret);
                let k = &secret[..16];
                needles.add("K", k);
                needles.add("OPc", milenage::opc(&Secret::from_slice(k).unwrap(), &op).bytes());
            }
            Kind::Key => needles.add("AEAD key", &secret),
            Kind::Okm => {}
        }
    }
    needles
}
