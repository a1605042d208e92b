//! What a user of `Device` and `Operator` relies on, message by message.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that goes wrong here should stop"
)]

mod lab;

use lab::{FromDevice, Lab, Session, admission, chain, from_device, stopped};
use remote_provisioning::{
    aka::{Ind, sqn::Profile},
    attestation::Digest,
    credential::{
        Activation, Algorithm, Exporter, HomeKey, KeyName, MilenageParameters, Offered, SNssai, ServiceProfile,
        SoftUsim, SuciData, Usim, derive_k,
    },
    crypto::{Crypto, Group, Hedged, Secret, SecretBytes, rustcrypto::RustCrypto},
    edhoc::{self, MAX_TOKEN, Method, OwnCredential, Suite, responder},
    error::{Backend, Class, Code, Error, Malformed, Misbehaved, Misuse, Refused, Untrusted},
    identity::{Domain, Eui, PeerName, SubscriptionId},
    provisioning::{
        Answer, Device, Millis, Operator, Question,
        device::{Retry, subscription},
        log::LogEntry,
        question::{OwnedPart, Reservation},
        receipt::{Event, Receipt},
    },
    sim::{IDENTITY, SeededRng, TODAY, identities},
    store::{
        Commit, Slot, SlotChange, SubscriptionStore,
        memory::{MemoryKeyStore, MemoryStore},
    },
    trust::{Date, MemoryAnchors},
};

const EDHOC_ERROR: &[u8] = b"\x01\x6cnot accepted";

// The way it should go.

#[test]
fn a_new_device_becomes_a_subscriber_in_six_messages() {
    let mut lab = Lab::new(1);
    let mut device = lab.start().unwrap();
    let mut operator = lab.operator();
    assert_eq!(lab.store.memory.commits(), 1, "the request is durable before message_1 leaves");

    let out = from_device(&mut device);
    assert_eq!((out.sent.len(), out.wake), (1, Some(Millis(3_000))));
    lab.tell_operator(&mut operator, &out.sent[0]).unwrap();
    let back = lab.serve(&mut operator);
    assert_eq!((back.sent.len(), back.wake, back.asked.len()), (1, Some(Millis(301_000)), 1), "nobody is known yet");
    assert_eq!(back.asked, ["find"]);

    lab.tell_device(&mut device, &back.sent[0]).unwrap();
    let out = from_device(&mut device);
    assert_eq!(
        out.authenticated.iter().map(|name| name.as_str()).collect::<Vec<_>>(),
        ["provisioning.example-operator"]
    );
    assert_eq!((out.sent.len(), out.installed.len(), out.finished.len()), (1, 0, 0));
    lab.tell_operator(&mut operator, &out.sent[0]).unwrap();
    let back = lab.serve(&mut operator);
    assert_eq!(back.asked, ["appraise", "reserve", "opc", "log offer", "core"]);
    assert_eq!((back.sent.len(), back.finished.len()), (1, 0));
    assert_eq!(lab.logged(), ["offered"], "durable before message_4 leaves");
    assert_eq!((lab.store.memory.commits(), lab.held()), (1, None));

    lab.tell_device(&mut device, &back.sent[0]).unwrap();
    let held = lab.held().expect("durable before confirm leaves");
    assert!(!held.1);
    assert_eq!((lab.store.memory.commits(), lab.kept()), (2, (true, 1)));
    let out = from_device(&mut device);
    assert_eq!((out.installed, out.sent.len(), out.finished.len()), (vec![held.0], 1, 0));
    lab.tell_operator(&mut operator, &out.sent[0]).unwrap();
    let back = lab.serve(&mut operator);
    assert_eq!((back.asked, back.sent.len(), back.finished), (vec!["log confirm"], 1, vec![Ok(())]));
    assert_eq!(lab.logged(), ["offered", "confirmed"], "durable before complete leaves");

    lab.tell_device(&mut device, &back.sent[0]).unwrap();
    assert_eq!(
        from_device(&mut device),
        FromDevice { completed: vec![1], finished: vec![Ok(())], ..FromDevice::default() }
    );
    assert_eq!((lab.store.memory.commits(), lab.kept()), (3, (false, 0)), "what was acknowledged is not kept");
    assert_eq!(lab.held(), Some((held.0, true)));
    assert_eq!((held.0.id.supi.as_str(), held.0.id.epoch), ("001010000000000", 1));
    lab.assert_complete();
}

#[test]
fn every_method_suite_and_kind_of_credential_goes_all_the_way() {
    let thumbprint = |chain: [&[u8]; 2]| OwnCredential::thumbprint(IDENTITY, chain[0], &RustCrypto);
    for method in [Method::SignSign, Method::SignStatic, Method::StaticSign, Method::StaticStatic] {
        for (kind, suite) in Suite::ALL.into_iter().enumerate() {
            let mut lab = if kind == 2 { Lab::raw(1) } else { Lab::new(1) };
            if kind == 1 {
                lab.device_config.own = thumbprint(identities::device_chain());
                lab.operator_config.own = thumbprint(identities::operator_chain());
            }
            lab.device_config.method = method;
            lab.operator_config.methods = vec![method];
            lab.device_config.suites = vec![suite];
            assert_eq!(lab.run(), Ok(()), "{method:?} {} {kind}", suite.number);
            lab.assert_complete();
        }
    }
}

#[test]
fn a_suite_that_the_operator_does_not_run_is_refused_and_the_next_one_proposed() {
    for run in [&[Suite::CCM_8][..], &[Suite::CCM_8, Suite::CCM_16], &Suite::ALL] {
        let mut lab = Lab::new(1);
        lab.operator_config.suites = run.to_vec();
        assert_eq!(lab.run(), Ok(()));
        lab.assert_complete();
    }
    let mut lab = Lab::new(1);
    lab.device_config.suites = vec![Suite::GCM];
    lab.operator_config.suites = vec![Suite::CCM_8];
    assert_eq!(lab.run(), Err(Refused::WrongSuite.into()), "nothing in common");
}

#[test]
fn a_subscriber_does_not_start_again() {
    let mut lab = Lab::new(1);
    lab.run().unwrap();
    let before = (lab.fingerprint(), lab.store.memory.commits());
    assert_eq!(lab.start().err(), Some(Misuse::NotNow("the device has a subscription").into()));
    assert_eq!((lab.fingerprint(), lab.store.memory.commits()), before);
}

// An operator that says no.

/// A lab, and a question in it that can be answered with a no: of a first provisioning, or of a resume.
fn questions() -> Vec<(Lab, &'static str)> {
    let mut all: Vec<_> = ["appraise", "reserve", "opc", "log offer", "core"]
        .into_iter()
        .map(|question| (Lab::new(2), question))
        .collect();
    all.push((Lab::unconfirmed(2), "appraise"));
    let mut unlogged = Lab::new(2);
    unlogged.session(5);
    all.push((unlogged, "log confirm"));
    all
}

