//! 54 to 60: relays, connectivity on demand, and what others get to see or to do.

use std::collections::{BTreeMap, BTreeSet};

use remote_provisioning::{
    aka::{Ind, Milenage, sqn::Profile, vector},
    cose::encrypt0,
    credential::{Activation, Algorithm, KeyName, MilenageParameters, Package, Previous, derive_k},
    crypto::Secret,
    error::Relay,
    framing::relay::{Admitted, Announcement, Gate, Name, Permit, Relayed, Usage},
    provisioning::{
        log::What,
        message::Operation,
        receipt::{Event, Fault, Head, History, Receipt},
    },
    sim::TODAY,
    store::{Slot, SubscriptionStore},
};

use super::*;
use crate::lab::Session;

const TOMORROW: Date = Date(TODAY.0 + 86_400);
const NONCE: [u8; 16] = [9; 16];

fn announcement() -> Announcement<'static> {
    Announcement { domain: Domain::Test, relay: Name::new(b"relay 7").unwrap(), nonce: NONCE }
}

/// A device and its operator, with a relay between them.
fn behind_a_relay(seed: u64) -> Lab {
    let mut lab = Lab::attested(seed);
    let relay = announcement().hash(&RustCrypto);
    lab.device_config.relay = Some(relay);
    lab.operator_config.relay = Some(Admitted { relay, operations: u32::MAX });
    lab
}

/// Hands the last message of a session over, changed: what comes of it, and whether anything is durable that was not.
fn tampered(lab: &mut Lab, session: &mut Session, message: &[u8]) -> (Outcome, bool) {
    let before = (lab.fingerprint(), lab.logged());
    let outcome = if session.messages.len().is_multiple_of(2) {
        lab.tell_device(&mut session.device, message)
    } else {
        lab.tell_operator(&mut session.operator, message)
    };
    (outcome, before != (lab.fingerprint(), lab.logged()))
}

/// Attack: the relay in between changes, drops, repeats, and brings in the messages of another device.
/// Oracle: nothing comes of it that is durable, and when it stops, the device becomes a subscriber.
#[test]
fn attack_54_relay_does_what_it_likes() {
    let strangers = behind_a_relay(5_400).session(6).messages;
    for number in 2..=6 {
        for deed in 0..4 {
            let mut lab = behind_a_relay(54);
            let mut session = lab.session(number);
            let mut message = session.message(number);
            match deed {
                0 => *message.last_mut().unwrap() ^= 1,
                1 => message.truncate(message.len() / 2),
                2 => message = strangers[number - 1].clone(),
                // An older one of its own sender.
                _ => message = session.message(if number > 2 { number - 2 } else { number }),
            }
            let (outcome, durable) = tampered(&mut lab, &mut session, &message);
            assert!(!durable && (outcome.is_err() || deed == 3), "{number} {deed}: {outcome:?}");
            // And this session is dropped: all of them come to an end with the next.
            if !matches!(lab.held(), Some((_, true))) {
                assert_eq!(lab.run(), Ok(()), "{number} {deed}");
            }
            lab.assert_complete();
            assert_eq!(lab.home.subscribers().count(), 1, "{number} {deed}");
        }
    }
    // Somebody else's announcement: the device answered this relay, and came through that one.
    let mut lab = behind_a_relay(54);
    lab.operator_config.relay = Some(Admitted { relay: [7; 32], operations: u32::MAX });
    assert_eq!(lab.run(), Err(Refused::Edhoc(1).into()));
}

