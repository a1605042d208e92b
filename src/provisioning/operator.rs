//! The operator's side, from the top:
//!
//! 1. message_1 asks, perhaps with a concealed name ([`Question::Find`]); the operator shows who it is, its terms and the
//!    device's voucher (message_2). Nobody is known to be there yet.
//! 2. message_3: the device is authenticated, held against the concealed name, and its request is read.
//! 3. The machine stops with questions, one at a time: [`Question::Appraise`], [`Question::Reserve`],
//!    [`Question::ComputeOpc`], [`Question::Log`], [`Question::PutIntoCore`]. The caller answers each with
//!    [`Operator::answer`] whenever it can, over whatever database, executor or HSM it has.
//! 4. message_4 leaves with the sealed package: by then the offer is durable and the core knows the credential.
//! 5. `confirm`: RES and receipt are checked, logged, and answered with `complete`.
//!
//! One machine is one session with one device. The caller routes: it makes a machine for a message_1 from somewhere new
//! and hands it what comes from there.

use alloc::{boxed::Box, collections::VecDeque, string::ToString, vec::Vec};

use crate::{
    aka::{self, Milenage, Output},
    attestation::{self, Format, Verdict},
    credential::{self, Activation, Algorithm, KeyName, MilenageParameters, Package, Previous},
    crypto::{self, Crypto, Hash, Rng, Secret},
    edhoc::{
        self, ConnectionId, Method, Opened, OwnCredential, Seal, Suite, responder,
        token::{self, Kind, Portable},
    },
    error::{Backend, Code, Error, Malformed, Misbehaved, Misuse, Untrusted},
    identity::{Domain, PeerName, Role, Supi},
    provisioning::{
        Millis, is_key_store,
        log::{Confirmed, LogEntry, Offered},
        message::{
            self, Complete, Confirm, Event, Hello, Offer, Operation, PackageOffer, Receipt, Refusal, Request, Status,
            Terms,
        },
        question::{
            Admission, Answer, CoreCredential, Found, OwnedPart, Question, Recalled, Reservation, TOO_LONG, Visitor,
        },
        record::Channel,
    },
    store::KeyStore,
    trust::{
        self, Date, Peer, TrustAnchors,
        concealed::{self, Concealed},
        voucher,
    },
    wire::{self, Raw, Reader, Writer},
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
    /// SHA-256 over the announcement of the relay that this session came through, if it came through one. A message_1 that
    /// names another is refused, so nobody is taken for forwarding what it did not.
    pub relay: Option<Hash>,
    /// Evidence formats that it asks for, at most eight: numbers of [`Format`].
    pub evidence_formats: Vec<u64>,
    /// Milliseconds after which a session that nobody goes on with is given up.
    pub patience: u64,
}

impl Config {
    /// Method 0, all suites, no relay, evidence in every format, five minutes.
    pub fn new(own: OwnCredential, domain: Domain) -> Self {
        Self {
            own,
            domain,
            methods: alloc::vec![Method::SignSign],
            suites: Suite::ALL.to_vec(),
            relay: None,
            evidence_formats: [Format::Psa, Format::Eat].map(|format| u64::from(format.number())).to_vec(),
            patience: 300_000,
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
    Reserving(Box<Case>, Box<Admitted>),
    ComputingOpc(Box<Case>, Box<Draft>),
    LoggingOffer(Box<Case>, Box<Sealed>, Box<CoreCredential>),
    PuttingIntoCore(Box<Case>, Box<Sealed>),
    AwaitConfirm(Box<Expected>),
    LoggingConfirm(Box<Expected>, Complete),
    Recalling(Box<Case>),
    LoggingResume(Box<Case>, u64),
    Ended,
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
    /// The owner epoch that a device is in when this is its first voucher.
    epoch: u32,
}

/// A device at the desk: authenticated, waiting for message_4.
#[derive(Debug)]
struct Case {
    handshake: responder::Message3Accepted,
    visitor: Visitor,
    /// The voucher that it has seen.
    shown: Option<Shown>,
}

/// A device that gets a subscription.
#[derive(Debug)]
struct Admitted {
    verdict: Verdict,
    shown: Shown,
    /// The voucher that it has still to see.
    voucher: Option<Vec<u8>>,
}

/// A credential in the making.
#[derive(Debug)]
struct Draft {
    admitted: Admitted,
    reservation: Reservation,
    k: Secret<16>,
}

/// A package that is ready to go.
#[derive(Debug)]
struct Sealed {
    package: Vec<u8>,
    voucher: Option<Vec<u8>>,
    expected: Expected,
}

/// What `confirm` has to say.
struct Expected {
    channel: Channel,
    device: Peer,
    /// The receipt that the device will make; only its sequence number is the device's to choose.
    receipt: Receipt,
    xres: Output,
}

/// Without XRES: nobody is to know it before the device has said it.
impl core::fmt::Debug for Expected {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Expected").field("device", &self.device).field("receipt", &self.receipt).finish_non_exhaustive()
    }
}

/// What a receipt is for.
struct Named<'a> {
    supi: &'a Supi,
    epoch: u32,
    package_hash: Hash,
    owner_epoch: u32,
}

