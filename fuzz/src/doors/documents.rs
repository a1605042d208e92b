//! What makers, owners and roots of trust sign about a device: COSE, vouchers, concealed names, evidence.
//!
//! Each is read twice: as it is, when no bytes but those that were made may be believed; and in [`Glass`], when a marked
//! signature fits, so that what is behind a signature is reached as well.
//!
//! - no panic;
//! - no bytes but the maker's make an owner, and no bytes but the device's are its evidence;
//! - what opens is what was sealed;
//! - `ciborium` sees the same structure.

use std::sync::OnceLock;

use ciborium::Value;
use remote_provisioning::{
    attestation::{Attester, Format, MemoryEndorsements, TokenVerifier, Verifier},
    cose::{encrypt0, mac0::Mac0, sign1::Sign1},
    crypto::{Hash, PublicKey, Secret, rustcrypto::RustCrypto},
    identity::{Domain, Eui, Imei, PeerName, Role, Ueid},
    sim::{
        SeededRng, identities as ids,
        maker::{self, Attestation},
    },
    store::{KeyId, KeyStore},
    trust::{
        MemoryAnchors, Peer, Usage,
        concealed::{Concealed, VoucherSecret, conceal},
        voucher::{self, Holder, Ownership, VoucherRequest, extend},
    },
    wire::{self, Entries, Raw},
};

use super::{glass::Glass, memo::Memo, seeds::vectors};

/// The nonce of the device's evidence.
const NONCE: Hash = [7; 32];

const AAD: &[u8] = b"aad";

struct Props {
    anchors: MemoryAnchors,
    name: PeerName,
    operator: Peer,
    owned: [(Vec<u8>, Ownership); 2],
    request: Vec<u8>,
    concealed: Vec<u8>,
    secret: VoucherSecret,
    sealed: Vec<u8>,
    endorsements: MemoryEndorsements,
    token: Vec<u8>,
    key: Secret<32>,
    encrypted: Vec<u8>,
    signed: Vec<u8>,
}

fn props() -> &'static Props {
    static PROPS: OnceLock<Props> = OnceLock::new();
    PROPS.get_or_init(|| {
        let (name, anchors) = (maker::device_name().unwrap(), ids::device_anchors());
        let key = maker::operator_public_key().unwrap();
        let operator = Peer::new(b"c", key, "op".parse().unwrap(), Role::Operator, Domain::Test, Usage::ANY);
        let first = maker::voucher(&name, &key).unwrap();
        // Handed on to itself.
        let operators = maker::keys_of(ids::operator_key()).unwrap();
        let sign = maker::signer(&operators);
        let second = extend(&first, &key, &key.thumbprint(&RustCrypto), 2, Domain::Test, &sign, &RustCrypto).unwrap();
        let owned = [first, second].map(|chain| {
            let holder = Holder { serial: &name, domain: Domain::Test, held: None, nonce: None, date: None };
            let ownership = voucher::verify(&chain, &holder, &operator, &anchors, &RustCrypto).unwrap();
            (chain, ownership)
        });
        let registrar = voucher::Pin::Thumbprint([3; 32]);
        let request = VoucherRequest { nonce: b"a nonce!", registrar, serial: name.as_str() };
        let request = request.sign(maker::signer(&maker::keys_of(ids::device_key()).unwrap())).unwrap();
        let mut rng = SeededRng::new(1);
        let (concealed, secret) = conceal(&name, &maker::home_key().unwrap(), &RustCrypto, &mut rng).unwrap();
        let revealed = Concealed::read(Raw(&concealed)).unwrap().reveal(&maker::home_private().unwrap()).unwrap();
        let sealed = revealed.seal(&owned[0].0, &RustCrypto, &mut rng).unwrap();
        let formats = [u64::from(Format::Psa.number())];
        let token = Attestation::new(&name).unwrap().evidence(&NONCE, &formats).unwrap().unwrap();
        let endorsements = maker::endorsements(&[maker::device_id().unwrap()]).unwrap();
        let key = Secret::from_slice(&[9; 32]).unwrap();
        let encrypted = encrypt0::seal(&key, Some(300), AAD, b"what there is to say", &RustCrypto).unwrap();
        let signed = Sign1::create(b"what there is to say", AAD, &sign).unwrap().to_tagged();
        Props {
            anchors,
            name,
            operator,
            owned,
            request,
            concealed,
            secret,
            sealed,
            endorsements,
            token,
            key,
            encrypted,
            signed,
        }
    })
}

