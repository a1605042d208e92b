//! Grants: one session, of one device, at one operator, once.

use arrayvec::ArrayString;
use remote_provisioning::{
    authority::{
        Grant, Granted, Granter, Permit,
        grant::{Fault, Terms, verify},
    },
    credential::{SNssai, ServiceProfile},
    error::{Code, Error},
    identity::PeerName,
};

use super::*;

const USER: &str = "Zoë Müller, born 1990-02-29";
const CTI: &[u8] = b"number 1";

/// What is changed of a scope.
type Change = fn(&mut ServiceProfile);

fn text<const N: usize>(text: &str) -> Option<ArrayString<N>> {
    Some(ArrayString::from(text).unwrap())
}

/// What is granted, and also the most that the operator gives.
fn scope() -> ServiceProfile {
    ServiceProfile {
        gpsi: text("msisdn-491700000001"),
        dnn: text("meters"),
        s_nssai: Some(SNssai { sst: 1, sd: Some(0x00_c0ff) }),
        expiry: None,
        quota: Some(5_000_000),
    }
}

fn operator() -> PeerName {
    "provisioning.example-operator".parse().unwrap()
}

/// An operator, a user, and what the one knows of the other.
struct Counter {
    user: Party,
    granters: Vec<Granter>,
    today: Date,
    limit: ServiceProfile,
}

impl Counter {
    fn new() -> Self {
        let user = Party::new("user");
        let granters = [("Somebody Else", "else"), (USER, "user")];
        let granters = granters.map(|(name, key)| Granter::new(name, Party::new(key).key(), Domain::Test).unwrap());
        let limit = ServiceProfile { expiry: Some(days(30).0), ..scope() };
        Self { user, granters: granters.into(), today: TODAY, limit }
    }

    fn verify_for(&self, token: &[u8], device: &DeviceId, operator: &PeerName) -> Result<Granted, Fault> {
        let (granters, today, limit) = (self.granters.as_slice(), self.today, &self.limit);
        verify(token, &Terms { granters, device, operator, domain: Domain::Test, today, limit }, &RustCrypto)
    }

    fn verify(&self, token: &[u8]) -> Result<Permit, Fault> {
        self.verify_for(token, &meter(), &operator())?.first_use(true)
    }

