//! The operator's side, from the top:
//!
//! 1. message_1 asks, perhaps with a concealed name ([`Question::Find`]); the operator shows who it is, its terms and the
//!    device's voucher (message_2). Nobody is known to be there yet.
//! 2. message_3: the device is authenticated, held against the concealed name, and its request is read.
//!    [`Question::Appraise`] decides whether it is welcome.
//! 3. From then on one table (`session`) says what comes next: a question, a message, or the end. Questions come one at a
//!    time; the caller answers each with [`Operator::answer`] whenever it can, over whatever database, executor or HSM it has.
//! 4. A message that promises something leaves only when [`Question::Log`] was answered.
//!
//! One machine is one session with one device. The caller routes: it makes a machine for a message_1 from somewhere new
//! and hands it what comes from there.

mod door;
mod session;
mod token;

pub use self::door::turn_away;

use alloc::{boxed::Box, collections::VecDeque, string::ToString, vec::Vec};

use self::session::{Core, Link, Sealed, Session, Step};
use crate::{
    aka::{self, Milenage},
    attestation::{self, Format, Verdict},
    authority::Permit,
    credential::{
        self, Activation, Algorithm, KeyName, MilenageParameters, Package, Previous, Secrets, ServiceProfile,
        StorageKey,
    },
    crypto::{Crypto, Hash, Rng, Secret},
    edhoc::{
        self, ConnectionId, Method, Opened, OwnCredential, Seal, Suite,
        eap::EapKeys,
        responder,
        token::{self as tokens, Portable},
    },
    error::{Backend, Class, Code, Error, Malformed, Misbehaved, Misuse, Untrusted},
    fault::{Fault, is_seeded},
    framing::relay::Admitted,
    identity::{Domain, PeerName, Role},
    provisioning::{
        Millis, is_key_store,
        log::{LogEntry, Offered, What},
        message::{
            self, Complete, Decision, DeviceState, Hello, Offer, Operation, Order, PackageOffer, Refusal, Request,
            Status, Stopped, Terms,
        },
        question::{Admission, Answer, Found, OwnedPart, Question, Reservation, TOO_LONG, Visitor, Wish},
        receipt::Event,
        record::Channel,
    },
    store::KeyStore,
    trust::{
        self, Date, TrustAnchors,
        concealed::{self, Concealed},
        voucher,
    },
    wire::{self, Raw, Writer},
};

/// How an operator runs the exchange.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its identity.
    pub own: OwnCredential,
    /// Production or test.
    pub domain: Domain,
    /// The methods it runs.
    pub methods: Vec<Method>,
    /// The suites it runs.
    pub suites: Vec<Suite>,
    /// What the relay may do that this session came through, if it came through one: see
    /// [`Gate::admit`](crate::framing::relay::Gate::admit). A message_1 that names another is refused, so nobody is taken for
    /// forwarding what it did not; and an operation that the relay's token is not for is [`Code::RelayScope`].
    pub relay: Option<Admitted>,
    /// Whether the handshake is an EAP method, so that its keys are wanted: see [`Operator::take_eap_keys`].
    pub eap_keys: bool,
    /// Evidence formats that it asks for, at most eight: numbers of [`Format`].
    pub evidence_formats: Vec<u64>,
    /// Milliseconds after which a session that nobody goes on with is given up.
    pub patience: u64,
    /// Seconds after which a device that is refused with a code of class RETRY is to ask again.
    pub retry_after: u32,
}

impl Config {
    /// Method 0, all suites, no relay, no keys for EAP, evidence in every format, five minutes for either.
    pub fn new(own: OwnCredential, domain: Domain) -> Self {
        Self {
            own,
            domain,
            methods: alloc::vec![Method::SignSign],
            suites: Suite::ALL.to_vec(),
            relay: None,
            eap_keys: false,
            evidence_formats: [Format::Psa, Format::Eat].map(|format| u64::from(format.number())).to_vec(),
            patience: 300_000,
            retry_after: 300,
        }
    }
}

/// The operator's world, lent for one call. No database: see [`Question`].
pub struct Desk<'a> {
    /// Primitives.
    pub crypto: &'a dyn Crypto,
    /// Randomness.
    pub rng: &'a mut dyn Rng,
    /// The identity key.
    pub keys: &'a dyn KeyStore,
    /// What K rests under in the log.
    pub storage: &'a StorageKey,
    /// Which manufacturers to believe.
    pub anchors: &'a dyn TrustAnchors,
    /// The calendar date.
    pub date: Date,
}