// ------------------------------------------------------------------------------------------------------------- COSE

pub(super) fn cose(bytes: &[u8]) {
    let Props { operator, key, encrypted, signed, .. } = props();
    let public = operator.public_key();
    if let Ok(sign1) = Sign1::foreign(bytes) {
        structure(bytes, 18, sign1.unverified());
        assert!(sign1.verify(public, AAD, &Memo).is_err() || bytes == signed, "a signature that nobody made");
        if let Ok(payload) = sign1.verify(public, AAD, &Glass::Marked) {
            assert_eq!(payload, sign1.unverified());
            assert!(sign1.to_be_signed(AAD).len() <= bytes.len() + 32);
        }
    }
    if let Ok(ours) = wire::decode::<Sign1<'_>>(bytes) {
        assert_eq!(wire::encode(&ours), bytes);
        let tagged = ours.to_tagged();
        assert_eq!(Sign1::foreign(&tagged), Ok(ours), "ours is a special case of theirs");
    }
    if let Ok(mac0) = Mac0::foreign(bytes) {
        structure(bytes, 17, mac0.unverified());
        assert!(mac0.verify(key.bytes(), AAD, &RustCrypto).is_err(), "a MAC that nobody made");
    }
    if let Ok(encrypt0) = wire::decode::<encrypt0::Encrypt0<'_>>(bytes) {
        assert_eq!(wire::encode(&encrypt0), bytes);
        let opened = encrypt0.open(key, AAD, &RustCrypto).is_ok();
        assert!(!opened || bytes == encrypted, "a tag that nobody made");
        if let Ok(text) = encrypt0.open(key, AAD, &Glass::True) {
            let again = encrypt0::seal(key, encrypt0.partial_iv, AAD, text.bytes(), &Glass::True).unwrap();
            assert_eq!(again, bytes);
        }
    }
}

/// What ciborium sees in a foreign structure.
fn structure(bytes: &[u8], tag: u64, payload: &[u8]) {
    let Ok(Value::Tag(found, inside)) = ciborium::from_reader::<Value, _>(bytes) else { panic!("no tag") };
    let Value::Array(parts) = *inside else { panic!("no array") };
    assert!(found == tag && parts.len() == 4 && parts[0].is_bytes() && parts[1].is_map());
    assert_eq!(parts[2].as_bytes().map(Vec::as_slice), Some(payload));
}

// ---------------------------------------------------------------------------------------------------------- vouchers

pub(super) fn voucher(bytes: &[u8]) {
    let Props { anchors, name, operator, owned, request, .. } = props();
    let _ = voucher::outline(bytes, &RustCrypto);
    for held in [None, Some(&owned[0].1), Some(&owned[1].1)] {
        let holder = Holder { serial: name, domain: Domain::Test, held, nonce: Some(b"a nonce!"), date: None };
        if let Ok(ownership) = voucher::verify(bytes, &holder, operator, anchors, &Memo) {
            assert!(owned.iter().any(|(_, known)| *known == ownership), "an owner that nobody made");
        }
        if let Ok(ownership) = voucher::verify(bytes, &holder, operator, anchors, &Glass::Marked) {
            ownership.check(operator, &Glass::Marked).expect("of whom it names");
            assert!(voucher::outline(bytes, &Glass::Marked).is_ok());
        }
    }
    let device = maker_device_key();
    let honest = |read: &VoucherRequest<'_>| read.serial == name.as_str();
    if let Ok(read) = VoucherRequest::verify(bytes, &device, &Memo) {
        assert!(honest(&read) && bytes.len() == request.len(), "a request that nobody made");
    }
    assert!(VoucherRequest::verify(bytes, operator.public_key(), &Memo).is_err());
    if let Ok(read) = VoucherRequest::verify(bytes, &device, &Glass::Marked) {
        let again = read.sign(|_| Ok(super::glass::FITS)).unwrap();
        let again = VoucherRequest::verify(&again, &device, &Glass::Marked).expect("what is read can be said");
        assert_eq!((again.nonce, again.serial), (read.nonce, read.serial));
    }
}

fn maker_device_key() -> PublicKey {
    static KEY: OnceLock<PublicKey> = OnceLock::new();
    *KEY.get_or_init(|| maker::keys_of(ids::device_key()).unwrap().public_key(KeyId(0)).unwrap())
}

// ------------------------------------------------------------------------------------------------------------- names

