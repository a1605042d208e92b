//! A fleet: devices, operators, owners, relays, and a world that is against them. One clock, one seed.
//!
//! ```text
//! run(seed) ─▶ accidents: lost, doubled, late and altered messages, recorded ones again, other relays' messages,
//!              power cuts (also as the flash is written), servers that crash or hand sessions over, databases and cores
//!              that fail or do not say what they did, logs that are restored, clocks that jump; and what people do:
//!              re-key, query, retire, grant, associate, suspend, revoke, hand on
//!          ─▶ peace: nothing is lost any more, and everybody comes to agree
//! ```
//!
//! All the while: a device with a credential is served unless its operator bars it (I1), no challenge is taken twice (I4),
//! nothing is both committed and called off (I5), epochs only grow (I3), no SUPI is given to two devices, and no operation
//! takes more than four durable writes. In the end device and operator say the same (I6), and no core has anything that its
//! operator does not know of. [`run`] gives the first thing that does not hold; the same seed gives the same run, and tells it
//! to whoever listens.

mod deeds;
mod devices;
mod operators;
mod party;
mod peace;
mod words;

use alloc::{
    collections::{BTreeMap, BinaryHeap},
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::cmp::Reverse;

use self::party::{Firm, Unit, founded, short};
use crate::{
    crypto::Hash,
    error::Error,
    provisioning::Millis,
    sim::{SeededRng, TODAY, maker},
    trust::Date,
};

/// How large a fleet, and how much happens to it.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// Devices.
    pub devices: usize,
    /// Operators, at most ten.
    pub operators: usize,
    /// Accidents and deeds.
    pub accidents: u32,
}

impl Default for Setup {
    fn default() -> Self {
        Self { devices: 3, operators: 2, accidents: 60 }
    }
}

/// What happened in a run, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Attempts of devices.
    pub sessions: u64,
    /// Messages that went out.
    pub messages: u64,
    /// Of those, lost or altered.
    pub lost: u64,
    /// Recorded messages that came again.
    pub injected: u64,
    /// Power cuts of devices.
    pub power_cuts: u64,
    /// Crashes of operators.
    pub crashes: u64,
    /// Answers of databases and cores that were a no, or said nothing of what was done.
    pub failures: u64,
    /// Logs that were restored.
    pub restores: u64,
    /// Deeds of operators and owners.
    pub deeds: u64,
    /// Operations that were completed.
    pub completed: u64,
    /// Attaches that succeeded.
    pub attaches: u64,
    /// How often a person had to look; after restored logs only.
    pub persons: u64,
}

impl Summary {
    /// This one and another.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            sessions: self.sessions.saturating_add(other.sessions),
            messages: self.messages.saturating_add(other.messages),
            lost: self.lost.saturating_add(other.lost),
            injected: self.injected.saturating_add(other.injected),
            power_cuts: self.power_cuts.saturating_add(other.power_cuts),
            crashes: self.crashes.saturating_add(other.crashes),
            failures: self.failures.saturating_add(other.failures),
            restores: self.restores.saturating_add(other.restores),
            deeds: self.deeds.saturating_add(other.deeds),
            completed: self.completed.saturating_add(other.completed),
            attaches: self.attaches.saturating_add(other.attaches),
            persons: self.persons.saturating_add(other.persons),
        }
    }
}

/// Something that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("seed {seed}, at {} ms: {what}", at.0)]
pub struct Violation {
    /// The run that shows it.
    pub seed: u64,
    /// When.
    pub at: Millis,
    /// What.
    pub what: String,
}

/// Somebody who listens to a run.
pub type Listener<'a> = &'a mut dyn FnMut(Millis, &dyn Fn() -> String);

/// Runs a fleet.
///
/// # Errors
/// [`Violation`]: a defect of this crate.
pub fn run(seed: u64, setup: &Setup, listener: Listener<'_>) -> Result<Summary, Violation> {
    let mut fleet = Fleet::new(seed, setup, listener);
    let result = fleet.accidents(setup.accidents).and_then(|()| fleet.peace());
    result.map_err(|what| Violation { seed, at: fleet.now, what })?;
    Ok(fleet.summary)
}

/// A message under way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Frame {
    session: u32,
    unit: usize,
    firm: usize,
    /// The relay that it came through.
    relay: Option<Hash>,
    to_device: bool,
    bytes: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    Arrival(Frame),
    Wake { unit: usize, session: u32 },
    Answer { firm: usize, session: u32 },
    Start(usize),
    Accident,
}

