//! AKA: vectors, one by one and in a batch, and SUCI. Floors are calls straight to the crates that `aka` stands on.
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
//! SUCI A, B       `Suci::deconceal`, with a key of each backend. Floor: the same key agreement from that backend
//! conceal         `suci::conceal` with a fresh key. Floor: that key made, and the key agreement
//! ```
use core::hint::black_box;

use aes::{
    Aes128Enc, Block,
    cipher::{BlockCipherEncrypt, KeyInit},
    hazmat::{cipher_round, inv_mix_columns},
};
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

use crate::row::Row;

const MANY: u32 = 256;
const MANAGEMENT_FIELD: Amf = [0x80, 0];
const RAND: [u8; 16] = [7; 16];

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = vec![vector(), batch(), fifth_generation(), usim(), opc(), of_tuak(), of_milenage256()];
    for group in [Group::X25519, Group::P256] {
        rows.push(concealed(group));
        rows.push(deconceal(group, "rustcrypto", |private| Box::new(AgreementKey::new(group, private).unwrap())));
        #[cfg(feature = "aws-lc-rs")]
        rows.push(deconceal(group, "aws-lc-rs", |private| {
            Box::new(remote_provisioning::crypto::aws_lc::AgreementKey::new(group, private).unwrap())
        }));
    }
    rows
}

fn vector() -> Row {
    Row::new("aka/vector", all_of_vector(subscriber(0)), floor_of_vector()).calls(256).goal(1.2)
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
    Row::new("aka/batch, each vector", all, floor).results(MANY).goal(1.2)
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
    Row::new("aka/5G vector", all, floor).calls(64).goal(1.3)
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
    let fresh = SqnArray::new(Profile::default());
    let all = move || {
        let answer = aka::authenticate(black_box(&set), &mut fresh.clone(), black_box(&challenge));
        assert!(matches!(answer, aka::Answer::Success(_)));
    };
    Row::new("aka/USIM", all, floor).calls(256).goal(1.2)
}

fn opc() -> Row {
    let mut block = [1; 16];
    let floor = move || Aes128Enc::new(black_box(&[0; 16]).into()).encrypt_block(black_box(&mut block).into());
    let (k, op) = (secret([0; 16]), secret([1; 16]));
    Row::new("aka/OPc", move || drop(black_box(milenage::opc(black_box(&k), black_box(&op)))), floor)
        .calls(256)
        .goal(1.2)
}

fn of_tuak() -> Row {
    let mut state = [1; 25];
    let floor = move || {
        for _ in 0..2 {
            Keccak::new().with_f1600(|f1600| f1600(black_box(&mut state)));
        }
    };
    let functions = tuak::Functions::new(&secret([0; 16]), &secret([1; 32]), tuak::Parameters::default());
    Row::new("aka/TUAK", all_of_vector(Tuak::new(functions).unwrap()), floor).calls(64).goal(1.17)
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
    Row::new("aka/MILENAGE-256", all_of_vector(Milenage256::new(functions).unwrap()), floor).calls(16)
}

/// Keys of the home, one for the row and one for its floor, from one private key.
fn deconceal(group: Group, backend: &str, key: impl Fn(Secret<32>) -> Box<dyn Agreement>) -> Row {
    let [own, same] = [(); 2].map(|()| key(Secret::from_slice(&[0x41; 32]).unwrap()));
    let peer = AgreementKey::generate(group, &mut SeededRng::new(2)).unwrap();
    let public = peer.public_key().to_vec();
    let home = HomeNetworkKey::new(1, group, own.public_key()).unwrap();
    let suci = conceal(&subscription(), "0".parse().unwrap(), &home, peer).unwrap();
    let floor = move || {
        let mut shared = Secret::zeroed();
        black_box(&same).agree(black_box(&public), &mut shared).unwrap();
        black_box(&shared);
    };
    let all = move || drop(black_box(black_box(&suci).deconceal(|_| Some(&*own)).unwrap()));
    Row::new(format!("aka/SUCI {}, deconceal, {backend}", profile(group)), all, floor).goal(1.05)
}

fn concealed(group: Group) -> Row {
    let fresh = move || AgreementKey::generate(group, &mut SeededRng::new(2)).unwrap();
    let home = AgreementKey::generate(group, &mut SeededRng::new(1)).unwrap();
    let public = home.public_key().to_vec();
    let home = HomeNetworkKey::new(1, group, home.public_key()).unwrap();
    let subscription = subscription();
    let all = move || drop(black_box(conceal(&subscription, "0".parse().unwrap(), black_box(&home), fresh()).unwrap()));
    let floor = move || {
        let mut shared = Secret::zeroed();
        fresh().agree(black_box(&public), &mut shared).unwrap();
        black_box(&shared);
    };
    Row::new(format!("aka/SUCI {}, conceal, rustcrypto", profile(group)), all, floor).goal(1.05)
}

const fn profile(group: Group) -> &'static str {
    match group {
        Group::X25519 => "A",
        Group::P256 => "B",
    }
}

fn subscription() -> Identity {
    Identity::Imsi(Imsi::new("001010123456789".parse().unwrap(), plmn()).unwrap())
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
