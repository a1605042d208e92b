//! Steps 1 and 2: who is this, and is it the owner? Nothing in here writes to the store.

use alloc::{boxed::Box, vec::Vec};

use super::{Action, Config, Cookie, Device, Introduction, Meeting, Met, NONCE_LEN, Platform, State};
use crate::{
    attestation,
    credential::Algorithm,
    crypto::Crypto,
    edhoc::{self, ConnectionId, PeerError, Suite, initiator},
    error::{Error, Misbehaved, Refused, Voucher},
    identity::Role,
    provisioning::{
        Millis, is_key_store,
        message::{self, Counter, Hello, Operation, Request, Terms},
    },
    trust::{
        self, Peer,
        concealed::{self, VoucherSecret},
        voucher::{self, Holder, Pin, VoucherRequest},
    },
    wire::{self, Raw},
};

/// Longest plaintext of message_3 with its receipts: what [`wire::MAX_MESSAGE`] leaves when heads, padding and tag have
/// their bytes.
const MAX_REQUEST: usize = wire::MAX_MESSAGE - 160;

impl Device {
    pub(super) fn message_2(
        &mut self,
        handshake: initiator::AwaitMessage2,
        bytes: &[u8],
        now: Millis,
        platform: &mut Platform<'_>,
    ) -> Result<(), Error> {
        let (message, meeting) = self.meet(handshake, bytes, platform)?;
        self.answer(message, meeting, now, platform)
    }

    /// Who the operator is, and whether it is the owner.
    #[inline(never)]
    fn meet(
        &mut self,
        handshake: initiator::AwaitMessage2,
        bytes: &[u8],
        platform: &mut Platform<'_>,
    ) -> Result<(initiator::Message2Accepted, Box<Meeting>), Error> {
        let crypto = platform.crypto;
        let message = handshake.read(bytes, crypto)?;
        let domain = self.config.domain;
        let operator =
            trust::verify(&message.claimed()?, Role::Operator, domain, platform.anchors, crypto, platform.date)?;
        let mut message = message.accept(operator, &self.config.own, crypto)?;
        let terms = message::take_ead(message.ead())?;
        // Nothing is said to be authenticated that cannot be answered.
        message.ead().close()?;
        let terms: Terms<'_> = wire::decode(&terms)?;
        if terms.domain != domain {
            return Err(Misbehaved::WrongDomain.into());
        }
        // Before this device says who it is: whatever entitlement can be seen now.
        let ownership = match (&self.secret, terms.voucher) {
            (Some(secret), voucher) => {
                let chain = secret.open(voucher.ok_or(Voucher::Missing)?, crypto)?;
                Some(voucher::verify(&chain, &self.holder(None, platform), message.peer(), platform.anchors, crypto)?)
            }
            // For whom would it be sealed?
            (None, Some(_)) => return Err(Misbehaved::WrongOffer.into()),
            (None, None) => None,
        };
        self.check_owner(message.peer(), crypto)?;
        let evidence_formats = terms.evidence_formats;
        let mut meeting = Box::new(Meeting { ownership, evidence_formats, nonce: [0; NONCE_LEN], draft: None });
        platform.rng.fill(&mut meeting.nonce)?;
        self.actions.push_back(Action::Authenticated(Box::new(Met {
            operator: *message.peer().name(),
            evidence_formats: meeting.evidence_formats.clone(),
            voucher: ownership.is_some(),
        })));
        Ok((message, meeting))
    }

    /// That the operator is the one that this is about: another one is a stranger, however good its voucher.
    pub(super) fn check_owner(&self, operator: &Peer, crypto: &dyn Crypto) -> Result<(), Error> {
        let known = match self.durable.open.and_then(|open| open.owner) {
            Some(owner) => Some(owner),
            // A new owner shows a voucher: before or with its offer.
            None if matches!(self.operation, Operation::Provision | Operation::Transfer) => None,
            None => self.durable.ownership.map(|ownership| ownership.owner),
        };
        match known {
            Some(owner) if owner != operator.public_key().thumbprint(crypto) => Err(Voucher::OtherOwner.into()),
            _ => Ok(()),
        }
    }

