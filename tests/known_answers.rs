//! EDHOC against an independent second computation: `tests/vectors/edhoc_known_answers.py`, which shares nothing with this
//! crate. Every method in every suite, credentials by reference and by value, EAD items, both forms of identifiers.
#![cfg(feature = "sim")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests fail by panicking"
)]

use std::{env, process::Command};

use remote_provisioning::{
    crypto::{Crypto, Rng, rustcrypto::RustCrypto},
    edhoc::{ConnectionId, Ead, EadItem, Method, OwnCredential, Session, Suite, initiator, responder},
    error::Backend,
    identity::{Domain, Role},
    store::{KeyId, KeyStore, memory::MemoryKeyStore},
    trust::{Candidates, CredentialId, MemoryAnchors, Peer, Pinned, Usage, Verified, verify},
    wire::{decode, encode},
};
use serde_json::Value;

const KEY: KeyId = KeyId(1);
const METHODS: [Method; 4] = [Method::SignSign, Method::SignStatic, Method::StaticSign, Method::StaticStatic];
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/");

fn backends() -> Vec<&'static dyn Crypto> {
    vec![
        &RustCrypto,
        #[cfg(feature = "aws-lc-rs")]
        &remote_provisioning::crypto::aws_lc::AwsLc,
    ]
}

struct Case(Value);

impl Case {
    fn all() -> Vec<Self> {
        let file: Value = serde_json::from_str(include_str!("vectors/edhoc_known_answers.json")).unwrap();
        file["cases"].as_array().unwrap().iter().cloned().map(Self).collect()
    }

    fn text(&self, name: &str) -> &str {
        self.0[name].as_str().unwrap_or_else(|| panic!("no {name}"))
    }

    fn get(&self, name: &str) -> Vec<u8> {
        bytes(self.text(name))
    }

    fn id(&self, name: &str) -> ConnectionId {
        ConnectionId::new(&self.get(name)).unwrap()
    }

    fn method(&self) -> Method {
        METHODS[usize::from(self.get("method")[0])]
    }

    fn suite(number: &Value) -> Suite {
        Suite::ALL.into_iter().find(|suite| Some(suite.number) == number.as_i64()).unwrap()
    }

    /// SUITES_I: an int, or an array of them (all of one byte).
    fn suites_i(&self) -> Vec<Suite> {
        let items = self.get("suites_i");
        let numbers = if items[0] >> 5 == 4 { &items[1..] } else { &items };
        numbers.iter().map(|item| Self::suite(&decode::<i64>(&[*item]).unwrap().into())).collect()
    }

    fn suites_r(&self) -> Vec<Suite> {
        self.0["suites_r"].as_array().unwrap().iter().map(Self::suite).collect()
    }

    fn ead(&self, number: usize) -> Vec<(i64, Option<Vec<u8>>)> {
        let items = self.0[format!("ead_{number}_items")].as_array().unwrap();
        items.iter().map(|item| (item[0].as_i64().unwrap(), item[1].as_str().map(bytes))).collect()
    }

    /// What the receiver makes of EAD_x: padding is gone, everything else can be taken.
    fn take(&self, number: usize, ead: &mut Ead) {
        for (label, value) in self.ead(number) {
            let taken = ead.take(u32::try_from(label.unsigned_abs()).unwrap());
            if label == 0 {
                assert_eq!(taken, None, "padding");
                continue;
            }
            let taken = taken.unwrap_or_else(|| panic!("EAD_{number} has {label}"));
            assert_eq!((taken.critical, taken.value), (label < 0, value.as_deref()));
        }
        ead.end().unwrap();
    }

    #[track_caller]
    fn same(&self, name: &str, found: &[u8]) {
        assert_eq!(hex(found), self.text(name), "{name} of {}", self.text("id"));
    }
}

fn bytes(digits: &str) -> Vec<u8> {
    digits.as_bytes().chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn items(items: &[(i64, Option<Vec<u8>>)]) -> Vec<EadItem<'_>> {
    items
        .iter()
        .map(|(label, value)| EadItem {
            label: u32::try_from(label.unsigned_abs()).unwrap(),
            critical: *label < 0,
            value: value.as_deref(),
        })
        .collect()
}

/// Gives out one scalar.
struct Scalar(Vec<u8>);

impl Rng for Scalar {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), Backend> {
        out.copy_from_slice(&self.0);
        Ok(())
    }
}

struct Party {
    own: OwnCredential,
    keys: MemoryKeyStore,
    role: Role,
    credential: Vec<u8>,
}

impl Party {
    fn new(case: &Case, side: &str, role: Role) -> Self {
        let mut keys = MemoryKeyStore::new();
        keys.insert(KEY, case.get(&format!("sk_{side}")).as_slice().try_into().unwrap()).unwrap();
        case.same(&format!("pk_{side}_x"), keys.public_key(KEY).unwrap().x());

        let credential = case.get(&format!("cred_{side}"));
        let id = case.get(&format!("id_cred_{side}"));
        let pinned = || Pinned::from_ccs(&credential, role, Domain::Test, &RustCrypto).unwrap();
        let certificate = || decode::<&[u8]>(&credential).unwrap();
        let own = match decode::<CredentialId<'_>>(&id).unwrap() {
            CredentialId::Kid(_) => OwnCredential::pinned(KEY, &pinned()).unwrap(),
            CredentialId::Ccs(_) => OwnCredential::ccs(KEY, &pinned()),
            CredentialId::Chain(chain) => OwnCredential::chain(KEY, &chain).unwrap(),
            CredentialId::Thumbprint { hash, .. } if hash.len() == 8 => {
                OwnCredential::short_thumbprint(KEY, certificate(), &RustCrypto)
            }
            CredentialId::Thumbprint { .. } => OwnCredential::thumbprint(KEY, certificate(), &RustCrypto),
            CredentialId::Cwt(_) => panic!("no case has one"),
        };
        assert_eq!(own.credential(), credential);
        Self { own, keys, role, credential }
    }

    /// What the other side makes of it. The names in the certificates are not those of devices: that is for the caller.
    fn believed(&self, claimed: &CredentialId<'_>) -> Candidates {
        if matches!(claimed, CredentialId::Chain(_) | CredentialId::Thumbprint { .. }) {
            let key = self.keys.public_key(KEY).unwrap();
            let name = "somebody".parse().unwrap();
            return Verified::assertion(Peer::new(&self.credential, key, name, self.role, Domain::Test, Usage::ANY))
                .into();
        }
        let mut anchors = MemoryAnchors::new();
        let pinned = Pinned::from_ccs(&self.credential, self.role, Domain::Test, &RustCrypto).unwrap();
        anchors.add_pinned(pinned).unwrap();
        verify(claimed, self.role, Domain::Test, &anchors, &RustCrypto, None).unwrap()
    }
}

