//! What owners, users and other operators have signed, in a session.

use arrayvec::ArrayString;
use remote_provisioning::{
    authority::{Association, Grant, Granter, Retirement, grant},
    credential::{SNssai, ServiceProfile, SoftUsim},
    crypto::{Crypto, rustcrypto::RustCrypto},
    edhoc::OwnCredential,
    error::{Misbehaved, Misuse, Voucher},
    identity::{Domain, Role},
    provisioning::{
        Task,
        log::What,
        message::{Operation, Standing},
        operator,
        receipt::{Event, Receipt},
    },
    sim::{IDENTITY, TODAY, home::Home, identities, maker},
    store::{KeyId, KeyStore, Slot, SubscriptionStore, memory::MemoryKeyStore},
    trust::{Date, Pinned, voucher},
};

use super::*;
use crate::lab::Keys;

const KEY: KeyId = KeyId(0);

fn owner(sentence: &str) -> MemoryKeyStore {
    maker::keys(sentence).unwrap()
}

fn scope(quota: u64) -> ServiceProfile {
    ServiceProfile { dnn: ArrayString::from("iot").ok(), quota: Some(quota), ..ServiceProfile::default() }
}

/// A grant of the owner's, good for a day.
fn granted(lab: &Lab, owner: &MemoryKeyStore, change: impl FnOnce(&mut Grant<'_>)) -> Vec<u8> {
    let (device, scope) = (lab.device_id(), scope(1_000));
    let mut grant = Grant {
        iss: "owner@example",
        device: &device,
        operator: &lab.home.name,
        expires: Date(TODAY.0 + 86_400),
        not_before: Some(TODAY),
        cti: b"grant no 1",
        scope: &scope,
    };
    change(&mut grant);
    grant.sign(maker::signer(owner)).unwrap()
}

/// An operator that takes grants of this owner.
fn taking(mut lab: Lab, owner: &MemoryKeyStore) -> Lab {
    let key = owner.public_key(KEY).unwrap();
    lab.home.granters = vec![Granter::new("owner@example", key, Domain::Test).unwrap()];
    lab.home.limit = scope(5_000);
    lab
}

/// The receipts of the log, oldest first.
fn receipts(lab: &Lab) -> Vec<Receipt> {
    let key = lab.device_keys.public_key(IDENTITY).unwrap();
    let proofs = lab.home.entries().filter_map(|entry| match entry.what {
        What::Prepared(signed) | What::Ended(signed) => Some(signed.proof.receipts),
        What::Received(proof) => Some(proof.receipts),
        _ => None,
    });
    proofs.flatten().map(|receipt| Receipt::verify(&receipt, &key, &RustCrypto).unwrap()).collect()
}

#[test]
fn on_demand_a_device_gets_what_was_granted_and_every_receipt_says_on_whose_account() {
    let owner = owner("owner");
    for (what, mut lab) in [("a new device", Lab::new(1)), ("a subscriber", subscriber(1))] {
        let had = lab.held().is_some();
        lab = taking(lab, &owner);
        let token = granted(&lab, &owner, |_| {});
        assert_eq!(lab.go(Goal::OnDemand(token.clone())), Ok(()), "{what}");
        let name = grant::hash(&token, &RustCrypto).unwrap();
        let told: Vec<_> = receipts(&lab).into_iter().skip(usize::from(had)).collect();
        assert!(!told.is_empty() && told.iter().all(|receipt| receipt.grant == Some(name)), "{what}");
        assert_eq!(lab.account().active().unwrap().grant, Some(name), "{what}");
        // The scope of the grant, and its end, are in the device's package.
        let slot = if had { Slot::B } else { Slot::A };
        let content = lab.store.slot(slot).unwrap().unwrap();
        let profile = SoftUsim::card(&content).unwrap().profile.unwrap();
        assert_eq!((profile.quota, profile.expiry), (Some(1_000), Some(TODAY.0 + 86_400)), "{what}");
        // And in the core, which is who sees to it.
        let supi = lab.held().unwrap().0.id.supi;
        assert_eq!(lab.home.profile(&supi), Some(&profile), "{what}");
        // Once.
        assert_eq!(lab.go(Goal::OnDemand(token)), refused(Code::GrantUsed), "{what}");
    }
}

/// An answer that was lost, and another contact in between, use up nothing.
#[test]
fn a_grant_is_used_when_something_has_come_of_it() {
    let owner = owner("owner");
    let mut lab = taking(subscriber(3), &owner);
    let token = granted(&lab, &owner, |_| {});
    lab.goal = Goal::OnDemand(token.clone());
    lab.session(4); // The offer is lost.
    assert_eq!(lab.go(Goal::Query), Ok(()));
    // Another token of the same name is another grant.
    let twin = granted(&lab, &owner, |grant| grant.expires = Date(TODAY.0 + 9_999));
    assert_eq!(lab.go(Goal::OnDemand(twin)), refused(Code::GrantUsed));
    assert_eq!(lab.go(Goal::OnDemand(token.clone())), Ok(()));
    assert_eq!(lab.go(Goal::OnDemand(token)), refused(Code::GrantUsed));
}

#[test]
fn an_operator_may_demand_a_grant_for_everything() {
    let owner = owner("owner");
    let mut lab = taking(Lab::new(4), &owner);
    lab.home.demands_grant = true;
    assert_eq!(lab.go(Goal::Provision), refused(Code::GrantMissing));
    let token = granted(&lab, &owner, |_| {});
    assert_eq!(lab.go(Goal::OnDemand(token)), Ok(()));
    assert_eq!(lab.go(Goal::Rekey), refused(Code::GrantMissing));
    assert_eq!(lab.go(Goal::Query), Ok(()), "what issues nothing needs none");
}

#[test]
fn without_a_good_grant_there_is_nothing_on_demand() {
    let (owner, stranger) = (owner("owner"), owner("stranger"));
    let wide = scope(6_000);
    let slice = ServiceProfile { s_nssai: Some(SNssai { sst: 1, sd: None }), ..scope(1) };
    let dnn = ServiceProfile { dnn: ArrayString::from("internet").ok(), ..scope(1) };
    let other = maker::raw_device_id().unwrap();
    let elsewhere = "elsewhere.example".parse().unwrap();
    let (device, name, honest) = (maker::device_id().unwrap(), Lab::new(2).home.name, scope(1_000));
    let good = Grant {
        iss: "owner@example",
        device: &device,
        operator: &name,
        expires: Date(TODAY.0 + 86_400),
        not_before: Some(TODAY),
        cti: b"grant no 1",
        scope: &honest,
    };
    let cases = [
        ("a stranger's", Grant { ..good }, &stranger, Code::GrantNotAuthentic),
        ("of another name", Grant { iss: "somebody", ..good }, &owner, Code::GrantNotAuthentic),
        ("for another device", Grant { device: &other, ..good }, &owner, Code::GrantOtherDevice),
        ("for another operator", Grant { operator: &elsewhere, ..good }, &owner, Code::GrantOtherDevice),
        ("over", Grant { expires: TODAY, not_before: None, ..good }, &owner, Code::GrantExpired),
        ("not yet", Grant { not_before: Some(Date(TODAY.0 + 9_999)), ..good }, &owner, Code::GrantExpired),
        ("for too much", Grant { scope: &wide, ..good }, &owner, Code::GrantScope),
        ("for another slice", Grant { scope: &slice, ..good }, &owner, Code::GrantScope),
        ("for another network", Grant { scope: &dnn, ..good }, &owner, Code::GrantScope),
    ];
    for (what, grant, signer, code) in cases {
        let mut lab = taking(Lab::new(2), &owner);
        let token = grant.sign(maker::signer(signer)).unwrap();
        assert_eq!(lab.go(Goal::OnDemand(token)), refused(code), "{what}");
        assert!(lab.held().is_none() && lab.logged().is_empty(), "{what}");
        let token = Grant { cti: b"grant no 2", ..good }.sign(maker::signer(&owner)).unwrap();
        assert_eq!(lab.go(Goal::OnDemand(token)), Ok(()), "{what}: a good one");
    }
    // No policy of the operator's opens this door: the machine itself asks for a permit.
    let mut lab = Lab::new(2);
    lab.home.granters = Vec::new();
    let token = granted(&lab, &owner, |_| {});
    assert_eq!(lab.go(Goal::OnDemand(token)), refused(Code::GrantNotAuthentic));
}

/// The old owner releases, the new one accepts; the device sleeps, and gets a new K when it wakes up.
#[test]
fn a_subscription_goes_into_other_hands_while_its_device_sleeps() {
    let (seller, buyer) = (owner("seller"), owner("buyer"));
    let key = |keys: &MemoryKeyStore| keys.public_key(KEY).unwrap();
    let mut lab = subscriber(3);
    let device = lab.device_id();
    let first = Association::first(&key(&seller), ArrayString::from("msisdn-1").ok()).unwrap();
    let task = Task::associate(&device, &lab.account(), first.clone());
    lab.carry_out(task).unwrap();
    let until = Date(TODAY.0 + 1_000);
    let deed = first.deed(&device, Domain::Test, &key(&buyer), ArrayString::from("msisdn-2").ok(), until).unwrap();
    let (release, acceptance) =
        (deed.release(maker::signer(&seller)).unwrap(), deed.acceptance(maker::signer(&buyer)).unwrap());
    // Nobody does it alone.
    for (release, acceptance) in [(&release, &release), (&acceptance, &acceptance), (&acceptance, &release)] {
        assert!(first.change(release, acceptance, &device, Domain::Test, TODAY, &RustCrypto).is_err());
    }
    let next = first.change(&release, &acceptance, &device, Domain::Test, TODAY, &RustCrypto).unwrap();
    let task = Task::associate(&device, &lab.account(), next.clone());
    lab.carry_out(task).unwrap();
    assert_eq!(lab.account().association(), Some(&next));
    // The seller has no say any more: its deed is worth nothing now, nor is another one of its.
    assert!(next.change(&release, &acceptance, &device, Domain::Test, TODAY, &RustCrypto).is_err());
    assert_eq!(lab.account().wanted(), Some(Operation::Reassociate));
    assert_eq!(lab.go(Goal::Reassociate), Ok(()));
    assert_eq!(lab.account().wanted(), None);
    let (held, _) = lab.held().unwrap();
    assert_eq!(held.id.epoch, 2, "a new K");
    let content = lab.store.slot(Slot::B).unwrap().unwrap();
    let card = SoftUsim::card(&content).unwrap();
    assert_eq!(card.profile.unwrap().gpsi.as_deref(), Some("msisdn-2"), "under the new number");
    lab.attach(&held);
}

/// The other operator: a raw key that the device's anchors know.
pub(super) fn recipient(lab: &mut Lab, chain: Vec<u8>) -> (Home, operator::Config, Keys) {
    let pinned = Pinned::from_ccs(identities::raw_operator_ccs(), Role::Operator, Domain::Test, &RustCrypto).unwrap();
    let own = OwnCredential::pinned(IDENTITY, &pinned).unwrap();
    let mut home = Home::laboratory().unwrap();
    home.policy = remote_provisioning::attestation::Policy::without_evidence("bench").unwrap();
    home.own(lab.device_config.name, chain);
    (
        core::mem::replace(&mut lab.home, home),
        core::mem::replace(&mut lab.operator_config, operator::Config::new(own, Domain::Test)),
        core::mem::replace(&mut lab.operator_keys, Keys::new(identities::raw_operator_key())),
    )
}

pub(super) fn back(
    lab: &mut Lab,
    (home, config, keys): (Home, operator::Config, Keys),
) -> (Home, operator::Config, Keys) {
    (
        core::mem::replace(&mut lab.home, home),
        core::mem::replace(&mut lab.operator_config, config),
        core::mem::replace(&mut lab.operator_keys, keys),
    )
}

/// The donor's next entry in the voucher: the device goes to the operator with the raw key.
pub(super) fn handed_on(lab: &Lab, epoch: u32) -> Vec<u8> {
    let donor = lab.operator_keys.public_key(IDENTITY).unwrap();
    let chain = maker::voucher(&lab.device_config.name, &donor).unwrap();
    let next = maker::keys_of(identities::raw_operator_key()).unwrap();
    let next = next.public_key(KEY).unwrap().thumbprint(&RustCrypto);
    let sign = |message: &[u8]| lab.operator_keys.sign(IDENTITY, message);
    voucher::extend(&chain, &donor, &next, epoch, Domain::Test, sign, &RustCrypto).unwrap()
}

/// Of the first operation that the operator's log has as ended.
fn last_receipt(lab: &Lab) -> Vec<u8> {
    let mut ended = lab.home.entries().filter_map(|entry| match entry.what {
        What::Ended(signed) => signed.proof.receipts.last().map(|receipt| receipt.to_vec()),
        _ => None,
    });
    ended.next().unwrap()
}

#[test]
fn a_device_is_transferred_and_the_donor_lets_go_on_its_receipt() {
    let mut lab = subscriber(4);
    let (device, key) = (lab.device_id(), lab.device_keys.public_key(IDENTITY).unwrap());
    let (old, _) = lab.held().unwrap();
    let donor_key = lab.operator_keys.public_key(IDENTITY).unwrap();
    let chain = handed_on(&lab, 2);
    let next = voucher::outline(&chain, &RustCrypto).unwrap().owner;
    assert!(Task::hand_on(&device, &lab.account(), next, 1).is_err(), "epochs only grow");
    let task = Task::hand_on(&device, &lab.account(), next, 2).unwrap();
    lab.carry_out(task).unwrap();
    assert_eq!(lab.go(Goal::Rekey), refused(Code::NotEntitled), "nothing more is issued here");
    lab.attach(&old);

    let donor = recipient(&mut lab, chain);
    assert_eq!(lab.go(Goal::Rekey), Err(Voucher::OtherOwner.into()), "a new owner is for a transfer only");
    assert_eq!(lab.go(Goal::Transfer), Ok(()));
    let (new, complete) = lab.held().unwrap();
    assert!(complete && new.id.epoch > old.id.epoch);
    lab.attach(&new);
    let receipt = last_receipt(&lab);

    // The donor lets go on this receipt, and on no other.
    let recipient = back(&mut lab, donor);
    let other = Receipt { owner_epoch: 3, ..Receipt::verify(&receipt, &key, &RustCrypto).unwrap() };
    let prepared = Receipt { event: Event::Prepared, owner_epoch: 2, ..other.clone() };
    for wrong in [&other, &prepared] {
        let wrong = wrong.sign(|message| lab.device_keys.sign(IDENTITY, message)).unwrap();
        let task = Task::handed_on(&device, &lab.account(), &wrong, (&key, Domain::Test), &RustCrypto);
        assert_eq!(task.map(|_| ()), Err(Misbehaved::WrongReceipt.into()));
    }
    assert!(Task::handed_on(&device, &lab.account(), &receipt, (&donor_key, Domain::Test), &RustCrypto).is_err());
    assert_eq!(lab.home.subscribers().count(), 1, "still there");
    let task = Task::handed_on(&device, &lab.account(), &receipt, (&key, Domain::Test), &RustCrypto).unwrap();
    lab.carry_out(task).unwrap();
    assert_eq!((lab.home.subscribers().count(), lab.account().standing()), (0, Standing::Retired));
    let retirement = Retirement::new(Domain::Test, &device, 2, RustCrypto.sha256(&[&receipt])).unwrap();
    let retirement = retirement.sign(|message| lab.operator_keys.sign(IDENTITY, message)).unwrap();
    let told = Retirement::verify(&retirement, &donor_key, &RustCrypto).unwrap();
    assert!(told.is_about(&device) && told.receipt == RustCrypto.sha256(&[&receipt]));
    assert!(Retirement::verify(&retirement, &key, &RustCrypto).is_err());
    let again = Task::handed_on(&device, &Default::default(), &receipt, (&key, Domain::Test), &RustCrypto);
    assert_eq!(again.map(|_| ()), Err(Misuse::NotNow("the device was not handed on").into()));

    // To the device, the donor is a stranger with an old voucher.
    for goal in [Goal::Query, Goal::Rekey, Goal::Retire, Goal::Transfer] {
        assert!(lab.go(goal.clone()).is_err(), "{goal:?}");
        assert_eq!(lab.held(), Some((new, true)), "{goal:?}");
    }
    back(&mut lab, recipient);
    assert_eq!(lab.go(Goal::Query), Ok(()));
    assert_eq!(lab.go(Goal::Rekey), Ok(()));
}

/// The donor had revoked the device before it heard that it is gone: it stays revoked.
#[test]
fn a_device_that_was_revoked_and_transferred_stays_revoked() {
    let mut lab = subscriber(8);
    let (device, key) = (lab.device_id(), lab.device_keys.public_key(IDENTITY).unwrap());
    let chain = handed_on(&lab, 2);
    let next = voucher::outline(&chain, &RustCrypto).unwrap().owner;
    let task = Task::hand_on(&device, &lab.account(), next, 2).unwrap();
    lab.carry_out(task).unwrap();
    let task = Task::revoke(&device, &lab.account()).unwrap();
    lab.carry_out(task).unwrap();
    let donor = recipient(&mut lab, chain);
    assert_eq!(lab.go(Goal::Transfer), Ok(()));
    let receipt = last_receipt(&lab);
    back(&mut lab, donor);
    let task = Task::handed_on(&device, &lab.account(), &receipt, (&key, Domain::Test), &RustCrypto).unwrap();
    lab.carry_out(task).unwrap();
    assert_eq!((lab.home.subscribers().count(), lab.account().standing()), (0, Standing::Revoked));
}

/// An operator that stops answering keeps no device, whatever it had open with it.
#[test]
fn an_operator_that_does_not_answer_any_more_is_left() {
    // Of a re-key with the donor: prepared, decided; confirmed and not complete. Of a revocation: erased, not complete.
    for (goal, messages) in [(Goal::Rekey, 5), (Goal::Rekey, 7), (Goal::Rekey, 8), (Goal::Query, 6)] {
        let at = format!("{goal:?}, {messages} messages");
        let mut lab = subscriber(6);
        let chain = handed_on(&lab, 2);
        let revoked = goal == Goal::Query;
        if revoked {
            let task = Task::revoke(&lab.device_id(), &lab.account()).unwrap();
            lab.carry_out(task).unwrap();
        }
        lab.goal = goal;
        lab.session(messages);
        let before = lab.held().map(|(held, _)| held);
        assert_eq!(before.is_none(), revoked, "{at}");
        recipient(&mut lab, chain);
        for goal in [Goal::Transfer, Goal::Provision, Goal::Query] {
            assert_eq!(lab.go(goal), Err(Voucher::OtherOwner.into()), "{at}: what is open comes first");
        }
        // The new one may be out of reach, too: nothing is lost by asking.
        lab.goal = Goal::Leave;
        lab.session(3);
        assert_eq!(lab.held().map(|(held, _)| held), before, "{at}");
        assert_eq!(lab.go(Goal::Leave), Ok(()), "{at}");
        let (new, complete) = lab.held().unwrap();
        assert!(complete && Some(new) != before, "{at}");
        lab.attach(&new);
    }
    // And from a recipient that is gone, back to where the credential in use comes from, or on.
    let mut lab = subscriber(7);
    let chain = handed_on(&lab, 2);
    let donor = recipient(&mut lab, chain.clone());
    lab.goal = Goal::Transfer;
    lab.session(5);
    recipient(&mut lab, chain);
    assert_eq!(lab.go(Goal::Transfer), refused(Code::Conflict), "it knows nothing of what was prepared");
    assert_eq!(lab.go(Goal::Leave), Ok(()));
    let (new, _) = lab.held().unwrap();
    lab.attach(&new);
    drop(donor);
}

/// A recipient that changes its mind takes back what is its own: the donor's credential is none of that.
#[test]
fn a_recipient_that_revokes_what_is_only_prepared_leaves_the_donors_credential_alone() {
    // The sixth one decides.
    for messages in 3..=5 {
        let mut lab = subscriber(8);
        let (old, _) = lab.held().unwrap();
        let chain = handed_on(&lab, 2);
        let next = voucher::outline(&chain, &RustCrypto).unwrap().owner;
        let task = Task::hand_on(&lab.device_id(), &lab.account(), next, 2).unwrap();
        lab.carry_out(task).unwrap();
        let donor = recipient(&mut lab, chain);
        lab.goal = Goal::Transfer;
        lab.session(messages);
        let task = Task::revoke(&lab.device_id(), &lab.account()).unwrap();
        lab.carry_out(task).unwrap();
        lab.power_cut();
        let slots =
            |lab: &Lab| [Slot::A, Slot::B].into_iter().filter(|slot| lab.store.slot(*slot).unwrap().is_some()).count();
        let prepared = slots(&lab) == 2;
        let told = if prepared { Err(Refused::Aborted.into()) } else { refused(Code::Revoked) };
        assert_eq!(lab.go(Goal::Transfer), told, "{messages}");
        assert_eq!((lab.held(), slots(&lab)), (Some((old, true)), 1), "{messages}");
        assert_eq!((lab.home.subscribers().count(), lab.account().standing()), (0, Standing::Revoked), "{messages}");
        assert_eq!(lab.go(Goal::Transfer), refused(Code::Revoked), "{messages}");
        let recipient = back(&mut lab, donor);
        lab.attach(&old);
        assert_eq!(lab.go(Goal::Query), Ok(()), "{messages}");
        // And it may change its mind again.
        back(&mut lab, recipient);
        let task = Task::reinstate(&lab.device_id(), &lab.account()).unwrap();
        lab.carry_out(task).unwrap();
        assert_eq!(lab.go(Goal::Transfer), Ok(()), "{messages}");
        let (new, complete) = lab.held().unwrap();
        assert!(complete && new != old, "{messages}");
        lab.attach(&new);
    }
}

/// Whichever message of it is lost: the device is served by one of the two, and the next start finishes it.
#[test]
fn a_transfer_that_is_interrupted_is_finished_with_the_new_operator() {
    for messages in 1..=8 {
        let mut lab = subscriber(5);
        let (old, _) = lab.held().unwrap();
        let chain = handed_on(&lab, 2);
        let donor = recipient(&mut lab, chain);
        lab.goal = Goal::Transfer;
        lab.session(messages);
        lab.power_cut();
        // Served by whoever it says.
        let (held, _) = lab.held().unwrap();
        if held == old {
            let recipient = back(&mut lab, donor);
            lab.attach(&held);
            // The donor hears nothing of a transaction that is not its own.
            if messages > 5 {
                assert_eq!(lab.go(Goal::Transfer), Err(Voucher::OtherOwner.into()), "{messages}");
            }
            back(&mut lab, recipient);
        } else {
            lab.attach(&held);
        }
        for _ in 0..2 {
            if lab.kept().0 {
                assert_eq!(lab.go(Goal::Transfer), Ok(()), "{messages}");
            }
        }
        let (new, complete) = lab.held().unwrap();
        assert!(complete && new != old, "{messages}");
        lab.attach(&new);
    }
}
