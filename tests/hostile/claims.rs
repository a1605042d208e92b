//! Devices that say, of themselves, what is not so: with a valid key, in a session of their own.

use remote_provisioning::{
    credential::Secrets,
    provisioning::{
        Answer, Question,
        log::What,
        message::Prepared,
        question::CoreCredential,
        receipt::{Head, Summary},
    },
};

use super::*;

#[test]
fn only_a_receipt_for_what_is_in_use_resumes() {
    /// A device that has installed and asks to go on.
    struct Claim {
        txn: Txn,
        receipt: Receipt,
        state: DeviceState,
        /// Receipts before this one.
        earlier: Vec<Vec<u8>>,
        key_of_operator: bool,
        omit: bool,
        other_head: bool,
    }
    type Change = fn(&mut Claim);
    let cases: Vec<(&str, Change, Option<Error>)> = vec![
        ("honest", |_| {}, None),
        ("with something else before it", |claim| claim.earlier.push(b"x".into()), Some(SET_BACK)),
        ("no receipt", |claim| claim.omit = true, Some(DECLINED)),
        ("another txn", |claim| claim.txn = [9; 16], Some(DECLINED)),
        ("nothing in use", |claim| claim.state.active = None, Some(DECLINED)),
        ("another epoch in use", |claim| claim.state.active = Some(2), Some(DECLINED)),
        ("another last receipt", |claim| claim.other_head = true, Some(SET_BACK)),
        ("another owner", |claim| claim.state.owner_epoch = 2, Some(DECLINED)),
        ("another voucher", |claim| claim.state.voucher_head = Some([1; 32]), Some(DECLINED)),
        ("a receipt of another owner", |claim| claim.receipt.owner_epoch = 2, Some(DECLINED)),
        ("a receipt of another txn", |claim| claim.receipt.txn = [9; 16], Some(DECLINED)),
        ("a receipt of another domain", |claim| claim.receipt.domain = Domain::Production, Some(DECLINED)),
        ("a receipt of another SUPI", |claim| claim.receipt.supi_hash[0] ^= 1, Some(DECLINED)),
        ("a receipt of another epoch", |claim| claim.receipt.epoch += 1, Some(DECLINED)),
        ("a receipt of another package", |claim| claim.receipt.package_hash[0] ^= 1, Some(DECLINED)),
        ("a receipt under another key", |claim| claim.key_of_operator = true, Some(SET_BACK)),
    ];
    for (at, change, expected) in cases {
        let mut lab = Lab::voucher_last(8);
        let it = install(&mut lab, [7; 16]); // And `confirm` is lost.
        let state = DeviceState {
            active: Some(it.receipt.epoch),
            owner_epoch: 1,
            voucher_head: Some(outline(&voucher(), &RustCrypto).unwrap().head),
            ..request().state
        };
        let (txn, receipt) = (it.txn, it.receipt);
        let mut claim =
            Claim { txn, receipt, state, earlier: vec![], key_of_operator: false, omit: false, other_head: false };
        change(&mut claim);
        let keys = if claim.key_of_operator { &lab.operator_keys } else { &lab.device_keys };
        let receipt = claim.receipt.sign(|message| keys.sign(IDENTITY, message)).unwrap();
        claim.state.last_receipt = Some(if claim.other_head { [1; 32] } else { RustCrypto.sha256(&[&receipt]) });
        let receipts = claim.earlier.iter().chain([&receipt]).map(Vec::as_slice).collect();
        let request = Request {
            txn: claim.txn,
            operation: Operation::Resume,
            counter: Counter { request: 2, retry: 0 },
            state: claim.state,
            receipts: (!claim.omit).then_some(receipts),
            ..request()
        };
        let asked = ask(&mut lab, &[ours(&wire::encode(&request))]);
        assert_eq!(asked.finished, [expected.map_or(Ok(()), Err)], "{at}");
        let confirmed = lab.logged().contains(&"confirmed");
        assert_eq!(confirmed, expected.is_none(), "{at}");
        let mut message = asked.handshake.read(&asked.answer, &RustCrypto).unwrap();
        let told = message.ead().take(EAD_LABEL).unwrap().value.unwrap().to_vec();
        let told: Offer<'_> = wire::decode(&told).unwrap();
        assert_eq!(matches!(told, Offer::Status(Status { acknowledged: 1, .. })), expected.is_none(), "{at}");
    }
}

/// A device that has one credential, confirmed, and the log of it.
fn subscriber(seed: u64) -> (Lab, Installed) {
    let mut lab = Lab::voucher_last(seed);
    let mut it = install(&mut lab, [7; 16]);
    let confirm = it.record().seal(&it.confirm(&lab));
    lab.tell_operator(&mut it.operator, &confirm).unwrap();
    lab.serve(&mut it.operator);
    assert_eq!(lab.logged(), ["offered", "confirmed"]);
    (lab, it)
}

