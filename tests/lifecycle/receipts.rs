//! The line of receipts: what a third party finds in an exported history, and what an operator does with a broken one.

use remote_provisioning::{
    crypto::{Crypto, Hash, rustcrypto::RustCrypto},
    identity::Domain,
    provisioning::{
        log::What,
        receipt::{Event, Fault, Head, History, Receipt, Summary, summarise},
        watch::Alarm,
    },
    sim::{IDENTITY, maker},
    store::{KeyId, KeyStore, memory::MemoryKeyStore},
};

use super::*;

struct Line {
    keys: MemoryKeyStore,
    receipts: Vec<Vec<u8>>,
}

impl Line {
    fn new(count: u64) -> Self {
        let mut line = Self { keys: maker::keys("a device").unwrap(), receipts: Vec::new() };
        for sequence in 1..=count {
            let previous = line.receipts.last().map(|last| RustCrypto.sha256(&[last]));
            let receipt = line.receipt(sequence, previous, 0);
            line.receipts.push(receipt);
        }
        line
    }

    fn receipt(&self, sequence: u64, previous: Option<Hash>, epoch: u32) -> Vec<u8> {
        let receipt = Receipt {
            domain: Domain::Test,
            sequence,
            previous,
            txn: [1; 16],
            event: Event::Activated,
            supi_hash: [2; 32],
            epoch,
            package_hash: [3; 32],
            owner_epoch: 1,
            grant: None,
        };
        receipt.sign(maker::signer(&self.keys)).unwrap()
    }

    fn verified(&self, after: Head, entries: &[Vec<u8>]) -> (Result<(), Fault>, History) {
        let mut history = History::after(after);
        let key = self.keys.public_key(KeyId(0)).unwrap();
        let outcome = history.extend(entries.iter().map(Vec::as_slice), &key, &RustCrypto);
        (outcome, history)
    }

    fn head(&self, sequence: usize) -> Head {
        let hash = sequence.checked_sub(1).map(|at| RustCrypto.sha256(&[&self.receipts[at]]));
        Head { sequence: u64::try_from(sequence).unwrap(), hash }
    }

    fn summary(&self, first: &[u8], second: &[u8]) -> Vec<u8> {
        summarise(first, second, maker::signer(&self.keys), &RustCrypto).unwrap()
    }
}

#[test]
fn a_whole_history_verifies_from_the_first_receipt_or_from_where_one_stands() {
    let line = Line::new(6);
    let (outcome, history) = line.verified(Head::default(), &line.receipts);
    assert_eq!((outcome, history.head, history.receipts.len()), (Ok(()), line.head(6), 6));
    for seen in 0..=6 {
        // What was seen before may come again, or not.
        for from in 0..=seen {
            let (outcome, history) = line.verified(line.head(seen), &line.receipts[from..]);
            assert_eq!(
                (outcome, history.head, history.receipts.len()),
                (Ok(()), line.head(6), 6 - seen),
                "{seen} {from}"
            );
        }
    }
}

#[test]
fn the_first_gap_or_fork_is_named() {
    let line = Line::new(6);
    for missing in 1..=5_usize {
        for more in 1..=(6 - missing).min(2) {
            let mut entries = line.receipts.clone();
            entries.drain(missing - 1..missing - 1 + more);
            let (outcome, history) = line.verified(Head::default(), &entries);
            let (from, to) = (u64::try_from(missing).unwrap(), u64::try_from(missing + more - 1).unwrap());
            let expected = if to == 6 { Ok(()) } else { Err(Fault::Gap { from, to }) };
            assert_eq!(outcome, expected, "{missing} {more}");
            assert_eq!(history.head, line.head(missing - 1), "what came before is good");
        }
    }
    for forked in 1..=6_usize {
        let sequence = u64::try_from(forked).unwrap();
        let previous = line.head(forked - 1).hash;
        // Another receipt with that number: seen before, or followed by those of the true line.
        let other = line.receipt(sequence, previous, 9);
        let (outcome, _) = line.verified(line.head(forked), core::slice::from_ref(&other));
        assert_eq!(outcome, Err(Fault::Fork { sequence }), "{forked}");
        let mut entries = line.receipts.clone();
        entries[forked - 1] = other;
        let (outcome, _) = line.verified(Head::default(), &entries);
        let expected = if forked == 6 { Ok(()) } else { Err(Fault::Fork { sequence: sequence + 1 }) };
        assert_eq!(outcome, expected, "{forked}: the next one follows on another");
    }
    let (outcome, _) = line.verified(Head::default(), &[line.receipts[1].clone(), line.receipts[0].clone()]);
    assert_eq!(outcome, Err(Fault::Gap { from: 1, to: 1 }), "in the wrong order");
}

#[test]
fn nobody_else_can_put_anything_into_a_history() {
    let line = Line::new(2);
    let stranger = Line { keys: maker::keys("another device").unwrap(), receipts: Vec::new() };
    let forged = stranger.receipt(2, line.head(1).hash, 0);
    let (outcome, _) = line.verified(line.head(1), &[forged]);
    assert_eq!(outcome, Err(Fault::NotAuthentic { at: 0 }));
    for at in 0..line.receipts[1].len() {
        let mut changed = line.receipts[1].clone();
        changed[at] ^= 1;
        let (outcome, history) = line.verified(Head::default(), &[line.receipts[0].clone(), changed]);
        assert_eq!((outcome, history.head), (Err(Fault::NotAuthentic { at: 1 }), line.head(1)), "{at}");
    }
}

