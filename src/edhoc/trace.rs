//! RFC 9529, byte for byte: every intermediate value of Sections 2 and 3, and the invalid messages of Section 4.
//!
//! The steps run as they always do, but on a [`Spy`]: a backend that writes down each call, with what went in and what
//! came out. A table says which call of which values a trace is made of; a call that is missing, another one, or a value
//! of the file that nobody compared fails the test. Section 2 needs the feature `x25519`.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that goes wrong here should stop"
)]

extern crate std;

use alloc::{borrow::ToOwned, collections::BTreeSet, format, string::String, vec, vec::Vec};
use std::sync::Mutex;

use serde_json::Value;

use super::{
    ConnectionId, Method, OwnCredential, Session, Suite, error_message, initiator,
    message::{self, Plaintext},
    read_error, responder, schedule,
};
use crate::{
    crypto::{
        Aead, Crypto, EphemeralKey, Group, HASH_LEN, Hash, KeyKind, PublicKey, Rng, Secret, Signature,
        rustcrypto::RustCrypto,
    },
    error::{Backend, Error, Malformed, Misbehaved, Refused, Result, Untrusted},
    identity::{Domain, Role},
    store::{KeyId, KeyStore, memory::MemoryKeyStore},
    trust::{Candidates, CredentialId, MemoryAnchors, Peer, Pinned, verify},
    wire::{self, Reader},
};

const METHODS: [Method; 4] = [Method::SignSign, Method::SignStatic, Method::StaticSign, Method::StaticStatic];

/// What the initiator of Section 3 would have preferred: AES-GCM on X25519. It is only named here, never run.
const SUITE_6: Suite = Suite { number: 6, ..Suite::GCM };

const KEY: KeyId = KeyId(7);

// ------------------------------------------------------------------------------------------------------- published

/// A case of a file of vectors, and which of its values have been compared or put to use.
struct Trace {
    case: Value,
    used: Mutex<BTreeSet<String>>,
}

impl Trace {
    fn of(json: &str) -> Self {
        let file: Value = serde_json::from_str(json).expect("JSON");
        let [case] = file["cases"].as_array().expect("cases").as_slice() else { panic!("not one case") };
        Self { case: case.clone(), used: Mutex::default() }
    }

    #[cfg(feature = "x25519")]
    fn section_2() -> Self {
        Self::of(include_str!("../../tests/vectors/edhoc_rfc9529_section_2.json"))
    }

    fn section_3() -> Self {
        Self::of(include_str!("../../tests/vectors/edhoc_rfc9529_section_3.json"))
    }

    fn get(&self, name: &str) -> Vec<u8> {
        self.used.lock().unwrap().insert(name.to_owned());
        bytes(self.case[name].as_str().unwrap_or_else(|| panic!("no {name}")))
    }

    fn get_exact<const N: usize>(&self, name: &str) -> [u8; N] {
        self.get(name).try_into().unwrap_or_else(|_| panic!("length of {name}"))
    }

    fn id(&self, name: &str) -> ConnectionId {
        ConnectionId::read_from(&mut Reader::new(&self.get(name)).unwrap()).unwrap()
    }

    #[track_caller]
    fn same(&self, name: &str, found: &[u8]) {
        assert_eq!(hex(found), hex(&self.get(name)), "{name}");
    }

    /// `calls` are what is written down in `log`, in any order: nothing missing, nothing more, nothing twice.
    fn same_calls(&self, side: &str, log: &[Call], calls: &[&str]) {
        let expected: Vec<Call> = calls
            .iter()
            .map(|call| {
                let (function, names) = call.split_once(": ").expect(call);
                let values = names.split_whitespace().filter(|name| *name != "->").map(|name| self.get(name)).collect();
                Call { function: function.to_owned(), values }
            })
            .collect();
        for (call, text) in expected.iter().zip(calls) {
            let same_function = || log.iter().filter(|other| other.function == call.function).collect::<Vec<_>>();
            let times = log.iter().filter(|other| *other == call).count();
            assert_eq!(times, 1, "{side} called {text}, among {:?}", same_function());
        }
        for call in log {
            assert!(expected.contains(call), "{side} called what is not in the trace: {call:?}");
        }
    }

