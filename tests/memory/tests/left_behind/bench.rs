//! A run, and the search for what it left.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
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

use crate::{
    errors,
    lab::{
        Lab,
        double::{Double, Kind, Recording},
    },
};

#[global_allocator]
static ALLOCATOR: heap::Watching = heap::Watching;

/// Runs so far, and those that left something.
pub(crate) static RUNS: AtomicUsize = AtomicUsize::new(0);
pub(crate) static LEFT: AtomicUsize = AtomicUsize::new(0);

/// Secrets that do not pass through the backend.
static TOLD: Mutex<Vec<(&'static str, Vec<u8>)>> = Mutex::new(Vec::new());

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

/// The same for a call that gives something.
pub(crate) fn call<T>(work: impl FnOnce() -> T) -> T {
    let (mut work, mut result) = (Some(work), None);
    painted(&mut || result = work.take().map(|work| work()));
    result.unwrap()
}

/// Something that has to be gone in the end.
pub(crate) fn secret(name: &'static str, bytes: &[u8]) {
    heap::unwatched(|| TOLD.lock().unwrap().push((name, bytes.to_vec())));
}

/// The backend of a run.
pub(crate) type Crypto = &'static Double<Recording>;

pub(crate) fn lab(mut lab: Lab, crypto: Crypto) -> Lab {
    lab.crypto = crypto;
    lab.around = painted;
    lab.seen = errors::met;
    lab
}

/// Where something was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    Freed,
    Live,
    Stack,
}

/// Runs this, and says what it leaves.
pub(crate) fn examined(what: &str, work: impl FnOnce(Crypto)) {
    let crypto = Recording::over(RustCrypto, |note| heap::unwatched(note));
    heap::release();
    heap::count_anew(std::env::var("TRACED").ok().and_then(|serial| serial.parse().ok()));
    heap::watched(|| work(crypto));

    let stacks = STACKS.take();
    // Elsewhere, so that what is known of secrets does not come to the stack that machines are moved over.
    let found = thread::scope(|scope| scope.spawn(|| look(what, crypto, &stacks)).join().unwrap());
    heap::release();
    RUNS.fetch_add(1, Relaxed);
    LEFT.fetch_add(usize::from(found != 0), Relaxed);
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
    if !found.is_empty() || std::env::var_os("TOLD").is_some() {
        println!("{what}: {} secrets, {blocks} blocks, {} calls, {used} bytes of stack", needles.len(), stacks.len());
    }
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
    needles.add("identity key", identities::raw_device_key());
    needles.add("identity key", identities::raw_operator_key());
    needles.add("home key", maker::home_scalar().unwrap().bytes());
    for (name, secret) in TOLD.lock().unwrap().drain(..) {
        needles.add(name, &secret);
    }
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