impl core::fmt::Debug for Desk<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Desk(..)")
    }
}

/// What the operator wants done.
#[derive(Debug)]
pub enum Action {
    /// Send these bytes to the device.
    Send(Vec<u8>),
    /// Call [`Operator::handle_timeout`] at this moment. Replaces the moment named before.
    WakeAt(Millis),
    /// Answer this with [`Operator::answer`].
    Ask(Question),
    /// The machine has ended; with [`Error::Declined`] if an answer of yours said no. It still repeats its last message
    /// to a device that did not get it: keep it until the moment of its last [`Action::WakeAt`].
    Finished(Result<(), Error>),
}

/// Longest sealed package and voucher together: what message_4 leaves when txn, heads, padding and tag have their bytes.
const MAX_PACKAGE: usize = wire::MAX_MESSAGE - 160;

/// One session with one device.
#[derive(Debug)]
pub struct Operator {
    config: Config,
    state: State,
    /// SHA-256 of the last message that was taken in.
    taken: Option<Hash>,
    /// What was sent in answer to it.
    sent: Option<Vec<u8>>,
    /// From message_4 on, if they are wanted and nobody has taken them.
    eap_keys: Option<EapKeys>,
    deadline: Option<Millis>,
    actions: VecDeque<Action>,
}

#[derive(Debug)]
enum State {
    AwaitMessage1,
    /// message_1 is read, with a concealed name.
    Finding(Box<responder::Message1>, Date),
    /// message_1 is read; the key store has still to make message_2.
    Greeting(Box<Greeting>),
    AwaitMessage3(Box<responder::AwaitMessage3>, Introduced),
    Appraising(Box<Case>),
    Asking(Box<Session>, Asked),
    AwaitRecord(Box<Session>),
    Ended,
}

/// What is asked about a device that was admitted.
#[derive(Debug)]
enum Asked {
    Subscription(Entitled),
    Opc(Entitled, Box<Draft>),
    Log(Box<LogEntry>),
    Put,
    Read(Code),
    Recover,
    Bar,
    Remove,
}

/// message_2 in the making.
#[derive(Debug)]
struct Greeting {
    message: responder::Message1,
    c_r: ConnectionId,
    terms: Vec<u8>,
    introduced: Introduced,
}

/// How a session began.
#[derive(Debug)]
struct Introduced {
    since: Date,
    /// Whether message_1 had a concealed name.
    voucher_first: bool,
    /// The voucher in message_2, if the name was known.
    shown: Option<Shown>,
}

/// A voucher that names this operator.
#[derive(Debug)]
struct Shown {
    name: PeerName,
    head: Hash,
    /// The owner epoch of its last entry, if it has more than the maker's.
    epoch: u32,
    /// It has no more than that, and answers a device's nonce: it is one epoch on from where the device is.
    next: bool,
}

impl Shown {
    /// The owner epoch that a device is in that has accepted it, as [`voucher::verify`] counts.
    fn owner_epoch(&self, state: &DeviceState) -> u32 {
        match state.voucher_head {
            Some(head) if head == self.head => state.owner_epoch,
            Some(_) if self.next => state.owner_epoch.saturating_add(1),
            _ => self.epoch,
        }
    }
}

/// A device at the desk: authenticated, waiting for message_4.
#[derive(Debug)]
struct Case {
    handshake: responder::Message3Accepted,
    visitor: Visitor,
    /// The voucher that it has seen.
    shown: Option<Shown>,
}

/// What makes a device get a credential.
#[derive(Debug)]
struct Entitled {
    verdict: Verdict,
    shown: Shown,
    /// The voucher that it has still to see.
    voucher: Option<Vec<u8>>,
    /// On whose account.
    account: Option<OnAccount>,
}

/// What a grant makes of a credential.
#[derive(Debug)]
struct OnAccount {
    hash: Hash,
    profile: OwnedPart,
}

impl From<&Permit> for OnAccount {
    fn from(permit: &Permit) -> Self {
        Self { hash: *permit.hash(), profile: OwnedPart::profile(permit.profile()) }
    }
}

/// A credential in the making.
#[derive(Debug)]
struct Draft {
    reservation: Reservation,
    epoch: u32,
    k: Secret<16>,
}

