//! Other implementations, on the same bytes. Where both apply, they agree.
//!
//! | door | the other one | where they may differ |
//! |---|---|---|
//! | `other_cbor` | `minicbor` | it takes what is forbidden here (tags, floats, long heads, indefinite lengths); then its tokens do not encode to the same bytes, or have something in them that is forbidden |
//! | `other_milenage` | the crate `milenage` | nowhere: standard constants |
//! | `other_edhoc` | `lakers`, PLAINTEXT_2 in method 3, suite 2 | see [`edhoc`] |

use core::panic::AssertUnwindSafe;
use std::{panic, sync::OnceLock};

use minicbor::data::Type;
use remote_provisioning::{
    aka::{AlgorithmSet, Keys, Milenage, Sqn, milenage as ours},
    crypto::{Crypto, EphemeralKey, Group, Rng, Secret, rustcrypto::RustCrypto},
    edhoc::{ConnectionId, Method, Suite, initiator},
    sim::SeededRng,
    trust::CredentialId,
    wire::{self, Entries, Kind, MAX_DEPTH, MAX_MESSAGE, Reader},
};

use super::Input;

// ------------------------------------------------------------------------------------------------------------- CBOR

/// An item, as minicbor sees it.
#[derive(Debug, PartialEq)]
enum Item {
    Int(i128),
    Bytes(Vec<u8>),
    Text(String),
    Array(Vec<Item>),
    Map(Vec<(Item, Item)>),
    Bool(bool),
    Null,
}

pub(super) fn cbor(bytes: &[u8]) {
    let theirs = read(bytes);
    let strict = Reader::new(bytes).and_then(|mut reader| reader.raw().and_then(|_| reader.end())).is_ok();
    // What is accepted is what minicbor reads and writes to the same bytes, and has nothing in it that is forbidden here.
    let plain = theirs
        .as_ref()
        .is_some_and(|item| bytes.len() <= MAX_MESSAGE && written(item).as_deref() == Some(bytes) && is_plain(item, 0));
    assert_eq!(strict, plain, "{theirs:?}");
    if let (true, Some(item)) = (strict, &theirs) {
        agree(bytes, item);
    }
    // Maps of somebody else's making: keys in any order, but each once, and tags.
    if let Ok(entries) = Entries::decode(bytes) {
        let mut decoder = minicbor::Decoder::new(bytes);
        let pairs = decoder.map().expect("a map").expect("of definite length");
        for _ in 0..pairs {
            if decoder.datatype().expect("a key") == Type::String {
                decoder.str().expect("a key");
                decoder.skip().expect("a value");
                continue;
            }
            let key = i64::try_from(i128::from(decoder.int().expect("a key"))).expect("it fits");
            let start = decoder.position();
            decoder.skip().expect("a value");
            assert_eq!(entries.get(key), bytes.get(start..decoder.position()));
        }
        assert_eq!(decoder.position(), bytes.len());
    }
}

/// One item and nothing behind it; `None` if minicbor refuses it, or it is of a kind that has no place here.
fn read(bytes: &[u8]) -> Option<Item> {
    let mut decoder = minicbor::Decoder::new(bytes);
    let item = read_item(&mut decoder, 0)?;
    (decoder.position() == bytes.len()).then_some(item)
}

fn read_item(decoder: &mut minicbor::Decoder<'_>, depth: usize) -> Option<Item> {
    if depth > MAX_DEPTH {
        return None;
    }
    Some(match decoder.datatype().ok()? {
        Type::U8 | Type::U16 | Type::U32 | Type::U64 | Type::I8 | Type::I16 | Type::I32 | Type::I64 | Type::Int => {
            Item::Int(decoder.int().ok()?.into())
        }
        Type::Bytes => Item::Bytes(decoder.bytes().ok()?.to_vec()),
        Type::String => Item::Text(decoder.str().ok()?.to_string()),
        Type::Array => {
            let len = decoder.array().ok()??;
            Item::Array((0..len).map(|_| read_item(decoder, depth + 1)).collect::<Option<_>>()?)
        }
        Type::Map => {
            let len = decoder.map().ok()??;
            let pair = |_| Some((read_item(decoder, depth + 1)?, read_item(decoder, depth + 1)?));
            Item::Map((0..len).map(pair).collect::<Option<_>>()?)
        }
        Type::Bool => Item::Bool(decoder.bool().ok()?),
        Type::Null => {
            decoder.null().ok()?;
            Item::Null
        }
        _ => return None,
    })
}