    /// A token of the user's, with one thing or another changed.
    fn token(&self, change: impl Fn(&mut Grant<'_>)) -> Vec<u8> {
        let (device, operator, scope) = (meter(), operator(), scope());
        let mut grant = Grant {
            iss: USER,
            device: &device,
            operator: &operator,
            expires: days(10),
            not_before: Some(days(0)),
            cti: CTI,
            scope: &scope,
        };
        change(&mut grant);
        grant.sign(self.user.sign()).unwrap()
    }

    fn good(&self) -> Vec<u8> {
        self.token(|_| {})
    }

    /// A grant of this scope.
    fn ask(&self, change: impl Fn(&mut ServiceProfile)) -> Result<Permit, Fault> {
        let mut scope = scope();
        change(&mut scope);
        let (device, operator) = (meter(), operator());
        let grant = Grant {
            iss: USER,
            device: &device,
            operator: &operator,
            expires: days(10),
            not_before: None,
            cti: CTI,
            scope: &scope,
        };
        self.verify(&grant.sign(self.user.sign()).unwrap())
    }

    /// Whatever these bytes are, signed by the user as a CWT.
    fn signed(&self, claims: &[u8]) -> Result<Permit, Fault> {
        self.verify(&Sign1::create(claims, &[], self.user.sign()).unwrap().to_tagged())
    }
}

/// The entries of [`scope`], by hand.
const SCOPE: &[u8] = b"\x01\x73msisdn-491700000001\x02\x66meters\x03\x82\x01\x19\xc0\xff\x05\x1a\x00\x4c\x4b\x40";

/// The claims of the good token, by hand. Each is a key and a value.
fn claims() -> Vec<Vec<u8>> {
    let number = |key: u8, date: Date| [&[key, 0x1a], u32::try_from(date.0).unwrap().to_be_bytes().as_slice()].concat();
    vec![
        [b"\x01\x78\x1d".as_slice(), USER.as_bytes()].concat(),
        b"\x02\x78\x29abababababababababababababababab/IOT/0042".to_vec(),
        b"\x03\x78\x1dprovisioning.example-operator".to_vec(),
        number(4, days(10)),
        number(5, days(0)),
        [b"\x07\x48", CTI].concat(),
        // -118289 and a service profile.
        [b"\x3a\x00\x01\xce\x10\xa4".as_slice(), SCOPE].concat(),
    ]
}

fn map(claims: &[Vec<u8>]) -> Vec<u8> {
    [&[0xa0 | u8::try_from(claims.len()).unwrap()], claims.concat().as_slice()].concat()
}

#[test]
fn a_grant_becomes_a_profile() {
    let counter = Counter::new();
    let token = counter.good();
    let granted = counter.verify_for(&token, &meter(), &operator()).unwrap();
    assert_eq!((granted.iss(), granted.cti(), granted.expires()), (USER, CTI, days(10)));
    let permit = granted.first_use(true).unwrap();
    assert_eq!(permit.iss(), USER);
    assert_eq!(permit.profile(), &ServiceProfile { expiry: Some(days(10).0), ..scope() });
}

#[test]
fn the_bytes_are_these() {
    let counter = Counter::new();
    let token = counter.good();
    let payload = Sign1::foreign(&token).unwrap().unverified().to_vec();
    assert_eq!(payload, map(&claims()));
    // COSE_Sign1, with its tag, a protected header of ES256 and no other.
    assert_eq!(token[..6], *b"\xd2\x84\x43\xa1\x01\x26");
    // [ "Signature1", << { 1: -7 } >>, '', payload ]
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    let signed = [b"\x84\x6aSignature1\x43\xa1\x01\x26\x40\x58".as_slice(), &length[1..], &payload].concat();
    assert_eq!(counter.verify(&token).unwrap().hash(), &RustCrypto.sha256(&[&signed]));
}

#[test]
fn headers_of_other_makers() {
    let counter = Counter::new();
    let token = |protected: &[u8], unprotected: &[u8]| {
        let payload = map(&claims());
        let signed = remote_provisioning::cose::sign1::to_be_signed(protected, &[], &payload);
        let signature = counter.user.sign()(&signed).unwrap();
        wire::encode_with(|w| {
            w.tag(18);
            w.array(4);
            w.bytes(protected);
            w.encoded(unprotected);
            w.bytes(&payload);
            w.bytes(&signature);
        })
    };
    // A kid in either header (RFC 8392 §A.3), a content type before the algorithm.
    let plain = counter.verify(&token(b"\xa1\x01\x26", b"\xa0")).unwrap();
    assert_eq!(counter.verify(&token(b"\xa1\x01\x26", b"\xa1\x04\x42u1")), Ok(plain), "the same grant");
    assert!(counter.verify(&token(b"\xa3\x04\x42u1\x03\x18\x3d\x01\x26", b"\xa0")).is_ok());
    // ES384, crit, no tag.
    assert_eq!(counter.verify(&token(b"\xa1\x01\x38\x22", b"\xa0")), Err(Malformed::OutOfRange.into()));
    assert_eq!(counter.verify(&token(b"\xa2\x01\x26\x02\x81\x04", b"\xa0")), Err(Malformed::OutOfRange.into()));
    assert_eq!(counter.verify(&counter.good()[1..]), Err(Malformed::WrongType.into()));
}

#[test]
fn nobody_else_grants() {
    let counter = Counter::new();
    let mut stranger = Counter::new();
    stranger.user = Party::new("stranger");
    assert_eq!(counter.verify(&stranger.good()), Err(Fault::NotAuthentic));
    // Under a name that may grant, with a key that may, but not under this one.
    stranger.user = Party::new("else");
    assert_eq!(counter.verify(&stranger.good()), Err(Fault::NotAuthentic));
    assert!(counter.verify(&stranger.token(|grant| grant.iss = "Somebody Else")).is_ok());
    assert_eq!(counter.verify(&counter.token(|grant| grant.iss = "Nobody")), Err(Fault::NotAuthentic));
    let none = Counter { granters: Vec::new(), ..Counter::new() };
    assert_eq!(none.verify(&counter.good()), Err(Fault::NotAuthentic));
    // As anything but a CWT.
    for context in [b"RCP release".as_slice(), b"RCP acceptance", b"RCP claim", b"RCP veto"] {
        let payload = map(&claims());
        let token = Sign1::create(&payload, context, counter.user.sign()).unwrap().to_tagged();
        assert_eq!(counter.verify(&token), Err(Fault::NotAuthentic));
    }
}

#[test]
fn a_granter_is_of_one_domain() {
    let mut counter = Counter::new();
    counter.granters = vec![Granter::new(USER, counter.user.key(), Domain::Production).unwrap()];
    assert_eq!(counter.verify(&counter.good()), Err(Fault::NotAuthentic));
    counter.granters.push(Granter::new(USER, counter.user.key(), Domain::Test).unwrap());
    assert!(counter.verify(&counter.good()).is_ok());
}

#[test]
fn a_granter_with_several_keys() {
    let mut counter = Counter::new();
    let named = |key: &str| Granter::new(USER, Party::new(key).key(), Domain::Test).unwrap();
    counter.granters = ["1", "2", "3", "user", "4"].map(named).into();
    assert!(counter.verify(&counter.good()).is_ok());
    counter.granters.insert(0, named("5"));
    assert_eq!(counter.verify(&counter.good()), Err(Fault::NotAuthentic), "four are tried");
}

#[test]
fn another_device() {
    let counter = Counter::new();
    for other in other_devices() {
        let result = counter.verify_for(&counter.good(), &other, &operator());
        assert_eq!(result.err(), Some(Fault::OtherDevice));
        assert_eq!(
            counter.verify(&counter.token(|grant| grant.device = Box::leak(Box::new(other)))),
            Err(Fault::OtherDevice)
        );
    }
}

#[test]
fn another_operator() {
    let counter = Counter::new();
    let other = "provisioning.example-operators".parse().unwrap();
    assert_eq!(counter.verify_for(&counter.good(), &meter(), &other).err(), Some(Fault::OtherOperator));
    assert!(counter.verify_for(&counter.good(), &meter(), &operator()).is_ok());
}

#[test]
fn too_early_and_too_late() {
    let mut counter = Counter::new();
    let token = counter.good();
    let mut at = |today: Date| {
        counter.today = today;
        counter.verify(&token).err()
    };
    assert_eq!(at(Date(days(0).0 - 1)), Some(Fault::NotYetValid));
    assert_eq!(at(days(0)), None);
    assert_eq!(at(Date(days(10).0 - 1)), None);
    assert_eq!(at(days(10)), Some(Fault::Expired));
    assert_eq!(at(days(11)), Some(Fault::Expired));
    let counter = Counter { today: Date(0), ..counter };
    assert!(counter.verify(&counter.token(|grant| grant.not_before = None)).is_ok(), "nbf may be left out");
}

#[test]
fn refused_if_wider_in_any_dimension() {
    let counter = Counter::new();
    let wider: [(&str, Change); 9] = [
        ("a byte more", |scope| scope.quota = Some(5_000_001)),
        ("without a quota", |scope| scope.quota = None),
        ("another network", |scope| scope.dnn = text("internet")),
        ("the default network", |scope| scope.dnn = None),
        ("another slice", |scope| scope.s_nssai = Some(SNssai { sst: 2, sd: Some(0x00_c0ff) })),
        ("another part of it", |scope| scope.s_nssai = Some(SNssai { sst: 1, sd: Some(0x00_c0fe) })),
        ("all of it", |scope| scope.s_nssai = Some(SNssai { sst: 1, sd: None })),
        ("the default slice", |scope| scope.s_nssai = None),
        ("another number", |scope| scope.gpsi = text("msisdn-491700000002")),
    ];
    for (what, change) in wider {
        assert_eq!(counter.ask(change), Err(Fault::Scope), "{what}");
    }
    let later = counter.token(|grant| grant.expires = Date(days(30).0 + 1));
    assert_eq!(counter.verify(&later), Err(Fault::Scope), "a second longer");
}

#[test]
fn granted_if_within() {
    let counter = Counter::new();
    for quota in [0, 1, 4_999_999, 5_000_000] {
        let permit = counter.ask(|scope| scope.quota = Some(quota)).unwrap();
        assert_eq!(permit.profile().quota, Some(quota), "as it was signed");
    }
    let permit = counter.ask(|scope| scope.gpsi = None).unwrap();
    assert_eq!(permit.profile().gpsi, None, "no number is less than a number");
    assert!(counter.verify(&counter.token(|grant| grant.expires = days(30))).is_ok());
}

#[test]
fn what_the_limit_leaves_open() {
    // Quantities: boundless. Names: none.
    let counter = Counter { limit: ServiceProfile::default(), ..Counter::new() };
    let quantities = |quota| {
        counter
            .ask(move |scope| *scope = ServiceProfile { quota, ..ServiceProfile::default() })
            .map(|p| p.profile().clone())
    };
    for quota in [None, Some(u64::MAX)] {
        assert_eq!(
            quantities(quota),
            Ok(ServiceProfile { quota, expiry: Some(days(10).0), ..ServiceProfile::default() })
        );
    }
    let names: [Change; 3] = [|s| s.gpsi = scope().gpsi, |s| s.dnn = scope().dnn, |s| s.s_nssai = scope().s_nssai];
    for name in names {
        let asked = counter.ask(|scope| {
            *scope = ServiceProfile::default();
            name(scope);
        });
        assert_eq!(asked, Err(Fault::Scope));
    }
}

#[test]
fn once() {
    let counter = Counter::new();
    let granted = || counter.verify_for(&counter.good(), &meter(), &operator()).unwrap();
    assert!(granted().first_use(true).is_ok());
    assert_eq!(granted().first_use(false), Err(Fault::Used));
}

#[test]
fn a_grant_is_named_by_what_it_says() {
    let counter = Counter::new();
    let hash = |token: &[u8]| *counter.verify(token).unwrap().hash();
    let one = hash(&counter.good());
    assert_eq!(hash(&with_twin(&counter.good())), one);
    assert_ne!(hash(&counter.token(|grant| grant.cti = b"number 2")), one);
}

#[test]
fn not_a_byte_can_be_changed() {
    let counter = Counter::new();
    let mut faults = Vec::new();
    for (what, damaged) in damaged(&counter.good()) {
        let fault = counter.verify(&damaged).expect_err(&what);
        assert!(
            matches!(fault, Fault::NotAuthentic | Fault::Malformed(_)),
            "{what}: {fault} before the signature was checked"
        );
        faults.push(fault);
    }
    assert!(faults.iter().filter(|fault| **fault == Fault::NotAuthentic).count() > 300);
}

#[test]
fn every_claim_must_be_there_but_nbf() {
    let counter = Counter::new();
    for left_out in 0..claims().len() {
        let mut claims = claims();
        let key = claims.remove(left_out)[0];
        let outcome = counter.signed(&map(&claims));
        if key == 5 {
            assert!(outcome.is_ok());
        } else {
            assert_eq!(outcome, Err(Malformed::MissingKey.into()), "{key}");
        }
    }
    assert!(counter.signed(&map(&claims())).is_ok());
}

#[test]
fn claims_of_another_form() {
    let counter = Counter::new();
    let with = |at: usize, claim: &[u8]| {
        let mut claims = claims();
        claims[at] = claim.to_vec();
        counter.signed(&map(&claims)).err()
    };
    let and = |at: usize, claim: &[u8]| {
        let mut claims = claims();
        claims.insert(at, claim.to_vec());
        counter.signed(&map(&claims)).err()
    };
    assert_eq!(with(1, b"\x02\x68IOT/0042"), Some(Fault::OtherDevice));
    assert_eq!(with(1, b"\x02\x60"), Some(Fault::OtherDevice));
    assert_eq!(with(5, b"\x07\x47seven b"), Some(Malformed::WrongLength.into()));
    assert_eq!(with(5, b"\x07\x48eight by"), None);
    assert_eq!(with(5, b"\x07\x50sixteen bytes ok"), None);
    assert_eq!(with(5, b"\x07\x51seventeen bytes.."), Some(Malformed::TooLong.into()));
    assert_eq!(with(3, b"\x04\xfb\x41\xda\x00\x00\x00\x00\x00\x00"), Some(Malformed::Forbidden.into()), "a float");
    assert_eq!(with(2, b"\x03\x81\x61x"), Some(Malformed::WrongType.into()), "several audiences");
    // iat says nothing here; cnf would tie the token to a key; a private claim may be a limit.
    assert_eq!(and(5, b"\x06\x00"), None);
    assert_eq!(and(6, b"\x08\xa0"), Some(Malformed::Forbidden.into()));
    assert_eq!(and(6, b"\x18\x64\x00"), None);
    assert_eq!(and(6, b"\x20\x00"), Some(Malformed::UnknownCriticalKey.into()));
    assert_eq!(and(7, b"\x3a\x00\x01\xce\x11\x00"), Some(Malformed::UnknownCriticalKey.into()));
    // RFC 8949 §4.2.1.
    let mut swapped = claims();
    swapped.swap(0, 1);
    assert!(matches!(counter.signed(&map(&swapped)), Err(Fault::Malformed(_))));
}

#[test]
fn scopes_of_another_form() {
    let counter = Counter::new();
    let scope = |scope: &[u8]| {
        let mut claims = claims();
        claims[6] = [b"\x3a\x00\x01\xce\x10", scope].concat();
        counter.signed(&map(&claims)).err()
    };
    assert_eq!(scope(&[b"\xa4", SCOPE].concat()), None);
    assert_eq!(scope(&[b"\xa5", SCOPE, b"\x06\x01"].concat()), Some(Malformed::Forbidden.into()), "what is 6?");
    assert_eq!(scope(&[b"\xa5", SCOPE, b"\x20\x01"].concat()), Some(Malformed::UnknownCriticalKey.into()));
    let (before, quota) = SCOPE.split_at(SCOPE.len() - 6);
    assert_eq!(
        scope(&[b"\xa5", before, b"\x04\x00", quota].concat()),
        Some(Malformed::Forbidden.into()),
        "two expiries"
    );
    assert_eq!(scope(b"\x00"), Some(Malformed::WrongType.into()));
}

#[test]
fn a_granter_cannot_sign_nonsense() {
    let counter = Counter::new();
    let (device, operator, plain) = (meter(), operator(), scope());
    let ends = ServiceProfile { expiry: Some(1), ..scope() };
    let sign = |iss: &str, cti: &[u8], scope: &ServiceProfile| {
        let grant = Grant { iss, device: &device, operator: &operator, expires: days(1), not_before: None, cti, scope };
        grant.sign(counter.user.sign()).err()
    };
    let misuse = |text| Some(Error::Misuse(Misuse::Parameter(text)));
    let (name, number) = ("a granter's name has 1 to 64 bytes", "a cti has 8 to 16 bytes");
    assert_eq!(sign(USER, CTI, &plain), None);
    assert_eq!(sign("", CTI, &plain), misuse(name));
    assert_eq!(sign(&"x".repeat(65), CTI, &plain), misuse(name));
    assert_eq!(sign(&"x".repeat(64), CTI, &plain), None);
    assert_eq!(sign(USER, &[0; 7], &plain), misuse(number));
    assert_eq!(sign(USER, &[0; 17], &plain), misuse(number));
    assert_eq!(sign(USER, CTI, &ends), misuse("a grant has one expiry"));
    let granter = |name: &str, key| Granter::new(name, key, Domain::Test).err();
    assert_eq!(granter("", counter.user.key()), Some(Misuse::Parameter(name)));
    assert_eq!(granter(&"x".repeat(65), counter.user.key()), Some(Misuse::Parameter(name)));
    assert_eq!(granter(USER, key_of_another_kind()), Some(Misuse::Parameter("granters sign with P-256")));
}

#[test]
fn what_the_device_is_told() {
    let table = [
        (Fault::Malformed(Malformed::Truncated), Code::GrantNotAuthentic),
        (Fault::NotAuthentic, Code::GrantNotAuthentic),
        (Fault::OtherDevice, Code::GrantOtherDevice),
        (Fault::OtherOperator, Code::GrantOtherDevice),
        (Fault::NotYetValid, Code::GrantExpired),
        (Fault::Expired, Code::GrantExpired),
        (Fault::Scope, Code::GrantScope),
        (Fault::Used, Code::GrantUsed),
    ];
    for (fault, code) in table {
        assert_eq!(fault.code(), code, "{fault}");
    }
}