    /// What EDHOC_KDF was asked is put together as RFC 9528 §4.1.2 says.
    fn same_info(&self, label: u64, context: &str, output: &str, info: &str) {
        let (context, output) = (if context.is_empty() { Vec::new() } else { self.get(context) }, self.get(output));
        let expected = wire::encode_with(|w| {
            w.unsigned(label);
            w.bytes(&context);
            w.unsigned(output.len().try_into().unwrap());
        });
        self.same(info, &expected);
    }

    fn assert_all_used(&self) {
        let used = self.used.lock().unwrap();
        for name in self.case.as_object().expect("an object").keys() {
            assert!(used.contains(name) || ["id", "suite"].contains(&name.as_str()), "{name} was not compared");
        }
    }
}

fn bytes(digits: &str) -> Vec<u8> {
    assert_eq!(digits.len() % 2, 0);
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..][..2], 16).expect("hex")).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

// ------------------------------------------------------------------------------------------------------------- spy

#[derive(PartialEq)]
struct Call {
    function: String,
    values: Vec<Vec<u8>>,
}

impl core::fmt::Debug for Call {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}{:?}", self.function, self.values.iter().map(|value| hex(value)).collect::<Vec<_>>())
    }
}

/// A backend that writes down what it is asked, and a key store too.
struct Spy {
    log: Mutex<Vec<Call>>,
    keys: MemoryKeyStore,
}

impl Spy {
    fn note(&self, function: &str, values: &[&[u8]]) {
        let values = values.iter().map(|value| value.to_vec()).collect();
        self.log.lock().unwrap().push(Call { function: function.to_owned(), values });
    }
}

impl Crypto for Spy {
    fn sha256(&self, parts: &[&[u8]]) -> Hash {
        let hash = RustCrypto.sha256(parts);
        self.note("sha256", &[&parts.concat(), &hash]);
        hash
    }

    fn hkdf_extract(&self, salt: &[u8], ikm: &[u8], prk: &mut Secret<HASH_LEN>) {
        RustCrypto.hkdf_extract(salt, ikm, prk);
        self.note("extract", &[salt, ikm, prk.bytes()]);
    }

    fn hkdf_expand(&self, prk: &Secret<HASH_LEN>, info: &[&[u8]], okm: &mut [u8]) -> Result<(), Backend> {
        RustCrypto.hkdf_expand(prk, info, okm)?;
        self.note("expand", &[prk.bytes(), &info.concat(), okm]);
        Ok(())
    }

    fn seal(&self, aead: Aead, key: &[u8], nonce: &[u8], aad: &[u8], text: &mut Vec<u8>) -> Result<(), Backend> {
        let plaintext = text.clone();
        RustCrypto.seal(aead, key, nonce, aad, text)?;
        self.note("seal", &[key, nonce, aad, &plaintext, text]);
        Ok(())
    }

    fn open(&self, aead: Aead, key: &[u8], nonce: &[u8], aad: &[u8], text: &mut Vec<u8>) -> Result<(), Untrusted> {
        let ciphertext = text.clone();
        RustCrypto.open(aead, key, nonce, aad, text)?;
        self.note("open", &[key, nonce, aad, &ciphertext, text]);
        Ok(())
    }

    fn point(&self, encoded: &[u8]) -> Result<PublicKey, Misbehaved> {
        RustCrypto.point(encoded)
    }

    fn read_key(&self, kind: KeyKind, encoded: &[u8]) -> Result<PublicKey, Misbehaved> {
        self.note("read", &[encoded]);
        RustCrypto.read_key(kind, encoded)
    }

    fn generate(&self, group: Group, rng: &mut dyn Rng) -> Result<EphemeralKey, Backend> {
        let key = RustCrypto.generate(group, rng)?;
        self.note("generate", &[key.private(), key.public()]);
        Ok(key)
    }