fn written(item: &Item) -> Option<Vec<u8>> {
    fn write(item: &Item, encoder: &mut minicbor::Encoder<Vec<u8>>) -> Option<()> {
        match item {
            Item::Int(n) => encoder.int((*n).try_into().ok()?).ok()?,
            Item::Bytes(bytes) => encoder.bytes(bytes).ok()?,
            Item::Text(text) => encoder.str(text).ok()?,
            Item::Array(items) => {
                encoder.array(items.len().try_into().ok()?).ok()?;
                return items.iter().try_for_each(|item| write(item, encoder));
            }
            Item::Map(pairs) => {
                encoder.map(pairs.len().try_into().ok()?).ok()?;
                return pairs.iter().try_for_each(|(key, value)| {
                    write(key, encoder)?;
                    write(value, encoder)
                });
            }
            Item::Bool(value) => encoder.bool(*value).ok()?,
            Item::Null => encoder.null().ok()?,
        };
        Some(())
    }
    let mut encoder = minicbor::Encoder::new(Vec::new());
    write(item, &mut encoder)?;
    Some(encoder.into_writer())
}

/// Keys are scalars in ascending order of their bytes, and nothing is deeper than it may be.
fn is_plain(item: &Item, depth: usize) -> bool {
    match item {
        Item::Array(items) => depth < MAX_DEPTH && items.iter().all(|item| is_plain(item, depth + 1)),
        Item::Map(pairs) => {
            let keys: Vec<_> = pairs.iter().map(|(key, _)| written(key)).collect();
            depth < MAX_DEPTH
                && pairs.iter().all(|(key, value)| {
                    matches!(key, Item::Int(_) | Item::Bytes(_) | Item::Text(_)) && is_plain(value, depth + 1)
                })
                && keys.is_sorted_by(|one, next| one < next)
        }
        _ => true,
    }
}

/// Both see the same value in bytes that are strict.
fn agree(bytes: &[u8], theirs: &Item) {
    let mut reader = Reader::new(bytes).unwrap();
    match theirs {
        Item::Int(n) => {
            assert_eq!(wire::decode::<u64>(bytes).ok(), u64::try_from(*n).ok());
            assert_eq!(wire::decode::<i64>(bytes).ok(), i64::try_from(*n).ok());
        }
        Item::Bytes(value) => assert_eq!(wire::decode::<&[u8]>(bytes), Ok(value.as_slice())),
        Item::Text(value) => assert_eq!(wire::decode::<&str>(bytes), Ok(value.as_str())),
        Item::Bool(value) => assert_eq!(wire::decode::<bool>(bytes), Ok(*value)),
        Item::Null => assert_eq!(reader.null(), Ok(true)),
        Item::Array(items) => {
            assert_eq!(reader.array(), Ok(items.len()));
            for item in items {
                agree(reader.raw().expect("an item"), item);
            }
            reader.end().expect("the end");
        }
        Item::Map(pairs) => {
            assert_eq!(reader.peek(), Ok(Kind::Map));
            let keys = pairs.iter().map(|(key, _)| if let Item::Int(n) = key { i64::try_from(*n).ok() } else { None });
            let Some(keys) = keys.collect::<Option<Vec<i64>>>() else { return };
            let mut map = reader.map().expect("a map");
            for (key, (_, value)) in keys.into_iter().zip(pairs) {
                agree(map.find(key).expect("in order").expect("it is there").raw().expect("a value"), value);
            }
            map.end().expect("the end");
        }
    }
}

// --------------------------------------------------------------------------------------------------------- Milenage

