//! Evidence in the exchange: bound to one session, one device, one operator; and each claim decides by itself.

use remote_provisioning::{
    attestation::{
        Attester, Demands, DeviceClass, Digest, Endorsements, Policy, PsaReport, Reference, TokenVerifier, binding,
        label,
    },
    crypto::{Crypto, rustcrypto::RustCrypto},
    edhoc::MAX_TOKEN,
    error::{Backend, Code, Error, Misuse},
    identity::{Domain, PeerName, Role},
    provisioning::{Account, Admission, Answer, Question, device::Introduction, log::What, question::Visitor},
    sim::{
        identities,
        maker::{self, Attestation},
    },
    trust::{
        CredentialId, verify,
        voucher::{self, Holder},
    },
};

use super::*;

fn verdicts(lab: &Lab) -> Vec<String> {
    let offered = lab.home.entries().filter_map(|entry| match entry.what {
        What::Offered(offered) => Some(offered.verdict.to_string()),
        _ => None,
    });
    offered.collect()
}

#[test]
fn a_secure_device_gets_its_subscription_and_the_verdict_stays_with_it() {
    let mut lab = Lab::attested(1);
    assert_eq!(lab.run(), Ok(()));
    lab.assert_complete();
    let [verdict] = verdicts(&lab).try_into().unwrap();
    for part in ["laboratory meters", "PSA token", "secured", "authorised boot", "debug disabled", "PRoT 2.1.0"] {
        assert!(verdict.contains(part), "{part}: {verdict}");
    }
    let offered = lab.home.entries().find_map(|entry| match entry.what {
        What::Offered(offered) => Some(offered),
        _ => None,
    });
    let appraised = offered.unwrap().verdict.appraised().unwrap().clone();
    assert_eq!(appraised.instance(), &lab.attestation.as_ref().unwrap().report.instance);
    assert!(appraised.known_software());
}

/// Verdict and voucher travel with a session that rests in a token between any two calls.
#[test]
fn the_verdict_survives_a_rest_in_a_token() {
    for introduction in [None, Some(Introduction::VoucherLast { request: false })] {
        let mut lab = Lab::attested(8);
        lab.device_config.introduction = introduction.unwrap_or(lab.device_config.introduction);
        lab.travelling = Some(0);
        assert_eq!(lab.run(), Ok(()));
        lab.assert_complete();
        assert!(verdicts(&lab)[0].contains("PSA token"), "{:?}", verdicts(&lab));
        assert!(lab.travelling.unwrap() < MAX_TOKEN / 2, "{:?}", lab.travelling);
    }
}

#[test]
fn each_claim_that_fails_is_refused_with_its_code_and_nothing_is_issued() {
    type Change = fn(&mut PsaReport);
    let claims: [(&str, Change, Code); 6] = [
        ("boot", |report| report.life_cycle = 0x5000, Code::BootState),
        ("debug", |report| report.life_cycle = 0x4000, Code::DebugState),
        ("old software", |report| report.components[0].version = label("1.9").ok(), Code::SoftwareVersion),
        ("no version", |report| report.components[0].version = None, Code::SoftwareVersion),
        (
            "measurement",
            |report| report.components[1].measurement = Digest::from_bytes(&[9; 32]).ok(),
            Code::Measurement,
        ),
        ("another component", |report| report.components[1].kind = label("other").ok(), Code::Measurement),
    ];
    for (at, change, code) in claims {
        let mut lab = Lab::attested(2);
        change(&mut lab.attestation.as_mut().unwrap().report);
        assert_eq!(lab.run(), refused(code), "{at}");
        assert_untouched(&lab, 0);
        assert!(lab.logged().is_empty(), "{at}");
    }

    // A life cycle that nothing else is wrong with, and a class that the reference values know.
    let mut lab = Lab::attested(2);
    let demands = Demands { authorised_boot: false, debug: None, ..Demands::all() };
    lab.home.policy = Policy::new("life cycle only", demands).unwrap();
    lab.attestation.as_mut().unwrap().report.life_cycle = 0x6000;
    assert_eq!(lab.run(), refused(Code::LifeCycle));

    let mut lab = Lab::attested(2);
    let known = lab.home.endorsements.reference(&maker::IMPLEMENTATION).unwrap().unwrap();
    lab.home.endorsements.refer(maker::IMPLEMENTATION, Reference { class: DeviceClass::Other, ..known });
    assert_eq!(lab.run(), refused(Code::DeviceClass));
}

