//! Sixty attacks, by number: each is played against the real machines, and the test that has its number says what must come
//! of it. It fails when the defence is taken out: `cargo mutation attacks` does that, with each of `removals`.
//!
//! Not here:
//! - 47, power analysis of Milenage: a property of hardware. What stands instead: [`credential::Usim`] keeps K in a secure
//!   element, and a re-key takes four round trips.
//! - 51, recorded now and decrypted later: version 1 has no KEM, and no second input to K that could be changed. What stands
//!   instead: the step that one will enter by, in [`credential::derive_k`].
//!
//! [`credential::Usim`]: remote_provisioning::credential::Usim
//! [`credential::derive_k`]: remote_provisioning::credential::derive_k
#![cfg(feature = "sim")]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::std_instead_of_alloc,
    clippy::unwrap_used,
    reason = "a test that goes wrong here should stop"
)]

#[path = "../lab/mod.rs"]
mod lab;
#[path = "../cores/mongo.rs"]
mod mongo;

mod commit;
mod credential;
mod device_identity;
mod handshake;
mod ownership;
mod relay;
mod removals;

use lab::{Keys, Lab, Outcome, from_device};
use remote_provisioning::{
    aka::Answer as Aka,
    authority::{Grant, Granter},
    credential::{ServiceProfile, SoftUsim, Txn},
    crypto::{PublicKey, rustcrypto::RustCrypto},
    edhoc::{self, ConnectionId, EadItem, Method, OwnCredential, Suite, responder},
    error::{Code, Error, Refused, Untrusted},
    identity::{DeviceId, Domain, Role},
    provisioning::{
        Device,
        device::{Goal, authenticate},
        message::{EAD_LABEL, Offer, PackageOffer, Request, Terms},
    },
    sim::{IDENTITY, SeededRng, maker},
    store::{KeyId, KeyStore, memory::MemoryKeyStore},
    trust::{self, Date},
    wire,
};
use removals::{REMOVALS, Removal};

/// Each removal is of something that is there, and ends in an assertion that is there; each attack that is played has one.
#[test]
fn removals_are_of_what_is_there() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |name: &str| std::fs::read_to_string(root.join(name)).unwrap();
    let tests: String = std::fs::read_dir(root.join("tests/attacks"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "removals.rs")
        .map(|name| read(&format!("tests/attacks/{name}")))
        .collect();
    // Without line breaks: an assertion may be in several lines.
    let tests = tests.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut gone = Vec::new();
    for Removal { attack, defence, edits, fails, program } in REMOVALS {
        assert!(tests.contains(&format!("fn attack_{attack:02}_")), "{attack}");
        if *program == "attacks" && !tests.contains(fails) {
            gone.push(format!("{attack}, {defence}: no such assertion: {fails}"));
        }
        for (file, there, _) in *edits {
            let count = read(file).matches(there).count();
            if count != 1 {
                gone.push(format!("{attack}, {defence}: {count} times in {file}: {there}"));
            }
        }
    }
    assert!(gone.is_empty(), "{}", gone.join("\n"));
    let played: std::collections::BTreeSet<_> = REMOVALS.iter().map(|removal| removal.attack).collect();
    assert!((1..=60).filter(|attack| !matches!(attack, 47 | 51)).eq(played));
}

/// EDHOC error 1, the answer to every failed proof.
const EDHOC_ERROR: &[u8] = b"\x01\x6cnot accepted";

const NOT_AUTHENTIC: Error = Error::Untrusted(Untrusted::Authentication);

fn refused(code: Code) -> Outcome {
    Err(Refused::Code(code).into())
}

/// A device with a subscription that both sides call complete.
fn subscriber(seed: u64) -> Lab {
    let mut lab = Lab::new(seed);
    assert_eq!(lab.go(Goal::Provision), Ok(()));
    lab
}

