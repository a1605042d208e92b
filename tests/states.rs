//! Every state of both machines against every message: the tables that stand in the docs of `provisioning`.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that panics has found something"
)]

mod lab;

use lab::{
    Lab, Outcome, Session,
    double::{Double, Watch},
    from_device, inner, name,
};
use remote_provisioning::{
    credential::Activation,
    crypto::rustcrypto::RustCrypto,
    error::{Backend, Code},
    provisioning::{
        Desk, Operator, Platform, Task,
        device::Goal,
        message::{
            Complete, Confirm, Decision, Offer, Order, PackageOffer, Prepared, Refusal, Standing, Status, Stopped,
            Verdict,
        },
        operator::Action,
        receipt::{Event, Receipt},
    },
    sim::IDENTITY,
    store::KeyStore,
    wire::{self, Reader},
};

const EDHOC_ERROR: &[u8] = b"\x01\x6cnot accepted";

// ----------------------------------------------------------------------------------------------- kinds of sessions

/// What a session is about. The letter stands for it in the tables.
#[derive(Clone, Copy)]
struct Kind {
    letter: char,
    /// What both say, from message_4 on.
    names: &'static [&'static str],
    lab: fn(u64) -> Lab,
}

const KINDS: [Kind; 8] = [
    Kind {
        letter: 't',
        names: &["package, two phases", "prepared", "commit", "confirm activated", "complete"],
        lab: two_phase,
    },
    Kind { letter: 'o', names: &["package, one-shot", "confirm activated", "complete"], lab: one_shot },
    Kind { letter: 'r', names: &["status commit", "confirm activated", "complete"], lab: resumed },
    Kind { letter: 'a', names: &["status abort", "confirm aborted", "complete"], lab: called_off },
    Kind { letter: 'c', names: &["status complete"], lab: completed },
    Kind { letter: 'q', names: &["status complete"], lab: left },
    Kind { letter: 'e', names: &["status erase", "confirm erased", "complete"], lab: revoked },
    Kind { letter: 'l', names: &["status commit", "confirm activated", "complete"], lab: restored },
];

fn two_phase(seed: u64) -> Lab {
    let mut lab = Lab::new(seed);
    lab.home.activation = Activation::TwoPhase;
    lab
}

fn one_shot(seed: u64) -> Lab {
    Lab::new(seed)
}

/// The operator has not seen `prepared`.
fn resumed(seed: u64) -> Lab {
    let mut lab = two_phase(seed);
    lab.session(5);
    lab
}

/// The device has not seen that the operator called it off.
fn called_off(seed: u64) -> Lab {
    let mut lab = two_phase(seed);
    lab.refusing = Some(("core", Code::TryLater));
    lab.session(6);
    lab.refusing = None;
    lab
}

/// The device has not seen `complete`.
fn completed(seed: u64) -> Lab {
    let mut lab = Lab::new(seed);
    lab.session(6);
    lab
}

/// The device has given up what it had prepared, and asks how things stand; the operator has not seen that receipt.
fn left(seed: u64) -> Lab {
    let mut lab = resumed(seed);
    lab.goal = Goal::Leave;
    lab.session(2);
    lab.goal = Goal::Query;
    lab
}

fn revoked(seed: u64) -> Lab {
    let mut lab = Lab::new(seed);
    assert_eq!(lab.run(), Ok(()));
    let task = Task::revoke(&lab.device_id(), &lab.account()).unwrap();
    lab.carry_out(task).unwrap();
    lab.goal = Goal::Query;
    lab
}

/// The operator has lost all that it had in its log; not what it has in its core.
fn restored(seed: u64) -> Lab {
    let mut lab = two_phase(seed);
    lab.session(6);
    lab.home.restore(0);
    lab
}

impl Kind {
    fn named(letter: char) -> Self {
        KINDS.into_iter().find(|kind| kind.letter == letter).unwrap()
    }

    /// Messages of a whole session.
    const fn len(self) -> usize {
        3 + self.names.len()
    }

    fn name(self, number: usize) -> String {
        let which = if number > 3 { self.names[number - 4] } else { "" };
        named(number, which)
    }
}

