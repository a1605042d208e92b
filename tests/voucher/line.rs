//! Each way for a line of owners to be wrong.

use p256::ecdsa::Signature as P256Signature;
use proptest::prelude::*;
use remote_provisioning::{
    cose::sign1::Sign1,
    error::{Malformed, Misuse},
    trust::voucher::{MAX_ENTRIES, VoucherRequest},
    wire::{self, Reader},
};

use super::*;

/// The entries of a chain, encoded.
fn entries(chain: &[u8]) -> Vec<Vec<u8>> {
    let mut reader = Reader::new(chain).unwrap();
    (0..reader.array().unwrap()).map(|_| reader.raw().unwrap().to_vec()).collect()
}

fn joined(entries: &[Vec<u8>]) -> Vec<u8> {
    wire::encode_with(|w| {
        w.array(entries.len());
        entries.iter().for_each(|entry| w.encoded(entry));
    })
}

#[test]
fn the_maker_makes_the_first_owner_and_each_owner_the_next() {
    let mut market = Market::new();
    for count in 1..=MAX_ENTRIES {
        let chain = market.line(count);
        assert_eq!(joined(&entries(&chain)), chain);
        let summary = outline(&chain, &RustCrypto).unwrap();
        assert_eq!((summary.entries, summary.epoch), (count, u32::try_from(count).unwrap()));
        assert_eq!((summary.owner, summary.voucher.serial), (market.owners[count - 1].thumbprint(), SERIAL));
        // A new device takes all of it at once; the one that has followed takes the last step.
        let new = Market::new().show(&chain, count - 1).unwrap();
        let followed = market.accept(&chain, count - 1);
        assert_eq!(new, followed);
        assert_eq!((followed.epoch, followed.head), (summary.epoch, summary.head));
        // Shown again, nothing changes.
        assert_eq!(market.show(&chain, count - 1), Ok(followed));
    }
}

#[test]
fn sixteen_entries_are_the_most() {
    let market = Market::new();
    let full = market.line(MAX_ENTRIES);
    assert!(market.show(&full, 15).is_ok());
    let (from, to) = (&market.owners[15], market.owners[16].thumbprint());
    let more = extend(&full, &from.key(), &to, 17, Domain::Test, from.sign(), &RustCrypto);
    assert_eq!(more.err(), Some(Misuse::Parameter("the voucher has all its entries").into()));
    let mut seventeen = entries(&full);
    seventeen.push(seventeen[15].clone());
    assert_eq!(market.show(&joined(&seventeen), 15), refused(Fault::TooLong));
    assert_eq!(market.show(&joined(&[]), 0), Err(Malformed::Truncated.into()), "nor none");
}

#[test]
fn stale_and_truncated() {
    let mut market = Market::new();
    let chains: Vec<_> = (1..=4).map(|count| market.line(count)).collect();
    market.accept(&chains[2], 2);
    // The donor's old voucher after a transfer: whoever owned it before.
    for (old, chain) in chains[..2].iter().enumerate() {
        assert_eq!(market.show(chain, old), refused(Fault::Stale), "owner {old}");
    }
    // The same chain without its end.
    let mut cut = entries(&chains[3]);
    cut.truncate(2);
    assert_eq!(market.show(&joined(&cut), 1), refused(Fault::Stale));
    assert!(market.show(&chains[3], 3).is_ok(), "and on it goes");
}

#[test]
fn forked() {
    // Owner 1 hands the device on twice. Both are good, until the device has seen one.
    let market = Market::new();
    let base = market.line(2);
    let (one, other) = (market.handed_on(&base, 1, 2, 3), market.handed_on(&base, 1, 3, 3));
    for (seen, seen_by, late, late_by) in [(&one, 2, &other, 3), (&other, 3, &one, 2)] {
        let mut market = Market::new();
        market.accept(seen, seen_by);
        assert_eq!(market.show(late, late_by), refused(Fault::Stale), "no further than the device is");
        let further = market.handed_on(late, late_by, 4, 4);
        assert_eq!(market.show(&further, 4), refused(Fault::Forked));
    }
}

