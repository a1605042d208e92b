//! A party with a real key, and the fuzzer's words in its mouth: an operator that lies to a device, and a device that lies to
//! an operator.
//!
//! Input: cast, plot, then what is said where. The rules are those of the doors `device` and `operator`, and
//!
//! - a device's credential is what was installed, and no record changes it;
//! - an operator confirms nothing without the RES that the credential gives, and without a receipt of this device.

use remote_provisioning::{
    aka::{self, Ind, Milenage, milenage, sqn::Profile},
    cose::encrypt0,
    credential::{
        Activation, Algorithm, KeyName, MilenageParameters, Offered, Package, Previous, ServiceProfile, SoftUsim, Txn,
        Usim, derive_k, package_hash,
    },
    crypto::{Crypto, Secret},
    edhoc::{ConnectionId, Session, Suite, initiator, responder},
    error::{Code, Error, Misuse},
    identity::{Domain, Role, Supi},
    provisioning::{
        device::{self, Action},
        log::{LogEntry, What},
        message::{
            Complete, Confirm, Counter, DeviceState, EAD_LABEL, Hello, Offer, Operation, Order, PackageOffer, Refusal,
            Request, Standing, Status, Terms,
        },
        receipt::{Event, Receipt, supi_hash},
    },
    sim::{IDENTITY, SeededRng, TODAY, identities as ids, maker},
    store::{KeyStore, Slot},
    trust,
    wire::{self, Wire},
};

use super::{
    Choices, Input, device as device_door, forged,
    memo::Memo,
    operator as operator_door,
    stage::{Cast, DEVICE_SEED, METHODS, OPERATOR_SEED, Office, Phone, Plot, opening, script},
};

/// Records of one story.
const MAX_OPERATIONS: usize = 32;

/// A message, if it is not more than a message holds.
fn said<T>(written: Result<T, Error>) -> Option<T> {
    match written {
        Ok(written) => Some(written),
        Err(Error::Misuse(_)) => None,
        Err(error) => panic!("{error}"),
    }
}

// ----------------------------------------------------------------------------------------------- the lying operator

pub(super) fn operator(data: &[u8]) {
    let mut input = Input::new(data);
    let cast = Cast::new(input.byte());
    let script = script(cast, Plot::of(input.byte()));
    let phone = Phone::start(cast, script.store.durable_copy(), DEVICE_SEED).unwrap();
    let mut judge = device_door::Judge::new(phone);
    tell_device(&mut judge, cast, &mut input);
    // A crash now, and a new attempt.
    let store = judge.phone.store().durable_copy();
    let confirmed = device::subscription(&store).unwrap().is_some_and(|(_, confirmed)| confirmed);
    match Phone::start(cast, store, DEVICE_SEED) {
        Ok(mut phone) => assert!(!confirmed && phone.sent().len() == 1),
        Err(error) => assert!(confirmed && matches!(error, Error::Misuse(Misuse::NotNow(_)))),
    }
}

/// An operator with a real key, and the fuzzer's words in its mouth.
fn tell_device(judge: &mut device_door::Judge, cast: Cast, input: &mut Input<'_>) {
    let mut rng = SeededRng::new(OPERATOR_SEED);
    let player = cast.operator();
    let message_1 = judge.phone.sent().remove(0);

    let mut message = responder::read(&message_1, &METHODS, &Suite::ALL, &Memo).unwrap();
    message.unverified_ead().take(EAD_LABEL);
    let own = forged::credential(player, &ids::operator_chain(), input);
    let terms =
        wire::encode(&Terms { domain: Domain::Test, evidence_formats: arrayvec::ArrayVec::new(), voucher: None });
    let ead_2 = forged::Items::new(&terms, input);
    let c_r = ConnectionId::random(&mut rng, Some(message.c_i())).unwrap();
    let written = message.write(&c_r, &own, &ead_2.items(), &player.keys, &Memo, &mut rng);
    let Some((handshake, message_2)) = said(written.map_err(|stopped| stopped.error())) else { return };
    let (result, actions) = judge.deliver(&message_2);
    let Some(Action::Send(message_3)) = actions.iter().find(|action| matches!(action, Action::Send(_))) else { return };
    if result.is_err() {
        return;
    }

    let message = handshake.read(message_3, &Memo).unwrap();
    let anchors = cast.anchors(Role::Operator);
    let device =
        trust::verify(&message.claimed().unwrap(), Role::Device, Domain::Test, anchors, &Memo, Some(TODAY)).unwrap();
    let mut accepted = message.accept(device, &own, &Memo).unwrap();
    let request = accepted.ead().take(EAD_LABEL).unwrap().value.unwrap().to_vec();
    let txn = wire::decode::<Request<'_>>(&request).unwrap().txn;
    let (offer, hash) = offer(&txn, cast, accepted.session(), input);
    let ead_4 = forged::Items::new(&offer, input);
    let written = accepted.write(&ead_4.items(), &Memo);
    let Some((session, message_4)) = said(written.map_err(|stopped| stopped.error())) else { return };
    let _ = judge.deliver(&message_4);
    let before = device::subscription(judge.phone.store()).unwrap();

    for _ in 0..MAX_OPERATIONS {
        if input.is_empty() {
            break;
        }
        let complete = Complete { txn, acknowledged: u64::from(input.byte() % 4) };
        let text = input.mutated(&wire::encode(&complete));
        let record = forged::record(Role::Operator, &session, &hash, u64::from(input.byte()), &text);
        let _ = judge.deliver(&input.mutated(&record));
        // It can confirm what is there, and change nothing else.
        let after = device::subscription(judge.phone.store()).unwrap();
        assert_eq!(after.map(|(subscription, _)| subscription), before.map(|(subscription, _)| subscription));
    }
    if let Some((subscription, _)) = before {
        let challenge = aka::Challenge { rand: [input.byte(); 16], autn: [input.byte(); 16] };
        device::authenticate(&challenge, judge.phone.store_mut(), &mut SoftUsim).unwrap();
        assert!(device::subscription(judge.phone.store()).unwrap().is_some_and(|(after, _)| after == subscription));
    }
}

