//! The device's side, from the top:
//!
//! 1. [`Device::start`] makes the transaction durable and sends message_1.
//! 2. message_2: the operator is authenticated and, where the voucher comes first, entitled; only now does the device show
//!    who it is and in what state (message_3).
//! 3. message_4: the offer. Where the voucher comes last, it is looked at now. The USIM opens the package, makes K and answers
//!    the challenge; slot and record are committed in one step; `confirm` goes out.
//! 4. `complete`: confirmed, in one commit.
//!
//! A durable record tells what is open, so [`Device::start`] after any power cut goes on where the store is, not where
//! memory was. Three commits for a first provisioning.

use alloc::{boxed::Box, collections::VecDeque, vec::Vec};

use arrayvec::ArrayVec;

use crate::{
    aka::{self, Challenge, suci::HomeNetworkKey},
    attestation::{self, Attester},
    credential::{Activation, Algorithm, Installed, Offered, Previous, Txn, Usim},
    crypto::{Crypto, Hash, Rng, SecretBytes},
    edhoc::{self, ConnectionId, Method, OwnCredential, PeerError, Session, Suite, initiator},
    error::{Backend, Error, Malformed, Misbehaved, Misuse, Refused, Voucher},
    identity::{Domain, PeerName, Role, SubscriptionId, Supi},
    provisioning::{
        Millis, is_key_store,
        message::{
            self, Complete, Confirm, Counter, DeviceState, Event, Hello, MAX_CHOICES, MAX_RECEIPTS, Offer, Operation,
            PackageOffer, Receipt, Request, Terms,
        },
        record::Channel,
    },
    store::{Commit, KeyStore, Slot, SlotChange, SubscriptionStore},
    trust::{
        self, Date, Peer, TrustAnchors,
        concealed::{self, VoucherSecret},
        voucher::{self, Holder, Ownership, Pin, VoucherRequest},
    },
    wire::{self, Raw, Reader, Wire, Writer, wire_array, wire_map},
};

/// How a device runs the exchange.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its identity.
    pub own: OwnCredential,
    /// Its name, as that credential has it: what a voucher for it has to say.
    pub name: PeerName,
    /// Production or test.
    pub domain: Domain,
    /// When the operator shows its voucher.
    pub introduction: Introduction,
    /// SHA-256 over the announcement of the relay that forwards for it, if one does. It goes out in clear: a relay puts
    /// something fresh into each announcement, or the hash tells runs through it from others.
    pub relay: Option<Hash>,
    /// Who authenticates how.
    pub method: Method,
    /// Suites in falling preference, at most eight. The first is proposed; if the operator does not run it, the first that it
    /// does run (RFC 9528 §6.3.1).
    pub suites: Vec<Suite>,
    /// How long and how often to ask.
    pub retry: Retry,
}

/// When an operator has to show that it owns this device.
#[derive(Clone, Debug)]
pub enum Introduction {
    /// **Voucher first**, the one to choose: the device names itself in message_1, concealed under this key of its home (its
    /// maker's voucher service, or its operator), and the voucher is in message_2. An operator that is not entitled learns
    /// nothing.
    VoucherFirst(HomeNetworkKey),
    /// **Voucher last**, for devices without such a key: the operator proves to be *an* operator, learns which device this is,
    /// and shows the voucher with its offer. A rogue operator with a valid certificate learns device identities; it can make
    /// the device store nothing.
    VoucherLast {
        /// Whether to ask for a voucher with a fresh nonce. The maker has to be on line to answer.
        request: bool,
    },
}

/// Stop-and-wait: the pause doubles with each attempt, up to a minute.
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    /// Milliseconds to wait for the first answer.
    pub first: u64,
    /// How often to send a message before giving up.
    pub attempts: u8,
}

/// Longest pause between two attempts, in milliseconds.
const MAX_PAUSE: u64 = 60_000;