    fn encapsulate(
        &self,
        group: Group,
        g_x: &[u8],
        rng: &mut dyn Rng,
        shared: &mut Secret<HASH_LEN>,
    ) -> Result<EphemeralKey> {
        let key = RustCrypto.encapsulate(group, g_x, rng, shared)?;
        self.note("encapsulate", &[key.private(), key.public(), g_x, shared.bytes()]);
        Ok(key)
    }

    fn decapsulate(&self, key: &EphemeralKey, g_y: &[u8], shared: &mut Secret<HASH_LEN>) -> Result<()> {
        RustCrypto.decapsulate(key, g_y, shared)?;
        self.note("decapsulate", &[key.private(), g_y, shared.bytes()]);
        Ok(())
    }

    fn agree(&self, key: &EphemeralKey, peer: &PublicKey, shared: &mut Secret<HASH_LEN>) -> Result<(), Backend> {
        RustCrypto.agree(key, peer, shared)?;
        // Of an ephemeral key only x is known; either y will do.
        self.note("agree", &[key.private(), peer.x(), shared.bytes()]);
        Ok(())
    }

    fn verify(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> Result<(), Untrusted> {
        self.note("verify", &[key.bytes(), message, signature]);
        RustCrypto.verify(key, message, signature)
    }
}

impl KeyStore for Spy {
    fn public_key(&self, key: KeyId) -> Result<PublicKey, Backend> {
        self.keys.public_key(key)
    }

    fn sign(&self, key: KeyId, message: &[u8]) -> Result<Signature, Backend> {
        let signature = self.keys.sign(key, message)?;
        self.note("sign", &[message, &signature]);
        Ok(signature)
    }

    fn agree(&self, key: KeyId, peer: &PublicKey, shared: &mut Secret<HASH_LEN>) -> Result<(), Backend> {
        self.keys.agree(key, peer, shared)?;
        self.note("static agree", &[peer.x(), shared.bytes()]);
        Ok(())
    }
}

/// Gives out one scalar, once.
struct Scalar(Vec<u8>);

impl Rng for Scalar {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), Backend> {
        if self.0.is_empty() {
            return Err(Backend::Random);
        }
        out.copy_from_slice(&core::mem::take(&mut self.0));
        Ok(())
    }
}

// ------------------------------------------------------------------------------------------------------------ play

struct Party {
    spy: Spy,
    own: OwnCredential,
}

