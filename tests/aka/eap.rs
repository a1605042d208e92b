//! The keys of EAP-AKA' (RFC 9048).

use hmac::{Hmac, KeyInit, Mac};
use remote_provisioning::{
    aka::{
        Challenge,
        eap::{EapKeys, PrimeKeys},
    },
    error::Misuse,
};
use sha2::Sha256;

use crate::{
    case::{Case, hex},
    keys::keys,
};

fn cases() -> Vec<(Case, PrimeKeys, EapKeys)> {
    let case = |case: Case| {
        let challenge = Challenge { rand: case.bytes("rand"), autn: case.bytes("autn") };
        let prime = PrimeKeys::new(&keys(&case), case.text("network_name"), &challenge).unwrap();
        let eap_keys = prime.eap_keys(case.text("identity"));
        (case, prime, eap_keys)
    };
    Case::all(include_str!("../vectors/aka_eap.json")).into_iter().map(case).collect()
}

#[test]
fn the_keys_are_as_published() {
    for (case, prime, keys) in cases() {
        case.check("ck_prime", prime.ck());
        case.check("ik_prime", prime.ik());
        case.check("k_encr", keys.k_encr());
        case.check("k_aut", keys.k_aut());
        case.check("k_re", keys.k_re());
        case.check("msk", keys.msk());
        case.check("emsk", keys.emsk());
        assert_eq!(hex(keys.k_ausf().secret().bytes()), case.text("emsk")[..64], "K_AUSF of {}", case.text("name"));
        assert_eq!(format!("{prime:?} {keys:?}"), "PrimeKeys(..) EapKeys(..)");
    }
}

/// RFC 9048 has no numbers for this: PRF' once more, as §3.4.1 writes it.
#[test]
fn a_fast_reauthentication_follows_the_clause() {
    for (_, _, keys) in cases() {
        let (identity, counter, nonce_s) = ("4reauth@example.org", 0x0105, [0xc3; 16]);
        let s = [b"EAP-AKA' re-auth", identity.as_bytes(), &[1, 5], &nonce_s].concat();
        let hmac = |parts: &[&[u8]]| {
            let mut mac = Hmac::<Sha256>::new_from_slice(keys.k_re()).unwrap();
            parts.iter().for_each(|part| mac.update(part));
            mac.finalize().into_bytes().to_vec()
        };
        let t1 = hmac(&[&s, &[1]]);
        let t2 = hmac(&[&t1, &s, &[2]]);
        let t3 = hmac(&[&t2, &s, &[3]]);
        let t4 = hmac(&[&t3, &s, &[4]]);

        let again = keys.reauthenticated(identity, counter, &nonce_s);
        assert_eq!(hex(again.msk()), hex(&[t1, t2].concat()));
        assert_eq!(hex(again.emsk()), hex(&[t3, t4].concat()));
        assert_eq!(format!("{again:?}"), "ReauthKeys(..)");
    }
}

#[test]
fn a_network_name_without_end_is_refused() {
    let case = &Case::all(include_str!("../vectors/aka_eap.json"))[0];
    let challenge = Challenge { rand: case.bytes("rand"), autn: case.bytes("autn") };
    let name = "W".repeat(65_536);
    assert!(PrimeKeys::new(&keys(case), &name[1..], &challenge).is_ok());
    assert!(matches!(PrimeKeys::new(&keys(case), &name, &challenge), Err(Misuse::Parameter(_))));
}