/// An offer, and the hash of its package.
fn offer(txn: &Txn, cast: Cast, session: &Session, input: &mut Input<'_>) -> (Vec<u8>, [u8; 32]) {
    let wrong = [0xee; 16];
    let named = *input.pick(&[txn, txn, txn, &wrong]);
    let offer = match input.byte() % 4 {
        0 => {
            let acknowledged = u64::from(input.byte() % 4);
            let order = *input.pick(&[Order::Complete, Order::Complete, Order::Commit, Order::Abort, Order::Erase]);
            let standing = Standing::InService;
            wire::encode(&Offer::Status(Status { txn: *named, acknowledged, order, standing, wanted: None }))
        }
        1 => {
            let code = Code::from_number(u64::from(*input.pick(&[100_u16, 101, 201, 300, 400]))).unwrap();
            wire::encode(&Offer::Refusal(Refusal { txn: *named, code, retry_after: None }))
        }
        _ => {
            let sealed = sealed(txn, session, input);
            let hash = package_hash(&sealed, &Memo);
            let key = cast.operator().keys.public_key(IDENTITY).unwrap();
            let voucher = input.mutated(&maker::voucher(&cast.device().name, &key).unwrap());
            let voucher = (!cast.voucher_first()).then_some(voucher.as_slice());
            let offer = wire::encode(&Offer::Package(PackageOffer { txn: *named, sealed: &sealed, voucher }));
            return (input.mutated(&offer), hash);
        }
    };
    (input.mutated(&offer), [0; 32])
}

/// A package: one that would do, but for what the fuzzer changes before it is sealed.
fn sealed(txn: &Txn, session: &Session, input: &mut Input<'_>) -> Vec<u8> {
    let supi: Supi = "001010000000001".parse().unwrap();
    let epoch = u32::from(*input.pick(&[1_u8, 2, 0, 255]));
    let name = KeyName { algorithm: Algorithm::Milenage, supi: &supi, epoch, txn };
    let k = derive_k(&name, session, &Memo).unwrap();
    let opc = milenage::opc(&k, &Secret::from_slice(&[0xcd; 16]).unwrap());
    let (seq, ind) = (u64::from(*input.pick(&[1_u8, 0, 255])), Ind::new(input.byte() % 32).unwrap());
    let sqn = Profile::default().sqn(seq, ind).unwrap();
    let vector = aka::vector(&Milenage::new(&k, &opc), &[7; 16], sqn, [0x80, 0]);
    let profile = ServiceProfile { dnn: arrayvec::ArrayString::from("iot").ok(), ..ServiceProfile::default() };
    let package = Package {
        epoch,
        supi,
        algorithm: Algorithm::Milenage,
        parameters: MilenageParameters { opc: opc.bytes() },
        challenge: vector.challenge,
        suci: None,
        profile: Some(profile),
        activation: *input.pick(&[Activation::OneShot, Activation::OneShot, Activation::TwoPhase]),
        previous: *input.pick(&[Previous::None, Previous::None, Previous::Beside, Previous::Shared]),
    };
    let plaintext = input.mutated(&wire::encode(&package));
    // `credential::seal` would take well-formed packages only.
    let context = wire::encode_with(|w| {
        w.array(2);
        Domain::Test.write(w);
        w.bytes(txn);
    });
    let mut key = Secret::zeroed();
    session.export(0xce01, &context, key.bytes_mut(), &Memo).unwrap();
    let sealed = encrypt0::seal(&key, None, &context, &plaintext, &Memo).unwrap();
    input.mutated(&sealed)
}

// ------------------------------------------------------------------------------------------------- the lying device

pub(super) fn device(data: &[u8]) {
    let mut input = Input::new(data);
    let cast = Cast::new(input.byte());
    let (_, home) = opening(cast, Plot::of(input.byte()));
    let mut judge = operator_door::Judge::new(Office::new(cast, home, OPERATOR_SEED));
    tell_operator(&mut judge, cast, &mut input);
    judge.check_log(cast);
}