impl Config {
    /// Method 0, all suites, no relay, two seconds, eight attempts.
    pub fn new(own: OwnCredential, name: PeerName, domain: Domain, introduction: Introduction) -> Self {
        let retry = Retry { first: 2_000, attempts: 8 };
        let suites = Suite::ALL.to_vec();
        Self { own, name, domain, introduction, relay: None, method: Method::SignSign, suites, retry }
    }
}

/// The device's world, lent for one call.
pub struct Platform<'a> {
    /// Primitives.
    pub crypto: &'a dyn Crypto,
    /// Randomness.
    pub rng: &'a mut dyn Rng,
    /// The identity key.
    pub keys: &'a dyn KeyStore,
    /// Which operators to believe, and which makers.
    pub anchors: &'a dyn TrustAnchors,
    /// Evidence of the state it is in, if it can give any.
    pub attester: Option<&'a dyn Attester>,
    /// Two slots and a record.
    pub subscriptions: &'a mut dyn SubscriptionStore,
    /// Where K lives.
    pub usim: &'a mut dyn Usim,
    /// The calendar date, if the device knows it.
    pub date: Option<Date>,
}

impl core::fmt::Debug for Platform<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Platform(..)")
    }
}

/// What the device wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send these bytes to the operator.
    Send(Vec<u8>),
    /// Call [`Device::handle_timeout`] at this moment. Replaces the moment named before.
    WakeAt(Millis),
    /// The operator has proved who it is, and said its terms.
    Authenticated(Met),
    /// This subscription is durable and may be used.
    Installed(Subscription),
    /// The operator has said that the operation is complete, and has the receipts up to this number. Durable already.
    Completed {
        /// Sequence number of the last receipt that the operator has.
        acknowledged: u64,
    },
    /// The machine has ended. On an error, start a new one later; the store says what is open.
    Finished(Result<(), Error>),
}

/// An authenticated operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Met {
    /// The name in its credential.
    pub operator: PeerName,
    /// Evidence formats that it asks for.
    pub evidence_formats: ArrayVec<u64, MAX_CHOICES>,
    /// Whether it has shown its voucher for this device already.
    pub voucher: bool,
}

/// A subscription that a device has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Its SUPI and epoch.
    pub id: SubscriptionId,
    /// Its algorithm set.
    pub algorithm: Algorithm,
}

/// One attempt of a device to get what it lacks.
#[derive(Debug)]
pub struct Device {
    config: Config,
    durable: Durable,
    operation: Operation,
    txn: Txn,
    /// How many of the suites message_1 has named.
    proposed: usize,
    /// What opens the voucher in message_2, where that comes first.
    secret: Option<VoucherSecret>,
    state: State,
    /// SHA-256 of the last message that was taken in.
    taken: Option<Hash>,
    /// The last message sent, for repeating.
    sent: Vec<u8>,
    attempt: u8,
    deadline: Millis,
    actions: VecDeque<Action>,
}

#[derive(Debug)]
enum State {
    AwaitMessage2(initiator::AwaitMessage2),
    /// The operator is authenticated; the key store has still to make message_3.
    Answering(Box<initiator::Message2Accepted>, Meeting),
    AwaitMessage4(Box<initiator::AwaitMessage4>, Meeting),
    /// The package is there; the key store has still to sign the receipt.
    Installing(Box<Session>, Meeting, Vec<u8>),
    AwaitComplete(Channel),
    Ended,
}

/// What this session is about.
#[derive(Debug)]
struct Meeting {
    /// What the operator's voucher says, where it came first.
    ownership: Option<Ownership>,
    evidence_formats: ArrayVec<u64, MAX_CHOICES>,
    /// For a voucher that is asked for.
    nonce: [u8; NONCE_LEN],
    /// EAD_3, once it is made: a key store that is asked again is asked the same.
    request: Option<Vec<u8>>,
}

/// Bytes of the nonce of a voucher request.
const NONCE_LEN: usize = 16;

