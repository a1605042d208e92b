//! 37 to 43: power cuts, old memories, lost words, and a core that others write to, or that was written in part.

use remote_provisioning::{
    aka::Sqn,
    cores::{self, Core, Entry, SecretText, free5gc::Free5gc, open5gs::Open5gs},
    credential::{Algorithm, Previous, Secrets, Usim},
    crypto::Secret,
    error::Backend,
    provisioning::{
        Answer, Question,
        campaign::{Campaign, Next, Outcome as Called, Pace},
        device::{attach_failed, in_use},
        log::What,
        message::Operation,
        question::CoreCredential,
        watch::Alarm,
    },
    sim::fleet::{self, Setup, Summary},
    store::{Commit, Slot, SlotChange, SubscriptionStore},
    time::Millis,
};

use super::*;
use crate::{
    lab::stopped,
    mongo::{Collection, at},
};

/// Attack: everything fails where it can: power, links, servers, databases, backups.
/// Oracle: I1 to I6 hold. The search over every interleaving is `attack_37` in `tests/exhaustive`; here are fleets, by seed:
/// each agrees in the end, with its operators, on who has what, and nobody was without service who had it.
#[test]
fn attack_37_crash_anywhere() {
    let run =
        |seed| fleet::run(seed, &Setup::default(), &mut |_, _| {}).unwrap_or_else(|violation| panic!("{violation}"));
    let all = (3_700..3_712).map(run).fold(Summary::default(), Summary::and);
    assert!(all.power_cuts > 30 && all.crashes > 20 && all.restores > 0 && all.lost > 200 && all.injected > 30);
    assert!(all.completed > 80 && all.attaches > 150);
}

/// A bit of K turns.
fn rot(lab: &mut Lab, slot: Slot) {
    let (mut content, record) = (lab.store.slot(slot).unwrap().unwrap(), lab.store.record().unwrap().unwrap());
    let at = content.bytes().windows(2).position(|head| head == [4, 0x50]).unwrap() + 2;
    content.bytes_mut()[at] ^= 1;
    lab.store.commit(Commit { slots: &[SlotChange::Write(slot, &content)], record: &record }).unwrap();
}

/// Attack: power goes within a write; later, bits of the new credential turn.
/// Oracle: the old credential is there and works; a damaged one answers nothing, and its turn goes to the old one.
#[test]
fn attack_38_torn_and_rotten_slots() {
    for writes in 0..4 {
        let mut lab = subscriber(38);
        lab.goal = Goal::Rekey;
        lab.store.good_for = Some(writes);
        let _ = if writes == 0 { lab.start().map(|_| ()) } else { lab.run() };
        lab.power_cut();
        lab.store.good_for = None;
        assert!(is_served(&mut lab), "{writes}");
        for _ in 0..2 {
            if lab.held().unwrap().0.id.epoch == 1 || !lab.held().unwrap().1 || lab.kept().0 {
                assert_eq!(lab.run(), Ok(()), "{writes}");
            }
        }
        assert!(is_served(&mut lab) && lab.held().unwrap().0.id.epoch > 1, "{writes}");
    }
    // Under one SUPI the other slot answers, if the core has its key.
    let mut lab = subscriber(38);
    lab.home.mode = Previous::Shared;
    lab.goal = Goal::Rekey;
    lab.session(6);
    let supi = lab.held().unwrap().0.id.supi;
    let challenge = lab.home.challenge(&supi, &mut lab.rng).unwrap().challenge;
    rot(&mut lab, Slot::A);
    let answer = authenticate(&challenge, &mut lab.store, &mut SoftUsim);
    assert!(matches!(answer, Ok(Aka::Success(_))), "{answer:?}");
    rot(&mut lab, Slot::B);
    let challenge = lab.home.challenge(&supi, &mut lab.rng).unwrap().challenge;
    assert_eq!(authenticate(&challenge, &mut lab.store, &mut SoftUsim).err(), Some(Backend::Usim.into()));

    // Under two, the device falls back.
    let mut lab = subscriber(38);
    let (old, _) = lab.held().unwrap();
    lab.goal = Goal::Rekey;
    lab.session(7);
    rot(&mut lab, Slot::B);
    let challenge = lab.home.challenge(&lab.held().unwrap().0.id.supi, &mut lab.rng).unwrap().challenge;
    assert_eq!(authenticate(&challenge, &mut lab.store, &mut SoftUsim).err(), Some(Backend::Usim.into()));
    for _ in 0..3 {
        attach_failed(&mut lab.store).unwrap();
    }
    assert_eq!(in_use(&lab.store).unwrap(), Some(old));
    assert!(is_served(&mut lab));
}