#[test]
fn reordered_mixed_and_repeated() {
    let market = Market::new();
    let chain = entries(&market.line(4));
    for order in [[0, 2, 1, 3], [0, 1, 3, 2], [0, 3, 2, 1], [0, 1, 1, 2], [0, 3, 3, 3]] {
        let mixed: Vec<_> = order.iter().map(|at| chain[*at].clone()).collect();
        let outcome = market.show(&joined(&mixed), 3);
        assert!(
            matches!(outcome, Err(Error::Untrusted(Untrusted::Voucher(Fault::Signer | Fault::Broken)))),
            "{order:?}"
        );
    }
    let first_last = [chain[1].clone(), chain[0].clone()];
    assert!(matches!(market.show(&joined(&first_last), 0), Err(Error::Malformed(_))));
    // An entry left out.
    assert_eq!(market.show(&joined(&[chain[0].clone(), chain[2].clone()]), 2), refused(Fault::Signer));
    // The same owner by way of another chain: signer and epoch fit, the hash does not.
    let elsewhere = market.issue(&Voucher { created_on: Some(Date(0)), ..word(&market.owners[0]) });
    let elsewhere = entries(&market.handed_on(&elsewhere, 0, 1, 2));
    assert_eq!(market.show(&joined(&[chain[0].clone(), elsewhere[1].clone()]), 1), refused(Fault::Broken));
}

#[test]
fn epochs_only_grow() {
    let market = Market::new();
    let base = market.line(2);
    let (from, to) = (&market.owners[1], market.owners[2].thumbprint());
    for epoch in [0, 1, 2] {
        let outcome = extend(&base, &from.key(), &to, epoch, Domain::Test, from.sign(), &RustCrypto);
        assert_eq!(outcome.err(), Some(Misuse::Parameter("owner epochs only grow").into()));
    }
    assert!(market.show(&market.handed_on(&base, 1, 2, u32::MAX), 2).is_ok(), "by any step");
    // By hand, an entry with the epoch of the one before.
    let mut cut = entries(&base);
    let head = outline(&base, &RustCrypto).unwrap().head;
    let payload = wire::encode_with(|w| {
        w.array(4);
        w.bytes(&head);
        w.bytes(&to);
        w.unsigned(2);
        w.unsigned(1);
    });
    cut.push(by_hand(from, &payload));
    assert_eq!(market.show(&joined(&cut), 2), refused(Fault::Broken));
}

/// An extension with any payload.
fn by_hand(signer: &Party, payload: &[u8]) -> Vec<u8> {
    let key = signer.key();
    let compressed = [&[2 | (key.y()[31] & 1)], key.x()].concat();
    let signed = wire::encode(&Sign1::create(payload, b"RCP voucher", signer.sign()).unwrap());
    wire::encode_with(|w| {
        w.array(2);
        w.bytes(&compressed);
        w.bytes(&signed);
    })
}

#[test]
fn wrong_device_wrong_domain_wrong_signer() {
    let market = Market::new();
    let other = market.issue(&Voucher { serial: "IOT-0043", ..word(&market.owners[0]) });
    assert_eq!(market.show(&other, 0), refused(Fault::OtherDevice));
    // A longer and a shorter name of the same beginning.
    for serial in ["IOT-004", "IOT-00421", "iot-0042", ""] {
        let other = market.issue(&Voucher { serial, ..word(&market.owners[0]) });
        assert_eq!(market.show(&other, 0), refused(Fault::OtherDevice), "{serial}");
    }
    assert_eq!(market.show(&market.sold(), 1), refused(Fault::OtherOwner));

    // Signed by somebody else, by the owner itself, by a maker for the other domain.
    for signer in [&Party::new("another maker"), &market.owners[0]] {
        let forged = first(&word(&market.owners[0]).sign(signer.sign()).unwrap());
        assert_eq!(market.show(&forged, 0), refused(Fault::Signer));
    }
    let mut production = MemoryAnchors::new();
    production.add_maker(Maker::new(market.maker.key(), Domain::Production)).unwrap();
    assert!(production.add_maker(Maker::new(market.maker.key(), Domain::Test)).is_err(), "one key, one domain");
    let market = Market { anchors: production, ..market };
    assert_eq!(market.show(&market.sold(), 0), refused(Fault::Signer));

    // An extension for the other domain, and one that the wrong owner has signed.
    let market = Market::new();
    let (from, to) = (&market.owners[0], market.owners[1].thumbprint());
    let other = extend(&market.sold(), &from.key(), &to, 2, Domain::Production, from.sign(), &RustCrypto).unwrap();
    assert_eq!(market.show(&other, 1), refused(Fault::OtherDomain));
    let thief = &market.owners[5];
    let stolen = extend(&market.sold(), &thief.key(), &to, 2, Domain::Test, thief.sign(), &RustCrypto);
    assert_eq!(stolen.err(), Some(Misuse::Parameter("the signer is not the owner").into()));
    let forged = extend(&market.sold(), &from.key(), &to, 2, Domain::Test, thief.sign(), &RustCrypto).unwrap();
    assert_eq!(market.show(&forged, 1), refused(Fault::Signer), "the owner's key, the thief's signature");
    let head = outline(&market.sold(), &RustCrypto).unwrap().head;
    let payload = wire::encode_with(|w| {
        w.array(4);
        w.bytes(&head);
        w.bytes(&to);
        w.unsigned(2);
        w.unsigned(1);
    });
    let mut entries = entries(&market.sold());
    entries.push(by_hand(thief, &payload));
    assert_eq!(market.show(&joined(&entries), 1), refused(Fault::Signer), "the thief's key and signature");
}

