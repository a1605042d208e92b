//! Two devices with one identity, and one device with an older memory.

use remote_provisioning::{
    crypto::rustcrypto::RustCrypto,
    error::{Code, Malformed},
    provisioning::{
        Account, Question,
        log::What,
        question::Visitor,
        watch::{Alarm, Refusal},
    },
    store::memory::MemoryStore,
};

use super::*;

fn alarms(lab: &Lab) -> Vec<Alarm> {
    let alarms = lab.home.entries().filter_map(|entry| match entry.what {
        What::Quarantined { alarm, .. } => Some(alarm),
        _ => None,
    });
    alarms.collect()
}

fn subscribers(lab: &Lab) -> usize {
    lab.home.subscribers().count()
}

#[test]
fn a_second_device_with_the_same_identity_is_quarantined_and_gets_no_second_k() {
    let mut lab = Lab::attested(1);
    assert_eq!(lab.run(), Ok(()));
    let first = core::mem::replace(&mut lab.store.memory, MemoryStore::new());
    for attempt in 0..3 {
        assert_eq!(lab.run(), refused(Code::Quarantined), "{attempt}");
        assert_eq!(lab.held(), None);
    }
    assert_eq!((alarms(&lab), subscribers(&lab)), (vec![Alarm::Counter], 1), "one alarm, one subscriber");
    // What the true one holds still works; what it asks for waits for a person.
    lab.store.memory = first;
    lab.assert_complete();
}

/// The clone runs its counter ahead before it is heard of.
#[test]
fn a_clone_that_counts_ahead_is_given_away_by_what_it_lacks() {
    let mut lab = Lab::attested(2);
    assert_eq!(lab.run(), Ok(()));
    lab.store.memory = MemoryStore::new();
    for _ in 0..5 {
        lab.session(1);
    }
    assert_eq!(lab.run(), refused(Code::Quarantined));
    assert_eq!((alarms(&lab), subscribers(&lab)), (vec![Alarm::State], 1));
}

/// Nobody has signed for anything yet: two factory-new devices with one key, one after the other.
#[test]
fn of_two_new_devices_the_second_gets_nothing() {
    let mut lab = Lab::attested(3);
    lab.session(4); // Served, and its `confirm` is still out.
    let first = core::mem::replace(&mut lab.store.memory, MemoryStore::new());
    assert_eq!(lab.run(), refused(Code::Quarantined));
    assert_eq!((alarms(&lab), subscribers(&lab)), (vec![Alarm::Counter], 1));
    assert_eq!(lab.held(), None);
    // Nor the first, from now on: which of the two is the true one, nobody can tell from here.
    lab.store.memory = first;
    assert_eq!(lab.run(), refused(Code::Quarantined));
}

#[test]
fn a_memory_that_was_set_back_is_recognised() {
    // At each point of its life an image is taken, and brought back at the end.
    for messages in 1..=6 {
        let mut lab = Lab::attested(4);
        lab.session(messages);
        let image = lab.store.memory.durable_copy();
        assert_eq!(lab.run(), Ok(()), "{messages}");
        let held = subscribers(&lab);
        lab.store.memory = image;
        assert_eq!(lab.run(), refused(Code::Quarantined), "{messages}");
        assert_eq!((alarms(&lab).len(), subscribers(&lab)), (1, held), "{messages}");
    }
}

/// Whoever holds back a device's message_3 and lets it go later must not bring it into quarantine.
#[test]
fn a_delayed_message_is_no_alarm() {
    let mut lab = Lab::attested(5);
    let mut old = lab.session(3);
    assert_eq!(lab.run(), Ok(()), "the device has given up on that one, and been served in another");
    let message_3 = old.message(3);
    lab.tell_operator(&mut old.operator, &message_3).unwrap();
    let out = lab.serve(&mut old.operator);
    assert_eq!(out.finished, [Err(Error::Declined(Code::TryLater))]);
    assert_eq!((alarms(&lab), subscribers(&lab)), (vec![], 1));
    lab.assert_complete();
}

/// What gives a second device away, one sign at a time: each visitor is like the true one but for that.
#[test]
fn each_sign_is_an_alarm_by_itself() {
    let mut lab = Lab::attested(6);
    lab.session(6);
    // The device has signed, and comes back to resume.
    lab.stopping = Some("appraise");
    let mut session = lab.session(3);
    let message = session.message(3);
    lab.tell_operator(&mut session.operator, &message).unwrap();
    let Some(Question::Appraise(visitor)) = lab.serve(&mut session.operator).open else { panic!("not asked") };
    let account = lab.home.account(&visitor.device.device_id()).unwrap().clone();
    let admitted = account.admit(&visitor, &RustCrypto).unwrap();
    let (request, _) = account.watch().counter();
    assert_eq!((request, admitted.account().watch().counter().0), (1, 2));
    let mut quarantined = account.clone();
    let alarm = What::Quarantined { alarm: Alarm::Heads, counter: (0, 0) };
    quarantined.apply(&account.entry("device", alarm), &RustCrypto).unwrap();

    type Change = fn(&mut Visitor);
    let signs: [(&str, Change, Option<Refusal>); 10] = [
        ("nothing", |_| {}, None),
        ("a later request", |it| it.counter.request = 9, None),
        ("a newer credential", |it| it.state.active = Some(2), None),
        ("another owner since", |it| (it.state.owner_epoch, it.state.voucher_head) = (2, Some([7; 32])), None),
        ("the counter of before", |it| it.counter.request = 1, Some(Refusal::Alarm(Alarm::Counter))),
        ("no credential", |it| it.state.active = None, Some(Refusal::Alarm(Alarm::State))),
        ("an earlier owner", |it| it.state.owner_epoch = 0, Some(Refusal::Alarm(Alarm::State))),
        ("another voucher", |it| it.state.voucher_head = Some([7; 32]), Some(Refusal::Alarm(Alarm::Heads))),
        ("no voucher", |it| it.state.voucher_head = None, Some(Refusal::Alarm(Alarm::Heads))),
        (
            "the counter of before, in a session of before",
            |it| {
                it.counter.request = 1;
                it.since.0 -= 1;
            },
            Some(Refusal::Stale),
        ),
    ];
    for (at, change, expected) in signs {
        let mut other = visitor.clone();
        change(&mut other);
        assert_eq!(account.admit(&other, &RustCrypto).err(), expected, "{at}");
        assert_eq!(quarantined.admit(&other, &RustCrypto).err(), Some(Refusal::Quarantined(Alarm::Heads)), "{at}");
    }
    assert_eq!(Refusal::Stale.code(), Code::TryLater);
    assert_eq!(Refusal::Quarantined(Alarm::State).code(), Code::Quarantined);
}

/// A person has looked: the device that comes next is taken as it is.
#[test]
fn a_released_device_is_served_again() {
    let mut account = Account::default();
    let alarm = What::Quarantined { alarm: Alarm::Heads, counter: (0, 0) };
    account.apply(&account.entry("device", alarm), &RustCrypto).unwrap();
    assert_eq!(account.watch().quarantined(), Some(Alarm::Heads));
    let row = account.to_cbor().unwrap();
    assert_eq!(Account::from_cbor(&row).as_ref(), Ok(&account), "a row in a database");
    assert_eq!(Account::from_cbor(&[row.as_slice(), b"\0"].concat()), Err(Malformed::TrailingBytes));
    account.apply(&account.entry("device", What::Cleaned), &RustCrypto).unwrap();
    assert_eq!((account.watch().quarantined(), account.cleaned()), (None, true));
}
