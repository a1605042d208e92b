//! The device side of the library on a Cortex-M4F, as a firmware: no operating system, 64 KiB of RAM, a flash that keeps
//! what it has when the power is cut, and a line to the operator.
//!
//! `examples/emulator.rs` builds it, runs it in QEMU, plays the operator, cuts its power, and prints what it costs:
//!
//! ```text
//! cargo run --example emulator
//! ```
#![no_std]
#![no_main]

extern crate alloc;

mod board;
#[cfg(feature = "cm4")]
mod cm4;
mod drbg;
mod factory;
mod flash;
mod meter;

use core::{convert::Infallible, panic::PanicInfo};

use arrayvec::ArrayVec;
use remote_provisioning::{
    Device, Millis,
    aka::{Answer, Challenge},
    credential::SoftUsim,
    error::{Backend, Error, Result},
    provisioning::{
        Platform,
        device::{self, Action, Goal},
    },
};

use crate::{
    board::Heap,
    drbg::Drbg,
    factory::{ATTESTATION, Anchors, IDENTITY, Made, RootOfTrust},
    flash::{Flash, FlashStore},
    meter::{Meter, Metered, Work},
};

#[global_allocator]
static HEAP: Heap = Heap::empty();

static METER: Meter = Meter::new();

/// The backend: a firmware's own, or else the library's.
#[cfg(feature = "cm4")]
use cm4::{Cm4 as Library, Cm4Keys as Keys};
#[cfg(not(feature = "cm4"))]
use remote_provisioning::{crypto::rustcrypto::RustCrypto as Library, store::memory::MemoryKeyStore as Keys};

static CRYPTO: Metered<'static, Library> = Metered { inner: Library, meter: &METER };

/// The longest frame: the longest message that this device takes.
const FRAME_LEN: usize = 1024;

#[cortex_m_rt::entry]
fn main() -> ! {
    // The runtime lends both to this function, once.
    static mut FRAME: [u8; FRAME_LEN] = [0; FRAME_LEN];
    static mut MADE: Option<Made<'static>> = None;
    board::start_timer();
    board::start_line();
    HEAP.start();
    let Err(error) = run(FRAME, MADE);
    // Whose move it is, as a number.
    board::send(
        b'E',
        &[match error {
            Error::Malformed(_) => 0,
            Error::Misbehaved(_) => 1,
            Error::Untrusted(_) => 2,
            Error::Refused(_) => 3,
            Error::Declined(_) => 4,
            Error::Misuse(_) => 5,
            Error::Backend(_) => 6,
            Error::Unanswered => 7,
        }],
    );
    board::halt(b'E')
}

/// Serves the laboratory: one frame asks, one or more answer.
#[inline(never)]
fn run(frame: &mut [u8], made: &'static mut Option<Made<'static>>) -> Result<Infallible> {
    let mut flash = Flash::default();
    while let (MAKE, content) = board::receive(frame) {
        flash.make(content);
    }
    let mut keys = Metered { inner: Keys::default(), meter: &METER };
    let made = wake(made, &mut keys.inner)?;
    let attester = RootOfTrust { claims: made.claims, keys: &keys };
    let mut unit = Unit {
        keys: &keys,
        attester: &attester,
        config: &made.config,
        anchors: &made.anchors,
        store: FlashStore::open(flash),
        usim: SoftUsim,
        rng: Drbg::new([0; 32], &CRYPTO),
    };
    loop {
        let (kind, content) = board::receive(frame);
        match kind {
            SEED => unit.rng = Drbg::new(*content.first_chunk().ok_or(Backend::Random)?, &CRYPTO),
            FUSE => unit.store.flash.fuse = content.first_chunk().map(|steps| u32::from_le_bytes(*steps)),
            ATTEMPT => unit.attempt(content.first().copied(), frame)?,
            CHALLENGE => unit.attach(content)?,
            STATUS => unit.status()?,
            _ => board::halt(b'?'),
        }
    }
}

/// Reads what the factory wrote. In a frame of its own, which is gone when there is something to do.
#[inline(never)]
fn wake(made: &'static mut Option<Made<'static>>, keys: &mut Keys) -> Result<&'static Made<'static>> {
    let made = made.insert(Made::read(flash::factory(), &CRYPTO)?);
    METER.time(Work::Secret, || keys.insert(IDENTITY, made.identity))?;
    METER.time(Work::Secret, || keys.insert(ATTESTATION, made.attestation))?;
    Ok(made)
}

// What the laboratory asks.
const MAKE: u8 = b'i';
const SEED: u8 = b's';
const FUSE: u8 = b'c';
const ATTEMPT: u8 = b'g';
const CHALLENGE: u8 = b'a';
const STATUS: u8 = b'q';

// And what it hears; messages go both ways.
const MESSAGE: u8 = b'm';
const SILENCE: u8 = b't';
const INSTALLED: u8 = b'I';
const FINISHED: u8 = b'F';
const RESPONSE: u8 = b'R';
const SUBSCRIPTION: u8 = b'Q';
const BILL: u8 = b'B';