/// Attack: the whole flash is set back to an image from before, whichever.
/// Oracle: the operator notices at the next contact, and issues nothing.
#[test]
fn attack_39_flash_set_back() {
    for messages in [1, 4, 5, 8] {
        let mut lab = subscriber(39);
        lab.goal = Goal::Rekey;
        lab.session(messages);
        let image = lab.store.memory.durable_copy();
        while lab.held().unwrap().0.id.epoch == 1 || lab.kept().0 {
            assert_eq!(lab.run(), Ok(()), "{messages}");
        }
        let offers = lab.logged().iter().filter(|entry| **entry == "offered").count();
        lab.store.memory = image;
        assert_eq!(lab.run(), refused(Code::Quarantined), "{messages}");
        let last = lab.home.entries().last().map(|entry| entry.what);
        let Some(What::Quarantined { alarm, .. }) = last else { panic!("no alarm: {messages}") };
        assert!(matches!(alarm, Alarm::Counter | Alarm::State), "{messages}");
        assert_eq!(lab.logged().iter().filter(|entry| **entry == "offered").count(), offers, "{messages}");
    }
}

/// Attack: somebody lets no `confirm` through, so that the operator has to go on with a key that it wants to be rid of.
/// Oracle: the device stays a subscriber, under the new key; the operator sees since when the device owes its word, which is
/// the alarm; and one contact ends it. The old key has no attempt left from `prepared` on under one SUPI; beside another one
/// it stays until the device has signed, for until then that one may be all that the device uses.
#[test]
fn attack_40_confirm_suppressed_for_ever() {
    for mode in [Previous::Shared, Previous::Beside] {
        let mut lab = subscriber(40);
        lab.home.mode = mode;
        let pace = Pace { at_once: 1, interval: 0, patience: 1_000, failures: 9 };
        let mut campaign = Campaign::new(Operation::Rekey, ["meter".to_owned()], pace).unwrap();
        assert_eq!(campaign.next(Millis(0)), Next::Call("meter".into()));
        assert_eq!(lab.account().unconfirmed_since(), None);
        let (old, _) = lab.held().unwrap();
        lab.goal = Goal::Rekey;
        lab.session(7);
        let begun = lab.today;
        for _ in 0..20 {
            // message_3 has the receipt in it.
            let mut session = lab.session(1);
            lab.step(&mut session).unwrap();
            lab.step(&mut session).unwrap();
            lab.power_cut();
            assert!(is_served(&mut lab), "{mode:?}");
            let in_use = in_use(&lab.store).unwrap().unwrap();
            assert_eq!(in_use.id.epoch, old.id.epoch + 1, "{mode:?}");
            // What the core makes for it is of the new K, which the old slot does not know.
            let challenge = lab.home.challenge(&in_use.id.supi, &mut lab.rng).unwrap().challenge;
            let content = lab.store.slot(Slot::A).unwrap().unwrap();
            let (answer, _) = SoftUsim.authenticate(Slot::A, &content, &challenge).unwrap();
            assert!(matches!(answer, Aka::MacFailure), "{mode:?}: the core is still at the old key");
            assert_eq!(lab.account().unconfirmed_since(), Some(begun), "{mode:?}: the alarm");
        }
        assert!(lab.today > begun && lab.account().open().is_some());
        campaign.next(Millis(1_000));
        assert_eq!(campaign.failed(), [("meter".into(), Called::Silent)], "{mode:?}");
        assert_eq!(lab.run(), Ok(()));
        assert_eq!((lab.account().unconfirmed_since(), lab.home.subscribers().count()), (None, 1), "{mode:?}");
        assert!(lab.account().open().is_none() && is_served(&mut lab));
    }
}

/// Attack: a server is restored to where it does not know any more what was confirmed.
/// Oracle: it learns that from what the device has signed, and issues nothing over it.
#[test]
fn attack_41_restored_server() {
    for keep in [0, 1] {
        let mut lab = subscriber(41);
        let (held, _) = lab.held().unwrap();
        assert_eq!(lab.logged(), ["offered", "confirmed"]);
        lab.home.restore(keep);
        assert_eq!(lab.go(Goal::Query), Ok(()), "{keep}");
        let account = lab.account();
        let active = account.active().map(|active| (active.supi.as_str(), active.epoch));
        assert_eq!(active, Some((held.id.supi.as_str(), held.id.epoch)), "{keep}");
        assert_eq!(lab.logged().iter().filter(|entry| **entry == "offered").count(), keep, "{keep}");
        assert!(is_served(&mut lab) && lab.home.subscribers().count() == 1, "{keep}");
    }
}