impl Operator {
    /// A machine for a new session.
    pub const fn new(config: Config) -> Self {
        Self { config, state: State::AwaitMessage1, taken: None, sent: None, deadline: None, actions: VecDeque::new() }
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
            State::AwaitConfirm(expected) => {
                let text = expected.channel.open(bytes, desk.crypto)?;
                self.taken = Some(hash);
                self.sent = None;
                let result = self.confirm(text.bytes(), desk);
                return result.or_else(|error| self.end(Err(error)));
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
        };
        token::seal(Kind::Operator, save, seal, crypto, rng)
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
        token::open(Kind::Operator, token, key, today, crypto, |r| {
            let mut operator = Self::new(config);
            operator.state = State::load(r)?;
            operator.taken = Option::load(r)?;
            operator.sent = Option::load(r)?;
            operator.wait(now);
            Ok(operator)
        })
    }

    /// The next thing to do; `None` when it is time to wait.
    pub fn poll(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Goes on with the answer to the question asked last.
    ///
    /// # Errors
    /// [`Misuse::NotNow`] for an answer to another question: nothing has changed. Otherwise the machine has ended, and
    /// [`Action::Finished`] follows.
    pub fn answer(&mut self, answer: Answer, desk: &mut Desk<'_>) -> Result<(), Error> {
        let fits = matches!(
            (&self.state, &answer),
            (State::Finding(..), Answer::Found(_))
                | (State::Appraising(_), Answer::Appraised(_))
                | (State::Reserving(..), Answer::Reserved(_))
                | (State::ComputingOpc(..), Answer::Opc(_))
                | (State::LoggingOffer(..) | State::LoggingConfirm(..) | State::LoggingResume(..), Answer::Logged(_))
                | (State::PuttingIntoCore(..), Answer::CoreReady(_))
                | (State::Recalling(_), Answer::Recalled(_))
        );
        if !fits {
            return Err(Misuse::NotNow("this question was not asked").into());
        }
        let result = match (core::mem::replace(&mut self.state, State::Ended), answer) {
            (State::Finding(message, since), Answer::Found(found)) => {
                return self.found(*message, since, found, desk).or_else(|error| self.tell(error));
            }
            (State::Appraising(case), Answer::Appraised(Ok(admission))) => self.appraised(case, admission, desk),
            (State::Reserving(case, admitted), Answer::Reserved(Ok(reservation))) => {
                self.reserved(case, *admitted, reservation, desk)
            }
            (State::ComputingOpc(case, draft), Answer::Opc(Ok(opc))) => self.opc(case, *draft, opc, desk),
            (State::LoggingOffer(case, sealed, credential), Answer::Logged(Ok(()))) => {
                self.ask(Question::PutIntoCore(credential));
                self.state = State::PuttingIntoCore(case, sealed);
                Ok(())
            }
            (State::PuttingIntoCore(case, sealed), Answer::CoreReady(Ok(()))) => self.core_ready(case, *sealed, desk),
            (State::LoggingConfirm(expected, complete), Answer::Logged(Ok(()))) => {
                self.confirm_logged(*expected, &complete, desk)
            }
            (State::Recalling(case), Answer::Recalled(Ok(recalled))) => self.recalled(case, recalled, desk),
            (State::LoggingResume(case, sequence), Answer::Logged(Ok(()))) => self.resumed(case, sequence, desk),
            (
                State::Appraising(case)
                | State::Reserving(case, _)
                | State::ComputingOpc(case, _)
                | State::LoggingOffer(case, ..)
                | State::PuttingIntoCore(case, _)
                | State::Recalling(case)
                | State::LoggingResume(case, _),
                Answer::Appraised(Err(code))
                | Answer::Reserved(Err(code))
                | Answer::Opc(Err(code))
                | Answer::Recalled(Err(code))
                | Answer::Logged(Err(code))
                | Answer::CoreReady(Err(code)),
            ) => self.refuse(case, code, desk),
            // The device holds a signed receipt and resumes; nothing may tell it that this is complete.
            (State::LoggingConfirm(..), Answer::Logged(Err(_))) => Err(Backend::Store.into()),
            _ => Err(Misuse::NotNow("this question was not asked").into()),
        };
        match result {
            // The caller answered no, and the device has been told: that is an end, and nobody's failure.
            Err(declined @ Error::Declined(_)) => self.end(Err(declined)).or(Ok(())),
            other => other.or_else(|error| self.end(Err(error))),
        }
    }

    // ------------------------------------------------------------------------------------------ the messages

    fn message_1(&mut self, bytes: &[u8], now: Millis, desk: &mut Desk<'_>) -> Result<(), Error> {
        let Config { domain, methods, suites, .. } = &self.config;
        let mut message = responder::read(bytes, methods, suites, desk.crypto)?;
        let hello = message::take_ead(message.unverified_ead())?;
        let hello: Hello<'_> = wire::decode(&hello)?;
        if hello.domain != *domain {
            return Err(Misbehaved::WrongDomain.into());
        }
        if hello.relay != self.config.relay {
            return Err(Misbehaved::WrongRelay.into());
        }
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
        Ok(Shown { name: *device, head: outline.head, epoch: outline.epoch })
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
            receipts: request.receipts.iter().flatten().map(|receipt| receipt.to_vec()).collect(),
            state: request.state,
        };
        self.sent = None;
        self.ask(Question::Appraise(Box::new(visitor.clone())));
        self.state = State::Appraising(Box::new(Case { handshake, visitor, shown }));
        Ok(())
    }

