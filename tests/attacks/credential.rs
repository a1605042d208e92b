//! 44 to 53: K, and what answers with it.

use std::collections::BTreeSet;

use remote_provisioning::{
    aka::{Card, Ind, Milenage, Sqn, Subscriber, sqn::Profile, vector},
    credential::{Previous, Secrets, StorageKey},
    crypto::{Secret, SecretBytes},
    edhoc::OwnCredential,
    error::Backend,
    provisioning::{
        Answer, Question,
        campaign::{Campaign, Next, Outcome as Called, Pace, Progress},
        log::What,
        message::Operation,
    },
    sim::home::Home,
    store::{Slot, SubscriptionStore},
    time::Millis,
};

use super::*;
use crate::lab::{double::Recording, stopped};

const AMF: [u8; 2] = [0x80, 0];
const RAND: [u8; 16] = [0xa5; 16];

fn milenage(k: u8) -> Milenage {
    Milenage::new(&Secret::from_slice(&[k; 16]).unwrap(), &Secret::from_slice(&[0x22; 16]).unwrap())
}

fn ind(number: u8) -> Ind {
    Ind::new(number).unwrap()
}

fn sqn(seq: u64, number: u8) -> Sqn {
    Profile::default().sqn(seq, ind(number)).unwrap()
}

/// The bytes of the USIM: K, OPc and all.
fn content(lab: &Lab, slot: Slot) -> SecretBytes {
    lab.store.slot(slot).unwrap().unwrap()
}

/// K and OPc of the operator's, and the session that they were made in, to its end.
fn secrets_of(lab: &mut Lab) -> ([u8; 16], [u8; 16], Vec<Vec<u8>>) {
    let (mut session, open) = stopped(lab, "opc");
    lab.stopping = None;
    let Question::ComputeOpc { k } = &open else { panic!("not asked") };
    let k = *k.bytes();
    let answer = lab.home.answer(open);
    let Answer::Opc(Ok(opc)) = &answer else { panic!("no OPc") };
    let opc = *opc.bytes();
    lab.answer(&mut session.operator, answer).unwrap();
    let sent = lab.serve(&mut session.operator).sent;
    session.messages.extend(sent);
    while session.messages.len() < 6 {
        lab.step(&mut session).unwrap();
    }
    lab.step(&mut session).unwrap();
    (k, opc, session.messages)
}

/// Attack: challenges that were seen or changed are played to a USIM, to read its number from what it says.
/// Oracle: MAC before SQN, so what was changed tells nothing about the number; and what tells it is masked by AK.
#[test]
fn attack_44_number_leaks_through_failures() {
    let (mut card, set) = (Card::new(milenage(0x11), Profile::default()), milenage(0x11));
    for seq in [5, 6] {
        assert!(matches!(card.authenticate(&vector(&set, &RAND, sqn(seq, 0), AMF).challenge), Aka::Success(_)));
    }
    let before = card.to_bytes();
    // Stale and fresh ones, made with another K or changed: one answer for all.
    for seq in [1, 6, 7, 1_000] {
        let foreign = vector(&milenage(0x12), &RAND, sqn(seq, 0), AMF).challenge;
        assert!(matches!(card.authenticate(&foreign), Aka::MacFailure));
        for byte in 0..16 {
            let mut changed = vector(&set, &RAND, sqn(seq, 0), AMF).challenge;
            changed.autn[byte] ^= 0x10;
            assert!(matches!(card.authenticate(&changed), Aka::MacFailure), "{seq} {byte}");
        }
    }
    assert_eq!(card.to_bytes(), before, "and nothing has moved");
    let stale = vector(&set, &RAND, sqn(6, 0), AMF);
    let Aka::SyncFailure { auts } = card.authenticate(&stale.challenge) else { panic!("not stale") };
    assert_ne!(auts[..6], sqn(6, 0).to_bytes());
    assert_ne!(stale.challenge.autn[..6], sqn(6, 0).to_bytes());
}

