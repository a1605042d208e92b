//! A device that hears from a stranger on the link, or from an operator that holds a real key and lies.
//!
//! Input: cast, flags, then operations, or, for the liar, what it says where. The judge's rules:
//!
//! - no panic;
//! - an error leaves the store as it was, and the machine either ends or is as if the bytes had never come;
//! - the store changes only together with an action that says so, and can be read at every moment;
//! - on the link: bytes that are not the operator's are never accepted, and an exchange that was not ended by them still
//!   succeeds;
//! - afterwards a new attempt starts from whatever the store says.

use remote_provisioning::{
    aka::{self, Ind, Milenage, milenage, sqn::Profile},
    cose::encrypt0,
    credential::{
        Activation, Algorithm, KeyName, MilenageParameters, Package, Previous, ServiceProfile, SoftUsim, Txn, derive_k,
        package_hash,
    },
    crypto::Secret,
    edhoc::{ConnectionId, Session, Suite, is_error_message, responder},
    error::{Code, Error, Misuse},
    identity::{Domain, Role, Supi},
    provisioning::{
        Millis,
        device::{self, Action},
        message::{Complete, EAD_LABEL, Offer, Order, PackageOffer, Refusal, Request, Standing, Status, Terms},
    },
    sim::{IDENTITY, SeededRng, TODAY, identities as ids, maker},
    store::KeyStore,
    trust,
    wire::{self, Wire},
};

use super::{
    Input, forged,
    memo::Memo,
    stage::{Cast, DEVICE_SEED, METHODS, OPERATOR_SEED, Phone, Plot, Script, script},
};

/// Operations of one story.
const MAX_OPERATIONS: usize = 32;

pub(crate) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let cast = Cast::new(input.byte());
    let flags = input.byte();
    let plot = if flags & 1 == 0 { Plot::Provision } else { Plot::Resume };
    let script = script(cast, plot);
    let phone = Phone::start(cast, script.store.durable_copy(), DEVICE_SEED).unwrap();
    let mut judge = Judge { phone, finished: None };
    if flags & 2 == 0 {
        link(&mut judge, &script, plot, usize::from(flags >> 2), &mut input);
    } else {
        liar(&mut judge, cast, &mut input);
    }
    // A crash now, and a new attempt.
    let store = judge.phone.store.durable_copy();
    let confirmed = device::subscription(&store).unwrap().is_some_and(|(_, confirmed)| confirmed);
    match Phone::start(cast, store, DEVICE_SEED) {
        Ok(mut phone) => assert!(!confirmed && phone.sent().len() == 1),
        Err(error) => assert!(confirmed && matches!(error, Error::Misuse(Misuse::NotNow(_)))),
    }
}

/// Watches a device, and judges what it does.
struct Judge {
    phone: Phone,
    finished: Option<Result<(), Error>>,
}

impl Judge {
    fn deliver(&mut self, bytes: &[u8]) -> (Result<(), Error>, Vec<Action>) {
        self.observe(|phone| phone.take(bytes))
    }

    fn observe(&mut self, act: impl FnOnce(&mut Phone) -> Result<(), Error>) -> (Result<(), Error>, Vec<Action>) {
        let before = (self.phone.store.fingerprint(), self.phone.store.commits());
        let result = act(&mut self.phone);
        let actions = self.phone.actions();
        let changed = (self.phone.store.fingerprint(), self.phone.store.commits()) != before;
        if self.finished.is_some() {
            assert!(actions.is_empty() && !changed, "nothing follows the end");
        }
        let done = |action: &Action| {
            use Action::{CalledOff, Completed, Erased, Installed, Prepared};
            matches!(action, Prepared(_) | CalledOff | Installed(_) | Erased | Completed { .. })
        };
        assert_eq!(changed, actions.iter().any(done), "the store changes with what it means, and with nothing else");
        if let Err(error) = result {
            assert!(!changed);
            match actions.as_slice() {
                [] => {}
                [rest @ .., Action::Finished(Err(last))] => {
                    assert_eq!(*last, error);
                    let told = |action: &Action| matches!(action, Action::Send(bytes) if is_error_message(bytes));
                    let again = |action: &Action| matches!(action, Action::StartAgainAt(_));
                    assert!(rest.len() <= 2 && rest.iter().all(|action| told(action) || again(action)));
                }
                other => panic!("an error, and {other:?}"),
            }
        }
        let mut ends = actions.iter().filter_map(|action| match action {
            Action::Finished(result) => Some(*result),
            _ => None,
        });
        self.finished = self.finished.or(ends.next());
        assert!(ends.next().is_none());
        device::subscription(&self.phone.store).unwrap();
        (result, actions)
    }
}

// ----------------------------------------------------------------------------------------------- on the link