    /// An authenticated record: from here on an error is the device's, and ends the machine.
    fn confirm(&mut self, text: &[u8], desk: &mut Desk<'_>) -> Result<(), Error> {
        let State::AwaitConfirm(expected) = core::mem::replace(&mut self.state, State::Ended) else {
            return Err(Misbehaved::UnexpectedMessage.into());
        };
        let confirm: Confirm<'_> = wire::decode(text)?;
        if confirm.txn != expected.receipt.txn {
            return Err(Misbehaved::WrongTransaction.into());
        }
        let receipt = Receipt::verify(confirm.receipt, expected.device.public_key(), desk.crypto)?;
        let fits = Receipt { sequence: receipt.sequence, ..expected.receipt.clone() } == receipt;
        if !fits || !crypto::equal(confirm.res, expected.xres.bytes()) {
            return Err(Misbehaved::WrongReceipt.into());
        }
        self.ask(Question::Log(LogEntry::Confirmed(Confirmed {
            txn: receipt.txn,
            device: expected.device.device_id().to_string(),
            epoch: receipt.epoch,
            receipt: confirm.receipt.to_vec(),
        })));
        let complete = Complete { txn: receipt.txn, acknowledged: receipt.sequence };
        self.state = State::LoggingConfirm(expected, complete);
        Ok(())
    }