#[test]
fn without_evidence_only_under_a_policy_that_says_so_by_name() {
    let mut lab = Lab::attested(3);
    lab.attestation = None;
    assert_eq!(lab.run(), refused(Code::EvidenceMissing));
    lab.home.policy = Policy::without_evidence("ambient tags").unwrap();
    assert_eq!(lab.run(), Ok(()));
    assert_eq!(verdicts(&lab), ["accepted by policy \"ambient tags\" without evidence"]);
    // An operator that asks for no evidence gets none, even of an attester that would give it to anybody.
    let mut lab = Lab::attested(3);
    lab.operator_config.evidence_formats.clear();
    lab.attestation.as_mut().unwrap().replayed = Some(b"evidence for anybody".to_vec());
    assert_eq!(lab.run(), refused(Code::EvidenceMissing));
}

/// Evidence that was good in one session, shown in another.
#[test]
fn evidence_is_for_one_session_one_device_and_one_operator() {
    let visit = |lab: &mut Lab| -> Visitor {
        lab.stopping = Some("appraise");
        let mut session = lab.session(3);
        let message = session.message(3);
        lab.tell_operator(&mut session.operator, &message).unwrap();
        let Some(Question::Appraise(visitor)) = lab.serve(&mut session.operator).open else { panic!("not asked") };
        lab.stopping = None;
        *visitor
    };
    // Another session of the same two.
    let mut lab = Lab::attested(4);
    let first = visit(&mut lab);
    let second = visit(&mut lab);
    assert_ne!(first.evidence_nonce, second.evidence_nonce);
    let verifier = TokenVerifier::new(&lab.home.endorsements);
    let policy = maker::policy().unwrap();
    let id = first.device.device_id();
    let appraise = |visitor: &Visitor, evidence: &Visitor| {
        policy.appraise(&id, evidence.evidence.as_deref(), &visitor.evidence_nonce, &verifier, &RustCrypto)
    };
    assert!(appraise(&first, &first).is_ok() && appraise(&second, &second).is_ok());
    assert_eq!(appraise(&second, &first).unwrap_err().code(), Code::EvidenceNotFresh);

    // Another operator, in an exchange that is the same byte for byte but for its credential.
    let mut other = Lab::attested(4);
    other.operator_config.own = lab::chain(&identities::rogue_operator_chain());
    other.operator_keys = lab::Keys::new(identities::rogue_operator_key());
    other.device_anchors = identities::rogue_device_anchors();
    other.own();
    let elsewhere = visit(&mut other);
    assert_ne!(elsewhere.evidence_nonce, first.evidence_nonce);
    assert_eq!(appraise(&first, &elsewhere).unwrap_err().code(), Code::EvidenceNotFresh);

    // Another device: the nonce covers CRED_I, whatever TH_3 is.
    let th_3 = [3; 32];
    let one = binding(&th_3, b"one", &RustCrypto);
    assert_ne!(one, binding(&th_3, b"other", &RustCrypto));
    assert_ne!(one, binding(&[4; 32], b"one", &RustCrypto));
    assert_eq!(one, RustCrypto.sha256(&[b"RCP attest", &th_3, &RustCrypto.sha256(&[b"one"])]), "as the brief has it");

    // And through the machines.
    let mut lab = Lab::attested(44);
    let mut attestation = Attestation::new(&maker::device_name().unwrap()).unwrap();
    attestation.replayed = Some(first.evidence.unwrap());
    lab.attestation = Some(attestation);
    assert_eq!(lab.run(), refused(Code::EvidenceNotFresh));
    assert_untouched(&lab, 0);
}

/// One identity in certificate, evidence and voucher: each of the three is the odd one out once.
mod one_identity {
    use super::*;

    fn other() -> PeerName {
        *maker::raw_device_id().unwrap().name()
    }

    #[test]
    fn evidence_of_another_device() {
        let mut lab = Lab::attested(5);
        lab.attestation = Some(Attestation::new(&other()).unwrap());
        assert_eq!(lab.run(), refused(Code::EvidenceIdentity));
        assert_untouched(&lab, 0);
    }

    #[test]
    fn a_voucher_for_another_device() {
        // Device and evidence agree; what it is shown names somebody else.
        let mut lab = Lab::attested(5);
        lab.device_config.introduction = Introduction::VoucherLast { request: false };
        lab.home.own(lab.device_config.name, maker::voucher(&other(), &maker::operator_public_key().unwrap()).unwrap());
        assert!(lab.run().is_err());
        assert_untouched(&lab, 0);
        // And the device itself looks: the same voucher, and nothing between it and the device.
        let claimed = CredentialId::Chain(identities::operator_chain().into_iter().collect());
        let operator = verify(&claimed, Role::Operator, Domain::Test, &lab.device_anchors, &RustCrypto, None);
        let operator = operator.unwrap().into_iter().next().unwrap();
        let (serial, domain) = (&lab.device_config.name, Domain::Test);
        let holder = Holder { serial, domain, held: None, nonce: None, date: None };
        let chain = maker::voucher(&other(), &maker::operator_public_key().unwrap()).unwrap();
        let outcome = voucher::verify(&chain, &holder, &operator, &lab.device_anchors, &RustCrypto);
        assert_eq!(outcome.err(), Some(Error::Untrusted(Voucher::OtherDevice.into())));
    }

