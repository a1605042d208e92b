//! What AKA costs, and how much of it is the primitives.
//!
//! Each row is measured in turn with its floor: the calls of the primitives that it cannot do without, straight from the
//! crates that `aka` stands on. First comes a table with ratios, the figures to quote; then the same rows by criterion.
//! Measured is `[profile.bench]`.
//!
//! ```text
//! vector          `aka::vector_into`: RAND, AUTN, XRES, CK, IK and AK of one subscriber, key schedule included.
//!                 Floor: one AES-128 key schedule, one block, then five independent blocks through `encrypt_blocks`
//! batch           `aka::vectors` over 256 subscribers, per vector. Floor: that of `vector`, of 256 subscribers in a row
//! 5G vector       a vector, XRES* and K_AUSF. Floor: that of `vector`, and two HMAC-SHA-256 from `hmac`
//! USIM            `aka::authenticate` with a fresh challenge. Floor: a key schedule, one block, three, one
//! OPc             from K and OP. Floor: a key schedule and one block
//! TUAK            a vector, one iteration. Floor: two permutations from `keccak`
//! MILENAGE-256    a vector. The kernel is this crate's own; floor: its rounds of AES, one by one from `aes::hazmat`
//! SUCI A, B       `Suci::deconceal`. Floor: the same key agreement from the backend
//! ```
#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "a benchmark that panics is wrong")]

use core::hint::black_box;
use std::time::Instant;

use aes::{
    Aes128Enc, Block,
    cipher::{BlockCipherEncrypt, KeyInit},
    hazmat::{cipher_round, inv_mix_columns},
};
use criterion::Criterion;
use hmac::{Hmac, Mac};
use keccak::Keccak;
use remote_provisioning::{
    aka::{
        self, AlgorithmSet, Amf, Ind, Milenage, Milenage256, Order, Sqn, SqnArray, Tuak, Vector,
        keys::{KAusf, ServingNetworkName, res_star},
        milenage, milenage256,
        sqn::Profile,
        suci::{HomeNetworkKey, Identity, Imsi, conceal},
        tuak,
    },
    crypto::{Agreement, Group, Secret, rustcrypto::AgreementKey},
    identity::Plmn,
    sim::SeededRng,
};
use sha2::Sha256;

const MANY: u32 = 256;
const MANAGEMENT_FIELD: Amf = [0x80, 0];
const RAND: [u8; 16] = [7; 16];

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let testing = std::env::args().any(|argument| argument == "--test");
    let mut rows = [
        vector(),
        batch(),
        fifth_generation(),
        usim(),
        opc(),
        of_tuak(),
        of_milenage256(),
        deconceal("SUCI A", Group::X25519),
        deconceal("SUCI B", Group::P256),
    ];
    summary(&mut rows, if testing { 2 } else { 2_000 });
    for row in &mut rows {
        let mut group = criterion.benchmark_group(row.name);
        group.bench_function("floor", |bench| bench.iter(&mut row.floor));
        group.bench_function("all", |bench| bench.iter(&mut row.all));
        group.finish();
    }
    criterion.final_summary();
}

/// What is measured, and what it cannot do without.
struct Row {
    name: &'static str,
    /// How often in a row, so that the clock is not what is measured.
    calls: u32,
    /// How many results one call has.
    results: u32,
    floor: Box<dyn FnMut()>,
    all: Box<dyn FnMut()>,
}

impl Row {
    fn new(name: &'static str, calls: u32, floor: impl FnMut() + 'static, all: impl FnMut() + 'static) -> Self {
        Self { name, calls, results: 1, floor: Box::new(floor), all: Box::new(all) }
    }
}