    /// The receipt for this very credential, next after the visitor's last one; its sequence number is not known.
    fn receipt(&self, visitor: &Visitor, package: &Named<'_>, crypto: &dyn Crypto) -> Receipt {
        let Named { supi, epoch, package_hash, owner_epoch } = *package;
        Receipt {
            domain: self.config.domain,
            sequence: 0,
            previous: visitor.state.last_receipt,
            txn: visitor.txn,
            event: Event::Activated,
            supi_hash: message::supi_hash(&visitor.txn, supi, crypto),
            epoch,
            package_hash,
            owner_epoch,
        }
    }

    // ------------------------------------------------------------------------------------------ the answers

    fn appraised(&mut self, mut case: Box<Case>, admission: Admission, desk: &mut Desk<'_>) -> Result<(), Error> {
        let Visitor { device, txn, operation, state, algorithms, evidence_nonce, .. } = &case.visitor;
        let Admission { verdict, admitted, voucher } = admission;
        if !verdict.is_for(evidence_nonce) || !admitted.is_for(&case.visitor) {
            return Err(Misuse::Parameter("an admission of another session").into());
        }
        let (device, txn) = (device.device_id(), *txn);
        let algorithm = algorithms.iter().find_map(|number| Algorithm::from_number(*number));
        match operation {
            Operation::Provision if state.active.is_some() || state.pending.is_some() => {
                self.refuse(case, Code::WrongOperation, desk)
            }
            Operation::Provision if algorithm.is_none() => self.refuse(case, Code::NoCommonAlgorithm, desk),
            Operation::Provision => {
                let (shown, voucher) = match (case.shown.take(), voucher) {
                    (Some(shown), _) => (shown, None),
                    (None, Some(voucher)) => (self.outline(&voucher, case.visitor.device.name(), desk)?, Some(voucher)),
                    (None, None) => return self.refuse(case, Code::NotEntitled, desk),
                };
                self.ask(Question::Reserve { device, txn });
                self.state = State::Reserving(case, Box::new(Admitted { verdict, shown, voucher }));
                Ok(())
            }
            Operation::Resume => {
                self.ask(Question::Recall { device, txn });
                self.state = State::Recalling(case);
                Ok(())
            }
        }
    }

    fn reserved(
        &mut self,
        case: Box<Case>,
        admitted: Admitted,
        reservation: Reservation,
        desk: &mut Desk<'_>,
    ) -> Result<(), Error> {
        if reservation.epoch == 0 {
            return Err(Misuse::Parameter("epochs begin at 1").into());
        }
        let name = KeyName {
            algorithm: Algorithm::Milenage,
            supi: &reservation.supi,
            epoch: reservation.epoch,
            txn: &case.visitor.txn,
        };
        let k = credential::derive_k(&name, case.handshake.session(), desk.crypto)?;
        self.ask(Question::ComputeOpc { k: Secret::from_slice(k.bytes())? });
        self.state = State::ComputingOpc(case, Box::new(Draft { admitted, reservation, k }));
        Ok(())
    }

    fn opc(&mut self, case: Box<Case>, draft: Draft, opc: Secret<16>, desk: &mut Desk<'_>) -> Result<(), Error> {
        let Draft { admitted: Admitted { verdict, shown, voucher }, reservation, k } = draft;
        let Reservation { supi, epoch, sqn, management_field, suci, profile } = &reservation;
        let Visitor { device, txn, counter, .. } = &case.visitor;
        let mut rand = [0; 16];
        desk.rng.fill(&mut rand)?;
        let vector = aka::vector(&Milenage::new(&k, &opc), &rand, *sqn, *management_field);
        let package = Package {
            epoch: *epoch,
            supi: *supi,
            algorithm: Algorithm::Milenage,
            parameters: MilenageParameters { opc: opc.bytes() },
            challenge: vector.challenge,
            suci: suci.as_ref().map(OwnedPart::read).transpose()?,
            profile: profile.as_ref().map(OwnedPart::read).transpose()?,
            activation: Activation::OneShot,
            previous: Previous::None,
        };
        let session = case.handshake.session();
        let sealed = credential::seal(&package, self.config.domain, txn, session, desk.crypto)?;
        drop(package);
        // Before anything is logged: afterwards it would be too late to learn that the offer does not fit.
        if sealed.len().saturating_add(voucher.as_ref().map_or(0, Vec::len)) > MAX_PACKAGE {
            return Err(TOO_LONG.into());
        }
        let package_hash = credential::package_hash(&sealed, desk.crypto);
        let owner_epoch = shown.epoch;
        let named = Named { supi, epoch: *epoch, package_hash, owner_epoch };
        let expected = Expected {
            channel: Channel::of_operator(session, &package_hash, desk.crypto)?,
            device: device.clone(),
            receipt: self.receipt(&case.visitor, &named, desk.crypto),
            xres: vector.keys.res.clone(),
        };
        self.ask(Question::Log(LogEntry::Offered(Offered {
            txn: *txn,
            device: device.device_id().to_string(),
            counter: (counter.request, counter.retry),
            supi: supi.as_str().to_string(),
            epoch: *epoch,
            package_hash,
            owner_epoch,
            voucher_head: shown.head,
            verdict,
        })));
        let credential = CoreCredential {
            supi: *supi,
            counter: *counter,
            epoch: *epoch,
            algorithm: Algorithm::Milenage,
            k,
            opc,
            sqn: *sqn,
        };
        let sealed = Sealed { package: sealed, voucher, expected };
        self.state = State::LoggingOffer(case, Box::new(sealed), Box::new(credential));
        Ok(())
    }