fn named(number: usize, which: &str) -> String {
    match number {
        1..=3 => format!("message_{number}"),
        4 => format!("message_4: {which}"),
        _ if number.is_multiple_of(2) => format!("operator's record {}: {which}", number / 2 - 2),
        _ => format!("device's record {}: {which}", number / 2 - 1),
    }
}

// ----------------------------------------------------------------------------------------------- messages

/// Says something else where its owner says something in message_4 or in a record.
struct Forger<'a>(&'a (dyn Fn(&[u8]) -> Vec<u8> + Sync));

/// The item of message_4: its label, critical.
const ITEM: &[u8] = b"\x39\xce\x10";

impl Watch for Forger<'_> {
    fn sealing(&self, aad: &[u8], text: &mut Vec<u8>) {
        // "Encrypt0", the header, and what `record` puts in there.
        let record = aad.get(14..17) == Some(b"\x58\x47\x84");
        if text.starts_with(ITEM) {
            let said = Reader::new(&text[ITEM.len()..]).unwrap().bytes().unwrap().to_vec();
            *text = [ITEM, &wire::encode_with(|w| w.bytes(&(self.0)(&said)))].concat();
        } else if record {
            let said = Reader::new(text).unwrap().bytes().unwrap().to_vec();
            *text = wire::encode_with(|w| w.bytes(&(self.0)(&said)));
            text.resize(text.len().next_multiple_of(64), 0);
        }
    }
}

/// The next message of a session, with another text under the right keys.
fn forged(lab: &mut Lab, session: &mut Session, text: &(dyn Fn(&[u8]) -> Vec<u8> + Sync)) -> Vec<u8> {
    let crypto = Double::new(Forger(text));
    let message = session.messages.last().unwrap().clone();
    if session.messages.len().is_multiple_of(2) {
        let mut platform = Platform {
            crypto: &crypto,
            rng: &mut lab.rng,
            keys: &lab.device_keys,
            anchors: &lab.device_anchors,
            attester: None,
            subscriptions: &mut lab.store,
            usim: &mut lab.card,
            date: lab.date,
        };
        session.device.handle_message(&message, lab.now, &mut platform).unwrap();
        return from_device(&mut session.device).sent.remove(0);
    }
    let mut desk = Desk {
        crypto: &crypto,
        rng: &mut lab.rng,
        keys: &lab.operator_keys,
        storage: &lab.storage,
        anchors: &lab.operator_anchors,
        date: lab.today,
    };
    session.operator.handle_message(&message, lab.now, &mut desk).unwrap();
    loop {
        match session.operator.poll().unwrap() {
            Action::Send(bytes) => return bytes,
            Action::Ask(question) => session.operator.answer(lab.home.answer(question), &mut desk).unwrap(),
            Action::WakeAt(_) => {}
            Action::Finished(end) => panic!("{end:?}"),
        }
    }
}

const OFFERS: [&str; 7] = [
    "package, two phases",
    "package, one-shot",
    "status complete",
    "status commit",
    "status abort",
    "status erase",
    "refusal",
];

const TEXTS: [&str; 8] =
    ["prepared", "commit", "abort", "confirm activated", "confirm aborted", "confirm erased", "complete", "stopped"];

/// An offer in place of another one of the same transaction; a package that nobody can open.
fn offer(which: &str, said: &[u8]) -> Vec<u8> {
    let txn = match wire::decode(said).unwrap() {
        Offer::Package(package) => package.txn,
        Offer::Status(status) => status.txn,
        Offer::Refusal(refusal) => refusal.txn,
    };
    let order = match which {
        "status complete" => Order::Complete,
        "status commit" => Order::Commit,
        "status abort" => Order::Abort,
        "status erase" => Order::Erase,
        "refusal" => return wire::encode(&Offer::Refusal(Refusal { txn, code: Code::Conflict, retry_after: None })),
        _ => return wire::encode(&Offer::Package(PackageOffer { txn, sealed: b"a package", voucher: None })),
    };
    let standing = Standing::InService;
    wire::encode(&Offer::Status(Status { txn, acknowledged: 0, order, standing, wanted: None }))
}