impl Device {
    /// Starts an attempt: provision if there is no credential, resume if there is one that nobody has confirmed.
    ///
    /// One durable write, before message_1 leaves. It takes the store over: a machine that was started earlier on the
    /// same store can commit nothing more.
    ///
    /// # Errors
    /// [`Misuse::NotNow`] if the device has a confirmed subscription; [`Misuse::Parameter`] for a configuration that
    /// makes no message_1; [`Backend`]. The store has not changed. [`Backend::Store`] also if the record names a slot that
    /// is empty: the store broke its promise and the credential is lost; only a person may clear it.
    pub fn start(config: Config, now: Millis, platform: &mut Platform<'_>) -> Result<Self, Error> {
        let mut durable = Durable::load(platform.subscriptions)?;
        let (operation, txn) = match (&durable.active, durable.txn) {
            (Some(active), _) if active.confirmed => return Err(Misuse::NotNow("the device has a subscription").into()),
            // A record that names an empty slot is not to be resumed: the store has lost the credential.
            (Some(active), _) if platform.subscriptions.slot(active.slot)?.is_none() => {
                return Err(Backend::Store.into());
            }
            (Some(active), _) => (Operation::Resume, active.txn),
            (None, Some(txn)) => (Operation::Provision, txn),
            (None, None) => {
                let mut txn = Txn::default();
                platform.rng.fill(&mut txn)?;
                (Operation::Provision, txn)
            }
        };
        durable.requests = durable.requests.checked_add(1).ok_or(Misuse::NotNow("request counter used up"))?;
        durable.txn = Some(txn);

        let suites = config.suites.get(..1).unwrap_or_default();
        let (handshake, message_1, secret) = propose(&config, suites, platform)?;
        // Last, so that a start that fails writes nothing; and before message_1 can leave.
        durable.commit(None, platform.subscriptions)?;
        let mut device = Self {
            config,
            durable,
            operation,
            txn,
            proposed: 1,
            secret,
            state: State::AwaitMessage2(handshake),
            taken: None,
            sent: Vec::new(),
            attempt: 0,
            deadline: now,
            actions: VecDeque::new(),
        };
        device.send(message_1, now);
        Ok(device)
    }

    /// Takes in what came from the operator.
    ///
    /// # Errors
    /// Says whose move it is. If the machine ended with it, [`Action::Finished`] follows; if not, it is as if the bytes
    /// had never come. The store has changed in neither case.
    pub fn handle_message(&mut self, bytes: &[u8], now: Millis, platform: &mut Platform<'_>) -> Result<(), Error> {
        if bytes.len() > wire::MAX_MESSAGE {
            return Err(Malformed::TooLong.into());
        }
        let hash = platform.crypto.sha256(&[bytes]);
        if self.taken == Some(hash) && !matches!(self.state, State::Answering(..) | State::Installing(..)) {
            return Ok(()); // A repetition: the answer to it is on its way, or lost and sent again by the timer.
        }
        // Look first, move second: bytes that cannot be the next message leave the state alone.
        match &mut self.state {
            State::AwaitMessage2(_) | State::AwaitMessage4(..) => {
                if edhoc::is_error_message(bytes) {
                    let error = edhoc::read_error(bytes)?;
                    return match self.proposal_after(&error) {
                        Some(suites) => self.propose_again(suites, now, platform),
                        None => self.end(Err(error.refused.into())),
                    };
                }
                wire::decode::<&[u8]>(bytes)?;
            }
            State::Answering(..) | State::Installing(..) if self.taken != Some(hash) => {
                return Err(Misbehaved::UnexpectedMessage.into());
            }
            State::Answering(..) | State::Installing(..) => {}
            State::AwaitComplete(channel) => {
                let text = channel.open(bytes, platform.crypto)?;
                self.taken = Some(hash);
                return self.complete(text.bytes(), platform);
            }
            State::Ended => return Err(Misbehaved::UnexpectedMessage.into()),
        }
        let result = match core::mem::replace(&mut self.state, State::Ended) {
            State::AwaitMessage2(handshake) => self.message_2(handshake, bytes, now, platform),
            State::Answering(message, meeting) => self.answer(*message, meeting, now, platform),
            State::AwaitMessage4(handshake, meeting) => self.message_4(*handshake, meeting, bytes, now, platform),
            State::Installing(session, meeting, offer) => self.offered(session, meeting, offer, now, platform),
            State::AwaitComplete(_) | State::Ended => Err(Misbehaved::UnexpectedMessage.into()),
        };
        match result {
            Ok(()) => {
                self.taken = Some(hash);
                Ok(())
            }
            // The key store is not ready: the same message again, and it is asked again.
            Err(error) if !matches!(self.state, State::Ended) => {
                self.taken = Some(hash);
                Err(error)
            }
            Err(error) => {
                // Only failures of the handshake itself are told: a refusal was the operator's own word.
                if let Some(message) = edhoc::error_message(&error, &self.config.suites) {
                    self.actions.push_back(Action::Send(message));
                }
                self.end(Err(error))
            }
        }
    }

