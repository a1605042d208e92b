//! An operator that hears from a stranger on the link, or from a device that holds a real key and lies.
//!
//! Input: cast, flags, then operations, or, for the liar, what it says where. The judge's rules:
//!
//! - no panic;
//! - an error with which the machine does not end is as if the bytes had never come;
//! - nothing is sent before the question is answered, and an answer to another question changes nothing;
//! - on the link: nothing is asked for a device that is not there, and an exchange that was not ended still succeeds;
//! - whatever the log says is confirmed was signed by the device.

use remote_provisioning::{
    credential::{self, SoftUsim, Usim},
    crypto::{Crypto, Secret},
    edhoc::{ConnectionId, initiator, is_error_message},
    error::{Code, Error, Misbehaved, Misuse},
    identity::{Domain, Role},
    provisioning::{
        Answer, Millis, Question,
        log::{LogEntry, What},
        message::{Confirm, Counter, DeviceState, EAD_LABEL, Hello, Offer, Operation, Request},
        operator::Action,
        receipt::{Event, Receipt, supi_hash},
    },
    sim::{IDENTITY, SeededRng, TODAY, identities as ids},
    store::{KeyStore, Slot},
    trust, wire,
};

use super::{
    Input, forged,
    memo::Memo,
    stage::{Cast, DEVICE_SEED, OPERATOR_SEED, Office, Plot, Script, opening, script},
};

/// Operations of one story.
const MAX_OPERATIONS: usize = 32;

pub(crate) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let cast = Cast::new(input.byte());
    let flags = input.byte();
    let plot = if flags & 1 == 0 { Plot::Provision } else { Plot::Resume };
    let (_, home) = opening(cast, plot);
    let office = Office::new(cast, home, OPERATOR_SEED);
    let mut judge = Judge { office, asked: None, finished: None, taken: Vec::new(), sent: Vec::new() };
    if flags & 2 == 0 {
        link(&mut judge, &script(cast, plot), usize::from(flags >> 2), &mut input);
    } else {
        liar(&mut judge, cast, &mut input);
    }
    for entry in judge.office.home.entries() {
        if let What::Prepared(signed) | What::Ended(signed) = entry.what {
            let key = cast.device().keys.public_key(IDENTITY).unwrap();
            let receipt = signed.proof.receipts.last().expect("a receipt");
            let receipt = Receipt::verify(receipt, &key, &Memo).expect("the device signed it");
            assert_eq!((receipt.txn, receipt.event), (signed.txn, signed.event));
        }
    }
}

/// Answered with the suites that there are, and then it is as if it had never come (RFC 9528 §6.3.1).
const WRONG_SUITE: Error = Error::Misbehaved(Misbehaved::WrongSuite);

/// Watches an operator, and judges what it does.
struct Judge {
    office: Office,
    asked: Option<Question>,
    finished: Option<Result<(), Error>>,
    /// What was accepted, or ended the machine: a repetition of it is answered as before.
    taken: Vec<Vec<u8>>,
    sent: Vec<Vec<u8>>,
}

impl Judge {
    fn deliver(&mut self, bytes: &[u8]) -> (Result<(), Error>, Vec<Vec<u8>>) {
        let ended = self.finished.is_some();
        let (result, sent) = self.observe(|office| office.take(bytes));
        if result.is_ok() || result == Err(WRONG_SUITE) || self.finished.is_some() && !ended {
            self.taken.push(bytes.to_vec());
        }
        (result, sent)
    }

    /// Answers the question that is open, as the operator's systems do.
    fn answer(&mut self) -> Vec<Vec<u8>> {
        match self.asked.take() {
            Some(question) => {
                let answer = self.office.home.answer(question);
                self.observe(|office| office.answer(answer)).1
            }
            None => Vec::new(),
        }
    }

    /// All questions.
    fn answers(&mut self) -> Vec<Vec<u8>> {
        let mut sent = Vec::new();
        while self.asked.is_some() {
            sent.extend(self.answer());
        }
        sent
    }