/// A record's text in place of another one's; with the receipt that is in there, about another event where it has to be.
fn text(which: &str, said: &[u8], keys: &dyn KeyStore) -> Vec<u8> {
    let mut reader = Reader::new(said).unwrap();
    reader.array().unwrap();
    let (number, txn) = (reader.unsigned().unwrap(), reader.bytes().unwrap().try_into().unwrap());
    let (res, receipt) = match number {
        1 => wire::decode(said).map(|Prepared { res, receipt, .. }| (Some(res), receipt)).unwrap(),
        3 => wire::decode(said).map(|Confirm { res, receipt, .. }| (res, receipt)).unwrap(),
        _ => (None, &b"a receipt"[..]),
    };
    let about = |event| {
        let key = keys.public_key(IDENTITY).unwrap();
        match Receipt::verify(receipt, &key, &RustCrypto) {
            Ok(old) => Receipt { event, ..old }.sign(|message| keys.sign(IDENTITY, message)).unwrap(),
            Err(_) => receipt.to_vec(),
        }
    };
    let confirm = |event| wire::encode(&Confirm { txn, res, receipt: &about(event) });
    match which {
        "prepared" => {
            let res = res.unwrap_or(&[7; 8]);
            wire::encode(&Prepared { txn, res, receipt: &about(Event::Prepared) })
        }
        "commit" => wire::encode(&Decision { txn, verdict: Verdict::Commit }),
        "abort" => wire::encode(&Decision { txn, verdict: Verdict::Abort }),
        "confirm activated" => confirm(Event::Activated),
        "confirm aborted" => confirm(Event::Aborted),
        "confirm erased" => confirm(Event::Erased),
        "complete" => wire::encode(&Complete { txn, acknowledged: 0 }),
        _ => wire::encode(&Stopped { txn, code: Code::TryLater, retry_after: None }),
    }
}

/// All that this session exchanges to its end, and all that could stand in its place under its keys.
fn universe(kind: Kind, seed: u64, travelling: Option<usize>) -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<(String, Vec<u8>)> = Vec::new();
    let fresh = || Lab { travelling, ..(kind.lab)(seed) };
    let session = fresh().session(kind.len());
    for (at, bytes) in session.messages.iter().enumerate() {
        all.push((kind.name(at + 1), bytes.clone()));
    }
    for number in 4..=kind.len() {
        for which in if number == 4 { &OFFERS[..] } else { &TEXTS } {
            let name = named(number, which);
            if all.iter().any(|(known, _)| *known == name) {
                continue;
            }
            let mut lab = fresh();
            let mut session = lab.session(number - 1);
            // A package that the device can open, where it gets one.
            let honest = number == 4 && which.starts_with("package") && "to".contains(kind.letter);
            if honest {
                lab.home.activation =
                    if *which == "package, one-shot" { Activation::OneShot } else { Activation::TwoPhase };
            }
            let keys = lab::Keys::new(remote_provisioning::sim::identities::device_key());
            let say = |said: &[u8]| match number {
                4 if honest => said.to_vec(),
                4 => offer(which, said),
                _ => text(which, said, &keys.memory),
            };
            all.push((name, forged(&mut lab, &mut session, &say)));
        }
    }
    all
}

