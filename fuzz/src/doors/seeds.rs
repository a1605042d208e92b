//! What a fuzzer starts from: honest messages, honest stories, and stories with one lie each.

use std::collections::BTreeMap;

use arrayvec::ArrayString;
use remote_provisioning::{
    credential::{SNssai, ServiceProfile},
    error::{Code, Error, Misbehaved},
    identity::Domain,
    provisioning::message::{
        Complete, Confirm, Counter, Decision, DeviceState, Hello, Offer, Operation, Order, PackageOffer, Prepared,
        Refusal, Request, Standing, Status, Stopped, Terms, Verdict,
    },
    sim::identities as ids,
    trust::{CredentialId, SHA_256},
    wire,
};
use serde_json::Value;

use super::stage::{Cast, Plot, script};

/// A door, the name of a file, and what is in it.
pub(crate) type Seed = (&'static str, String, Vec<u8>);

/// The cases of a file of `tests/vectors`, their hexadecimal values by name.
pub(super) fn vectors(text: &str) -> Vec<BTreeMap<String, Vec<u8>>> {
    let file: Value = serde_json::from_str(text).unwrap();
    let bytes = |text: &str| {
        let byte = |at| text.get(at..at + 2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        (0..text.len()).step_by(2).map(byte).collect::<Option<Vec<u8>>>()
    };
    let values = |case: &Value| {
        let fields = case.as_object().unwrap().iter();
        fields.filter_map(|(name, value)| Some((name.clone(), bytes(value.as_str()?)?))).collect()
    };
    file["cases"].as_array().unwrap().iter().map(values).collect()
}

/// Flags: the plot.
const RESUME: u8 = 1;
/// Flags: this many honest steps come first.
const fn after(steps: u8) -> u8 {
    steps << 1
}

/// Cast: method 0, chains, suite -24.
const CHAINS: u8 = 0;
/// Cast: method 3, keys by `kid`, suite 2.
const KIDS: u8 = 3 | 2 << 2 | 2 << 5;

pub(crate) fn seeds() -> Vec<Seed> {
    let mut seeds = stories();
    for (door, from) in [
        ("wire", named(messages())),
        ("record", super::record::seeds()),
        ("x509", super::x509::seeds()),
        ("credential", named(super::credential::seeds())),
        ("suci", super::suci::seeds()),
        ("calculator", super::calculator::seeds()),
        ("sealed", super::sealed::seeds()),
        ("fragments", named(super::fragments::seeds())),
        ("link", named(super::link::seeds())),
        ("eap", named(super::eap::seeds())),
        ("gate", named(super::gate::seeds())),
    ] {
        let from: Vec<(String, Vec<u8>)> = from;
        seeds.extend(from.into_iter().map(|(name, bytes)| (door, name, bytes)));
    }
    seeds.extend(super::edhoc::seeds());
    seeds.extend(super::documents::seeds());
    seeds.extend(super::authority::seeds());
    seeds.extend(super::others::seeds());
    seeds
}

fn named(seeds: Vec<(&str, Vec<u8>)>) -> Vec<(String, Vec<u8>)> {
    seeds.into_iter().map(|(name, bytes)| (name.to_string(), bytes)).collect()
}

/// Operations of the two machines; each is its number and its choices.
fn stories() -> Vec<Seed> {
    let mut seeds = Vec::new();
    let mut add = |door, name: &str, story: &[u8]| seeds.push((door, name.to_string(), story.to_vec()));
    for door in ["device", "operator"] {
        add(door, "honest", &[CHAINS, 0]);
        add(door, "honest-kid", &[KIDS, 0]);
        add(door, "honest-hash", &[1 << 2, 0]);
        add(door, "resume", &[CHAINS, RESUME]);
    }
    add("device", "xor-2", &[CHAINS, 0, 7, 3, 0, 0, 100, 1]);
    add("device", "xor-4", &[CHAINS, after(1), 7, 3, 0, 0, 50, 1]);
    add("device", "xor-6-then-honest", &[CHAINS, after(2), 7, 3, 0, 0, 20, 1, 0]);
    add("device", "cut-2", &[CHAINS, 0, 7, 4, 0, 40]);
    add("device", "replay", &[CHAINS, after(1), 2, 1, 2, 0, 2, 2, 0, 2, 3, 0, 2, 5]);
    add("device", "error-message", &[CHAINS, 0, 7, 7, 0, 2, 3, 0xf5]);
    let silence = [1, 8, 0].repeat(8);
    add("device", "silence", &[&[KIDS, after(1), 1, 1, 0, 1, 1, 0, 1, 4, 0, 0], silence.as_slice()].concat());
    add("device", "crash-everywhere", &[CHAINS, 0, 3, 0, 3, 0, 0, 3, 0, 0, 0]);
    for (name, fault) in [("read", 0), ("write", 1), ("cut-before", 2), ("cut-after", 3)] {
        add("device", &format!("store-{name}-at-start"), &[CHAINS, 0, 4, fault, 3]);
        add("device", &format!("store-{name}-at-offer"), &[CHAINS, after(1), 4, fault, 0]);
        add("device", &format!("store-{name}-at-complete"), &[CHAINS, after(2), 4, fault, 0]);
    }
    add("device", "keys-late", &[CHAINS, 0, 5, 0, 0, 5, 0, 0, 5, 0, 0]);
    add("device", "keys-late-kid", &[KIDS, 0, 5, 0, 0, 5, 0, 0]);
    add("device", "random-fails", &[CHAINS, 0, 6, 3, 6, 0]);

    add("operator", "xor-1", &[CHAINS, 0, 8, 3, 0, 0, 20, 1, 0]);
    add("operator", "xor-3", &[CHAINS, after(1), 8, 3, 0, 0, 100, 1]);
    add("operator", "xor-5-then-honest", &[CHAINS, after(7), 8, 3, 0, 0, 30, 1, 0]);
    add("operator", "replay", &[CHAINS, after(3), 2, 0, 2, 2, 0, 2, 2, 0, 0, 0, 0, 2, 2, 2, 0]);
    add("operator", "error-message", &[KIDS, after(1), 8, 7, 0, 2, 3, 0xf5]);
    add("operator", "wrong-answers", &[CHAINS, after(2), 3, 3, 3, 6, 0, 3, 1, 3, 2]);
    add("operator", "declined", &[CHAINS, after(2), 3, 0, 4, 0, 0, 0, 0, 3, 2, 4, 1, 0, 0, 0, 0, 0, 3, 4]);
    add("operator", "silence", &[CHAINS, after(2), 1, 8, 0, 1, 16, 0, 0]);
    add("operator", "crash-everywhere", &[CHAINS, 0, 0, 4, 1, 0, 0, 4, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 4, 1]);
    add("operator", "moves", &[CHAINS, 0, 0, 5, 0, 5, 0, 5, 0, 5, 0, 5, 0, 5, 0, 5, 0, 5, 0, 5, 0, 5]);
    add("operator", "keys-late", &[CHAINS, 0, 6, 0, 0, 0, 6, 0, 7, 0, 0]);
    add("operator", "keys-late-kid", &[KIDS, 0, 6, 0, 0, 0, 6, 5, 0]);

    let package = [0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let liar = |cast, plot, told: &[u8]| [&[cast, plot], told].concat();
    add("lying_operator", "honest", &liar(CHAINS, 0, &[&package[..], &[1, 0, 0, 0]].concat()));
    add("lying_operator", "complete", &liar(KIDS, 0, &[&package[..], &[3, 0, 0, 0, 1, 4, 3, 1, 0]].concat()));
    add("lying_operator", "status", &liar(CHAINS, RESUME, &[0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]));
    add("lying_operator", "refusal", &liar(KIDS, 0, &[0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0]));
    add("lying_operator", "chain", &liar(CHAINS, 0, &[1, 3, 0, 0, 90, 1, 0, 0]));
    let request = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    add("lying_device", "honest", &liar(CHAINS, 0, &[&request[..], &[0, 1, 0, 0, 0, 0, 0, 0, 0, 0]].concat()));
    add("lying_device", "res", &liar(KIDS, 0, &[&request[..], &[0, 1, 0, 0, 0, 3, 0, 1, 1, 0, 0, 0, 0]].concat()));
    add("lying_device", "chain", &liar(CHAINS, 0, &[0, 0, 0, 1, 3, 0, 0, 90, 1, 0, 0]));
    seeds
}

/// An honest message of each kind.
pub(super) fn messages() -> Vec<(&'static str, Vec<u8>)> {
    let script = |cast| script(Cast::new(cast), Plot::Provision);
    let message = |cast, number: usize| script(cast).messages[number - 1].clone();
    let txn = [0x11; 16];
    let state = DeviceState {
        active: None,
        supi_hash: None,
        package_hash: None,
        pending: None,
        owner_epoch: 0,
        voucher_head: None,
        last_receipt: Some([2; 32]),
    };
    let request = Request {
        txn,
        operation: Operation::Provision,
        counter: Counter { request: 1, retry: 0 },
        algorithms: [1, 300].into_iter().collect(),
        state: state.clone(),
        evidence: Some(&[3; 5]),
        grant: Some(&[6; 7]),
        receipts: Some(core::iter::once([4; 9].as_slice()).collect()),
        voucher_request: Some(&[5; 6]),
    };
    let profile = ServiceProfile {
        gpsi: ArrayString::from("msisdn-1").ok(),
        dnn: ArrayString::from("iot").ok(),
        s_nssai: Some(SNssai { sst: 1, sd: None }),
        expiry: None,
        quota: Some(9),
    };
    let refusal = Refusal { txn, code: Code::TryLater, retry_after: Some(60) };
    let (order, standing) = (Order::Commit, Standing::Suspended);
    let status = Status { txn, acknowledged: 1, order, standing, wanted: Some(Operation::Rekey) };
    let hello = Hello { domain: Domain::Test, concealed_id: None, relay: None, cookie: Some(&[7; 8]) };
    let evidence_formats = [1, 2].into_iter().collect();
    let terms = Terms { domain: Domain::Test, evidence_formats, voucher: Some(wire::Raw(&[0x82, 1, 0xa1, 1, 0x40])) };
    let error: Error = Misbehaved::WrongSuite.into();
    let chain = CredentialId::Chain(ids::operator_chain().into_iter().collect());
    [
        ("message-1", message(CHAINS, 1)),
        ("message-1-kid", message(KIDS, 1)),
        ("record", message(KIDS, 6)),
        ("hello", wire::encode(&hello)),
        ("terms", wire::encode(&terms)),
        ("request", wire::encode(&request)),
        (
            "package-offer",
            wire::encode(&Offer::Package(PackageOffer { txn, sealed: &[5; 20], voucher: Some(&[6; 7]) })),
        ),
        ("status", wire::encode(&Offer::Status(status))),
        ("refusal", wire::encode(&Offer::Refusal(refusal))),
        ("confirm", wire::encode(&Confirm { txn, res: Some(&[1; 8]), receipt: &[6; 7] })),
        ("prepared", wire::encode(&Prepared { txn, res: &[8; 8], receipt: &[9; 9] })),
        ("decision", wire::encode(&Decision { txn, verdict: Verdict::Commit })),
        ("stopped", wire::encode(&Stopped { txn, code: Code::TryLater, retry_after: None })),
        ("complete", wire::encode(&Complete { txn, acknowledged: 300 })),
        ("profile", wire::encode(&profile)),
        ("chain", wire::encode(&chain)),
        ("thumbprint", wire::encode(&CredentialId::Thumbprint { algorithm: SHA_256, hash: &[8; 32] })),
        ("kid", wire::encode(&CredentialId::Kid(ids::RAW_DEVICE_KID))),
        ("ccs", ids::raw_device_ccs().to_vec()),
        ("certificate", ids::operator_root().to_vec()),
        ("error", remote_provisioning::edhoc::error_message(&error, &remote_provisioning::edhoc::Suite::ALL).unwrap()),
        ("nested", vec![0x82, 0xa2, 0x01, 0x80, 0x61, b'a', 0xf6, 0x3a, 0, 1, 0, 0]),
    ]
    .into()
}
