//! Steps 3 to 5: what the operator offers and decides, made durable and signed for.

use alloc::{boxed::Box, vec::Vec};

use super::{
    Action, Device, Introduction, Meeting, Platform, State,
    durable::{Durable, Held, Stage},
};
use crate::{
    authority::grant,
    credential::{Activation, Installed, Offered, Previous, Txn},
    edhoc::{Session, initiator},
    error::{Backend, Error, Misbehaved, Refused, Voucher},
    fault::{Fault, is_seeded},
    provisioning::{
        Millis, is_key_store,
        message::{
            self, Complete, Confirm, Decision, Offer, Operation, Order, PackageOffer, Prepared, Refusal, Status,
            Stopped, Verdict,
        },
        receipt::Event,
        record::Channel,
    },
    store::{Slot, SlotChange},
    trust::{
        Peer,
        voucher::{self, Ownership},
    },
    wire::{self, Reader, Wire, Writer},
};
use arrayvec::ArrayVec;

/// A credential that can be made durable.
struct Taken {
    slot: Slot,
    /// Whether it is used from then on, or waits for a decision.
    at_once: bool,
    installed: Installed,
    /// The commit record with it.
    next: Box<Durable>,
    /// For what is said from then on.
    channel: Box<Channel>,
}

impl Device {
    #[inline(never)]
    pub(super) fn message_4(
        &mut self,
        handshake: initiator::AwaitMessage4,
        meeting: Box<Meeting>,
        bytes: &[u8],
        now: Millis,
        platform: &mut Platform<'_>,
    ) -> Result<(), Error> {
        let mut message = handshake.read(bytes, platform.crypto)?;
        let offer = message::take_ead(message.ead())?;
        let session = message.complete()?;
        self.offered(Box::new(session), meeting, offer, now, platform)
    }

    pub(super) fn offered(
        &mut self,
        session: Box<Session>,
        meeting: Box<Meeting>,
        offer: Vec<u8>,
        now: Millis,
        platform: &mut Platform<'_>,
    ) -> Result<(), Error> {
        let eap_keys = self.config.eap_keys.then(|| session.eap_keys(platform.crypto)).transpose()?;
        let taken = match wire::decode(&offer)? {
            Offer::Package(package) if self.operation.issues() && package.txn == self.txn => {
                let ownership = self.entitled(&package, &meeting, session.peer(), platform)?;
                self.take_in(&package, ownership, &session, platform).map(Some)
            }
            Offer::Package(package) if package.txn != self.txn => return Err(Misbehaved::WrongTransaction.into()),
            Offer::Status(status) if status.txn == self.txn => {
                self.told(&status, &offer, &session, now, platform).map(|()| None)
            }
            Offer::Status(_) => return Err(Misbehaved::WrongTransaction.into()),
            Offer::Refusal(Refusal { txn, code, retry_after }) if txn == self.txn => {
                self.rest(code.class(), retry_after, now);
                return Err(Refused::Code(code).into());
            }
            Offer::Package(_) | Offer::Refusal(_) => return Err(Misbehaved::WrongOffer.into()),
        };
        match taken {
            Ok(taken) => {
                // What is long and not needed any more is gone before there is more of that kind.
                drop(offer);
                if let Some(taken) = taken {
                    self.keep(*taken, now, platform)?;
                }
                self.eap_keys = eap_keys.map(Box::new);
                Ok(())
            }
            Err(error) => {
                if is_key_store(error) {
                    self.state = State::Taking(session, meeting, offer);
                }
                Err(error)
            }
        }
    }

    /// Whose this device is: looked at before the package is.
    #[inline(never)]
    pub(super) fn entitled(
        &self,
        offer: &PackageOffer<'_>,
        meeting: &Meeting,
        operator: &Peer,
        platform: &Platform<'_>,
    ) -> Result<Ownership, Error> {
        match (&self.config.introduction, meeting.ownership, offer.voucher) {
            (Introduction::VoucherFirst(_), Some(ownership), None) => Ok(ownership),
            (Introduction::VoucherLast { request }, None, Some(chain)) => {
                let holder = self.holder(request.then_some(&meeting.nonce), platform);
                voucher::verify(chain, &holder, operator, platform.anchors, platform.crypto)
            }
            (Introduction::VoucherLast { .. }, _, None) => Err(Voucher::Missing.into()),
            _ => Err(Misbehaved::WrongOffer.into()),
        }
    }