#[test]
fn each_refusal_reaches_the_device_authenticated_and_leaves_its_store_alone() {
    for code in Code::ALL {
        for (mut lab, question) in questions() {
            let at = format!("{question} {code:?}");
            lab.refusing = Some((question, code));
            let held = lab.held();
            let mut device = lab.start().unwrap();
            let mut operator = lab.operator();
            let asked = lab.fingerprint();
            let message_1 = from_device(&mut device).sent.remove(0);
            lab.tell_operator(&mut operator, &message_1).unwrap();
            let message_2 = lab.serve(&mut operator).sent.remove(0);
            lab.tell_device(&mut device, &message_2).unwrap();
            let message_3 = from_device(&mut device).sent.remove(0);
            lab.tell_operator(&mut operator, &message_3).unwrap();
            let back = lab.serve(&mut operator);
            let refused = Err(Refused::Code(code).into());
            assert_eq!((back.asked.last(), back.finished), (Some(&question), vec![Err(Error::Declined(code))]), "{at}");

            assert_eq!(lab.tell_device(&mut device, &back.sent[0]), refused, "{at}");
            let out = from_device(&mut device);
            // Whether another attempt makes sense, and when: not before the operator said.
            let wait = lab.now.after(u64::from(lab.operator_config.retry_after) * 1_000);
            assert_eq!(out.again.is_some(), code.class() == Class::Retry, "{at}");
            assert!(out.again.is_none_or(|again| (wait..wait.after(300_000)).contains(&again)), "{at}");
            let again = out.again;
            assert_eq!(out, FromDevice { again, finished: vec![refused], ..FromDevice::default() }, "{at}");
            assert_eq!((lab.fingerprint(), lab.held()), (asked, held), "{at}");

            // Nobody but this operator can say so: with one byte changed it is no refusal.
            let mut session = lab.session(4);
            *session.messages.last_mut().unwrap().last_mut().unwrap() ^= 1;
            assert_eq!(lab.step(&mut session), Err(Untrusted::Authentication.into()), "{at}");
        }
    }
}

#[test]
fn after_a_refusal_a_retry_has_the_same_txn_and_the_same_supi() {
    for (mut lab, question) in questions() {
        lab.refusing = Some((question, Code::TryLater));
        let held = lab.held();
        let mut txns = Vec::new();
        for _ in 0..2 {
            lab.stopping = Some("appraise");
            let (session, visitor) = appraised(&mut lab);
            txns.push(visitor.txn);
            drop(session);
            lab.stopping = None;
            assert_eq!(lab.run(), Err(Refused::Code(Code::TryLater).into()), "{question}");
        }
        lab.refusing = None;
        lab.stopping = Some("appraise");
        txns.push(appraised(&mut lab).1.txn);
        lab.stopping = None;
        assert_eq!(lab.run(), Ok(()), "{question}");
        txns.dedup();
        assert_eq!(txns.len(), 1, "{question}: one transaction until it is done");
        let complete = lab.assert_complete();
        assert_eq!(
            complete.id.supi.as_str(),
            "001010000000000",
            "{question}: the first of the pool, and no other was taken"
        );
        assert!(held.is_none_or(|(held, _)| held == complete), "{question}");
        assert_eq!(lab.home.subscribers().count(), 1, "{question}");
    }
}

/// A session whose operator waits for the answer to `Appraise`.
fn appraised(lab: &mut Lab) -> (Session, remote_provisioning::provisioning::question::Visitor) {
    let mut session = lab.session(3);
    let message_3 = session.message(3);
    lab.tell_operator(&mut session.operator, &message_3).unwrap();
    match lab.serve(&mut session.operator).open {
        Some(Question::Appraise(visitor)) => (session, *visitor),
        other => panic!("{other:?}"),
    }
}

#[test]
fn request_counters_grow_and_a_request_says_what_the_device_has() {
    let mut lab = Lab::new(3);
    lab.stopping = Some("appraise");
    for request in 1..=3 {
        let visitor = appraised(&mut lab).1;
        assert_eq!((visitor.counter.request, visitor.counter.retry), (request, 0));
        assert_eq!(visitor.operation.number(), 0);
        assert_eq!((visitor.state.active, visitor.state.last_receipt, visitor.receipts.len()), (None, None, 0));
        assert_eq!((visitor.device.name().as_str(), visitor.device.domain()), ("IOT-0001-0000-0001", Domain::Test));
        assert_eq!(visitor.algorithms, [1]);
    }
    lab.stopping = None;
    lab.session(5);
    lab.stopping = Some("appraise");
    let visitor = appraised(&mut lab).1;
    assert_eq!((visitor.counter.request, visitor.operation.number(), visitor.state.active), (5, 5, Some(1)));
    assert_eq!(visitor.receipts.len(), 1);
    let hash = RustCrypto.sha256(&[&visitor.receipts[0]]);
    assert_eq!(visitor.state.last_receipt, Some(hash));
}

// Answers.

/// One answer of each kind.
fn answers() -> Vec<Answer> {
    let mut lab = Lab::new(2);
    lab.stopping = Some("appraise");
    let visitor = appraised(&mut lab).1;
    vec![
        Answer::Appraised(Ok(Box::new(admission(&visitor)))),
        Answer::Reserved(Ok(reservation())),
        Answer::Opc(Ok(Secret::zeroed())),
        Answer::Logged(Ok(())),
        Answer::CoreReady(Ok(())),
        Answer::CoreHolds(Ok(None)),
        Answer::Recovered(Ok(None)),
        Answer::Appraised(Err(Code::Conflict)),
        Answer::Reserved(Err(Code::Conflict)),
        Answer::Logged(Err(Code::Conflict)),
        Answer::CoreReady(Err(Code::Conflict)),
        Answer::Found(None),
    ]
}

fn reservation() -> Reservation {
    Reservation {
        supi: "001010000000009".parse().unwrap(),
        core_epoch: 0,
        activation: Activation::OneShot,
        sqn: Profile::default().sqn(1, Ind::default()).unwrap(),
        management_field: [0x80, 0],
        suci: None,
        profile: None,
    }
}

/// Answers that fit a question, by their place in [`answers`].
fn fitting(question: &str) -> &'static [usize] {
    match question {
        "appraise" => &[0, 7],
        "reserve" => &[1, 8],
        "opc" => &[2],
        "log offer" | "log confirm" => &[3, 9],
        "core" => &[4, 10],
        _ => &[],
    }
}

#[test]
fn an_answer_to_another_question_changes_nothing() {
    let mut places: Vec<_> =
        ["appraise", "reserve", "opc", "log offer", "core", "log confirm"].map(|q| (Lab::new(4), q, 6)).into();
    let mut resume = Lab::new(4);
    resume.session(5);
    places.push((resume, "core", 4));
    for (mut lab, question, messages) in places {
        lab.stopping = Some(question);
        let (mut session, open) = stopped(&mut lab, question);
        for (number, answer) in answers().into_iter().enumerate() {
            if !fitting(question).contains(&number) {
                let outcome = lab.answer(&mut session.operator, answer);
                assert_eq!(outcome, Err(Misuse::NotNow("this question was not asked").into()), "{question} {number}");
                assert!(session.operator.poll().is_none(), "{question} {number}");
            }
        }
        lab.stopping = None;
        let answer = lab.home.answer(open);
        lab.answer(&mut session.operator, answer).unwrap();
        let back = lab.serve(&mut session.operator).sent;
        session.messages.extend(back);
        while session.messages.len() < messages {
            lab.step(&mut session).unwrap();
        }
        lab.step(&mut session).unwrap();
        lab.assert_complete();
    }
    for messages in [1, 2, 5, 6] {
        let mut lab = Lab::new(4);
        let mut session = lab.session(messages);
        for answer in answers() {
            let outcome = lab.answer(&mut session.operator, answer);
            assert_eq!(outcome, Err(Misuse::NotNow("this question was not asked").into()), "{messages}");
            assert!(session.operator.poll().is_none());
        }
        while session.messages.len() < 6 {
            lab.step(&mut session).unwrap();
        }
        lab.step(&mut session).unwrap();
        lab.assert_complete();
    }
}

