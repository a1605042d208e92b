//! An account is what its log adds up to, however often and from wherever it is added up.

use remote_provisioning::{
    credential::Previous,
    crypto::rustcrypto::RustCrypto,
    provisioning::{
        Account, Task,
        account::{Applied, Conflict},
        log::{LogEntry, What},
        message::Operation,
        watch::Alarm,
    },
    sim::IDENTITY,
    store::KeyStore,
    trust::voucher,
};

use super::{
    authority::{back, handed_on, recipient},
    *,
};

/// A log, and the account that the operator had in the end.
type Life = (String, Vec<LogEntry>, Account);

fn life(name: impl Into<String>, lab: &Lab) -> Life {
    (name.into(), lab.home.entries().collect(), lab.account())
}

/// Of each kind one, ended and not ended.
fn lives() -> Vec<Life> {
    let mut lives = Vec::new();
    for (way, mut lab, goal) in ways(1) {
        lab.goal = goal.clone();
        lab.session(5);
        lives.push(life(format!("{way}, not ended"), &lab));
        assert_eq!(lab.run(), Ok(()), "{way}");
        lives.push(life(way, &lab));
        if way != "one-shot" {
            let (_, mut lab, _) = ways(1).into_iter().find(|(name, ..)| *name == way).unwrap();
            lab.refusing = Some(("core", Code::TryLater));
            assert_eq!(lab.go(goal), Err(Refused::Aborted.into()), "{way}");
            lives.push(life(format!("{way}, aborted"), &lab));
        }
    }
    // One after another, in both modes, and given back.
    let mut lab = subscriber(2);
    for mode in [Previous::Beside, Previous::Shared, Previous::Beside] {
        lab.home.mode = mode;
        assert_eq!(lab.go(Goal::Rekey), Ok(()));
    }
    assert_eq!(lab.go(Goal::Retire), Ok(()));
    assert_eq!(lab.go(Goal::Provision), Ok(()));
    lives.push(life("re-keyed, retired and provisioned again", &lab));
    // Suspended, reinstated, revoked, with what was wanted in between.
    let mut lab = subscriber(3);
    let device = lab.device_id();
    let task = Task::suspend(&device, &lab.account()).unwrap();
    lab.carry_out(task).unwrap();
    let task = Task::reinstate(&device, &lab.account()).unwrap();
    lab.carry_out(task).unwrap();
    let wanted = lab.account().entry(&device.to_string(), What::Wanted(Operation::Rekey));
    lab.home.log(&wanted).unwrap();
    let task = Task::revoke(&device, &lab.account()).unwrap();
    lab.carry_out(task).unwrap();
    lives.push(life("revoked", &lab));
    assert_eq!(lab.go(Goal::Query), Ok(()));
    lives.push(life("revoked, and gone", &lab));
    // Handed on: what the donor has in its log, and what the recipient has.
    let mut lab = subscriber(4);
    let chain = handed_on(&lab, 2);
    let next = voucher::outline(&chain, &RustCrypto).unwrap().owner;
    let task = Task::hand_on(&device, &lab.account(), next, 2).unwrap();
    lab.carry_out(task).unwrap();
    lives.push(life("handed on", &lab));
    let donor = recipient(&mut lab, chain);
    assert_eq!(lab.go(Goal::Transfer), Ok(()));
    lives.push(life("transferred to this one", &lab));
    let receipt = lab.home.entries().find_map(|entry| match entry.what {
        What::Ended(signed) => signed.proof.receipts.last().map(|receipt| receipt.to_vec()),
        _ => None,
    });
    back(&mut lab, donor);
    let key = lab.device_keys.public_key(IDENTITY).unwrap();
    let task =
        Task::handed_on(&device, &lab.account(), &receipt.unwrap(), (&key, lab.device_config.domain), &RustCrypto);
    lab.carry_out(task.unwrap()).unwrap();
    lives.push(life("transferred from this one", &lab));
    // And one whose log was set back, and learned from the device what it had lost.
    let mut lab = subscriber(5);
    lab.goal = Goal::Rekey;
    lab.session(6);
    lab.home.restore(2);
    assert_eq!(lab.run(), Ok(()));
    lives.push(life("set back, and recovered", &lab));
    lives
}

fn replayed<'a>(mut account: Account, entries: impl IntoIterator<Item = &'a LogEntry>) -> Account {
    account.replay(entries, &RustCrypto).unwrap();
    account
}

/// The accounts after none of the entries, after one, and so on.
fn prefixes(entries: &[LogEntry]) -> Vec<Account> {
    let mut accounts = vec![Account::default()];
    for entry in entries {
        let mut next = accounts.last().unwrap().clone();
        assert_eq!(next.apply(entry, &RustCrypto), Ok(Applied::Now));
        accounts.push(next);
    }
    accounts
}

