//! The codec: strict deterministic CBOR, an array of ten fields and a map with a map and an array in it.
//!
//! The floor writes and reads the same bytes by hand, as strictly. Encoding allocates once on either side; decoding does not.

use core::hint::black_box;

use remote_provisioning::{
    aka::Challenge,
    credential::{Activation, Algorithm, MilenageParameters, Package, Previous},
    identity::{Domain, Supi},
    provisioning::receipt::{Event, Receipt},
    wire,
};

use crate::row::Row;

const HASH: [u8; 32] = [0x5a; 32];
const TXN: [u8; 16] = [0x33; 16];
const KEY: [u8; 16] = [0x44; 16];
const SUPI: &str = "001010123456789";

pub(crate) fn rows() -> Vec<Row> {
    let receipt = receipt();
    let bytes = wire::encode(&receipt);
    assert_eq!(bytes, write_receipt());
    assert_eq!(read_receipt(&bytes).unwrap(), (7, HASH));
    let package = package();
    let sent = wire::encode(&package);
    assert_eq!(sent, write_package());
    assert_eq!(read_package(&sent).unwrap(), (3, KEY));
    let (came, by_hand, arrived, read) = (bytes.clone(), bytes, sent.clone(), sent);
    vec![
        Row::new(
            "codec/receipt, encode",
            move || drop(black_box(wire::encode(black_box(&receipt)))),
            || drop(black_box(write_receipt())),
        )
        .calls(500)
        .goal(1.9),
        Row::new(
            "codec/receipt, decode",
            move || done(wire::decode::<Receipt>(black_box(&came)).unwrap()),
            move || done(read_receipt(black_box(&by_hand)).unwrap()),
        )
        .calls(500)
        .goal(1.72),
        Row::new(
            "codec/package, encode",
            move || drop(black_box(wire::encode(black_box(&package)))),
            || drop(black_box(write_package())),
        )
        .calls(500)
        .goal(1.9),
        Row::new(
            "codec/package, decode",
            move || done(wire::decode::<Package<'_>>(black_box(&arrived)).unwrap()),
            move || done(read_package(black_box(&read)).unwrap()),
        )
        .calls(500)
        .goal(1.72),
    ]
}

/// Keeps the compiler from leaving out what made `value`.
fn done<T>(value: T) {
    black_box(value);
}

fn receipt() -> Receipt {
    Receipt {
        domain: Domain::Test,
        sequence: 7,
        previous: Some(HASH),
        txn: TXN,
        event: Event::Activated,
        supi_hash: HASH,
        epoch: 1_000,
        package_hash: HASH,
        owner_epoch: 2,
        grant: Some(HASH),
    }
}

fn package() -> Package<'static> {
    Package {
        epoch: 3,
        supi: supi(),
        algorithm: Algorithm::Milenage,
        parameters: MilenageParameters { opc: &KEY },
        challenge: Challenge { rand: TXN, autn: KEY },
        suci: None,
        profile: None,
        activation: Activation::OneShot,
        previous: Previous::None,
    }
}

fn supi() -> Supi {
    SUPI.parse().unwrap()
}

fn write_receipt() -> Vec<u8> {
    let mut out = Vec::with_capacity(1 + 1 + 1 + 34 + 17 + 1 + 34 + 3 + 34 + 1 + 34);
    let [hash, txn] = black_box([&HASH[..], &TXN]);
    out.extend_from_slice(&[0x8a, 1, black_box(7), 0x58, 32]);
    out.extend_from_slice(hash);
    out.push(0x50);
    out.extend_from_slice(txn);
    out.extend_from_slice(&[0, 0x58, 32]);
    out.extend_from_slice(hash);
    out.push(0x19);
    out.extend_from_slice(&black_box(1_000_u16).to_be_bytes());
    out.extend_from_slice(&[0x58, 32]);
    out.extend_from_slice(hash);
    out.extend_from_slice(&[2, 0x58, 32]);
    out.extend_from_slice(hash);
    out
}