#[test]
fn a_reservation_that_cannot_work_is_misuse_before_anything_is_logged() {
    let long = "x".repeat(4_050);
    let longer = "x".repeat(5_000);
    let suci = |public_key: &str| {
        let key = HomeKey { key_id: 1, scheme: 1, public_key: public_key.as_bytes() };
        Some(OwnedPart::suci(&SuciData { routing_indicator: "0", keys: core::iter::once(key).collect() }))
    };
    let too_long = "SUCI data and service profile do not fit into a message";
    for (reservation, why) in [
        (Reservation { suci: suci(&long), ..reservation() }, too_long),
        (Reservation { suci: suci(&longer), ..reservation() }, too_long),
    ] {
        let mut lab = Lab::new(5);
        let (mut session, _) = stopped(&mut lab, "reserve");
        let mut outcome = lab.answer(&mut session.operator, Answer::Reserved(Ok(reservation)));
        if outcome.is_ok() {
            assert!(matches!(
                session.operator.poll(),
                Some(remote_provisioning::provisioning::operator::Action::Ask(_))
            ));
            outcome = lab.answer(&mut session.operator, Answer::Opc(Ok(Secret::zeroed())));
        }
        assert_eq!(outcome, Err(Misuse::Parameter(why).into()));
        let out = lab.serve(&mut session.operator);
        assert_eq!((out.finished, out.asked.len(), out.sent.len()), (vec![outcome], 0, 0));
        assert_eq!(lab.logged().len(), 0);
    }
    // The longest that fits goes all the way.
    let mut lab = Lab::new(5);
    let fitting = "x".repeat(3_800);
    let (mut session, _) = stopped(&mut lab, "reserve");
    lab.stopping = None;
    lab.travelling = Some(0);
    let answer = Answer::Reserved(Ok(Reservation { suci: suci(&fitting), ..reservation() }));
    lab.answer(&mut session.operator, answer).unwrap();
    let back = lab.serve(&mut session.operator).sent;
    assert!((3_900..=4_096).contains(&back[0].len()), "{}", back[0].len());
    session.messages.extend(back);
    lab.step(&mut session).unwrap();
    assert_eq!(lab.held().unwrap().0.id.supi.as_str(), "001010000000009");
    // The package, the profile it was made of, three times the device's credential.
    assert!((3_900 + 3 * 400..=MAX_TOKEN).contains(&lab.travelling.unwrap()), "{:?}", lab.travelling);
}

// Interruptions.

#[test]
fn a_lost_complete_is_made_good_by_a_resume() {
    let mut lab = Lab::unconfirmed(6);
    let (held, confirmed) = lab.held().unwrap();
    assert!(!confirmed);
    lab.attach(&held); // I1: what it holds it may use.
    let commits = lab.store.memory.commits();
    let mut session = lab.session(3);
    let message_3 = session.message(3);
    lab.tell_operator(&mut session.operator, &message_3).unwrap();
    let out = lab.serve(&mut session.operator);
    assert_eq!(out.asked, ["appraise"], "it was logged before");
    assert_eq!(out.finished, [Ok(())]);
    lab.tell_device(&mut session.device, &out.sent[0]).unwrap();
    let out = from_device(&mut session.device);
    assert_eq!((out.finished, out.sent.len(), out.installed.len()), (vec![Ok(())], 0, 0));
    assert_eq!(lab.store.memory.commits(), commits + 2);
    assert_eq!(lab.assert_complete(), held);
}

#[test]
fn a_power_cut_at_each_step_is_made_good_by_the_next_start() {
    for messages in 1..=6 {
        let mut lab = Lab::new(7);
        lab.session(messages); // And with it both machines are gone.
        lab.power_cut();
        let held = lab.held();
        assert_eq!(held.is_some(), messages >= 5, "{messages}");
        if let Some((held, confirmed)) = held {
            assert!(!confirmed);
            lab.attach(&held);
        }
        assert_eq!(lab.run(), Ok(()), "{messages}");
        let complete = lab.assert_complete();
        assert!(held.is_none_or(|(held, _)| held == complete), "{messages}: installed once");
        let offers = lab.logged().iter().filter(|entry| **entry == "offered").count();
        assert_eq!(offers, if messages == 4 { 2 } else { 1 }, "{messages}: offered again only if nothing came of it");
        assert_eq!(complete.id.epoch, if messages == 4 { 2 } else { 1 }, "{messages}");
    }
}

#[test]
fn an_operator_that_restarts_after_its_offer_learns_from_the_receipt() {
    let mut lab = Lab::new(8);
    let mut session = lab.session(5);
    // The one who knew this session is gone. Its successor cannot read `confirm`, and what it says does not matter.
    let mut successor = lab.operator();
    assert_eq!(lab.tell_operator(&mut successor, &session.message(5)), Err(Malformed::WrongType.into()));
    let said = lab.serve(&mut successor).sent;
    assert_eq!(said, [EDHOC_ERROR]);
    assert_eq!(lab.tell_device(&mut session.device, &said[0]), Err(Malformed::WrongType.into()));
    assert_eq!(from_device(&mut session.device), FromDevice::default());

    let mut session = lab.session(3);
    let message_3 = session.message(3);
    lab.tell_operator(&mut session.operator, &message_3).unwrap();
    let out = lab.serve(&mut session.operator);
    assert_eq!(out.asked, ["appraise", "core", "log confirm"]);
    lab.tell_device(&mut session.device, &out.sent[0]).unwrap();
    lab.assert_complete();
}

#[test]
fn an_operator_that_lost_its_log_says_conflict_and_the_device_keeps_what_it_has() {
    let mut lab = Lab::unconfirmed(9);
    let held = lab.held();
    let core = core::mem::replace(&mut lab.home, Lab::new(9).home);
    assert_eq!(lab.run(), Err(Refused::Code(Code::Conflict).into()));
    assert_eq!(lab.held(), held);
    lab.home = core;
    lab.attach(&held.unwrap().0);
    assert_eq!(lab.run(), Ok(()), "the log was found again");
    lab.assert_complete();
}

#[test]
fn when_the_log_refuses_the_confirmation_nobody_says_complete() {
    let mut lab = Lab::new(11);
    let mut session = lab.session(5);
    lab.refusing = Some(("log confirm", Code::TryLater));
    let confirm = session.message(5);
    lab.tell_operator(&mut session.operator, &confirm).unwrap();
    let out = lab.serve(&mut session.operator);
    assert_eq!(out.finished, [Err(Error::Declined(Code::TryLater))]);
    lab.tell_operator(&mut session.operator, &confirm).unwrap();
    assert_eq!(lab.serve(&mut session.operator).sent, out.sent, "nor to a repetition");
    let before = lab.fingerprint();
    assert_eq!(lab.tell_device(&mut session.device, &out.sent[0]), Err(Refused::Code(Code::TryLater).into()));
    let told = from_device(&mut session.device);
    assert_eq!((told.completed.len(), told.again.is_some(), lab.fingerprint()), (0, true, before));
    lab.refusing = None;
    assert_eq!(lab.run(), Ok(()));
    lab.assert_complete();
}

// What fails at home.