pub(super) fn concealed(bytes: &[u8]) {
    let Props { owned, secret, .. } = props();
    if let Ok(concealed) = Concealed::read(Raw(bytes)) {
        let _ = concealed.reveal(&maker::home_private().unwrap());
    }
    if let Ok(chain) = secret.open(Raw(bytes), &RustCrypto) {
        assert_eq!(chain, owned[0].0);
    }
    let _ = secret.open(Raw(bytes), &Glass::True);
    if let Ok(ueid) = Ueid::from_bytes(bytes) {
        assert_eq!(ueid.as_bytes(), bytes);
        let _ = (ueid.eui(), ueid.imei(), ueid.rand(), ueid.to_string());
    }
    if let Ok(eui) = Eui::from_bytes(bytes) {
        assert_eq!(eui.as_bytes(), bytes);
    }
    let Ok(text) = core::str::from_utf8(bytes) else { return };
    if let Ok(name) = text.parse::<PeerName>() {
        assert_eq!(name.as_str(), text);
    }
    if let Ok(imei) = text.parse::<Imei>() {
        assert_eq!(imei.to_string().parse::<Imei>(), Ok(imei));
    }
    if let Ok(eui) = text.parse::<Eui>() {
        assert_eq!(eui.to_string().parse::<Eui>(), Ok(eui));
    }
}

// ---------------------------------------------------------------------------------------------------------- evidence

pub(super) fn evidence(bytes: &[u8]) {
    let Props { name, endorsements, token, .. } = props();
    if let Ok(claims) = TokenVerifier::new(endorsements).verify(bytes, &NONCE, &Memo) {
        assert!(claims.device.name() == name && bytes.len() == token.len(), "evidence that nobody gave");
    }
    if let Ok(claims) = TokenVerifier::new(endorsements).verify(bytes, &NONCE, &Glass::Marked) {
        assert_eq!(claims.device.name(), name);
        let verifier = TokenVerifier::new(endorsements);
        let verdict = maker::policy().unwrap().appraise(&claims.device, Some(bytes), &NONCE, &verifier, &Glass::Marked);
        if let Ok(verdict) = verdict {
            assert!(verdict.is_for(&NONCE) && verdict.appraised().is_some() && !verdict.to_string().is_empty());
        }
    }
    if Entries::decode(bytes).is_ok() {
        assert!(matches!(ciborium::from_reader::<Value, _>(bytes), Ok(Value::Map(_))), "ciborium sees no map");
    }
}

/// Puts the signature that fits in the place of the last one.
pub(super) fn marked(document: &[u8]) -> Vec<u8> {
    let (rest, _) = document.split_last_chunk::<64>().unwrap();
    [rest, &super::glass::FITS].concat()
}

/// What there is to start from.
pub(super) fn seeds() -> Vec<super::seeds::Seed> {
    let Props { request, concealed, sealed, token, encrypted, signed, owned, .. } = props();
    let [(first, _), (second, _)] = owned;
    let hmac = vectors(include_str!("../../../tests/vectors/psa_tokens.json"));
    let drafts = vectors(include_str!("../../../tests/vectors/vouchers.json"));
    let untagged = &signed[1..];
    let mut seeds: Vec<super::seeds::Seed> = Vec::new();
    let mut add = |door, name: &str, bytes: &[u8]| seeds.push((door, name.to_string(), bytes.to_vec()));
    for (name, bytes) in [("sign1", &signed[..]), ("sign1-untagged", untagged), ("encrypt0", encrypted)] {
        add("cose", name, bytes);
    }
    add("cose", "sign1-marked", &marked(signed));
    add("voucher", "one", first);
    add("voucher", "two", second);
    add("voucher", "two-marked", &marked(second));
    add("voucher", "request", request);
    add("voucher", "request-marked", &marked(request));
    add("concealed", "name", concealed);
    add("concealed", "sealed-voucher", sealed);
    for text in ["imei-490154203237518", "mac-00-25-96-FF-FE-12-34-56", "SN-0001"] {
        add("concealed", &text[..3], text.as_bytes());
    }
    add("concealed", "ueid", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17]);
    add("evidence", "run", token);
    add("evidence", "run-marked", &marked(token));
    for (number, case) in hmac.iter().enumerate() {
        add("evidence", &format!("rfc9783-{number}"), &case["token"]);
        add("cose", &format!("rfc9783-{number}"), &case["token"]);
    }
    for (number, case) in drafts.iter().enumerate() {
        add("voucher", &format!("draft-{number}"), &case["token"]);
    }
    seeds
}