struct Fleet<'a> {
    now: Millis,
    /// Seconds that the operators' calendar is ahead of the clock.
    ahead: u64,
    rng: SeededRng,
    units: Vec<Unit>,
    firms: Vec<Firm>,
    queue: BinaryHeap<Reverse<(Millis, u64, Happening)>>,
    serial: u64,
    session: u32,
    recorded: Vec<Frame>,
    /// Whom vouchers name last.
    owners: BTreeMap<usize, usize>,
    /// Vouchers, and the owner epoch that they are good for.
    vouchers: BTreeMap<usize, (Vec<u8>, u32)>,
    loss: f64,
    summary: Summary,
    listener: Listener<'a>,
}

type Checked = Result<(), String>;

/// For what cannot fail here, and would be a defect.
fn told(error: impl Into<Error>) -> String {
    error.into().to_string()
}

impl<'a> Fleet<'a> {
    #[expect(clippy::expect_used, reason = "fixed inputs that every test exercises")]
    fn new(seed: u64, setup: &Setup, listener: Listener<'a>) -> Self {
        let (units, firms) = founded(setup.devices.max(1), setup.operators.clamp(1, 10)).expect("published identities");
        let vouchers = units.iter().enumerate().filter_map(|(number, unit)| {
            Some((number, (maker::voucher(&unit.config.name, &firms.get(unit.at)?.key).ok()?, 1)))
        });
        let mut fleet = Self {
            now: Millis(0),
            ahead: 0,
            rng: SeededRng::new(seed),
            owners: units.iter().map(|unit| unit.at).enumerate().collect(),
            vouchers: vouchers.collect(),
            units,
            firms,
            queue: BinaryHeap::new(),
            serial: 0,
            session: 0,
            recorded: Vec::new(),
            loss: 0.15,
            summary: Summary::default(),
            listener,
        };
        for unit in 0..fleet.units.len() {
            fleet.later(5_000, Happening::Start(unit));
        }
        fleet.later(1, Happening::Accident);
        fleet
    }

    fn say(&mut self, line: impl Fn() -> String) {
        (self.listener)(self.now, &line);
    }

    /// Some time within this span.
    fn later(&mut self, span: usize, what: Happening) {
        let pause = u64::try_from(self.rng.below(span)).unwrap_or_default();
        self.at(self.now.after(pause), what);
    }

    fn at(&mut self, moment: Millis, what: Happening) {
        self.serial = self.serial.saturating_add(1);
        self.queue.push(Reverse((moment, self.serial, what)));
    }

    fn today(&self) -> Date {
        Date(TODAY.0.saturating_add(self.now.0 / 1_000).saturating_add(self.ahead))
    }

    fn accidents(&mut self, mut left: u32) -> Checked {
        while left > 0 {
            let Some(Reverse((moment, _, what))) = self.queue.pop() else { return Ok(()) };
            self.now = self.now.max(moment);
            match what {
                Happening::Arrival(frame) => self.arrival(&frame)?,
                Happening::Wake { unit, session } => self.wake(unit, session)?,
                Happening::Answer { firm, session } => self.answer(firm, session)?,
                Happening::Start(unit) => self.start(unit)?,
                Happening::Accident => {
                    left = left.saturating_sub(1);
                    self.accident()?;
                    self.later(60_000, Happening::Accident);
                }
            }
        }
        Ok(())
    }

    // ------------------------------------------------------------------------------------------ the link

    fn send(&mut self, mut frame: Frame) {
        self.summary.messages = self.summary.messages.saturating_add(1);
        if self.recorded.len() < 400 {
            self.recorded.push(frame.clone());
        }
        let lost = self.rng.chance(self.loss);
        let altered = !lost && self.rng.chance(self.loss / 10.0);
        let fate = if lost {
            ", lost"
        } else if altered {
            ", altered"
        } else {
            ""
        };
        let (unit, firm, to_device, len) = (frame.unit, frame.firm, frame.to_device, frame.bytes.len());
        let name = short(&frame.bytes);
        self.say(|| {
            let arrow = if to_device { "◀──" } else { "──▶" };
            format!("device {unit} {arrow} operator {firm}: {len} B, {name}{fate}")
        });
        if lost || altered {
            self.summary.lost = self.summary.lost.saturating_add(1);
        }
        if altered {
            let at = self.rng.below(frame.bytes.len());
            frame.bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1);
        }
        if !lost {
            if self.rng.chance(self.loss) {
                self.later(20_000, Happening::Arrival(frame.clone()));
            }
            self.later(400, Happening::Arrival(frame));
        }
    }

    fn arrival(&mut self, frame: &Frame) -> Checked {
        if frame.to_device { self.device_hears(frame) } else { self.operator_hears(frame) }
    }
}