    /// Repeats the last message, or gives up.
    ///
    /// # Errors
    /// [`Error::Unanswered`] after the last attempt; the machine has ended.
    pub fn handle_timeout(&mut self, now: Millis) -> Result<(), Error> {
        if matches!(self.state, State::Ended) || now < self.deadline {
            return Ok(());
        }
        if self.attempt >= self.config.retry.attempts {
            return self.end(Err(Error::Unanswered));
        }
        self.transmit(now);
        Ok(())
    }

    /// The next thing to do; `None` when it is time to wait.
    pub fn poll(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    // ------------------------------------------------------------------------------------------ the messages

    fn message_2(
        &mut self,
        handshake: initiator::AwaitMessage2,
        bytes: &[u8],
        now: Millis,
        platform: &mut Platform<'_>,
    ) -> Result<(), Error> {
        let crypto = platform.crypto;
        let message = handshake.read(bytes, crypto)?;
        let domain = self.config.domain;
        let operator =
            trust::verify(&message.claimed()?, Role::Operator, domain, platform.anchors, crypto, platform.date)?;
        let mut message = message.accept(operator, &self.config.own, crypto)?;
        let terms = message::take_ead(message.ead())?;
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
            (None, None) => {
                self.durable.ownership.iter().try_for_each(|held| held.check(message.peer(), crypto))?;
                None
            }
        };
        let mut meeting =
            Meeting { ownership, evidence_formats: terms.evidence_formats, nonce: [0; NONCE_LEN], request: None };
        platform.rng.fill(&mut meeting.nonce)?;
        // Nothing is said to be authenticated that cannot be answered.
        message.ead().end()?;
        self.actions.push_back(Action::Authenticated(Met {
            operator: *message.peer().name(),
            evidence_formats: meeting.evidence_formats.clone(),
            voucher: ownership.is_some(),
        }));
        self.answer(message, meeting, now, platform)
    }

