//! Operators in a fleet: their sessions travel, and their systems fail, or do what was asked and say no.

use alloc::{format, vec::Vec};

use super::{
    Checked, Fleet, Frame, Happening,
    party::Running,
    told,
    words::{asked, no},
};
use crate::{
    crypto::rustcrypto::RustCrypto,
    edhoc::Seal,
    framing::relay::Admitted,
    provisioning::{Desk, Operator, operator},
    trust::Date,
};

impl Fleet<'_> {
    pub(super) fn operator_hears(&mut self, frame: &Frame) -> Checked {
        let (now, today) = (self.now, self.today());
        let travels = self.rng.chance(0.3);
        let Some(firm) = self.firms.get_mut(frame.firm) else { return Ok(()) };
        // Relays of its own: they may forward whatever it is.
        let relay = frame.relay.map(|relay| Admitted { relay, operations: u32::MAX });
        let config = operator::Config { relay, ..firm.config.clone() };
        let running = firm
            .sessions
            .entry(frame.session)
            .or_insert_with(|| Running { machine: Operator::new(config), open: None });
        if travels {
            let seal = Seal { key: &firm.token, expires: Date(today.0.saturating_add(86_400)) };
            let token = running.machine.seal(&seal, &RustCrypto, &mut self.rng).map_err(told)?;
            let config = operator::Config { relay, ..firm.config.clone() };
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

    pub(super) fn operator_actions(&mut self, frame: &Frame) -> Checked {
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
    pub(super) fn answer(&mut self, number: usize, session: u32) -> Checked {
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
}