pub(super) fn milenage(data: &[u8]) {
    let mut input = Input::new(data);
    let mut take = || input.arbitrary::<[u8; 16]>().unwrap();
    let (k, op, rand, last) = (take(), take(), take(), take());
    let [s0, s1, s2, s3, s4, s5, a0, a1, ..] = last;
    let (sqn, amf) = ([s0, s1, s2, s3, s4, s5], [a0, a1]);

    let secret = |bytes: &[u8; 16]| Secret::<16>::from_slice(bytes).unwrap();
    let opc = ours::opc(&secret(&k), &secret(&op));
    let set = Milenage::new(&secret(&k), &opc);
    let mut theirs = ::milenage::Milenage::new_with_op(k, op);
    assert_eq!(opc.bytes(), theirs.opc());

    let number = Sqn::from_bytes(sqn);
    let mut keys = Keys::default();
    let mac_a = set.f1_to_f5(&rand, number, amf, &mut keys);
    assert_eq!(mac_a, theirs.f1(&rand, &sqn, &amf));
    assert_eq!(
        (set.f1(&rand, number, amf), set.f1_star(&rand, number, amf)),
        (mac_a, theirs.f1star(&rand, &sqn, &amf))
    );
    let (res, ck, ik, ak) = theirs.f2345(&rand);
    assert_eq!((keys.res.bytes(), keys.ck.bytes(), keys.ik.bytes(), keys.ak), (&res[..], &ck[..], &ik[..], ak));
    let ak_star = theirs.f5star(&rand);
    assert_eq!(set.f5_star(&rand), ak_star);
    // What the USIM makes of it, and what the network makes of that.
    let xor = |one: [u8; 6], other: [u8; 6]| core::array::from_fn(|at| one[at] ^ other[at]);
    assert_eq!(set.f5_to_f1(&rand, &xor(sqn, ak), amf, &mut keys), (number, mac_a));
    let (concealed, mac_s) = set.f1_star_and_f5_star(&rand, number);
    assert_eq!((concealed, mac_s), (xor(sqn, ak_star), theirs.f1star(&rand, &sqn, &[0, 0])));
    assert_eq!(set.f5_star_and_f1_star(&rand, &concealed, &mac_s), (number, mac_s));
}

// ------------------------------------------------------------------------------------------------------------ EDHOC

/// Both initiators, and the responder's half of the exchange with each.
struct Initiators {
    g_y: Vec<u8>,
    /// TH_2 and PRK_2e in the session with ours, and in that with theirs.
    ours: ([u8; 32], Secret<32>),
    theirs: ([u8; 32], Secret<32>),
}

/// lakers' random source.
struct Source(SeededRng);

impl rand_core::RngCore for Source {
    fn next_u32(&mut self) -> u32 {
        rand_core::impls::next_u32_via_fill(self)
    }

    fn next_u64(&mut self) -> u64 {
        rand_core::impls::next_u64_via_fill(self)
    }

    fn fill_bytes(&mut self, out: &mut [u8]) {
        self.0.fill(out).unwrap();
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(out);
        Ok(())
    }
}

impl rand_core::CryptoRng for Source {}

type Theirs = lakers_crypto_rustcrypto::Crypto<Source>;

const C_I: &[u8] = &[0x16];

fn our_start() -> (initiator::AwaitMessage2, Vec<u8>) {
    let c_i = ConnectionId::new(C_I).unwrap();
    let proposal = initiator::Proposal { method: Method::StaticStatic, suites: &[Suite::CCM_8], c_i: &c_i, ead_1: &[] };
    initiator::start(&proposal, &super::memo::Memo, &mut SeededRng::new(1)).unwrap()
}

fn their_start() -> (lakers::EdhocInitiatorWaitM2<Theirs>, Vec<u8>) {
    let crypto = Theirs::new(Source(SeededRng::new(1)));
    let lakers = lakers::EdhocInitiator::new(crypto, lakers::EDHOCMethod::StatStat, lakers::EDHOCSuite::CipherSuite2);
    let c_i = lakers::ConnId::from_slice(C_I).unwrap();
    let (lakers, message_1) = lakers.prepare_message_1(Some(c_i), &None).unwrap();
    (lakers, message_1.as_slice().to_vec())
}

