//! Steps 1 and 2: message_1 to message_3, until it is known which device this is. Nothing in here is logged.

use alloc::{boxed::Box, vec::Vec};

use super::{Case, Config, Desk, Operator, State, session::Link};
use crate::{
    attestation,
    crypto::Hash,
    edhoc::{ConnectionId, responder},
    error::{Code, Error, Malformed, Misuse, Untrusted},
    identity::{PeerName, Role},
    provisioning::{
        Millis, is_key_store,
        message::{self, DeviceState, Hello, Request, Terms},
        question::{Found, Question, Visitor},
    },
    trust::{
        self, Date,
        concealed::{self, Concealed},
        voucher,
    },
    wire::{self, Raw},
};

/// message_2 in the making.
#[derive(Debug)]
pub(super) struct Greeting {
    pub(super) message: responder::Message1,
    pub(super) c_r: ConnectionId,
    pub(super) terms: Vec<u8>,
    pub(super) introduced: Introduced,
}

/// How a session began.
#[derive(Debug)]
pub(super) struct Introduced {
    pub(super) since: Date,
    /// Whether message_1 had a concealed name.
    pub(super) voucher_first: bool,
    /// The voucher in message_2, if the name was known.
    pub(super) shown: Option<Shown>,
}

/// A voucher that names this operator.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) name: PeerName,
    pub(super) head: Hash,
    /// The owner epoch of its last entry, if it has more than the maker's.
    pub(super) epoch: u32,
    /// It has no more than that, and answers a device's nonce: it is one epoch on from where the device is.
    pub(super) next: bool,
}

impl Shown {
    /// The owner epoch that a device is in that has accepted it, as [`voucher::verify`] counts.
    pub(super) fn owner_epoch(&self, state: &DeviceState) -> u32 {
        match state.voucher_head {
            Some(head) if head == self.head => state.owner_epoch,
            Some(_) if self.next => state.owner_epoch.saturating_add(1),
            _ => self.epoch,
        }
    }
}

impl Operator {
    pub(super) fn message_1(&mut self, bytes: &[u8], now: Millis, desk: &mut Desk<'_>) -> Result<(), Error> {
        let Config { methods, suites, .. } = &self.config;
        let mut message = responder::read(bytes, methods, suites, desk.crypto)?;
        let hello = message::take_ead(message.unverified_ead())?;
        let hello: Hello<'_> = wire::decode(&hello)?;
        self.config.check(&hello)?;
        self.wait(now);
        if let Some(concealed) = hello.concealed_id {
            self.ask(Question::Find(Box::new(Concealed::read(concealed)?)));
            self.state = State::Finding(Box::new(message), desk.date);
            return Ok(());
        }
        self.introduce(message, Introduced { since: desk.date, voucher_first: false, shown: None }, None, desk)
    }

    /// The voucher of a device that is known, or what nobody can tell from it.
    pub(super) fn found(
        &mut self,
        message: responder::Message1,
        since: Date,
        found: Option<Found>,
        desk: &mut Desk<'_>,
    ) -> Result<(), Error> {
        let (shown, sealed) = match &found {
            Some(Found { device, voucher }) => {
                let shown = self.outline(voucher, device.name(), desk)?;
                (Some(shown), device.seal(voucher, desk.crypto, desk.rng)?)
            }
            None => (None, concealed::decoy(desk.rng)?),
        };
        self.introduce(message, Introduced { since, voucher_first: true, shown }, Some(&sealed), desk)
    }

    /// What a voucher from the operator's own systems says, if it is for this device and this operator.
    pub(super) fn outline(&self, voucher: &[u8], device: &PeerName, desk: &Desk<'_>) -> Result<Shown, Error> {
        let outline = voucher::outline(voucher, desk.crypto)?;
        let own = desk.keys.public_key(self.config.own.key())?;
        if outline.voucher.serial != device.as_str() || outline.owner != own.thumbprint(desk.crypto) {
            return Err(Misuse::Parameter("the voucher is not for this device and this operator").into());
        }
        let next = outline.voucher.nonce.is_some() && outline.entries == 1;
        Ok(Shown { name: *device, head: outline.head, epoch: outline.epoch, next })
    }