    /// This device, to whoever looks at a voucher.
    fn holder<'a>(&'a self, nonce: Option<&'a [u8]>, platform: &Platform<'_>) -> Holder<'a> {
        let Config { name, domain, .. } = &self.config;
        Holder { serial: name, domain: *domain, held: self.durable.ownership.as_ref(), nonce, date: platform.date }
    }

    fn answer(
        &mut self,
        message: initiator::Message2Accepted,
        mut meeting: Meeting,
        now: Millis,
        platform: &mut Platform<'_>,
    ) -> Result<(), Error> {
        let request = match meeting.request.take().map_or_else(|| self.request(&message, &meeting, platform), Ok) {
            Ok(request) => request,
            Err(error) => {
                if is_key_store(error) {
                    self.state = State::Answering(Box::new(message), meeting);
                }
                return Err(error);
            }
        };
        let own = &self.config.own;
        let written = {
            let item = message::ead(&request);
            let ead_3 = message::with_padding(item, message.plaintext_3_len(own, &[item]));
            message.write(own, &ead_3, platform.keys, platform.crypto)
        };
        match written {
            Ok((handshake, message_3)) => {
                self.state = State::AwaitMessage4(Box::new(handshake), meeting);
                self.send(message_3, now);
                Ok(())
            }
            Err(stopped) => {
                let error = stopped.error();
                if let (true, Ok(message)) = (is_key_store(error), stopped.again()) {
                    meeting.request = Some(request);
                    self.state = State::Answering(Box::new(message), meeting);
                }
                Err(error)
            }
        }
    }

    /// The suites for a new message_1, if that is what the operator's error message asks for and it gets further down the
    /// list: so there is an end to it.
    fn proposal_after(&self, error: &PeerError<'_>) -> Option<usize> {
        let (State::AwaitMessage2(_), Refused::WrongSuite) = (&self.state, error.refused) else { return None };
        let proposed = self.config.suites.get(..self.proposed).unwrap_or_default();
        let proposal = initiator::propose_again(&self.config.suites, proposed, &error.suites_r)?;
        (proposal.len() > self.proposed).then_some(proposal.len())
    }

    fn propose_again(&mut self, suites: usize, now: Millis, platform: &mut Platform<'_>) -> Result<(), Error> {
        let proposal = self.config.suites.get(..suites).unwrap_or_default();
        let (handshake, message_1, secret) = propose(&self.config, proposal, platform)?;
        self.secret = secret;
        self.proposed = suites;
        self.state = State::AwaitMessage2(handshake);
        self.send(message_1, now);
        Ok(())
    }

    /// EAD_3.
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
            (Introduction::VoucherLast { request: true }, Operation::Provision) => {
                let registrar = Pin::Thumbprint(message.peer().public_key().thumbprint(crypto));
                let request = VoucherRequest { nonce: &meeting.nonce, registrar, serial: self.config.name.as_str() };
                Some(request.sign(|message| platform.keys.sign(own.key(), message))?)
            }
            _ => None,
        };
        let receipts: ArrayVec<&[u8], MAX_RECEIPTS> = self.durable.receipts.iter().map(Vec::as_slice).collect();
        Ok(wire::encode(&Request {
            txn: self.txn,
            operation: self.operation,
            counter: Counter { request: self.durable.requests, retry: 0 },
            algorithms: core::iter::once(u64::from(Algorithm::Milenage.number())).collect(),
            state: DeviceState {
                active: self.durable.active.as_ref().map(|active| active.epoch),
                pending: None,
                owner_epoch: self.durable.ownership.map_or(0, |ownership| ownership.epoch),
                voucher_head: self.durable.ownership.map(|ownership| ownership.head),
                last_receipt: self.durable.last_receipt,
            },
            evidence: evidence.as_deref(),
            receipts: (!receipts.is_empty()).then_some(receipts),
            voucher_request: voucher_request.as_deref(),
        }))
    }

    fn message_4(
        &mut self,
        handshake: initiator::AwaitMessage4,
        meeting: Meeting,
        bytes: &[u8],
        now: Millis,
        platform: &mut Platform<'_>,
    ) -> Result<(), Error> {
        let mut message = handshake.read(bytes, platform.crypto)?;
        let offer = message::take_ead(message.ead())?;
        let session = message.complete()?;
        self.offered(Box::new(session), meeting, offer, now, platform)
    }

    fn offered(
        &mut self,
        session: Box<Session>,
        meeting: Meeting,
        offer: Vec<u8>,
        now: Millis,
        platform: &mut Platform<'_>,
    ) -> Result<(), Error> {
        match wire::decode(&offer)? {
            Offer::Package(package) if self.operation == Operation::Provision => {
                if package.txn != self.txn {
                    return Err(Misbehaved::WrongTransaction.into());
                }
                let ownership = self.entitled(&package, &meeting, session.peer(), platform)?;
                let result = self.install(&package, ownership, &session, now, platform);
                if result.is_err_and(is_key_store) {
                    self.state = State::Installing(session, meeting, offer);
                }
                result
            }
            Offer::Status(status) if self.operation == Operation::Resume => {
                self.finish(&status.txn, status.acknowledged, platform.subscriptions)
            }
            Offer::Refusal(refusal) if refusal.txn == self.txn => Err(Refused::Code(refusal.code).into()),
            _ => Err(Misbehaved::WrongOffer.into()),
        }
    }

    /// Whose this device is: looked at before the package is.
    fn entitled(
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

    fn install(
        &mut self,
        offer: &PackageOffer<'_>,
        ownership: Ownership,
        session: &Session,
        now: Millis,
        platform: &mut Platform<'_>,
    ) -> Result<(), Error> {
        let crypto = platform.crypto;
        let slot = self.durable.active.as_ref().map_or(Slot::A, |active| active.slot.other());
        let offered = Offered { domain: self.config.domain, txn: &self.txn, sealed: offer.sealed, exporter: session };
        let installed = platform.usim.install(slot, &offered, crypto)?;
        let last_epoch = self.durable.active.as_ref().map_or(0, |active| active.epoch);
        if installed.epoch <= last_epoch
            || installed.activation != Activation::OneShot
            || installed.previous != Previous::None
        {
            return Err(Misbehaved::WrongOffer.into());
        }

        // Everything that can fail comes before the commit, so that a committed credential is always announced.
        let next = self.durable.after_install(slot, &installed, ownership, &self.txn, &self.config, platform)?;
        let receipt = next.receipts.last().ok_or(Backend::Store)?;
        let confirm = wire::encode(&Confirm { txn: self.txn, res: installed.res.bytes(), receipt });
        let mut channel = Channel::of_device(session, &installed.package_hash, crypto)?;
        let confirm = channel.seal(&confirm, crypto)?;
        self.durable.check_current(platform.subscriptions)?;
        next.commit(Some(SlotChange::Write(slot, &installed.content)), platform.subscriptions)?;

        self.durable = next;
        self.state = State::AwaitComplete(channel);
        let Installed { supi, epoch, algorithm, .. } = installed;
        self.actions.push_back(Action::Installed(Subscription { id: SubscriptionId { supi, epoch }, algorithm }));
        self.send(confirm, now);
        Ok(())
    }

    /// An authenticated record: from here on an error is the operator's, and ends the machine.
    fn complete(&mut self, text: &[u8], platform: &mut Platform<'_>) -> Result<(), Error> {
        let result = wire::decode::<Complete>(text)
            .map_err(Error::from)
            .and_then(|complete| self.finish(&complete.txn, complete.acknowledged, platform.subscriptions));
        match result {
            Ok(()) => Ok(()),
            Err(error) => self.end(Err(error)),
        }
    }

    /// The operator has confirmed: the credential is the device's own, and receipts it has need not be kept.
    fn finish(&mut self, txn: &Txn, acknowledged: u64, subscriptions: &mut dyn SubscriptionStore) -> Result<(), Error> {
        if *txn != self.txn {
            return Err(Misbehaved::WrongTransaction.into());
        }
        let next = self.durable.after_complete(acknowledged)?;
        self.durable.check_current(subscriptions)?;
        next.commit(None, subscriptions)?;
        self.durable = next;
        self.actions.push_back(Action::Completed { acknowledged });
        self.end(Ok(()))
    }

    // ------------------------------------------------------------------------------------------ sending

    fn send(&mut self, bytes: Vec<u8>, now: Millis) {
        self.sent = bytes;
        self.attempt = 0;
        self.transmit(now);
    }

    fn transmit(&mut self, now: Millis) {
        let doubled = self.config.retry.first.saturating_mul(1 << self.attempt.min(15));
        self.deadline = now.after(doubled.min(MAX_PAUSE));
        self.attempt = self.attempt.saturating_add(1);
        self.actions.push_back(Action::Send(self.sent.clone()));
        self.actions.push_back(Action::WakeAt(self.deadline));
    }

    fn end(&mut self, result: Result<(), Error>) -> Result<(), Error> {
        self.state = State::Ended;
        self.actions.push_back(Action::Finished(result));
        result
    }
}

