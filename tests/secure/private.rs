//! What an observer or a relay sees of many runs of one device.

use std::collections::{BTreeMap, BTreeSet};

use remote_provisioning::{
    attestation::Policy,
    provisioning::device::Introduction,
    sim::maker::{self, Attestation},
};

use super::{entitled::contains, *};

/// Bytes of a string that must not repeat.
const WINDOW: usize = 8;

/// Runs of one device, each with another seed; all that went over the link.
fn runs(make: fn(u64) -> Lab, count: u64) -> Vec<Vec<Vec<u8>>> {
    (0..count)
        .map(|seed| {
            let mut lab = make(1_000 + seed);
            let session = play(&mut lab);
            assert_eq!(session.messages.len(), 6, "the run is whole");
            session.messages
        })
        .collect()
}

/// Cuts the protocol's own constants out of a message: heads, label, version, domain, algorithm, numbers. They are the same
/// for every device there is.
fn cut(number: usize, message: &[u8]) -> (Vec<u8>, Vec<&[u8]>) {
    let constant = match number {
        // EAD_1: the label, the heads, version and domain; with a concealed id also its key and the sign of a point.
        0 => {
            let label = message.windows(3).position(|window| window == [0x39, 0xce, 0x10]).unwrap();
            let short = message.len() - label < 20;
            label..if short { message.len() } else { label + 13 }
        }
        // A COSE_Encrypt0: the headers, and the head of the ciphertext.
        4 | 5 => 0..9 + if message[9] == 0x58 { 2 } else { 3 },
        _ => 0..0,
    };
    let (before, after) = (&message[..constant.start], &message[constant.end..]);
    (message[constant].to_vec(), vec![before, after])
}

/// Strings of eight bytes that are in more than one of the runs, constants aside; and the constants.
fn repeated(runs: &[Vec<Vec<u8>>]) -> (BTreeSet<Vec<u8>>, BTreeSet<Vec<u8>>) {
    let mut seen: BTreeMap<&[u8], usize> = BTreeMap::new();
    let (mut again, mut constants) = (BTreeSet::new(), BTreeSet::new());
    for (run, messages) in runs.iter().enumerate() {
        for (number, message) in messages.iter().enumerate() {
            let (constant, pieces) = cut(number, message);
            constants.insert(constant);
            for window in pieces.into_iter().flat_map(|piece| piece.windows(WINDOW)) {
                if *seen.entry(window).or_insert(run) != run {
                    again.insert(window.to_vec());
                }
            }
        }
    }
    (again, constants)
}

fn first(seed: u64) -> Lab {
    Lab::attested(seed)
}

fn last(seed: u64) -> Lab {
    let mut lab = Lab::attested(seed);
    lab.device_config.introduction = Introduction::VoucherLast { request: false };
    lab
}

/// Another device, with another key, name and credential.
fn another(seed: u64) -> Lab {
    let mut lab = Lab::raw(seed);
    lab.home.policy = maker::policy().unwrap();
    lab.attestation = Attestation::new(&lab.device_config.name).ok();
    lab
}

#[test]
fn no_string_of_eight_bytes_repeats() {
    for make in [first, last, another] {
        let (again, constants) = repeated(&runs(make, 60));
        assert!(again.is_empty(), "{again:02x?}");
        assert!(constants.iter().all(|constant| constant.len() <= 13), "{constants:02x?}");
    }
}

/// The constants tell nobody which device it is.
#[test]
fn what_is_cut_out_is_the_same_for_every_device() {
    assert_eq!(repeated(&runs(first, 3)).1, repeated(&runs(another, 3)).1);
}

/// The test can fail: two runs that follow from one seed repeat themselves.
#[test]
fn a_device_without_randomness_would_be_noticed() {
    let run = runs(first, 1).remove(0);
    assert!(!repeated(&[run.clone(), run]).0.is_empty());
}

#[test]
fn neither_identity_is_ever_in_clear() {
    for make in [first, last] {
        for messages in runs(make, 3) {
            let all = messages.concat();
            for secret in ["IOT-0001", "0010100000", "imsi", "provisioning.example"] {
                assert!(!contains(&all, secret.as_bytes()), "{secret}");
            }
        }
    }
}

/// Lengths are few, and do not tell a device with a long name from one with a short one, nor one software list from another.
#[test]
fn lengths_fall_in_fixed_classes() {
    let lengths = |make: fn(u64) -> Lab, count| -> Vec<BTreeSet<usize>> {
        let runs = runs(make, count);
        (0..6).map(|number| runs.iter().map(|run| run[number].len()).collect()).collect()
    };
    for make in [first, last] {
        for (number, seen) in lengths(make, 20).iter().enumerate() {
            assert_eq!(seen.len(), 1, "message {}: {seen:?}", number + 1);
        }
    }
    // Whoever has a longer SUPI pool, receipt number or network name: the ciphertexts are multiples of 64, tag aside.
    let by_kid = |seed| {
        let mut lab = another(seed);
        lab.home.policy = Policy::without_evidence("bench").unwrap();
        lab.attestation = None;
        lab
    };
    let (with, without) = (lengths(another, 2), lengths(by_kid, 2));
    for (number, (with, without)) in with.iter().zip(&without).enumerate() {
        let (with, without) = (with.first().unwrap(), without.first().unwrap());
        let apart = with.abs_diff(*without);
        // The head of a longer string is a byte longer.
        assert!(apart % 64 <= 1, "message {}: {with} and {without}", number + 1);
    }
}