    /// What the USIM and the key store make of a package. Nothing of it is durable.
    #[inline(never)]
    fn take_in(
        &self,
        offer: &PackageOffer<'_>,
        ownership: Ownership,
        session: &Session,
        platform: &mut Platform<'_>,
    ) -> Result<Box<Taken>, Error> {
        let crypto = platform.crypto;
        let slot = self.durable.free_slot();
        let offered = Offered { domain: self.config.domain, txn: &self.txn, sealed: offer.sealed, exporter: session };
        let installed = platform.usim.install(slot, &offered, crypto)?;
        let before = self.durable.active.as_ref();
        let mode = match before {
            None => Previous::None,
            Some(active) if active.supi == installed.supi => Previous::Shared,
            Some(_) => Previous::Beside,
        };
        let at_once = installed.activation == Activation::OneShot || is_seeded(Fault::SwitchesAtOffer);
        let last_epoch = before.map_or(0, |active| active.epoch);
        if installed.epoch <= last_epoch || (at_once && before.is_some()) || installed.previous != mode {
            return Err(Misbehaved::WrongOffer.into());
        }

        let grant = self.grant.as_ref().map(|token| grant::hash(token, crypto)).transpose()?;
        let held = Box::new(Held::new(slot, &self.txn, &installed, ownership, grant));
        let event = if at_once { Event::Activated } else { Event::Prepared };
        let next = self.durable.install(held, event, &self.signer(platform))?;
        let channel = Box::new(Channel::of_device(session, &installed.package_hash, crypto)?);
        Ok(Box::new(Taken { slot, at_once, installed, next, channel }))
    }

