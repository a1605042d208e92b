//! The end of a run: nothing is lost any more, and everybody comes to agree.

use alloc::{format, string::ToString, vec::Vec};

use super::{Checked, Fleet, Happening, told};
use crate::{
    error::{Error, Untrusted, Voucher},
    provisioning::{
        Task,
        account::Stage,
        device::{self, Goal},
        log::What,
        message::{Standing, Verdict},
    },
};
use core::cmp::Reverse;

/// Contacts until a device and its operator agree, at most: finish what is open, go over to the next owner, settle there.
const CONTACTS: usize = 8;

impl Fleet<'_> {
    pub(super) fn peace(&mut self) -> Checked {
        self.say(|| "peace".to_string());
        self.loss = 0.0;
        self.queue.clear();
        for firm in 0..self.firms.len() {
            if let Some(firm) = self.firms.get_mut(firm) {
                firm.sessions.clear();
            }
            self.decide_again(firm);
        }
        for number in 0..self.units.len() {
            if let Some(unit) = self.units.get_mut(number) {
                unit.power_cut();
            }
            self.settle(number)?;
        }
        self.check_logs()?;
        self.check_cores()
    }

    fn settle(&mut self, number: usize) -> Checked {
        let mut last = "nothing".to_string();
        for _ in 0..CONTACTS {
            self.let_go(number)?;
            self.clear(number);
            let Some(at) = self.home(number) else { return Ok(()) };
            let Some(unit) = self.units.get_mut(number) else { return Ok(()) };
            unit.at = at;
            let id = unit.id;
            let held = device::subscription(&unit.flash).map_err(told)?;
            let Some(firm) = self.firms.get(at) else { return Ok(()) };
            let revoked = firm.revoked.contains(&number);
            let account = firm.account(&id);
            let next = firm.handed_on.get(&number).copied();
            if account.standing() == Standing::Revoked && !revoked {
                // It had thought better of it, and the log has lost that.
                self.decide_again(at);
                continue;
            }
            if account.watch().quarantined().is_some() {
                if !self.firms.iter().any(|firm| firm.restored) {
                    return Err(format!("device {number} is in quarantine: {:?}", account.watch().quarantined()));
                }
                self.summary.persons = self.summary.persons.saturating_add(1);
                self.say(|| format!("a person looks at device {number}"));
                if let Some(firm) = self.firms.get_mut(at) {
                    firm.note(&id, What::Cleaned);
                }
            }
            // As the person has left it.
            let account = self.firms.get(at).map(|firm| firm.account(&id)).unwrap_or_default();
            let agreed = match (held, account.active()) {
                (Some((held, true)), Some(active)) => {
                    account.standing() == Standing::InService
                        && (held.id.supi.as_str(), held.id.epoch) == (active.supi.as_str(), active.epoch)
                        && account.open().is_none_or(|deal| deal.stage == Stage::Offered)
                        && account.leftovers().is_empty()
                }
                (None, None) => revoked && account.leftovers().is_empty() && account.open().is_none(),
                _ => false,
            };
            if agreed && next.is_none() {
                // A suspension that was lost with the log ends now that the log knows of what.
                if let (Some(firm), Ok(task)) = (self.firms.get_mut(at), Task::reinstate(&id, &account)) {
                    firm.carry_out(Ok(task), 20).map_err(told)?;
                    firm.half_way.retain(|half_way| *half_way != number);
                }
                return self.attach(number);
            }
            let goal = match (held, next) {
                (Some(_), Some(_)) => Goal::Transfer,
                (None, _) if !revoked => Goal::Provision,
                _ => Goal::Query,
            };
            if let (Goal::Transfer | Goal::Provision, Some(next), Some(unit)) =
                (&goal, next, self.units.get_mut(number))
            {
                unit.at = next;
            }
            let result = self.contact(number, goal)?;
            last = format!("{result:?}");
            // Something is open with the one before, and comes first.
            if let (Err(Error::Untrusted(Untrusted::Voucher(Voucher::OtherOwner))), Some(unit)) =
                (result, self.units.get_mut(number))
            {
                unit.at = at;
                let result = self.contact(number, Goal::Query)?;
                last = format!("{last}, {result:?}");
            }
        }
        let Some(unit) = self.units.get(number) else { return Ok(()) };
        let account = self.firms.get(unit.at).map(|firm| firm.account(&unit.id));
        let held = device::subscription(&unit.flash);
        Err(format!("device {number} and operator {} do not agree: {held:?}, {account:?}, last {last}", unit.at))
    }

    /// What cores have still to forget.
    fn clear(&mut self, number: usize) {
        let Some(unit) = self.units.get(number) else { return };
        for firm in &mut self.firms {
            let account = firm.account(&unit.id);
            let _ = firm.carry_out(Task::clear(&unit.id, &account), 20);
        }
    }

    /// One attempt, on a good link. How it ended.
    fn contact(&mut self, number: usize, goal: Goal) -> Result<Result<(), Error>, alloc::string::String> {
        self.now = self.now.after(60_000);
        self.queue.clear();
        self.begin(number, goal)?;
        let mut result = Ok(());
        while let Some(Reverse((moment, _, what))) = self.queue.pop() {
            self.now = self.now.max(moment);
            match what {
                Happening::Arrival(frame) => {
                    self.arrival(&frame)?;
                }
                Happening::Answer { firm, session } => self.answer(firm, session)?,
                Happening::Wake { .. } | Happening::Start(_) | Happening::Accident => {}
            }
            if let Some(unit) = self.units.get_mut(number)
                && let Some(ended) = unit.ended.take()
            {
                result = ended;
            }
        }
        // Nobody answers it any more: it gives up.
        if let Some(unit) = self.units.get_mut(number) {
            unit.machine = None;
        }
        Ok(result)
    }

    fn check_logs(&self) -> Checked {
        let mut owners: Vec<(&str, &str)> = Vec::new();
        for (number, firm) in self.firms.iter().enumerate() {
            let mut verdicts: Vec<(_, Verdict)> = Vec::new();
            let mut epochs: Vec<(&str, u32)> = Vec::new();
            for entry in &firm.ever {
                match &entry.what {
                    What::Decided { txn, verdict } => {
                        if verdicts.iter().any(|(other, before)| other == txn && before != verdict) {
                            return Err(format!("I5: operator {number} has committed and called off {txn:02x?}"));
                        }
                        verdicts.push((*txn, *verdict));
                    }
                    What::Offered(it) => {
                        let before = epochs.iter().filter(|(device, _)| *device == entry.device);
                        if !firm.restored && before.map(|(_, epoch)| *epoch).max().is_some_and(|max| max >= it.epoch) {
                            return Err(format!("I3: operator {number} offers epoch {} again", it.epoch));
                        }
                        epochs.push((&entry.device, it.epoch));
                        if owners.iter().any(|(supi, device)| *supi == it.supi && *device != entry.device) {
                            return Err(format!("{} is given to two devices", it.supi));
                        }
                        owners.push((&it.supi, &entry.device));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Whoever is in a core is known to its operator, and in the end it is one credential for each device.
    fn check_cores(&self) -> Checked {
        for (number, firm) in self.firms.iter().enumerate() {
            for (supi, device) in firm.home.held() {
                let account = firm.account(&device);
                let known = account.active().is_some_and(|active| active.supi == supi.as_str())
                    || account.open().is_some_and(|deal| deal.credential.supi == supi.as_str());
                if !known && !firm.restored {
                    return Err(format!("operator {number} has {supi} in its core, and does not know"));
                }
            }
            let barred = |standing| matches!(standing, Standing::RevokedUnreachable | Standing::Retiring);
            for unit in &self.units {
                if barred(firm.account(&unit.id).standing()) {
                    return Err(format!("operator {number} waits for {} for ever", unit.id));
                }
            }
        }
        Ok(())
    }
}