    /// Lets something happen, and gives what is sent.
    fn observe(&mut self, act: impl FnOnce(&mut Office) -> Result<(), Error>) -> (Result<(), Error>, Vec<Vec<u8>>) {
        let ended = self.finished.is_some();
        let result = act(&mut self.office);
        let mut sent = Vec::new();
        let mut end = None;
        for action in self.office.actions() {
            match action {
                Action::Send(bytes) => sent.push(bytes),
                Action::Ask(question) => {
                    assert!(!ended && self.asked.is_none(), "one question at a time");
                    self.asked = Some(question);
                }
                Action::WakeAt(_) => assert!(!ended),
                Action::Finished(result) => {
                    assert!(!ended && end.is_none(), "one end");
                    end = Some(result);
                }
            }
        }
        if let Err(error) = result {
            match end {
                Some(end) => assert_eq!(end, Err(error)),
                None if error == WRONG_SUITE => assert!(sent.iter().all(|message| is_error_message(message))),
                None => assert!(sent.is_empty(), "as if it had never come"),
            }
        }
        if end.is_some() {
            self.asked = None;
            self.finished = end;
        }
        assert!(self.asked.is_none() || sent.is_empty(), "nothing is sent before the answer");
        self.sent.extend(sent.iter().cloned());
        (result, sent)
    }
}

// ----------------------------------------------------------------------------------------------- on the link

/// How far the script has been followed.
struct Place {
    /// The index of the message that is expected next; the operator sends 1, 3, 5 and expects 0, 2, 4.
    next: usize,
    /// Not any more: a stranger started the session, or the operator's systems said something else.
    lost: bool,
}

fn link(judge: &mut Judge, script: &Script, steps: usize, input: &mut Input<'_>) {
    let mut place = Place { next: 0, lost: false };
    for _ in 0..steps % 16 {
        go_on(judge, script, &mut place);
    }
    for _ in 0..MAX_OPERATIONS {
        if input.is_empty() {
            break;
        }
        match input.byte() % 7 {
            0 => go_on(judge, script, &mut place),
            1 => {
                let now = judge.office.now.0 + 64 * u64::try_from(input.below(4096)).unwrap();
                judge.office.now = Millis(now);
                let (result, sent) = judge.observe(|office| office.operator.handle_timeout(office.now));
                assert!(sent.is_empty() && (result.is_ok() || judge.finished == Some(Err(Error::Unanswered))));
            }
            2 => {
                let which = input.below(script.messages.len());
                stranger(judge, script, &mut place, &script.messages[which]);
            }
            3 => wrong_answer(judge, &mut place, input),
            _ => {
                let base = script.messages.get(place.next).or(script.messages.last()).unwrap();
                let bytes = input.mutated(base);
                stranger(judge, script, &mut place, &bytes);
            }
        }
    }
    while !place.lost && judge.finished.is_none() {
        go_on(judge, script, &mut place);
    }
    assert!(confirmed(judge) <= 1);
    if !place.lost && judge.finished == Some(Ok(())) {
        assert_eq!(confirmed(judge), 1);
    }
}

/// How many confirmations the log has.
fn confirmed(judge: &Judge) -> usize {
    judge.office.home.entries().filter(|entry| matches!(entry.what, What::Ended(_))).count()
}

/// One step of the script: the answer to a question, or the next message.
fn go_on(judge: &mut Judge, script: &Script, place: &mut Place) {
    if judge.finished.is_some() || place.lost && judge.asked.is_none() {
        return;
    }
    let sent = if judge.asked.is_some() {
        judge.answer()
    } else {
        let (result, sent) = judge.deliver(&script.messages[place.next]);
        result.expect("an honest message is accepted");
        place.next += 2;
        sent
    };
    if !place.lost
        && let [sent, ..] = sent.as_slice()
    {
        assert_eq!(*sent, script.messages[place.next - 1]);
    }
}

