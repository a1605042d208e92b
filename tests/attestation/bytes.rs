//! What happens to tokens whose bytes are not what their maker wrote.

use proptest::prelude::*;
use remote_provisioning::{
    attestation::{Finding, TokenVerifier, Verifier},
    crypto::rustcrypto::RustCrypto,
    error::Malformed,
};

use crate::lab::*;

fn verify(evidence: &[u8]) -> Result<(), Finding> {
    TokenVerifier::new(endorsements()).verify(evidence, &NONCE, &RustCrypto).map(|_| ())
}

fn good() -> [Vec<u8>; 3] {
    [Token::psa().sign(), Token::eat().sign(), Token::psa().with(256, bytes(instance(3).as_bytes())).mac()]
}

#[test]
fn not_a_bit_can_be_changed() {
    for token in good() {
        assert_eq!(verify(&token), Ok(()));
        for at in 0..token.len() * 8 {
            let mut token = token.clone();
            token[at / 8] ^= 1 << (at % 8);
            let refused = verify(&token);
            let expected = [Finding::Signature, Finding::UnknownInstance];
            let early = matches!(refused, Err(Finding::Malformed(_)));
            assert!(early || refused.is_err_and(|finding| expected.contains(&finding)), "bit {at}: {refused:?}");
        }
        for len in 0..token.len() {
            assert!(matches!(verify(&token[..len]), Err(Finding::Malformed(_))), "{len}");
        }
    }
}

/// Two answers to one question are none, whichever would have won.
#[test]
fn claims_are_said_once() {
    for (key, value) in [(10, bytes(NONCE)), (256, bytes(instance(1).as_bytes())), (2395, int(0x3000)), (77, int(1))] {
        let mut token = Token::psa().with(77, int(1));
        token.0.push((key, value));
        assert_eq!(verify(&token.sign()), Err(Finding::Malformed(Malformed::KeyOrder)), "{key}");
    }
    let twice = ciborium::Value::Map(vec![(int(2), bytes([1; 32])), (int(2), bytes([2; 32]))]);
    assert_eq!(verify(&Token::psa().with(2399, vec![twice]).sign()), Err(Finding::Malformed(Malformed::KeyOrder)));
}

/// In any order, as its maker likes; but in the shortest form.
#[test]
fn order_does_not_count_and_form_does() {
    let mut token = Token::psa();
    token.0.reverse();
    assert_eq!(verify(&token.sign()), Ok(()));
    token.0.sort_by_key(|(key, _)| (key % 7, *key));
    assert_eq!(verify(&token.sign()), Ok(()));

    let payload = Token::psa().payload();
    assert_eq!(payload[0], 0xa7);
    let long = [&[0xb8, 7], &payload[1..]].concat();
    assert_eq!(verify(&sign(&long, KEY)), Err(Finding::Malformed(Malformed::NotShortest)));
    let open = [&[0xbf], &payload[1..], &[0xff]].concat();
    assert_eq!(verify(&sign(&open, KEY)), Err(Finding::Malformed(Malformed::Indefinite)));
    let more = [&payload[..], &[0]].concat();
    assert_eq!(verify(&sign(&more, KEY)), Err(Finding::Malformed(Malformed::TrailingBytes)));
    assert_eq!(verify(&sign(&[], KEY)), Err(Finding::Malformed(Malformed::Truncated)));
    assert_eq!(verify(&sign(&[0x80], KEY)), Err(Finding::Malformed(Malformed::WrongType)));
}

/// Tags, algorithms, `crit`.
#[test]
fn what_it_is_wrapped_in() {
    let (psa, eat) = (Token::psa().sign(), Token::eat().sign());
    assert_eq!(verify(&[&[0xd8, 61], &eat[..]].concat()), Ok(()), "RFC 9711 Appendix A.2.1");
    assert_eq!(verify(&[&[0xd8, 61], &psa[..]].concat()), Err(Finding::Malformed(Malformed::Forbidden)));
    assert_eq!(verify(&[&[0xd8, 61, 0xd8, 61], &eat[..]].concat()), Err(Finding::Malformed(Malformed::Forbidden)));
    assert_eq!(verify(&psa[1..]), Err(Finding::Malformed(Malformed::WrongType)), "no tag");
    let tagged = |tag: u8| [&[tag], &psa[1..]].concat();
    assert_eq!(verify(&tagged(0xd1)), Err(Finding::Malformed(Malformed::OutOfRange)), "ES256 in a COSE_Mac0");
    assert_eq!(verify(&tagged(0xd0)), Err(Finding::Malformed(Malformed::Forbidden)), "COSE_Encrypt0");
    let wrapped = |protected: &[u8], signature: usize| {
        let items = vec![
            bytes(protected),
            ciborium::Value::Map(vec![]),
            bytes(Token::psa().payload()),
            bytes(vec![1; signature]),
        ];
        verify(&encoded(&ciborium::Value::Tag(18, Box::new(items.into()))))
    };
    assert_eq!(wrapped(&[0xa1, 1, 0x26], 64), Err(Finding::Signature));
    assert_eq!(wrapped(&[0xa1, 1, 0x38, 34], 64), Err(Finding::Malformed(Malformed::OutOfRange)), "ES384");
    assert_eq!(wrapped(&[0xa1, 1, 0x27], 64), Err(Finding::Malformed(Malformed::OutOfRange)), "EdDSA");
    assert_eq!(wrapped(&[], 64), Err(Finding::Malformed(Malformed::Truncated)), "none");
    assert_eq!(wrapped(&[0xa2, 1, 0x26, 2, 0x81, 1], 64), Err(Finding::Malformed(Malformed::OutOfRange)), "crit");
    assert_eq!(wrapped(&[0xa1, 1, 0x26], 63), Err(Finding::Malformed(Malformed::WrongLength)));
    assert_eq!(wrapped(&[0xa1, 1, 0x26], 0), Err(Finding::Malformed(Malformed::WrongLength)));
}

proptest! {
    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..1100)) {
        prop_assert!(verify(&bytes).is_err());
    }

    /// Well-signed nonsense, as a device that was taken over can make it.
    #[test]
    fn any_signed_payload(payload in proptest::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(matches!(verify(&sign(&payload, KEY)), Err(Finding::Malformed(_))));
    }

    /// A good token with some claim replaced by any bytes, properly signed: it verifies or it does not, and nothing panics.
    #[test]
    fn any_signed_claim(at in 0..20_usize, value in proptest::collection::vec(any::<u8>(), 1..40), eat in any::<bool>()) {
        const CLAIMS: [i64; 20] =
            [10, 256, 258, 259, 260, 262, 263, 265, 266, 267, 268, 270, 271, 273, 274, 275, 2394, 2395, 2398, 2399];
        let mut token = if eat { Token::eat() } else { Token::psa() }.without(CLAIMS[at]);
        let mut payload = token.with(2400, "").payload();
        payload[0] += 1;
        payload.extend(encoded(&int(CLAIMS[at])));
        payload.extend(value);
        let _ = verify(&sign(&payload, KEY));
        token = Token::psa();
        prop_assert!(verify(&token.sign()).is_ok());
    }

    /// Bytes replaced anywhere.
    #[test]
    fn any_damage(which in 0..3_usize, at in 0..600_usize, with in proptest::collection::vec(any::<u8>(), 1..20)) {
        let token = &good()[which];
        let at = at % token.len();
        let end = (at + with.len()).min(token.len());
        let damaged = [&token[..at], &with, &token[end..]].concat();
        prop_assume!(damaged != *token);
        prop_assert!(verify(&damaged).is_err());
    }
}
