//! What a message costs in work that can be counted: allocations, and operations with keys of P-256. The figures of the
//! manual. A signature that is checked twice, or a copy that nobody needs, shows here before anybody has a clock in hand.
#![cfg(feature = "sim")]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::std_instead_of_alloc,
    clippy::unwrap_used,
    reason = "tests fail by panicking"
)]

mod counted;
#[path = "../lab/mod.rs"]
mod lab;

use core::fmt::Write;

use remote_provisioning::{
    provisioning::{Device, Operator, device, operator},
    sim::{maker, maker::Attestation},
    trust::KnownIssuers,
};

use self::{
    counted::{Counted, Work, work},
    lab::Lab,
};

/// A first provisioning with PSA evidence, message by message: what its sender did to answer the one before.
fn table(lab: Lab) -> String {
    let mut lab = counting(lab);
    let mut messages = Vec::new();
    let mut device = None;
    let mut rows = vec![("message_1", work(|| device = Some(lab.start().unwrap())))];
    let mut device = device.unwrap();
    messages.extend(sent(&mut device));
    let mut machine = lab.operator();
    for name in ["message_2", "message_3", "message_4", "confirm", "complete", "the end"] {
        let message = messages.last().unwrap().clone();
        let done = if messages.len().is_multiple_of(2) {
            let done = work(|| lab.tell_device(&mut device, &message).unwrap());
            messages.extend(sent(&mut device));
            done
        } else {
            let (done, message) = operator(&mut lab, &mut machine, &message);
            messages.extend(message);
            done
        };
        rows.push((name, done));
    }
    assert_eq!(messages.len(), 6);
    let mut table = String::new();
    for (name, Work { allocations, made, products, points, checked }) in rows {
        writeln!(table, "| {name} | {allocations} | {made} | {products} | {points} | {checked} |").unwrap();
    }
    table
}

fn sent(device: &mut Device) -> Option<Vec<u8>> {
    let mut sent = None;
    while let Some(action) = device.poll() {
        if let device::Action::Send(message) = action {
            sent = Some(message);
        }
    }
    sent
}

/// The machine's work, and that of its crypto in the operator's own systems; not what those allocate.
fn operator(lab: &mut Lab, machine: &mut Operator, message: &[u8]) -> (Work, Option<Vec<u8>>) {
    let mut sum = work(|| lab.tell_operator(machine, message).unwrap());
    let mut sent = None;
    while let Some(action) = machine.poll() {
        match action {
            operator::Action::Send(message) => sent = Some(message),
            operator::Action::Ask(question) => {
                let mut answer = None;
                let systems = work(|| answer = Some(lab.home.answer(question)));
                sum += Work { allocations: 0, ..systems };
                sum += work(|| lab.answer(machine, answer.take().unwrap()).unwrap());
            }
            operator::Action::WakeAt(_) | operator::Action::Finished(_) => {}
        }
    }
    (sum, sent)
}

fn assert_table(name: &str, lab: Lab, expected: &str) {
    let found = table(lab);
    assert_eq!(found, expected, "{name}\n{found}");
    assert!(include_str!("../../src/manual/cost.md").contains(expected), "{name}: the manual");
}

#[test]
fn chains_of_two() {
    assert_table("voucher last", attested(Lab::voucher_last(1)), VOUCHER_LAST);
}

#[test]
fn a_concealed_name_costs_a_product_on_either_side() {
    assert_table("voucher first", attested(Lab::new(1)), VOUCHER_FIRST);
}

/// Signatures that the operator checks when it gets message_3 of a new session.
fn checked_at_message_3(lab: &mut Lab) -> usize {
    let mut session = lab.session(3);
    let message = session.messages.last().unwrap().clone();
    operator(lab, &mut session.operator, &message).0.checked
}

#[test]
fn an_issuer_is_checked_once() {
    let mut lab = counting(attested(Lab::voucher_last(1)));
    assert_eq!([checked_at_message_3(&mut lab), checked_at_message_3(&mut lab)], [4, 4]);
    let mut lab = counting(attested(Lab::voucher_last(1)));
    lab.operator_anchors.remember_issuers(KnownIssuers::new(4));
    assert_eq!([checked_at_message_3(&mut lab), checked_at_message_3(&mut lab)], [4, 3]);
}

#[test]
fn a_receipt_is_checked_once() {
    // Two certificates and message_3; then the same with a receipt that the device still keeps.
    assert_eq!(checked_at_message_3(&mut counting(Lab::new(1))), 3);
    assert_eq!(checked_at_message_3(&mut counting(Lab::unconfirmed(1))), 4);
}

fn counting(mut lab: Lab) -> Lab {
    lab.crypto = &Counted;
    lab.home.crypto = &Counted;
    lab
}

fn attested(mut lab: Lab) -> Lab {
    lab.home.policy = maker::policy().unwrap();
    lab.attestation = Some(Attestation::new(&lab.device_config.name).unwrap());
    lab
}

const VOUCHER_LAST: &str = "\
| message_1 | 13 | 1 | 0 | 0 | 0 |
| message_2 | 24 | 1 | 1 | 0 | 0 |
| message_3 | 140 | 0 | 1 | 3 | 3 |
| message_4 | 146 | 0 | 0 | 3 | 4 |
| confirm | 49 | 0 | 0 | 0 | 1 |
| complete | 38 | 0 | 0 | 0 | 1 |
| the end | 11 | 0 | 0 | 0 | 0 |
";

const VOUCHER_FIRST: &str = "\
| message_1 | 23 | 2 | 1 | 0 | 0 |
| message_2 | 35 | 1 | 1 | 0 | 0 |
| message_3 | 148 | 0 | 1 | 3 | 4 |
| message_4 | 144 | 0 | 0 | 3 | 4 |
| confirm | 46 | 0 | 0 | 0 | 0 |
| complete | 38 | 0 | 0 | 0 | 1 |
| the end | 11 | 0 | 0 | 0 | 0 |
";
