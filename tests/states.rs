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

use lab::{FromDevice, Lab, Outcome, Session, from_device, inner, stopped};
use remote_provisioning::{credential::Activation, provisioning::Operator};

const EDHOC_ERROR: &[u8] = b"\x01\x6cnot accepted";

/// What an operator wants done, its questions not answered: messages, how many questions, ends.
fn drain(operator: &mut Operator) -> (Vec<Vec<u8>>, usize, Vec<Outcome>) {
    use remote_provisioning::provisioning::operator::Action;
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

/// What each machine is fed, by name. Own messages are those this session has exchanged so far.
fn messages(session: &Session) -> Vec<(String, Vec<u8>)> {
    let mut other = two_phase(99);
    let strangers = other.session(8).messages;
    let names = ["message_1", "message_2", "message_3", "message_4", "prepared", "decision", "confirm", "complete"];
    let mut all: Vec<(String, Vec<u8>)> = Vec::new();
    for (name, bytes) in names.iter().zip(&strangers) {
        all.push((format!("{name}, another session's"), bytes.clone()));
    }
    for (name, bytes) in names.iter().zip(&session.messages) {
        all.push(((*name).to_owned(), bytes.clone()));
    }
    let long = |len: usize| {
        [&[0x59, u8::try_from(len >> 8).unwrap(), u8::try_from(len & 0xff).unwrap()], vec![7; len].as_slice()].concat()
    };
    let fixed: [(&str, Vec<u8>); 14] = [
        ("error 0", b"\x00\xf6".into()),
        ("error 1", EDHOC_ERROR.into()),
        ("error 1, no text", b"\x01\x02".into()),
        ("error 2", b"\x02\x03".into()),
        ("error 3", b"\x03\xf5".into()),
        ("error 3, false", b"\x03\xf4".into()),
        ("error 23", b"\x17\xf6".into()),
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

/// `ok` or the error; `!` where the machine has ended; `→` with the number of messages that go out, or `→E` for an EDHOC
/// error message; `?` with the number of questions.
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

/// Puts a table of states (columns) and messages (rows) into text.
struct Table {
    rows: Vec<(String, Vec<String>)>,
    columns: usize,
}

impl Table {
    const fn new() -> Self {
        Self { rows: Vec::new(), columns: 0 }
    }

    fn column(&mut self, cells: Vec<(String, String)>) {
        for (name, cell) in cells {
            let row = match self.rows.iter().position(|(row, _)| *row == name) {
                Some(row) => row,
                None => {
                    self.rows.push((name, Vec::new()));
                    self.rows.len() - 1
                }
            };
            let cells = &mut self.rows[row].1;
            cells.resize(self.columns, String::new());
            cells.push(cell);
        }
        self.columns += 1;
    }

    /// The messages, and below each its results with the states that have it; `otherwise` for most of them.
    fn print(&self, states: &[&str]) -> String {
        let mut out = String::new();
        for (name, cells) in &self.rows {
            out += &format!("{name}\n");
            let mut kinds: Vec<(&str, Vec<&str>)> = Vec::new();
            for (state, cell) in states.iter().zip(cells) {
                if cell.is_empty() {
                    continue;
                }
                match kinds.iter_mut().find(|(kind, _)| kind == cell) {
                    Some((_, states)) => states.push(state),
                    None => kinds.push((cell, vec![state])),
                }
            }
            for (cell, states) in kinds {
                let states = if states.len() > 6 { "otherwise".to_owned() } else { states.join(", ") };
                out += &format!("    {cell}: {states}\n");
            }
        }
        out
    }
}

const DEVICE_STATES: [&str; 5] = ["await message_2", "await message_4", "await decision", "await complete", "ended"];

const OPERATOR_STATES: [&str; 14] = [
    "await message_1",
    "finding",
    "await message_3",
    "appraising",
    "reserving",
    "computing OPc",
    "logging the offer",
    "await prepared",
    "logging prepared",
    "putting into the core",
    "logging the decision",
    "await confirm",
    "logging the receipt",
    "ended",
];

/// The tables, as they stand in the docs of `provisioning`. To renew them: `STATES=write cargo test --all-features --test
/// states`, and read the difference.
#[test]
fn the_tables_in_the_docs_are_what_the_machines_do() {
    let tables = document(&device_table().print(&DEVICE_STATES), &operator_table(None).print(&OPERATOR_STATES));
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/provisioning/states.md");
    if std::env::var("STATES").is_ok_and(|value| value == "write") {
        std::fs::write(path, &tables).unwrap();
    }
    let documented = include_str!("../src/provisioning/states.md");
    for (number, (found, documented)) in tables.lines().zip(documented.lines()).enumerate() {
        assert_eq!(found, documented, "line {}", number + 1);
    }
    assert_eq!(tables.lines().count(), documented.lines().count());
}

#[test]
fn a_session_out_of_a_token_does_the_same_with_every_message() {
    let (here, travelled) = (operator_table(None), operator_table(Some(0)));
    assert_eq!(here.print(&OPERATOR_STATES), travelled.print(&OPERATOR_STATES));
}

fn document(device: &str, operator: &str) -> String {
    format!(
        "Made and compared by `tests/states.rs`, for an operation in two phases. `ok` or the error; `!` where the machine \
         has ended; `→` with the number of messages that go out, `→E` with the number of an EDHOC error message; `?` with \
         the number of questions. Messages of another session have its keys; the others are of this one, out of their \
         place or in it.\n\nThe device:\n\n```text\n{device}```\n\nThe operator:\n\n```text\n{operator}```\n"
    )
}

/// A device that gets its first subscription in two phases.
fn two_phase(seed: u64) -> Lab {
    let mut lab = Lab::new(seed);
    lab.home.activation = Activation::TwoPhase;
    lab
}

fn device_table() -> Table {
    let mut table = Table::new();
    for state in 0..5 {
        let fresh = || {
            let mut lab = two_phase(30);
            let mut session = lab.session(state.min(3) * 2 + 2);
            if state == 4 {
                lab.step(&mut session).unwrap();
            }
            (lab, session)
        };
        let mut cells = Vec::new();
        let (mut lab, mut session) = fresh();
        for (name, bytes) in messages(&session) {
            let next = name == ["message_2", "message_4", "decision", "complete", ""][state];
            let before = lab.fingerprint();
            let outcome = lab.tell_device(&mut session.device, &bytes);
            let out = from_device(&mut session.device);
            let ended = !out.finished.is_empty();
            assert!(out.finished.iter().all(|end| *end == outcome) && out.finished.len() <= 1, "{name}");
            assert_eq!(outcome.is_ok() && lab.fingerprint() != before, next && state > 0, "{name}: what is durable");
            let acted = out != FromDevice::default();
            cells.push((name, cell(outcome, &out.sent, 0, ended)));
            if acted {
                (lab, session) = fresh();
            }
        }
        // After all that it let pass, the right message still works.
        if state < 4 {
            lab.step(&mut session).unwrap();
        }
        table.column(cells);
    }
    table
}

fn operator_table(travelling: Option<usize>) -> Table {
    let mut table = Table::new();
    for state in 0..14 {
        let fresh = || {
            let mut lab = two_phase(31);
            lab.travelling = travelling;
            let question = match state {
                1 => "find",
                3 => "appraise",
                4 => "reserve",
                5 => "opc",
                6 => "log offer",
                8 => "log prepared",
                9 => "core",
                10 => "log decision",
                12 => "log confirm",
                _ => "",
            };
            let session = match state {
                0 => lab.session(1),
                2 => lab.session(3),
                7 => lab.session(5),
                11 => lab.session(7),
                13 => lab.session(8),
                _ => {
                    let (session, open) = stopped(&mut lab, question);
                    drop(open);
                    session
                }
            };
            lab.stopping = None;
            (lab, session)
        };
        let mut cells = Vec::new();
        let (mut lab, mut session) = fresh();
        for (name, bytes) in messages(&session) {
            let entries = lab.logged().len();
            let outcome = lab.tell_operator(&mut session.operator, &bytes);
            let acted = {
                let out = drain(&mut session.operator);
                let ended = !out.2.is_empty();
                assert!(out.2.iter().all(|end| *end == outcome) && out.2.len() <= 1, "{name}");
                cells.push((name, cell(outcome, &out.0, out.1, ended)));
                ended || out.1 > 0 || (state == 0 && !out.0.is_empty())
            };
            assert_eq!(lab.logged().len(), entries);
            if acted {
                (lab, session) = fresh();
            }
        }
        if matches!(state, 0 | 2 | 7 | 11) {
            lab.step(&mut session).unwrap();
        }
        table.column(cells);
    }
    table
}