/// What such a device says of itself.
fn state(it: &Installed, lab: &Lab, txn: &Txn) -> DeviceState {
    let supi = lab.account().active().map_or_else(
        || lab.account().open().unwrap().credential.supi.parse().unwrap(),
        |active| active.supi.parse::<Supi>().unwrap(),
    );
    DeviceState {
        active: Some(it.receipt.epoch),
        supi_hash: Some(supi_hash(txn, &supi, &RustCrypto)),
        package_hash: Some(it.package_hash),
        pending: None,
        owner_epoch: 1,
        voucher_head: Some(outline(&voucher(), &RustCrypto).unwrap().head),
        last_receipt: Some(RustCrypto.sha256(&[&it.signed(lab)])),
    }
}

/// The core has a subscriber that is somebody else's.
fn somebody_else(lab: &mut Lab) -> Supi {
    let supi = "001010000000009".parse().unwrap();
    let secrets = Secrets {
        k: Secret::from_slice(&[1; 16]).unwrap(),
        opc: Secret::from_slice(&[2; 16]).unwrap(),
        sqn: Profile::default().sqn(1, Ind::default()).unwrap(),
    };
    let device = maker::raw_device_id().unwrap();
    let credential = CoreCredential { device, supi, epoch: 1, algorithm: Algorithm::Milenage, secrets, profile: None };
    let answer = lab.home.answer(Question::PutIntoCore(Box::new(credential)));
    assert!(matches!(answer, Answer::CoreReady(Ok(()))));
    supi
}

/// The log says of itself that it may lack something: then the device is asked, and the core.
fn restored(lab: &mut Lab) {
    let entry = lab.account().entry(&lab.device_id().to_string(), What::Restored);
    lab.home.log(&entry).unwrap();
}

const SECOND: Counter = Counter { request: 2, retry: 0 };

/// Whoever knows an IMSI could else have its subscriber's place, and its end.
#[test]
fn a_device_does_not_get_what_is_somebody_elses() {
    for operation in [Operation::Query, Operation::Rekey, Operation::Retire, Operation::OnDemand] {
        for may_lack in [false, true] {
            let at = format!("{operation:?}, restored: {may_lack}");
            let (mut lab, it) = subscriber(21);
            let victim = somebody_else(&mut lab);
            if may_lack {
                restored(&mut lab);
            }
            let before = (lab.account().active().cloned(), lab.home.subscribers().count());
            let txn = [9; 16];
            let state =
                DeviceState { supi_hash: Some(supi_hash(&txn, &victim, &RustCrypto)), ..state(&it, &lab, &txn) };
            let request = Request { txn, operation, counter: SECOND, state, ..request() };
            let asked = ask(&mut lab, &[ours(&wire::encode(&request))]);
            let expected = if operation == Operation::OnDemand { Code::GrantMissing } else { Code::Conflict };
            assert_eq!(asked.finished, [Err(Error::Declined(expected))], "{at}");
            assert_eq!((lab.account().active().cloned(), lab.home.subscribers().count()), before, "{at}");
            assert!(lab.home.challenge(&victim, &mut lab.rng).is_ok(), "{at}: the victim has lost nothing");
        }
    }
}

/// One-shot: the core accepts it already. Who says that it was called off would have a subscription that nobody knows of.
#[test]
fn nothing_is_called_off_that_the_core_accepts() {
    let mut lab = Lab::voucher_last(22);
    let it = install(&mut lab, [7; 16]);
    let aborted = Receipt { event: Event::Aborted, ..it.receipt };
    let aborted = aborted.sign(|message| lab.device_keys.sign(IDENTITY, message)).unwrap();
    let state = DeviceState { last_receipt: Some(RustCrypto.sha256(&[&aborted])), ..request().state };
    let receipts = core::iter::once(aborted.as_slice()).collect();
    let request =
        Request { operation: Operation::Resume, counter: SECOND, state, receipts: Some(receipts), ..request() };
    let asked = ask(&mut lab, &[ours(&wire::encode(&request))]);
    assert_eq!((asked.questions, asked.finished), (vec!["appraise", "read core"], vec![Err(DECLINED)]));
    assert_eq!(lab.logged(), ["offered"]);
    assert!(lab.account().open().is_some(), "what the core has stands in the account, and can be revoked");
}