fn run(case: &Case, crypto: &dyn Crypto) {
    let (device, operator) = (Party::new(case, "i", Role::Device), Party::new(case, "r", Role::Operator));
    let (c_i, c_r) = (case.id("c_i_raw"), case.id("c_r_raw"));
    let ead = [1, 2, 3, 4].map(|number| case.ead(number));
    let [ead_1, ead_2, ead_3, ead_4] = ead.each_ref().map(|ead| items(ead));

    let suites = case.suites_i();
    let proposal = initiator::Proposal { method: case.method(), suites: &suites, c_i: &c_i, ead_1: &ead_1 };
    let (sent, message_1) = initiator::start(&proposal, crypto, &mut Scalar(case.get("x"))).unwrap();
    case.same("message_1", &message_1);

    let mut read = responder::read(&message_1, &METHODS, &case.suites_r(), crypto).unwrap();
    case.take(1, read.unverified_ead());
    let mut y = Scalar(case.get("y"));
    let (sent_2, message_2) = read.write(&c_r, &operator.own, &ead_2, &operator.keys, crypto, &mut y).unwrap();
    case.same("message_2", &message_2);

    let read = sent.read(&message_2, crypto).unwrap();
    case.same("id_cred_r", &encode(&read.claimed().unwrap()));
    let peer = operator.believed(&read.claimed().unwrap());
    let mut accepted = read.accept(peer, &device.own, crypto).unwrap();
    case.take(2, accepted.ead());
    case.same("th_3", accepted.th_3());
    let (sent_3, message_3) = accepted.write(&device.own, &ead_3, &device.keys, crypto).unwrap();
    case.same("message_3", &message_3);

    let read = sent_2.read(&message_3, crypto).unwrap();
    case.same("id_cred_i", &encode(&read.claimed().unwrap()));
    let peer = device.believed(&read.claimed().unwrap());
    let mut accepted = read.accept(peer, &operator.own, crypto).unwrap();
    case.take(3, accepted.ead());
    let (operator_session, message_4) = accepted.write(&ead_4, crypto).unwrap();
    case.same("message_4", &message_4);

    let mut read = sent_3.read(&message_4, crypto).unwrap();
    case.take(4, read.ead());
    let device_session = read.complete().unwrap();

    for (mut session, ids) in [(device_session, ["c_r_raw", "c_i_raw"]), (operator_session, ["c_i_raw", "c_r_raw"])] {
        case.same("th_4", session.th_4());
        assert_eq!(Some(session.suite().number), case.0["suite"].as_i64());
        exports(case, "", &session, ids, crypto);
        session.update(&case.get("key_update_context"), crypto).unwrap();
        exports(case, "key_update_", &session, ids, crypto);
    }
}

fn exports(case: &Case, prefix: &str, session: &Session, [sender, recipient]: [&str; 2], crypto: &dyn Crypto) {
    let oscore = session.oscore(crypto).unwrap();
    case.same(&format!("{prefix}oscore_master_secret"), oscore.master_secret.bytes());
    case.same(&format!("{prefix}oscore_master_salt"), &oscore.master_salt);
    case.same(sender, oscore.sender_id.bytes());
    case.same(recipient, oscore.recipient_id.bytes());
    for (name, label, context, len) in
        [("export_0_16", 0, Vec::new(), 16), ("export_32768", 32_768, case.get("export_context"), 40)]
    {
        let mut out = vec![0; len];
        session.export(label, &context, &mut out, crypto).unwrap();
        case.same(&format!("{prefix}{name}"), &out);
    }
}

#[test]
fn every_case() {
    let cases = Case::all();
    let kinds = |method, suite| {
        cases.iter().filter(|case| case.method() == method && case.0["suite"].as_i64() == Some(suite)).count()
    };
    for method in METHODS {
        for suite in Suite::ALL {
            assert_eq!(kinds(method, suite.number), 1, "{method:?} {}", suite.number);
        }
    }
    for crypto in backends() {
        cases.iter().for_each(|case| run(case, crypto));
    }
}

/// The file is what the script computes today, and the script computes what RFC 9529 publishes.
#[test]
fn the_script_still_says_so() {
    let script = Command::new("python3")
        .args([&format!("{FOLDER}edhoc_known_answers.py"), "--check", &format!("{FOLDER}edhoc_known_answers.json")])
        .output();
    let script = match script {
        Ok(script) => script,
        Err(error) if env::var_os("REQUIRE_PYTHON").is_none() => {
            println!("SKIPPED: python3 is not here ({error})");
            return;
        }
        Err(error) => panic!("python3: {error}"),
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(script.status.success(), "{}{}", text(&script.stdout), text(&script.stderr));
}