#[test]
fn a_store_that_fails_at_any_commit_keeps_what_it_had_and_a_later_start_goes_on() {
    for good_for in 0..3 {
        let mut lab = Lab::new(12);
        lab.store.good_for = Some(good_for);
        let before = lab.fingerprint();
        match lab.start() {
            Err(error) => {
                assert_eq!((error, good_for), (Backend::Store.into(), 0));
                assert_eq!(lab.fingerprint(), before);
            }
            Ok(device) => {
                let mut session = Session { device, operator: lab.operator(), messages: Vec::new() };
                session.messages.extend(from_device(&mut session.device).sent);
                for _ in 1..good_for * 2 + 2 {
                    lab.step(&mut session).unwrap();
                }
                let before = lab.fingerprint();
                let message = session.messages.last().unwrap().clone();
                assert_eq!(lab.tell_device(&mut session.device, &message), Err(Backend::Store.into()), "{good_for}");
                let out = from_device(&mut session.device);
                assert_eq!((out.finished, out.installed.len()), (vec![Err(Backend::Store.into())], 0), "{good_for}");
                assert_eq!(lab.fingerprint(), before, "{good_for}");
                assert!(!out.sent.iter().any(|sent| sent[0] == 0x83), "{good_for}: nothing is confirmed");
            }
        }
        lab.store.good_for = None;
        assert_eq!(lab.run(), Ok(()), "{good_for}");
        lab.assert_complete();
    }
}

#[test]
fn a_usim_that_fails_installs_nothing_and_a_later_start_goes_on() {
    let mut lab = Lab::new(13);
    lab.card.broken = true;
    let mut session = lab.session(4);
    let before = lab.fingerprint();
    assert_eq!(lab.step(&mut session), Err(Backend::Usim.into()));
    assert_eq!((lab.fingerprint(), lab.held()), (before, None));
    lab.card.broken = false;
    assert_eq!(lab.run(), Ok(()));
    lab.assert_complete();
}

#[test]
fn a_random_source_that_fails_stops_either_side_where_it_is() {
    let mut good_for = 0;
    let device = loop {
        let mut lab = Lab::new(14);
        lab.rng.good_for = Some(good_for);
        match lab.start() {
            Err(error) => assert_eq!(error, Backend::Random.into()),
            Ok(device) => break device,
        }
        assert_eq!(lab.store.memory.commits(), 0, "a start that fails writes nothing");
        good_for += 1;
    };
    drop(device);
    assert!(good_for >= 3, "txn, C_I, ephemeral key");

    for (messages, draws) in [(1, 3), (3, 1)] {
        for good_for in 0..draws {
            let mut lab = Lab::new(14);
            let mut session = lab.session(messages);
            lab.rng.good_for = Some(good_for);
            let message = session.message(messages);
            let outcome = lab.tell_operator(&mut session.operator, &message);
            let out = lab.serve(&mut session.operator);
            assert_eq!(out.finished, [Err(Backend::Random.into())], "{messages} {good_for}");
            assert_eq!(outcome, Ok(()), "it failed while it had an answer");
            assert_eq!(lab.logged().len(), 0);
            lab.rng.good_for = None;
            assert_eq!(lab.run(), Ok(()));
        }
    }
}

#[test]
fn a_key_store_that_fails_stops_the_device_before_it_commits() {
    for (messages, good_for) in [(2, 0), (4, 0)] {
        let mut lab = Lab::new(15);
        let mut session = lab.session(messages);
        lab.device_keys.good_for.set(Some(good_for));
        let before = lab.fingerprint();
        assert_eq!(lab.step(&mut session), Err(Backend::Key.into()));
        assert_eq!((lab.fingerprint(), lab.held()), (before, None), "{messages}");
        lab.device_keys.good_for.set(None);
        assert_eq!(lab.run(), Ok(()));
        lab.assert_complete();
    }
}

#[test]
fn a_record_that_nobody_can_read_is_never_written_over() {
    use remote_provisioning::store::{Commit, SubscriptionStore};
    let mut lab = Lab::new(16);
    lab.store.commit(Commit { slots: &[], record: b"\xa1\x01\x00" }).unwrap();
    let before = lab.fingerprint();
    assert_eq!(lab.start().err(), Some(Backend::Store.into()));
    assert_eq!(subscription(&lab.store).err(), Some(Backend::Store));
    assert_eq!(lab.fingerprint(), before);
}

#[test]
fn a_configuration_without_suites_is_misuse_and_writes_nothing() {
    let mut lab = Lab::new(16);
    lab.device_config.suites.clear();
    assert_eq!(lab.start().err(), Some(Misuse::Parameter("no cipher suite").into()));
    assert_eq!(lab.store.memory.commits(), 0);
}

// Time.

#[test]
fn pauses_double_up_to_a_minute_and_end_after_the_last_attempt() {
    let mut lab = Lab::new(17);
    lab.device_config.retry = Retry { first: 2_000, attempts: 8 };
    for messages in [1, 3, 5] {
        let mut session = lab.session(messages);
        let sent = session.message(messages);
        let mut moment = lab.now;
        for pause in [2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000] {
            moment = moment.after(pause);
            // Early: nothing happens, whoever wakes it.
            session.device.handle_timeout(Millis(moment.0 - 1)).unwrap();
            assert_eq!(from_device(&mut session.device), FromDevice::default(), "{pause}");
            session.device.handle_timeout(moment).unwrap();
            let out = from_device(&mut session.device);
            assert_eq!(out.sent.iter().collect::<Vec<_>>(), [&sent], "the same bytes");
            let next = if pause == 60_000 { 60_000 } else { (pause * 2).min(60_000) };
            assert_eq!(out.wake, Some(moment.after(next)));
        }
        moment = moment.after(60_000);
        assert_eq!(session.device.handle_timeout(moment), Err(Error::Unanswered));
        let out = from_device(&mut session.device);
        assert!(out.again.is_some_and(|again| again >= moment.after(60_000)), "it comes back later");
        let ended = FromDevice { again: out.again, finished: vec![Err(Error::Unanswered)], ..FromDevice::default() };
        assert_eq!(out, ended);
        // Late, and when it has ended: nothing.
        session.device.handle_timeout(moment.after(1_000_000)).unwrap();
        assert_eq!(from_device(&mut session.device), FromDevice::default());
    }
    assert_eq!(lab.run(), Ok(()), "nothing was lost");
    lab.assert_complete();
}

#[test]
fn a_late_wake_up_sends_once_and_waits_from_then() {
    let mut lab = Lab::new(17);
    let mut session = lab.session(1);
    let late = lab.now.after(1_000_000);
    session.device.handle_timeout(late).unwrap();
    let out = from_device(&mut session.device);
    assert_eq!((out.sent.len(), out.wake), (1, Some(late.after(4_000))));
    session.device.handle_timeout(late).unwrap();
    assert_eq!(from_device(&mut session.device), FromDevice::default());
}

#[test]
fn each_new_message_has_all_attempts_again() {
    let mut lab = Lab::new(17);
    let mut session = lab.session(2);
    for moment in [3_000, 7_000, 15_000] {
        session.device.handle_timeout(Millis(moment)).unwrap();
        from_device(&mut session.device);
    }
    lab.now = Millis(20_000);
    let message_2 = session.message(2);
    lab.tell_device(&mut session.device, &message_2).unwrap();
    assert_eq!(from_device(&mut session.device).wake, Some(Millis(22_000)));
}

