//! Every way that it can go: an exhaustive search over the real machines.
//!
//! A state is what is durable on both sides, the core, the machines that run, and every message that was ever sent. From
//! each state everything that can happen is tried: any message reaches its receiver, again or for the first time or never; the
//! device starts anew (its machine is gone, whatever it was at); an answer of the operator's systems comes, or never; a core
//! write fails, or succeeds without saying so; a write of the device is torn; the log is restored to any earlier state; the
//! flash is brought back to any earlier one; attaches fail.
//!
//! **Machines are made again, not copied.** An EDHOC state has secrets and cannot be cloned, so a device's machine is what it
//! has seen since its start, seen again; an operator's rests in its own sealed token. Randomness follows from the side, the
//! session and what came, so the same history has the same bytes, and equal states are found to be equal.
//!
//! **Crashes need no step of their own.** A device that crashes before a commit is one that the message never reached; after
//! it, one that starts anew. A server that crashes is one that never answers.
//!
//! **Bounds.** The handshake up to message_3 is one step: nothing in it is durable but the start. Three starts of the device,
//! and one of the accidents: a restored log, a flash brought back, a core write that fails, a torn write, attaches, attaches that
//! fail. Or two starts, and the operator sets to something of its own: a revocation, or a suspension and its end. Questions that
//! touch nothing shared are answered at once.
//!
//! In each state the invariants I1 to I6 are asserted, that the core has nothing that the operator does not know of, and that
//! from there, honestly, agreement is reached; by itself, but where a log or a flash went back.
//!
//! `faults` puts faults into the machines, one at a time, and expects that the search finds them: `.ci/run faults`.
#![cfg(feature = "sim")]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::std_instead_of_alloc,
    clippy::unwrap_used,
    clippy::wrong_self_convention,
    reason = "a test that panics has found something; a long one says how far it is"
)]

#[cfg(seeded_faults)]
mod faults;
#[path = "../../fuzz/src/doors/memo.rs"]
mod memo;
mod office;
mod world;

use std::collections::{HashMap, HashSet, VecDeque};

use office::Office;
use remote_provisioning::{
    credential::{Activation, Previous},
    provisioning::device::Goal,
};
use world::{Budget, NOTHING, Stage, World};

/// What a search has found.
struct Found {
    states: usize,
    steps: usize,
    persons: usize,
}

/// Breadth first, so that the first violation has a shortest trace.
fn search(stage: &Stage, start: World) -> Result<Found, String> {
    let mut known = HashSet::from([start.hash()]);
    let mut settled = HashMap::new();
    let mut trail: Vec<(usize, String)> = vec![(0, "start".to_owned())];
    let mut queue = VecDeque::from([(0, start)]);
    let (mut steps, mut persons) = (0, 0);
    while let Some((place, world)) = queue.pop_front() {
        let verdict = world.check().and_then(|()| {
            let key = (world.durable(), world.tampered);
            if let Some(known) = settled.get(&key) {
                return Ok(*known);
            }
            world.settle(stage).inspect(|persons| {
                settled.insert(key, *persons);
            })
        });
        match verdict {
            Ok(count) => persons += usize::from(count > 0),
            Err(violation) => return Err(told(&trail, place, &violation)),
        }
        for (label, next) in world.next(stage) {
            steps += 1;
            if known.insert(next.hash()) {
                trail.push((place, label));
                queue.push_back((trail.len() - 1, next));
            }
        }
    }
    Ok(Found { states: known.len(), steps, persons })
}

/// The way to a violation, step by step.
fn told(trail: &[(usize, String)], mut place: usize, violation: &str) -> String {
    let mut steps = Vec::new();
    while place > 0 {
        steps.push(trail[place].1.clone());
        place = trail[place].0;
    }
    steps.reverse();
    let steps: Vec<_> = steps.iter().enumerate().map(|(number, step)| format!("{:>3}. {step}", number + 1)).collect();
    format!("{violation}\n{}", steps.join("\n"))
}

