//! Credentials that come whole: a CCS counts if it is pinned, a CWT if an issuer signed it.

use remote_provisioning::{
    crypto::{Crypto, rustcrypto::RustCrypto},
    edhoc::{Method, OwnCredential, Suite},
    error::{Error, Malformed, Misbehaved, Misuse, Untrusted},
    identity::{Domain, Role},
    store::KeyStore,
    trust::{CredentialId, Date, Issuer, MAX_CANDIDATES, MemoryAnchors, Peer, Pinned, Verified, learn, verify},
    wire::{Writer, encode_with},
};

use crate::run::{DEVICE_KID, KEY, METHODS, Step, anchors, ccs, ccs_with, fails, key_store, look_up, pin, with_run};

// --------------------------------------------------------------------------------------------------------------- CCS

#[test]
fn a_ccs_by_value_counts_if_it_is_pinned() {
    // With and without kid: it is named by all of its bytes.
    for kid in [Some(DEVICE_KID), None] {
        for method in METHODS {
            with_run(method, Suite::CCM_8, |run| {
                let mut run = run;
                let (device, operator) = (
                    pin(&ccs_with("device", kid, &[]), Role::Device),
                    pin(&ccs_with("operator", kid, &[]), Role::Operator),
                );
                (run.device.own, run.operator.own) =
                    (OwnCredential::ccs(KEY, &device), OwnCredential::ccs(KEY, &operator));
                assert_eq!(OwnCredential::pinned(KEY, &device).is_err(), kid.is_none());
                let (devices, operators) =
                    (anchors(core::slice::from_ref(&device)), anchors(core::slice::from_ref(&operator)));
                let believe_device = |claimed: &CredentialId<'_>| {
                    assert_eq!(*claimed, CredentialId::Ccs(device.peer().credential()));
                    look_up(claimed, Role::Device, &devices)
                };
                let believe_operator = |claimed: &CredentialId<'_>| look_up(claimed, Role::Operator, &operators);
                (run.operator.believe, run.device.believe) = (&believe_device, &believe_operator);
                let done = run.go().unwrap();
                assert_eq!(done.operator.peer().get(), device.peer());
                assert_eq!(done.device.peer().get(), operator.peer());
                assert_eq!(done.operator.peer().anchor(), None);

                // Not pinned: nobody vouches for it, whoever it is.
                let nobody = |claimed: &CredentialId<'_>| look_up(claimed, Role::Device, &MemoryAnchors::new());
                run.operator.believe = &nobody;
                assert_eq!(run.end(), fails(Step::Verify3, Untrusted::NoAnchor));
                // Pinned for the other role, or for production.
                let swapped = |claimed: &CredentialId<'_>| look_up(claimed, Role::Operator, &devices);
                run.operator.believe = &swapped;
                assert_eq!(run.end(), fails(Step::Verify3, Untrusted::NoAnchor));
                let production = |claimed: &CredentialId<'_>| {
                    verify(claimed, Role::Device, Domain::Production, &devices, &RustCrypto, None)
                };
                run.operator.believe = &production;
                assert_eq!(run.end(), fails(Step::Verify3, Untrusted::NoAnchor));
            });
        }
    }
}

/// It is the same byte for byte, or another one. Not the same key, kid and name.
#[test]
fn one_byte_makes_another_ccs() {
    let good = ccs("device", DEVICE_KID);
    let anchors = anchors(&[pin(&good, Role::Device)]);
    assert!(look_up(&CredentialId::Ccs(&good), Role::Device, &anchors).is_ok());
    for at in 0..good.len() {
        let mut other = good.clone();
        other[at] ^= 1;
        let refused = look_up(&CredentialId::Ccs(&other), Role::Device, &anchors).err();
        assert_eq!(refused, Some(Untrusted::NoAnchor.into()), "byte {at}");
        let refused = look_up(&CredentialId::Ccs(&good[..at]), Role::Device, &anchors).err();
        assert_eq!(refused, Some(Untrusted::NoAnchor.into()), "{at} bytes");
    }
    // Claims that say nothing here make another one too.
    for other in [ccs_with("device", Some(DEVICE_KID), &[(6, 1)]), ccs_with("device", None, &[])] {
        let refused = look_up(&CredentialId::Ccs(&other), Role::Device, &anchors).err();
        assert_eq!(refused, Some(Untrusted::NoAnchor.into()));
    }
    // Dates are those of the pinned one.
    let dated = ccs_with("device", Some(DEVICE_KID), &[(4, 2_000), (5, 1_000)]);
    let anchors = crate::run::anchors(&[pin(&dated, Role::Device)]);
    let at = |date| {
        let date = Some(Date(date));
        verify(&CredentialId::Ccs(&dated), Role::Device, Domain::Test, &anchors, &RustCrypto, date).map(|_| ()).err()
    };
    assert_eq!(
        [999, 1_000, 1_999, 2_000].map(at),
        [Some(Untrusted::NotYetValid.into()), None, None, Some(Untrusted::Expired.into())]
    );
}