#[test]
fn odd_retries_do_not_overflow() {
    for (first, attempts) in [(u64::MAX, u8::MAX), (0, u8::MAX), (1, 0)] {
        let mut lab = Lab::new(17);
        lab.device_config.retry = Retry { first, attempts };
        let mut session = lab.session(1);
        let mut sent = 1;
        while session.device.handle_timeout(Millis(u64::MAX)).is_ok() {
            sent += from_device(&mut session.device).sent.len();
        }
        assert_eq!(sent, usize::from(attempts).max(1));
    }
}

#[test]
fn an_operator_gives_up_a_session_that_nobody_goes_on_with() {
    for messages in [2, 5] {
        let mut lab = Lab::new(18);
        let mut session = lab.session(messages);
        let deadline = lab.now.after(300_000);
        session.operator.handle_timeout(Millis(deadline.0 - 1)).unwrap();
        assert!(session.operator.poll().is_none());
        assert_eq!(session.operator.handle_timeout(deadline), Err(Error::Unanswered));
        assert_eq!(lab.serve(&mut session.operator).finished, [Err(Error::Unanswered)]);
        session.operator.handle_timeout(deadline.after(1)).unwrap();
        assert!(session.operator.poll().is_none(), "once");
    }
    // One that has not begun has nothing to give up; one that has finished has nothing left to.
    let mut lab = Lab::new(18);
    let mut fresh = lab.operator();
    fresh.handle_timeout(Millis(u64::MAX)).unwrap();
    let mut session = lab.session(6);
    session.operator.handle_timeout(Millis(u64::MAX)).unwrap();
    assert!(fresh.poll().is_none() && session.operator.poll().is_none());
    // An answer that comes after the end is an answer to nothing.
    let (mut session, open) = stopped(&mut Lab::new(18), "appraise");
    session.operator.handle_timeout(Millis(u64::MAX)).unwrap_err();
    let answer = lab.home.answer(open);
    assert!(matches!(lab.answer(&mut session.operator, answer), Err(Error::Misuse(_))));
}

// Repetitions.

#[test]
fn a_repeated_message_gets_the_bytes_sent_before_and_asks_nothing_again() {
    let mut lab = Lab::new(19);
    let mut session = lab.session(1);
    for number in 1..=6 {
        let message = session.message(number);
        lab.step(&mut session).unwrap();
        let commits = lab.store.memory.commits();
        let entries = lab.logged().len();
        for _ in 0..3 {
            if number.is_multiple_of(2) {
                let outcome = lab.tell_device(&mut session.device, &message);
                // The timer repeats; a device does not answer answers.
                assert_eq!(from_device(&mut session.device), FromDevice::default(), "{number}");
                assert_eq!(outcome, Ok(()), "{number}");
            } else {
                lab.tell_operator(&mut session.operator, &message).unwrap();
                let out = lab.serve(&mut session.operator);
                assert_eq!((out.asked.len(), out.finished.len()), (0, 0), "{number}");
                assert_eq!(out.sent, [session.message(number + 1)], "{number}: byte for byte");
            }
        }
        assert_eq!((lab.store.memory.commits(), lab.logged().len()), (commits, entries));
    }
    lab.assert_complete();
}

#[test]
fn a_message_repeated_while_its_answer_is_in_the_making_is_passed_over() {
    for question in ["appraise", "reserve", "opc", "log offer", "core", "log confirm"] {
        let mut lab = Lab::new(19);
        let (mut session, open) = stopped(&mut lab, question);
        let message = session.messages.last().unwrap().clone();
        lab.tell_operator(&mut session.operator, &message).unwrap();
        assert!(session.operator.poll().is_none(), "{question}");
        lab.stopping = None;
        let answer = lab.home.answer(open);
        lab.answer(&mut session.operator, answer).unwrap();
        assert_eq!(lab.serve(&mut session.operator).sent.len(), 1, "{question}");
    }
}

// Strangers and clones.

#[test]
fn of_two_devices_with_one_store_the_second_is_noticed() {
    // Copied before its first request.
    let mut lab = Lab::new(20);
    lab.session(1);
    let copy = lab.store.memory.durable_copy();
    assert_eq!(lab.run(), Ok(()));
    let subscribers: Vec<_> = lab.home.subscribers().copied().collect();
    let first = core::mem::replace(&mut lab.store.memory, copy);
    assert_eq!(lab.run(), Err(Refused::Code(Code::Quarantined).into()), "the same request counter");
    assert_eq!(lab.held(), None, "no second K");
    assert_eq!(lab.home.subscribers().copied().collect::<Vec<_>>(), subscribers);
    lab.store.memory = first;
    lab.assert_complete();

    // Copied with a credential in it that nobody has confirmed yet.
    let mut lab = Lab::unconfirmed(20);
    let copy = lab.store.memory.durable_copy();
    assert_eq!(lab.run(), Ok(()));
    lab.store.memory = copy;
    assert_eq!(lab.run(), Err(Refused::Code(Code::Quarantined).into()), "the same request counter");
    assert!(matches!(lab.held(), Some((_, false))));
}

#[test]
fn a_copied_key_with_a_patient_owner_gets_no_second_subscription() {
    let mut lab = Lab::new(22);
    assert_eq!(lab.run(), Ok(()));
    let subscribers: Vec<_> = lab.home.subscribers().copied().collect();
    // An empty store and the device's key: the counter is behind at first, and then no longer.
    let first = core::mem::replace(&mut lab.store.memory, MemoryStore::new());
    for _ in 0..4 {
        assert_eq!(lab.run(), Err(Refused::Code(Code::Quarantined).into()));
        assert_eq!(lab.held(), None);
    }
    assert_eq!(lab.home.subscribers().copied().collect::<Vec<_>>(), subscribers);
    lab.store.memory = first;
    lab.assert_complete();
}

#[test]
fn a_device_that_asks_under_ever_new_transactions_gets_one_number() {
    let mut lab = Lab::new(22);
    for _ in 0..3 {
        lab.session(4);
        // It takes the offer in and says it did not: everything but the counter is gone.
        let record = lab.store.memory.record().unwrap().unwrap();
        let mut forgetful = MemoryStore::new();
        // { 1: requests, 2: 0, 7: [0, null], 8: [], 9: 0 }
        let record = [&[0xa5], &record[1..3], &[2, 0, 7, 0x82, 0, 0xf6, 8, 0x80, 9, 0]].concat();
        forgetful.commit(Commit { slots: &[], record: &record }).unwrap();
        lab.store.memory = forgetful;
    }
    assert_eq!(lab.run(), Ok(()));
    assert_eq!(lab.home.subscribers().count(), 1);
    lab.assert_complete();
}

#[test]
fn a_store_that_lost_the_credential_is_not_resumed() {
    let mut lab = Lab::unconfirmed(22);
    let record = lab.store.memory.record().unwrap().unwrap();
    lab.store.memory.commit(Commit { slots: &[SlotChange::Erase(Slot::A)], record: &record }).unwrap();
    let before = lab.fingerprint();
    assert_eq!(lab.start().err(), Some(Backend::Store.into()));
    assert_eq!(lab.fingerprint(), before);
}