/// Bytes from anybody. Only the first message can be made by anybody.
fn stranger(judge: &mut Judge, script: &Script, place: &mut Place, bytes: &[u8]) {
    let idle = judge.finished.is_none() && judge.asked.is_none() && !place.lost;
    if idle && script.messages.get(place.next).is_some_and(|message| message == bytes) {
        return go_on(judge, script, place);
    }
    if place.lost && script.messages.iter().any(|message| message == bytes) {
        let _ = judge.deliver(bytes); // The device's own words may still fit.
        return;
    }
    let first = place.next == 0 && !place.lost;
    let asked = judge.asked.is_some();
    let known = judge.taken.iter().any(|taken| taken == bytes);
    let said = judge.sent.clone();
    let (result, sent) = judge.deliver(bytes);
    if first && !known && result.is_ok() {
        place.lost = true;
        place.next = 2;
        assert!(sent.len() == 1 || matches!(judge.asked, Some(Question::Find(_))));
    } else if result.is_ok() {
        assert!(known, "only a repetition is answered");
        assert!(sent.len() <= 1 && sent.iter().all(|again| said.contains(again)), "and as before");
    }
    let finds = first && matches!(judge.asked, Some(Question::Find(_)));
    assert_eq!(
        judge.asked.is_some(),
        finds || asked && judge.finished.is_none(),
        "nothing else is asked for a stranger"
    );
    if !place.lost && result.is_err() {
        assert!(sent.iter().all(|message| is_error_message(message)));
    }
}

/// An answer that says something else, or answers something else.
fn wrong_answer(judge: &mut Judge, place: &mut Place, input: &mut Input<'_>) {
    let answer = match input.byte() % 9 {
        0 => Answer::Appraised(Err(Code::DeviceNotAccepted)),
        1 => Answer::Found(None),
        2 => Answer::Reserved(Err(Code::PoolEmpty)),
        3 => Answer::Opc(Ok(Secret::zeroed())),
        4 => Answer::Logged(Err(Code::Conflict)),
        5 => Answer::Logged(Ok(())),
        6 => Answer::CoreReady(Err(Code::TryLater)),
        7 => Answer::CoreHolds(Ok(None)),
        _ => Answer::Recovered(Ok(None)),
    };
    let fits = matches!(
        (&judge.asked, &answer),
        (Some(Question::Find(_)), Answer::Found(_))
            | (Some(Question::Appraise(_)), Answer::Appraised(_))
            | (Some(Question::Reserve { .. }), Answer::Reserved(_))
            | (Some(Question::ComputeOpc { .. }), Answer::Opc(_))
            | (Some(Question::Log(_)), Answer::Logged(_))
            | (
                Some(
                    Question::PutIntoCore(_)
                        | Question::BarInCore(_)
                        | Question::AdmitToCore(_)
                        | Question::RemoveFromCore(_)
                ),
                Answer::CoreReady(_)
            )
            | (Some(Question::ReadCore(_)), Answer::CoreHolds(_))
            | (Some(Question::Recover(_)), Answer::Recovered(_))
    );
    if fits {
        place.lost = true;
        judge.asked = None;
        let _ = judge.observe(|office| office.answer(answer));
    } else {
        let (result, sent) = judge.observe(|office| office.answer(answer));
        assert!(matches!(result, Err(Error::Misuse(Misuse::NotNow(_)))) && sent.is_empty());
    }
}

// ----------------------------------------------------------------------------------------------- the liar