/// What each machine is fed, by name: all of this session, whether it has got there or not, and of another one.
fn messages(kind: Kind, strangers: &[(String, Vec<u8>)], travelling: Option<usize>) -> Vec<(String, Vec<u8>)> {
    let mut all = universe(kind, SEED, travelling);
    all.extend(strangers.iter().map(|(name, bytes)| (format!("{name}{STRANGERS}"), bytes.clone())));
    let long = |len: usize| {
        [&[0x59, u8::try_from(len >> 8).unwrap(), u8::try_from(len & 0xff).unwrap()], vec![7; len].as_slice()].concat()
    };
    let fixed: [(&str, Vec<u8>); 16] = [
        ("error 0", b"\x00\xf6".into()),
        ("error 1", EDHOC_ERROR.into()),
        ("error 1, no text", b"\x01\x02".into()),
        ("error 2", b"\x02\x03".into()),
        ("error 3", b"\x03\xf5".into()),
        ("error 3, false", b"\x03\xf4".into()),
        ("error 23", b"\x17\xf6".into()),
        ("error 52753, a cookie", b"\x19\xce\x11\x43abc".into()),
        ("error 52753, no cookie", b"\x19\xce\x11\x40".into()),
        ("empty", b"".into()),
        ("a short string", b"\x43abc".into()),
        ("a long string", long(4_093)),
        ("a string cut short", b"\x58\x20abc".into()),
        ("a record of nobody", b"\x83\x43\xa1\x01\x03\xa1\x06\x41\x00\x50aaaaaaaaaaaaaaaa".into()),
        ("not CBOR", b"\xff\xff\xff".into()),
        ("4,097 bytes", long(4_094)),
    ];
    all.extend(fixed.map(|(name, bytes)| (name.to_owned(), bytes)));
    all
}

const STRANGERS: &str = ", another session's";

/// Another session, in two phases: it has all that there is.
fn strangers() -> Vec<(String, Vec<u8>)> {
    universe(Kind::named('t'), 99, None)
}

// ----------------------------------------------------------------------------------------------- tables

/// What an operator wants done, its questions not answered: messages, how many questions, ends.
fn drain(operator: &mut Operator) -> (Vec<Vec<u8>>, usize, Vec<Outcome>) {
    let mut out = (Vec::new(), 0, Vec::new());
    while let Some(action) = operator.poll() {
        match action {
            Action::Send(bytes) => out.0.push(bytes),
            Action::Ask(_) => out.1 += 1,
            Action::Finished(end) => out.2.push(end),
            Action::WakeAt(_) => {}
        }
    }
    out
}

/// See [`document`].
fn cell(outcome: Outcome, sent: &[Vec<u8>], asked: usize, ended: bool) -> String {
    let mut cell = match outcome {
        Ok(()) => "ok".to_owned(),
        Err(error) => inner(&error),
    };
    if ended {
        cell += "!";
    }
    match sent {
        [] => {}
        [only] if only[0] <= 3 && only.len() < 20 => cell += &format!("→E{}", only[0]),
        _ => cell += &format!("→{}", sent.len()),
    }
    if asked > 0 {
        cell += &format!("?{asked}");
    }
    cell
}

/// A table of states (columns) and messages (rows).
#[derive(Default)]
struct Table {
    columns: Vec<(char, &'static str)>,
    rows: Vec<(String, Vec<Option<String>>)>,
}

impl Table {
    fn column(&mut self, kind: Kind, state: &'static str, cells: Vec<(String, String)>) {
        let at = self.columns.len();
        self.columns.push((kind.letter, state));
        for (name, cell) in cells {
            let row = match self.rows.iter().position(|(row, _)| *row == name) {
                Some(row) => row,
                None => {
                    self.rows.push((name, Vec::new()));
                    self.rows.len() - 1
                }
            };
            let cells = &mut self.rows[row].1;
            cells.resize(at, None);
            cells.push(Some(cell));
        }
    }

    /// The columns of a cell's value: states, with letters where it is not so in every kind of session.
    fn states(&self, cells: &[Option<String>], value: &str) -> String {
        let mut names: Vec<&str> = Vec::new();
        for (_, state) in &self.columns {
            if !names.contains(state) {
                names.push(state);
            }
        }
        let mut out = Vec::new();
        for name in names {
            let of_state = || self.columns.iter().zip(cells).filter(|((_, state), _)| *state == name);
            let filled = of_state().filter(|(_, cell)| cell.is_some()).count();
            let letters: String =
                of_state().filter(|(_, cell)| cell.as_deref() == Some(value)).map(|((letter, _), _)| *letter).collect();
            match letters.len() {
                0 => {}
                all if all == filled => out.push(name.to_owned()),
                _ => out.push(format!("{name} ({letters})")),
            }
        }
        out.join(", ")
    }

