//! What somebody says of a device: vouchers, requests for them, concealed names, evidence. The same bytes for each reader.
//!
//! - no panic;
//! - no bytes but the maker's make an owner, and no bytes but the device's are its evidence;
//! - what opens is what was sealed.

use std::sync::OnceLock;

use ciborium::Value;
use remote_provisioning::{
    attestation::{Attester, Format, MemoryEndorsements, TokenVerifier, Verifier},
    crypto::{Hash, rustcrypto::RustCrypto},
    identity::{Domain, Eui, Imei, PeerName, Role, Ueid},
    sim::{
        SeededRng, identities as ids,
        maker::{self, Attestation},
    },
    trust::{
        MemoryAnchors, Peer, RevocationList, Usage,
        concealed::{Concealed, VoucherSecret, conceal},
        voucher::{self, Holder, Ownership, VoucherRequest, extend},
    },
    wire::{Entries, Raw},
};

/// The nonce of the device's evidence.
const NONCE: Hash = [7; 32];

struct Props {
    anchors: MemoryAnchors,
    name: PeerName,
    operator: Peer,
    owned: [(Vec<u8>, Ownership); 2],
    concealed: Vec<u8>,
    secret: VoucherSecret,
    sealed: Vec<u8>,
    endorsements: MemoryEndorsements,
    token: Vec<u8>,
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
        let second = extend(&first, &key, &key.thumbprint(&RustCrypto), 2, Domain::Test, sign, &RustCrypto).unwrap();
        let owned = [first, second].map(|chain| {
            let holder = Holder { serial: &name, domain: Domain::Test, held: None, nonce: None, date: None };
            let ownership = voucher::verify(&chain, &holder, &operator, &anchors, &RustCrypto).unwrap();
            (chain, ownership)
        });
        let mut rng = SeededRng::new(1);
        let (concealed, secret) = conceal(&name, &maker::home_key().unwrap(), &RustCrypto, &mut rng).unwrap();
        let revealed = Concealed::read(Raw(&concealed)).unwrap().reveal(&maker::home_private().unwrap()).unwrap();
        let sealed = revealed.seal(&owned[0].0, &RustCrypto, &mut rng).unwrap();
        let formats = [u64::from(Format::Psa.number())];
        let token = Attestation::new(&name).unwrap().evidence(&NONCE, &formats).unwrap().unwrap();
        let endorsements = maker::endorsements(&[maker::device_id().unwrap()]).unwrap();
        Props { anchors, name, operator, owned, concealed, secret, sealed, endorsements, token }
    })
}

pub(crate) fn run(bytes: &[u8]) {
    let Props { anchors, name, operator, owned, secret, endorsements, .. } = props();
    let _ = voucher::outline(bytes, &RustCrypto);
    for held in [None, Some(&owned[0].1), Some(&owned[1].1)] {
        let holder = Holder { serial: name, domain: Domain::Test, held, nonce: Some(b"a nonce!"), date: None };
        if let Ok(ownership) = voucher::verify(bytes, &holder, operator, anchors, &RustCrypto) {
            assert!(owned.iter().any(|(_, known)| *known == ownership), "an owner that nobody made");
        }
    }
    assert!(VoucherRequest::verify(bytes, operator.public_key(), &RustCrypto).is_err());
    if let Ok(concealed) = Concealed::read(Raw(bytes)) {
        let _ = concealed.reveal(&maker::home_private().unwrap());
    }
    if let Ok(chain) = secret.open(Raw(bytes), &RustCrypto) {
        assert_eq!(chain, owned[0].0);
    }
    if let Ok(claims) = TokenVerifier::new(endorsements).verify(bytes, &NONCE, &RustCrypto) {
        assert_eq!(claims.device.name(), name);
    }
    if Entries::decode(bytes).is_ok() {
        assert!(matches!(ciborium::from_reader::<Value, _>(bytes), Ok(Value::Map(_))), "ciborium sees no map");
    }
    let (root, list) = ids::listing_maker();
    if RevocationList::new(bytes, root, &RustCrypto).is_ok() {
        // But for the signature, which has another form, and so for the length of it all.
        assert_eq!(bytes.get(3..100), list.get(3..100), "a list that nobody made");
    }
    let _ = Ueid::from_bytes(bytes).map(|ueid| (ueid.eui(), ueid.imei(), ueid.to_string()));
    let _ = Eui::from_bytes(bytes);
    let _ = core::str::from_utf8(bytes).map(|text| (text.parse::<Imei>(), text.parse::<Eui>()));
}

/// What there is to start from.
pub(crate) fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let Props { name, owned: [(first, _), (second, _)], concealed, sealed, token, .. } = props();
    let device = maker::keys_of(ids::device_key()).unwrap();
    let registrar = voucher::Pin::Thumbprint([3; 32]);
    let request = VoucherRequest { nonce: b"a nonce!", registrar, serial: name.as_str() };
    let request = request.sign(maker::signer(&device)).unwrap();
    vec![
        ("voucher", first.clone()),
        ("voucher-two", second.clone()),
        ("voucher-request", request),
        ("concealed", concealed.clone()),
        ("sealed", sealed.clone()),
        ("evidence", token.clone()),
        ("list", ids::listing_maker().1.to_vec()),
        ("imei", b"imei-490154203237518".to_vec()),
    ]
}