/// Attack: numbers are replayed, jumped, and resynchronised with what somebody made up.
/// Oracle: each number once, only its own IND moves, and an AUTS moves the network only if its MAC-S is right. The cases of TS
/// 33.102 Annex C, one by one: `tests/aka/sqn.rs`.
#[test]
fn attack_45_sequence_numbers_flooded() {
    let (set, profile) = (milenage(0x11), Profile::default());
    let mut card = Card::new(milenage(0x11), profile);
    let mut take = |sqn| matches!(card.authenticate(&vector(&set, &RAND, sqn, AMF).challenge), Aka::Success(_));
    assert!(take(sqn(100, 3)) && !take(sqn(100, 3)) && !take(sqn(99, 3)));
    assert!(take(sqn(50, 4)), "older, under an IND that is not");
    assert!(!take(sqn(100 + (1 << 28) + 1, 5)), "beyond Δ");
    assert!(take(sqn(101, 3)), "and the jump moved nothing");
    let Aka::SyncFailure { auts } = card.authenticate(&vector(&set, &RAND, sqn(1, 3), AMF).challenge) else { panic!() };
    let mut network = Subscriber::adopt(milenage(0x11), profile, sqn(9, 0));
    for bit in 0..14 * 8 {
        let mut forged = auts;
        forged[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(network.resynchronise(&RAND, &forged, 0), Err(Untrusted::Authentication));
        assert_eq!(network.sqn(), sqn(9, 0));
    }
    network.resynchronise(&RAND, &auts, 0).unwrap();
    assert_eq!(network.sqn(), sqn(101, 3));
}

/// Attack: the number of a credential is set back to zero under the same K, so that all old challenges are good again.
/// Oracle: number and K are one value, in memory and at rest; a new K begins with nothing that an old challenge fits.
#[test]
fn attack_46_number_reset_under_the_same_k() {
    let profile = Profile::default();
    let mut network = Subscriber::new(milenage(0x11), profile);
    let fresh = Subscriber::new(milenage(0x12), profile).to_bytes();
    let mut card = Card::new(milenage(0x11), profile);
    let other = Card::new(milenage(0x12), profile).to_bytes();
    let challenge = network.vector(&RAND, ind(0), AMF, 0).unwrap().challenge;
    assert!(matches!(card.authenticate(&challenge), Aka::Success(_)));
    assert_eq!(Subscriber::from_bytes(milenage(0x11), profile, &fresh).err(), Some(Backend::Store));
    assert_eq!(Card::from_bytes(milenage(0x11), profile, &other).err(), Some(Backend::Store));
    let mut edited = network.to_bytes();
    edited[..6].fill(0);
    assert_eq!(Subscriber::from_bytes(milenage(0x11), profile, &edited).err(), Some(Backend::Store));
    // And in a device: no edit, power cut or re-key lets an old challenge in.
    let mut lab = subscriber(46);
    let (held, _) = lab.held().unwrap();
    let old: Vec<_> = (0..4).map(|_| lab.home.challenge(&held.id.supi, &mut lab.rng).unwrap().challenge).collect();
    assert!(is_served(&mut lab));
    lab.power_cut();
    for then in [None, Some(Goal::Rekey)] {
        assert!(then.is_none_or(|goal| lab.go(goal) == Ok(())));
        for challenge in &old {
            let answer = authenticate(challenge, &mut lab.store, &mut SoftUsim).unwrap();
            assert!(!matches!(answer, Aka::Success(_)));
        }
    }
}

/// Attack: an operator's database of keys is stolen.
/// Oracle: K is in the log only wrapped; and a campaign gives a new one to each of 100,000 devices, none of which is lost.
/// Four of them are real ones, or as many as `REAL_DEVICES` says; the others only tell the campaign that they are done.
#[test]
fn attack_48_database_of_keys_stolen() {
    let mut lab = Lab::voucher_last(48);
    let (k, opc, _) = secrets_of(&mut lab);
    for entry in lab.home.entries() {
        let bytes = entry.to_cbor().unwrap();
        assert!(!contains(&bytes, &k) && !contains(&bytes, &opc));
        if let What::Offered(offered) = &entry.what {
            // Which values are still under a key that is to go, can be told without it.
            assert_eq!(offered.wrapped.key_number(), 1);
            assert!(lab.storage.unwrap(&offered.wrapped, &offered.package_hash, &RustCrypto).is_ok());
            assert!(lab.storage.unwrap(&offered.wrapped, &[0; 32], &RustCrypto).is_err());
            let other = StorageKey::new(1, Secret::zeroed());
            assert!(other.unwrap(&offered.wrapped, &offered.package_hash, &RustCrypto).is_err());
        }
    }
    let pace = Pace { at_once: 64, interval: 0, patience: 1_000, failures: 8 };
    let names = (0..100_000).map(|number| number.to_string());
    let mut campaign = Campaign::new(Operation::Rekey, names, pace).unwrap();
    let real = std::env::var("REAL_DEVICES").map_or(4, |number| number.parse().unwrap());
    let (mut called, mut rekeyed) = (0, 0);
    while let Next::Call(device) = campaign.next(Millis(0)) {
        // Evenly among the others.
        if called * real / 100_000 >= rekeyed && rekeyed < real {
            let mut lab = subscriber(4_800 + called);
            assert_eq!(lab.go(Goal::Rekey), Ok(()), "{device}");
            assert!(is_served(&mut lab) && lab.held().unwrap().0.id.epoch == 2, "{device}");
            rekeyed += 1;
        }
        called += 1;
        campaign.report(&device, Called::Done);
    }
    assert_eq!((called, rekeyed), (100_000, real));
    assert_eq!(campaign.next(Millis(0)), Next::Done);
    assert_eq!(campaign.progress(), Progress { waiting: 0, under_way: 0, done: 100_000, failed: 0 });
}

/// Attack: OP is read from a device, a link or a log, and with it every OPc.
/// Oracle: it is in none of them: not in what is sent, nor in what is sealed, nor at rest.
#[test]
fn attack_49_op_leaks() {
    const OP: [u8; 16] = [0xcd; 16];
    let mut lab = Lab::voucher_last(49);
    let recording = Recording::new();
    lab.crypto = recording;
    let (k, opc, messages) = secrets_of(&mut lab);
    let entries: Vec<_> = lab.home.entries().map(|entry| entry.to_cbor().unwrap()).collect();
    let sealed: Vec<_> = recording.watch.take().sealed.into_iter().map(|sealed| sealed.text).collect();
    let device = [content(&lab, Slot::A).bytes().to_vec(), lab.store.record().unwrap().unwrap()];
    for bytes in messages.iter().chain(&entries).chain(&sealed).chain(&device) {
        assert!(!contains(bytes, &OP[..8]));
    }
    let k = Secret::from_slice(&k).unwrap();
    let made = remote_provisioning::aka::milenage::opc(&k, &Secret::from_slice(&OP).unwrap());
    assert_eq!(*made.bytes(), opc, "that is the OP");
    assert!(sealed.iter().any(|text| contains(text, &opc)), "the test can fail: OPc is in the package");
}

/// Attack: K is taken on its way to the device.
/// Oracle: it has no way: it is in no message, nor in anything that was ever sealed for one.
#[test]
fn attack_50_k_taken_in_transit() {
    let mut lab = Lab::voucher_last(50);
    let recording = Recording::new();
    lab.crypto = recording;
    let (k, _, messages) = secrets_of(&mut lab);
    assert!(contains(content(&lab, Slot::A).bytes(), &k), "that is the K");
    let sealed = recording.watch.take().sealed;
    assert!(messages.iter().all(|message| !contains(message, &k[..8]) && !contains(message, &k[8..])));
    let with_k: Vec<_> = sealed.iter().filter(|sealed| contains(&sealed.text, &k)).collect();
    let [wrapped] = with_k[..] else { panic!("{} texts with K in them", with_k.len()) };
    assert!(messages.iter().all(|message| !contains(message, &wrapped.ciphertext)), "for the log alone");
    assert!(sealed.len() > 4, "whatever else was sealed");
}

/// Attack: the network is made to go on with the old, stolen K after a re-key.
/// Oracle: both keys answer until `complete`, and the old one never again after it.
#[test]
fn attack_52_old_k_after_a_rekey() {
    for mode in [Previous::Shared, Previous::Beside] {
        let mut lab = subscriber(52);
        lab.home.mode = mode;
        let (old, _) = lab.held().unwrap();
        let stolen: Vec<_> = (0..2).map(|_| lab.home.challenge(&old.id.supi, &mut lab.rng).unwrap()).collect();
        lab.goal = Goal::Rekey;
        let mut session = lab.session(7);
        if mode == Previous::Shared {
            let answer = authenticate(&stolen[0].challenge, &mut lab.store, &mut SoftUsim).unwrap();
            assert!(matches!(answer, Aka::Success(_)), "not yet");
        }
        lab.step(&mut session).unwrap();
        lab.step(&mut session).unwrap();
        let answer = authenticate(&stolen[1].challenge, &mut lab.store, &mut SoftUsim).unwrap();
        assert!(matches!(answer, Aka::MacFailure), "{answer:?}");
        assert!(is_served(&mut lab) && lab.card.erased.len() == 1);
        assert_eq!(lab.home.subscribers().count(), 1);
    }
}

/// Attack: keys are read from a log, a panic or a debugger's print.
/// Oracle: what holds a secret prints its name and nothing else, and can be neither copied nor serialised. All types are in
/// `tests/secrets/types.rs`, runs in which things fail in `tests/secrets/outputs.rs`; memory is scanned by `tests/memory`.
#[test]
fn attack_53_secrets_in_print() {
    /// Says yes for what implements neither, and is ambiguous, so does not compile, for what does.
    macro_rules! never {
        ($type:ty: $($bound:path),+) => {{
            trait Ambiguous<A> { const IS_NOT: bool = true; }
            impl<T: ?Sized> Ambiguous<()> for T {}
            $({
                struct Held;
                impl<T: ?Sized + $bound> Ambiguous<Held> for T {}
            })+
            <$type as Ambiguous<_>>::IS_NOT
        }};
    }
    assert!(never!(Secret<16>: Clone, serde::Serialize) && never!(SecretBytes: Clone, serde::Serialize));
    assert!(never!(Milenage: Copy, serde::Serialize) && never!(Secrets: Clone, serde::Serialize));
    assert!(never!(edhoc::Session: Copy, serde::Serialize));

    let secret = || Secret::<16>::from_slice(&[0xab; 16]).unwrap();
    let secrets = Secrets { k: secret(), opc: secret(), sqn: Sqn::default() };
    let (lab, mut running) = (subscriber(53), Lab::voucher_last(53));
    let (session, question) = stopped(&mut running, "core");
    let Question::PutIntoCore(credential) = &question else { panic!("not asked") };
    let mut bytes: BTreeSet<Vec<u8>> = BTreeSet::from([vec![0xab; 16]]);
    bytes.extend([credential.secrets.k.bytes().to_vec(), credential.secrets.opc.bytes().to_vec()]);
    let own: &OwnCredential = &lab.operator_config.own;
    let printed = [
        format!("{secrets:?} {:?} {:?}", secret(), SecretBytes::new(vec![0xab; 16])),
        format!("{question:?} {:?}", content(&lab, Slot::A)),
        format!("{:?} {:?} {own:?}", session.device, session.operator),
        format!("{:?} {:?}", Met::new(&mut Lab::voucher_last(54)).handshake.session(), Home::storage_key()),
        format!("{:?} {:?}", lab.home, lab.storage),
    ];
    for text in printed {
        for secret in &bytes {
            let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
            let list = format!("{secret:?}");
            assert!(!text.contains(&hex) && !text.contains(list.trim_matches(['[', ']'])), "{text}");
        }
    }
}