/// Attack: while a session waits for the core, another one, or a person, writes to the same entry; or a write comes twice.
/// Oracle: the late write is a conflict; the entry and its sequence number stay as they are.
#[test]
fn attack_42_core_edited_in_between() {
    let mut lab = Lab::new(42);
    let (mut late, open) = stopped(&mut lab, "core");
    lab.stopping = None;
    assert_eq!(lab.run(), Ok(()));
    let held = lab.assert_complete();
    let answer = lab.home.answer(open);
    assert!(matches!(answer, Answer::CoreReady(Err(Code::Conflict))));
    lab.answer(&mut late.operator, answer).unwrap();
    assert_eq!(lab.serve(&mut late.operator).finished, [Err(Error::Declined(Code::Conflict))]);
    lab.attach(&held);
    // The same write again, after the number has moved on.
    let mut lab = Lab::voucher_last(42);
    let (mut session, open) = stopped(&mut lab, "core");
    lab.stopping = None;
    let Question::PutIntoCore(credential) = open else { panic!("not asked") };
    let secrets = &credential.secrets;
    let copy = |secret: &Secret<16>| Secret::from_slice(secret.bytes()).unwrap();
    let again = CoreCredential {
        secrets: Secrets { k: copy(&secrets.k), opc: copy(&secrets.opc), sqn: secrets.sqn },
        profile: credential.profile.clone(),
        ..*credential
    };
    let answer = lab.home.answer(Question::PutIntoCore(credential));
    lab.answer(&mut session.operator, answer).unwrap();
    let sent = lab.serve(&mut session.operator).sent;
    session.messages.extend(sent);
    while session.messages.len() < 6 {
        lab.step(&mut session).unwrap();
    }
    lab.step(&mut session).unwrap();
    for _ in 0..3 {
        assert!(is_served(&mut lab));
    }
    assert!(matches!(lab.home.answer(Question::PutIntoCore(Box::new(again))), Answer::CoreReady(Ok(()))));
    assert!(is_served(&mut lab), "its number was not set back");
}

/// As much of a document as the core needs: name, K, OPc, SQN, management field, service.
struct Needed {
    name: (&'static str, &'static str),
    fields: &'static [&'static str],
}

/// Writes into this core, which breaks off after any step.
fn torn<C: Core<Step = SecretText>>(core: &C, Needed { name, fields }: &Needed) {
    let steps = || core.steps(&put()).unwrap().unwrap();
    let (all, mut let_in) = (steps().len(), 0);
    for done in 0..=all {
        let mut collection = Collection::default();
        for step in steps().iter().take(done) {
            collection.run(step.as_str());
        }
        // Found by its name, it has to be whole: there is no half subscriber.
        let found = |collection: &Collection| {
            let found = collection.0.iter().find(|document| document[name.0] == name.1).cloned();
            assert!(
                found.iter().all(|found| fields.iter().all(|field| at(found, field).is_some())),
                "{done}: {found:?}"
            );
            found.is_some()
        };
        let_in += usize::from(found(&collection));
        // The same again, from the beginning, and read back.
        let read = steps().iter().flat_map(|step| collection.run(step.as_str())).collect::<Vec<_>>();
        let [document] = &read[..] else { panic!("{read:?}") };
        let number = |field: &str| document["provisioning"][field].as_u64().unwrap().try_into().unwrap();
        let k = at(document, fields[0]).and_then(|k| k.as_str());
        let entry = Entry::new(SUPI, number("epoch"), number("withdrawn"), k).unwrap();
        let answer = cores::answer(&put(), Ok(&[entry]), &RustCrypto);
        assert!(matches!(answer, Some(Answer::CoreReady(Ok(())))) && found(&collection), "{done}");
    }
    assert_eq!(let_in, 2, "with the step that opens it, and the one that reads it back");
}

const SUPI: &str = "001010000000001";

fn put() -> Question {
    let secret = |byte| Secret::from_slice(&[byte; 16]).unwrap();
    Question::PutIntoCore(Box::new(CoreCredential {
        device: maker::device_id().unwrap(),
        supi: SUPI.parse().unwrap(),
        epoch: 1,
        algorithm: Algorithm::Milenage,
        secrets: Secrets { k: secret(1), opc: secret(2), sqn: Sqn::from_bytes([0, 0, 0, 0, 0, 32]) },
        profile: None,
    }))
}

/// Attack: a core whose subscriber is several documents or fields is written in part, because power or link goes in between.
/// Oracle: after each step nobody is let in, or the whole subscriber is; the same again makes it whole, and it is read back.
/// Against osmo-hlr, and with all other questions in between: `tests/cores/model.rs`.
#[test]
fn attack_43_core_written_in_part() {
    let management_field = [0x80, 0];
    let profile = ServiceProfile::default();
    let fields = &["security.k", "security.opc", "security.sqn", "security.amf", "slice", "ambr", "schema_version"];
    torn(&Open5gs { management_field, profile: &profile }, &Needed { name: ("imsi", SUPI), fields });
    let fields = &["encPermanentKey", "encOpcKey", "sequenceNumber", "authenticationManagementField"];
    torn(&Free5gc { management_field }, &Needed { name: ("ueId", "imsi-001010000000001"), fields });
}