type Believe<'b> = &'b dyn Fn(&CredentialId<'_>, Role) -> Candidates;

fn only(candidates: &Candidates) -> &Peer {
    let mut all = candidates.iter();
    let peer = all.next().unwrap();
    assert!(all.next().is_none());
    peer
}

/// Runs both sides through all steps and compares what is seen from outside.
fn play(trace: &Trace, suites: &[Suite], device: &Party, operator: &Party, believe: Believe<'_>) {
    let method = Method::from_number(trace.get("method")[0].into()).unwrap();
    let (c_i, c_r) = (trace.id("c_i"), trace.id("c_r"));

    let proposal = initiator::Proposal { method, suites, c_i: &c_i, ead_1: &[] };
    let (sent, message_1) = initiator::start(&proposal, &device.spy, &mut Scalar(trace.get("x"))).unwrap();
    trace.same("message_1", &message_1);
    let g_x = [&[0x58, 0x20], trace.get("g_x").as_slice()].concat();
    trace.same("message_1", &[trace.get("method"), trace.get("suites_i"), g_x, trace.get("c_i")].concat());

    let supported = &suites[suites.len().checked_sub(1).unwrap()..];
    let read = responder::read(&message_1, &METHODS, supported, &operator.spy).unwrap();
    assert_eq!(read.c_i(), &c_i);
    let mut y = Scalar(trace.get("y"));
    let (sent_2, message_2) = read.write(&c_r, &operator.own, &[], &operator.spy, &operator.spy, &mut y).unwrap();
    trace.same("message_2", &message_2);
    assert_eq!(message_2, message::encode_message_2(&trace.get("g_y"), &trace.get("ciphertext_2")));

    let read = sent.read(&message_2, &device.spy).unwrap();
    trace.same("id_cred_r", &wire::encode(&read.claimed().unwrap()));
    let peer = believe(&read.claimed().unwrap(), Role::Operator);
    trace.same("cred_r", only(&peer).credential());
    let accepted = read.accept(peer, &device.own, &device.spy).unwrap();
    trace.same("th_3", accepted.th_3());
    let (sent_3, message_3) = accepted.write(&device.own, &[], &device.spy, &device.spy).unwrap();
    trace.same("message_3", &message_3);
    trace.same("ciphertext_3", wire::decode::<&[u8]>(&message_3).unwrap());

    let read = sent_2.read(&message_3, &operator.spy).unwrap();
    trace.same("id_cred_i", &wire::encode(&read.claimed().unwrap()));
    let peer = believe(&read.claimed().unwrap(), Role::Device);
    trace.same("cred_i", only(&peer).credential());
    let accepted = read.accept(peer, &operator.own, &operator.spy).unwrap();
    trace.same("th_3", accepted.th_3());
    let (operator_session, message_4) = accepted.write(&[], &operator.spy).unwrap();
    trace.same("message_4", &message_4);
    trace.same("ciphertext_4", wire::decode::<&[u8]>(&message_4).unwrap());
    let device_session = sent_3.read(&message_4, &device.spy).unwrap().complete().unwrap();

    for (session, spy) in [(&device_session, &device.spy), (&operator_session, &operator.spy)] {
        trace.same("th_4", session.th_4());
        // RFC 9528 Appendix A.1: exporter labels 0 and 1.
        for (label, name) in [(0, "oscore_master_secret"), (1, "oscore_master_salt")] {
            let mut out = vec![0; trace.get(name).len()];
            Session::export(session, label, &[], &mut out, spy).unwrap();
            trace.same(name, &out);
        }
    }
    let ends = [(device_session, &device.spy, ["c_r", "c_i"]), (operator_session, &operator.spy, ["c_i", "c_r"])];
    for (mut session, spy, [sender, recipient]) in ends {
        let calls = spy.log.lock().unwrap().len();
        let oscore = session.oscore(spy).unwrap();
        trace.same("oscore_master_secret", oscore.master_secret.bytes());
        trace.same("oscore_master_salt", &oscore.master_salt);
        assert_eq!((oscore.sender_id, oscore.recipient_id), (trace.id(sender), trace.id(recipient)));
        session.update(&trace.get("key_update_context"), spy).unwrap();
        let oscore = session.oscore(spy).unwrap();
        trace.same("key_update_oscore_master_secret", oscore.master_secret.bytes());
        trace.same("key_update_oscore_master_salt", &oscore.master_salt);
        let mut log = spy.log.lock().unwrap();
        for name in ["key_update_prk_out", "key_update_prk_exporter"] {
            assert!(log.iter().any(|call| call.values.contains(&trace.get(name))), "{name}");
        }
        // The rest is about the handshake.
        log.truncate(calls);
    }
}

/// Both sides: transcript hashes and everything that follows PRK_4e3m.
const BOTH: [&str; 15] = [
    "sha256: message_1 -> h_message_1",
    "sha256: th_2_input -> th_2",
    "extract: th_2 g_xy -> prk_2e",
    "expand: prk_2e info_keystream_2 -> keystream_2",
    "sha256: th_3_input -> th_3",
    "expand: prk_3e2m info_k_3 -> k_3",
    "expand: prk_3e2m info_iv_3 -> iv_3",
    "sha256: th_4_input -> th_4",
    "expand: prk_4e3m info_k_4 -> k_4",
    "expand: prk_4e3m info_iv_4 -> iv_4",
    "expand: prk_4e3m info_prk_out -> prk_out",
    "expand: prk_out info_prk_exporter -> prk_exporter",
    "expand: prk_exporter info_oscore_master_secret -> oscore_master_secret",
    "expand: prk_exporter info_oscore_master_salt -> oscore_master_salt",
    "expand: prk_3e2m info_mac_2 -> mac_2",
];

const MAC_3: &str = "expand: prk_4e3m info_mac_3 -> mac_3";

/// With static Diffie-Hellman (method 3).
const BOTH_STATIC: [&str; 4] = [
    "expand: prk_2e info_salt_3e2m -> salt_3e2m",
    "extract: salt_3e2m g_rx -> prk_3e2m",
    "expand: prk_3e2m info_salt_4e3m -> salt_4e3m",
    "extract: salt_4e3m g_iy -> prk_4e3m",
];

const DEVICE: [&str; 3] = [
    "generate: x -> g_x",
    "seal: k_3 iv_3 a_3 plaintext_3 -> ciphertext_3",
    "open: k_4 iv_4 a_4 ciphertext_4 -> plaintext_4",
];

const OPERATOR: [&str; 2] =
    ["open: k_3 iv_3 a_3 ciphertext_3 -> plaintext_3", "seal: k_4 iv_4 a_4 plaintext_4 -> ciphertext_4"];

/// Values that are in the calls, but put together from others that the trace names.
fn same_compositions(trace: &Trace) {
    let mut ciphertext_2 = trace.get("plaintext_2");
    ciphertext_2.iter_mut().zip(trace.get("keystream_2")).for_each(|(byte, key)| *byte ^= key);
    trace.same("ciphertext_2", &ciphertext_2);

    for (label, context, output, info) in [
        (0, "th_2", "keystream_2", "info_keystream_2"),
        (2, "context_2", "mac_2", "info_mac_2"),
        (3, "th_3", "k_3", "info_k_3"),
        (4, "th_3", "iv_3", "info_iv_3"),
        (6, "context_3", "mac_3", "info_mac_3"),
        (7, "th_4", "prk_out", "info_prk_out"),
        (8, "th_4", "k_4", "info_k_4"),
        (9, "th_4", "iv_4", "info_iv_4"),
        (10, "", "prk_exporter", "info_prk_exporter"),
        (0, "", "oscore_master_secret", "info_oscore_master_secret"),
        (1, "", "oscore_master_salt", "info_oscore_master_salt"),
    ] {
        trace.same_info(label, context, output, info);
    }

    for (side, number, c_r) in [("r", "2", Some(trace.id("c_r"))), ("i", "3", None)] {
        let c_r = wire::encode_with(|w| c_r.iter().for_each(|c_r| c_r.write_to(w)));
        let (th, ead) = (trace.get_exact(&format!("th_{number}")), Vec::new());
        let (id_cred, credential) = (trace.get(&format!("id_cred_{side}")), trace.get(&format!("cred_{side}")));
        let context =
            schedule::MacContext { c_r: &c_r, id_cred: &id_cred, th: &th, credential: &credential, ead: &ead };
        trace.same(&format!("context_{number}"), &context.parts().concat());
    }
}

#[test]
fn rfc_9529_section_3() {
    let trace = Trace::section_3();
    let party = |cred: &str, key: &str, role| {
        let pinned = Pinned::from_ccs(&trace.get(cred), role, Domain::Test, &RustCrypto).unwrap();
        let mut keys = MemoryKeyStore::new();
        keys.insert(KEY, &trace.get_exact(key)).unwrap();
        let own = OwnCredential::pinned(KEY, &pinned).unwrap();
        let mut trusted_by_other = MemoryAnchors::new();
        trusted_by_other.add_pinned(pinned).unwrap();
        (Party { spy: Spy { log: Mutex::default(), keys }, own }, trusted_by_other)
    };
    let (device, operator_anchors) = party("cred_i", "sk_i", Role::Device);
    let (operator, device_anchors) = party("cred_r", "sk_r", Role::Operator);
    for (party, id, x, y) in [(&device, "id_cred_i", "pk_i_x", "pk_i_y"), (&operator, "id_cred_r", "pk_r_x", "pk_r_y")]
    {
        trace.same(id, &party.own.id);
        let public_key = party.spy.public_key(KEY).unwrap();
        trace.same(x, public_key.x());
        trace.same(y, public_key.y());
    }

    play(&trace, &[SUITE_6, Suite::CCM_8], &device, &operator, &|claimed, role| {
        let anchors = if role == Role::Device { &operator_anchors } else { &device_anchors };
        verify(claimed, role, Domain::Test, anchors, &RustCrypto, None).unwrap()
    });

    let device_calls =
        ["read: g_y", "agree: x g_y -> g_xy", "agree: x pk_r_x -> g_rx", "static agree: g_y -> g_iy", MAC_3];
    let operator_calls = [
        "read: g_x",
        "generate: y -> g_y",
        "agree: y g_x -> g_xy",
        "agree: y pk_i_x -> g_iy",
        "static agree: g_x -> g_rx",
        MAC_3,
    ];
    let device_calls = [&BOTH[..], &BOTH_STATIC, &DEVICE, &device_calls].concat();
    let operator_calls = [&BOTH[..], &BOTH_STATIC, &OPERATOR, &operator_calls].concat();
    trace.same_calls("the device", &device.spy.log.lock().unwrap(), &device_calls);
    trace.same_calls("the operator", &operator.spy.log.lock().unwrap(), &operator_calls);
    same_compositions(&trace);
    trace.same_info(1, "th_2", "salt_3e2m", "info_salt_3e2m");
    trace.same_info(5, "th_3", "salt_4e3m", "info_salt_4e3m");

    // Sections 3.1 and 3.2: the first attempt, with the preferred suite, which the responder does not run.
    let c_i = trace.id("refused_c_i");
    let proposal = initiator::Proposal { method: Method::StaticStatic, suites: &[SUITE_6], c_i: &c_i, ead_1: &[] };
    let (_, message_1) = initiator::start(&proposal, &RustCrypto, &mut Scalar(trace.get("refused_x"))).unwrap();
    trace.same("refused_message_1", &message_1);
    let refused = responder::read(&message_1, &METHODS, &[Suite::CCM_8], &RustCrypto).unwrap_err();
    assert_eq!(refused, Misbehaved::WrongSuite.into());
    let error = error_message(&refused, &[Suite::CCM_8]).unwrap();
    trace.same("error", &error);
    assert_eq!(read_error(&error).map(|error| error.refused), Ok(Refused::WrongSuite));

    trace.assert_all_used();
}

#[cfg(feature = "x25519")]
#[test]
fn rfc_9529_section_2() {
    use crate::{
        cose::sign1::to_be_signed,
        trust::{SHA_256_64, Usage, Verified},
    };
    let mut trace = Trace::section_2();
    // Nobody has a static Diffie-Hellman key: RFC 9528 §4.1.1.2 and §4.1.1.3.
    for name in ["prk_3e2m", "prk_4e3m"] {
        trace.case[name] = trace.case["prk_2e"].clone();
    }
    let trace = trace;
    let party = |side: &str| {
        let mut keys = MemoryKeyStore::new();
        keys.insert_kind(KEY, KeyKind::Ed25519, &trace.get_exact(&format!("sk_{side}"))).unwrap();
        trace.same(&format!("pk_{side}"), keys.public_key(KEY).unwrap().bytes());
        let credential = trace.get(&format!("cred_{side}"));
        // An x5t of 8 bytes.
        let own = OwnCredential { key: KEY, id: trace.get(&format!("id_cred_{side}")), credential };
        Party { spy: Spy { log: Mutex::default(), keys }, own }
    };
    let (device, operator) = (party("i"), party("r"));

    play(&trace, &[Suite::X25519], &device, &operator, &|claimed, role| {
        let side = if role == Role::Device { "i" } else { "r" };
        let credential = trace.get(&format!("cred_{side}"));
        let CredentialId::Thumbprint { algorithm: SHA_256_64, hash } = claimed else { panic!("{claimed:?}") };
        let certificate: &[u8] = wire::decode(&credential).unwrap();
        assert_eq!(*hash, &RustCrypto.sha256(&[certificate])[..8]);
        // The chain is not P-256, so that it is the caller who believes it.
        let key = RustCrypto.read_key(KeyKind::Ed25519, &trace.get(&format!("pk_{side}"))).unwrap();
        let name = "EDHOC".parse().unwrap();
        Verified::assertion(Peer::new(&credential, key, name, role, Domain::Test, Usage::ANY)).into()
    });

    let device_calls = [
        "decapsulate: x g_y -> g_xy",
        "verify: pk_r signature_input_2 signature_or_mac_2",
        "sign: signature_input_3 -> signature_or_mac_3",
    ];
    let operator_calls = [
        "encapsulate: y g_y g_x -> g_xy",
        "sign: signature_input_2 -> signature_or_mac_2",
        "verify: pk_i signature_input_3 signature_or_mac_3",
    ];
    let device_calls = [&BOTH[..], &DEVICE, &[MAC_3], &device_calls].concat();
    let operator_calls = [&BOTH[..], &OPERATOR, &[MAC_3], &operator_calls].concat();
    trace.same_calls("the device", &device.spy.log.lock().unwrap(), &device_calls);
    trace.same_calls("the operator", &operator.spy.log.lock().unwrap(), &operator_calls);
    same_compositions(&trace);
    for (side, number) in [("r", "2"), ("i", "3")] {
        let [id, cred] = ["id_cred", "cred"].map(|name| trace.get(&format!("{name}_{side}")));
        let th = trace.get_exact(&format!("th_{number}"));
        let aad = schedule::external_aad(&th, &cred, &[]).concat();
        let input = to_be_signed(&id, &aad, &trace.get(&format!("mac_{number}")));
        trace.same(&format!("signature_input_{number}"), &input);
    }
    trace.assert_all_used();
}

// --------------------------------------------------------------------------------------------------------- invalid

/// How far a message got, and why no further.
#[derive(Debug, PartialEq)]
enum Refusal {
    /// By the step that reads it.
    Reading(Error),
    /// By the step that answers message_1.
    Answering(Error),
    /// By the step that checks the proof.
    Accepting(Error),
}

fn message_1(bytes: &[u8], trace: &Trace) -> Result<(), Refusal> {
    let cred = Pinned::from_ccs(&trace.get("cred_r"), Role::Operator, Domain::Test, &RustCrypto).unwrap();
    let mut keys = MemoryKeyStore::new();
    keys.insert(KEY, &trace.get_exact("sk_r")).unwrap();
    let (own, c_r, mut y) = (OwnCredential::pinned(KEY, &cred).unwrap(), trace.id("c_r"), Scalar(trace.get("y")));
    let read = responder::read(bytes, &METHODS, &Suite::ALL, &RustCrypto).map_err(Refusal::Reading)?;
    read.write(&c_r, &own, &[], &keys, &RustCrypto, &mut y).map(|_| ()).map_err(|why| Refusal::Answering(why.error()))
}

fn message_2(bytes: &[u8], trace: &Trace) -> Result<(), Refusal> {
    let pin = |name, role| Pinned::from_ccs(&trace.get(name), role, Domain::Test, &RustCrypto).unwrap();
    let own = OwnCredential::pinned(KEY, &pin("cred_i", Role::Device)).unwrap();
    let mut anchors = MemoryAnchors::new();
    anchors.add_pinned(pin("cred_r", Role::Operator)).unwrap();
    let (suites, c_i) = ([SUITE_6, Suite::CCM_8], trace.id("c_i"));
    let proposal = initiator::Proposal { method: Method::StaticStatic, suites: &suites, c_i: &c_i, ead_1: &[] };
    let (sent, _) = initiator::start(&proposal, &RustCrypto, &mut Scalar(trace.get("x"))).unwrap();
    let read = sent.read(bytes, &RustCrypto).map_err(|why| Refusal::Reading(why.error()))?;
    let peer = verify(&read.claimed().unwrap(), Role::Operator, Domain::Test, &anchors, &RustCrypto, None).unwrap();
    read.accept(peer, &own, &RustCrypto).map(|_| ()).map_err(|why| Refusal::Accepting(why.error()))
}

/// message_2 with another PLAINTEXT_2, encrypted as it should be.
fn message_2_around(plaintext_2: &[u8], trace: &Trace) -> Vec<u8> {
    let (prk_2e, th_2) = (Secret::from_slice(&trace.get("prk_2e")).unwrap(), trace.get_exact("th_2"));
    let mut ciphertext_2 = plaintext_2.to_vec();
    schedule::xor_keystream_2(&prk_2e, &th_2, &mut ciphertext_2, &RustCrypto).unwrap();
    message::encode_message_2(&trace.get("g_y"), &ciphertext_2)
}

/// Section 4.3 is what a receiver may refuse; this one does.
#[test]
fn rfc_9529_section_4() {
    use Refusal::{Accepting, Answering, Reading};
    let trace = Trace::section_3();
    // What the faults are made in is good.
    assert_eq!(message_2(&message_2_around(&trace.get("plaintext_2"), &trace), &trace), Ok(()));
    assert_eq!(message_2(&trace.get("message_2"), &trace), Ok(()));
    let good = [&bytes("03025820"), trace.get("g_x").as_slice(), &bytes("0e")].concat();
    assert_eq!(message_1(&good, &trace), Ok(()));

    let expected: [(&str, Refusal); 15] = [
        ("4.1.1", Reading(Malformed::WrongType.into())),
        ("4.1.2", Reading(Malformed::NotShortest.into())),
        ("4.1.3", Reading(Malformed::WrongLength.into())),
        ("4.1.4", Reading(Malformed::WrongType.into())),
        ("4.1.5", Reading(Malformed::TrailingBytes.into())),
        ("4.1.6", Reading(Malformed::WrongType.into())),
        ("4.1.7", Reading(Malformed::NotShortest.into())),
        // P-384: refused for its suite, before anyone looks at G_X.
        ("4.2.1", Reading(Misbehaved::WrongSuite.into())),
        ("4.2.2", Answering(Misbehaved::InvalidPoint.into())),
        ("4.2.3", Answering(Misbehaved::InvalidPoint.into())),
        // X25519: refused for its suite too.
        ("4.2.4", Reading(Misbehaved::WrongSuite.into())),
        ("4.2.5", Accepting(Untrusted::Authentication.into())),
        ("4.2.6", Answering(Misbehaved::InvalidPoint.into())),
        ("4.3.1", Reading(Malformed::NotShortest.into())),
        ("4.3.2", Reading(Malformed::Indefinite.into())),
    ];
    let file: Value =
        serde_json::from_str(include_str!("../../tests/vectors/edhoc_rfc9529_section_4.json")).expect("JSON");
    let cases = file["cases"].as_array().expect("cases");
    assert_eq!(cases.len(), expected.len());
    for (case, (clause, expected)) in cases.iter().zip(expected) {
        assert_eq!(case["clause"], clause);
        let hex = bytes(case["hex"].as_str().expect("hex"));
        let found = match case["item"].as_str().expect("item") {
            "message_1" => message_1(&hex, &trace),
            "message_2" => message_2(&hex, &trace),
            "plaintext_2" => {
                // PLAINTEXT_3 is the same without C_R.
                let read_2 = Plaintext::read_2(hex.clone()).map(|_| ());
                assert_eq!(Plaintext::read_3(hex[1..].to_vec()).map(|_| ()), read_2, "{clause}");
                let found = message_2(&message_2_around(&hex, &trace), &trace);
                if let Err(reason) = read_2 {
                    assert_eq!(found, Err(Reading(reason.into())), "{clause}");
                }
                found
            }
            item => panic!("{item}"),
        };
        assert_eq!(found, Err(expected), "{clause} {}", case["reason"]);
    }
}