impl Operator {
    /// A machine for a new session.
    pub const fn new(config: Config) -> Self {
        Self {
            config,
            state: State::AwaitMessage1,
            taken: None,
            sent: None,
            eap_keys: None,
            deadline: None,
            actions: VecDeque::new(),
        }
    }

    /// Takes in what came from the device.
    ///
    /// # Errors
    /// Says whose move it is. If the machine ended with it, [`Action::Finished`] follows; if not, it is as if the bytes
    /// had never come. Nothing has been logged in either case.
    pub fn handle_message(&mut self, bytes: &[u8], now: Millis, desk: &mut Desk<'_>) -> Result<(), Error> {
        if bytes.len() > wire::MAX_MESSAGE {
            return Err(Malformed::TooLong.into());
        }
        let hash = desk.crypto.sha256(&[bytes]);
        if self.taken == Some(hash) && !matches!(self.state, State::Greeting(..)) {
            // A repetition: the same bytes again, or nothing while the answer is still in the making.
            self.actions.extend(self.sent.clone().map(Action::Send));
            return Ok(());
        }
        // Look first, move second: bytes that cannot be the next message leave the state alone.
        match &mut self.state {
            // Never an error for an error: two operators would go on with that for ever.
            State::AwaitMessage1 => {
                if let Ok(error) = edhoc::read_error(bytes) {
                    return Err(error.refused.into());
                }
            }
            // Another device is not this one.
            State::Greeting(..) if self.taken != Some(hash) => return Err(Misbehaved::UnexpectedMessage.into()),
            State::Greeting(..) => {}
            State::AwaitMessage3(..) => {
                if edhoc::is_error_message(bytes) {
                    let error = edhoc::read_error(bytes)?;
                    return self.end(Err(error.refused.into()));
                }
                wire::decode::<&[u8]>(bytes)?;
            }
            State::AwaitRecord(session) => {
                let Link::Open(channel) = &mut session.link else { return Err(Misbehaved::UnexpectedMessage.into()) };
                let text = channel.open(bytes, desk.crypto)?;
                self.taken = Some(hash);
                self.sent = None;
                let result = self.record(text.bytes(), desk);
                return self.settle(result);
            }
            _ => return Err(Misbehaved::UnexpectedMessage.into()),
        }
        let result = match core::mem::replace(&mut self.state, State::Ended) {
            State::AwaitMessage1 => self.message_1(bytes, now, desk),
            State::Greeting(greeting) => {
                self.wait(now);
                self.greet(*greeting, desk)
            }
            State::AwaitMessage3(handshake, introduced) => self.message_3(*handshake, introduced, bytes, desk),
            _ => Err(Misbehaved::UnexpectedMessage.into()),
        };
        self.taken = Some(hash);
        result.or_else(|error| {
            // RFC 9528 §6.3.1: the device asks again with another suite, and nothing stands in its way.
            if error == Misbehaved::WrongSuite.into() {
                self.state = State::AwaitMessage1;
                self.sent = edhoc::error_message(&error, &self.config.suites);
                self.actions.extend(self.sent.clone().map(Action::Send));
                self.wait(now);
                return Err(error);
            }
            // The device has been told in message_4.
            if matches!(error, Error::Declined(_)) {
                return self.settle(Err(error));
            }
            self.tell(error)
        })
    }

    /// Gives up a session that nobody went on with.
    ///
    /// # Errors
    /// [`Error::Unanswered`]; the machine has ended.
    pub fn handle_timeout(&mut self, now: Millis) -> Result<(), Error> {
        match (&self.state, self.deadline) {
            (State::Ended, _) | (_, None) => Ok(()),
            (_, Some(deadline)) if now < deadline => Ok(()),
            _ => self.end(Err(Error::Unanswered)),
        }
    }