fn write_package() -> Vec<u8> {
    let mut out = Vec::with_capacity(1 + 2 + 17 + 2 + 20 + 36 + 4);
    let [key, txn] = black_box([&KEY[..], &TXN]);
    out.extend_from_slice(&[0xa7, 1, black_box(3), 2, 0x6f]);
    out.extend_from_slice(black_box(SUPI).as_bytes());
    out.extend_from_slice(&[3, 1, 4, 0xa1, 1, 0x50]);
    out.extend_from_slice(key);
    out.extend_from_slice(&[5, 0x82, 0x50]);
    out.extend_from_slice(txn);
    out.push(0x50);
    out.extend_from_slice(key);
    out.extend_from_slice(&[8, 0, 9, 0]);
    out
}

/// A cursor, and the least that a strict reader has to look at.
struct Hand<'a>(&'a [u8]);

impl<'a> Hand<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn is(&mut self, expected: u8) -> Option<()> {
        (self.byte()? == expected).then_some(())
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    /// In its shortest form.
    fn unsigned(&mut self) -> Option<u64> {
        match self.byte()? {
            small @ 0..=0x17 => Some(small.into()),
            0x18 => self.byte().filter(|byte| *byte > 0x17).map(u64::from),
            0x19 => Some(u16::from_be_bytes(self.take()?).into()).filter(|number| *number > 0xff),
            0x1a => Some(u32::from_be_bytes(self.take()?).into()).filter(|number| *number > 0xffff),
            _ => None,
        }
    }

    fn hash(&mut self) -> Option<[u8; 32]> {
        self.is(0x58)?;
        self.is(32)?;
        self.take()
    }

    fn maybe_hash(&mut self) -> Option<Option<[u8; 32]>> {
        if self.0.first() == Some(&0xf6) {
            self.byte()?;
            return Some(None);
        }
        self.hash().map(Some)
    }

    fn key(&mut self) -> Option<[u8; 16]> {
        self.is(0x50)?;
        self.take()
    }
}

fn read_receipt(bytes: &[u8]) -> Option<(u64, [u8; 32])> {
    let mut hand = Hand(bytes);
    hand.is(0x8a)?;
    let (domain, sequence, previous) = (hand.unsigned()?, hand.unsigned()?, hand.maybe_hash()?);
    let (txn, event, supi_hash) = (hand.key()?, hand.unsigned()?, hand.hash()?);
    let (epoch, package_hash, owner_epoch) = (hand.unsigned()?, hand.hash()?, hand.unsigned()?);
    let grant = hand.maybe_hash()?;
    if domain > 1 || event > 3 || epoch > u32::MAX.into() || owner_epoch > u32::MAX.into() || !hand.0.is_empty() {
        return None;
    }
    black_box((previous, txn, epoch, package_hash, owner_epoch, grant));
    Some((sequence, supi_hash))
}

fn read_package(bytes: &[u8]) -> Option<(u64, [u8; 16])> {
    let mut hand = Hand(bytes);
    hand.is(0xa7)?;
    hand.is(1)?;
    let epoch = hand.unsigned()?;
    hand.is(2)?;
    let len = hand.byte()?.checked_sub(0x60).filter(|len| (5..=15).contains(len))?;
    let (digits, rest) = hand.0.split_at_checked(len.into())?;
    hand.0 = rest;
    let supi = core::str::from_utf8(digits).ok()?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    hand.is(3)?;
    let algorithm = hand.unsigned()?;
    hand.is(4)?;
    hand.is(0xa1)?;
    hand.is(1)?;
    let opc = hand.key()?;
    hand.is(5)?;
    hand.is(0x82)?;
    let (rand, autn) = (hand.key()?, hand.key()?);
    hand.is(8)?;
    let activation = hand.unsigned()?;
    hand.is(9)?;
    let previous = hand.unsigned()?;
    if epoch > u32::MAX.into() || algorithm != 1 || activation > 1 || previous > 2 || !hand.0.is_empty() {
        return None;
    }
    black_box((supi, rand, autn));
    Some((epoch, opc))
}
