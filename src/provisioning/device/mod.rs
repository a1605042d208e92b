//! The device's side, from the top:
//!
//! 1. [`Device::start`] makes the transaction durable and sends message_1.
//! 2. message_2: the operator is authenticated and, where the voucher comes first, entitled; only now does the device show
//!    who it is and in what state (message_3).
//! 3. message_4: the offer. Where the voucher comes last, it is looked at now. The USIM opens the package, makes K and answers
//!    the challenge; slot and record are committed in one step; `confirm` goes out, or in two phases `prepared`.
//! 4. `decision`, in two phases: the new credential is used and the old one kept, or the new one is let go; `confirm`.
//! 5. `complete`: the old credential is let go, in one commit.
//!
//! A durable record tells what is open, so [`Device::start`] after any power cut goes on where the store is, not where
//! memory was. Three commits for a first provisioning, four for anything in two phases.
//!
//! **At the network.** [`authenticate`] answers a challenge with whichever key it was made with, of those under the SUPI in
//! use: so an operator can exchange K in its core at any moment between `prepared` and `complete`. Under two SUPIs,
//! [`in_use`] says which one to attach with, and [`attach_failed`] lets the device fall back to the one before.
//!
//! **Again.** [`Action::StartAgainAt`] says when another attempt makes sense, if one does: later each time, and never for a
//! refusal that only somebody else can undo. A device that starts at no other moment does not loop.

mod durable;

pub use crate::time::Retry;

use alloc::{boxed::Box, collections::VecDeque, vec::Vec};

use arrayvec::ArrayVec;

use self::durable::{Durable, Held, Open, Signer, Stage};
use crate::{
    aka::{Answer, Challenge, suci::HomeNetworkKey},
    attestation::{self, Attester},
    authority::grant,
    credential::{Activation, Algorithm, Offered, Previous, Txn, Usim},
    crypto::{Crypto, Hash, Rng, SecretBytes},
    edhoc::{self, ConnectionId, Method, OwnCredential, PeerError, Session, Suite, eap::EapKeys, initiator},
    error::{Backend, Class, Error, Malformed, Misbehaved, Misuse, Refused, Voucher},
    fault::{Fault, is_seeded},
    identity::{Domain, PeerName, Role, SubscriptionId},
    provisioning::{
        Millis, is_key_store,
        message::{
            self, Complete, Confirm, Counter, Decision, Hello, MAX_CHOICES, MAX_COOKIE, Offer, Operation, Order,
            PackageOffer, Prepared, Refusal, Request, Standing, Status, Stopped, Terms, Verdict,
        },
        receipt::Event,
        record::Channel,
    },
    store::{KeyStore, Slot, SlotChange, SubscriptionStore},
    trust::{
        self, Date, Peer, TrustAnchors,
        concealed::{self, VoucherSecret},
        voucher::{self, Holder, Ownership, Pin, VoucherRequest},
    },
    wire::{self, Raw, Reader},
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
    /// SHA-256 over the announcement of the relay that forwards for it, if one does
    /// ([`Announcement::hash`](crate::framing::relay::Announcement::hash)). It goes out in clear: a relay puts
    /// something fresh into each announcement, or the hash tells runs through it from others.
    pub relay: Option<Hash>,
    /// Who authenticates how.
    pub method: Method,
    /// Suites in falling preference, at most eight. The first is proposed; if the operator does not run it, the first that it
    /// does run (RFC 9528 §6.3.1).
    pub suites: Vec<Suite>,
    /// How long and how often to ask.
    pub retry: Retry,
    /// Whether the handshake is an EAP method, so that its keys are wanted: see [`Device::take_eap_keys`].
    pub eap_keys: bool,
}

/// What a device starts an attempt for. What is open already comes first: then the attempt is a resume, and the goal is for
/// the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Goal {
    /// A first subscription.
    Provision,
    /// A new K.
    Rekey,
    /// A new K for the owner or the number that the operator has in its log.
    Reassociate,
    /// A subscription of the operator that has become the device's owner.
    Transfer,
    /// The same, away from an operator that does not answer any more: what is open with it is given up. Nothing that is in use
    /// is. **Not while it answers**: what it had prepared it will not give again before a person has looked.
    Leave,
    /// A subscription on somebody's account: with a signed [`grant`].
    OnDemand(Vec<u8>),
    /// To hear how things stand, and to hand in receipts.
    Query,
    /// To give the subscription back.
    Retire,
}