    fn core_ready(&mut self, case: Box<Case>, sealed: Sealed, desk: &mut Desk<'_>) -> Result<(), Error> {
        let Sealed { package, voucher, expected } = sealed;
        let offer = PackageOffer { txn: expected.receipt.txn, sealed: &package, voucher: voucher.as_deref() };
        self.message_4(*case, &Offer::Package(offer), desk)?;
        self.state = State::AwaitConfirm(Box::new(expected));
        Ok(())
    }

    fn confirm_logged(
        &mut self,
        mut expected: Expected,
        complete: &Complete,
        desk: &mut Desk<'_>,
    ) -> Result<(), Error> {
        let record = expected.channel.seal(&wire::encode(complete), desk.crypto)?;
        self.send(record);
        self.end(Ok(()))
    }

    fn recalled(&mut self, case: Box<Case>, recalled: Option<Recalled>, desk: &mut Desk<'_>) -> Result<(), Error> {
        let Visitor { device, txn, receipts, state, .. } = &case.visitor;
        // The last receipt is the one that this transaction ended with; it names everything.
        let Some((recalled, encoded)) = recalled.zip(receipts.last()) else {
            return self.refuse(case, Code::Conflict, desk);
        };
        let receipt = Receipt::verify(encoded, device.public_key(), desk.crypto)?;
        let Offered { supi, epoch, package_hash, owner_epoch, voucher_head, .. } = &recalled.offered;
        let supi: Supi = supi.parse().map_err(|_| Backend::Store)?;
        let named = Named { supi: &supi, epoch: *epoch, package_hash: *package_hash, owner_epoch: *owner_epoch };
        let expected = self.receipt(&case.visitor, &named, desk.crypto);
        let fits = Receipt { sequence: receipt.sequence, previous: receipt.previous, ..expected } == receipt;
        // And it is where the device stands: this credential is in use, under this owner, and nothing came after.
        let stands = state.active == Some(*epoch)
            && (state.owner_epoch, state.voucher_head) == (*owner_epoch, Some(*voucher_head))
            && state.last_receipt == Some(desk.crypto.sha256(&[encoded]));
        if !fits || !stands {
            return self.refuse(case, Code::Conflict, desk);
        }
        if recalled.confirmed {
            return self.resumed(case, receipt.sequence, desk);
        }
        self.ask(Question::Log(LogEntry::Confirmed(Confirmed {
            txn: *txn,
            device: device.device_id().to_string(),
            epoch: *epoch,
            receipt: encoded.clone(),
        })));
        self.state = State::LoggingResume(case, receipt.sequence);
        Ok(())
    }

    fn resumed(&mut self, case: Box<Case>, acknowledged: u64, desk: &mut Desk<'_>) -> Result<(), Error> {
        let txn = case.visitor.txn;
        self.message_4(*case, &Offer::Status(Status { txn, acknowledged }), desk)?;
        self.end(Ok(()))
    }