/// Nobody is believed on first sight, unless the caller says so; then the proof must still hold.
#[test]
fn trust_on_first_use_has_to_be_said() {
    let device = pin(&ccs("stranger", DEVICE_KID), Role::Device);
    let learned = |claimed: &CredentialId<'_>| learn(claimed, Role::Device, Domain::Test, &RustCrypto);
    for method in METHODS {
        with_run(method, Suite::CCM_8, |run| {
            let mut run = run;
            let keys = key_store("stranger");
            (run.device.own, run.device.keys) = (OwnCredential::ccs(KEY, &device), &keys);
            assert_eq!(run.end(), fails(Step::Verify3, Untrusted::NoAnchor), "{method:?}");

            let first_use = |claimed: &CredentialId<'_>| Ok(learned(claimed)?.into());
            run.operator.believe = &first_use;
            let done = run.go().unwrap();
            assert_eq!(done.operator.peer().get(), device.peer());
            let pinned = Pinned::from_ccs(done.operator.peer().credential(), Role::Device, Domain::Test, &RustCrypto);
            assert_eq!(pinned, Ok(device.clone()), "to be pinned from now on");

            let wrong = key_store("device");
            run.device.keys = &wrong;
            assert_eq!(run.end(), fails(Step::Accept3, Untrusted::Authentication), "{method:?}");
        });
    }
    let wrong_kind = Some(Error::Untrusted(Untrusted::WrongCredential));
    let cwt = good_cwt();
    for claimed in [
        CredentialId::Kid(DEVICE_KID),
        CredentialId::Cwt(&cwt),
        CredentialId::Chain(core::iter::once(&b""[..]).collect()),
        CredentialId::Thumbprint { algorithm: -16, hash: &[0; 32] },
    ] {
        assert_eq!(learned(&claimed).err(), wrong_kind);
    }
    // What is no CCS is not learned either.
    let mut off_curve = ccs("stranger", DEVICE_KID);
    *off_curve.last_mut().unwrap() ^= 1;
    assert_eq!(learned(&CredentialId::Ccs(&off_curve)).err(), Some(Misbehaved::InvalidPoint.into()));
    let nameless = &ccs("", DEVICE_KID);
    assert_eq!(learned(&CredentialId::Ccs(nameless)).err(), Some(Malformed::Text.into()));
}

// --------------------------------------------------------------------------------------------------------------- CWT

/// What goes into a CWT.
#[derive(Clone)]
struct Cwt {
    protected: Vec<u8>,
    unprotected: Vec<u8>,
    claims: Vec<u8>,
    /// Whose key signs.
    signer: &'static str,
    /// What is signed beside the payload: nothing, in a good one.
    external_aad: &'static [u8],
}