/// Attack: a relay without a token, with another's, an old one, or more than its quota, opens the operator's door.
/// Oracle: it is refused, and that costs its quota nothing; what the token does not cover is refused by the machine.
#[test]
fn attack_55_unauthorised_relay() {
    let (key, other) = (lab::token_key(), Secret::zeroed());
    let permit = Permit {
        domain: Domain::Test,
        relay: Name::new(b"relay 7").unwrap(),
        operations: 1 << Operation::Resume.number(),
        sessions: 2,
        bytes: 1_000,
        expires: TOMORROW.0,
    };
    let token = Gate::new(&key, Domain::Test).issue(&permit);
    let forged = Gate::new(&other, Domain::Test).issue(&permit);
    let mut usage = Usage::default();
    let mut admit = |token: &[u8], sender: &[u8], now: u64, len: usize| {
        let message = vec![0; len];
        let relayed = Relayed { session: 1, nonce: NONCE, token, message: &message };
        Gate::new(&key, Domain::Test).admit(&relayed, sender, true, &mut usage, now, &RustCrypto)
    };
    let no = |why: Relay| Some(Error::from(why));
    assert_eq!(admit(&forged, b"relay 7", TODAY.0, 10).err(), no(Relay::Token));
    assert_eq!(admit(&token, b"relay 8", TODAY.0, 10).err(), no(Relay::OtherRelay));
    assert_eq!(admit(&token, b"relay 7", TOMORROW.0, 10).err(), no(Relay::Expired));
    assert_eq!(admit(&token, b"relay 7", TODAY.0, 1_001).err(), no(Relay::Quota));
    let admitted = admit(&token, b"relay 7", TODAY.0, 600).unwrap();
    assert!(admit(&token, b"relay 7", TODAY.0, 400).is_ok());
    assert_eq!(admit(&token, b"relay 7", TODAY.0, 0).err(), no(Relay::Quota), "a third session");
    assert_eq!(usage, Usage { sessions: 2, bytes: 1_000 });

    let mut lab = behind_a_relay(55);
    lab.operator_config.relay = Some(admitted);
    assert_eq!(lab.run(), refused(Code::RelayScope));
    assert!(lab.held().is_none() && lab.logged().is_empty());
}

/// What of a message is not the same for every device there is: heads, labels and numbers cut out.
fn pieces(number: usize, message: &[u8]) -> [&[u8]; 2] {
    let constant = match number {
        // EAD_1 up to the concealed name, with the hash of the relay behind it.
        0 => {
            let label = message.windows(3).position(|window| window == [0x39, 0xce, 0x10]).unwrap();
            label..label + 13
        }
        // The headers of a record, and the head of its ciphertext.
        4 | 5 => 0..9 + if message[9] == 0x58 { 2 } else { 3 },
        _ => 0..0,
    };
    [&message[..constant.start], &message[constant.end..]]
}

/// How alike two attempts look up to message_3: equal bytes in one place, and strings of three bytes that are in both.
fn likeness(one: &[Vec<u8>], other: &[Vec<u8>]) -> usize {
    let strings = |messages: &[Vec<u8>]| messages.iter().flat_map(|it| it.windows(3).map(<[u8]>::to_vec)).collect();
    let (ours, theirs): (BTreeSet<Vec<u8>>, BTreeSet<Vec<u8>>) = (strings(one), strings(other));
    let same_place = one.iter().zip(other).flat_map(|(a, b)| a.iter().zip(b)).filter(|(a, b)| a == b).count();
    same_place + ours.intersection(&theirs).count()
}

/// Attack: whoever sees all links tells two attempts of one device from two attempts of two.
/// Oracle: whoever guesses by what is alike is right no more often than by chance (four standard deviations are let pass);
/// lengths are the same, and no eight bytes come again beyond what all devices say.
#[test]
fn attack_56_two_attempts_linked() {
    const TRIALS: u64 = 64;
    let attempt = |seed, another: bool| {
        let mut lab = Lab::new(seed);
        if another {
            lab.device_config.name = *maker::raw_device_id().unwrap().name();
            lab.own();
        }
        lab.session(3).messages
    };
    let right = (0..TRIALS).filter(|trial| {
        let seed = 56_000 + 3 * trial;
        let (seen, same, another) = (attempt(seed, false), attempt(seed + 1, false), attempt(seed + 2, true));
        assert!(same.iter().zip(&another).all(|(a, b)| a.len() == b.len()));
        likeness(&seen, &same) > likeness(&seen, &another)
    });
    assert!(right.count() <= 32 + 4 * 4, "more often than by chance");
    let runs: Vec<_> = (0..24).map(|seed| Lab::attested(5_600 + seed).session(6).messages).collect();
    let mut seen: BTreeMap<&[u8], usize> = BTreeMap::new();
    for (run, messages) in runs.iter().enumerate() {
        for (number, message) in messages.iter().enumerate() {
            assert_eq!(message.len(), runs[0][number].len(), "message {number}");
            for window in pieces(number, message).into_iter().flat_map(|piece| piece.windows(8)) {
                assert_eq!(*seen.entry(window).or_insert(run), run, "message {number}: {window:02x?}");
            }
        }
    }
}