#[test]
fn a_session_that_wakes_up_late_does_not_undo_a_newer_one() {
    // It waits anywhere from its first question to the core; meanwhile the device has asked again and been served.
    for question in ["appraise", "reserve", "opc", "log offer", "core"] {
        let mut lab = Lab::new(21);
        let (mut late, open) = stopped(&mut lab, question);
        lab.stopping = None;
        assert_eq!(lab.run(), Ok(()), "{question}");
        let answer = lab.home.answer(open);
        assert_eq!(lab.answer(&mut late.operator, answer), Ok(()), "{question}");
        let out = lab.serve(&mut late.operator);
        let code = if question == "core" { Code::Conflict } else { Code::TryLater };
        assert_eq!(out.finished, [Err(Error::Declined(code))], "{question}");
        assert!(!lab.logged().contains(&"quarantined"), "an old session is no second device");
        lab.assert_complete();
    }
}

#[test]
fn a_device_machine_that_another_one_has_replaced_writes_nothing_more() {
    for (messages, held) in [(4, false), (6, true)] {
        let mut lab = Lab::new(21);
        let mut old = lab.session(messages);
        assert_eq!(lab.held().is_some(), held);
        assert_eq!(lab.run(), Ok(()));
        let before = lab.fingerprint();
        let replaced = Err(Misuse::NotNow("another machine was started on this store").into());
        assert_eq!(lab.step(&mut old), replaced, "{messages}");
        assert_eq!(lab.fingerprint(), before, "{messages}");
        lab.assert_complete();
    }
}

#[test]
fn test_and_production_do_not_mix() {
    // The message says which; the operator looks before it makes a key or shows who it is.
    for (device, operator) in [(Domain::Production, Domain::Test), (Domain::Test, Domain::Production)] {
        let mut lab = Lab::new(22);
        lab.device_config.domain = device;
        lab.operator_config.domain = operator;
        let mut session = lab.session(1);
        assert_eq!(lab.step(&mut session), Err(Misbehaved::WrongDomain.into()));
        assert_eq!(session.messages[1..], [EDHOC_ERROR.to_vec()]);
        assert_eq!(lab.step(&mut session), Err(Refused::Edhoc(1).into()));
    }
    // Both say production, but the anchors are for tests: neither believes the other.
    let mut lab = Lab::new(22);
    lab.device_config.domain = Domain::Production;
    lab.operator_config.domain = Domain::Production;
    let mut session = lab.session(2);
    assert_eq!(lab.step(&mut session), Err(Untrusted::NoAnchor.into()));
}

#[test]
fn to_an_operator_of_another_world_a_device_does_not_say_who_it_is() {
    let mut lab = Lab::new(23);
    lab.operator_config.own = chain(&identities::rogue_operator_chain());
    lab.operator_keys = lab::Keys::new(identities::rogue_operator_key());
    lab.own();
    let mut session = lab.session(2);
    let asked = lab.fingerprint();
    assert_eq!(lab.step(&mut session), Err(Untrusted::NoAnchor.into()));
    assert_eq!(session.messages[2..], [EDHOC_ERROR.to_vec()], "no message_3");
    assert_eq!(lab.fingerprint(), asked);
    // An operator with the right certificate and not its key.
    let mut lab = Lab::new(23);
    lab.operator_keys = lab::Keys::new(identities::rogue_operator_key());
    lab.own();
    let mut session = lab.session(2);
    assert_eq!(lab.step(&mut session), Err(Untrusted::Authentication.into()));
    assert_eq!(session.messages[2..], [EDHOC_ERROR.to_vec()], "and no other words");
    // A device that is let believe in it, to show that nothing else stood in the way.
    let mut lab = Lab::new(23);
    lab.operator_config.own = chain(&identities::rogue_operator_chain());
    lab.operator_keys = lab::Keys::new(identities::rogue_operator_key());
    lab.device_anchors = identities::rogue_device_anchors();
    lab.own();
    assert_eq!(lab.run(), Ok(()));
}

#[test]
fn about_a_device_of_another_world_an_operator_asks_nothing() {
    let rogue = |own: OwnCredential, anchors: MemoryAnchors| {
        let mut lab = Lab::new(24);
        lab.device_config.own = own;
        lab.device_keys = lab::Keys::new(identities::rogue_device_key());
        lab.operator_anchors = anchors;
        let mut session = lab.session(3);
        let message_3 = session.message(3);
        let outcome = lab.tell_operator(&mut session.operator, &message_3);
        let out = lab.serve(&mut session.operator);
        (outcome, out.asked.len(), out.sent)
    };
    let no_anchor = rogue(chain(&identities::rogue_device_chain()), identities::operator_anchors());
    let no_key = rogue(chain(&identities::device_chain()), identities::operator_anchors());
    assert_eq!((no_anchor.0, no_anchor.1), (Err(Untrusted::NoAnchor.into()), 0));
    assert_eq!((no_key.0, no_key.1), (Err(Untrusted::Authentication.into()), 0));
    assert_eq!((no_anchor.2, no_key.2), (vec![EDHOC_ERROR.to_vec()], vec![EDHOC_ERROR.to_vec()]), "the same words");
    let believed = rogue(chain(&identities::rogue_device_chain()), identities::rogue_operator_anchors());
    assert_eq!((believed.0, believed.1, believed.2.len()), (Ok(()), 5, 1));
}

#[test]
fn a_device_without_a_clock_believes_what_a_device_with_one_checks() {
    let long_ago = Date(86_400);
    for (date, expected) in [(None, None), (Some(TODAY), None), (Some(long_ago), Some(Untrusted::NotYetValid))] {
        let mut lab = Lab::new(25);
        lab.date = date;
        let mut session = lab.session(2);
        let asked = lab.fingerprint();
        match expected {
            Some(error) => {
                assert_eq!(lab.step(&mut session), Err(error.into()));
                assert_eq!(session.messages[2..], [EDHOC_ERROR.to_vec()]);
                assert_eq!(lab.fingerprint(), asked);
            }
            None => {
                assert_eq!(lab.run(), Ok(()));
                lab.assert_complete();
            }
        }
    }
}

// The credential in use.

#[test]
fn a_challenge_is_answered_once_whatever_happens_in_between() {
    use remote_provisioning::{aka, provisioning::device::authenticate};
    let mut lab = Lab::new(29);
    let attach = |lab: &mut Lab, challenge| authenticate(challenge, &mut lab.store, &mut SoftUsim);
    let any = aka::Challenge { rand: [0; 16], autn: [0; 16] };
    let nothing = Misuse::NotNow("the device has no subscription").into();
    assert_eq!(attach(&mut lab, &any).err(), Some(nothing));

    lab.run().unwrap();
    let held = lab.held().unwrap().0;
    let vector = lab.home.challenge(&held.id.supi, &mut lab.rng).unwrap();
    // What was not stored is not said.
    let before = lab.fingerprint();
    lab.store.good_for = Some(0);
    assert_eq!(attach(&mut lab, &vector.challenge).err(), Some(Backend::Store.into()));
    assert_eq!(lab.fingerprint(), before);
    lab.store.good_for = None;
    let forged = aka::Challenge { autn: [0; 16], ..vector.challenge };
    assert!(matches!(attach(&mut lab, &forged), Ok(aka::Answer::MacFailure)));
    assert_eq!(lab.fingerprint(), before, "nothing is stored for a stranger");

    let Ok(aka::Answer::Success(keys)) = attach(&mut lab, &vector.challenge) else { panic!() };
    assert_eq!(keys.res.bytes(), vector.keys.res.bytes());
    lab.power_cut();
    let before = lab.fingerprint();
    assert!(matches!(attach(&mut lab, &vector.challenge), Ok(aka::Answer::SyncFailure { .. })));
    assert_eq!(lab.fingerprint(), before);
}