    #[test]
    fn a_certificate_of_another_device() {
        // Name, voucher and evidence are one device's, and the certificate is another one's of the same operator's.
        let mut lab = Lab::attested(5);
        let raw = Lab::raw(5);
        lab.device_config.own = raw.device_config.own;
        lab.device_keys = raw.device_keys;
        assert_eq!(lab.run(), Err(Refused::Edhoc(1).into()), "and nobody learns why");
        assert_untouched(&lab, 0);

        // Where the voucher comes last, the evidence gives it away.
        let mut lab = Lab::attested(5);
        let raw = Lab::raw(5);
        lab.device_config.introduction = Introduction::VoucherLast { request: false };
        lab.device_config.own = raw.device_config.own;
        lab.device_keys = raw.device_keys;
        assert_eq!(lab.run(), refused(Code::EvidenceIdentity));
        assert_untouched(&lab, 0);
    }
}

/// Verdict and watch are of one session each, whatever the device asks for.
#[test]
fn an_admission_of_another_session_issues_nothing() {
    for resume in [false, true] {
        let visit = |lab: &mut Lab| {
            lab.stopping = Some("appraise");
            let mut session = lab.session(3);
            let message = session.message(3);
            lab.tell_operator(&mut session.operator, &message).unwrap();
            let Some(Question::Appraise(visitor)) = lab.serve(&mut session.operator).open else { panic!("not asked") };
            (session, visitor)
        };
        for (wrong_verdict, wrong_watch) in [(true, false), (false, true), (false, false)] {
            let mut lab = Lab::attested(6);
            if resume {
                lab.session(6);
            }
            let logged = lab.logged().len();
            let (_, old) = visit(&mut lab);
            let (mut session, new) = visit(&mut lab);
            let of = |visitor: &Visitor| {
                let (device, evidence) = (visitor.device.device_id(), visitor.evidence.as_deref());
                let verifier = TokenVerifier::new(&lab.home.endorsements);
                let nonce = &visitor.evidence_nonce;
                let verdict = lab.home.policy.appraise(&device, evidence, nonce, &verifier, &RustCrypto).unwrap();
                (verdict, Account::default().admit(visitor, &RustCrypto).unwrap())
            };
            let verdict = of(if wrong_verdict { &old } else { &new }).0;
            let admitted = of(if wrong_watch { &old } else { &new }).1;
            let answer = Answer::Appraised(Ok(Box::new(Admission { verdict, admitted, voucher: None, permit: None })));
            let outcome = lab.answer(&mut session.operator, answer);
            if wrong_verdict || wrong_watch {
                assert_eq!(outcome, Err(Misuse::Parameter("an admission of another session").into()), "{resume}");
                assert_eq!(lab.logged().len(), logged);
            } else {
                assert_eq!(outcome, Ok(()), "{resume}");
            }
        }
    }
}

/// A slow root of trust, and a slow key store behind it: asked again, they are asked the same.
#[test]
fn an_attester_that_fails_leaves_the_device_where_it_was() {
    struct Broken;
    impl Attester for Broken {
        fn evidence(&self, _: &[u8; 32], _: &[u64]) -> Result<Option<Vec<u8>>, Backend> {
            Err(Backend::KeyPending)
        }
    }
    let mut lab = Lab::attested(7);
    let mut session = lab.session(2);
    let message_2 = session.message(2);
    let now = lab.now;
    for _ in 0..3 {
        let mut platform = lab.platform();
        platform.attester = Some(&Broken);
        let outcome = session.device.handle_message(&message_2, now, &mut platform);
        assert_eq!(outcome, Err(Backend::KeyPending.into()));
    }
    lab.device_keys.fail(2, Backend::KeyPending);
    for _ in 0..2 {
        assert_eq!(lab.tell_device(&mut session.device, &message_2), Err(Backend::KeyPending.into()));
    }
    lab.step(&mut session).unwrap();
    while session.messages.len() < 6 {
        lab.step(&mut session).unwrap();
    }
    lab.step(&mut session).unwrap();
    lab.assert_complete();
}