#[test]
fn one_key_by_three_names() {
    let market = Market::new();
    let key = market.owners[0].key();
    for pinned in [Pin::Thumbprint(key.thumbprint(&RustCrypto)), Pin::Key(&key.spki())] {
        let chain = market.issue(&Voucher { pinned, ..word(&market.owners[0]) });
        assert_eq!(market.show(&chain, 0).unwrap().owner, market.owners[0].thumbprint());
    }
    // What is no certificate pins nothing.
    let chain = market.issue(&Voucher { pinned: Pin::Certificate(b"none"), ..word(&market.owners[0]) });
    assert_eq!(market.show(&chain, 0), Err(Untrusted::BadCertificate.into()));
}

/// A voucher names one key, in one way.
#[test]
fn no_key_and_two_keys() {
    let maker = Party::new("maker");
    let read = |pins: &[(u64, usize)]| {
        let payload = wire::encode_with(|w| {
            w.map(1);
            w.unsigned(2451);
            w.map(pins.len() + 1);
            for (leaf, len) in pins {
                w.unsigned(*leaf);
                w.bytes(&vec![1; *len]);
            }
            w.unsigned(11);
            w.text("S");
        });
        let signed = Sign1::create(&payload, &[], maker.sign()).unwrap().to_tagged();
        Voucher::verify(&signed, &maker.key(), &RustCrypto)
            .map(|voucher| voucher.pinned.thumbprint(&RustCrypto).is_ok())
    };
    assert_eq!(read(&[(9, 91)]), Ok(true));
    assert_eq!(read(&[(10, 32)]), Ok(true));
    assert_eq!(read(&[]), Err(Malformed::MissingKey.into()));
    assert_eq!(read(&[(10, 31)]), Err(Malformed::WrongLength.into()));
    for two in [[(8, 91), (9, 91)], [(8, 91), (10, 32)], [(9, 91), (10, 32)]] {
        assert_eq!(read(&two), Err(Malformed::OutOfRange.into()), "{two:?}");
    }
}

/// A valid signature has a twin. Whoever replaces one by the other neither forks the line nor locks the device out.
#[test]
fn the_twin_of_a_signature_is_the_same_entry() {
    let mut market = Market::new();
    let mut twin = entries(&market.line(2));
    for entry in &mut twin {
        let at = entry.len() - 64;
        let signature = P256Signature::from_slice(&entry[at..]).unwrap();
        let (r, s) = signature.split_scalars();
        let other = P256Signature::from_scalars(r.to_bytes(), (-*s).to_bytes()).unwrap();
        assert_ne!(signature, other);
        entry[at..].copy_from_slice(&other.to_bytes());
    }
    let twin = joined(&twin);
    assert_ne!(twin, market.line(2));
    assert_eq!(market.show(&twin, 1), market.show(&market.line(2), 1));
    market.accept(&twin, 1);
    assert!(market.show(&market.line(3), 2).is_ok());
}

// Time and nonces.

#[test]
fn an_end_needs_a_clock_or_a_nonce() {
    let mut market = Market::new();
    let ending = market.issue(&Voucher { expires_on: Some(Date(1_000)), ..word(&market.owners[0]) });
    for (date, good) in [(None, false), (Some(Date(999)), true), (Some(Date(1_000)), false), (Some(Date(2_000)), false)]
    {
        market.date = date;
        let expected = if good { Ok(()) } else { refused(Fault::Expired).map(|_| ()) };
        assert_eq!(market.show(&ending, 0).map(|_| ()), expected, "{date:?}");
    }
    // Once it is held, its end does not matter: what follows from it is still the line.
    market.date = Some(Date(999));
    market.accept(&ending, 0);
    market.date = Some(Date(2_000));
    assert!(market.show(&ending, 0).is_ok());
    let next = market.handed_on(&ending, 0, 1, 2);
    assert!(market.show(&next, 1).is_ok());
    // The nonce says more than a clock.
    let both = Voucher { expires_on: Some(Date(1_000)), nonce: Some(NONCE), ..word(&market.owners[0]) };
    let market = Market { date: None, ..Market::new() };
    let both = market.issue(&both);
    assert!(market.show_with(&both, 0, Some(NONCE)).is_ok());
}