    /// Seals the session into a token (see [`Seal`]) that any server with the same key and the same configuration can open
    /// and go on with: between two messages, or while a question is open. At most [`MAX_TOKEN`](edhoc::MAX_TOKEN) bytes;
    /// while it waits for message_3, some 220 and the message_2 that it may have to repeat.
    ///
    /// This machine has to go then: two of them would speak under one key. XRES and, while a credential is being made, K are
    /// in there: the token's key is as precious as the database.
    ///
    /// # Errors
    /// [`Misuse::NotNow`] while [`Operator::poll`] still has something; [`Backend`].
    pub fn seal(&self, seal: &Seal<'_>, crypto: &dyn Crypto, rng: &mut dyn Rng) -> Result<Vec<u8>, Error> {
        if !self.actions.is_empty() {
            return Err(Misuse::NotNow("poll until there is nothing left to do, then seal").into());
        }
        let save = |w: &mut Writer<'_>| {
            self.state.save(w);
            self.taken.save(w);
            self.sent.save(w);
            self.eap_keys.save(w);
        };
        tokens::seal(tokens::Kind::Operator, save, seal, crypto, rng)
    }

    /// Opens a token of [`Operator::seal`]. The patience of `config` starts anew at `now`, with an [`Action::WakeAt`]. A
    /// question that was open is not asked again.
    ///
    /// # Errors
    /// [`Malformed`]; [`Untrusted`] if it was altered, sealed under another key or for something
    /// else, or has expired.
    pub fn open(
        config: Config,
        token: &[u8],
        key: &Secret<32>,
        today: Date,
        now: Millis,
        crypto: &dyn Crypto,
    ) -> Result<Opened<Self>, Error> {
        tokens::open(tokens::Kind::Operator, token, key, today, crypto, |r| {
            let mut operator = Self::new(config);
            operator.state = State::load(r)?;
            operator.taken = Option::load(r)?;
            operator.sent = Option::load(r)?;
            operator.eap_keys = Option::load(r)?;
            operator.wait(now);
            Ok(operator)
        })
    }

    /// The next thing to do; `None` when it is time to wait.
    pub fn poll(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// The keys of EAP, once, if [`Config::eap_keys`] asks for them: from message_4 on, which says to a device that this
    /// operator knows who it is (draft-ietf-emu-eap-edhoc §3.5). None while the device is nobody yet, and none where message_4
    /// refuses it: then the EAP server refuses as well. A token of [`Operator::seal`] has them until they are taken.
    pub const fn take_eap_keys(&mut self) -> Option<EapKeys> {
        self.eap_keys.take()
    }

    /// Goes on with the answer to the question asked last.
    ///
    /// # Errors
    /// [`Misuse::NotNow`] for an answer to another question: nothing has changed. Otherwise the machine has ended, and
    /// [`Action::Finished`] follows.
    pub fn answer(&mut self, answer: Answer, desk: &mut Desk<'_>) -> Result<(), Error> {
        if !self.state.fits(&answer) {
            return Err(Misuse::NotNow("this question was not asked").into());
        }
        let result = match (core::mem::replace(&mut self.state, State::Ended), answer) {
            (State::Finding(message, since), Answer::Found(found)) => {
                return self.found(*message, since, found, desk).or_else(|error| self.tell(error));
            }
            (State::Appraising(case), Answer::Appraised(Ok(admission))) => self.appraised(*case, *admission, desk),
            (State::Appraising(case), Answer::Appraised(Err(code))) => {
                let Case { handshake, visitor, .. } = *case;
                self.refuse(Link::Opening(Box::new(handshake)), visitor.txn, code, desk)
            }
            (State::Asking(session, asked), answer) => self.answered(session, asked, answer, desk),
            _ => Err(Misuse::NotNow("this question was not asked").into()),
        };
        self.settle(result)
    }

    /// Ends with an error; if the caller's answer was no, the device has been told, and that is nobody's failure.
    fn settle(&mut self, result: Result<(), Error>) -> Result<(), Error> {
        match result {
            Err(declined @ Error::Declined(_)) => self.end(Err(declined)).or(Ok(())),
            other => other.or_else(|error| self.end(Err(error))),
        }
    }

    // ------------------------------------------------------------------------------------------ the messages

    fn message_1(&mut self, bytes: &[u8], now: Millis, desk: &mut Desk<'_>) -> Result<(), Error> {
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
    fn found(
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
    fn outline(&self, voucher: &[u8], device: &PeerName, desk: &Desk<'_>) -> Result<Shown, Error> {
        let outline = voucher::outline(voucher, desk.crypto)?;
        let own = desk.keys.public_key(self.config.own.key())?;
        if outline.voucher.serial != device.as_str() || outline.owner != own.thumbprint(desk.crypto) {
            return Err(Misuse::Parameter("the voucher is not for this device and this operator").into());
        }
        let next = outline.voucher.nonce.is_some() && outline.entries == 1;
        Ok(Shown { name: *device, head: outline.head, epoch: outline.epoch, next })
    }

    fn introduce(
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

    fn greet(&mut self, greeting: Greeting, desk: &mut Desk<'_>) -> Result<(), Error> {
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

    fn message_3(
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

    /// An authenticated record: from here on an error is the device's, and ends the machine.
    fn record(&mut self, text: &[u8], desk: &mut Desk<'_>) -> Result<(), Error> {
        let State::AwaitRecord(mut session) = core::mem::replace(&mut self.state, State::Ended) else {
            return Err(Misbehaved::UnexpectedMessage.into());
        };
        session.record(text, desk.crypto)?;
        self.advance(session, desk)
    }

    // ------------------------------------------------------------------------------------------ a device that is known

    fn appraised(&mut self, case: Case, admission: Admission, desk: &mut Desk<'_>) -> Result<(), Error> {
        let Case { handshake, mut visitor, shown } = case;
        let Admission { verdict, admitted, voucher, permit } = admission;
        if !verdict.is_for(&visitor.evidence_nonce) || !admitted.is_for(&visitor) {
            return Err(Misuse::Parameter("an admission of another session").into());
        }
        let link = Link::Opening(Box::new(handshake));
        let account = permit.as_ref().map(OnAccount::from);
        if visitor.operation == Operation::OnDemand && account.is_none() {
            return self.refuse(link, visitor.txn, Code::GrantMissing, desk);
        }
        let entitled = match (visitor.operation.issues(), shown, voucher) {
            (false, ..) => None,
            (true, Some(shown), _) => Some(Entitled { verdict, shown, voucher: None, account }),
            (true, None, Some(voucher)) => {
                let shown = self.outline(&voucher, visitor.device.name(), desk)?;
                Some(Entitled { verdict, shown, voucher: Some(voucher), account })
            }
            (true, None, None) => return self.refuse(link, visitor.txn, Code::NotEntitled, desk),
        };
        let (account, proof, receipts, line) = admitted.into_parts();
        visitor.receipts = Vec::new();
        let mut session = Box::new(Session {
            domain: self.config.domain,
            link,
            visitor,
            account,
            proof,
            line,
            shown: None,
            core: Core::Silent,
            entitled,
            package: None,
            expected: None,
            over: false,
            barred: 0,
            cleared: false,
            foreign: false,
            steps: 0,
        });
        match session.resume(receipts, desk.crypto) {
            Ok(()) => self.advance(session, desk),
            Err(code) => self.refuse(session.link, session.visitor.txn, code, desk),
        }
    }

    /// Carries out what the table says.
    fn advance(&mut self, mut session: Box<Session>, desk: &mut Desk<'_>) -> Result<(), Error> {
        let (question, asked) = match session.step(desk.crypto)? {
            Step::Issue => return self.issue(session, desk),
            Step::Package => return self.package(session, desk),
            Step::Say(order) => return self.say(session, order, desk),
            Step::Refuse(code) => return self.refuse(session.link, session.visitor.txn, code, desk),
            Step::End => return self.end(Ok(())),
            Step::Log(what) => {
                let entry = Box::new(session.account.entry(&session.visitor.device.device_id().to_string(), *what));
                (Question::Log(entry.clone()), Asked::Log(entry))
            }
            Step::Put => (Question::PutIntoCore(Box::new(session.core_credential(desk)?)), Asked::Put),
            Step::Read(what) => {
                let code = if let Core::Unsure(code) = session.core { code } else { Code::TryLater };
                (Question::ReadCore(what), Asked::Read(code))
            }
            Step::Recover(lost) => (Question::Recover(lost), Asked::Recover),
            Step::Bar(what) => (Question::BarInCore(what), Asked::Bar),
            Step::Remove(what) => (Question::RemoveFromCore(what), Asked::Remove),
        };
        self.actions.push_back(Action::Ask(question));
        self.state = State::Asking(session, asked);
        Ok(())
    }

    fn answered(
        &mut self,
        mut session: Box<Session>,
        asked: Asked,
        answer: Answer,
        desk: &mut Desk<'_>,
    ) -> Result<(), Error> {
        session.core = match (asked, answer) {
            (Asked::Subscription(entitled), Answer::Reserved(Ok(reservation))) => {
                return self.reserved(session, entitled, reservation, desk);
            }
            (Asked::Opc(entitled, draft), Answer::Opc(Ok(opc))) => {
                return self.opc(session, entitled, *draft, opc, desk);
            }
            (Asked::Log(entry), Answer::Logged(Ok(()))) => {
                session.logged(&entry, desk.crypto)?;
                session.core
            }
            (Asked::Put, Answer::CoreReady(Ok(()))) => Core::Accepts,
            (Asked::Put | Asked::Bar | Asked::Remove, Answer::CoreReady(Err(code))) => Core::Unsure(code),
            (Asked::Read(code), Answer::CoreHolds(Ok(fingerprint))) => session.compared(fingerprint, code),
            (Asked::Recover, Answer::Recovered(Ok(found))) => Core::Recovered(found),
            (Asked::Bar, Answer::CoreReady(Ok(()))) => {
                session.barred = session.barred.saturating_add(1);
                session.core
            }
            (Asked::Remove, Answer::CoreReady(Ok(()))) => {
                session.cleared = true;
                session.core
            }
            (
                _,
                Answer::Reserved(Err(code))
                | Answer::Opc(Err(code))
                | Answer::Logged(Err(code))
                | Answer::CoreHolds(Err(code))
                | Answer::Recovered(Err(code))
                | Answer::CoreReady(Err(code)),
            ) => return self.refuse(session.link, session.visitor.txn, code, desk),
            _ => return Err(Misuse::NotNow("this question was not asked").into()),
        };
        self.advance(session, desk)
    }

    // ------------------------------------------------------------------------------------------ a new credential

    fn issue(&mut self, mut session: Box<Session>, desk: &mut Desk<'_>) -> Result<(), Error> {
        let Some(entitled) = session.entitled.take().filter(|entitled| session.may_own(entitled)) else {
            return self.refuse(session.link, session.visitor.txn, Code::NotEntitled, desk);
        };
        let algorithms = &session.visitor.algorithms;
        if !algorithms.iter().any(|number| Algorithm::from_number(*number).is_some()) {
            return self.refuse(session.link, session.visitor.txn, Code::NoCommonAlgorithm, desk);
        }
        let Visitor { device, txn, operation, .. } = &session.visitor;
        let current = session.account.active().map(|active| session::read(&active.supi)).transpose()?;
        let wish = Wish { device: device.device_id(), txn: *txn, operation: *operation, current };
        self.actions.push_back(Action::Ask(Question::Reserve(Box::new(wish))));
        self.state = State::Asking(session, Asked::Subscription(entitled));
        Ok(())
    }

    fn reserved(
        &mut self,
        session: Box<Session>,
        entitled: Entitled,
        reservation: Reservation,
        desk: &mut Desk<'_>,
    ) -> Result<(), Error> {
        let Link::Opening(handshake) = &session.link else { return Err(Misbehaved::UnexpectedMessage.into()) };
        let Some(epoch) = session.account.next_epoch(&session.visitor, reservation.core_epoch) else {
            return self.refuse(session.link, session.visitor.txn, Code::Conflict, desk);
        };
        let txn = &session.visitor.txn;
        let name = KeyName { algorithm: Algorithm::Milenage, supi: &reservation.supi, epoch, txn };
        let k = credential::derive_k(&name, handshake.session(), desk.crypto)?;
        self.actions.push_back(Action::Ask(Question::ComputeOpc { k: Secret::from_slice(k.bytes())? }));
        self.state = State::Asking(session, Asked::Opc(entitled, Box::new(Draft { reservation, epoch, k })));
        Ok(())
    }

    fn opc(
        &mut self,
        mut session: Box<Session>,
        entitled: Entitled,
        draft: Draft,
        opc: Secret<16>,
        desk: &mut Desk<'_>,
    ) -> Result<(), Error> {
        let Draft { reservation, epoch, k } = draft;
        let Reservation { supi, activation, sqn, management_field, suci, profile, .. } = &reservation;
        let Visitor { txn, operation, state, .. } = &session.visitor;
        let Link::Opening(handshake) = &session.link else { return Err(Misbehaved::UnexpectedMessage.into()) };
        let previous = session.previous(supi, desk.crypto);
        let activation = if previous == Previous::None { *activation } else { Activation::TwoPhase };
        let Entitled { verdict, shown, voucher, account } = entitled;
        // What was granted, and nothing beside it.
        let profile = account.as_ref().map(|account| &account.profile).or(profile.as_ref());
        let profile: Option<ServiceProfile> = profile.map(OwnedPart::read).transpose()?;
        let mut rand = [0; 16];
        desk.rng.fill(&mut rand)?;
        let vector = aka::vector(&Milenage::new(&k, &opc), &rand, *sqn, *management_field);
        let draft = Package {
            epoch,
            supi: *supi,
            algorithm: Algorithm::Milenage,
            parameters: MilenageParameters { opc: opc.bytes() },
            challenge: vector.challenge,
            suci: suci.as_ref().map(OwnedPart::read).transpose()?,
            profile: profile.clone(),
            activation,
            previous,
        };
        let package = credential::seal(&draft, self.config.domain, txn, handshake.session(), desk.crypto)?;
        drop(draft);
        // Before anything is logged: afterwards it would be too late to learn that the offer does not fit.
        if package.len().saturating_add(voucher.as_ref().map_or(0, Vec::len)) > MAX_PACKAGE {
            return Err(TOO_LONG.into());
        }
        let package_hash = credential::package_hash(&package, desk.crypto);
        let fingerprint = credential::fingerprint(&k, desk.crypto);
        let secrets = Secrets { k, opc, sqn: *sqn };
        let offered = What::Offered(Offered {
            txn: *txn,
            operation: *operation,
            request: session.seen(),
            supi: supi.as_str().to_string(),
            epoch,
            activation,
            previous,
            package_hash,
            owner_epoch: shown.owner_epoch(state),
            voucher_head: shown.head,
            grant: account.as_ref().map(|account| account.hash),
            fingerprint,
            wrapped: desk.storage.wrap(&secrets, &package_hash, desk.crypto)?,
            profile: profile.map(Box::new),
            verdict,
        });
        let entry = Box::new(session.account.entry(&session.visitor.device.device_id().to_string(), offered));
        session.package = Some(Box::new(Sealed { package, voucher, xres: vector.keys.res.clone(), refuted: false }));
        if is_seeded(Fault::SendsBeforeLogging) && activation == Activation::TwoPhase {
            session.logged(&entry, desk.crypto)?;
            self.advance(session, desk)?;
            self.ask(Question::Log(entry));
            return Ok(());
        }
        self.actions.push_back(Action::Ask(Question::Log(entry.clone())));
        self.state = State::Asking(session, Asked::Log(entry));
        Ok(())
    }

    fn package(&mut self, mut session: Box<Session>, desk: &mut Desk<'_>) -> Result<(), Error> {
        let (Some(sealed), Some(deal)) = (&session.package, session.account.open()) else {
            return Err(Backend::Store.into());
        };
        let expected = match deal.activation {
            Activation::OneShot => Event::Activated,
            Activation::TwoPhase => Event::Prepared,
        };
        let package_hash = deal.credential.package_hash;
        let offer =
            PackageOffer { txn: session.visitor.txn, sealed: &sealed.package, voucher: sealed.voucher.as_deref() };
        let offer = wire::encode(&Offer::Package(offer));
        session.link = self.message_4(session.link, &offer, Some(&package_hash), desk)?;
        self.expect(session, expected);
        Ok(())
    }

    // ------------------------------------------------------------------------------------------ what the device is told

    /// In message_4, or, where that is out, in a record.
    fn say(&mut self, mut session: Box<Session>, order: Order, desk: &mut Desk<'_>) -> Result<(), Error> {
        let (txn, acknowledged) = (session.visitor.txn, session.acknowledged());
        session.link = match session.link {
            opening @ Link::Opening(_) => {
                let (standing, wanted) = (session.account.standing(), session.account.wanted());
                let status = wire::encode(&Offer::Status(Status { txn, acknowledged, order, standing, wanted }));
                let hash = desk.crypto.sha256(&[&status]);
                self.message_4(opening, &status, (order != Order::Complete).then_some(&hash), desk)?
            }
            Link::Open(mut channel) => {
                let text = match order {
                    Order::Complete => wire::encode(&Complete { txn, acknowledged }),
                    Order::Commit => wire::encode(&Decision { txn, verdict: message::Verdict::Commit }),
                    Order::Abort => wire::encode(&Decision { txn, verdict: message::Verdict::Abort }),
                    Order::Erase => return self.refuse(Link::Open(channel), txn, Code::Revoked, desk),
                };
                let record = channel.seal(&text, desk.crypto)?;
                self.send(record);
                Link::Open(channel)
            }
            Link::Closed => Link::Closed,
        };
        match order {
            Order::Complete => {
                session.over = true;
                session.link = Link::Closed;
                return self.advance(session, desk);
            }
            Order::Commit => self.expect(session, Event::Activated),
            Order::Abort => self.expect(session, Event::Aborted),
            Order::Erase => self.expect(session, Event::Erased),
        }
        Ok(())
    }

    fn expect(&mut self, mut session: Box<Session>, event: Event) {
        session.expected = Some(event);
        self.state = State::AwaitRecord(session);
    }

    /// Says no, so that the device knows, and fails with that: whoever asked ends the machine.
    fn refuse(&mut self, link: Link, txn: credential::Txn, code: Code, desk: &mut Desk<'_>) -> Result<(), Error> {
        let retry_after = (code.class() == Class::Retry).then_some(self.config.retry_after);
        match link {
            opening @ Link::Opening(_) => {
                let refusal = wire::encode(&Offer::Refusal(Refusal { txn, code, retry_after }));
                self.message_4(opening, &refusal, None, desk)?;
                self.eap_keys = None;
            }
            Link::Open(mut channel) => {
                let record = channel.seal(&wire::encode(&Stopped { txn, code, retry_after }), desk.crypto)?;
                self.send(record);
            }
            // It has had the last word.
            Link::Closed => return self.end(Ok(())),
        }
        Err(Error::Declined(code))
    }

    /// Sends message_4, and opens the record channel if something is to follow: both sides name what was offered in it.
    fn message_4(
        &mut self,
        link: Link,
        offer: &[u8],
        offered: Option<&Hash>,
        desk: &mut Desk<'_>,
    ) -> Result<Link, Error> {
        let Link::Opening(handshake) = link else { return Err(Misbehaved::UnexpectedMessage.into()) };
        let item = message::ead(offer);
        let ead_4 = message::with_padding(item, handshake.plaintext_4_len(&[item]));
        let (session, message_4) = handshake.write(&ead_4, desk.crypto)?;
        self.eap_keys = self.config.eap_keys.then(|| session.eap_keys(desk.crypto)).transpose()?;
        let link = match offered {
            Some(hash) => Link::Open(Box::new(Channel::of_operator(&session, hash, desk.crypto)?)),
            None => Link::Closed,
        };
        self.send(message_4);
        Ok(link)
    }

    // ------------------------------------------------------------------------------------------ actions

    fn ask(&mut self, question: Question) {
        self.actions.push_back(Action::Ask(question));
    }

    fn send(&mut self, bytes: Vec<u8>) {
        self.sent = Some(bytes.clone());
        self.actions.push_back(Action::Send(bytes));
    }

    fn wait(&mut self, now: Millis) {
        let deadline = now.after(self.config.patience);
        self.deadline = Some(deadline);
        self.actions.push_back(Action::WakeAt(deadline));
    }

    /// Ends with what the peer may know of `error`; or stays, if the key store is not ready: the same message again, and it
    /// is asked again.
    fn tell(&mut self, error: Error) -> Result<(), Error> {
        if !matches!(self.state, State::Ended) {
            return Err(error);
        }
        if let Some(message) = edhoc::error_message(&error, &self.config.suites) {
            self.send(message);
        }
        self.end(Err(error))
    }

    fn end(&mut self, result: Result<(), Error>) -> Result<(), Error> {
        self.state = State::Ended;
        self.actions.push_back(Action::Finished(result));
        result
    }
}

impl State {
    /// Whether it waits for an answer of this kind.
    const fn fits(&self, answer: &Answer) -> bool {
        match self {
            Self::Finding(..) => matches!(answer, Answer::Found(_)),
            Self::Appraising(_) => matches!(answer, Answer::Appraised(_)),
            Self::Asking(_, asked) => match asked {
                Asked::Subscription(_) => matches!(answer, Answer::Reserved(_)),
                Asked::Opc(..) => matches!(answer, Answer::Opc(_)),
                Asked::Log(_) => matches!(answer, Answer::Logged(_)),
                Asked::Put | Asked::Bar | Asked::Remove => matches!(answer, Answer::CoreReady(_)),
                Asked::Read(_) => matches!(answer, Answer::CoreHolds(_)),
                Asked::Recover => matches!(answer, Answer::Recovered(_)),
            },
            Self::AwaitMessage1 | Self::Greeting(_) | Self::AwaitMessage3(..) | Self::AwaitRecord(_) | Self::Ended => {
                false
            }
        }
    }
}
