//! What happens to a fleet, and what its people do.

use alloc::{format, string::ToString, vec::Vec};

use arrayvec::ArrayString;

use super::{Checked, Fleet, Happening, party::short, told};
use crate::{
    authority::Association,
    credential::{Activation, Previous},
    crypto::rustcrypto::RustCrypto,
    error::Error,
    identity::Domain,
    provisioning::{
        Task,
        log::What,
        message::{Operation, Standing},
    },
    sim::{IDENTITY, maker},
    store::{KeyId, KeyStore},
    trust::{Date, voucher},
};

impl Fleet<'_> {
    pub(super) fn accident(&mut self) -> Checked {
        let (unit, firm) = (self.rng.below(self.units.len()), self.rng.below(self.firms.len()));
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
    pub(super) fn inject(&mut self) {
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
    pub(super) fn deed(&mut self, number: usize) -> Checked {
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
    pub(super) fn associate(&mut self, number: usize) -> Result<(), Error> {
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
    pub(super) fn hand_on(&mut self, number: usize, next: usize) -> Result<(), Error> {
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
    pub(super) fn let_go(&mut self, number: usize) -> Checked {
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
    pub(super) fn restore(&mut self, number: usize) {
        let Some(firm) = self.firms.get_mut(number).filter(|firm| !firm.restored) else { return };
        let entries = firm.home.entries().count();
        // The core still bars them, and nobody knows why.
        let suspended = self.units.iter().enumerate().filter(|(_, unit)| {
            let standing = firm.home.account(&unit.id).map(crate::provisioning::Account::standing);
            matches!(standing, Some(Standing::Suspended | Standing::Retiring))
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

    pub(super) fn decide_again(&mut self, number: usize) {
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
