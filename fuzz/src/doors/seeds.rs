//! What a fuzzer starts from: honest messages, honest stories, and stories with one lie each.

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

use super::stage::{Cast, Plot, script};

/// A door, the name of a file, and what is in it.
pub(crate) type Seed = (&'static str, &'static str, Vec<u8>);

/// Flags: the plot.
const RESUME: u8 = 1;
/// Flags: the story is about the liar.
const LIAR: u8 = 2;
/// Flags: this many honest steps come first.
const fn after(steps: u8) -> u8 {
    steps << 2
}

/// Cast: method 0, chains, suite -24.
const CHAINS: u8 = 0;
/// Cast: method 3, keys by `kid`, suite 2.
const KIDS: u8 = 3 | 2 << 2 | 2 << 5;

pub(crate) fn seeds() -> Vec<Seed> {
    let mut seeds = messages();
    let mut add = |door, name, story: &[u8]| seeds.push((door, name, story.to_vec()));
    for door in ["device", "operator"] {
        add(door, "honest", &[CHAINS, 0]);
        add(door, "honest-kid", &[KIDS, 0]);
        add(door, "resume", &[CHAINS, RESUME]);
    }
    // Each operation is its number and its choices; numbers from 4 on deliver something like the next message.
    add("device", "xor-2", &[CHAINS, 0, 5, 3, 0, 0, 100, 1]);
    add("device", "xor-4", &[CHAINS, after(1), 5, 3, 0, 50, 1]);
    add("device", "xor-6-then-honest", &[CHAINS, after(2), 5, 3, 0, 20, 1, 0]);
    add("device", "cut-2", &[CHAINS, 0, 5, 4, 0, 40]);
    add("device", "replay", &[CHAINS, after(1), 2, 1, 2, 0, 2, 2, 0, 2, 3, 0, 2, 5]);
    add("device", "error-message", &[CHAINS, 0, 5, 7, 0, 2, 3, 0xf5]);
    add(
        "device",
        "silence",
        &[KIDS, after(1), 1, 1, 0, 1, 1, 0, 1, 4, 0, 0, 1, 8, 0, 1, 8, 0, 1, 8, 0, 1, 8, 0, 1, 8, 0],
    );
    let package = [0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let liar = |cast, flags, told: &[u8]| [&[cast, LIAR | flags], told].concat();
    add("device", "liar-honest", &liar(CHAINS, 0, &[&package[..], &[1, 0, 0, 0]].concat()));
    add("device", "liar-complete", &liar(KIDS, 0, &[&package[..], &[3, 0, 0, 0, 1, 4, 3, 1, 0]].concat()));
    add("device", "liar-status", &liar(CHAINS, RESUME, &[0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]));
    add("device", "liar-refusal", &liar(KIDS, 0, &[0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0]));
    add("device", "liar-chain", &liar(CHAINS, 0, &[1, 3, 0, 0, 90, 1, 0, 0]));

    add("operator", "xor-1", &[CHAINS, 0, 4, 3, 0, 20, 1, 0]);
    add("operator", "xor-3", &[CHAINS, after(1), 4, 3, 0, 0, 100, 1]);
    add("operator", "xor-5-then-honest", &[CHAINS, after(7), 4, 3, 0, 0, 30, 1, 0]);
    add("operator", "replay", &[CHAINS, after(3), 2, 0, 2, 2, 0, 2, 2, 0, 0, 0, 0, 2, 2, 2, 0]);
    add("operator", "error-message", &[KIDS, after(1), 4, 7, 0, 2, 3, 0xf5]);
    add("operator", "wrong-answers", &[CHAINS, after(2), 3, 3, 3, 5, 0, 3, 1, 3, 2]);
    add("operator", "silence", &[CHAINS, after(2), 1, 8, 0, 1, 16, 0, 0]);
    let request = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    add("operator", "liar-honest", &liar(CHAINS, 0, &[&request[..], &[0, 1, 0, 0, 0, 0, 0, 0, 0, 0]].concat()));
    add("operator", "liar-res", &liar(KIDS, 0, &[&request[..], &[0, 1, 0, 0, 0, 3, 0, 1, 1, 0, 0, 0, 0]].concat()));
    add("operator", "liar-chain", &liar(CHAINS, 0, &[0, 0, 0, 1, 3, 0, 0, 90, 1, 0, 0]));
    for (door, from) in [
        ("trust", super::trust::seeds()),
        ("fragments", super::fragments::seeds()),
        ("link", super::link::seeds()),
        ("eap", super::eap::seeds()),
        ("gate", super::gate::seeds()),
    ] {
        seeds.extend(from.into_iter().map(|(name, bytes)| (door, name, bytes)));
    }
    seeds
}

fn messages() -> Vec<Seed> {
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
    .into_iter()
    .map(|(name, bytes)| ("wire", name, bytes))
    .collect()
}