    /// Makes it durable, and says so.
    #[inline(never)]
    fn keep(&mut self, taken: Taken, now: Millis, platform: &mut Platform<'_>) -> Result<(), Error> {
        // message_3 has arrived.
        self.sent = Vec::new();
        let Taken { slot, at_once, installed, next, mut channel } = taken;
        // Everything that can fail comes before the commit, so that a committed credential is always announced.
        let receipt = next.receipts.last().ok_or(Backend::Store)?;
        let (txn, res) = (self.txn, installed.res.bytes());
        let write = |w: &mut Writer<'_>| {
            if at_once {
                Confirm { txn, res: Some(res), receipt }.write(w);
            } else {
                Prepared { txn, res, receipt }.write(w);
            }
        };
        let record = channel.seal(&write, platform.crypto)?;
        self.replace(next, &[SlotChange::Write(slot, &installed.content)], platform)?;
        if at_once {
            self.announce();
            self.state = State::AwaitComplete(channel);
        } else {
            self.actions.extend(self.durable.other.as_deref().map(|other| Action::Prepared(other.into())));
            self.state = State::AwaitDecision(channel);
        }
        self.send(record, now);
        Ok(())
    }

    /// A status, in place of a package.
    #[inline(never)]
    pub(super) fn told(
        &mut self,
        status: &Status,
        encoded: &[u8],
        session: &Session,
        now: Millis,
        platform: &mut Platform<'_>,
    ) -> Result<(), Error> {
        let allowed = match status.order {
            // The last word on what it asked for; a new credential is none of that.
            Order::Complete => !self.operation.issues(),
            Order::Commit | Order::Abort => self.operation == Operation::Resume,
            Order::Erase => match (&self.durable.ownership, self.durable.open) {
                (Some(owner), _) => owner.check(session.peer(), platform.crypto).is_ok(),
                // A first one, that is only prepared.
                (None, Some(open)) => open.owner == Some(session.peer().public_key().thumbprint(platform.crypto)),
                (None, None) => false,
            },
        };
        if !allowed {
            return Err(Misbehaved::WrongOffer.into());
        }
        if status.order == Order::Complete {
            self.complete(status.acknowledged, now, platform)?;
            self.actions.push_front(Action::Told(status.standing, status.wanted));
            return Ok(());
        }
        let hash = platform.crypto.sha256(&[encoded]);
        let channel = Box::new(Channel::of_device(session, &hash, platform.crypto)?);
        let taken = self.obey(channel, status.order, now, platform);
        if taken.is_err_and(is_key_store) {
            // Asked again from the offer on.
            self.state = State::Ended;
        } else if taken.is_ok() {
            self.actions.push_back(Action::Told(status.standing, status.wanted));
        }
        taken
    }

    /// An authenticated record: from here on an error is the operator's, and ends the machine.
    #[inline(never)]
    pub(super) fn record(&mut self, text: &[u8], now: Millis, platform: &mut Platform<'_>) -> Result<(), Error> {
        let state = core::mem::replace(&mut self.state, State::Ended);
        let mut reader = Reader::new(text)?;
        reader.array()?;
        match (reader.unsigned()?, state) {
            (STOPPED, _) => {
                let Stopped { txn, code, retry_after } = wire::decode(text)?;
                self.check_txn(&txn)?;
                self.rest(code.class(), retry_after, now);
                Err(Refused::Code(code).into())
            }
            (_, State::AwaitDecision(channel)) => {
                let Decision { txn, verdict } = wire::decode(text)?;
                self.check_txn(&txn)?;
                let order = match verdict {
                    Verdict::Commit => Order::Commit,
                    Verdict::Abort => Order::Abort,
                };
                self.obey(channel, order, now, platform)
            }
            (_, State::AwaitComplete(_)) => {
                let Complete { txn, acknowledged } = wire::decode(text)?;
                self.check_txn(&txn)?;
                self.complete(acknowledged, now, platform)
            }
            _ => Err(Misbehaved::UnexpectedMessage.into()),
        }
    }

    pub(super) fn check_txn(&self, txn: &Txn) -> Result<(), Misbehaved> {
        if *txn == self.txn { Ok(()) } else { Err(Misbehaved::WrongTransaction) }
    }

    /// Does what the operator has decided, durably, and signs for it.
    pub(super) fn obey(
        &mut self,
        mut channel: Box<Channel>,
        order: Order,
        now: Millis,
        platform: &mut Platform<'_>,
    ) -> Result<(), Error> {
        let signer = self.signer(platform);
        let next = match order {
            Order::Commit => self.durable.activate(&signer),
            Order::Abort => self.durable.abort(&signer),
            Order::Erase => {
                self.durable.open.ok_or(Backend::Store.into()).and_then(|open| self.durable.erase(open, &signer))
            }
            Order::Complete => Err(Misbehaved::WrongOffer.into()),
        };
        let next = match next {
            Ok(next) => next,
            Err(error) => {
                if is_key_store(error) {
                    self.state = State::Deciding(channel, order);
                }
                return Err(error);
            }
        };
        let receipt = next.receipts.last().ok_or(Backend::Store)?;
        let record = channel.seal(&|w| Confirm { txn: self.txn, res: None, receipt }.write(w), platform.crypto)?;
        self.give_up(next, platform)?;
        match order {
            Order::Commit => self.announce(),
            Order::Erase => self.actions.push_back(Action::Erased),
            Order::Abort => self.actions.push_back(Action::CalledOff),
            Order::Complete => {}
        }
        self.state = State::AwaitComplete(channel);
        self.send(record, now);
        Ok(())
    }

    /// The operator has the last word: what was kept for its sake is let go, and receipts that it has.
    #[inline(never)]
    pub(super) fn complete(
        &mut self,
        acknowledged: u64,
        now: Millis,
        platform: &mut Platform<'_>,
    ) -> Result<(), Error> {
        let aborted = self.durable.stage() == Some(Stage::Aborted);
        let next = self.durable.complete(acknowledged)?;
        self.give_up(next, platform)?;
        self.actions.push_back(Action::Completed { acknowledged });
        // That it was called off is how the operation ended, and no failure of this message.
        self.end(if aborted { Err(Refused::Aborted.into()) } else { Ok(()) }, now).or(Ok(()))
    }

    /// One commit, and slots that nothing names any more are erased in it.
    pub(super) fn give_up(&mut self, next: Box<Durable>, platform: &mut Platform<'_>) -> Result<(), Error> {
        let gone: ArrayVec<Slot, 2> =
            self.durable.slots().filter(|slot| next.slots().all(|held| held != *slot)).collect();
        let changes: ArrayVec<SlotChange<'_>, 2> = gone.iter().map(|slot| SlotChange::Erase(*slot)).collect();
        self.replace(next, &changes, platform)?;
        gone.into_iter().for_each(|slot| platform.usim.erase(slot));
        Ok(())
    }

    pub(super) fn replace(
        &mut self,
        next: Box<Durable>,
        slots: &[SlotChange<'_>],
        platform: &mut Platform<'_>,
    ) -> Result<(), Error> {
        self.durable.check_current(platform.subscriptions)?;
        next.commit(slots, platform.subscriptions)?;
        self.durable = next;
        Ok(())
    }

    pub(super) fn announce(&mut self) {
        self.actions.extend(self.durable.active.as_deref().map(|active| Action::Installed(active.into())));
    }
}

/// Number of a [`Stopped`] record.
const STOPPED: u64 = 7;