/// A device with a real key, and the fuzzer's words in its mouth.
fn tell_operator(judge: &mut operator_door::Judge, cast: Cast, input: &mut Input<'_>) {
    let mut rng = SeededRng::new(DEVICE_SEED);
    let player = cast.device();
    let hello = wire::encode(&Hello { domain: Domain::Test, concealed_id: None, relay: None, cookie: None });
    let ead_1 = forged::Items::new(&hello, input);
    let proposal = initiator::Proposal {
        method: cast.method(),
        suites: &[cast.suite()],
        c_i: &ConnectionId::random(&mut rng, None).unwrap(),
        ead_1: &ead_1.items(),
    };
    let Some((handshake, message_1)) = said(initiator::start(&proposal, &Memo, &mut rng)) else { return };
    let (Ok(()), sent) = judge.deliver(&message_1) else { return };

    let message = handshake.read(&sent[0], &Memo).unwrap();
    let anchors = cast.anchors(Role::Device);
    let operator =
        trust::verify(&message.claimed().unwrap(), Role::Operator, Domain::Test, anchors, &Memo, Some(TODAY)).unwrap();
    let own = forged::credential(player, &ids::device_chain(), input);
    let mut message = message.accept(operator, &own, &Memo).unwrap();
    message.ead().take(EAD_LABEL);
    let txn = if input.byte() % 4 == 3 { [9; 16] } else { recent_txn(judge) };
    let request = wire::encode(&Request {
        txn,
        operation: *input.pick(&[
            Operation::Provision,
            Operation::Provision,
            Operation::Resume,
            Operation::Rekey,
            Operation::Transfer,
            Operation::OnDemand,
            Operation::Query,
            Operation::Retire,
        ]),
        counter: Counter { request: u32::from(*input.pick(&[7_u8, 1, 0, 255])), retry: 0 },
        algorithms: (*input.pick(&[[1, 77], [77, 1], [77, 78]])).into_iter().collect(),
        state: DeviceState {
            active: (input.byte() % 4 == 3).then_some(1),
            supi_hash: None,
            package_hash: None,
            pending: None,
            owner_epoch: 0,
            voucher_head: None,
            last_receipt: None,
        },
        evidence: None,
        grant: None,
        receipts: None,
        voucher_request: None,
    });
    let ead_3 = forged::Items::new(&request, input);
    let written = message.write(&own, &ead_3.items(), &player.keys, &Memo);
    let Some((handshake, message_3)) = said(written.map_err(|stopped| stopped.error())) else { return };
    if judge.deliver(&message_3).0.is_err() {
        return;
    }
    let sent = judge.answers();

    let Some(message_4) = sent.first() else { return };
    let mut message = handshake.read(message_4, &Memo).unwrap();
    let offer = message.ead().take(EAD_LABEL).unwrap().value.unwrap().to_vec();
    let session = message.complete().unwrap();
    let Offer::Package(offer) = wire::decode::<Offer<'_>>(&offer).unwrap() else { return };
    let hash = package_hash(offer.sealed, &Memo);
    let offered = Offered { domain: Domain::Test, txn: &offer.txn, sealed: offer.sealed, exporter: &session };
    let installed = SoftUsim.install(Slot::A, &offered, &Memo).expect("an operator's package can be installed");
    assert_eq!(installed.package_hash, hash);

    for _ in 0..MAX_OPERATIONS {
        if input.is_empty() {
            break;
        }
        let receipt = Receipt {
            domain: *input.pick(&[Domain::Test, Domain::Test, Domain::Production]),
            sequence: u64::from(input.byte()),
            previous: None,
            txn: *input.pick(&[offer.txn, offer.txn, [9; 16]]),
            event: Event::Activated,
            supi_hash: supi_hash(&offer.txn, &installed.supi, &Memo),
            epoch: installed.epoch + u32::from(*input.pick(&[0_u8, 0, 1])),
            package_hash: *input.pick(&[hash, hash, [9; 32]]),
            owner_epoch: 0,
            grant: None,
        };
        let receipt = receipt.sign(|message| player.keys.sign(IDENTITY, message)).unwrap();
        let (res, receipt) = (input.mutated(installed.res.bytes()), input.mutated(&receipt));
        let confirm = wire::encode(&Confirm { txn: offer.txn, res: Some(&res), receipt: &receipt });
        let text = input.mutated(&confirm);
        let record = forged::record(Role::Device, &session, &hash, u64::from(input.byte()), &text);
        let before = judge.confirmed();
        let _ = judge.deliver(&input.mutated(&record));
        judge.answers();
        if judge.confirmed() > before {
            assert!(res == installed.res.bytes() || text != confirm, "RES counts");
        }
    }
    assert_eq!(Memo.sha256(&[offer.sealed]), hash);
}

/// The transaction that the log knows, if it knows one.
fn recent_txn(judge: &operator_door::Judge) -> [u8; 16] {
    let txn = |entry: LogEntry| if let What::Offered(offered) = entry.what { Some(offered.txn) } else { None };
    judge.office.home.entries().filter_map(txn).last().unwrap_or([5; 16])
}
