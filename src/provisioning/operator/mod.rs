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
//! `handshake` has steps 1 and 2, `offer` a new credential, `session` the table; `door` stands before all of it, when there are
//! more who knock than the operator likes.
//!
//! One machine is one session with one device. The caller routes: it makes a machine for a message_1 from somewhere new
//! and hands it what comes from there.

mod config;
mod door;
mod handshake;
mod offer;
mod session;
mod token;

pub use self::{config::Config, door::turn_away};

use alloc::{boxed::Box, collections::VecDeque, string::ToString, vec::Vec};

use self::{
    handshake::{Greeting, Introduced, Shown},
    offer::{Draft, Entitled, OnAccount},
    session::{Core, Link, Session, Step},
};
use crate::{
    credential::{self, StorageKey},
    crypto::{Crypto, Hash, Rng, Secret},
    edhoc::{
        self, Opened, Seal,
        eap::EapKeys,
        responder,
        token::{self as tokens, Portable},
    },
    error::{Class, Code, Error, Malformed, Misbehaved, Misuse},
    provisioning::{
        Millis,
        log::LogEntry,
        message::{self, Complete, Decision, Offer, Operation, Order, Refusal, Status, Stopped},
        question::{Admission, Answer, Question, Visitor},
        receipt::Event,
        record::Channel,
    },
    store::KeyStore,
    trust::{Date, TrustAnchors},
    wire::{self, Writer},
};

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

/// A device at the desk: authenticated, waiting for message_4.
#[derive(Debug)]
struct Case {
    handshake: responder::Message3Accepted,
    visitor: Visitor,
    /// The voucher that it has seen.
    shown: Option<Shown>,
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
    /// [`Misuse::NotNow`] while [`Operator::poll`] still has something; [`Backend`](crate::error::Backend).
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
    /// [`Malformed`]; [`Untrusted`](crate::error::Untrusted) if it was altered, sealed under another key or for something
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
    /// operator knows who it is (draft-ietf-emu-eap-edhoc §3.5). None while the device is nobody yet, and none where
    /// message_4 refuses it: then the EAP server refuses as well. A token of [`Operator::seal`] has them until they are
    /// taken.
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
                let record = channel.seal(&|w| w.encoded(&text), desk.crypto)?;
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
                let text = wire::encode(&Stopped { txn, code, retry_after });
                let record = channel.seal(&|w| w.encoded(&text), desk.crypto)?;
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
