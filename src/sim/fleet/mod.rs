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

mod party;
mod peace;

use alloc::{
    collections::{BTreeMap, BinaryHeap},
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::cmp::Reverse;

use arrayvec::ArrayString;

use self::party::{Firm, OWNER, Running, Unit, founded, short};
use crate::{
    aka,
    authority::{Association, Grant},
    credential::{Activation, Previous, ServiceProfile, SoftUsim},
    crypto::{Hash, rustcrypto::RustCrypto},
    edhoc::Seal,
    error::{Code, Error},
    identity::Domain,
    provisioning::{
        Answer, Desk, Device, Millis, Operator, Question, Task,
        device::{self, Goal},
        log::What,
        message::{Operation, Standing, Verdict},
        operator,
    },
    sim::{IDENTITY, SeededRng, TODAY, maker},
    store::{KeyId, KeyStore},
    trust::{Date, voucher},
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

    fn any<T>(&mut self, of: &[T]) -> usize {
        self.rng.below(of.len())
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
            let at = self.any(&frame.bytes.clone());
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

    // ------------------------------------------------------------------------------------------ devices

    /// The operator whose credential a device uses, or that it asks for one.
    fn home(&self, number: usize) -> Option<usize> {
        let unit = self.units.get(number)?;
        let held = device::subscription(&unit.flash).ok()?;
        let of = match held {
            Some((held, _)) => self.firms.iter().position(|firm| firm.home.knows(&held.id.supi)),
            None => self.firms.iter().position(|firm| firm.handed_on.contains_key(&number)),
        };
        of.or_else(|| self.owners.get(&number).copied())
    }

    /// What a device is after now: itself, or whoever has it.
    fn plan(&mut self, number: usize) -> Option<Goal> {
        let home = self.home(number)?;
        let unit = self.units.get_mut(number)?;
        let held = device::subscription(&unit.flash).ok()?;
        unit.at = home;
        let next = self.firms.get(home).and_then(|firm| firm.handed_on.get(&number).copied());
        if let Some(next) = next
            && self.rng.chance(0.7)
        {
            unit.at = next;
            return Some(if held.is_some() { Goal::Transfer } else { Goal::Provision });
        }
        if held.is_none() {
            return Some(Goal::Provision);
        }
        Some(match self.rng.below(9) {
            0..=2 => Goal::Rekey,
            3 | 4 => Goal::Query,
            5 => Goal::OnDemand(self.grant(number)?),
            6 => Goal::Reassociate,
            7 if self.rng.chance(0.3) => Goal::Retire,
            _ => Goal::Query,
        })
    }

    /// An owner's grant for this device; now and then for another one.
    fn grant(&mut self, number: usize) -> Option<Vec<u8>> {
        let whose = if self.rng.chance(0.1) { self.rng.below(self.units.len()) } else { number };
        let operator = self.firms.get(self.units.get(number)?.at)?.home.name;
        let keys = maker::keys(OWNER).ok()?;
        let grant = Grant {
            iss: OWNER,
            device: &self.units.get(whose)?.id,
            operator: &operator,
            expires: Date(self.today().0.saturating_add(86_400)),
            not_before: None,
            cti: &self.rng.next().to_be_bytes(),
            scope: &ServiceProfile::default(),
        };
        grant.sign(maker::signer(&keys)).ok()
    }

    fn start(&mut self, number: usize) -> Checked {
        let Some(goal) = self.plan(number) else { return Ok(()) };
        self.begin(number, goal)
    }

    fn begin(&mut self, number: usize, goal: Goal) -> Checked {
        let relay = match self.rng.below(4) {
            0 => Some([1; 32]),
            1 => Some([2; 32]),
            _ => None,
        };
        self.session = self.session.saturating_add(1);
        let (now, session) = (self.now, self.session);
        let Some(unit) = self.units.get_mut(number) else { return Ok(()) };
        if unit.machine.is_some() {
            return Ok(());
        }
        unit.config.relay = relay;
        unit.goal = goal.clone();
        let config = unit.config.clone();
        let asked = goal.clone();
        let started = unit.with(&mut self.rng, |_, platform| Device::start(config, asked, now, platform));
        let at = unit.at;
        match started {
            Ok(machine) => {
                unit.machine = Some(machine);
                unit.session = session;
                unit.starts = unit.starts.saturating_add(1);
                self.summary.sessions = self.summary.sessions.saturating_add(1);
                self.say(|| format!("device {number} starts session {session} with operator {at}: {}", name(&goal)));
                self.device_actions(number)
            }
            // What does not fit any more: it had a subscription, or lost it, in the meantime.
            Err(Error::Misuse(_)) => Ok(()),
            Err(error) if unit.flash.failing => {
                self.say(|| format!("device {number} does not start: {error}"));
                self.power_cut(number);
                Ok(())
            }
            Err(error) => Err(format!("device {number} does not start: {error}")),
        }
    }

    fn power_cut(&mut self, number: usize) {
        if let Some(unit) = self.units.get_mut(number) {
            unit.power_cut();
            self.summary.power_cuts = self.summary.power_cuts.saturating_add(1);
            self.say(|| format!("device {number} has no power"));
            self.later(30_000, Happening::Start(number));
        }
    }

    fn device_hears(&mut self, frame: &Frame) -> Checked {
        let now = self.now;
        let Some(unit) = self.units.get_mut(frame.unit).filter(|unit| unit.session == frame.session) else {
            return Ok(());
        };
        let result = unit.with(&mut self.rng, |device, platform| match device {
            Some(device) => device.handle_message(&frame.bytes, now, platform),
            None => Ok(()),
        });
        if let Err(error) = result {
            self.say(|| format!("device {}: {error}", frame.unit));
        }
        self.device_actions(frame.unit)
    }

    fn wake(&mut self, number: usize, session: u32) -> Checked {
        let now = self.now;
        let Some(unit) = self.units.get_mut(number).filter(|unit| unit.session == session) else { return Ok(()) };
        if unit.wake.is_none_or(|wake| wake > now) {
            return Ok(());
        }
        if let Some(device) = &mut unit.machine {
            let _ = device.handle_timeout(now); // Its end comes as an action.
        }
        self.device_actions(number)
    }

    fn device_actions(&mut self, number: usize) -> Checked {
        let mut again = None;
        loop {
            let Some(unit) = self.units.get_mut(number) else { return Ok(()) };
            let Some(action) = unit.machine.as_mut().and_then(Device::poll) else { break };
            let (session, firm, relay) = (unit.session, unit.at, unit.config.relay);
            match action {
                device::Action::Send(bytes) => {
                    // A relay that gives out another one's messages as its own.
                    let relay = if self.rng.chance(self.loss / 30.0) { Some([9; 32]) } else { relay };
                    self.send(Frame { session, unit: number, firm, relay, to_device: false, bytes });
                }
                device::Action::WakeAt(moment) => {
                    unit.wake = Some(moment);
                    self.at(moment, Happening::Wake { unit: number, session });
                }
                device::Action::StartAgainAt(moment) => again = Some(moment),
                device::Action::Completed { .. } => {
                    let (starts, commits) = (unit.starts, unit.commits);
                    unit.starts = 0;
                    unit.commits = 0;
                    self.summary.completed = self.summary.completed.saturating_add(1);
                    if commits > starts.saturating_add(3) {
                        return Err(format!("device {number}: {commits} durable writes in {starts} sessions"));
                    }
                }
                device::Action::Finished(result) => {
                    unit.machine = None;
                    unit.wake = None;
                    unit.ended = Some(result);
                    self.say(|| match result {
                        Ok(()) => format!("device {number} is done"),
                        Err(error) => format!("device {number} ends: {error}"),
                    });
                    let moment = again.unwrap_or_else(|| self.now.after(120_000));
                    self.at(moment, Happening::Start(number));
                }
                device::Action::Erased => {
                    // That is an operation of its own, in the place of the one that was open.
                    unit.commits = unit.commits.saturating_sub(1);
                    self.say(|| format!("device {number} has no credential any more"));
                }
                other => self.say(|| format!("device {number}: {}", event(&other))),
            }
        }
        if self.units.get(number).is_some_and(|unit| unit.flash.failing && unit.machine.is_none()) {
            self.power_cut(number);
        }
        Ok(())
    }

    /// A device with a credential attaches, unless its operator does not want it to.
    fn attach(&mut self, number: usize) -> Checked {
        for _ in 0..2 {
            let Some(unit) = self.units.get_mut(number).filter(|unit| !unit.flash.failing) else { return Ok(()) };
            let Some(held) = device::in_use(&unit.flash).map_err(told)? else { return Ok(()) };
            let rng = &mut self.rng;
            let vector = self.firms.iter_mut().find_map(|firm| firm.home.challenge(&held.id.supi, rng).ok());
            if let Some(vector) = vector {
                let mut ask = || device::authenticate(&vector.challenge, &mut unit.flash, &mut SoftUsim);
                match ask().map_err(told)? {
                    aka::Answer::Success(keys) if keys.res == vector.keys.res => {
                        if let aka::Answer::Success(_) = ask().map_err(told)? {
                            return Err(format!("I4: device {number} takes a challenge twice"));
                        }
                        self.summary.attaches = self.summary.attaches.saturating_add(1);
                        return Ok(());
                    }
                    aka::Answer::SyncFailure { .. } => return Err(format!("I4: device {number} is ahead of its core")),
                    _ => {}
                }
            }
            for _ in 0..3 {
                device::attach_failed(&mut unit.flash).map_err(told)?;
            }
        }
        let Some(unit) = self.units.get(number) else { return Ok(()) };
        let barred = self.firms.iter().any(|firm| {
            let account = firm.account(&unit.id);
            let unsure = firm.half_way.contains(&number) || firm.revoked.contains(&number);
            account.standing() != Standing::InService || unsure
        });
        if barred { Ok(()) } else { Err(format!("I1: device {number} has a credential, and no core takes it")) }
    }

    // ------------------------------------------------------------------------------------------ operators

    fn operator_hears(&mut self, frame: &Frame) -> Checked {
        let (now, today) = (self.now, self.today());
        let travels = self.rng.chance(0.3);
        let Some(firm) = self.firms.get_mut(frame.firm) else { return Ok(()) };
        let config = operator::Config { relay: frame.relay, ..firm.config.clone() };
        let running = firm
            .sessions
            .entry(frame.session)
            .or_insert_with(|| Running { machine: Operator::new(config), open: None });
        if travels {
            let seal = Seal { key: &firm.token, expires: Date(today.0.saturating_add(86_400)) };
            let token = running.machine.seal(&seal, &RustCrypto, &mut self.rng).map_err(told)?;
            let config = operator::Config { relay: frame.relay, ..firm.config.clone() };
            let opened = Operator::open(config, &token, &firm.token, today, now, &RustCrypto).map_err(told)?;
            running.machine = opened.first_use(true).map_err(told)?;
        }
        let mut desk = Desk {
            crypto: &RustCrypto,
            rng: &mut self.rng,
            keys: &firm.keys,
            storage: &firm.storage,
            anchors: &*firm.anchors,
            date: today,
        };
        if let Err(error) = running.machine.handle_message(&frame.bytes, now, &mut desk) {
            self.say(|| format!("operator {}: {error}", frame.firm));
        }
        self.operator_actions(frame)
    }

    fn operator_actions(&mut self, frame: &Frame) -> Checked {
        let Frame { session, unit, firm, relay, .. } = *frame;
        loop {
            let Some(running) = self.firms.get_mut(firm).and_then(|firm| firm.sessions.get_mut(&session)) else {
                return Ok(());
            };
            let Some(action) = running.machine.poll() else { return Ok(()) };
            match action {
                operator::Action::Send(bytes) => {
                    self.send(Frame { session, unit, firm, relay, to_device: true, bytes });
                }
                operator::Action::Ask(question) => {
                    running.open = Some(question);
                    self.later(3_000, Happening::Answer { firm, session });
                }
                operator::Action::WakeAt(_) => {}
                operator::Action::Finished(result) => {
                    if let Err(error) = result {
                        self.say(|| format!("operator {firm} ends session {session}: {error}"));
                    }
                }
            }
        }
    }

    /// The operator's systems answer; or fail; or do what was asked, and say no.
    fn answer(&mut self, number: usize, session: u32) -> Checked {
        let (today, kind) = (self.today(), self.rng.below(100));
        let fails = self.loss > 0.0 && kind < 8;
        let Some(firm) = self.firms.get_mut(number) else { return Ok(()) };
        let Some(question) = firm.sessions.get_mut(&session).and_then(|running| running.open.take()) else {
            return Ok(());
        };
        let line = asked(&question);
        let refusal = no(&question);
        let answer = match refusal {
            Some(refusal) if fails => {
                if kind < 4 {
                    let _ = firm.answer(question);
                }
                self.summary.failures = self.summary.failures.saturating_add(1);
                refusal
            }
            _ => firm.answer(question),
        };
        let Some(running) = firm.sessions.get_mut(&session) else { return Ok(()) };
        let mut desk = Desk {
            crypto: &RustCrypto,
            rng: &mut self.rng,
            keys: &firm.keys,
            storage: &firm.storage,
            anchors: &*firm.anchors,
            date: today,
        };
        let _ = running.machine.answer(answer, &mut desk); // Its end comes as an action.
        self.say(|| {
            let how = if !fails {
                ""
            } else if kind < 4 {
                ": done, and it says no"
            } else {
                ": no"
            };
            format!("operator {number}, session {session}: {line}{how}")
        });
        let unit = self.units.iter().position(|unit| unit.session == session).unwrap_or_default();
        let relay = None;
        self.operator_actions(&Frame { session, unit, firm: number, relay, to_device: false, bytes: Vec::new() })
    }

    // ------------------------------------------------------------------------------------------ what happens to them

    fn accident(&mut self) -> Checked {
        let (unit, firm) =
            (self.any(&self.units.iter().map(|_| ()).collect::<Vec<_>>()), self.rng.below(self.firms.len()));
        match self.rng.below(100) {
            0..=14 => self.power_cut(unit),
            15..=24 => {
                if let Some(unit) = self.units.get_mut(unit) {
                    unit.flash.failing = true;
                }
                self.say(|| format!("the next write of device {unit} does not land"));
            }
            25..=34 => {
                if let Some(firm) = self.firms.get_mut(firm) {
                    firm.sessions.clear();
                }
                self.summary.crashes = self.summary.crashes.saturating_add(1);
                self.say(|| format!("the servers of operator {firm} crash"));
            }
            35..=54 => self.inject(),
            55..=64 => self.start(unit)?,
            65..=79 => self.deed(unit)?,
            80..=82 => {
                self.ahead = self.ahead.saturating_add(u64::try_from(self.rng.below(100_000)).unwrap_or_default());
                self.say(|| "the operators' calendar jumps".to_string());
            }
            83 => self.restore(firm),
            84..=89 => {
                let (mode, activation) = (self.rng.chance(0.5), self.rng.chance(0.5));
                if let Some(firm) = self.firms.get_mut(firm) {
                    firm.home.mode = if mode { Previous::Shared } else { Previous::Beside };
                    firm.home.activation = if activation { Activation::OneShot } else { Activation::TwoPhase };
                }
            }
            _ => {}
        }
        self.attach(unit)
    }

    /// Somebody who has recorded everything sends some of it again, to whomever.
    fn inject(&mut self) {
        if self.recorded.is_empty() {
            return;
        }
        let place = self.rng.below(self.recorded.len());
        let Some(mut frame) = self.recorded.get(place).cloned() else { return };
        match self.rng.below(4) {
            0 => frame.session = self.units.get(frame.unit).map_or(0, |unit| unit.session),
            1 => {
                self.session = self.session.saturating_add(1);
                frame.session = self.session;
            }
            2 => frame.firm = self.rng.below(self.firms.len()),
            _ => {}
        }
        self.summary.injected = self.summary.injected.saturating_add(1);
        let name = short(&frame.bytes);
        self.say(|| format!("somebody sends {name} again, into session {}", frame.session));
        self.later(400, Happening::Arrival(frame));
    }

    /// What an operator or an owner does about a device.
    fn deed(&mut self, number: usize) -> Checked {
        let kind = self.rng.below(8);
        let next = self.rng.below(self.firms.len());
        let steps = if self.rng.chance(0.2) { self.rng.below(3) } else { 20 };
        let Some(unit) = self.units.get(number) else { return Ok(()) };
        let (id, at) = (unit.id, unit.at);
        // Who has it still to let go of does that before it gets it back.
        let handed_on = self.firms.iter().any(|firm| firm.handed_on.contains_key(&number));
        let Some(firm) = self.firms.get_mut(at) else { return Ok(()) };
        let account = firm.account(&id);
        let (what, result) = match (kind, account.standing()) {
            (_, Standing::Suspended | Standing::InService) if firm.half_way.contains(&number) => {
                // What the core bars and a restored log does not know of stays barred until it does.
                let restored = firm.restored;
                firm.half_way.retain(|half_way| *half_way != number || restored);
                ("reinstates", firm.carry_out(Task::reinstate(&id, &account), 20))
            }
            (0 | 1, Standing::InService) => {
                firm.half_way.extend((steps < 20).then_some(number));
                ("suspends", firm.carry_out(Task::suspend(&id, &account), steps))
            }
            (_, Standing::Suspended) => {
                firm.half_way.extend((steps < 20).then_some(number));
                ("reinstates", firm.carry_out(Task::reinstate(&id, &account), steps))
            }
            (2, Standing::InService) if !handed_on && account.active().is_some() => {
                firm.revoked.push(number);
                ("revokes", firm.carry_out(Task::revoke(&id, &account), steps))
            }
            (_, Standing::Revoked) if steps == 20 => {
                firm.revoked.retain(|revoked| *revoked != number);
                ("reinstates", firm.carry_out(Task::reinstate(&id, &account), steps))
            }
            (3 | 4, Standing::InService) if firm.revoked.is_empty() => ("associates", self.associate(number)),
            (5, _) => {
                firm.note(&id, What::Wanted(Operation::Rekey));
                ("wants a new K of", Ok(()))
            }
            (6 | 7, Standing::InService)
                if next != at && account.active().is_some() && !handed_on && firm.revoked.is_empty() =>
            {
                ("hands on", self.hand_on(number, next))
            }
            _ => return self.let_go(number),
        };
        self.summary.deeds = self.summary.deeds.saturating_add(1);
        self.say(|| format!("operator {at} {what} device {number}, up to {steps} steps: {result:?}"));
        Ok(())
    }

    /// Into other hands: released by the one, accepted by the other.
    fn associate(&mut self, number: usize) -> Result<(), Error> {
        let today = self.today();
        let Some(unit) = self.units.get(number) else { return Ok(()) };
        let Some(firm) = self.firms.get_mut(unit.at) else { return Ok(()) };
        let account = firm.account(&unit.id);
        let (seller, buyer) = (maker::keys("the seller")?, maker::keys("the buyer")?);
        let (from, to) = (seller.public_key(KeyId(0))?, buyer.public_key(KeyId(0))?);
        let number = ArrayString::from("msisdn-4917").ok();
        let association = match account.association() {
            None => Association::first(&from, number)?,
            Some(association) => {
                let deed =
                    association.deed(&unit.id, Domain::Test, &to, number, Date(today.0.saturating_add(1_000)))?;
                let (release, acceptance) =
                    (deed.release(maker::signer(&seller))?, deed.acceptance(maker::signer(&buyer))?);
                match association.change(&release, &acceptance, &unit.id, Domain::Test, today, &RustCrypto) {
                    Ok(next) => next,
                    // It is the buyer's by now.
                    Err(_) => association.again(&from, number)?,
                }
            }
        };
        firm.carry_out(Ok(Task::associate(&unit.id, &account, association)), 20)
    }

    /// To another operator, in the voucher.
    fn hand_on(&mut self, number: usize, next: usize) -> Result<(), Error> {
        let Some(unit) = self.units.get(number) else { return Ok(()) };
        let Some((chain, epoch)) = self.vouchers.get(&number).cloned() else { return Ok(()) };
        let Some(thumbprint) = self.firms.get(next).map(|firm| firm.key.thumbprint(&RustCrypto)) else { return Ok(()) };
        let Some(firm) = self.firms.get_mut(unit.at) else { return Ok(()) };
        let epoch = epoch.saturating_add(1);
        let account = firm.account(&unit.id);
        firm.carry_out(Task::hand_on(&unit.id, &account, thumbprint, epoch), 20)?;
        let sign = |message: &[u8]| firm.keys.sign(IDENTITY, message);
        let chain = voucher::extend(&chain, &firm.key, &thumbprint, epoch, Domain::Test, sign, &RustCrypto)?;
        firm.handed_on.insert(number, next);
        self.owners.insert(number, next);
        if let Some(firm) = self.firms.get_mut(next) {
            firm.home.own(unit.config.name, chain.clone());
        }
        self.vouchers.insert(number, (chain, epoch));
        Ok(())
    }

    /// The donor lets go, if the recipient has the device's receipt.
    fn let_go(&mut self, number: usize) -> Checked {
        let Some(unit) = self.units.get(number) else { return Ok(()) };
        let (id, key) = (unit.id, unit.key);
        let device = id.to_string();
        for from in 0..self.firms.len() {
            let Some(to) = self.firms.get(from).and_then(|firm| firm.handed_on.get(&number).copied()) else { continue };
            let proofs: Vec<Vec<u8>> = self.firms.get(to).map_or_else(Vec::new, |firm| {
                let proofs = firm.ever.iter().filter_map(|entry| match &entry.what {
                    What::Ended(signed) if entry.device == device => Some(&signed.proof),
                    What::Recovered(it) if entry.device == device => Some(&it.proof),
                    _ => None,
                });
                proofs.filter_map(|proof| proof.receipts.last()).map(|receipt| receipt.to_vec()).collect()
            });
            let Some(firm) = self.firms.get_mut(from) else { continue };
            for receipt in proofs {
                let account = firm.account(&id);
                let task = Task::handed_on(&id, &account, &receipt, (&key, Domain::Test), &RustCrypto);
                if task.is_ok() {
                    firm.carry_out(task, 20).map_err(told)?;
                    firm.handed_on.remove(&number);
                    self.say(|| format!("operator {from} lets go of device {number}"));
                    break;
                }
            }
        }
        Ok(())
    }

    /// The log is as it was; what people decided since, they decide again.
    fn restore(&mut self, number: usize) {
        let Some(firm) = self.firms.get_mut(number).filter(|firm| !firm.restored) else { return };
        let entries = firm.home.entries().count();
        // The core still bars them, and nobody knows why.
        let suspended = self.units.iter().enumerate().filter(|(_, unit)| {
            let standing = firm.home.account(&unit.id).map(crate::provisioning::Account::standing);
            standing == Some(Standing::Suspended)
        });
        let suspended: Vec<usize> = suspended.map(|(place, _)| place).collect();
        let half = entries / 2;
        let kept = half.saturating_add(self.rng.below(half.saturating_add(1)));
        firm.sessions.clear();
        firm.restored = true;
        firm.half_way.extend(suspended);
        firm.home.restore(kept);
        self.summary.restores = self.summary.restores.saturating_add(1);
        self.say(|| format!("the log of operator {number} is restored to {kept} of {entries} entries"));
        self.decide_again(number);
    }

    fn decide_again(&mut self, number: usize) {
        let Some(firm) = self.firms.get_mut(number) else { return };
        for (place, unit) in self.units.iter().enumerate() {
            let account = firm.account(&unit.id);
            if firm.revoked.contains(&place) {
                let _ = firm.carry_out(Task::revoke(&unit.id, &account), 20);
            } else if let Ok(task) = Task::reinstate(&unit.id, &account) {
                let _ = firm.carry_out(Ok(task), 20);
            }
        }
        let handed_on: Vec<_> = firm.handed_on.iter().map(|(unit, next)| (*unit, *next)).collect();
        for (place, next) in handed_on {
            let epoch = self.vouchers.get(&place).map_or(0, |(_, epoch)| *epoch);
            let thumbprint = self.firms.get(next).map(|firm| firm.key.thumbprint(&RustCrypto));
            if let (Some(unit), Some(thumbprint), Some(firm)) =
                (self.units.get(place), thumbprint, self.firms.get_mut(number))
            {
                let account = firm.account(&unit.id);
                let _ = firm.carry_out(Task::hand_on(&unit.id, &account, thumbprint, epoch), 20);
            }
        }
    }
}

/// A no to a question that can be answered with one.
fn no(question: &Question) -> Option<Answer> {
    let code = Code::TryLater;
    Some(match question {
        Question::Find(_) | Question::Appraise(_) => return None,
        Question::Reserve(_) => Answer::Reserved(Err(code)),
        Question::ComputeOpc { .. } => Answer::Opc(Err(code)),
        Question::Log(_) => Answer::Logged(Err(code)),
        Question::PutIntoCore(_) | Question::BarInCore(_) | Question::AdmitToCore(_) | Question::RemoveFromCore(_) => {
            Answer::CoreReady(Err(code))
        }
        Question::ReadCore(_) => Answer::CoreHolds(Err(code)),
        Question::Recover(_) => Answer::Recovered(Err(code)),
    })
}

fn asked(question: &Question) -> String {
    match question {
        Question::Find(_) => "whose name is concealed".into(),
        Question::Appraise(visitor) => format!("appraise, for {:?}", visitor.operation),
        Question::Reserve(_) => "reserve".into(),
        Question::ComputeOpc { .. } => "OPc".into(),
        Question::Log(entry) => format!("log {}: {}", entry.number, logged(&entry.what)),
        Question::PutIntoCore(it) => format!("core takes {} epoch {}", it.supi, it.epoch),
        Question::ReadCore(it) => format!("core is read: {} epoch {}", it.supi, it.epoch),
        Question::Recover(it) => format!("core is searched for epoch {}", it.epoch),
        Question::BarInCore(it) => format!("core bars {} up to {}", it.supi, it.epoch),
        Question::AdmitToCore(it) => format!("core admits {} up to {}", it.supi, it.epoch),
        Question::RemoveFromCore(it) => format!("core forgets {} up to {}", it.supi, it.epoch),
    }
}

fn logged(what: &What) -> String {
    match what {
        What::Offered(it) => format!("offered {} epoch {}, {:?}, {:?}", it.supi, it.epoch, it.activation, it.previous),
        What::Prepared(_) => "prepared".into(),
        What::Decided { verdict: Verdict::Commit, .. } => "commit".into(),
        What::Decided { verdict: Verdict::Abort, .. } => "abort".into(),
        What::Ended(it) => format!("ended, {:?}", it.event),
        What::Recovered(it) => format!("recovered {} epoch {}, {:?}", it.supi, it.epoch, it.event),
        What::Restored => "restored".into(),
        What::Received(_) => "receipts".into(),
        What::Cleared(it) => format!("cleared {} up to {}", it.supi, it.epoch),
        What::Barred(it) => format!("barred, {it:?}"),
        What::Reinstated => "reinstated".into(),
        What::Associated(_) => "associated".into(),
        What::Transferred { .. } => "transferred".into(),
        What::Wanted(it) => format!("wanted: {it:?}"),
        What::Released(_) => "released".into(),
        What::Quarantined { alarm, .. } => format!("quarantined: {alarm}"),
        What::Cleaned => "cleaned".into(),
    }
}

fn name(goal: &Goal) -> String {
    if let Goal::OnDemand(_) = goal { "on demand".into() } else { format!("{goal:?}") }
}

fn event(action: &device::Action) -> String {
    match action {
        device::Action::Authenticated(met) => format!("believes {}", met.operator),
        device::Action::Prepared(it) => format!("holds {} epoch {} in addition", it.id.supi, it.id.epoch),
        device::Action::Installed(it) => format!("uses {} epoch {}", it.id.supi, it.id.epoch),
        device::Action::CalledOff => "lets go of what was prepared".into(),
        device::Action::Told(standing, _) => format!("is told {standing:?}"),
        _ => String::new(),
    }
}