/// message_1, naming `suites`, of which it proposes the last; and what opens the voucher in the answer.
fn propose(
    config: &Config,
    suites: &[Suite],
    platform: &mut Platform<'_>,
) -> Result<(initiator::AwaitMessage2, Vec<u8>, Option<VoucherSecret>), Error> {
    let concealed = match &config.introduction {
        Introduction::VoucherFirst(home) => {
            Some(concealed::conceal(&config.name, home, platform.crypto, platform.rng)?)
        }
        Introduction::VoucherLast { .. } => None,
    };
    let concealed_id = concealed.as_ref().map(|(concealed, _)| Raw(concealed));
    let hello = Hello { domain: config.domain, concealed_id, relay: config.relay, cookie: None };
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

/// What a device's store says it has: the subscription, and whether the operator has confirmed it. `None` on a device
/// without one.
///
/// # Errors
/// [`Backend::Store`].
pub fn subscription(subscriptions: &dyn SubscriptionStore) -> Result<Option<(Subscription, bool)>, Backend> {
    Ok(Durable::load(subscriptions)?.active.map(|active| {
        let Active { supi, epoch, algorithm, confirmed, .. } = active;
        (Subscription { id: SubscriptionId { supi, epoch }, algorithm }, confirmed)
    }))
}

/// Answers a challenge of the network with the subscription in use. The SQN is durable before the answer is returned.
///
/// # Errors
/// [`Misuse::NotNow`] without a subscription; [`Backend`].
pub fn authenticate(
    challenge: &Challenge,
    subscriptions: &mut dyn SubscriptionStore,
    usim: &mut dyn Usim,
) -> Result<aka::Answer, Error> {
    let durable = Durable::load(subscriptions)?;
    let active = durable.active.as_ref().ok_or(Misuse::NotNow("the device has no subscription"))?;
    let content: SecretBytes = subscriptions.slot(active.slot)?.ok_or(Backend::Store)?;
    let (answer, content) = usim.authenticate(active.slot, &content, challenge)?;
    if let Some(content) = content {
        durable.commit(Some(SlotChange::Write(active.slot, &content)), subscriptions)?;
    }
    Ok(answer)
}

// ------------------------------------------------------------------------------------------ what is durable

/// The commit record.
#[derive(Clone, Debug, Default)]
struct Durable {
    requests: u32,
    txn: Option<Txn>,
    active: Option<Active>,
    ownership: Option<Ownership>,
    receipts_made: u64,
    last_receipt: Option<Hash>,
    receipts: Vec<Vec<u8>>,
}

wire_array! {
    /// The credential in use.
    #[derive(Clone, Debug)]
    struct Active {
        slot: Slot,
        supi: Supi,
        epoch: u32,
        algorithm: Algorithm,
        txn: Txn,
        package_hash: Hash,
        confirmed: bool,
    }
}

wire_map! {
    /// The commit record's form in the store.
    struct Record<'a> {
        1 => requests: u32,
        2 => txn: Option<Txn>,
        3 => active: Option<Active>,
        4 => ownership: Option<Ownership>,
        5 => receipts_made: u64,
        6 => last_receipt: Option<Hash>,
        7 => receipts: ArrayVec<&'a [u8], MAX_RECEIPTS>,
    }
}