/// In two phases, a device that has not prepared says that it uses the new one: nobody has seen its RES, nor a receipt.
#[test]
fn nothing_is_in_use_that_was_only_offered() {
    let mut lab = Lab::voucher_last(23);
    lab.home.activation = Activation::TwoPhase;
    let it = install(&mut lab, [7; 16]);
    for (request_number, operation) in [(2, Operation::Query), (3, Operation::Rekey), (4, Operation::Provision)] {
        let txn = [9; 16];
        let state = DeviceState { last_receipt: None, ..state(&it, &lab, &txn) };
        let counter = Counter { request: request_number, retry: 0 };
        let request = Request { txn, operation, counter, state, ..request() };
        let asked = ask(&mut lab, &[ours(&wire::encode(&request))]);
        assert!(!asked.questions.contains(&"core"), "{operation:?}: {:?}", asked.questions);
        assert!(!lab.logged().contains(&"confirmed"), "{operation:?}");
    }
    assert_eq!(lab.home.subscribers().count(), 0);
}

/// The device's next receipt, after this one.
fn next(lab: &Lab, it: &Installed, sequence: u64, previous: &[u8]) -> Vec<u8> {
    let receipt = Receipt { sequence, previous: Some(RustCrypto.sha256(&[previous])), ..it.receipt };
    receipt.sign(|message| lab.device_keys.sign(IDENTITY, message)).unwrap()
}

/// Receipts that were made are shown: all of them, up to the last.
#[test]
fn receipts_are_not_held_back() {
    let (lab, it) = subscriber(24);
    let first = it.signed(&lab);
    let second = next(&lab, &it, 2, &first);
    let third = next(&lab, &it, 3, &second);
    let hash = |receipt: &[u8]| Some(RustCrypto.sha256(&[receipt]));
    type Case<'a> = (&'a str, Vec<&'a [u8]>, Option<Hash>, bool);
    let cases: [Case<'_>; 7] = [
        ("none more", vec![], hash(&first), true),
        ("one more", vec![&second], hash(&second), true),
        ("the acknowledgement was lost", vec![&first, &second], hash(&second), true),
        ("the last one is not shown", vec![], hash(&second), false),
        ("the last one of two is not shown", vec![&second], hash(&third), false),
        ("the first one of two is not shown", vec![&third], hash(&third), false),
        ("an old one is shown as the last", vec![&first, &second], hash(&first), false),
    ];
    for (at, receipts, last_receipt, good) in cases {
        let (mut lab, it) = subscriber(24);
        let txn = [9; 16];
        let state = DeviceState { last_receipt, ..state(&it, &lab, &txn) };
        let receipts = (!receipts.is_empty()).then(|| receipts.into_iter().collect());
        let request = Request { txn, operation: Operation::Query, counter: SECOND, state, receipts, ..request() };
        let asked = ask(&mut lab, &[ours(&wire::encode(&request))]);
        assert_eq!(asked.finished, [if good { Ok(()) } else { Err(SET_BACK) }], "{at}");
    }
    // What the log has by now, and ends earlier than the line does.
    let (mut lab, it) = subscriber(24);
    for (request_number, receipts, last) in [(2, vec![&second], &second), (3, vec![&first], &second)] {
        let state = DeviceState { last_receipt: hash(last), ..state(&it, &lab, &[7; 16]) };
        let receipts = receipts.into_iter().map(Vec::as_slice).collect();
        let request = Request {
            operation: Operation::Resume,
            counter: Counter { request: request_number, retry: 0 },
            state,
            receipts: Some(receipts),
            ..request()
        };
        let asked = ask(&mut lab, &[ours(&wire::encode(&request))]);
        assert_eq!(asked.finished, [if request_number == 2 { Ok(()) } else { Err(SET_BACK) }]);
    }
}

