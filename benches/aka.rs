//! What an authentication vector costs, and how much of it is AES.
//!
//! ```text
//! floor        one AES-128 key schedule, one block, then five independent blocks through `encrypt_blocks`: straight
//!              from the `aes` crate, which `aka` stands on
//! vector       `aka::vector_into`: RAND, AUTN, XRES, CK, IK and AK of one subscriber, key schedule included
//! batch        `aka::vectors` over 256 subscribers, per vector, against the floor of 256 subscribers in a row
//! ```
//!
//! First comes a table with ratios, from runs of floor and contender in turn: the figure to quote. Measured is
//! `[profile.bench]`.
#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "a benchmark that panics is wrong")]

use core::hint::black_box;
use std::time::Instant;

use aes::{
    Aes128Enc, Block,
    cipher::{BlockCipherEncrypt, KeyInit},
};
use criterion::{Criterion, Throughput};
use remote_provisioning::{
    aka::{self, Ind, Milenage, Order, Sqn, SqnArray, Vector},
    crypto::Secret,
};

const MANY: usize = 256;
const MANAGEMENT_FIELD: aka::Amf = [0x80, 0];

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let testing = std::env::args().any(|argument| argument == "--test");
    let mut bench = Bench::new();
    bench.summary(if testing { 2 } else { 2_000 });

    let mut group = criterion.benchmark_group("milenage");
    group.bench_function("floor", |b| b.iter(|| bench.floor_of_one()));
    group.bench_function("vector", |b| b.iter(|| bench.vector()));
    group.bench_function("usim", |b| b.iter(|| bench.usim()));
    group.throughput(Throughput::Elements(u64::try_from(MANY).unwrap()));
    group.bench_function("floor of many", |b| b.iter(|| bench.floor_of_many()));
    group.bench_function("batch", |b| b.iter(|| bench.batch()));
    group.finish();
    criterion.final_summary();
}

struct Bench {
    keys: Vec<[u8; 16]>,
    sets: Vec<Milenage>,
    sqn: Sqn,
    blocks: Vec<[u8; 96]>,
    vectors: Vec<Vector>,
    challenge: aka::Challenge,
}

impl Bench {
    fn new() -> Self {
        let keys: Vec<[u8; 16]> = (0..MANY).map(|i| [u8::try_from(i).unwrap(); 16]).collect();
        let opc = Secret::from_slice(&[0x5a; 16]).unwrap();
        let sets: Vec<_> = keys.iter().map(|k| Milenage::new(&Secret::from_slice(k).unwrap(), &opc)).collect();
        let sqn = Sqn::new(77, Ind::new(0).unwrap()).unwrap();
        let challenge = aka::vector(sets.first().unwrap(), &[7; 16], sqn, MANAGEMENT_FIELD).challenge;
        Self { keys, sets, sqn, blocks: vec![[1; 96]; MANY], vectors: vec![Vector::zeroed(); MANY], challenge }
    }

    fn floor_of_one(&mut self) {
        floor(black_box(self.keys.first().unwrap()), black_box(self.blocks.first_mut().unwrap()));
    }

    fn floor_of_many(&mut self) {
        for (key, blocks) in black_box(&self.keys).iter().zip(black_box(&mut self.blocks)) {
            floor(key, blocks);
        }
    }

    fn vector(&mut self) {
        let vector = black_box(self.vectors.first_mut().unwrap());
        aka::vector_into(
            black_box(self.sets.first().unwrap()),
            black_box(&[7; 16]),
            self.sqn,
            MANAGEMENT_FIELD,
            vector,
        );
    }

    fn batch(&mut self) {
        let orders = black_box(&self.sets).iter().map(|set| Order {
            set,
            rand: [7; 16],
            sqn: self.sqn,
            management_field: MANAGEMENT_FIELD,
        });
        aka::vectors(orders, black_box(&mut self.vectors));
    }

    fn usim(&self) {
        let answer =
            aka::authenticate(black_box(self.sets.first().unwrap()), &mut SqnArray::new(), black_box(&self.challenge));
        assert!(matches!(answer, aka::Answer::Success(_)));
    }

    fn summary(&mut self, rounds: usize) {
        eprintln!("{:<20} {:>9} {:>9}  times the floor   (ns; medians of {rounds}, in turn)", "milenage", "", "floor");
        let each = 256;
        let (mut one, mut least, mut usim) = (Vec::new(), Vec::new(), Vec::new());
        let (mut batch, mut least_of_many) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            least.push(time(each, || self.floor_of_one()));
            one.push(time(each, || self.vector()));
            usim.push(time(each, || self.usim()));
            least_of_many.push(time(1, || self.floor_of_many()));
            batch.push(time(1, || self.batch()));
        }
        let (least, many) = (median(least), f64::from(u16::try_from(MANY).unwrap()));
        let least_of_many = median(least_of_many) / many;
        for (name, nanos, floor) in [
            ("vector", median(one), least),
            ("usim", median(usim), least),
            ("batch, per vector", median(batch) / many, least_of_many),
        ] {
            eprintln!("{name:<20} {nanos:>9.1} {floor:>9.1}  {:>14.2}", nanos / floor);
        }
    }
}

/// One key schedule, one block, then five at once.
fn floor(key: &[u8; 16], blocks: &mut [u8; 96]) {
    let cipher = Aes128Enc::new(key.into());
    let (blocks, _) = blocks.as_chunks_mut::<16>();
    let (first, rest) = blocks.split_first_mut().unwrap();
    cipher.encrypt_block(first.into());
    // TEMP goes into all of them.
    for block in rest.iter_mut() {
        *block = *first;
    }
    cipher.encrypt_blocks(Block::cast_slice_from_core_mut(rest));
}

/// Nanoseconds per call.
fn time(calls: u32, mut work: impl FnMut()) -> f64 {
    let start = Instant::now();
    for _ in 0..calls {
        work();
    }
    start.elapsed().as_secs_f64() * 1e9 / f64::from(calls)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_unstable_by(f64::total_cmp);
    *times.get(times.len() / 2).unwrap()
}