impl Wire<'_> for Slot {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.unsigned(match self {
            Self::A => 0,
            Self::B => 1,
        });
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        match reader.unsigned()? {
            0 => Ok(Self::A),
            1 => Ok(Self::B),
            _ => Err(Malformed::OutOfRange),
        }
    }
}

impl Durable {
    fn load(subscriptions: &dyn SubscriptionStore) -> Result<Self, Backend> {
        let Some(bytes) = subscriptions.record()? else { return Ok(Self::default()) };
        let record: Record<'_> = wire::decode(&bytes).map_err(|_| Backend::Store)?;
        Ok(Self {
            requests: record.requests,
            txn: record.txn,
            active: record.active,
            ownership: record.ownership,
            receipts_made: record.receipts_made,
            last_receipt: record.last_receipt,
            receipts: record.receipts.iter().map(|receipt| receipt.to_vec()).collect(),
        })
    }

    /// That nobody has started another machine on this store: what it was offered would be written over.
    fn check_current(&self, subscriptions: &dyn SubscriptionStore) -> Result<(), Error> {
        if Self::load(subscriptions)?.requests == self.requests {
            Ok(())
        } else {
            Err(Misuse::NotNow("another machine was started on this store").into())
        }
    }

    fn commit(&self, slot: Option<SlotChange<'_>>, subscriptions: &mut dyn SubscriptionStore) -> Result<(), Backend> {
        let record = wire::encode(&Record {
            requests: self.requests,
            txn: self.txn,
            active: self.active.clone(),
            ownership: self.ownership,
            receipts_made: self.receipts_made,
            last_receipt: self.last_receipt,
            receipts: self.receipts.iter().map(Vec::as_slice).collect(),
        });
        subscriptions.commit(Commit { slot, record: &record })
    }