/// Neither K nor SQN can be edited in the slot without the other.
#[test]
fn a_slot_whose_k_and_sqn_do_not_belong_together_is_refused() {
    let mut lab = Lab::new(29);
    lab.run().unwrap();
    let held = lab.held().unwrap().0;
    let challenge = lab.home.challenge(&held.id.supi, &mut lab.rng).unwrap().challenge;
    let content = lab.store.slot(Slot::A).unwrap().unwrap();
    assert!(SoftUsim.authenticate(Slot::A, &content, &challenge).is_ok());
    // Keys 4 and 5 of the map, 16 bytes each, and key 6: 6 bytes of SQN, 16 of what binds it.
    for head in [&[4, 0x50][..], &[5, 0x50], &[6, 0x56]] {
        let at = content.bytes().windows(2).position(|window| window == head).unwrap() + head.len();
        for byte in at..at + usize::from(head[1] - 0x40) {
            let mut edited = content.bytes().to_vec();
            edited[byte] ^= 1;
            let answer = SoftUsim.authenticate(Slot::A, &SecretBytes::new(edited), &challenge);
            assert_eq!(answer.err(), Some(Backend::Usim), "key {}, byte {}", head[0], byte - at);
        }
    }
}

#[test]
fn what_is_exported_says_what_it_is_for() {
    use core::cell::RefCell;
    /// A session that writes down what it is asked for.
    struct Notes(RefCell<Vec<(u16, Vec<u8>, usize)>>);
    impl Exporter for Notes {
        fn export(&self, label: u16, context: &[u8], out: &mut [u8], _: &dyn Crypto) -> Result<(), Backend> {
            self.0.borrow_mut().push((label, context.to_vec(), out.len()));
            Ok(())
        }
    }
    let notes = Notes(RefCell::default());
    let supi = "001010123456789".parse().unwrap();
    let txn = [0xee; 16];
    let name = KeyName { algorithm: Algorithm::Milenage, supi: &supi, epoch: 300, txn: &txn };
    derive_k(&name, &notes, &RustCrypto).unwrap();
    let offered = Offered { domain: Domain::Test, txn: &txn, sealed: b"", exporter: &notes };
    let _ = SoftUsim.install(Slot::A, &offered, &RustCrypto);
    assert_eq!(format!("{offered:?}"), format!("Offered {{ txn: {txn:?}, .. }}"));
    let txn = [[0x50].as_slice(), &txn].concat();
    let k = [b"\x84\x01\x6f001010123456789\x19\x01\x2c".as_slice(), &txn].concat();
    let package = [b"\x82\x01".as_slice(), &txn].concat();
    assert_eq!(notes.0.into_inner(), [(0xce02, k, 16), (0xce01, package, 32)]);
}

// Secrets.

#[test]
fn nothing_that_prints_shows_a_key_or_what_the_answer_will_be() {
    let mut lab = Lab::new(26);
    let (session, open) = stopped(&mut lab, "core");
    let Question::PutIntoCore(credential) = &open else { panic!() };
    let hidden = [credential.secrets.k.bytes().to_vec(), credential.secrets.opc.bytes().to_vec()];
    let mut printed = format!("{open:?} {:?} {:?}", session.operator, session.device);
    lab.stopping = None;
    let mut session = Session { ..session };
    let answer = lab.home.answer(open);
    lab.answer(&mut session.operator, answer).unwrap();
    printed += &format!("{:?}", session.operator);
    let back = lab.serve(&mut session.operator).sent;
    session.messages.extend(back);
    lab.step(&mut session).unwrap();
    printed += &format!("{:?} {:?} {:?} {:?}", session.device, session.operator, lab.home, lab.store.memory);
    let mut hidden = hidden.to_vec();
    hidden.push(lab.card.res.clone());
    assert_eq!(hidden.iter().map(Vec::len).collect::<Vec<_>>(), [16, 16, 8]);
    for secret in hidden {
        let shown = format!("{secret:?}");
        let part = shown.trim_start_matches('[').trim_end_matches(']');
        assert!(!printed.contains(part), "found {part}");
    }
    assert!(printed.contains("Secret<16>(..)") && printed.len() > 2_000, "it did print");
}

#[test]
fn what_hides_something_prints_its_name() {
    let mut weak = SeededRng::new(1);
    assert_eq!(format!("{:?}", Hedged::new(&mut weak, &[7; 32], 7, &RustCrypto)), "Hedged(..)");
    assert_eq!(format!("{:?}", MilenageParameters { opc: &[7; 16] }), "MilenageParameters(..)");
    assert_eq!(format!("{:?}", SecretBytes::zeroed(3)), "SecretBytes(..)");
    let public = RustCrypto.generate(Group::P256, &mut weak).unwrap();
    assert_eq!(format!("{public:?}"), "EphemeralKey(..)");
    let mut keys = MemoryKeyStore::new();
    keys.insert(IDENTITY, identities::device_key()).unwrap();
    assert_eq!(format!("{keys:?}"), "MemoryKeyStore(1 keys)");
    assert_eq!(format!("{:?}", Digest::from([0x0a; 32])), format!("Digest({})", "0a".repeat(32)));
}

#[test]
fn names_print_as_a_log_wants_them() {
    let id = SubscriptionId { supi: "001010123456789".parse().unwrap(), epoch: 300 };
    assert_eq!(id.to_string(), "imsi-001010123456789/300");
    assert_eq!(format!("{:?}", id.supi), "Supi(001010123456789)");
    let eui: Eui = "mac-00-00-5E-00-53-AF".parse().unwrap();
    assert_eq!(format!("{eui:?}"), "Eui(mac-00-00-5E-00-53-AF)");
    let name: PeerName = "provisioning.example-operator".parse().unwrap();
    assert_eq!(format!("{name} {name:?}"), "provisioning.example-operator PeerName(provisioning.example-operator)");
}

#[test]
fn k_is_in_no_message_and_in_no_log_entry() {
    let mut lab = Lab::new(27);
    let (mut session, open) = stopped(&mut lab, "opc");
    let Question::ComputeOpc { k } = &open else { panic!() };
    let k = *k.bytes();
    lab.stopping = None;
    let answer = lab.home.answer(open);
    let Answer::Opc(Ok(opc)) = &answer else { panic!() };
    let opc = *opc.bytes();
    lab.answer(&mut session.operator, answer).unwrap();
    let back = lab.serve(&mut session.operator).sent;
    session.messages.extend(back);
    while session.messages.len() < 6 {
        lab.step(&mut session).unwrap();
    }
    lab.step(&mut session).unwrap();
    lab.assert_complete();
    let entries: Vec<_> = lab.home.entries().map(|entry| entry.to_cbor().unwrap()).collect();
    for bytes in session.messages.iter().chain(&entries) {
        for secret in [k, opc] {
            assert!(!bytes.windows(8).any(|part| part == &secret[..8] || part == &secret[8..]));
        }
    }
}