/// A corrupt former owner goes on with a branch of its own; the maker's word of today ends it.
#[test]
fn a_nonce_voucher_closes_the_gap() {
    let mut market = Market::new();
    let base = market.line(2);
    market.accept(&base, 1);
    // Owner 1 has sold the device and still hands it on to a friend.
    let friend = market.handed_on(&base, 1, 3, 3);
    assert!(market.show(&friend, 3).is_ok(), "the gap: the device cannot know");
    // The buyer, owner 2, lets the device ask its maker.
    let device = Party::new("the device");
    let request =
        VoucherRequest { nonce: NONCE, registrar: Pin::Thumbprint(market.owners[2].thumbprint()), serial: SERIAL };
    let request = request.sign(device.sign()).unwrap();
    assert!(VoucherRequest::verify(&request, &market.owners[2].key(), &RustCrypto).is_err());
    let request = VoucherRequest::verify(&request, &device.key(), &RustCrypto).unwrap();
    let answer = market.issue(&Voucher::answering(&request, Assertion::Logged, Date(1_760_000_000)));
    assert_eq!(market.show(&answer, 2), refused(Fault::Stale), "not asked for");
    assert_eq!(market.show_with(&answer, 2, Some(b"another nonce")), refused(Fault::Stale));
    let ownership = market.show_with(&answer, 2, Some(NONCE)).unwrap();
    assert_eq!(ownership.epoch, 3, "one on from where it was");
    market.held = Some(ownership);
    // The branch is over, the answer cannot be used for anybody else, and the line goes on from here.
    assert_eq!(market.show(&friend, 3), refused(Fault::Stale));
    let further = market.handed_on(&friend, 3, 4, 9);
    assert_eq!(market.show(&further, 4), refused(Fault::Forked));
    assert_eq!(market.show(&answer, 2), Ok(ownership), "what it holds");
    assert_eq!(
        market.show(&market.handed_on(&answer, 2, 5, 3), 5),
        refused(Fault::Broken),
        "not above the device's epoch"
    );
    let next = market.handed_on(&answer, 2, 5, 4);
    market.accept(&next, 5);
    // And an answer to an earlier request is not taken again.
    assert_eq!(market.show(&answer, 2), refused(Fault::Stale));
    assert_eq!(market.show_with(&answer, 2, Some(b"a new request")), refused(Fault::Stale));
}

#[test]
fn nonces_have_eight_to_thirty_two_bytes() {
    let market = Market::new();
    for (len, good) in [(0, false), (7, false), (8, true), (32, true), (33, false)] {
        let nonce = vec![5; len];
        let chain = market.issue(&Voucher { nonce: Some(&nonce), ..word(&market.owners[0]) });
        assert_eq!(market.show_with(&chain, 0, Some(&nonce)).is_ok(), good, "{len}");
    }
}

#[test]
fn dates_are_read_as_others_write_them() {
    let written = |text: &str| {
        let payload = wire::encode_with(|w| {
            w.map(1);
            w.unsigned(2451);
            w.map(3);
            w.unsigned(4);
            w.text(text);
            w.unsigned(10);
            w.bytes(&[1; 32]);
            w.unsigned(11);
            w.text("S");
        });
        let maker = Party::new("maker");
        let signed = Sign1::create(&payload, &[], maker.sign()).unwrap().to_tagged();
        Voucher::verify(&signed, &maker.key(), &RustCrypto).map(|voucher| voucher.expires_on)
    };
    let expected = Ok(Some(Date(1_670_358_210)));
    assert_eq!(written("2022-12-06T20:23:30Z"), expected);
    assert_eq!(written("2022-12-06T20:23:30.708Z"), expected);
    for bad in [
        "2022-12-06T20:23:30",
        "2022-12-06T20:23:30.Z",
        "2022-12-06T20:23:30+01:00",
        "2022-12-06 20:23:30Z",
        "",
        "2022-13-06T20:23:30Z",
        "2022-12-06T20:23:30.7x8Z",
        "2022-12-06T20:23:3\u{e9}Z",
    ] {
        assert_eq!(written(bad), Err(Malformed::Text.into()), "{bad}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn bytes_of_a_stranger_never_make_an_owner(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let market = Market::new();
        prop_assert!(market.show(&bytes, 0).is_err());
        let _ = outline(&bytes, &RustCrypto);
    }

    #[test]
    fn nor_does_a_chain_with_a_changed_byte(at in any::<proptest::sample::Index>(), change in 1..=255_u8) {
        let market = Market::new();
        let mut chain = market.line(3);
        let good = market.show(&chain, 2).unwrap();
        let at = at.index(chain.len());
        chain[at] ^= change;
        match market.show(&chain, 2) {
            Err(_) => {}
            // A signer's key stands there for finding it; its two encodings of one x do not both fit its hash.
            Ok(other) => prop_assert_eq!(other, good),
        }
    }
}