    /// The record that makes an installed credential the active one and its operator the owner, with a receipt for it.
    fn after_install(
        &self,
        slot: Slot,
        installed: &Installed,
        ownership: Ownership,
        txn: &Txn,
        config: &Config,
        platform: &Platform<'_>,
    ) -> Result<Self, Error> {
        let crypto = platform.crypto;
        let mut next = self.clone();
        if next.receipts.len() >= MAX_RECEIPTS {
            return Err(Misuse::NotNow("sixteen receipts are waiting to be acknowledged").into());
        }
        next.receipts_made = next.receipts_made.saturating_add(1);
        let receipt = Receipt {
            domain: config.domain,
            sequence: next.receipts_made,
            previous: next.last_receipt,
            txn: *txn,
            event: Event::Activated,
            supi_hash: message::supi_hash(txn, &installed.supi, crypto),
            epoch: installed.epoch,
            package_hash: installed.package_hash,
            owner_epoch: ownership.epoch,
        }
        .sign(|message| platform.keys.sign(config.own.key(), message))?;
        next.last_receipt = Some(crypto.sha256(&[&receipt]));
        next.receipts.push(receipt);
        next.ownership = Some(ownership);
        next.active = Some(Active {
            slot,
            supi: installed.supi,
            epoch: installed.epoch,
            algorithm: installed.algorithm,
            txn: *txn,
            package_hash: installed.package_hash,
            confirmed: false,
        });
        Ok(next)
    }

    /// The record after the operator has confirmed, and acknowledged receipts up to a number.
    fn after_complete(&self, acknowledged: u64) -> Result<Self, Error> {
        let mut next = self.clone();
        let waiting = u64::try_from(next.receipts.len()).map_err(|_| Backend::Store)?;
        let before_first = next.receipts_made.checked_sub(waiting).ok_or(Backend::Store)?;
        if acknowledged > next.receipts_made {
            return Err(Misbehaved::WrongReceipt.into());
        }
        let done = usize::try_from(acknowledged.saturating_sub(before_first)).map_err(|_| Backend::Store)?;
        next.receipts.drain(..done.min(next.receipts.len()));
        next.txn = None;
        if let Some(active) = &mut next.active {
            active.confirmed = true;
        }
        Ok(next)
    }
}