fn initiators() -> &'static Initiators {
    static INITIATORS: OnceLock<Initiators> = OnceLock::new();
    INITIATORS.get_or_init(|| {
        let y: EphemeralKey = RustCrypto.generate(Group::P256, &mut SeededRng::new(2)).unwrap();
        // RFC 9528 §5.3.2 and §4.1.1: TH_2 = H( G_Y, H(message_1) ), PRK_2e = HKDF-Extract( TH_2, G_XY ).
        let secrets = |message_1: &[u8]| {
            let hash = RustCrypto.sha256(&[message_1]);
            let th_2 = RustCrypto.sha256(&[&wire::encode_with(|w| {
                w.bytes(y.public());
                w.bytes(&hash);
            })]);
            let (mut g_xy, mut prk_2e) = (Secret::zeroed(), Secret::zeroed());
            // METHOD, SUITES_I and the head of G_X have a byte, a byte and two.
            RustCrypto.decapsulate(&y, &message_1[4..36], &mut g_xy).unwrap();
            RustCrypto.hkdf_extract(&th_2, g_xy.bytes(), &mut prk_2e);
            (th_2, prk_2e)
        };
        Initiators { g_y: y.public().to_vec(), ours: secrets(&our_start().1), theirs: secrets(&their_start().1) }
    })
}

/// message_2 with this plaintext (§4.1.2 and §5.3.2).
fn message_2(g_y: &[u8], (th_2, prk_2e): &([u8; 32], Secret<32>), plaintext: &[u8]) -> Vec<u8> {
    let info = wire::encode_with(|w| {
        w.unsigned(0);
        w.bytes(th_2);
        w.unsigned(u64::try_from(plaintext.len()).unwrap());
    });
    let mut text = vec![0; plaintext.len()];
    RustCrypto.hkdf_expand(prk_2e, &[&info], &mut text).unwrap();
    text.iter_mut().zip(plaintext).for_each(|(key, byte)| *key ^= byte);
    wire::encode_with(|w| w.bytes(&[g_y, &text].concat()))
}

/// What another one's code says, if it says something: its panics are its own, and the fuzzer's hook does not see them.
fn unless_it_panics<T>(act: impl FnOnce() -> T) -> Option<T> {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let result = panic::catch_unwind(AssertUnwindSafe(act));
    panic::set_hook(hook);
    result.ok()
}

/// PLAINTEXT_2, for the reader of `lakers` and for ours.
///
/// They may differ: lakers is for small buffers (a message of 192 bytes, an identifier of 192, `kid` of 23), knows one EAD
/// item with a label below 24 and takes all that is behind it for its value, looks into no map that it does not know, and
/// does not compare C_R with C_I; a MAC_2 that is none is refused by its reader, and by ours when it is held against the
/// true one. It panics on a C_R of eight bytes or more, and where the items of nested arrays and maps are more than 255.
pub(super) fn edhoc(plaintext: &[u8]) {
    let Initiators { g_y, ours, theirs } = initiators();
    if plaintext.len() > 150 {
        return;
    }
    let (initiator, _) = our_start();
    let ours = initiator.read(&message_2(g_y, ours, plaintext), &super::memo::Memo);
    let (lakers, _) = their_start();
    let buffer = lakers::EdhocMessageBuffer::new_from_slice(&message_2(g_y, theirs, plaintext)).expect("it fits");
    let Some(theirs) = unless_it_panics(|| lakers.parse_message_2(&buffer)) else { return };

    if let Ok((_, c_r, id_cred, ead)) = &theirs {
        let id = id_cred.as_full_value();
        match &ours {
            Ok(message) => {
                let claimed = wire::encode(&message.claimed().unwrap());
                assert_eq!(claimed, id, "somebody else");
            }
            Err(_) => {
                // What we know to be stricter in.
                let one_item = ead.as_ref().is_none_or(|item| {
                    item.value.as_ref().is_none_or(|value| wire::decode::<&[u8]>(value.as_slice()).is_ok())
                });
                let known = wire::decode::<CredentialId<'_>>(id).is_ok();
                assert!(!one_item || !known || c_r.as_slice() == C_I, "refused by us alone: {plaintext:02x?}");
            }
        }
    } else if let Ok(message) = ours {
        let claimed = message.claimed().unwrap();
        let small =
            matches!(claimed, CredentialId::Kid(kid) if kid.len() < 24) || matches!(claimed, CredentialId::Ccs(_));
        let mac = {
            let mut reader = Reader::new(plaintext).unwrap();
            let (_, _) = (reader.raw().unwrap(), reader.raw().unwrap());
            reader.bytes().is_ok_and(|mac| mac.len() == 8)
        };
        let no_items = {
            let mut reader = Reader::new(plaintext).unwrap();
            (0..3).for_each(|_| {
                let _ = reader.raw();
            });
            reader.is_empty() || matches!(reader.rest()[0], 0..=0x17 | 0x20..=0x37)
        };
        // Its reader of identifiers and maps knows one-byte arguments only.
        let heads = plaintext.iter().all(|byte| !matches!(byte & 0x1f, 25..=31));
        let short_c_r = plaintext[0] & 0x1f < 8 || plaintext[0] >> 5 != 2;
        assert!(!small || !mac || !no_items || !heads || !short_c_r, "refused by them alone: {plaintext:02x?}");
    }
}