impl Goal {
    const fn operation(&self, has: bool) -> Operation {
        match self {
            Self::Leave if has => Operation::Transfer,
            Self::Provision | Self::Leave => Operation::Provision,
            Self::Rekey => Operation::Rekey,
            Self::Reassociate => Operation::Reassociate,
            Self::Transfer => Operation::Transfer,
            Self::OnDemand(_) => Operation::OnDemand,
            Self::Query => Operation::Query,
            Self::Retire => Operation::Retire,
        }
    }

    /// Whether a device has to have a subscription for it, must not have one, or either.
    const fn fits(&self, has: bool) -> bool {
        match self {
            Self::Provision => !has,
            Self::Rekey | Self::Reassociate | Self::Transfer | Self::Retire => has,
            Self::OnDemand(_) | Self::Query | Self::Leave => true,
        }
    }
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

/// Shortest pause between two attempts, in milliseconds.
const FIRST_REST: u64 = 60_000;

/// How often that doubles: 60 s × 2^10 is 17 hours.
const MAX_DOUBLINGS: u32 = 10;

impl Config {
    /// Method 0, all suites, no relay, two seconds, eight attempts, no keys for EAP.
    pub fn new(own: OwnCredential, name: PeerName, domain: Domain, introduction: Introduction) -> Self {
        let retry = Retry { first: 2_000, attempts: 8 };
        let suites = Suite::ALL.to_vec();
        let method = Method::SignSign;
        Self { own, name, domain, introduction, relay: None, method, suites, retry, eap_keys: false }
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
    /// This subscription is durable, beside the one in use, and waits for the operator's decision.
    Prepared(Subscription),
    /// The subscription that was prepared is gone, on the operator's word.
    CalledOff,
    /// This subscription is durable and may be used.
    Installed(Subscription),
    /// There is no subscription any more, on the operator's word.
    Erased,
    /// How the subscription stands, and what the operator would like this device to [start](Device::start) when it suits it.
    Told(Standing, Option<Operation>),
    /// The operator has said that the operation is complete, and has the receipts up to this number. Durable already.
    Completed {
        /// Sequence number of the last receipt that the operator has.
        acknowledged: u64,
    },
    /// The attempt has failed; another one makes sense from this moment on. Not there if it makes none.
    StartAgainAt(Millis),
    /// The machine has ended. The store says what is open.
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
    /// What this attempt asks for.
    operation: Operation,
    txn: Txn,
    grant: Option<Vec<u8>>,
    /// Spreads devices that fail together: what is added to a pause, in 1/65536 of it.
    jitter: u16,
    /// How many of the suites message_1 has named.
    proposed: usize,
    /// What an operator has demanded to see in message_1.
    cookie: Option<Cookie>,
    /// What opens the voucher in message_2, where that comes first.
    secret: Option<VoucherSecret>,
    state: State,
    /// SHA-256 of the last message that was taken in.
    taken: Option<Hash>,
    /// From message_4 on, if they are wanted and nobody has taken them.
    eap_keys: Option<EapKeys>,
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
    /// The offer is there; the key store has still to sign the receipt.
    Taking(Box<Session>, Meeting, Vec<u8>),
    AwaitDecision(Box<Channel>),
    /// The decision is there; the key store has still to sign the receipt.
    Deciding(Box<Channel>, Order),
    AwaitComplete(Box<Channel>),
    Ended,
}

/// A cookie of the operator's.
type Cookie = ArrayVec<u8, MAX_COOKIE>;

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

/// Longest plaintext of message_3 with its receipts: what [`wire::MAX_MESSAGE`] leaves when heads, padding and tag have
/// their bytes.
const MAX_REQUEST: usize = wire::MAX_MESSAGE - 160;

/// Bytes of the nonce of a voucher request.
const NONCE_LEN: usize = 16;

impl Device {
    /// Starts an attempt. What is open comes first: a transaction that came to something is resumed, whatever the goal
    /// (but for [`Goal::Leave`]).
    ///
    /// One durable write, before message_1 leaves. It takes the store over: a machine that was started earlier on the
    /// same store can commit nothing more.
    ///
    /// # Errors
    /// [`Misuse::NotNow`] if the goal does not fit what the device has; [`Misuse::Parameter`] for a configuration that
    /// makes no message_1, or a grant that is none; [`Backend`]. The store has not changed. [`Backend::Store`] also if the
    /// record names a slot that is empty: the store broke its promise and the credential is lost; only a person may clear it.
    pub fn start(config: Config, goal: Goal, now: Millis, platform: &mut Platform<'_>) -> Result<Self, Error> {
        let mut durable = Durable::load(platform.subscriptions)?;
        // A record that names an empty slot is not to be gone on from: the store has lost the credential.
        for slot in durable.slots() {
            platform.subscriptions.slot(slot)?.ok_or(Backend::Store)?;
        }
        let mut random = [0; 18];
        platform.rng.fill(&mut random)?;
        let [high, low, fresh @ ..] = random;
        let has = durable.active.is_some();
        let (operation, open) = match durable.open {
            Some(open) if open.stage != Stage::Requested && goal != Goal::Leave && !is_seeded(Fault::BeginsAnew) => {
                (Operation::Resume, open)
            }
            _ if !goal.fits(has) => {
                return Err(match durable.active {
                    Some(_) => Misuse::NotNow("the device has a subscription"),
                    None => Misuse::NotNow("the device has no subscription"),
                }
                .into());
            }
            open => {
                let operation = goal.operation(has);
                let same = open.filter(|open| open.operation == operation && open.stage == Stage::Requested);
                let txn = same.map_or(fresh, |open| open.txn);
                (operation, Open { txn, operation, stage: Stage::Requested, owner: None })
            }
        };
        if let Goal::OnDemand(token) = &goal {
            grant::hash(token, platform.crypto).map_err(|_| Misuse::Parameter("the grant is no COSE_Sign1"))?;
        }
        durable.requests = durable.requests.checked_add(1).ok_or(Misuse::NotNow("request counter used up"))?;
        durable.open = Some(open);

        let suites = config.suites.get(..1).unwrap_or_default();
        let (handshake, message_1, secret) = propose(&config, suites, None, platform)?;
        // Last, so that a start that fails writes nothing; and before message_1 can leave.
        durable.commit(&[], platform.subscriptions)?;
        let mut device = Self {
            config,
            durable,
            operation,
            txn: open.txn,
            grant: if let (Goal::OnDemand(grant), Operation::OnDemand) = (goal, operation) {
                Some(grant)
            } else {
                None
            },
            jitter: u16::from_be_bytes([high, low]),
            proposed: 1,
            cookie: None,
            secret,
            state: State::AwaitMessage2(handshake),
            taken: None,
            eap_keys: None,
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
        let asks_key_store = matches!(self.state, State::Answering(..) | State::Taking(..) | State::Deciding(..));
        if self.taken == Some(hash) && !asks_key_store {
            return Ok(()); // A repetition: the answer to it is on its way, or lost and sent again by the timer.
        }
        // Look first, move second: bytes that cannot be the next message leave the state alone.
        match &mut self.state {
            State::AwaitMessage2(_) | State::AwaitMessage4(..) => {
                if edhoc::is_error_message(bytes) {
                    let error = edhoc::read_error(bytes)?;
                    let Some((suites, cookie)) = self.proposal_after(&error) else {
                        return self.end(Err(error.refused.into()), now);
                    };
                    self.propose_again(suites, cookie, now, platform)?;
                    if message::demanded(&error).is_some() {
                        // It comes twice if message_1 was repeated before it was answered; a cookie that is demanded again for
                        // good is another one.
                        self.taken = Some(hash);
                    }
                    return Ok(());
                }
                wire::decode::<&[u8]>(bytes)?;
            }
            _ if asks_key_store && self.taken != Some(hash) => return Err(Misbehaved::UnexpectedMessage.into()),
            State::Answering(..) | State::Taking(..) | State::Deciding(..) => {}
            State::AwaitDecision(channel) | State::AwaitComplete(channel) => {
                let text = channel.open(bytes, platform.crypto)?;
                self.taken = Some(hash);
                let result = self.record(text.bytes(), now, platform);
                return self.settle(result, now);
            }
            State::Ended => return Err(Misbehaved::UnexpectedMessage.into()),
        }
        let result = match core::mem::replace(&mut self.state, State::Ended) {
            State::AwaitMessage2(handshake) => self.message_2(handshake, bytes, now, platform),
            State::Answering(message, meeting) => self.answer(*message, meeting, now, platform),
            State::AwaitMessage4(handshake, meeting) => self.message_4(*handshake, meeting, bytes, now, platform),
            State::Taking(session, meeting, offer) => self.offered(session, meeting, offer, now, platform),
            State::Deciding(channel, order) => {
                let result = self.obey(channel, order, now, platform);
                return self.settle(result, now);
            }
            State::AwaitDecision(_) | State::AwaitComplete(_) | State::Ended => {
                Err(Misbehaved::UnexpectedMessage.into())
            }
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
                self.end(Err(error), now)
            }
        }
    }