/// Attack: connectivity that was granted once is used again, later, or for more than was granted.
/// Oracle: each is refused with its code; scope and end are in the package and in the core.
#[test]
fn attack_57_grant_abused() {
    let owner = maker::keys("owner").unwrap();
    let device = maker::device_id().unwrap();
    for (quota, expires, code) in [(1_000, TODAY, Code::GrantExpired), (6_000, TOMORROW, Code::GrantScope)] {
        let mut lab = taking(Lab::new(57), &owner);
        assert_eq!(lab.go(Goal::OnDemand(granted(&owner, &device, quota, expires))), refused(code));
        assert!(lab.held().is_none() && lab.logged().is_empty());
    }
    let mut lab = taking(Lab::new(57), &owner);
    let token = granted(&owner, &device, 1_000, TOMORROW);
    assert_eq!(lab.go(Goal::OnDemand(token.clone())), Ok(()));
    let content = lab.store.slot(Slot::A).unwrap().unwrap();
    let (held, profile) = (lab.held().unwrap().0, SoftUsim::card(&content).unwrap().profile.unwrap());
    assert_eq!((profile.quota, profile.expiry), (Some(1_000), Some(TOMORROW.0)));
    assert_eq!(lab.home.profile(&held.id.supi), Some(&profile));
    assert_eq!(lab.go(Goal::OnDemand(token)), refused(Code::GrantUsed));
    // The same grant with more in it, under its own name.
    assert_eq!(lab.go(Goal::OnDemand(granted(&owner, &device, 5_000, TOMORROW))), refused(Code::GrantUsed));
}

/// Attack: a device that nobody answers for asks for connectivity.
/// Oracle: without a grant, or with a stranger's, it is refused; with one, the receipt says on whose account.
#[test]
fn attack_58_nobody_answers_for_it() {
    let [owner, stranger] = ["owner", "stranger"].map(|name| maker::keys(name).unwrap());
    let mut lab = taking(Lab::new(58), &owner);
    let device = lab.device_id();
    lab.home.demands_grant = true;
    assert_eq!(lab.go(Goal::Provision), refused(Code::GrantMissing));
    let theirs = granted(&stranger, &device, 1_000, TOMORROW);
    assert_eq!(lab.go(Goal::OnDemand(theirs)), refused(Code::GrantNotAuthentic));
    assert!(lab.held().is_none() && lab.logged().is_empty());
    let token = granted(&owner, &device, 1_000, TOMORROW);
    assert_eq!(lab.go(Goal::OnDemand(token.clone())), Ok(()));
    let name = remote_provisioning::authority::grant::hash(&token, &RustCrypto).unwrap();
    assert_eq!(receipts(&lab).iter().map(|receipt| receipt.grant).collect::<Vec<_>>(), [Some(name)]);
}

/// The log's receipts, as the device's key has signed them.
fn receipts(lab: &Lab) -> Vec<Receipt> {
    let key = lab.device_keys.public_key(IDENTITY).unwrap();
    signed(lab).iter().map(|receipt| Receipt::verify(receipt, &key, &RustCrypto).unwrap()).collect()
}

fn signed(lab: &Lab) -> Vec<Vec<u8>> {
    let proofs = lab.home.entries().filter_map(|entry| match entry.what {
        What::Prepared(signed) | What::Ended(signed) => Some(signed.proof.receipts),
        What::Received(proof) => Some(proof.receipts),
        _ => None,
    });
    proofs.flatten().map(|receipt| receipt.to_vec()).collect()
}