/// What there is to start from.
pub(super) fn seeds() -> Vec<super::seeds::Seed> {
    let mut seeds: Vec<super::seeds::Seed> = Vec::new();
    for (name, bytes) in super::seeds::messages() {
        seeds.push(("other_cbor", name.into(), bytes));
    }
    for (name, bytes) in [
        ("numbers", &b"\x86\x17\x18\x18\x19\x01\x00\x1a\x00\x01\x00\x00\x1b\x00\x00\x00\x01\x00\x00\x00\x00\x3b\xff\xff\xff\xff\xff\xff\xff\xff"[..]),
        ("any-order", b"\xa4\x19\x01\x00\x01\x0a\x41x\x20\x82\x01\xa2\x05\x00\x02\x00\x61a\xc1\x00"),
        ("forbidden", b"\x86\xf9\x3c\x00\xc1\x01\xf7\xe0\x5f\x41a\xff\x9f\xff"),
        ("keys", b"\xa3\x01\x02\x20\x03\x61a\x82\xf5\xf6"),
    ] {
        seeds.push(("other_cbor", name.into(), bytes.to_vec()));
    }
    let vectors = super::seeds::vectors;
    for (number, case) in vectors(include_str!("../../../tests/vectors/aka_milenage.json")).iter().enumerate() {
        let fields = ["k", "op", "rand", "sqn", "management_field"].map(|name| case[name].as_slice());
        seeds.push(("other_milenage", format!("ts35207-set-{}", number + 1), fields.concat()));
    }
    for case in vectors(include_str!("../../../tests/vectors/edhoc_rfc9529_section_3.json")) {
        seeds.push(("other_edhoc", "rfc9529-section-3".into(), case["plaintext_2"].clone()));
    }
    for (number, case) in
        vectors(include_str!("../../../tests/vectors/edhoc_known_answers.json")).into_iter().enumerate()
    {
        if case["plaintext_2"].len() <= 150 {
            seeds.push(("other_edhoc", format!("known-answer-{number}"), case["plaintext_2"].clone()));
        }
    }
    let with = |tail: &[u8]| [&[0x27, 0x32, 0x48, 1, 2, 3, 4, 5, 6, 7, 8], tail].concat();
    seeds.push(("other_edhoc", "item".into(), with(&[0x05, 0x43, 1, 2, 3])));
    seeds.push(("other_edhoc", "critical".into(), with(&[0x25])));
    seeds.push(("other_edhoc", "two-items".into(), with(&[0x05, 0x41, 1, 0x06])));
    seeds
}
