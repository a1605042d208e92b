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
//! `handshake` has steps 1 and 2, `offer` the others, `durable` the record, `network` what comes after.
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

mod config;
mod durable;
mod handshake;
mod network;
mod offer;

pub use self::{
    config::{Config, Goal, Introduction},
    network::{attach_failed, authenticate, in_use, subscription},
};
pub use crate::time::Retry;

use alloc::{boxed::Box, collections::VecDeque, vec::Vec};

use arrayvec::ArrayVec;

use self::{
    durable::{Durable, Held, Open, Signer, Stage},
    handshake::propose,
};
use crate::{
    attestation::Attester,
    authority::grant,
    credential::{Algorithm, Txn, Usim},
    crypto::{Crypto, Hash, Rng},
    edhoc::{self, Session, eap::EapKeys, initiator},
    error::{Backend, Class, Error, Malformed, Misbehaved, Misuse, Refused},
    fault::{Fault, is_seeded},
    identity::{PeerName, SubscriptionId},
    provisioning::{
        Millis,
        message::{self, MAX_CHOICES, Operation, Order, Standing},
        record::Channel,
    },
    store::{KeyStore, SubscriptionStore},
    trust::{Date, TrustAnchors, concealed::VoucherSecret, voucher::Ownership},
    wire,
};

/// Shortest pause between two attempts, in milliseconds.
const FIRST_REST: u64 = 60_000;

/// How often that doubles: 60 s × 2^10 is 17 hours.
const MAX_DOUBLINGS: u32 = 10;

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
    Authenticated(Box<Met>),
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
    durable: Box<Durable>,
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
    eap_keys: Option<Box<EapKeys>>,
    /// The last message sent, for repeating.
    sent: Vec<u8>,
    attempt: u8,
    deadline: Millis,
    /// [`Action::Send`] is in there without its bytes: it is for `sent`, whichever that is when it is asked for.
    actions: VecDeque<Action>,
}

#[derive(Debug)]
enum State {
    AwaitMessage2(initiator::AwaitMessage2),
    /// The operator is authenticated; the key store has still to make message_3.
    Answering(initiator::Message2Accepted, Box<Meeting>),
    AwaitMessage4(initiator::AwaitMessage4, Box<Meeting>),
    /// The offer is there; the key store has still to sign the receipt.
    Taking(Box<Session>, Box<Meeting>, Vec<u8>),
    AwaitDecision(Box<Channel>),
    /// The decision is there; the key store has still to sign the receipt.
    Deciding(Box<Channel>, Order),
    AwaitComplete(Box<Channel>),
    Ended,
}

/// A cookie of the operator's, at most [`MAX_COOKIE`](message::MAX_COOKIE) bytes.
type Cookie = Vec<u8>;

/// What this session is about.
#[derive(Debug)]
struct Meeting {
    /// What the operator's voucher says, where it came first.
    ownership: Option<Ownership>,
    evidence_formats: ArrayVec<u64, MAX_CHOICES>,
    /// For a voucher that is asked for.
    nonce: [u8; NONCE_LEN],
    /// What message_3 is to say, once it is made: a key store that is asked again is asked the same.
    draft: Option<edhoc::Draft>,
}

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
            State::Answering(message, meeting) => self.answer(message, meeting, now, platform),
            State::AwaitMessage4(handshake, meeting) => self.message_4(handshake, meeting, bytes, now, platform),
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
                    self.sent = message;
                    self.actions.push_back(Action::Send(Vec::new()));
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
        while let Some(action) = self.actions.pop_front() {
            match action {
                // It has been answered before anybody asked for it.
                Action::Send(_) if self.sent.is_empty() => {}
                Action::Send(_) => return Some(Action::Send(self.sent.clone())),
                other => return Some(other),
            }
        }
        None
    }

    /// The keys of EAP, once, if [`Config::eap_keys`] asks for them: from message_4 on, the protected success indication
    /// (draft-ietf-emu-eap-edhoc §3.5), if the device takes what is in there. None before, and none after a refusal.
    pub fn take_eap_keys(&mut self) -> Option<EapKeys> {
        self.eap_keys.take().map(|keys| *keys)
    }

    fn signer<'a>(&self, platform: &Platform<'a>) -> Signer<'a> {
        let Config { domain, own, .. } = &self.config;
        Signer { domain: *domain, key: own.key(), keys: platform.keys, crypto: platform.crypto }
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
        self.actions.push_back(Action::Send(Vec::new()));
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

impl From<&Held> for Subscription {
    fn from(held: &Held) -> Self {
        Self { id: SubscriptionId { supi: held.supi, epoch: held.epoch }, algorithm: held.algorithm }
    }
}