    /// In a record, an error is the operator's own word, and ends the machine; unless the key store is not ready.
    fn settle(&mut self, result: Result<(), Error>, now: Millis) -> Result<(), Error> {
        match result {
            Err(error) if matches!(self.state, State::Ended) => self.end(Err(error), now),
            other => other,
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
            return self.end(Err(Error::Unanswered), now);
        }
        self.transmit(now);
        Ok(())
    }

    /// The next thing to do; `None` when it is time to wait.
    pub fn poll(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// The keys of EAP, once, if [`Config::eap_keys`] asks for them: from message_4 on, the protected success indication
    /// (draft-ietf-emu-eap-edhoc §3.5), if the device takes what is in there. None before, and none after a refusal.
    pub const fn take_eap_keys(&mut self) -> Option<EapKeys> {
        self.eap_keys.take()
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
            (None, None) => None,
        };
        self.check_owner(message.peer(), crypto)?;
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

    /// That the operator is the one that this is about: another one is a stranger, however good its voucher.
    fn check_owner(&self, operator: &Peer, crypto: &dyn Crypto) -> Result<(), Error> {
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

    /// The suites and the cookie for a new message_1, if that is what the operator's error message asks for: a cookie once, and
    /// suites if that gets further down the list. So there is an end to it. Anybody can have written the error message, and has
    /// the device say one more message_1 for it, of the same size and a cookie.
    fn proposal_after(&self, error: &PeerError<'_>) -> Option<(usize, Option<Cookie>)> {
        let State::AwaitMessage2(_) = self.state else { return None };
        if let Some(cookie) = message::demanded(error) {
            let cookie = self.cookie.is_none().then(|| cookie.iter().copied().collect())?;
            return Some((self.proposed, Some(cookie)));
        }
        let Refused::WrongSuite = error.refused else { return None };
        let proposed = self.config.suites.get(..self.proposed).unwrap_or_default();
        let proposal = initiator::propose_again(&self.config.suites, proposed, &error.suites_r)?;
        (proposal.len() > self.proposed).then(|| (proposal.len(), self.cookie.clone()))
    }

    /// Says message_1 once more. Nothing in it is what it was: no key goes into two of them (RFC 9528 §6.3.2).
    fn propose_again(
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
        if self.durable.receipts.is_empty() {
            return Ok(wire::encode(&request));
        }
        // All receipts, in a summary where they do not fit.
        let bare = wire::encode(&request);
        let len = message.plaintext_3_len(own, &[message::ead(&bare)]).next_multiple_of(message::PADDING_CLASS);
        let room = MAX_REQUEST.saturating_sub(len);
        let receipts = self.signer(platform).fit(&self.durable.receipts, room)?;
        let receipts = receipts.iter().map(Vec::as_slice).collect();
        Ok(wire::encode(&Request { receipts: Some(receipts), ..request }))
    }

    fn signer<'a>(&self, platform: &Platform<'a>) -> Signer<'a> {
        let Config { domain, own, .. } = &self.config;
        Signer { domain: *domain, key: own.key(), keys: platform.keys, crypto: platform.crypto }
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
        let eap_keys = self.config.eap_keys.then(|| session.eap_keys(platform.crypto)).transpose()?;
        let result = match wire::decode(&offer)? {
            Offer::Package(package) if self.operation.issues() && package.txn == self.txn => {
                let ownership = self.entitled(&package, &meeting, session.peer(), platform)?;
                self.install(&package, ownership, &session, now, platform)
            }
            Offer::Package(package) if package.txn != self.txn => return Err(Misbehaved::WrongTransaction.into()),
            Offer::Status(status) if status.txn == self.txn => self.told(&status, &offer, &session, now, platform),
            Offer::Status(_) => return Err(Misbehaved::WrongTransaction.into()),
            Offer::Refusal(Refusal { txn, code, retry_after }) if txn == self.txn => {
                self.rest(code.class(), retry_after, now);
                return Err(Refused::Code(code).into());
            }
            Offer::Package(_) | Offer::Refusal(_) => return Err(Misbehaved::WrongOffer.into()),
        };
        match result {
            Ok(()) => self.eap_keys = eap_keys,
            Err(error) if is_key_store(error) => self.state = State::Taking(session, meeting, offer),
            Err(_) => {}
        }
        result
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

        // Everything that can fail comes before the commit, so that a committed credential is always announced.
        let grant = self.grant.as_ref().map(|token| grant::hash(token, crypto)).transpose()?;
        let held = Held::new(slot, &self.txn, &installed, ownership, grant);
        let event = if at_once { Event::Activated } else { Event::Prepared };
        let next = self.durable.install(held, event, &self.signer(platform))?;
        let receipt = next.receipts.last().ok_or(Backend::Store)?;
        let (txn, res) = (self.txn, installed.res.bytes());
        let text = match event {
            Event::Activated => wire::encode(&Confirm { txn, res: Some(res), receipt }),
            _ => wire::encode(&Prepared { txn, res, receipt }),
        };
        let mut channel = Box::new(Channel::of_device(session, &installed.package_hash, crypto)?);
        let record = channel.seal(&text, crypto)?;
        self.replace(next, &[SlotChange::Write(slot, &installed.content)], platform)?;
        if at_once {
            self.announce();
            self.state = State::AwaitComplete(channel);
        } else {
            self.actions.extend(self.durable.other.as_ref().map(|other| Action::Prepared(other.into())));
            self.state = State::AwaitDecision(channel);
        }
        self.send(record, now);
        Ok(())
    }

