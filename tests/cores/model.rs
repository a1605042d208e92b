//! The adapters and `sim::home` under the same random questions: the same answers, and the same subscribers let in.

use remote_provisioning::{
    attestation::Policy,
    cores::{Core, Entry, SecretText, answer, free5gc::Free5gc, open5gs::Open5gs},
    credential::ServiceProfile,
    crypto::{Secret, rustcrypto::RustCrypto},
    identity::Supi,
    provisioning::{Question, question::Lost, receipt::supi_hash},
    sim::{SeededRng, home::Home},
};
use serde_json::Value;

use crate::{
    credential, device,
    hlr::{Database, adapter, available},
    mongo::{Collection, at},
    profile, put, up_to,
};

const SUPIS: [&str; 2] = ["001010000000001", "26201999"];

/// A core behind an adapter.
trait Behind {
    /// All steps.
    fn ask(&mut self, question: &Question) -> String;
    /// The first steps, and then the power is off; or all of them.
    fn tear(&mut self, question: &Question, steps: usize);
    fn lets_in(&self, supi: &str) -> bool;
}

struct Mongo<C> {
    core: C,
    collection: Collection,
    name: fn(&str) -> (&'static str, String),
    k: &'static str,
}

impl<C: Core<Step = SecretText>> Mongo<C> {
    fn entry(&self, document: &Value) -> Entry {
        let number = |field: &str| document["provisioning"][field].as_u64().unwrap().try_into().unwrap();
        let k = at(document, self.k).and_then(Value::as_str);
        let supi = document["provisioning"]["supi"].as_str().unwrap();
        Entry::new(supi, number("epoch"), number("withdrawn"), k).unwrap()
    }
}

impl<C: Core<Step = SecretText>> Behind for Mongo<C> {
    fn ask(&mut self, question: &Question) -> String {
        let steps = self.core.steps(question).unwrap().unwrap();
        let found: Vec<_> = steps.iter().flat_map(|step| self.collection.run(step.as_str())).collect();
        let entries: Vec<_> = found.iter().map(|document| self.entry(document)).collect();
        format!("{:?}", answer(question, Ok(&entries), &RustCrypto).unwrap())
    }

    fn tear(&mut self, question: &Question, steps: usize) {
        for step in self.core.steps(question).unwrap().unwrap().iter().take(steps) {
            self.collection.run(step.as_str());
        }
    }

    fn lets_in(&self, supi: &str) -> bool {
        let (field, name) = (self.name)(supi);
        let found: Vec<_> = self.collection.0.iter().filter(|document| document[field] == name).collect();
        assert!(found.len() <= 1, "two under one name");
        found.first().is_some_and(|document| at(document, self.k).is_some())
    }
}

impl Behind for Database {
    fn ask(&mut self, question: &Question) -> String {
        format!("{:?}", self.answer(question, &ServiceProfile::default()).unwrap())
    }

    fn tear(&mut self, question: &Question, steps: usize) {
        let all = adapter(&ServiceProfile::default()).steps(question).unwrap().unwrap();
        self.run(&all[..steps.min(all.len())]).unwrap();
        if !self.connection.is_autocommit() {
            self.connection.execute_batch("ROLLBACK").unwrap();
        }
    }

    fn lets_in(&self, supi: &str) -> bool {
        Self::lets_in(self, supi)
    }
}

/// One of each kind, with small numbers so that they meet.
fn question(rng: &mut SeededRng) -> Question {
    let supi = SUPIS[rng.below(2)];
    let epoch = u32::try_from(rng.below(5)).unwrap() + 1;
    let what = up_to(supi, epoch);
    match rng.below(8) {
        0..=2 => put(supi, epoch, u8::try_from(rng.below(2)).unwrap() + 1),
        3 => Question::ReadCore(what),
        4 => Question::BarInCore(what),
        5 => Question::AdmitToCore(what),
        6 => Question::RemoveFromCore(what),
        _ => {
            let supi_hash = supi_hash(&[7; 16], &supi.parse().unwrap(), &RustCrypto);
            let device = if rng.chance(0.8) { credential(supi, 1, 1).device } else { device("another") };
            Question::Recover(Lost { device, txn: [7; 16], epoch, supi_hash })
        }
    }
}

/// The same question again, for another answerer.
fn again(question: &Question) -> Question {
    match question {
        Question::PutIntoCore(held) => put(held.supi.as_str(), held.epoch, held.secrets.k.bytes()[0]),
        Question::ReadCore(what) => Question::ReadCore(*what),
        Question::BarInCore(what) => Question::BarInCore(*what),
        Question::AdmitToCore(what) => Question::AdmitToCore(*what),
        Question::RemoveFromCore(what) => Question::RemoveFromCore(*what),
        Question::Recover(lost) => Question::Recover(lost.clone()),
        other => panic!("{other:?}"),
    }
}

fn home() -> Home {
    let policy = Policy::without_evidence("bench").unwrap();
    Home::new("operator".parse().unwrap(), Secret::zeroed(), Vec::new(), policy)
}

fn admits(home: &Home, supi: &str) -> bool {
    home.subscribers().any(|held| *held == supi.parse::<Supi>().unwrap())
}

fn agree(mut new: impl FnMut() -> Box<dyn Behind>, rounds: u64) {
    let mut torn = 0;
    for seed in 0..rounds {
        let (mut rng, mut home, mut core) = (SeededRng::new(seed), home(), new());
        for number in 0..60 {
            let question = question(&mut rng);
            let before = SUPIS.map(|supi| admits(&home, supi));
            let expected = format!("{:?}", home.answer(again(&question)));
            if rng.chance(0.3) {
                core.tear(&question, rng.below(12));
                torn += 1;
                // Half of it lets nobody in whom neither the state before nor the one after lets in.
                for (supi, before) in SUPIS.into_iter().zip(before) {
                    assert!(
                        !core.lets_in(supi) || before || admits(&home, supi),
                        "seed {seed}, {number}: {question:?}"
                    );
                }
            }
            assert_eq!(core.ask(&question), expected, "seed {seed}, {number}: {question:?}");
            for supi in SUPIS {
                assert_eq!(core.lets_in(supi), admits(&home, supi), "seed {seed}, {number}: {question:?}");
            }
            if rng.chance(0.2) {
                // Once more, from a slow server whose first try arrived after all.
                assert_eq!(
                    core.ask(&question),
                    format!("{:?}", home.answer(again(&question))),
                    "seed {seed}, {number}"
                );
            }
        }
    }
    assert!(torn > rounds, "nothing was torn");
}

#[test]
fn open5gs_does_what_home_does() {
    let profile = Box::leak(Box::new(profile()));
    agree(
        || {
            Box::new(Mongo {
                core: Open5gs { management_field: [0x80, 0], profile },
                collection: Collection::default(),
                name: |supi| ("imsi", supi.to_owned()),
                k: "security.k",
            })
        },
        300,
    );
}

#[test]
fn free5gc_does_what_home_does() {
    agree(
        || {
            Box::new(Mongo {
                core: Free5gc { management_field: [0x80, 0] },
                collection: Collection::default(),
                name: |supi| ("ueId", format!("imsi-{supi}")),
                k: "encPermanentKey",
            })
        },
        300,
    );
}

#[test]
fn osmo_hlr_does_what_home_does() {
    if available() {
        agree(|| Box::new(Database::new()), 30);
    }
}