    pub(super) fn introduce(
        &mut self,
        message: responder::Message1,
        introduced: Introduced,
        voucher: Option<&[u8]>,
        desk: &mut Desk<'_>,
    ) -> Result<(), Error> {
        let Config { domain, evidence_formats, .. } = &self.config;
        let formats = evidence_formats.as_slice().try_into();
        let terms = wire::encode(&Terms {
            domain: *domain,
            evidence_formats: formats.map_err(|_| Misuse::Parameter("more than eight evidence formats"))?,
            voucher: voucher.map(Raw),
        });
        let c_r = ConnectionId::random(desk.rng, Some(message.c_i()))?;
        self.greet(Greeting { message, c_r, terms, introduced }, desk)
    }

    pub(super) fn greet(&mut self, greeting: Greeting, desk: &mut Desk<'_>) -> Result<(), Error> {
        let Greeting { message, c_r, terms, introduced } = greeting;
        let own = &self.config.own;
        let written = {
            let item = message::ead(&terms);
            let ead_2 = message::with_padding(item, message.plaintext_2_len(&c_r, own, &[item]));
            message.write(&c_r, own, &ead_2, desk.keys, desk.crypto, desk.rng)
        };
        match written {
            Ok((handshake, message_2)) => {
                self.state = State::AwaitMessage3(Box::new(handshake), introduced);
                self.send(message_2);
                Ok(())
            }
            Err(stopped) => {
                let error = stopped.error();
                if let (true, Ok(message)) = (is_key_store(error), stopped.again()) {
                    self.state = State::Greeting(Box::new(Greeting { message, c_r, terms, introduced }));
                }
                Err(error)
            }
        }
    }

    pub(super) fn message_3(
        &mut self,
        handshake: responder::AwaitMessage3,
        introduced: Introduced,
        bytes: &[u8],
        desk: &mut Desk<'_>,
    ) -> Result<(), Error> {
        let Config { own, domain, .. } = &self.config;
        let message = handshake.read(bytes, desk.crypto)?;
        let device =
            trust::verify(&message.claimed()?, Role::Device, *domain, desk.anchors, desk.crypto, Some(desk.date))?;
        let mut handshake = message.accept(device, own, desk.crypto)?;
        let device = handshake.session().peer().get().clone();
        // Last, and with the error of every failed proof: compared before the signature was, the difference would tell
        // anyone whose name it is that somebody else concealed.
        let Introduced { since, voucher_first, shown } = introduced;
        if voucher_first && shown.as_ref().is_none_or(|shown| shown.name != *device.name()) {
            return Err(Untrusted::Authentication.into());
        }
        let evidence_nonce = attestation::binding(handshake.th_3(), device.credential(), desk.crypto);
        let request = message::take_ead(handshake.ead())?;
        // Nobody is asked anything for a message that cannot be answered.
        handshake.ead().end()?;
        let request: Request<'_> = wire::decode(&request)?;
        // `[ + algorithm ]` and `[ + receipt ]`: at least one.
        if request.algorithms.is_empty() || request.receipts.as_ref().is_some_and(|receipts| receipts.is_empty()) {
            return Err(Malformed::WrongLength.into());
        }
        if self.config.relay.is_some_and(|relay| relay.check(request.operation.number()).is_err()) {
            return self.refuse(Link::Opening(Box::new(handshake)), request.txn, Code::RelayScope, desk);
        }
        let visitor = Visitor {
            device,
            txn: request.txn,
            operation: request.operation,
            counter: request.counter,
            since,
            evidence: request.evidence.map(<[u8]>::to_vec),
            evidence_nonce,
            entitled: shown.is_some(),
            voucher_request: request.voucher_request.map(<[u8]>::to_vec),
            algorithms: request.algorithms.to_vec(),
            grant: request.grant.map(<[u8]>::to_vec),
            receipts: request.receipts.iter().flatten().map(|receipt| receipt.to_vec()).collect(),
            state: request.state,
        };
        self.sent = None;
        self.ask(Question::Appraise(Box::new(visitor.clone())));
        self.state = State::Appraising(Box::new(Case { handshake, visitor, shown }));
        Ok(())
    }
}