#[test]
fn a_summary_stands_for_the_receipts_in_it_and_is_named_as_what_it_is() {
    let line = Line::new(8);
    let mut held = line.receipts.clone();
    for _ in 0..4 {
        let summary = line.summary(&held[0], &held[1]);
        held.splice(..2, [summary]);
        let (outcome, history) = line.verified(Head::default(), &held);
        let told = u64::try_from(9 - held.len()).unwrap();
        assert_eq!((outcome, history.head), (Ok(()), line.head(8)));
        assert_eq!((history.summarised, history.receipts.len()), (vec![(1, told)], held.len() - 1));
    }
    // Somebody who has seen a part of it takes the rest.
    for seen in 0..=8 {
        let (outcome, history) = line.verified(line.head(seen), &held);
        assert_eq!((outcome, history.head), (Ok(()), line.head(8)), "{seen}");
    }
    // A summary that begins elsewhere is a gap; one that follows on something else is a fork.
    let gap = line.summary(&line.receipts[2], &line.receipts[3]);
    assert_eq!(line.verified(Head::default(), &[gap]).0, Err(Fault::Gap { from: 1, to: 2 }));
    let other = line.receipt(2, Some([9; 32]), 0);
    let fork = line.summary(&other, &line.receipts[2]);
    assert_eq!(line.verified(line.head(1), &[fork]).0, Err(Fault::Fork { sequence: 2 }));
    let backwards = Summary { domain: Domain::Test, from: 3, to: 2, previous: line.head(2).hash, last: [0; 32] };
    let backwards = backwards.sign(maker::signer(&line.keys)).unwrap();
    assert_eq!(line.verified(line.head(2), &[backwards]).0, Err(Fault::NotAuthentic { at: 0 }));
}

/// The operator's log, as an auditor has it.
#[test]
fn the_log_of_a_whole_life_is_one_line() {
    let mut lab = subscriber(1);
    for goal in [Goal::Rekey, Goal::Rekey, Goal::Retire, Goal::Provision] {
        assert_eq!(lab.go(goal), Ok(()));
    }
    let proofs = lab.home.entries().filter_map(|entry| match entry.what {
        What::Prepared(signed) | What::Ended(signed) => Some(signed.proof),
        What::Received(proof) => Some(proof),
        _ => None,
    });
    let receipts: Vec<_> = proofs.flat_map(|proof| proof.receipts).collect();
    let key = lab.device_keys.public_key(IDENTITY).unwrap();
    let mut history = History::default();
    history.extend(receipts.iter().map(|receipt| receipt.as_slice()), &key, &RustCrypto).unwrap();
    assert_eq!((history.head.sequence, history.receipts.len()), (7, 7));
    let events: Vec<_> = history.receipts.iter().map(|receipt| receipt.event).collect();
    let (prepared, activated) = (Event::Prepared, Event::Activated);
    assert_eq!(events, [activated, prepared, activated, prepared, activated, Event::Erased, activated]);
    assert_eq!(lab.account().receipts(), history.head);
}

/// Its memory was set back and its counter was not: the receipts give it away.
#[test]
fn a_device_with_two_lines_of_receipts_is_quarantined() {
    let mut lab = subscriber(2);
    lab.goal = Goal::Rekey;
    lab.session(6); // Prepared, and told of it.
    let mut visitor = None;
    lab.stopping = Some("appraise");
    let mut session = lab.session(3);
    let message = session.message(3);
    lab.tell_operator(&mut session.operator, &message).unwrap();
    if let Some(remote_provisioning::provisioning::Question::Appraise(it)) = lab.serve(&mut session.operator).open {
        visitor = Some(it);
    }
    let visitor = visitor.unwrap();
    let account = lab.account();
    assert!(account.admit(&visitor, &RustCrypto).is_ok());
    // Another receipt of the same number, well signed.
    let key = lab.device_keys.public_key(IDENTITY).unwrap();
    let receipt = Receipt::verify(&visitor.receipts[0], &key, &RustCrypto).unwrap();
    let other = Receipt { package_hash: [9; 32], ..receipt };
    let mut forked = visitor.clone();
    forked.receipts = vec![other.sign(|message| lab.device_keys.sign(IDENTITY, message)).unwrap()];
    forked.state.last_receipt = Some(RustCrypto.sha256(&[&forked.receipts[0]]));
    let alarm = remote_provisioning::provisioning::watch::Refusal::Alarm(Alarm::Receipts);
    assert_eq!(account.admit(&forked, &RustCrypto).err(), Some(alarm));
    // Or a last receipt that is not among those it shows.
    let mut hiding = visitor;
    hiding.state.last_receipt = Some([7; 32]);
    assert_eq!(account.admit(&hiding, &RustCrypto).err(), Some(alarm));
}