    /// The messages, those with the same results together, and below them each result with the states that have it;
    /// `otherwise` for the one that most of them have.
    fn print(&self) -> String {
        let mut groups: Vec<(Vec<&str>, String)> = Vec::new();
        for (name, cells) in &self.rows {
            let mut kinds: Vec<(&str, usize)> = Vec::new();
            for cell in cells.iter().flatten() {
                match kinds.iter_mut().find(|(kind, _)| kind == cell) {
                    Some((_, count)) => *count += 1,
                    None => kinds.push((cell, 1)),
                }
            }
            let most = kinds.iter().map(|(_, count)| *count).max().unwrap_or_default();
            let mut rest = String::new();
            let mut lines = String::new();
            for (kind, count) in kinds {
                if count == most && most > 6 && rest.is_empty() {
                    rest = format!("    {kind}: otherwise\n");
                } else {
                    lines += &format!("    {kind}: {}\n", self.states(cells, kind));
                }
            }
            lines += &rest;
            match groups.iter_mut().find(|(_, known)| *known == lines) {
                Some((names, _)) => names.push(name),
                None => groups.push((vec![name], lines)),
            }
        }
        groups.iter().map(|(names, lines)| format!("{}{lines}", together(names))).collect()
    }
}

/// The names of messages, in one line where they only differ behind the colon; `any` for all that there is.
fn together(names: &[&str]) -> String {
    let mut lines: Vec<(&str, &str, Vec<&str>)> = Vec::new();
    for name in names {
        let (own, whose) = name.strip_suffix(STRANGERS).map_or((*name, ""), |own| (own, STRANGERS));
        let (head, which) = own.split_once(": ").unwrap_or((own, ""));
        match lines.iter_mut().find(|line| (line.0, line.1) == (head, whose)) {
            Some((_, _, all)) => all.push(which),
            None => lines.push((head, whose, vec![which])),
        }
    }
    let line = |(head, whose, all): (&str, &str, Vec<&str>)| {
        let every = if head == "message_4" { OFFERS.len() } else { TEXTS.len() };
        match all.as_slice() {
            [""] => format!("{head}{whose}\n"),
            all if all.len() == every => format!("{head}: any{whose}\n"),
            all => format!("{head}: {}{whose}\n", all.join(" | ")),
        }
    };
    lines.into_iter().map(line).collect()
}

/// The tables, as they stand in the docs of `provisioning`. To renew them: `STATES=write cargo test --all-features --test
/// states`, and read the difference.
#[test]
fn the_tables_in_the_docs_are_what_the_machines_do() {
    let tables = document(&device_table().print(), &operator_table(None).print());
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/provisioning/states.md");
    if std::env::var("STATES").is_ok_and(|value| value == "write") {
        std::fs::write(path, &tables).unwrap();
    }
    let documented = std::fs::read_to_string(path).unwrap();
    for (number, (found, documented)) in tables.lines().zip(documented.lines()).enumerate() {
        assert_eq!(found, documented, "line {}", number + 1);
    }
    assert_eq!(tables.lines().count(), documented.lines().count());
}

#[test]
fn a_session_out_of_a_token_does_the_same_with_every_message() {
    assert_eq!(operator_table(None).print(), operator_table(Some(0)).print());
}

fn document(device: &str, operator: &str) -> String {
    format!(
        "Made and compared by `tests/states.rs`. `ok` or the error; `!` where the machine has ended; `→` with the number of \
         messages that go out, `→E` with the number of an EDHOC error message; `?` with the number of questions; `+` where \
         the device has written to its store; `garbage`: one error or another, for what is no message_2. Under each message, or messages, the results and the states that have them. \
         Messages of another session have its keys; the others are of this one, in their place or out of it, and whatever \
         else could stand in that place under the same keys.\n\n\
         Letters in brackets: only in these kinds of session. `t`: a first subscription in two phases; `o`: the same in one; \
         `r`: a resume of what is prepared; `a`: a resume of what was called off; `c`: a resume of what is complete; `q`: a query; `e`: \
         the erasure of what was revoked; `l`: a resume after the operator's log was restored.\n\n\
         The device:\n\n```text\n{device}```\n\nThe operator:\n\n```text\n{operator}```\n"
    )
}

// ----------------------------------------------------------------------------------------------- the device

const SEED: u64 = 30;

/// The states of a device: each with the number of the message that it gets next, and whether the key store is slow with it.
fn device_states(kind: Kind) -> Vec<(&'static str, usize, bool)> {
    let mut states = vec![("await message_2", 2, false), ("answering", 2, true), ("await message_4", 4, false)];
    if kind.len() > 4 {
        states.push(("taking", 4, true));
    }
    if kind.len() > 6 {
        states.extend([("await decision", 6, false), ("deciding", 6, true)]);
    }
    if kind.len() > 4 {
        states.push(("await complete", kind.len(), false));
    }
    states.push(("ended", kind.len() + 1, false));
    states
}

fn device_table() -> Table {
    let (mut table, strangers) = (Table::default(), strangers());
    for kind in KINDS {
        let messages = messages(kind, &strangers, None);
        for (state, next, slow) in device_states(kind) {
            let fresh = || {
                let mut lab = (kind.lab)(SEED);
                let mut session = lab.session(next.min(kind.len()));
                if next > kind.len() {
                    lab.step(&mut session).unwrap();
                }
                if slow {
                    lab.device_keys.fail(1, Backend::KeyPending);
                    assert_eq!(lab.step(&mut session), Err(Backend::KeyPending.into()), "{state}");
                }
                (lab, session)
            };
            let mut cells = Vec::new();
            let (mut lab, mut session) = fresh();
            for (name, bytes) in &messages {
                let before = lab.fingerprint();
                let outcome = lab.tell_device(&mut session.device, bytes);
                let out = from_device(&mut session.device);
                let ended = !out.finished.is_empty();
                let said = out.finished.iter().all(|end| *end == outcome || outcome.is_ok());
                assert!(said && out.finished.len() <= 1, "{state}, {name}");
                let mut cell = cell(outcome, &out.sent, 0, ended);
                if state == "await message_2" && ended && !out.sent.is_empty() && outcome.is_err() {
                    // Nothing authenticates it before it is decrypted, and what comes out then is anything.
                    cell = "garbage!→E1".to_owned();
                }
                if lab.fingerprint() != before {
                    assert_eq!(outcome, Ok(()), "{state}, {name}: what failed has changed the store");
                    cell += "+";
                }
                cells.push((name.clone(), cell));
                if outcome.is_ok() || ended {
                    (lab, session) = fresh();
                }
            }
            // After all that it let pass, the right message still works.
            if state != "ended" {
                lab.step(&mut session).unwrap();
            }
            table.column(kind, state, cells);
        }
    }
    table
}

// ----------------------------------------------------------------------------------------------- the operator

/// How far the operator is.
#[derive(Clone, Copy)]
enum At {
    /// It gets this message next.
    Message(usize),
    /// The key store is slow with message_2.
    Greeting,
    /// It waits for the answer to this question.
    Question(&'static str),
    /// The same, after the core has given no answer to another question.
    Unsure(&'static str),
    Ended,
}

/// What the states are called that wait for an answer.
const QUESTIONS: [(&str, &str); 16] = [
    ("find", "finding"),
    ("appraise", "appraising"),
    ("reserve", "reserving"),
    ("opc", "computing OPc"),
    ("log offer", "logging the offer"),
    ("recover", "recovering"),
    ("log recovery", "logging what was recovered"),
    ("log prepared", "logging prepared"),
    ("core", "putting into the core"),
    ("read core", "reading the core"),
    ("log decision", "logging the decision"),
    ("bar", "barring"),
    ("log confirm", "logging the receipt"),
    ("log receipts", "logging what was received"),
    ("remove", "removing from the core"),
    ("log cleared", "logging what was cleared"),
];

/// A session whose operator waits for the answer to this question, if there is such a session.
fn asking(lab: &mut Lab, question: &'static str) -> Option<Session> {
    lab.stopping = Some(question);
    let mut session = lab.session(1);
    loop {
        let (count, message) = (session.messages.len(), session.messages.last().unwrap().clone());
        if count.is_multiple_of(2) {
            lab.tell_device(&mut session.device, &message).unwrap();
            session.messages.extend(from_device(&mut session.device).sent);
        } else {
            lab.tell_operator(&mut session.operator, &message).unwrap();
            let out = lab.serve(&mut session.operator);
            session.messages.extend(out.sent);
            if let Some(open) = out.open {
                assert_eq!(name(&open), question);
                lab.stopping = None;
                return Some(session);
            }
        }
        if session.messages.len() == count {
            return None;
        }
    }
}

/// The states of an operator in a session of this kind.
fn operator_states(kind: Kind) -> Vec<(&'static str, At)> {
    let mut states = vec![("await message_1", At::Message(1))];
    for (question, state) in QUESTIONS {
        if asking(&mut (kind.lab)(SEED), question).is_some() {
            states.push((state, At::Question(question)));
        } else if question == "read core" && kind.letter == 't' {
            states.push((state, At::Unsure(question)));
        }
        match question {
            "find" => states.extend([("greeting", At::Greeting), ("await message_3", At::Message(3))]),
            "log offer" if kind.len() > 6 => states.push(("await prepared", At::Message(5))),
            "bar" if kind.len() > 4 => states.push(("await confirm", At::Message(kind.len() - 1))),
            _ => {}
        }
    }
    states.push(("ended", At::Ended));
    states
}

fn operator_at(kind: Kind, at: At, travelling: Option<usize>) -> (Lab, Session) {
    let mut lab = (kind.lab)(SEED);
    lab.travelling = travelling;
    let session = match at {
        At::Message(number) => lab.session(number),
        At::Ended => lab.session(kind.len()),
        At::Question(question) => asking(&mut lab, question).unwrap(),
        At::Unsure(question) => {
            lab.refusing = Some(("core", Code::TryLater));
            let session = asking(&mut lab, question).unwrap();
            lab.refusing = None;
            session
        }
        At::Greeting => {
            let mut session = lab.session(1);
            lab.operator_keys.fail(1, Backend::KeyPending);
            lab.step(&mut session).unwrap();
            assert_eq!(session.messages.len(), 1);
            session
        }
    };
    (lab, session)
}

fn operator_table(travelling: Option<usize>) -> Table {
    let (mut table, strangers) = (Table::default(), strangers());
    for kind in KINDS {
        let messages = messages(kind, &strangers, travelling);
        for (state, at) in operator_states(kind) {
            let fresh = || operator_at(kind, at, travelling);
            let mut cells = Vec::new();
            let (mut lab, mut session) = fresh();
            for (name, bytes) in &messages {
                let entries = lab.logged().len();
                let outcome = lab.tell_operator(&mut session.operator, bytes);
                let (sent, asked, finished) = drain(&mut session.operator);
                let ended = !finished.is_empty();
                assert!(finished.iter().all(|end| *end == outcome) && finished.len() <= 1, "{state}, {name}");
                assert_eq!(lab.logged().len(), entries);
                cells.push((name.clone(), cell(outcome, &sent, asked, ended)));
                if outcome.is_ok() || ended || !sent.is_empty() {
                    (lab, session) = fresh();
                }
            }
            if matches!(at, At::Message(_) | At::Greeting) {
                let count = session.messages.len();
                lab.step(&mut session).unwrap();
                assert!(session.messages.len() > count, "{state}: after all that it let pass, the right one works");
            }
            table.column(kind, state, cells);
        }
    }
    table
}

/// No state of either machine is left out: these are all that their `State` and `Asked` have, and the questions of a log
/// entry by what is logged.
#[test]
fn every_state_is_in_the_tables() {
    let mut found: Vec<&str> = KINDS.into_iter().flat_map(operator_states).map(|(state, _)| state).collect();
    found.sort_unstable();
    found.dedup();
    let mut all: Vec<&str> = QUESTIONS.map(|(_, state)| state).to_vec();
    all.extend(["await message_1", "greeting", "await message_3", "await prepared", "await confirm", "ended"]);
    all.sort_unstable();
    assert_eq!(found, all);
    assert_eq!(device_states(Kind::named('t')).len(), 8, "Answering, Taking and Deciding beside the five");
}