    /// Says no, in an authenticated message_4, and fails with that: whoever asked ends the machine.
    fn refuse(&mut self, case: Box<Case>, code: Code, desk: &mut Desk<'_>) -> Result<(), Error> {
        let refusal = Refusal { txn: case.visitor.txn, code };
        self.message_4(*case, &Offer::Refusal(refusal), desk)?;
        Err(Error::Declined(code))
    }

    fn message_4(&mut self, case: Case, offer: &Offer<'_>, desk: &mut Desk<'_>) -> Result<(), Error> {
        let offer = wire::encode(offer);
        let item = message::ead(&offer);
        let ead_4 = message::with_padding(item, case.handshake.plaintext_4_len(&[item]));
        let (_, message_4) = case.handshake.write(&ead_4, desk.crypto)?;
        self.send(message_4);
        Ok(())
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

// ------------------------------------------------------------------------------------------ in a token

token::portable! {
    Greeting { message, c_r, terms, introduced }
    Introduced { since, voucher_first, shown }
    Shown { name, head, epoch }
    Case { handshake, visitor, shown }
    Admitted { verdict, shown, voucher }
    Draft { admitted, reservation, k }
    Sealed { package, voucher, expected }
    Expected { channel, device, receipt, xres }
}

impl Portable for State {
    fn save(&self, w: &mut Writer<'_>) {
        match self {
            Self::AwaitMessage1 => w.unsigned(0),
            Self::Greeting(greeting) => {
                w.unsigned(1);
                greeting.save(w);
            }
            Self::AwaitMessage3(handshake, introduced) => {
                w.unsigned(2);
                handshake.save(w);
                introduced.save(w);
            }
            Self::Appraising(case) => {
                w.unsigned(3);
                case.save(w);
            }
            Self::Reserving(case, admitted) => {
                w.unsigned(4);
                case.save(w);
                admitted.save(w);
            }
            Self::ComputingOpc(case, draft) => {
                w.unsigned(5);
                case.save(w);
                draft.save(w);
            }
            Self::LoggingOffer(case, sealed, credential) => {
                w.unsigned(6);
                case.save(w);
                sealed.save(w);
                credential.save(w);
            }
            Self::PuttingIntoCore(case, sealed) => {
                w.unsigned(7);
                case.save(w);
                sealed.save(w);
            }
            Self::AwaitConfirm(expected) => {
                w.unsigned(8);
                expected.save(w);
            }
            Self::LoggingConfirm(expected, complete) => {
                w.unsigned(9);
                expected.save(w);
                complete.save(w);
            }
            Self::Recalling(case) => {
                w.unsigned(10);
                case.save(w);
            }
            Self::LoggingResume(case, sequence) => {
                w.unsigned(11);
                case.save(w);
                sequence.save(w);
            }
            Self::Ended => w.unsigned(12),
            Self::Finding(message, since) => {
                w.unsigned(13);
                message.save(w);
                since.save(w);
            }
        }
    }

    fn load(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(match r.unsigned()? {
            0 => Self::AwaitMessage1,
            1 => Self::Greeting(Box::load(r)?),
            2 => Self::AwaitMessage3(Box::load(r)?, Introduced::load(r)?),
            3 => Self::Appraising(Box::load(r)?),
            4 => Self::Reserving(Box::load(r)?, Box::load(r)?),
            5 => Self::ComputingOpc(Box::load(r)?, Box::load(r)?),
            6 => Self::LoggingOffer(Box::load(r)?, Box::load(r)?, Box::load(r)?),
            7 => Self::PuttingIntoCore(Box::load(r)?, Box::load(r)?),
            8 => Self::AwaitConfirm(Box::load(r)?),
            9 => Self::LoggingConfirm(Box::load(r)?, Complete::load(r)?),
            10 => Self::Recalling(Box::load(r)?),
            11 => Self::LoggingResume(Box::load(r)?, u64::load(r)?),
            12 => Self::Ended,
            13 => Self::Finding(Box::load(r)?, Date::load(r)?),
            _ => return Err(Malformed::OutOfRange),
        })
    }
}