/// A device that is switched on.
struct Unit<'a> {
    keys: &'a Metered<'a, Keys>,
    attester: &'a RootOfTrust<'a>,
    config: &'a device::Config,
    anchors: &'a Anchors,
    store: FlashStore,
    usim: SoftUsim,
    rng: Drbg,
}

impl<'a> Unit<'a> {
    fn platform(&mut self) -> Platform<'_> {
        Platform {
            crypto: &CRYPTO,
            rng: &mut self.rng,
            keys: self.keys,
            anchors: self.anchors,
            attester: Some(self.attester),
            subscriptions: &mut self.store,
            usim: &mut self.usim,
            date: None,
        }
    }

    /// One attempt, to its end. The laboratory is radio and clock: it brings the answer, or says that none came.
    #[inline(never)]
    fn attempt(&mut self, goal: Option<u8>, frame: &mut [u8]) -> Result<()> {
        let goal = match goal {
            Some(0) => Goal::Provision,
            Some(1) => Goal::Rekey,
            _ => Goal::Query,
        };
        let mut bill = Bill::open(&mut self.store);
        // Not within a closure, which would hand the machine on once more.
        let start = board::ticks();
        let mut device = Device::start(self.config.clone(), goal, Millis(0), &mut self.platform())?;
        bill.add(start);
        let mut until = Millis(0);
        let result = loop {
            match bill.time(|| device.poll()) {
                Some(Action::Send(message)) => board::send(MESSAGE, &message),
                Some(Action::WakeAt(moment)) => until = moment,
                Some(Action::Installed(subscription)) => {
                    board::send(INSTALLED, subscription.id.supi.as_str().as_bytes());
                }
                Some(Action::Finished(result)) => break result,
                Some(_) => {}
                // An error that ends the machine comes as an action too; with any other it goes on waiting.
                None => match board::receive(frame) {
                    (MESSAGE, message) => {
                        let _ = bill.time(|| device.handle_message(message, until, &mut self.platform()));
                    }
                    (SILENCE, _) => {
                        let _ = bill.time(|| device.handle_timeout(until));
                    }
                    _ => board::halt(b'?'),
                },
            }
        };
        board::send(FINISHED, &[result.is_err().into()]);
        bill.send(&self.store);
        Ok(())
    }

    /// Answers the network.
    #[inline(never)]
    fn attach(&mut self, challenge: &[u8]) -> Result<()> {
        let (rand, rest) = challenge.split_first_chunk().ok_or(Backend::Usim)?;
        let challenge = Challenge { rand: *rand, autn: *rest.first_chunk().ok_or(Backend::Usim)? };
        let mut bill = Bill::open(&mut self.store);
        let answer = bill.time(|| device::authenticate(&challenge, &mut self.store, &mut self.usim))?;
        match &answer {
            Answer::Success(keys) => board::send(RESPONSE, keys.res.bytes()),
            Answer::SyncFailure { auts } => board::send(RESPONSE, auts),
            Answer::MacFailure => board::send(RESPONSE, &[]),
        }
        bill.send(&self.store);
        Ok(())
    }

    /// What the store says.
    #[inline(never)]
    fn status(&mut self) -> Result<()> {
        match device::subscription(&self.store)? {
            None => board::send(SUBSCRIPTION, &[]),
            Some((held, complete)) => {
                let mut content: ArrayVec<u8, 20> = ArrayVec::new();
                content.push(complete.into());
                content.extend(held.id.epoch.to_le_bytes());
                content.extend(held.id.supi.as_str().bytes());
                board::send(SUBSCRIPTION, &content);
            }
        }
        Ok(())
    }
}

/// What an operation has cost.
struct Bill {
    ticks: u64,
}

impl Bill {
    fn open(store: &mut FlashStore) -> Self {
        (store.commits, store.flash.words, store.flash.pages) = (0, 0, 0);
        HEAP.restart();
        METER.take();
        board::paint_stack();
        Self { ticks: 0 }
    }

    fn time<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let start = board::ticks();
        let done = work();
        self.add(start);
        done
    }

    /// What went on since this moment.
    fn add(&mut self, start: u32) {
        self.ticks += u64::from(board::ticks().wrapping_sub(start));
    }

    fn send(&self, store: &FlashStore) {
        let ([secret, public, symmetric], calls) = METER.take();
        let rows = [
            self.ticks,
            secret,
            public,
            symmetric,
            calls.into(),
            board::stack_peak().into(),
            HEAP.peak().into(),
            HEAP.calls().into(),
            store.commits.into(),
            store.flash.words.into(),
            store.flash.pages.into(),
        ];
        let mut content: ArrayVec<u8, 88> = ArrayVec::new();
        rows.iter().for_each(|row| content.extend(row.to_le_bytes()));
        board::send(BILL, &content);
    }
}

#[panic_handler]
fn panicked(_: &PanicInfo<'_>) -> ! {
    board::halt(b'!')
}

/// The processor gave up: an access where there is no memory, say, because the stack has run into it.
#[cortex_m_rt::exception]
unsafe fn HardFault(frame: &cortex_m_rt::ExceptionFrame) -> ! {
    board::send(b'H', &frame.pc().to_be_bytes());
    board::halt(b'H')
}
