//! Records after message_4, from a peer with the keys: what is in them, for a device that waits for `complete` and for an
//! operator that waits for `confirm`.
//!
//! Input: who hears it, the record's number, the padding, and the text.
//!
//! - no panic;
//! - the credential is the one that it was; an operator's record confirms it, erases it, or ends the machine;
//! - an operator asks for nothing on the word of a record that no receipt is in.

use remote_provisioning::{
    cose::encrypt0,
    crypto::Secret,
    error::Error,
    identity::Role,
    provisioning::{device, message::PADDING_CLASS, operator::Action},
    wire,
};

use super::{
    Choices, Input,
    glass::Glass,
    stage::{Cast, DEVICE_SEED, OPERATOR_SEED, Office, Phone, Plot, opening, script},
};

/// A record of this number, under a key that is nobody's.
fn record(number: u64, padded: &[u8]) -> Vec<u8> {
    encrypt0::seal(&Secret::zeroed(), Some(number), &[], padded, &Glass::True).unwrap()
}

pub(super) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let choice = input.byte();
    let number = u64::from(input.byte());
    let text = input.rest();
    // As it is, or with the string and the padding that it wants.
    let padded = if choice & 0x80 == 0 {
        let mut padded = wire::encode_with(|w| w.bytes(text));
        padded.resize(padded.len().next_multiple_of(PADDING_CLASS), 0);
        padded
    } else {
        text.to_vec()
    };
    let cast = Cast::new(choice & 0x0f).in_glass();
    let plot = if choice & 0x20 == 0 { Plot::Provision } else { Plot::Resume };
    if choice & 0x10 == 0 {
        to_device(cast, plot, number, &padded);
    } else {
        to_operator(cast, plot, number, &padded);
    }
}

fn to_device(cast: Cast, plot: Plot, number: u64, padded: &[u8]) {
    let script = script(cast, plot);
    let mut phone = Phone::start(cast, script.store.durable_copy(), DEVICE_SEED).unwrap();
    for message in [&script.messages[1], &script.messages[3]] {
        phone.actions();
        phone.take(message).unwrap();
    }
    phone.actions();
    let before = device::subscription(phone.store()).unwrap().unwrap();
    let commits = phone.store().commits();
    let result = phone.take(&record(number, padded));
    let actions = phone.actions();
    let ended = actions.iter().find_map(|action| match action {
        device::Action::Finished(result) => Some(*result),
        _ => None,
    });
    match device::subscription(phone.store()).unwrap() {
        None => assert!(actions.contains(&device::Action::Erased), "gone, and nobody has said so"),
        Some((after, confirmed)) => {
            assert_eq!(after, before.0);
            assert!(!before.1 || confirmed);
            let completed = actions.iter().any(|action| matches!(action, device::Action::Completed { .. }));
            assert_eq!(phone.store().commits() != commits, completed);
        }
    }
    if let Err(error) = result {
        assert!(ended.is_none_or(|end| end == Err(error)) && phone.store().commits() == commits);
    }
    // The honest one comes too late only for a machine that has ended, or that has heard its number.
    let last = phone.take(script.messages.last().unwrap());
    assert!(last.is_ok() || ended.is_some() || result.is_ok() || matches!(result, Err(Error::Malformed(_))));
}

fn to_operator(cast: Cast, plot: Plot, number: u64, padded: &[u8]) {
    let script = script(cast, plot);
    let (_, home) = opening(cast, plot);
    let mut office = Office::new(cast, home, OPERATOR_SEED);
    for message in [&script.messages[0], &script.messages[2]] {
        office.take(message).unwrap();
        office.sent();
    }
    let before = office.home.entries().count();
    let result = office.take(&record(number, padded));
    let mut asked = false;
    for action in office.actions() {
        match action {
            Action::Send(_) | Action::WakeAt(_) | Action::Finished(_) => {}
            Action::Ask(_) => asked = true,
        }
    }
    assert_eq!(office.home.entries().count(), before, "logged by nobody");
    if asked {
        assert!(result.is_ok());
        // It holds a receipt of this device.
        let ours = &wire::decode::<encrypt0::Encrypt0<'_>>(&script.messages[4]).unwrap();
        let text = ours.open(&Secret::zeroed(), &[], &Glass::True).unwrap();
        let receipt = &text.bytes()[text.bytes().len().min(40)..text.bytes().len().min(120)];
        assert!(padded.windows(receipt.len()).any(|part| part == receipt), "a receipt that nobody signed");
    }
}

/// What there is to start from.
pub(super) fn seeds() -> Vec<(String, Vec<u8>)> {
    let mut seeds = Vec::new();
    for (name, cast, plot) in
        [("chain", 0_u8, Plot::Provision), ("kid", 2 << 2 | 3, Plot::Provision), ("resume", 0, Plot::Resume)]
    {
        let script = script(Cast::new(cast).in_glass(), plot);
        let flag = if plot == Plot::Resume { 0x20 } else { 0 };
        for (number, side) in [(4, Role::Device), (5, Role::Operator)] {
            let Some(message) = script.messages.get(number) else { continue };
            let open = wire::decode::<encrypt0::Encrypt0<'_>>(message).unwrap();
            let padded = open.open(&Secret::zeroed(), &[], &Glass::True).unwrap();
            let text = wire::Reader::new(padded.bytes()).unwrap().bytes().unwrap();
            let (name, to) = match side {
                Role::Device => (format!("confirm-{name}"), 0x10),
                _ => (format!("complete-{name}"), 0),
            };
            seeds.push((name.clone(), [&[cast | flag | to, 0], text].concat()));
            if plot == Plot::Provision && cast == 0 {
                seeds.push((format!("{name}-padded"), [&[cast | flag | to | 0x80, 0], padded.bytes()].concat()));
            }
        }
    }
    for (name, bytes) in super::seeds::messages() {
        if ["prepared", "decision", "stopped", "complete", "status"].contains(&name) {
            seeds.push((name.into(), [&[0, 3], bytes.as_slice()].concat()));
        }
    }
    seeds
}