/// Attack: an operator, or a reseller through it, puts a program into the package.
/// Oracle: there is no place for one: what is not known is not kept, and what claims to matter ends the attempt. Whatever an
/// operator does leaves a receipt.
#[test]
fn attack_59_programs_in_the_package() {
    const PROGRAM: &[u8] = b"\x50an applet it is!";
    for (key, kept) in [(&b"\x18\x1e"[..], true), (b"\x20", false)] {
        let mut lab = Lab::voucher_last(59);
        let met = Met::new(&mut lab);
        let session = met.handshake.session();
        let supi = "001010000000000".parse().unwrap();
        let name = KeyName { algorithm: Algorithm::Milenage, supi: &supi, epoch: 1, txn: &met.txn };
        let (k, opc) = (derive_k(&name, session, &RustCrypto).unwrap(), Secret::from_slice(&[0x0c; 16]).unwrap());
        let sqn = Profile::default().sqn(1, Ind::default()).unwrap();
        let mut package = wire::encode(&Package {
            epoch: 1,
            supi,
            algorithm: Algorithm::Milenage,
            parameters: MilenageParameters { opc: opc.bytes() },
            challenge: vector(&Milenage::new(&k, &opc), &[3; 16], sqn, [0x80, 0]).challenge,
            suci: None,
            profile: None,
            activation: Activation::OneShot,
            previous: Previous::None,
        });
        package[0] += 1;
        package.extend([key, PROGRAM].concat());
        let context = wire::encode_with(|w| {
            w.array(2);
            w.unsigned(1);
            w.bytes(&met.txn);
        });
        let mut package_key = Secret::zeroed();
        session.export(0xce01, &context, package_key.bytes_mut(), &RustCrypto).unwrap();
        let sealed = encrypt0::seal(&package_key, None, &context, &package, &RustCrypto).unwrap();
        let (_, _, outcome) = met.offer(&mut lab, &sealed);
        assert_eq!((outcome.is_ok(), lab.held().is_some()), (kept, kept));
        if kept {
            let content = lab.store.slot(Slot::A).unwrap().unwrap();
            assert!(!contains(content.bytes(), &PROGRAM[1..]));
            assert_eq!(lab.kept(), (true, 1), "one receipt");
        }
    }
    let mut lab = subscriber(59);
    for goal in [Goal::Rekey, Goal::Reassociate, Goal::Retire] {
        let before = receipts(&lab).len();
        assert_eq!(lab.go(goal), Ok(()));
        assert!(receipts(&lab).len() > before);
    }
    assert_eq!(receipts(&lab).last().map(|receipt| receipt.event), Some(Event::Erased));
}

/// Attack: whoever carries receipts keeps some back, or gives them out in another order.
/// Oracle: the device keeps each until it is acknowledged; an exported line with a gap, or out of order, says where.
#[test]
fn attack_60_receipts_withheld() {
    let mut lab = subscriber(60);
    lab.goal = Goal::Rekey;
    // `confirm` and the receipt in it never arrive.
    lab.session(7);
    assert_eq!(lab.kept(), (true, 2), "prepared and activated");
    assert_eq!(lab.run(), Ok(()));
    assert_eq!(lab.kept(), (false, 0));
    assert_eq!(lab.go(Goal::Rekey), Ok(()));
    let (mut all, key) = (signed(&lab), lab.device_keys.public_key(IDENTITY).unwrap());
    assert_eq!(receipts(&lab).last().map(|receipt| receipt.sequence), Some(5));
    // What came twice is in the log twice.
    all.dedup();
    let audit = |order: &[usize]| {
        let mut history = History::after(Head::default());
        history.extend(order.iter().map(|at| all[*at].as_slice()), &key, &RustCrypto)
    };
    assert_eq!(audit(&[0, 1, 2, 3, 4]), Ok(()));
    for missing in 0..4 {
        let order: Vec<_> = (0..5).filter(|at| *at != missing).collect();
        let number = u64::try_from(missing).unwrap() + 1;
        assert_eq!(audit(&order), Err(Fault::Gap { from: number, to: number }));
    }
    assert_eq!(audit(&[0, 2, 1, 3, 4]), Err(Fault::Gap { from: 2, to: 2 }), "in another order");
}