#[test]
fn every_kind_of_entry_that_a_device_causes_is_in_these_lives() {
    let lives = lives();
    let mut kinds: Vec<_> = lives.iter().flat_map(|(_, log, _)| log).map(|entry| lab::logged(&entry.what)).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let expected = [
        "abort",
        "aborted",
        "barred",
        "cleared",
        "commit",
        "confirmed",
        "erased",
        "offered",
        "prepared",
        "recovered",
        "reinstated",
        "released",
        "restored",
        "transferred",
        "wanted",
    ];
    assert_eq!(kinds, expected);
}

#[test]
fn a_log_makes_the_same_account_from_nothing_from_any_of_its_states_and_from_itself() {
    for (name, log, account) in lives() {
        assert_eq!(account.revision(), log.last().unwrap().number, "{name}");
        assert_eq!(replayed(Account::default(), &log), account, "{name}: what the operator had");
        assert_eq!(replayed(account.clone(), &log), account, "{name}: again");
        assert_eq!(replayed(Account::default(), log.iter().rev()), account, "{name}: in whatever order it is read");
        for (at, prefix) in prefixes(&log).into_iter().enumerate() {
            assert_eq!(replayed(prefix.clone(), &log), account, "{name} from {at}");
            assert_eq!(replayed(prefix.clone(), &log[at..]), account, "{name}: the rest from {at}");
            assert_eq!(replayed(prefix.clone(), &log[..at]), prefix, "{name}: nothing new at {at}");
        }
    }
}

#[test]
fn the_last_entry_may_come_twice_and_no_other_out_of_its_turn() {
    for (name, log, _) in lives() {
        for (at, prefix) in prefixes(&log).into_iter().enumerate() {
            for (place, entry) in log.iter().enumerate() {
                let expected = match place + 1 {
                    number if number == at => Ok(Applied::Before),
                    number if number == at + 1 => Ok(Applied::Now),
                    _ => Err(Conflict::Overtaken),
                };
                let mut account = prefix.clone();
                assert_eq!(account.apply(entry, &RustCrypto), expected, "{name}: entry {place} at {at}");
                assert_eq!(account == prefix, expected != Ok(Applied::Now), "{name}: entry {place} at {at}");
            }
            // Another one under the number of the last: somebody else was first.
            let Some(last) = at.checked_sub(1) else { continue };
            let other = LogEntry { what: What::Restored, ..log[last].clone() };
            let mut account = prefix.clone();
            if other != log[last] {
                assert_eq!(account.apply(&other, &RustCrypto), Err(Conflict::Overtaken), "{name} at {at}");
            }
            assert_eq!(account, prefix, "{name} at {at}");
        }
    }
}

/// With an entry missing it stops before the gap, and is not further than it was right.
#[test]
fn a_log_with_a_gap_is_taken_in_up_to_it() {
    for (name, log, _) in lives() {
        for missing in 0..log.len().saturating_sub(1) {
            let mut account = Account::default();
            let left = log.iter().filter(|entry| entry.number != log[missing].number);
            assert_eq!(account.replay(left, &RustCrypto), Err(Conflict::Overtaken), "{name} without {missing}");
            assert_eq!(account, prefixes(&log)[missing], "{name} without {missing}");
        }
    }
}

#[test]
fn what_a_device_may_hold_makes_room_for_another_offer_only_after_a_clean_start_or_a_restored_log() {
    let mut lab = subscriber(6);
    lab.goal = Goal::Rekey;
    lab.session(6);
    let offered = lab.home.entries().filter_map(|entry| match entry.what {
        What::Offered(offered) => Some(offered),
        _ => None,
    });
    let mut next = offered.last().unwrap();
    next.epoch += 1;
    let offer_after = |before: &[What]| {
        let mut account = lab.account();
        for what in before {
            let entry = account.entry(&lab.device_id().to_string(), what.clone());
            assert_eq!(account.apply(&entry, &RustCrypto), Ok(Applied::Now));
        }
        let entry = account.entry(&lab.device_id().to_string(), What::Offered(next.clone()));
        account.apply(&entry, &RustCrypto)
    };
    assert_eq!(offer_after(&[]), Err(Conflict::Contradiction));
    let alarm = What::Quarantined { alarm: Alarm::Heads, counter: (0, 0) };
    assert_eq!(offer_after(&[alarm, What::Cleaned]), Ok(Applied::Now));
    assert_eq!(offer_after(&[What::Restored]), Ok(Applied::Now));
}
