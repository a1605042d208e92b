//! A second witness, by statistics: does the time of a call tell which of two classes its secrets are of? Welch's t-test over
//! measured times, as dudect has it: |t| above 5 speaks for a leak, and the control has to be far above it. Noise of the machine
//! makes single runs differ, so this is for people and no check.
//!
//! ```text
//! cargo run --release --features dudect --bin dudect
//! ```
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a measurement that stops has found something"
)]

use std::hint::black_box;

use dudect_bencher::{BenchRng, Class, CtRunner, ctbench_main};
use remote_provisioning::{
    aka::{
        AlgorithmSet, Challenge, Keys, Milenage, Milenage256, Sqn, SqnArray, Tuak, authenticate, sqn::Profile, vector,
    },
    aka::{milenage256, tuak},
    crypto::{Aead, Crypto, Rng, Secret, equal, rustcrypto::RustCrypto},
    sim::SeededRng,
};

const SAMPLES: usize = 50_000;

/// Bytes of a class: all the same on the left, random on the right. The order of classes is random too.
fn bytes<const N: usize>(rng: &mut SeededRng) -> (Class, [u8; N]) {
    let mut bytes = [0; N];
    if rng.chance(0.5) {
        return (Class::Left, bytes);
    }
    rng.fill(&mut bytes).expect("never fails");
    (Class::Right, bytes)
}

/// Where a copy of `right` is wrong: in its first byte, or in its last one.
fn wrong<const N: usize>(right: [u8; N], rng: &mut SeededRng) -> (Class, [u8; N]) {
    let mut bytes = right;
    let (class, at) = if rng.chance(0.5) { (Class::Left, 0) } else { (Class::Right, N - 1) };
    bytes[at] ^= 0x55;
    (class, bytes)
}

fn samples<T>(mut make: impl FnMut(&mut SeededRng) -> (Class, T)) -> Vec<(Class, T)> {
    let mut rng = SeededRng::new(7);
    (0..SAMPLES).map(|_| make(&mut rng)).collect()
}

/// The control: a comparison that stops at the first difference.
fn control_early_exit(runner: &mut CtRunner, _: &mut BenchRng) {
    let right = [7_u8; 256];
    let stops = |a: &[u8], b: &[u8]| a.iter().zip(b).all(|(a, b)| black_box(a) == black_box(b));
    for (class, other) in samples(|rng| wrong(right, rng)) {
        runner.run_one(class, || stops(black_box(&right), black_box(&other)));
    }
}

fn compare(runner: &mut CtRunner, _: &mut BenchRng) {
    let right = [7_u8; 256];
    for (class, other) in samples(|rng| wrong(right, rng)) {
        runner.run_one(class, || equal(black_box(&right), black_box(&other)));
    }
}

/// K and OPc.
fn vectors(runner: &mut CtRunner, set: impl Fn([u8; 32]) -> Box<dyn AlgorithmSet>) {
    for (class, set) in samples(|rng| {
        let (class, k) = bytes(rng);
        (class, set(k))
    }) {
        runner.run_one(class, || {
            let mut keys = Keys::default();
            black_box(set.f1_to_f5(&[1; 16], Sqn::default(), [0x80, 0], &mut keys))
        });
    }
}

fn halves(k: [u8; 32]) -> (Secret<16>, Secret<16>) {
    let half = |half: &[u8]| Secret::from_slice(half).expect("16 bytes");
    (half(&k[..16]), half(&k[16..]))
}

fn milenage_vector(runner: &mut CtRunner, _: &mut BenchRng) {
    vectors(runner, |k| {
        let (k, opc) = halves(k);
        Box::new(Milenage::new(&k, &opc))
    });
}

fn tuak_vector(runner: &mut CtRunner, _: &mut BenchRng) {
    vectors(runner, |k| {
        let k = Secret::<32>::from_slice(&k).expect("32 bytes");
        Box::new(Tuak::new(tuak::Functions::new(&k, &k, tuak::Parameters::default())).expect("MAC of 8 bytes"))
    });
}

fn milenage256_vector(runner: &mut CtRunner, _: &mut BenchRng) {
    vectors(runner, |k| {
        let k = Secret::<32>::from_slice(&k).expect("32 bytes");
        let functions = milenage256::Functions::new(&k, &k, milenage256::Parameters::default());
        Box::new(Milenage256::new(functions).expect("MAC of 8 bytes"))
    });
}

/// MAC-A, wrong in its first or its last byte.
fn autn_check(runner: &mut CtRunner, _: &mut BenchRng) {
    let (k, opc) = halves([9; 32]);
    let set = Milenage::new(&k, &opc);
    let genuine = vector(&set, &[1; 16], Sqn::from_bytes([0, 0, 0, 0, 1, 0]), [0x80, 0]).challenge;
    let [s0, s1, s2, s3, s4, s5, f0, f1, mac_a @ ..] = genuine.autn;
    for (class, [m0, m1, m2, m3, m4, m5, m6, m7]) in samples(|rng| wrong(mac_a, rng)) {
        let autn = [s0, s1, s2, s3, s4, s5, f0, f1, m0, m1, m2, m3, m4, m5, m6, m7];
        let challenge = Challenge { rand: genuine.rand, autn };
        runner.run_one(class, || {
            let mut array = SqnArray::new(Profile::default());
            black_box(authenticate(&set, &mut array, &challenge))
        });
    }
}

/// The slot of SQN: the first or the last one.
fn sqn_slot(runner: &mut CtRunner, _: &mut BenchRng) {
    for (class, low) in samples(|rng| if rng.chance(0.5) { (Class::Left, 0x20) } else { (Class::Right, 0x3f) }) {
        runner.run_one(class, || {
            let mut array = SqnArray::new(Profile::default());
            black_box(array.accept(Sqn::from_bytes([0, 0, 0, 0, 0, black_box(low)])))
        });
    }
}

/// The tag of a record, wrong in its first or its last byte.
fn record_open(runner: &mut CtRunner, _: &mut BenchRng) {
    let mut sealed = vec![7; 64];
    RustCrypto.seal(Aead::A256Gcm, &[1; 32], &[2; 12], b"aad", &mut sealed).expect("sealed");
    let (text, tag) = sealed.split_at(64);
    let tag: [u8; 16] = tag.try_into().expect("16 bytes");
    for (class, tag) in samples(|rng| wrong(tag, rng)) {
        let record = [text, &tag].concat();
        runner.run_one(class, || {
            let mut record = record.clone();
            RustCrypto.open(Aead::A256Gcm, &[1; 32], &[2; 12], b"aad", &mut record)
        });
    }
}

ctbench_main!(
    control_early_exit,
    compare,
    milenage_vector,
    tuak_vector,
    milenage256_vector,
    autn_check,
    sqn_slot,
    record_open
);