fn link(judge: &mut Judge, script: &Script, plot: Plot, steps: usize, input: &mut Input<'_>) {
    // Messages of the script by index: the device sends 0, 2, 4 and expects 1, 3, 5.
    let mut next = 1;
    assert_eq!(judge.phone.sent(), script.messages[..1]);
    for _ in 0..steps % 4 {
        expect(judge, script, &mut next);
    }
    for _ in 0..MAX_OPERATIONS {
        if input.is_empty() {
            break;
        }
        match input.byte() % 6 {
            0 => expect(judge, script, &mut next),
            1 => {
                judge.phone.now = Millis(judge.phone.now.0 + 16 * u64::try_from(input.below(4096)).unwrap());
                let (_, actions) = judge.observe(|phone| phone.device.handle_timeout(phone.now));
                let resent = |action: &Action| match action {
                    Action::Send(bytes) => *bytes == script.messages[next - 1],
                    Action::WakeAt(_) | Action::StartAgainAt(_) | Action::Finished(Err(Error::Unanswered)) => true,
                    _ => false,
                };
                assert!(actions.iter().all(resent));
            }
            2 => {
                let which = input.below(script.messages.len());
                stranger(judge, script, &mut next, &script.messages[which]);
            }
            _ => {
                let base = script.messages.get(next).or(script.messages.last()).unwrap();
                let bytes = input.mutated(base);
                stranger(judge, script, &mut next, &bytes);
            }
        }
        sound(judge, script, plot, next);
    }
    while judge.finished.is_none() {
        expect(judge, script, &mut next);
    }
    sound(judge, script, plot, next);
}

/// The next message of the operator's, if the machine has not ended.
fn expect(judge: &mut Judge, script: &Script, next: &mut usize) {
    if judge.finished.is_none() {
        let (result, actions) = judge.deliver(&script.messages[*next]);
        result.expect("an honest message is accepted");
        *next += 2;
        let sent = |action: &Action| matches!(action, Action::Send(bytes) if *bytes == script.messages[*next - 1]);
        assert!(judge.finished == Some(Ok(())) || actions.iter().any(sent));
    }
}

/// Bytes from anybody. Accepted if they are the operator's; passed over if they were that before.
fn stranger(judge: &mut Judge, script: &Script, next: &mut usize, bytes: &[u8]) {
    if judge.finished.is_none() && script.messages.get(*next).is_some_and(|message| message == bytes) {
        return expect(judge, script, next);
    }
    let (result, actions) = judge.deliver(bytes);
    if result.is_ok() {
        assert!(
            script.messages[..*next - 1].iter().any(|message| message == bytes),
            "only a repetition is passed over"
        );
        assert!(actions.is_empty());
    }
}

/// The store says what the script says, and no more.
fn sound(judge: &Judge, script: &Script, plot: Plot, next: usize) {
    let confirmed = judge.finished == Some(Ok(()));
    let installed = plot == Plot::Resume || next > 3;
    let expected = installed.then_some((script.subscription, confirmed));
    assert_eq!(device::subscription(&judge.phone.store).unwrap(), expected);
}

// ----------------------------------------------------------------------------------------------- the liar

/// An operator with a real key, and the fuzzer's words in its mouth.
fn liar(judge: &mut Judge, cast: Cast, input: &mut Input<'_>) {
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
    let (handshake, message_2) = written.unwrap();
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
    let (session, message_4) = accepted.write(&ead_4.items(), &Memo).unwrap();
    let _ = judge.deliver(&message_4);
    let before = device::subscription(&judge.phone.store).unwrap();

    for _ in 0..MAX_OPERATIONS {
        if input.is_empty() {
            break;
        }
        let complete = Complete { txn, acknowledged: u64::from(input.byte() % 4) };
        let text = input.mutated(&wire::encode(&complete));
        let record = forged::record(Role::Operator, &session, &hash, u64::from(input.byte()), &text);
        let _ = judge.deliver(&input.mutated(&record));
        // It can confirm what is there, and change nothing else.
        let after = device::subscription(&judge.phone.store).unwrap();
        assert_eq!(after.map(|(subscription, _)| subscription), before.map(|(subscription, _)| subscription));
    }
    if let Some((subscription, _)) = before {
        let challenge = aka::Challenge { rand: [input.byte(); 16], autn: [input.byte(); 16] };
        device::authenticate(&challenge, &mut judge.phone.store, &mut SoftUsim).unwrap();
        assert!(device::subscription(&judge.phone.store).unwrap().is_some_and(|(after, _)| after == subscription));
    }
}

/// An offer, and the hash of its package.
fn offer(txn: &Txn, cast: Cast, session: &Session, input: &mut Input<'_>) -> (Vec<u8>, [u8; 32]) {
    let wrong = [0xee; 16];
    let named = *input.choose(&[txn, txn, txn, &wrong]);
    let offer = match input.byte() % 4 {
        0 => {
            let acknowledged = u64::from(input.byte() % 4);
            let order = *input.choose(&[Order::Complete, Order::Complete, Order::Commit, Order::Abort, Order::Erase]);
            let standing = Standing::InService;
            wire::encode(&Offer::Status(Status { txn: *named, acknowledged, order, standing, wanted: None }))
        }
        1 => {
            let code = Code::from_number(u64::from(*input.choose(&[100_u16, 101, 201, 300, 400]))).unwrap();
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
    let epoch = u32::from(*input.choose(&[1_u8, 2, 0, 255]));
    let name = KeyName { algorithm: Algorithm::Milenage, supi: &supi, epoch, txn };
    let k = derive_k(&name, session, &Memo).unwrap();
    let opc = milenage::opc(&k, &Secret::from_slice(&[0xcd; 16]).unwrap());
    let (seq, ind) = (u64::from(*input.choose(&[1_u8, 0, 255])), Ind::new(input.byte() % 32).unwrap());
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
        activation: *input.choose(&[Activation::OneShot, Activation::OneShot, Activation::TwoPhase]),
        previous: *input.choose(&[Previous::None, Previous::None, Previous::Beside, Previous::Shared]),
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