    /// A status, in place of a package.
    fn told(
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
    fn record(&mut self, text: &[u8], now: Millis, platform: &mut Platform<'_>) -> Result<(), Error> {
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

    fn check_txn(&self, txn: &Txn) -> Result<(), Misbehaved> {
        if *txn == self.txn { Ok(()) } else { Err(Misbehaved::WrongTransaction) }
    }

    /// Does what the operator has decided, durably, and signs for it.
    fn obey(
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
        let record = channel.seal(&wire::encode(&Confirm { txn: self.txn, res: None, receipt }), platform.crypto)?;
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
    fn complete(&mut self, acknowledged: u64, now: Millis, platform: &mut Platform<'_>) -> Result<(), Error> {
        let aborted = self.durable.stage() == Some(Stage::Aborted);
        let next = self.durable.complete(acknowledged)?;
        self.give_up(next, platform)?;
        self.actions.push_back(Action::Completed { acknowledged });
        // That it was called off is how the operation ended, and no failure of this message.
        self.end(if aborted { Err(Refused::Aborted.into()) } else { Ok(()) }, now).or(Ok(()))
    }

    /// One commit, and slots that nothing names any more are erased in it.
    fn give_up(&mut self, next: Durable, platform: &mut Platform<'_>) -> Result<(), Error> {
        let gone: ArrayVec<Slot, 2> =
            self.durable.slots().filter(|slot| next.slots().all(|held| held != *slot)).collect();
        let changes: ArrayVec<SlotChange<'_>, 2> = gone.iter().map(|slot| SlotChange::Erase(*slot)).collect();
        self.replace(next, &changes, platform)?;
        gone.into_iter().for_each(|slot| platform.usim.erase(slot));
        Ok(())
    }

    fn replace(&mut self, next: Durable, slots: &[SlotChange<'_>], platform: &mut Platform<'_>) -> Result<(), Error> {
        self.durable.check_current(platform.subscriptions)?;
        next.commit(slots, platform.subscriptions)?;
        self.durable = next;
        Ok(())
    }

    fn announce(&mut self) {
        self.actions.extend(self.durable.active.as_ref().map(|active| Action::Installed(active.into())));
    }

    // ------------------------------------------------------------------------------------------ when to come back

    /// Names the moment of the next attempt, if one makes sense. Each pause of the device's own is longer than the one before,
    /// up to 17 hours, until something is settled; and some device's own part longer than another's. One that the operator
    /// names is the least, up to as much.
    fn rest(&mut self, class: Class, at_least: Option<u32>, now: Millis) {
        if !class.is_worth_repeating() {
            return;
        }
        let attempts = self.durable.requests.saturating_sub(self.durable.settled).saturating_sub(1);
        let pause = FIRST_REST.saturating_mul(1 << attempts.min(MAX_DOUBLINGS));
        // An operator that says "in a hundred years" does not have its way.
        let longest = FIRST_REST.saturating_mul(1 << MAX_DOUBLINGS);
        let pause = pause.max(u64::from(at_least.unwrap_or_default()).saturating_mul(1_000).min(longest));
        let more = pause.saturating_mul(u64::from(self.jitter)) >> 16;
        self.actions.push_back(Action::StartAgainAt(now.after(pause.saturating_add(more))));
    }

    // ------------------------------------------------------------------------------------------ sending

    fn send(&mut self, bytes: Vec<u8>, now: Millis) {
        self.sent = bytes;
        self.attempt = 0;
        self.transmit(now);
    }

    fn transmit(&mut self, now: Millis) {
        self.deadline = now.after(self.config.retry.pause(self.attempt));
        self.attempt = self.attempt.saturating_add(1);
        self.actions.push_back(Action::Send(self.sent.clone()));
        self.actions.push_back(Action::WakeAt(self.deadline));
    }

    fn end(&mut self, result: Result<(), Error>, now: Millis) -> Result<(), Error> {
        self.state = State::Ended;
        match result {
            // A refusal has said it already.
            Ok(())
            | Err(Error::Refused(Refused::Code(_) | Refused::Aborted) | Error::Misuse(_) | Error::Declined(_)) => {}
            Err(_) => self.rest(Class::Retry, None, now),
        }
        self.actions.push_back(Action::Finished(result));
        result
    }
}

/// Number of a [`Stopped`] record.
const STOPPED: u64 = 7;

/// message_1, naming `suites`, of which it proposes the last; and what opens the voucher in the answer.
fn propose(
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

impl From<&Held> for Subscription {
    fn from(held: &Held) -> Self {
        Self { id: SubscriptionId { supi: held.supi, epoch: held.epoch }, algorithm: held.algorithm }
    }
}

/// What a device's store says it has: the newest subscription that it may use, and whether the operator has said that this
/// is complete. `None` on a device without one.
///
/// # Errors
/// [`Backend::Store`].
pub fn subscription(subscriptions: &dyn SubscriptionStore) -> Result<Option<(Subscription, bool)>, Backend> {
    let durable = Durable::load(subscriptions)?;
    Ok(durable.active.as_ref().map(|active| (active.into(), durable.stage() != Some(Stage::Activated))))
}

/// The subscription to attach with: the newest; unless attaching with it has failed three times while the one before is still
/// there, which then gets its turn.
///
/// # Errors
/// [`Backend::Store`].
pub fn in_use(subscriptions: &dyn SubscriptionStore) -> Result<Option<Subscription>, Backend> {
    Ok(Durable::load(subscriptions)?.in_use().map(Into::into))
}

/// The network did not let the device attach with the subscription in use. Counts only while there is another one to fall back
/// to, and is durable then; by attempts, because a device may not have a clock.
///
/// # Errors
/// [`Backend::Store`].
pub fn attach_failed(subscriptions: &mut dyn SubscriptionStore) -> Result<(), Backend> {
    let mut durable = Durable::load(subscriptions)?;
    if durable.before().is_none() {
        return Ok(());
    }
    durable.failures = durable.failures.wrapping_add(1);
    durable.commit(&[], subscriptions)
}

/// Answers a challenge of the network with the subscription in use, under whichever of its keys it was made. The SQN is
/// durable before the answer is returned.
///
/// # Errors
/// [`Misuse::NotNow`] without a subscription; [`Backend`].
pub fn authenticate(
    challenge: &Challenge,
    subscriptions: &mut dyn SubscriptionStore,
    usim: &mut dyn Usim,
) -> Result<Answer, Error> {
    let durable = Durable::load(subscriptions)?;
    let mut refused = Err(Misuse::NotNow("the device has no subscription").into());
    for held in durable.answering() {
        let content: SecretBytes = subscriptions.slot(held.slot)?.ok_or(Backend::Store)?;
        let (answer, content) = usim.authenticate(held.slot, &content, challenge)?;
        if let Some(content) = content {
            durable.commit(&[SlotChange::Write(held.slot, &content)], subscriptions)?;
        }
        if !matches!(answer, Answer::MacFailure) {
            return Ok(answer);
        }
        refused = Ok(answer);
    }
    refused
}