/// A summary hides what is in it, and is named as what it is; it moves nothing but the end of the line.
#[test]
fn a_forged_summary_moves_nothing_but_the_end_of_the_line() {
    let (lab, it) = subscriber(26);
    let (first, fake) = (RustCrypto.sha256(&[&it.signed(&lab)]), [9; 32]);
    let domain = Domain::Test;
    let cases = [
        ("over what the log has", Summary { domain, from: 1, to: 2, previous: None, last: fake }, true),
        ("as far as numbers go", Summary { domain, from: 1, to: u64::MAX, previous: None, last: fake }, true),
        ("in place of what the log has", Summary { domain, from: 1, to: 1, previous: None, last: fake }, false),
        ("after something else", Summary { domain, from: 2, to: 2, previous: Some(fake), last: fake }, false),
        ("with a gap", Summary { domain, from: 3, to: 4, previous: Some(first), last: fake }, false),
    ];
    for (at, summary, good) in cases {
        let (mut lab, it) = subscriber(26);
        let before = lab.account().active().cloned();
        let (txn, to) = ([9; 16], summary.to);
        let summary = summary.sign(|message| lab.device_keys.sign(IDENTITY, message)).unwrap();
        let state = DeviceState { last_receipt: Some(fake), ..state(&it, &lab, &txn) };
        let receipts = Some(core::iter::once(summary.as_slice()).collect());
        let request = Request { txn, operation: Operation::Query, counter: SECOND, state, receipts, ..request() };
        let asked = ask(&mut lab, &[ours(&wire::encode(&request))]);
        assert_eq!(asked.finished, [if good { Ok(()) } else { Err(SET_BACK) }], "{at}");
        assert_eq!((lab.account().active().cloned(), lab.home.subscribers().count()), (before, 1), "{at}");
        let end = if good { Head { sequence: to, hash: Some(fake) } } else { Head { sequence: 1, hash: Some(first) } };
        assert_eq!(lab.account().receipts(), end, "{at}");
    }
}

/// A log that was restored asks the device; what it signs gets it nothing that the core does not have for it.
#[test]
fn signed_claims_to_a_restored_log_get_nothing_that_the_core_does_not_have() {
    for event in [Event::Activated, Event::Prepared, Event::Aborted, Event::Erased] {
        for of_somebody_else in [false, true] {
            let at = format!("{event:?}, of somebody else: {of_somebody_else}");
            let (mut lab, it) = subscriber(27);
            let victim = somebody_else(&mut lab);
            restored(&mut lab);
            let txn = [9; 16];
            let own: Supi = lab.account().active().unwrap().supi.parse().unwrap();
            let (supi, epoch) = if of_somebody_else { (victim, 1) } else { (own, 2) };
            let previous = Some(RustCrypto.sha256(&[&it.signed(&lab)]));
            let supi_hash = supi_hash(&txn, &supi, &RustCrypto);
            let receipt = Receipt { sequence: 2, previous, txn, event, supi_hash, epoch, ..it.receipt };
            let receipt = receipt.sign(|message| lab.device_keys.sign(IDENTITY, message)).unwrap();
            let known = state(&it, &lab, &txn);
            let state = DeviceState {
                active: match event {
                    Event::Activated => Some(epoch),
                    Event::Erased => None,
                    Event::Prepared | Event::Aborted => known.active,
                },
                supi_hash: match event {
                    Event::Activated => Some(supi_hash),
                    Event::Erased => None,
                    Event::Prepared | Event::Aborted => known.supi_hash,
                },
                pending: (event == Event::Prepared).then_some(epoch),
                last_receipt: Some(RustCrypto.sha256(&[&receipt])),
                ..known
            };
            let receipts = Some(core::iter::once(receipt.as_slice()).collect());
            let request = Request { txn, operation: Operation::Resume, counter: SECOND, state, receipts, ..request() };
            let before = lab.account().active().cloned();
            let asked = ask(&mut lab, &[ours(&wire::encode(&request))]);
            let expected: &[_] = match event {
                Event::Activated => &[Err(DECLINED)],
                // It is called off, and the device has still to sign that.
                Event::Prepared => &[],
                Event::Aborted | Event::Erased => &[Ok(())],
            };
            assert_eq!(asked.finished, expected, "{at}");
            // It may give back what is its own.
            let after = if event == Event::Erased { None } else { before };
            assert_eq!(lab.account().active().cloned(), after, "{at}");
            assert!(lab.home.challenge(&victim, &mut lab.rng).is_ok(), "{at}: the victim has lost nothing");
            assert_eq!(lab.home.subscribers().count(), if event == Event::Erased { 1 } else { 2 }, "{at}");
        }
    }
}

/// A K that the device has shown not to have is called off at once: a crash in between makes no difference.
#[test]
fn a_wrong_res_is_called_off_and_stays_so() {
    let mut lab = Lab::voucher_last(25);
    lab.home.activation = Activation::TwoPhase;
    let mut it = install(&mut lab, [7; 16]);
    let receipt = Receipt { event: Event::Prepared, ..it.receipt };
    let receipt = receipt.sign(|message| lab.device_keys.sign(IDENTITY, message)).unwrap();
    let prepared = Prepared { txn: it.txn, res: &[0; 8], receipt: &receipt };
    let record = it.record().seal(&wire::encode(&prepared));
    lab.tell_operator(&mut it.operator, &record).unwrap();
    let out = lab.serve(&mut it.operator);
    assert_eq!((out.asked, lab.logged()), (vec!["log decision"], vec!["offered", "abort"]));
    assert_eq!(lab.home.subscribers().count(), 0);
}