/// A label, and what writes its value.
type Pair<'a> = (i64, &'a dyn Fn(&mut Writer<'_>));

fn map(pairs: &[Pair<'_>]) -> Vec<u8> {
    encode_with(|w| {
        w.map(pairs.len());
        for (key, value) in pairs {
            w.integer(*key);
            value(w);
        }
    })
}

fn es256(w: &mut Writer<'_>) {
    w.integer(-7);
}

fn issuer_kid(w: &mut Writer<'_>) {
    w.bytes(ISSUER_KID);
}

const ISSUER_KID: &[u8] = b"issuer";

impl Cwt {
    /// Of the device, by the issuer, without the issuer's kid.
    fn new() -> Self {
        Self {
            protected: map(&[(1, &es256)]),
            unprotected: map(&[]),
            claims: ccs_with("device", None, &[]),
            signer: "issuer",
            external_aad: b"",
        }
    }

    fn with_kid() -> Self {
        Self { protected: map(&[(1, &es256), (4, &issuer_kid)]), ..Self::new() }
    }

    fn sign(&self) -> Vec<u8> {
        // RFC 9052 §4.4, by hand.
        let signed = encode_with(|w| {
            w.array(4);
            w.text("Signature1");
            w.bytes(&self.protected);
            w.bytes(self.external_aad);
            w.bytes(&self.claims);
        });
        let signature = key_store(self.signer).sign(KEY, &signed).unwrap();
        encode_with(|w| {
            w.array(4);
            w.bytes(&self.protected);
            w.encoded(&self.unprotected);
            w.bytes(&self.claims);
            w.bytes(&signature);
        })
    }
}

fn good_cwt() -> Vec<u8> {
    Cwt::new().sign()
}

fn issuer(name: &str, role: Role, domain: Domain) -> Issuer {
    Issuer::from_ccs(&ccs(name, ISSUER_KID), role, domain, &RustCrypto).unwrap()
}

fn trusting(issuers: &[Issuer]) -> MemoryAnchors {
    let mut anchors = MemoryAnchors::new();
    issuers.iter().for_each(|issuer| anchors.add_issuer(issuer.clone()).unwrap());
    anchors
}

fn usual() -> MemoryAnchors {
    trusting(&[issuer("issuer", Role::Device, Domain::Test)])
}

fn judge(cwt: &[u8], anchors: &MemoryAnchors, date: Option<Date>) -> Result<Verified<Peer>, Error> {
    let candidates = verify(&CredentialId::Cwt(cwt), Role::Device, Domain::Test, anchors, &RustCrypto, date)?;
    assert_eq!(candidates.iter().count(), 1);
    Ok(candidates.into_iter().next().unwrap())
}

#[track_caller]
fn refused(cwt: &Cwt, anchors: &MemoryAnchors, reason: impl Into<Error>) {
    assert_eq!(judge(&cwt.sign(), anchors, None).err(), Some(reason.into()));
}

#[test]
fn a_cwt_of_an_issuer_is_believed() {
    let in_unprotected = Cwt { unprotected: map(&[(4, &issuer_kid)]), ..Cwt::new() };
    let with_more =
        Cwt { unprotected: map(&[(4, &issuer_kid), (33, &|w: &mut Writer<'_>| w.bytes(b"x5chain"))]), ..Cwt::new() };
    for cwt in [Cwt::new(), Cwt::with_kid(), in_unprotected, with_more] {
        let bytes = cwt.sign();
        let peer = judge(&bytes, &usual(), None).unwrap();
        assert_eq!(peer.credential(), bytes, "CRED_x is the CWT, untagged");
        assert_eq!((peer.name().as_str(), peer.role(), peer.domain()), ("device", Role::Device, Domain::Test));
        assert_eq!(*peer.public_key(), key_store("device").public_key(KEY).unwrap());
        assert!(peer.may_sign() && peer.may_agree());
        let issuer = issuer("issuer", Role::Device, Domain::Test);
        assert_eq!(peer.anchor(), Some(&issuer.id(&RustCrypto)));
        assert_eq!(issuer.id(&RustCrypto), RustCrypto.sha256(&[issuer.public_key().bytes()]));
        assert_eq!((issuer.role(), issuer.domain()), (Role::Device, Domain::Test));
    }
}

/// In the handshake, from both sides and by every method.
#[test]
fn a_cwt_goes_through_the_handshake() {
    let device = Cwt::with_kid().sign();
    let operator = Cwt { claims: ccs_with("operator", None, &[]), signer: "other issuer", ..Cwt::new() }.sign();
    let (devices, operators) = (usual(), trusting(&[issuer("other issuer", Role::Operator, Domain::Test)]));
    let believe_device = |claimed: &CredentialId<'_>| look_up(claimed, Role::Device, &devices);
    let believe_operator = |claimed: &CredentialId<'_>| look_up(claimed, Role::Operator, &operators);
    for method in METHODS {
        for suite in Suite::ALL {
            with_run(method, suite, |run| {
                let mut run = run;
                run.device.own = OwnCredential::cwt(KEY, &device).unwrap();
                run.operator.own = OwnCredential::cwt(KEY, &operator).unwrap();
                (run.operator.believe, run.device.believe) = (&believe_device, &believe_operator);
                let done = run.go().unwrap();
                assert_eq!(done.operator.peer().credential(), device);
                assert_eq!(done.device.peer().credential(), operator);
                let wrong = key_store("stranger");
                run.device.keys = &wrong;
                assert_eq!(run.end(), fails(Step::Accept3, Untrusted::Authentication), "whoever has the CWT");
            });
        }
    }
    // What is no CWT in the first place is not sent.
    assert_eq!(OwnCredential::cwt(KEY, &[]).err(), Some(Malformed::Truncated));
    assert_eq!(OwnCredential::cwt(KEY, &ccs("device", DEVICE_KID)).err(), Some(Malformed::WrongType));
    let tagged = [&[0xd2], &device[..]].concat();
    assert_eq!(OwnCredential::cwt(KEY, &tagged).err(), Some(Malformed::Forbidden));
    assert_eq!(OwnCredential::cwt(KEY, &[&device[..], &[0]].concat()).err(), Some(Malformed::TrailingBytes));
}

#[test]
fn an_issuer_is_for_one_role_and_one_domain() {
    for anchors in [
        MemoryAnchors::new(),
        trusting(&[issuer("issuer", Role::Operator, Domain::Test)]),
        trusting(&[issuer("issuer", Role::Device, Domain::Production)]),
    ] {
        refused(&Cwt::new(), &anchors, Untrusted::NoAnchor);
        refused(&Cwt::with_kid(), &anchors, Untrusted::NoAnchor);
    }
    // The key of a pinned device, or of a device that has a CWT, issues nothing.
    let pinned = anchors(&[pin(&ccs("issuer", ISSUER_KID), Role::Device)]);
    refused(&Cwt::with_kid(), &pinned, Untrusted::NoAnchor);
    refused(&Cwt { signer: "device", ..Cwt::new() }, &usual(), Untrusted::Authentication);

    let mut anchors = usual();
    for (role, domain) in [(Role::Operator, Domain::Test), (Role::Device, Domain::Production)] {
        assert!(matches!(anchors.add_issuer(issuer("issuer", role, domain)), Err(Misuse::Parameter(_))));
    }
    assert!(anchors.add_issuer(issuer("issuer", Role::Device, Domain::Test)).is_ok());
    assert!(anchors.add_issuer(issuer("other issuer", Role::Operator, Domain::Test)).is_ok());
}

#[test]
fn a_wrong_issuer_is_refused() {
    refused(&Cwt { signer: "stranger", ..Cwt::new() }, &usual(), Untrusted::Authentication);
    refused(&Cwt { signer: "stranger", ..Cwt::with_kid() }, &usual(), Untrusted::Authentication);
    // Another kid than any issuer's.
    let other_kid = |w: &mut Writer<'_>| w.bytes(b"nobody");
    refused(&Cwt { unprotected: map(&[(4, &other_kid)]), ..Cwt::new() }, &usual(), Untrusted::NoAnchor);
    refused(&Cwt { protected: map(&[(1, &es256), (4, &other_kid)]), ..Cwt::new() }, &usual(), Untrusted::NoAnchor);
    // An issuer without kid is not meant by one.
    let nameless = Issuer::from_ccs(&ccs_with("issuer", None, &[]), Role::Device, Domain::Test, &RustCrypto).unwrap();
    refused(&Cwt::with_kid(), &trusting(core::slice::from_ref(&nameless)), Untrusted::NoAnchor);
    assert!(judge(&good_cwt(), &trusting(&[nameless]), None).is_ok());
}

/// With one kid for all, or with none in the CWT: each is tried, up to the limit.
#[test]
fn several_issuers() {
    let of = |name| issuer(name, Role::Device, Domain::Test);
    let names = ["a", "b", "c", "d"];
    assert_eq!(names.len(), MAX_CANDIDATES);
    for at in 0..=names.len() {
        let mut issuers: Vec<_> = names.iter().map(|name| of(name)).collect();
        issuers.insert(at, of("issuer"));
        let anchors = trusting(&issuers);
        for cwt in [Cwt::new(), Cwt::with_kid()] {
            if at < MAX_CANDIDATES {
                let peer = judge(&cwt.sign(), &anchors, None).unwrap();
                assert_eq!(peer.anchor(), Some(&of("issuer").id(&RustCrypto)), "{at}");
            } else {
                refused(&cwt, &anchors, Untrusted::Authentication);
            }
        }
    }
    // Those of another role, domain or kid do not count.
    let mut anchors = MemoryAnchors::new();
    for name in names {
        anchors.add_issuer(issuer(name, Role::Operator, Domain::Test)).unwrap();
    }
    for name in ["e", "f", "g", "h"] {
        let kid = ccs(name, b"another");
        anchors.add_issuer(Issuer::from_ccs(&kid, Role::Device, Domain::Test, &RustCrypto).unwrap()).unwrap();
    }
    anchors.add_issuer(of("issuer")).unwrap();
    assert!(judge(&Cwt::with_kid().sign(), &anchors, None).is_ok());
    refused(&Cwt::new(), &anchors, Untrusted::Authentication);
}

/// RFC 9052 §3: a label is in one header only, and `crit` must be understood.
#[test]
fn headers() {
    let es384 = |w: &mut Writer<'_>| w.integer(-35);
    let eddsa = |w: &mut Writer<'_>| w.integer(-8);
    let esp256 = |w: &mut Writer<'_>| w.integer(-9);
    let crit = |w: &mut Writer<'_>| {
        w.array(1);
        w.integer(1);
    };
    for (protected, unprotected) in [
        // Another algorithm, none, one that is not signed, two.
        (map(&[(1, &es384)]), map(&[])),
        (map(&[(1, &eddsa)]), map(&[])),
        (map(&[(1, &esp256)]), map(&[])),
        (map(&[]), map(&[])),
        (map(&[]), map(&[(1, &es256)])),
        (map(&[(1, &es256)]), map(&[(1, &es256)])),
        // Something that must be understood.
        (map(&[(1, &es256), (2, &crit)]), map(&[])),
        (map(&[(1, &es256)]), map(&[(2, &crit)])),
        (map(&[(1, &es256), (2, &crit)]), map(&[(2, &crit)])),
        // The issuer's name twice, the same even.
        (map(&[(1, &es256), (4, &issuer_kid)]), map(&[(4, &issuer_kid)])),
    ] {
        refused(&Cwt { protected, unprotected, ..Cwt::new() }, &usual(), Malformed::OutOfRange);
    }
    let text_kid = |w: &mut Writer<'_>| w.text("issuer");
    refused(&Cwt { unprotected: map(&[(4, &text_kid)]), ..Cwt::new() }, &usual(), Malformed::WrongType);
    refused(&Cwt { protected: Vec::new(), ..Cwt::new() }, &usual(), Malformed::Truncated);
    refused(
        &Cwt { protected: [map(&[(1, &es256)]), vec![0]].concat(), ..Cwt::new() },
        &usual(),
        Malformed::TrailingBytes,
    );
    // A parameter with a negative label is private use: nobody here knows what it forbids.
    let unknown = map(&[(1, &es256), (-70_001, &es256)]);
    refused(&Cwt { protected: unknown, ..Cwt::new() }, &usual(), Malformed::UnknownCriticalKey);
    // What was signed is this, with no context of another protocol.
    refused(&Cwt { external_aad: b"elsewhere", ..Cwt::new() }, &usual(), Untrusted::Authentication);
}

#[test]
fn claims() {
    let dated = |claims: &[(i64, u64)]| Cwt { claims: ccs_with("device", None, claims), ..Cwt::new() }.sign();
    let both = dated(&[(4, 2_000), (5, 1_000)]);
    let at = |cwt: &[u8], date| judge(cwt, &usual(), Some(Date(date))).err();
    let (early, late) = (Some(Error::Untrusted(Untrusted::NotYetValid)), Some(Error::Untrusted(Untrusted::Expired)));
    assert_eq!([999, 1_000, 1_999, 2_000, u64::MAX].map(|date| at(&both, date)), [early, None, None, late, late]);
    assert_eq!([0, 1_999, 2_000].map(|date| at(&dated(&[(4, 2_000)]), date)), [None, None, late]);
    assert_eq!([999, 1_000].map(|date| at(&dated(&[(5, 1_000)]), date)), [early, None]);
    assert_eq!(judge(&both, &usual(), None).err(), None, "without a clock nobody can tell");

    // Without subject, without cnf, with a key that is none.
    let no_subject = encode_with(|w| {
        w.map(1);
        w.encoded(&ccs_with("device", None, &[])[9..]);
    });
    refused(&Cwt { claims: no_subject, ..Cwt::new() }, &usual(), Malformed::MissingKey);
    let no_cnf = map(&[(2, &|w: &mut Writer<'_>| w.text("device"))]);
    refused(&Cwt { claims: no_cnf, ..Cwt::new() }, &usual(), Malformed::MissingKey);
    refused(&Cwt { claims: ccs_with("", None, &[]), ..Cwt::new() }, &usual(), Malformed::Text);
    let mut off_curve = ccs_with("device", None, &[]);
    *off_curve.last_mut().unwrap() ^= 1;
    refused(&Cwt { claims: off_curve, ..Cwt::new() }, &usual(), Misbehaved::InvalidPoint);
    refused(&Cwt { claims: Vec::new(), ..Cwt::new() }, &usual(), Malformed::Truncated);
    let trailing = [&ccs_with("device", None, &[])[..], &[0]].concat();
    refused(&Cwt { claims: trailing, ..Cwt::new() }, &usual(), Malformed::TrailingBytes);
    // A stranger's word on dates or grammar is not looked at: the signature is.
    let strangers = Cwt { claims: Vec::new(), signer: "stranger", ..Cwt::new() };
    refused(&strangers, &usual(), Untrusted::Authentication);
}

/// Every bit is covered by the signature, or is in it, or is grammar.
#[test]
fn tampered() {
    let good = Cwt::with_kid().sign();
    let anchors = usual();
    assert!(judge(&good, &anchors, None).is_ok());
    let mut authentication = 0;
    for at in 0..good.len() {
        for flip in [0x01, 0x80] {
            let mut bad = good.clone();
            bad[at] ^= flip;
            let error = judge(&bad, &anchors, None).expect_err("a changed CWT");
            authentication += usize::from(error == Untrusted::Authentication.into());
        }
        assert!(judge(&good[..at], &anchors, None).is_err());
    }
    assert!(authentication > 2 * (64 + 64), "{authentication}");
    let longer = [&good[..], &[0]].concat();
    assert_eq!(judge(&longer, &anchors, None).err(), Some(Malformed::TrailingBytes.into()));
    // Three items, five items.
    for head in [0x83, 0x85] {
        let mut bad = good.clone();
        bad[0] = head;
        assert_eq!(judge(&bad, &anchors, None).err(), Some(Malformed::WrongLength.into()));
    }
}

/// The unprotected header is not signed, but it is in the transcript: two CWTs that differ there are two credentials.
#[test]
fn the_unprotected_header_is_in_the_transcript() {
    let one = good_cwt();
    let other = Cwt { unprotected: map(&[(4, &issuer_kid)]), ..Cwt::new() }.sign();
    with_run(Method::SignSign, Suite::CCM_8, |run| {
        let mut run = run;
        run.device.own = OwnCredential::cwt(KEY, &one).unwrap();
        let swapped = |claimed: &CredentialId<'_>| {
            assert_eq!(*claimed, CredentialId::Cwt(&one));
            look_up(&CredentialId::Cwt(&other), Role::Device, &usual())
        };
        run.operator.believe = &swapped;
        assert_eq!(run.end(), fails(Step::Accept3, Untrusted::Authentication));
    });
}