/// Whether the core's next challenge is answered rightly by what the device would attach with.
fn is_served(lab: &mut Lab) -> bool {
    let in_use = remote_provisioning::provisioning::device::in_use(&lab.store).unwrap();
    let Some(vector) = in_use.and_then(|held| lab.home.challenge(&held.id.supi, &mut lab.rng).ok()) else {
        return false;
    };
    let answer = authenticate(&vector.challenge, &mut lab.store, &mut SoftUsim);
    matches!(answer, Ok(Aka::Success(keys)) if keys.res.bytes() == vector.keys.res.bytes())
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

const KEY: KeyId = KeyId(0);

fn public(keys: &MemoryKeyStore) -> PublicKey {
    keys.public_key(KEY).unwrap()
}

fn scope(quota: u64) -> ServiceProfile {
    ServiceProfile { quota: Some(quota), ..ServiceProfile::default() }
}

/// An operator that takes grants of this owner, up to a quota of 5,000.
fn taking(mut lab: Lab, owner: &MemoryKeyStore) -> Lab {
    lab.home.granters = vec![Granter::new("owner@example", public(owner), Domain::Test).unwrap()];
    lab.home.limit = scope(5_000);
    lab
}

/// A grant that somebody signs: for this device, up to this quota, until then.
fn granted(owner: &MemoryKeyStore, device: &DeviceId, quota: u64, expires: Date) -> Vec<u8> {
    let (operator, scope) = (Lab::new(0).home.name, scope(quota));
    let (iss, operator, not_before, cti) = ("owner@example", &operator, None, b"grant no 1");
    let grant = Grant { iss, device, operator, expires, not_before, cti, scope: &scope };
    grant.sign(maker::signer(owner)).unwrap()
}

/// This protocol's item.
fn ours(value: &[u8]) -> [EadItem<'_>; 1] {
    [EadItem { label: EAD_LABEL, critical: true, value: Some(value) }]
}

/// message_2 of somebody who shows this credential and signs with these keys.
fn answer_hello(message_1: &[u8], own: &OwnCredential, keys: &Keys) -> (responder::AwaitMessage3, Vec<u8>) {
    let mut read = responder::read(message_1, &[Method::SignSign], &Suite::ALL, &RustCrypto).unwrap();
    read.unverified_ead().take(EAD_LABEL).unwrap();
    let terms = Terms { domain: Domain::Test, evidence_formats: core::iter::empty().collect(), voucher: None };
    let c_r = ConnectionId::new(b"op").unwrap();
    read.write(&c_r, own, &ours(&wire::encode(&terms)), keys, &RustCrypto, &mut SeededRng::new(5)).unwrap()
}

/// A device that has told an operator with valid keys and bad manners who it is.
struct Met {
    device: Device,
    handshake: responder::Message3Accepted,
    txn: Txn,
}

impl Met {
    fn new(lab: &mut Lab) -> Self {
        let mut device = lab.start().unwrap();
        let message_1 = from_device(&mut device).sent.remove(0);
        let (handshake, message_2) = answer_hello(&message_1, &lab.operator_config.own, &lab.operator_keys);
        lab.tell_device(&mut device, &message_2).unwrap();
        let message_3 = from_device(&mut device).sent.remove(0);
        let message = handshake.read(&message_3, &RustCrypto).unwrap();
        let peer = trust::verify(
            &message.claimed().unwrap(),
            Role::Device,
            Domain::Test,
            &lab.operator_anchors,
            &RustCrypto,
            None,
        );
        let peer = peer.unwrap();
        let mut handshake = message.accept(peer, &lab.operator_config.own, &RustCrypto).unwrap();
        let request = handshake.ead().take(EAD_LABEL).unwrap().value.unwrap().to_vec();
        let request: Request<'_> = wire::decode(&request).unwrap();
        Self { device, handshake, txn: request.txn }
    }

    /// Offers it a sealed package, with the voucher that the operator has.
    fn offer(self, lab: &mut Lab, sealed: &[u8]) -> (Device, edhoc::Session, Outcome) {
        let Self { mut device, handshake, txn } = self;
        let key = lab.operator_keys.public_key(IDENTITY).unwrap();
        let voucher = maker::voucher(&lab.device_config.name, &key).unwrap();
        let offer = wire::encode(&Offer::Package(PackageOffer { txn, sealed, voucher: Some(&voucher) }));
        let (session, message_4) = handshake.write(&ours(&offer), &RustCrypto).unwrap();
        let outcome = lab.tell_device(&mut device, &message_4);
        (device, session, outcome)
    }
}