    /// This device, to whoever looks at a voucher.
    pub(super) fn holder<'a>(&'a self, nonce: Option<&'a [u8]>, platform: &Platform<'_>) -> Holder<'a> {
        let Config { name, domain, .. } = &self.config;
        Holder { serial: name, domain: *domain, held: self.durable.ownership.as_ref(), nonce, date: platform.date }
    }

    #[inline(never)]
    pub(super) fn answer(
        &mut self,
        message: initiator::Message2Accepted,
        mut meeting: Box<Meeting>,
        now: Millis,
        platform: &mut Platform<'_>,
    ) -> Result<(), Error> {
        let mut draft = match meeting.draft.take().map_or_else(|| self.draft(&message, &meeting, platform), Ok) {
            Ok(draft) => draft,
            Err(error) => {
                if is_key_store(error) {
                    self.state = State::Answering(message, meeting);
                }
                return Err(error);
            }
        };
        match message.write_draft(&mut draft, &self.config.own, platform.keys, platform.crypto) {
            Ok((handshake, message_3)) => {
                self.state = State::AwaitMessage4(handshake, meeting);
                self.send(message_3, now);
                Ok(())
            }
            Err(stopped) => {
                let error = stopped.error();
                if let (true, Ok(message)) = (is_key_store(error), stopped.again()) {
                    meeting.draft = Some(draft);
                    self.state = State::Answering(message, meeting);
                }
                Err(error)
            }
        }
    }

    /// The suites and the cookie for a new message_1, if that is what the operator's error message asks for: a cookie once,
    /// and suites if that gets further down the list. So there is an end to it. Anybody can have written the error message,
    /// and has the device say one more message_1 for it, of the same size and a cookie.
    pub(super) fn proposal_after(&self, error: &PeerError<'_>) -> Option<(usize, Option<Cookie>)> {
        let State::AwaitMessage2(_) = self.state else { return None };
        if let Some(cookie) = message::demanded(error) {
            let cookie = self.cookie.is_none().then(|| cookie.to_vec())?;
            return Some((self.proposed, Some(cookie)));
        }
        let Refused::WrongSuite = error.refused else { return None };
        let proposed = self.config.suites.get(..self.proposed).unwrap_or_default();
        let proposal = initiator::propose_again(&self.config.suites, proposed, &error.suites_r)?;
        (proposal.len() > self.proposed).then(|| (proposal.len(), self.cookie.clone()))
    }

    /// Says message_1 once more. Nothing in it is what it was: no key goes into two of them (RFC 9528 §6.3.2).
    pub(super) fn propose_again(
        &mut self,
        suites: usize,
        cookie: Option<Cookie>,
        now: Millis,
        platform: &mut Platform<'_>,
    ) -> Result<(), Error> {
        let proposal = self.config.suites.get(..suites).unwrap_or_default();
        let (handshake, message_1, secret) = propose(&self.config, proposal, cookie.as_deref(), platform)?;
        self.secret = secret;
        self.proposed = suites;
        self.cookie = cookie;
        self.state = State::AwaitMessage2(handshake);
        self.send(message_1, now);
        Ok(())
    }

    /// What message_3 is to say.
    fn draft(
        &self,
        message: &initiator::Message2Accepted,
        meeting: &Meeting,
        platform: &Platform<'_>,
    ) -> Result<edhoc::Draft, Error> {
        let (own, request) = (&self.config.own, self.request(message, meeting, platform)?);
        let item = message::ead(&request);
        let ead_3 = message::with_padding(item, message.plaintext_3_len(own, &[item]));
        Ok(message.draft(own, &ead_3))
    }

    /// EAD_3.
    #[inline(never)]
    fn request(
        &self,
        message: &initiator::Message2Accepted,
        meeting: &Meeting,
        platform: &Platform<'_>,
    ) -> Result<Vec<u8>, Error> {
        let (crypto, own) = (platform.crypto, &self.config.own);
        let evidence = match platform.attester {
            Some(attester) if !meeting.evidence_formats.is_empty() => {
                let nonce = attestation::binding(message.th_3(), own.credential(), crypto);
                attester.evidence(&nonce, &meeting.evidence_formats)?
            }
            _ => None,
        };
        let voucher_request = match (&self.config.introduction, self.operation) {
            (Introduction::VoucherLast { request: true }, operation) if operation.issues() => {
                let registrar = Pin::Thumbprint(message.peer().public_key().thumbprint(crypto));
                let request = VoucherRequest { nonce: &meeting.nonce, registrar, serial: self.config.name.as_str() };
                Some(request.sign(|message| platform.keys.sign(own.key(), message))?)
            }
            _ => None,
        };
        let request = Request {
            txn: self.txn,
            operation: self.operation,
            counter: Counter {
                request: self.durable.requests,
                retry: u32::try_from(self.proposed.saturating_sub(1))
                    .unwrap_or(u32::MAX)
                    .saturating_add(u32::from(self.cookie.is_some())),
            },
            algorithms: core::iter::once(u64::from(Algorithm::Milenage.number())).collect(),
            state: self.durable.state(&self.txn, crypto),
            evidence: evidence.as_deref(),
            grant: self.grant.as_deref(),
            receipts: None,
            voucher_request: voucher_request.as_deref(),
        };
        let bare = wire::encode(&request);
        if self.durable.receipts.is_empty() {
            return Ok(bare);
        }
        // All receipts, in a summary where they do not fit.
        let len = message.plaintext_3_len(own, &[message::ead(&bare)]).next_multiple_of(message::PADDING_CLASS);
        drop(bare);
        let room = MAX_REQUEST.saturating_sub(len);
        let mut folded;
        let mut receipts = &self.durable.receipts;
        if receipts.exceed(room) {
            folded = receipts.clone();
            self.signer(platform).fit(&mut folded, room)?;
            receipts = &folded;
        }
        let receipts = receipts.iter().map(Vec::as_slice).collect();
        Ok(wire::encode(&Request { receipts: Some(receipts), ..request }))
    }
}

/// message_1, naming `suites`, of which it proposes the last; and what opens the voucher in the answer.
pub(super) fn propose(
    config: &Config,
    suites: &[Suite],
    cookie: Option<&[u8]>,
    platform: &mut Platform<'_>,
) -> Result<(initiator::AwaitMessage2, Vec<u8>, Option<VoucherSecret>), Error> {
    let concealed = match &config.introduction {
        Introduction::VoucherFirst(home) => {
            Some(concealed::conceal(&config.name, home, platform.crypto, platform.rng)?)
        }
        Introduction::VoucherLast { .. } => None,
    };
    let concealed_id = concealed.as_ref().map(|(concealed, _)| Raw(concealed));
    let hello = Hello { domain: config.domain, concealed_id, relay: config.relay, cookie };
    let hello = wire::encode(&hello);
    let proposal = initiator::Proposal {
        method: config.method,
        suites,
        c_i: &ConnectionId::random(platform.rng, None)?,
        ead_1: &[message::ead(&hello)],
    };
    let (handshake, message_1) = initiator::start(&proposal, platform.crypto, platform.rng)?;
    Ok((handshake, message_1, concealed.map(|(_, secret)| secret)))
}
