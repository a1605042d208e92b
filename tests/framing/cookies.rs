//! Cookies and the budget of an address that has shown nothing.

use remote_provisioning::{
    crypto::Secret,
    error::{Misuse, Untrusted},
    framing::cookie::{AMPLIFICATION, Baker, Budget, COOKIE_LEN},
    time::Millis,
};

use crate::allocated;

const LIFETIME: u64 = 60_000;
const ADDRESS: &[u8] = b"\xc0\x00\x02\x01\x16\x33";
const NOW: Millis = Millis(1_000_000 * LIFETIME + 1);

fn key(byte: u8) -> Secret<32> {
    Secret::from_slice(&[byte; 32]).unwrap()
}

#[test]
fn only_the_right_cookie_is_good() {
    let key = key(7);
    let baker = Baker::new(&key, LIFETIME).unwrap();
    let cookie = baker.bake(ADDRESS, b"C_I", NOW);
    let check = |cookie: &[u8], address: &[u8], what: &[u8], now| baker.check(cookie, address, what, now);
    let bad = Err(Untrusted::Authentication);
    assert_eq!(check(&cookie, ADDRESS, b"C_I", NOW), Ok(()));
    assert_eq!(cookie.len(), COOKIE_LEN);
    // Another peer, or the border between address and message moved.
    assert_eq!(check(&cookie, b"\xc0\x00\x02\x02\x16\x33", b"C_I", NOW), bad);
    assert_eq!(check(&cookie, b"", b"C_I", NOW), bad);
    assert_eq!(check(&cookie, &[ADDRESS, b"C"].concat(), b"_I", NOW), bad);
    assert_eq!(check(&cookie, &ADDRESS[..5], b"\x33C_I", NOW), bad);
    assert_eq!(check(&cookie, ADDRESS, b"C_J", NOW), bad);
    assert_eq!(check(&cookie, ADDRESS, b"", NOW), bad);
    // Altered, in every bit; cut, lengthened, absent.
    for bit in 0..8 * COOKIE_LEN {
        let mut altered = cookie;
        altered[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(check(&altered, ADDRESS, b"C_I", NOW), bad, "bit {bit}");
    }
    assert_eq!(check(&cookie[..COOKIE_LEN - 1], ADDRESS, b"C_I", NOW), bad);
    assert_eq!(check(&cookie[..1], ADDRESS, b"C_I", NOW), bad);
    assert_eq!(check(&[&cookie[..], &[0]].concat(), ADDRESS, b"C_I", NOW), bad);
    assert_eq!(check(b"", ADDRESS, b"C_I", NOW), bad);
    // Another key.
    let other_key = self::key(8);
    assert_eq!(Baker::new(&other_key, LIFETIME).unwrap().check(&cookie, ADDRESS, b"C_I", NOW), bad);
    assert_eq!(Baker::new(&key, 0).map(|_| ()), Err(Misuse::Parameter("a cookie lives longer than that")));
}

/// In its bucket and in the next one; not in the one after, nor in the one before, nor when the low byte comes round.
#[test]
fn a_cookie_ages() {
    let key = key(7);
    let baker = Baker::new(&key, LIFETIME).unwrap();
    let bucket = NOW.0 / LIFETIME;
    let cookie = baker.bake(ADDRESS, b"", NOW);
    for (moment, good) in [
        (bucket * LIFETIME - 1, false),
        (bucket * LIFETIME, true),
        ((bucket + 1) * LIFETIME - 1, true),
        ((bucket + 1) * LIFETIME, true),
        ((bucket + 2) * LIFETIME - 1, true),
        ((bucket + 2) * LIFETIME, false),
        ((bucket + 256) * LIFETIME, false),
        ((bucket + 257) * LIFETIME, false),
    ] {
        assert_eq!(baker.check(&cookie, ADDRESS, b"", Millis(moment)).is_ok(), good, "{moment}");
    }
    // The first bucket has none before it.
    let first = baker.bake(ADDRESS, b"", Millis(0));
    assert!(baker.check(&first, ADDRESS, b"", Millis(0)).is_ok());
    assert!(baker.check(&first, ADDRESS, b"", Millis(LIFETIME)).is_ok());
}

/// A computation outside of this crate: Python's `hmac` over b"RCP cookie", 0xf4240 and 6 as 64 bits, address, "C_I".
#[test]
fn a_cookie_byte_for_byte() {
    let key = key(7);
    let cookie = Baker::new(&key, LIFETIME).unwrap().bake(ADDRESS, b"C_I", NOW);
    let hex: String = cookie.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, "40e5bcbe59ac9b7245375ba968eddd28ab");
}

/// It costs the operator nothing that stays: one buffer for the key, wiped and gone.
#[test]
fn a_check_leaves_nothing() {
    let key = key(7);
    let baker = Baker::new(&key, LIFETIME).unwrap();
    let cookie = baker.bake(ADDRESS, b"", NOW);
    let counted = allocation_counter::measure(|| baker.check(&cookie, ADDRESS, b"", NOW).unwrap());
    assert_eq!((counted.count_current, counted.bytes_max), (0, 64));
    let (_, bytes, _) = allocated(|| baker.check(b"", ADDRESS, b"", NOW));
    assert_eq!(bytes, 64);
}

#[test]
fn at_most_three_times_what_was_heard() {
    assert_eq!(AMPLIFICATION, 3);
    let mut budget = Budget::new();
    assert_eq!(budget.left(), 0);
    let too_much = Err(Misuse::NotNow("more than three times what was heard"));
    assert_eq!(budget.say(1), too_much);
    budget.heard(123);
    assert_eq!(budget.left(), 369);
    // message_2 of 419 bytes has to wait; an error message with a cookie has not.
    assert_eq!(budget.say(419), too_much);
    assert_eq!(budget.left(), 369, "what was not said costs nothing");
    assert_eq!(budget.say(300), Ok(()));
    assert_eq!(budget.say(70), too_much);
    assert_eq!(budget.say(69), Ok(()));
    assert_eq!((budget.left(), budget.say(1)), (0, too_much));
    budget.heard(1);
    assert_eq!(budget.left(), 3);
    budget.routable();
    assert_eq!(budget.say(1_000_000), Ok(()));
    // Sums that do not fit saturate, and do not come round to nothing.
    let mut budget = Budget::new();
    budget.heard(usize::MAX);
    budget.heard(1);
    assert_eq!(budget.left(), usize::MAX);
}