fn summary(rows: &mut [Row], rounds: usize) {
    eprintln!("{:<14} {:>9} {:>9}  times the floor   (ns; medians of {rounds}, in turn)", "", "all", "floor");
    let mut times: Vec<_> = rows.iter().map(|_| (Vec::new(), Vec::new())).collect();
    for _ in 0..rounds {
        for (row, (least, all)) in rows.iter_mut().zip(&mut times) {
            least.push(time(row.calls, &mut row.floor));
            all.push(time(row.calls, &mut row.all));
        }
    }
    for (row, (least, all)) in rows.iter().zip(times) {
        let (least, all) = (median(least) / f64::from(row.results), median(all) / f64::from(row.results));
        eprintln!("{:<14} {all:>9.1} {least:>9.1}  {:>14.2}", row.name, all / least);
    }
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

// ------------------------------------------------------------------------------------------------------- rows

fn vector() -> Row {
    Row::new("vector", 256, floor_of_vector(), all_of_vector(subscriber(0)))
}

fn batch() -> Row {
    let subscribers: Vec<_> = (0..=u8::MAX).map(subscriber).collect();
    let mut vectors = vec![Vector::zeroed(); subscribers.len()];
    let all = move || {
        let orders = black_box(&subscribers).iter().map(|set| Order {
            set,
            rand: RAND,
            sqn: black_box(sqn()),
            management_field: black_box(MANAGEMENT_FIELD),
        });
        aka::vectors(orders, black_box(&mut vectors));
    };
    let mut inputs: Vec<_> = (0..=u8::MAX).map(|k| ([k; 16], [1; 96])).collect();
    let floor = move || {
        for (key, blocks) in black_box(&mut inputs) {
            milenage_blocks(key, blocks);
        }
    };
    Row { results: MANY, ..Row::new("batch", 1, floor, all) }
}

fn fifth_generation() -> Row {
    let (mut blocks, mut hmac) = (floor_of_vector(), floor_of_hmac());
    let floor = move || {
        blocks();
        hmac();
    };
    let (set, mut vector) = (subscriber(0), Vector::zeroed());
    let name = ServingNetworkName::new(&plmn());
    let all = move || {
        make(black_box(&set), black_box(&mut vector));
        black_box(res_star(&vector.keys, black_box(&name), &vector.challenge.rand));
        black_box(KAusf::new(&vector.keys, black_box(&name), &vector.challenge));
    };
    Row::new("5G vector", 64, floor, all)
}

fn usim() -> Row {
    let mut blocks = [1; 80];
    let floor = move || {
        let cipher = Aes128Enc::new(black_box(&[0; 16]).into());
        let [first, middle @ .., last] = black_box(&mut blocks).as_chunks_mut::<16>().0 else { return };
        cipher.encrypt_block(first.into());
        middle.fill(*first);
        cipher.encrypt_blocks(Block::cast_slice_from_core_mut(middle));
        last.copy_from_slice(first);
        cipher.encrypt_block(last.into());
    };
    let set = subscriber(0);
    let challenge = aka::vector(&set, &RAND, sqn(), MANAGEMENT_FIELD).challenge;
    let all = move || {
        let answer = aka::authenticate(black_box(&set), &mut SqnArray::new(Profile::default()), black_box(&challenge));
        assert!(matches!(answer, aka::Answer::Success(_)));
    };
    Row::new("USIM", 256, floor, all)
}

fn opc() -> Row {
    let mut block = [1; 16];
    let floor = move || Aes128Enc::new(black_box(&[0; 16]).into()).encrypt_block(black_box(&mut block).into());
    let (k, op) = (secret([0; 16]), secret([1; 16]));
    Row::new("OPc", 256, floor, move || drop(black_box(milenage::opc(black_box(&k), black_box(&op)))))
}

fn of_tuak() -> Row {
    let mut state = [1; 25];
    let floor = move || {
        for _ in 0..2 {
            Keccak::new().with_f1600(|f1600| f1600(black_box(&mut state)));
        }
    };
    let functions = tuak::Functions::new(&secret([0; 16]), &secret([1; 32]), tuak::Parameters::default());
    Row::new("TUAK", 64, floor, all_of_vector(Tuak::new(functions).unwrap()))
}

/// A key schedule with 28 words through the S-box, and six blocks with 14 rounds of two halves, the last without
/// MixColumns.
fn of_milenage256() -> Row {
    let mut block = Block::default();
    let floor = move || {
        for _ in 0..28 + 6 * 28 {
            cipher_round(black_box(&mut block), &Block::default());
        }
        for _ in 0..28 + 6 * 2 {
            inv_mix_columns(black_box(&mut block));
        }
    };
    let functions = milenage256::Functions::new(&secret([0; 32]), &secret([1; 32]), milenage256::Parameters::default());
    Row::new("MILENAGE-256", 16, floor, all_of_vector(Milenage256::new(functions).unwrap()))
}

fn deconceal(name: &'static str, group: Group) -> Row {
    let key = |seed| AgreementKey::generate(group, &mut SeededRng::new(seed)).unwrap();
    let identity = Identity::Imsi(Imsi::new("001010123456789".parse().unwrap(), plmn()).unwrap());
    let home = HomeNetworkKey::new(1, group, key(1).public_key()).unwrap();
    let suci = conceal(&identity, "0".parse().unwrap(), &home, key(2)).unwrap();
    let (own, same, peer) = (key(1), key(1), key(2));
    let floor = move || {
        let mut shared = Secret::zeroed();
        black_box(&same).agree(black_box(peer.public_key()), &mut shared).unwrap();
        black_box(&shared);
    };
    Row::new(name, 1, floor, move || drop(black_box(black_box(&suci).deconceal(|_| Some(&own)).unwrap())))
}

// ------------------------------------------------------------------------------------------------------ parts

fn floor_of_vector() -> impl FnMut() {
    let (key, mut blocks) = ([0; 16], [1; 96]);
    move || milenage_blocks(black_box(&key), black_box(&mut blocks))
}

/// One key schedule, one block, then five at once.
fn milenage_blocks(key: &[u8; 16], blocks: &mut [u8; 96]) {
    let cipher = Aes128Enc::new(key.into());
    let (blocks, _) = blocks.as_chunks_mut::<16>();
    let (first, rest) = blocks.split_first_mut().unwrap();
    cipher.encrypt_block(first.into());
    // TEMP goes into all of them.
    rest.fill(*first);
    cipher.encrypt_blocks(Block::cast_slice_from_core_mut(rest));
}

/// What RES* and K_AUSF hash: FC, the name of the serving network, and two fields or one, each with its length.
fn floor_of_hmac() -> impl FnMut() {
    let input = [1; 1 + 32 + 2 + 16 + 2 + 8 + 2];
    move || {
        for len in [input.len(), 1 + 32 + 2 + 6 + 2] {
            let mac = Hmac::<Sha256>::new_from_slice(black_box(&[2; 32])).unwrap();
            black_box(mac.chain_update(black_box(input.get(..len).unwrap())).finalize());
        }
    }
}

fn all_of_vector(set: impl AlgorithmSet + 'static) -> impl FnMut() {
    let mut vector = Vector::zeroed();
    move || make(black_box(&set), black_box(&mut vector))
}

fn make(set: &impl AlgorithmSet, vector: &mut Vector) {
    aka::vector_into(set, black_box(&RAND), black_box(sqn()), black_box(MANAGEMENT_FIELD), vector);
}

fn subscriber(k: u8) -> Milenage {
    Milenage::new(&secret([k; 16]), &secret([0x5a; 16]))
}

fn secret<const N: usize>(bytes: [u8; N]) -> Secret<N> {
    Secret::from_slice(&bytes).unwrap()
}

fn sqn() -> Sqn {
    Profile::default().sqn(77, Ind::default()).unwrap()
}

fn plmn() -> Plmn {
    Plmn::new("001", "01").unwrap()
}