#[test]
fn profiles_and_receipts_come_back_from_what_a_server_stores() {
    let profile = ServiceProfile {
        gpsi: "msisdn-491701234567".try_into().ok(),
        dnn: "iot".try_into().ok(),
        s_nssai: Some(SNssai { sst: 1, sd: Some(0xab_cdef) }),
        expiry: Some(1_900_000_000),
        quota: None,
    };
    let mut stored = Vec::new();
    ciborium::into_writer(&profile, &mut stored).unwrap();
    assert_eq!(ciborium::from_reader::<ServiceProfile, _>(stored.as_slice()).unwrap(), profile);
    let printed = serde_json::to_string(&profile).unwrap();
    assert!(
        printed.contains(r#""gpsi":"msisdn-491701234567","dnn":"iot","s_nssai":{"sst":1,"sd":11259375}"#),
        "{printed}"
    );
    assert_eq!(serde_json::from_str::<ServiceProfile>(&printed).unwrap(), profile);

    let receipt = Receipt {
        domain: Domain::Test,
        sequence: 3,
        previous: Some([1; 32]),
        txn: [2; 16],
        event: Event::Activated,
        supi_hash: [3; 32],
        epoch: 4,
        package_hash: [5; 32],
        owner_epoch: 6,
        grant: Some([7; 32]),
    };
    let mut stored = Vec::new();
    ciborium::into_writer(&receipt, &mut stored).unwrap();
    assert_eq!(ciborium::from_reader::<Receipt, _>(stored.as_slice()).unwrap(), receipt);
}

#[test]
fn log_entries_come_back_from_their_bytes() {
    let mut lab = Lab::new(28);
    lab.run().unwrap();
    for entry in lab.home.entries() {
        let bytes = entry.to_cbor().unwrap();
        assert_eq!(LogEntry::from_cbor(&bytes), Ok(entry));
        assert_eq!(LogEntry::from_cbor(&[bytes.as_slice(), b"\0"].concat()), Err(Malformed::TrailingBytes));
        for end in 0..bytes.len() {
            assert_eq!(LogEntry::from_cbor(&bytes[..end]), Err(Malformed::Syntax));
        }
    }
}

// All states against all messages.

/// The operator's session in every state that it can rest in, and how far it had come.
fn resting() -> Vec<(Lab, Session, &'static str)> {
    let mut all: Vec<_> = [1, 3, 5, 6]
        .into_iter()
        .zip(["await message_1", "await message_3", "await confirm", "ended"])
        .map(|(messages, state)| {
            let mut lab = Lab::new(33);
            let session = lab.session(messages);
            (lab, session, state)
        })
        .collect();
    for (mut lab, question) in questions() {
        let (session, open) = stopped(&mut lab, question);
        drop(open);
        all.push((lab, session, question));
    }
    all
}

#[test]
fn a_session_rests_in_a_token_and_goes_on_elsewhere() {
    for method in [Method::SignSign, Method::SignStatic, Method::StaticSign, Method::StaticStatic] {
        for suite in Suite::ALL {
            let mut lab = Lab::new(33);
            lab.travelling = Some(0);
            lab.device_config.method = method;
            lab.operator_config.methods = vec![method];
            lab.device_config.suites = vec![suite];
            assert_eq!(lab.run(), Ok(()), "{method:?} {}", suite.number);
            lab.assert_complete();
        }
    }
    let mut lab = Lab::unconfirmed(33);
    lab.travelling = Some(0);
    assert_eq!(lab.run(), Ok(()), "resume");
    lab.assert_complete();
}

#[test]
fn a_token_opens_whole_in_time_under_its_key_and_once() {
    for (mut lab, mut session, state) in resting() {
        let token = lab.token(&session.operator).unwrap();
        // A number of its own, and with it a key: past the number and the expiry nothing is the same.
        let other = lab.token(&session.operator).unwrap();
        assert_eq!(token.len(), other.len());
        assert!(token[32..].iter().zip(&other[32..]).filter(|(a, b)| a == b).count() < token.len() / 3, "{state}");
        assert!(token.len() <= MAX_TOKEN, "{state}");

        for at in 0..token.len() {
            let mut altered = token.clone();
            altered[at] ^= 0x01;
            let error = lab.reopened(&altered).map(|_| ()).unwrap_err();
            assert!(matches!(error, Error::Malformed(_) | Error::Untrusted(Untrusted::Authentication)), "{state} {at}");
            assert!(lab.reopened(&token[..at]).is_err(), "{state}, the first {at}");
        }
        let open = |key: &Secret<32>, today| {
            Operator::open(lab.operator_config.clone(), &token, key, today, lab.now, &RustCrypto).map(|_| ()).err()
        };
        let (key, tomorrow) = (lab::token_key(), Date(TODAY.0 + 86_400));
        assert_eq!(open(&key, Date(tomorrow.0 - 1)), None, "{state}");
        assert_eq!(open(&key, tomorrow), Some(Untrusted::TokenExpired.into()), "{state}");
        let other = Secret::from_slice(&[0x71; 32]).unwrap();
        assert_eq!(open(&other, TODAY), Some(Untrusted::Authentication.into()), "{state}");
        // A token of something else, under the same key.
        assert!(edhoc::Session::open(&token, &key, TODAY, &RustCrypto).is_err(), "{state}");
        assert!(responder::AwaitMessage3::open(&token, &key, TODAY, &RustCrypto).is_err(), "{state}");
        assert!(responder::Message3Accepted::open(&token, &key, TODAY, &RustCrypto).is_err(), "{state}");

        let (opened, again) = (lab.reopened(&token).unwrap(), lab.reopened(&token).unwrap());
        assert_eq!(opened.number(), again.number(), "{state}: what the caller looks up");
        assert_eq!(again.first_use(false).map(|_| ()), Err(Untrusted::TokenUsed.into()), "{state}");
        session.operator = opened.first_use(true).unwrap();
        // Nobody goes on with it: it gives up like any other.
        let deadline = lab.now.after(lab.operator_config.patience);
        let ended = session.operator.handle_timeout(deadline);
        assert_eq!(ended, if state == "ended" { Ok(()) } else { Err(Error::Unanswered) }, "{state}");
    }
}

#[test]
fn a_session_is_sealed_when_it_has_nothing_left_to_say() {
    let mut lab = Lab::new(33);
    let session = lab.session(1);
    let mut operator = lab.operator();
    lab.tell_operator(&mut operator, session.messages.last().unwrap()).unwrap();
    assert!(matches!(lab.token(&operator), Err(Error::Misuse(Misuse::NotNow(_)))), "message_2 is still in there");
    lab.serve(&mut operator);
    assert!(lab.token(&operator).is_ok());
}

#[test]
fn a_device_that_has_ended_says_no_more() {
    // However it ended: confirmed, refused, unanswered, or on bad bytes.
    let mut ended: Vec<(Lab, Device)> = Vec::new();
    let mut lab = Lab::new(32);
    let mut session = lab.session(6);
    lab.step(&mut session).unwrap();
    ended.push((lab, session.device));
    let mut lab = Lab::new(32);
    let mut session = lab.session(2);
    lab.tell_device(&mut session.device, EDHOC_ERROR).unwrap_err();
    ended.push((lab, session.device));
    let mut lab = Lab::new(32);
    let mut session = lab.session(4);
    lab.tell_device(&mut session.device, b"\x43abc").unwrap_err();
    ended.push((lab, session.device));
    for (mut lab, mut device) in ended {
        from_device(&mut device);
        device.handle_timeout(Millis(u64::MAX)).unwrap();
        assert_eq!(lab.tell_device(&mut device, b"\x43xyz"), Err(Misbehaved::UnexpectedMessage.into()));
        assert_eq!(from_device(&mut device), FromDevice::default());
    }
}