/// A factory-new device and its operator, or one with a subscription that both call complete.
fn begin(stage: &Stage, mode: Option<Previous>, activation: Activation, goal: Goal, budget: Budget) -> World {
    let office = Office::new(stage.voucher(), 0, mode.unwrap_or(Previous::Beside), activation);
    let Some(_) = mode else { return World::new(office, goal, budget) };
    let mut world = World::new(office, Goal::Provision, Budget { starts: 1, ..NOTHING }).start(stage).unwrap();
    world.finish(stage);
    world.then(goal, budget)
}

fn operations(stage: &Stage, budget: Budget) -> Vec<(&'static str, World)> {
    let (one_shot, two_phase) = (Activation::OneShot, Activation::TwoPhase);
    let (beside, shared) = (Some(Previous::Beside), Some(Previous::Shared));
    let on_demand = || Goal::OnDemand(office::token());
    let donor = Stage::of_donor();
    let transfer = begin(&donor, beside, one_shot, Goal::Transfer, budget);
    let recipient = Office::new(Vec::new(), 5, Previous::Beside, one_shot);
    vec![
        ("provision, one-shot", begin(stage, None, one_shot, Goal::Provision, budget)),
        ("provision, two-phase", begin(stage, None, two_phase, Goal::Provision, budget)),
        ("re-key, mode N", begin(stage, beside, one_shot, Goal::Rekey, budget)),
        ("re-key, mode S", begin(stage, shared, one_shot, Goal::Rekey, budget)),
        ("re-associate, mode S", begin(stage, shared, one_shot, Goal::Reassociate, budget)),
        ("transfer", transfer.handed_on(&donor, stage, recipient)),
        ("on-demand, first", begin(stage, None, one_shot, on_demand(), budget)),
        ("on-demand, mode N", begin(stage, beside, one_shot, on_demand(), budget)),
        ("query", begin(stage, beside, one_shot, Goal::Query, budget)),
        ("retire", begin(stage, beside, one_shot, Goal::Retire, budget)),
    ]
}

fn search_all(what: &str, budget: Budget) {
    let stage = Stage::new();
    for (operation, world) in operations(&stage, budget) {
        let begun = std::time::Instant::now();
        match search(&stage, world) {
            Ok(Found { states, steps, persons }) => {
                eprintln!(
                    "{what}, {operation}: {states} states, {steps} steps, a person in {persons}, {:.1} s",
                    begun.elapsed().as_secs_f64()
                );
                // Nobody has to look at what the protocol is made for.
                assert!(persons == 0 || budget.restores + budget.rollbacks > 0, "{what}, {operation}");
            }
            Err(violation) => panic!("{what}, {operation}: {violation}"),
        }
    }
}

/// Attack 37 of `tests/attacks`, with two starts of the device, and a write that is torn. The others here go further.
/// Oracle: I1 to I6 hold in every state that can be reached.
#[test]
fn attack_37_crash_anywhere() {
    search_all("attack 37", Budget { starts: 2, torn: 1, ..NOTHING });
}

#[test]
fn lost_repeated_and_late_messages_and_crashes() {
    search_all("messages", Budget { starts: 3, ..NOTHING });
}

#[test]
fn a_core_that_fails_or_does_not_say_what_it_did() {
    search_all("core", Budget { starts: 3, failures: 1, ..NOTHING });
}

#[test]
fn a_write_that_is_torn() {
    search_all("torn write", Budget { starts: 3, torn: 1, ..NOTHING });
}

#[test]
fn a_log_that_is_restored() {
    search_all("restored log", Budget { starts: 3, restores: 1, ..NOTHING });
}

#[test]
fn a_flash_that_is_set_back() {
    search_all("flash set back", Budget { starts: 3, rollbacks: 1, ..NOTHING });
}

#[test]
fn attaches_that_fail() {
    search_all("fallback", Budget { starts: 3, fallbacks: 2, ..NOTHING });
}

#[test]
fn attaches_in_between() {
    search_all("attach", Budget { starts: 3, attaches: 1, ..NOTHING });
}

#[test]
fn a_revocation_at_any_moment() {
    search_all("revocation", Budget { starts: 2, revocations: 1, ..NOTHING });
}

#[test]
fn a_suspension_at_any_moment_and_its_end() {
    search_all("suspension", Budget { starts: 2, suspensions: 1, ..NOTHING });
}