/// A device with a real key, and the fuzzer's words in its mouth.
fn liar(judge: &mut Judge, cast: Cast, input: &mut Input<'_>) {
    let mut rng = SeededRng::new(DEVICE_SEED);
    let player = cast.device();
    let hello = wire::encode(&Hello { domain: Domain::Test, concealed_id: None, relay: None, cookie: None });
    let ead_1 = forged::Items::new(&hello, input);
    let proposal = initiator::Proposal {
        method: cast.method(),
        suites: &[cast.suite()],
        c_i: &ConnectionId::random(&mut rng, None).unwrap(),
        ead_1: &ead_1.items(),
    };
    let (handshake, message_1) = initiator::start(&proposal, &Memo, &mut rng).unwrap();
    let (Ok(()), sent) = judge.deliver(&message_1) else { return };

    let message = handshake.read(&sent[0], &Memo).unwrap();
    let anchors = cast.anchors(Role::Device);
    let operator =
        trust::verify(&message.claimed().unwrap(), Role::Operator, Domain::Test, anchors, &Memo, Some(TODAY)).unwrap();
    let own = forged::credential(player, &ids::device_chain(), input);
    let mut message = message.accept(operator, &own, &Memo).unwrap();
    message.ead().take(EAD_LABEL);
    let txn = if input.byte() % 4 == 3 { [9; 16] } else { recent_txn(judge) };
    let request = wire::encode(&Request {
        txn,
        operation: *input.choose(&[
            Operation::Provision,
            Operation::Provision,
            Operation::Resume,
            Operation::Rekey,
            Operation::Transfer,
            Operation::OnDemand,
            Operation::Query,
            Operation::Retire,
        ]),
        counter: Counter { request: u32::from(*input.choose(&[7_u8, 1, 0, 255])), retry: 0 },
        algorithms: (*input.choose(&[[1, 77], [77, 1], [77, 78]])).into_iter().collect(),
        state: DeviceState {
            active: (input.byte() % 4 == 3).then_some(1),
            supi_hash: None,
            package_hash: None,
            pending: None,
            owner_epoch: 0,
            voucher_head: None,
            last_receipt: None,
        },
        evidence: None,
        grant: None,
        receipts: None,
        voucher_request: None,
    });
    let ead_3 = forged::Items::new(&request, input);
    let (handshake, message_3) = message.write(&own, &ead_3.items(), &player.keys, &Memo).unwrap();
    if judge.deliver(&message_3).0.is_err() {
        return;
    }
    let sent = judge.answers();

    let Some(message_4) = sent.first() else { return };
    let mut message = handshake.read(message_4, &Memo).unwrap();
    let offer = message.ead().take(EAD_LABEL).unwrap().value.unwrap().to_vec();
    let session = message.complete().unwrap();
    let Offer::Package(offer) = wire::decode::<Offer<'_>>(&offer).unwrap() else { return };
    let hash = credential::package_hash(offer.sealed, &Memo);
    let offered =
        credential::Offered { domain: Domain::Test, txn: &offer.txn, sealed: offer.sealed, exporter: &session };
    let installed = SoftUsim.install(Slot::A, &offered, &Memo).expect("an operator's package can be installed");
    assert_eq!(installed.package_hash, hash);

    for _ in 0..MAX_OPERATIONS {
        if input.is_empty() {
            break;
        }
        let receipt = Receipt {
            domain: *input.choose(&[Domain::Test, Domain::Test, Domain::Production]),
            sequence: u64::from(input.byte()),
            previous: None,
            txn: *input.choose(&[offer.txn, offer.txn, [9; 16]]),
            event: Event::Activated,
            supi_hash: supi_hash(&offer.txn, &installed.supi, &Memo),
            epoch: installed.epoch + u32::from(*input.choose(&[0_u8, 0, 1])),
            package_hash: *input.choose(&[hash, hash, [9; 32]]),
            owner_epoch: 0,
            grant: None,
        };
        let receipt = receipt.sign(|message| player.keys.sign(IDENTITY, message)).unwrap();
        let (res, receipt) = (input.mutated(installed.res.bytes()), input.mutated(&receipt));
        let confirm = wire::encode(&Confirm { txn: offer.txn, res: Some(&res), receipt: &receipt });
        let text = input.mutated(&confirm);
        let record = forged::record(Role::Device, &session, &hash, u64::from(input.byte()), &text);
        let before = confirmed(judge);
        let _ = judge.deliver(&input.mutated(&record));
        judge.answers();
        if confirmed(judge) > before {
            assert!(res == installed.res.bytes() || text != confirm, "RES counts");
        }
    }
    assert_eq!(Memo.sha256(&[offer.sealed]), hash);
}

/// The transaction that the log knows, if it knows one.
fn recent_txn(judge: &Judge) -> [u8; 16] {
    let txn = |entry: LogEntry| if let What::Offered(offered) = entry.what { Some(offered.txn) } else { None };
    judge.office.home.entries().filter_map(txn).last().unwrap_or([5; 16])
}
