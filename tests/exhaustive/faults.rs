//! Seeded faults, one at a time in the real machines: the search has to find each.

use remote_provisioning::fault::{self, Fault};

use crate::{
    operations, search,
    world::{Budget, NOTHING, Stage},
};

/// Two starts are enough for all of them.
const TWO: Budget = Budget { starts: 2, ..NOTHING };

/// Searches the operations whose name begins so, until the first violation: it has to be of one of these invariants.
#[track_caller]
fn is_caught(fault: Fault, on: &str, budget: Budget, invariants: &[&str]) {
    let stage = Stage::new();
    let worlds = operations(&stage, budget);
    fault::seed(fault);
    let violation = worlds
        .into_iter()
        .filter(|(operation, _)| operation.starts_with(on))
        .find_map(|(operation, world)| Some(format!("{operation}: {}", search(&stage, world).err()?)));
    fault::clear();
    let violation = violation.unwrap_or_else(|| panic!("{fault:?}: nobody noticed"));
    eprintln!("{fault:?}: {violation}\n");
    assert!(invariants.iter().any(|invariant| violation.contains(invariant)), "{fault:?}: {violation}");
}

#[test]
fn a_device_that_switches_at_the_offer() {
    is_caught(Fault::SwitchesAtOffer, "", TWO, &["I1"]);
}

#[test]
fn an_operator_that_takes_old_requests() {
    is_caught(Fault::TakesOldRequests, "", TWO, &["I1", "agreement"]);
}

#[test]
fn an_operator_that_aborts_without_reading_the_core_back() {
    let budget = Budget { failures: 1, ..TWO };
    is_caught(Fault::AbortsUnread, "re-key, mode S", budget, &["I1", "agreement"]);
}

#[test]
fn a_device_that_erases_the_old_key_at_the_decision() {
    is_caught(Fault::ErasesAtDecision, "re-key, mode N", TWO, &["I2"]);
}

#[test]
fn a_core_that_begins_its_numbers_again() {
    is_caught(Fault::ResetsSqn, "", Budget { attaches: 1, ..TWO }, &["I4"]);
}

#[test]
fn an_operator_that_sends_before_it_logs() {
    is_caught(Fault::SendsBeforeLogging, "re-key, mode S", TWO, &["stray", "I1", "I6", "agreement"]);
}

#[test]
fn a_device_that_begins_anew_with_something_prepared() {
    is_caught(Fault::BeginsAnew, "re-key", TWO, &["I1", "agreement"]);
}
