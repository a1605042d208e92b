//! Devices in a fleet: what they are after, what they hear, when they have no power, and whether they are served.

use alloc::{format, vec::Vec};

use super::{
    Checked, Fleet, Frame, Happening,
    party::OWNER,
    told,
    words::{event, name},
};
use crate::{
    aka,
    authority::Grant,
    credential::{ServiceProfile, SoftUsim},
    crypto::equal,
    error::Error,
    provisioning::{
        Device,
        device::{self, Goal},
        message::Standing,
    },
    sim::maker,
    trust::Date,
};

impl Fleet<'_> {
    /// The operator whose credential a device uses, or that it asks for one.
    pub(super) fn home(&self, number: usize) -> Option<usize> {
        let unit = self.units.get(number)?;
        let held = device::subscription(&unit.flash).ok()?;
        let of = match held {
            Some((held, _)) => self.firms.iter().position(|firm| firm.home.knows(&held.id.supi)),
            None => self.firms.iter().position(|firm| firm.handed_on.contains_key(&number)),
        };
        of.or_else(|| self.owners.get(&number).copied())
    }

    /// What a device is after now: itself, or whoever has it.
    pub(super) fn plan(&mut self, number: usize) -> Option<Goal> {
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
    pub(super) fn grant(&mut self, number: usize) -> Option<Vec<u8>> {
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

    pub(super) fn start(&mut self, number: usize) -> Checked {
        let Some(goal) = self.plan(number) else { return Ok(()) };
        self.begin(number, goal)
    }

    pub(super) fn begin(&mut self, number: usize, goal: Goal) -> Checked {
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

    pub(super) fn power_cut(&mut self, number: usize) {
        if let Some(unit) = self.units.get_mut(number) {
            unit.power_cut();
            self.summary.power_cuts = self.summary.power_cuts.saturating_add(1);
            self.say(|| format!("device {number} has no power"));
            self.later(30_000, Happening::Start(number));
        }
    }

    pub(super) fn device_hears(&mut self, frame: &Frame) -> Checked {
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

    pub(super) fn wake(&mut self, number: usize, session: u32) -> Checked {
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

    pub(super) fn device_actions(&mut self, number: usize) -> Checked {
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
    pub(super) fn attach(&mut self, number: usize) -> Checked {
        for _ in 0..2 {
            let Some(unit) = self.units.get_mut(number).filter(|unit| !unit.flash.failing) else { return Ok(()) };
            let Some(held) = device::in_use(&unit.flash).map_err(told)? else { return Ok(()) };
            let rng = &mut self.rng;
            let vector = self.firms.iter_mut().find_map(|firm| firm.home.challenge(&held.id.supi, rng).ok());
            if let Some(vector) = vector {
                let mut ask = || device::authenticate(&vector.challenge, &mut unit.flash, &mut SoftUsim);
                match ask().map_err(told)? {
                    aka::Answer::Success(keys) if equal(keys.res.bytes(), vector.keys.res.bytes()) => {
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
}
