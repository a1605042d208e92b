//! SUCI against Annex C.4 of TS 33.501, and everything it has to refuse.

use aes::Aes128;
use ctr::{
    Ctr32BE,
    cipher::{KeyIvInit, StreamCipher},
};
use hmac::{Hmac, KeyInit, Mac};
use proptest::prelude::*;
use remote_provisioning::{
    aka::suci::{
        EciesKeys, HomeNetwork, HomeNetworkKey, Identity, Imsi, Nai, RoutingIndicator, Scheme, Suci, conceal,
        null_scheme,
    },
    crypto::{Agreement, Group, Secret, rustcrypto::AgreementKey},
    error::{Backend, Error, Malformed, Misbehaved, Misuse, Untrusted},
    identity::Plmn,
    sim::SeededRng,
};
use sha2::Sha256;

use crate::case::{Case, hex};

const VECTORS: &str = include_str!("../vectors/aka_suci.json");
const KEY_ID: u8 = 27;
const GROUPS: [Group; 2] = [Group::X25519, Group::P256];

/// u-coordinates of points of low order on Curve25519 and its twist: 0, 1, the two of order 8, p - 1, p and p + 1.
const LOW_ORDER: [&str; 7] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

fn identity(case: &Case) -> Identity {
    match case.text("supi_type") {
        "imsi" => imsi(&case.text("mcc_mnc")[..3], &case.text("mcc_mnc")[3..], case.text("msin")),
        _ => Identity::Nai(case.text("nai").parse().unwrap()),
    }
}

fn imsi(mcc: &str, mnc: &str, msin: &str) -> Identity {
    let supi = format!("{mcc}{mnc}{msin}").parse().unwrap();
    Identity::Imsi(Imsi::new(supi, Plmn::new(mcc, mnc).unwrap()).unwrap())
}

fn nai(text: &str) -> Identity {
    Identity::Nai(text.parse().unwrap())
}

fn rid(digits: &str) -> RoutingIndicator {
    digits.parse().unwrap()
}

fn bytes(digits: &str) -> Vec<u8> {
    let pair = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(pair).collect()
}

fn key(group: Group, seed: u64) -> AgreementKey {
    AgreementKey::generate(group, &mut SeededRng::new(seed)).unwrap()
}

fn published(group: Group, private: &[u8]) -> AgreementKey {
    AgreementKey::new(group, Secret::from_slice(private).unwrap()).unwrap()
}

/// A SUCI and the home network's key.
fn concealed(group: Group, identity: &Identity) -> (Suci, AgreementKey) {
    let home = key(group, 1);
    let public = HomeNetworkKey::new(KEY_ID, group, home.public_key()).unwrap();
    (conceal(identity, rid("678"), &public, key(group, 2)).unwrap(), home)
}

/// The text of a SUCI with something done to its output.
fn with_output(suci: &Suci, change: impl FnOnce(&mut Vec<u8>)) -> Suci {
    let mut output = suci.scheme_output().to_vec();
    change(&mut output);
    let text = suci.to_string();
    let (head, _) = text.rsplit_once('-').unwrap();
    format!("{head}-{}", hex(&output)).parse().unwrap()
}

/// A scheme output whose tag is right, whatever the input is.
fn forged(template: &Suci, home: &AgreementKey, input: &[u8]) -> Suci {
    let (ephemeral, ..) = template.ecies_parts().unwrap();
    let mut shared = Secret::zeroed();
    home.agree(ephemeral, &mut shared).unwrap();
    let keys = EciesKeys::derive(&shared, ephemeral);

    let mut ciphertext = input.to_vec();
    let mut cipher = Ctr32BE::<Aes128>::new_from_slices(keys.encryption_key(), keys.initial_counter_block()).unwrap();
    cipher.apply_keystream(&mut ciphertext);
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(keys.mac_key()).unwrap();
    mac.update(&ciphertext);
    let mac = mac.finalize().into_bytes();
    with_output(template, |output| {
        output.truncate(ephemeral.len());
        output.extend(ciphertext);
        output.extend_from_slice(&mac[..8]);
    })
}

#[test]
fn every_value_of_annex_c_4_is_as_published() {
    let mut schemes = [0; 3];
    for case in Case::all(VECTORS) {
        let identity = identity(&case);
        case.check("scheme_input", &identity.scheme_input());
        let number = case.0["scheme"].as_u64().unwrap();
        schemes[usize::try_from(number).unwrap()] += 1;
        let group = match number {
            0 => {
                let suci = null_scheme(&identity, rid("678"));
                if case.0.get("scheme_output").is_some() {
                    case.check("scheme_output", suci.scheme_output());
                }
                check_nai(&case, &suci);
                assert_eq!(suci.deconceal(|_| panic!("no key is needed")), Ok(identity));
                continue;
            }
            1 => Group::X25519,
            _ => Group::P256,
        };

        let home = published(group, &case.hex("hn_private_key"));
        case.check("hn_public_key", home.public_key());
        let ephemeral = published(group, &case.hex("eph_private_key"));
        case.check("eph_public_key", ephemeral.public_key());
        let mut shared = Secret::zeroed();
        ephemeral.agree(home.public_key(), &mut shared).unwrap();
        case.check("eph_shared_key", shared.bytes());
        let keys = EciesKeys::derive(&shared, ephemeral.public_key());
        case.check("eph_enc_key", keys.encryption_key());
        case.check("icb", keys.initial_counter_block());
        case.check("eph_mac_key", keys.mac_key());

        let public = HomeNetworkKey::new(KEY_ID, group, &case.hex("hn_public_key")).unwrap();
        let suci = conceal(&identity, rid("678"), &public, ephemeral).unwrap();
        let (ephemeral, ciphertext, tag) = suci.ecies_parts().unwrap();
        case.check("eph_public_key", ephemeral);
        case.check("ciphertext", ciphertext);
        case.check("mac_tag", tag);
        case.check("scheme_output", suci.scheme_output());
        check_nai(&case, &suci);
        assert_eq!(suci.deconceal(|_| Some(&home)), Ok(identity));
    }
    assert_eq!(schemes, [2; 3], "IMSI and NAI for each scheme");
}

fn check_nai(case: &Case, suci: &Suci) {
    let Some(nai) = suci.nai() else { return assert_eq!(case.text("supi_type"), "imsi") };
    let output = case.text("scheme_output_nai");
    let key = if output.starts_with("userid") { "" } else { ".hnkey27" };
    assert_eq!(nai, format!("type1.rid678.schid{}{key}.{output}@3gpp.com", suci.scheme().number()));
}

#[test]
fn the_published_suci_of_an_imsi_reads_in_text_and_in_bytes() {
    let case = Case::all(VECTORS).into_iter().find(|case| case.text("name") == "profile-a-imsi").unwrap();
    let output = case.text("scheme_output");
    let suci: Suci = format!("suci-0-274-012-678-1-27-{output}").parse().unwrap();
    let HomeNetwork::Plmn(plmn) = suci.home_network() else { panic!("an IMSI") };
    assert_eq!((plmn.mcc(), plmn.mnc(), suci.routing_indicator().as_str()), ("274", "012", "678"));
    assert_eq!(suci.scheme(), Scheme::Ecies { group: Group::X25519, key: 27 });
    assert_eq!(hex(&suci.mobile_identity()), format!("0172241076f8011b{output}"));
    assert_eq!(suci.to_string(), format!("suci-0-274-012-678-1-27-{output}"));
}

#[test]
fn the_null_scheme_reads_like_the_examples_of_ts_29_503_annex_c() {
    let identity = imsi("123", "45", "0123456789");
    let suci = null_scheme(&identity, rid("012"));
    assert_eq!(suci.to_string(), "suci-0-123-45-012-0-0-0123456789");
    assert_eq!(hex(&suci.mobile_identity()), "0121f35410f200001032547698");
    let suci = null_scheme(&nai("anonymous@operator.com"), rid("3456"));
    assert_eq!(suci.to_string(), "suci-1-operator.com-3456-0-0-anonymous");
    assert_eq!(suci.nai().as_deref(), Some("type1.rid3456.schid0.useridanonymous@operator.com"));
    assert_eq!(suci.mobile_identity(), b"\x11type1.rid3456.schid0.useridanonymous@operator.com");
}

#[test]
fn all_three_forms_of_every_kind_come_back_the_same() {
    let identities = [
        imsi("262", "02", "1"),
        imsi("262", "02", "123456789"),
        imsi("262", "02", "0123456789"),
        imsi("310", "410", "12345678"),
        imsi("310", "410", "123456789"),
        nai("user17@example.com"),
        nai("a-b.c_d@e-f.g"),
        nai("jürgen@example.com"),
    ];
    for identity in &identities {
        for digits in ["0", "01", "678", "9999"] {
            let mut all = vec![(null_scheme(identity, rid(digits)), None)];
            for group in GROUPS {
                let home = key(group, 7);
                for id in [1, 255] {
                    let public = HomeNetworkKey::new(id, group, home.public_key()).unwrap();
                    all.push((conceal(identity, rid(digits), &public, key(group, 8)).unwrap(), Some(key(group, 7))));
                }
            }
            for (suci, home) in all {
                let found = suci.deconceal(|_| home.as_ref().map(|key| -> &dyn Agreement { key }));
                assert_eq!(found.as_ref(), Ok(identity));
                assert_eq!(suci.to_string().parse().as_ref(), Ok(&suci), "{suci}");
                assert_eq!(Suci::from_mobile_identity(&suci.mobile_identity()).as_ref(), Ok(&suci), "{suci}");
                if let Some(nai) = suci.nai() {
                    assert_eq!(Suci::from_nai(&nai).as_ref(), Ok(&suci), "{nai}");
                }
            }
        }
    }
}

#[test]
fn an_odd_msin_ends_in_filler_and_an_even_one_does_not() {
    assert_eq!(hex(&imsi("310", "410", "123456789").scheme_input()), "21436587f9");
    assert_eq!(hex(&imsi("262", "02", "1234567890").scheme_input()), "2143658709");
}

#[test]
fn mncs_of_two_and_three_digits_are_different_networks() {
    let two: Suci = "suci-0-262-01-0-0-0-2345".parse().unwrap();
    let three: Suci = "suci-0-262-012-0-0-0-345".parse().unwrap();
    assert_eq!(hex(&two.mobile_identity()), "0162f210f0ff00003254");
    assert_eq!(hex(&three.mobile_identity()), "01622210f0ff000043f5");
    let supi = |suci: &Suci| match suci.deconceal(|_| None) {
        Ok(Identity::Imsi(imsi)) => (imsi.supi().to_string(), imsi.plmn().mnc().to_owned(), imsi.msin().to_owned()),
        other => panic!("{other:?}"),
    };
    assert_eq!(supi(&two), ("imsi-262012345".into(), "01".into(), "2345".into()));
    assert_eq!(supi(&three), ("imsi-262012345".into(), "012".into(), "345".into()));
}

#[test]
fn a_flipped_bit_anywhere_in_the_output_is_refused() {
    for group in GROUPS {
        let (suci, home) = concealed(group, &imsi("274", "012", "001002086"));
        for at in 0..suci.scheme_output().len() {
            let damaged = with_output(&suci, |output| output[at] ^= 0x40);
            let error = damaged.deconceal(|_| Some(&home)).unwrap_err();
            let in_point = group == Group::P256 && at < group.public_key_len();
            assert!(
                error == Untrusted::Authentication.into() || (in_point && error == Misbehaved::InvalidPoint.into()),
                "{error} at {at}"
            );
        }
    }
}

#[test]
fn another_home_networks_key_is_told_by_the_tag() {
    for group in GROUPS {
        let (suci, _) = concealed(group, &nai("user17@example.com"));
        let other = key(group, 3);
        assert_eq!(suci.deconceal(|_| Some(&other)), Err(Untrusted::Authentication.into()));
    }
}

#[test]
fn the_key_is_looked_up_by_network_scheme_and_number() {
    for group in GROUPS {
        let (suci, home) = concealed(group, &imsi("274", "012", "001002086"));
        let find = |suci: &Suci| {
            assert_eq!(suci.home_network(), &HomeNetwork::Plmn(Plmn::new("274", "012").unwrap()));
            assert_eq!(suci.scheme(), Scheme::Ecies { group, key: KEY_ID });
            None
        };
        assert_eq!(suci.deconceal(find), Err(Untrusted::UnknownCredential.into()));
        assert!(suci.deconceal(|_| Some(&home)).is_ok());
    }
}

#[test]
fn a_key_on_another_curve_is_a_misuse() {
    let (suci, _) = concealed(Group::X25519, &nai("user17@example.com"));
    let other = key(Group::P256, 1);
    assert!(matches!(suci.deconceal(|_| Some(&other)), Err(Error::Misuse(Misuse::Parameter(_)))));
    let home = HomeNetworkKey::new(1, Group::P256, other.public_key()).unwrap();
    let concealed = conceal(&nai("user17@example.com"), rid("0"), &home, key(Group::X25519, 2));
    assert!(matches!(concealed, Err(Error::Misuse(Misuse::Parameter(_)))));
    for (id, group, len) in [(0, Group::X25519, 32), (1, Group::X25519, 33), (1, Group::P256, 32), (1, Group::P256, 65)]
    {
        assert!(matches!(HomeNetworkKey::new(id, group, &vec![2; len]), Err(Misuse::Parameter(_))), "{id} {len}");
    }
}

#[test]
fn a_point_of_low_order_is_refused_on_both_sides() {
    let (suci, home) = concealed(Group::X25519, &nai("user17@example.com"));
    for point in LOW_ORDER {
        for high_bit in [0, 0x80] {
            let mut point = bytes(point);
            point[31] |= high_bit;
            let bad = with_output(&suci, |output| output[..32].copy_from_slice(&point));
            assert_eq!(bad.deconceal(|_| Some(&home)), Err(Misbehaved::InvalidPoint.into()));
            let bad = HomeNetworkKey::new(1, Group::X25519, &point).unwrap();
            let concealed = conceal(&nai("user17@example.com"), rid("0"), &bad, key(Group::X25519, 2));
            assert_eq!(concealed, Err(Misbehaved::InvalidPoint.into()));
        }
    }
}

#[test]
fn only_compressed_points_on_p_256_are_taken() {
    let (suci, home) = concealed(Group::P256, &nai("user17@example.com"));
    // x = 5 is on the curve; x = 1 and x = p are not.
    let point = |tag: u8, x: &str| [vec![tag], bytes(x)].concat();
    let x = |last: u8| format!("{:064x}", last);
    for bad in [
        point(2, &x(1)),
        point(3, &x(1)),
        point(0, &x(5)),
        point(4, &x(5)),
        point(5, &x(5)),
        point(2, "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff"),
    ] {
        let suci = with_output(&suci, |output| output[..33].copy_from_slice(&bad));
        assert_eq!(suci.deconceal(|_| Some(&home)), Err(Misbehaved::InvalidPoint.into()), "{}", hex(&bad));
        let bad = HomeNetworkKey::new(1, Group::P256, &bad).unwrap();
        let concealed = conceal(&nai("user17@example.com"), rid("0"), &bad, key(Group::P256, 2));
        assert_eq!(concealed, Err(Misbehaved::InvalidPoint.into()));
    }
    let good = with_output(&suci, |output| output[..33].copy_from_slice(&point(2, &x(5))));
    assert_eq!(good.deconceal(|_| Some(&home)), Err(Untrusted::Authentication.into()));
}

#[test]
fn agreement_refuses_keys_of_another_length() {
    for group in GROUPS {
        let mut shared = Secret::zeroed();
        let ours = key(group, 1);
        for len in [0, 1, 31, 32, 33, 34, 65] {
            let other = key(group, 2);
            let mut peer = other.public_key().to_vec();
            peer.resize(len, 0);
            let agreed = ours.agree(&peer, &mut shared);
            let expected = if len == group.public_key_len() { Ok(()) } else { Err(Misbehaved::InvalidPoint.into()) };
            assert_eq!(agreed, expected, "{len} bytes on {group:?}");
        }
    }
}

#[test]
fn a_scalar_outside_the_group_is_no_private_key() {
    let order = bytes("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
    for scalar in [vec![0; 32], order, vec![0xff; 32]] {
        let private = || Secret::from_slice(&scalar).unwrap();
        assert_eq!(AgreementKey::new(Group::P256, private()).err(), Some(Backend::Key));
        assert!(AgreementKey::new(Group::X25519, private()).is_ok());
    }
}

#[test]
fn what_was_concealed_must_be_an_msin() {
    let (suci, home) = concealed(Group::X25519, &imsi("274", "012", "001002086"));
    assert_eq!(
        forged(&suci, &home, &bytes("00012080f6")).deconceal(|_| Some(&home)).unwrap(),
        imsi("274", "012", "001002086")
    );
    // No digit; filler before the end; in the wrong half; filler alone; ten digits behind an MNC of three.
    for bad in ["0a", "f121", "1f", "ff", "21ff", "2143658709"] {
        let suci = forged(&suci, &home, &bytes(bad));
        assert_eq!(suci.deconceal(|_| Some(&home)), Err(Malformed::Text.into()), "{bad}");
    }
}

#[test]
fn what_was_concealed_must_be_a_username() {
    let (suci, home) = concealed(Group::P256, &nai("user17@example.com"));
    for bad in [&b"a@b"[..], b"a b", b"a..b", b".", b"\xff", b"a\0"] {
        let suci = forged(&suci, &home, bad);
        assert_eq!(suci.deconceal(|_| Some(&home)), Err(Malformed::Text.into()), "{bad:?}");
    }
}

#[test]
fn malformed_texts_are_refused_each_with_its_reason() {
    use Malformed::{OutOfRange, Text, TooLong, WrongLength};
    let a = "00".repeat(32);
    let b = "00".repeat(33);
    let mac = "00".repeat(8);
    for (text, reason) in [
        ("", Text),
        ("imsi-274012001002086", Text),
        ("suci-2-example.com-0-0-0-a", Text),
        ("suci-0-274-012-0-0-0", Text),
        ("suci-0-27-012-0-0-0-1", Text),
        ("suci-0-274-0123-0-0-0-1", Text),
        ("suci-0-274-012--0-0-1", Text),
        ("suci-0-274-012-12345-0-0-1", TooLong),
        ("suci-0-274-012-0-3-1-00", OutOfRange),
        ("suci-0-274-012-0-c-1-00", Text),
        ("suci-0-274-012-0-0-1-1", OutOfRange),
        ("suci-0-274-012-0-0-00-1", Text),
        ("suci-0-274-012-0-0-0-", WrongLength),
        ("suci-0-274-012-0-0-0-1234567890", Text),
        ("suci-0-274-012-0-0-0-12345678901", WrongLength),
        ("suci-0-274-012-0-0-0-12f", Text),
        ("suci-0-274-012-0-0-0-1-", Text),
        (&format!("suci-0-274-012-0-1-0-{a}00{mac}"), OutOfRange),
        (&format!("suci-0-274-012-0-1-256-{a}00{mac}"), OutOfRange),
        (&format!("suci-0-274-012-0-1-01-{a}00{mac}"), Text),
        (&format!("suci-0-274-012-0-1-1-{a}{mac}"), WrongLength),
        (&format!("suci-0-274-012-0-1-1-{a}000{mac}"), WrongLength),
        (&format!("suci-0-274-012-0-1-1-{a}000000000000{mac}"), WrongLength),
        (&format!("suci-0-274-012-0-2-1-{b}{mac}"), WrongLength),
        (&format!("suci-0-274-012-0-1-1-{a}0g{mac}"), Text),
        (&format!("suci-0-274-012-0-1-1-{}", "00".repeat(1000)), WrongLength),
        ("suci-1-example-0-0-0-a", Text),
        ("suci-1-.com-0-0-0-a", Text),
        ("suci-1-example.com-0-0-0-", WrongLength),
        ("suci-1-example.com-0-0-0-a@b", Text),
        ("suci-1-example.com-0-7-1-00", OutOfRange),
    ] {
        assert_eq!(text.parse::<Suci>(), Err(reason), "{text}");
    }
}

#[test]
fn a_text_that_could_name_two_subscriptions_is_refused() {
    let suci = null_scheme(&nai("c.d-2-0-0-e@a.b"), rid("1"));
    let other = null_scheme(&nai("e@a.b-1-0-0-c.d"), rid("2"));
    assert_eq!(suci.to_string(), other.to_string());
    assert_eq!(suci.to_string().parse::<Suci>(), Err(Malformed::Text));
    for suci in [suci, other] {
        assert_eq!(Suci::from_nai(&suci.nai().unwrap()), Ok(suci));
    }
    let hyphens = null_scheme(&nai("a-1-b@c-2.d-3"), rid("1"));
    assert_eq!(hyphens.to_string().parse(), Ok(hyphens));
}

#[test]
fn malformed_nais_are_refused_each_with_its_reason() {
    use Malformed::{OutOfRange, Text, WrongLength};
    let key = "00".repeat(32);
    let mac = "00".repeat(8);
    for (nai, reason) in [
        ("type1.rid678.schid0.userida", Text),
        ("type0.rid678.schid0.userid1@5gc.mnc012.mcc274.3gppnetwork.org", Text),
        ("type1.rid.schid0.userida@example.com", Text),
        ("type1.rid6.schid0.a@example.com", Text),
        ("type1.rid6.schid0.userid@example.com", WrongLength),
        ("type1.rid6.schid0.userida@b@example.com", Text),
        ("type1.rid6.schid0.userida@example", Text),
        ("type1.rid6.schid00.userida@example.com", Text),
        (&format!("type1.rid6.schid1.hnkey0.ecckey{key}.cip00.mac{mac}@example.com"), OutOfRange),
        (&format!("type1.rid6.schid3.hnkey1.ecckey{key}.cip00.mac{mac}@example.com"), OutOfRange),
        (&format!("type1.rid6.schid1.hnkey1.ecckey{key}00.cip00.mac{mac}@example.com"), WrongLength),
        (&format!("type1.rid6.schid1.hnkey1.ecckey{key}.cip.mac{mac}@example.com"), WrongLength),
        (&format!("type1.rid6.schid1.hnkey1.ecckey{key}.cip0000.mac{}@example.com", &mac[2..]), WrongLength),
        (&format!("type1.rid6.schid1.hnkey1.ecckey{key}.cip00.mac{mac}.x@example.com"), Text),
        (&format!("type1.rid6.schid1.hnkey1.ecckey{key}.mac{mac}@example.com"), Text),
    ] {
        assert_eq!(Suci::from_nai(nai), Err(reason), "{nai}");
    }
}

#[test]
fn malformed_mobile_identities_are_refused_each_with_its_reason() {
    use Malformed::{OutOfRange, Text, Truncated, WrongLength};
    for (digits, reason) in [
        ("", Truncated),
        ("01722410f0ff00", Truncated),
        ("00722410f0ff000021", OutOfRange),
        ("09722410f0ff000021", OutOfRange),
        ("21722410f0ff000021", OutOfRange),
        // MCC with filler, MNC of one digit, with a gap, with a letter.
        ("01f22410f0ff000021", OutOfRange),
        ("01722f10f0ff000021", OutOfRange),
        ("0172f4f0f0ff000021", OutOfRange),
        ("017224f0f0ff000021", OutOfRange),
        ("0172a410f0ff000021", OutOfRange),
        // No routing indicator, with a gap, with a letter.
        ("01722410ffff000021", OutOfRange),
        ("01722410f0f1000021", OutOfRange),
        ("01722410faff000021", OutOfRange),
        // Spare bits by the scheme, a key of the null-scheme.
        ("01722410f0ff100021", OutOfRange),
        ("01722410f0ff000121", OutOfRange),
        ("01722410f0ff0000", WrongLength),
        ("01722410f0ff0000214365870921", WrongLength),
        ("01722410f0ff0000f1ff", Text),
        ("01722410f0ff01012100", WrongLength),
        ("11", Text),
        ("11ff", Text),
    ] {
        assert_eq!(Suci::from_mobile_identity(&bytes(digits)), Err(reason), "{digits}");
    }
}

#[test]
fn identities_know_their_limits() {
    let long = |len: usize| format!("{}@example.com", "a".repeat(len - 12));
    let longest: Nai = long(Nai::MAX_LEN).parse().unwrap();
    assert_eq!(longest.to_string(), long(Nai::MAX_LEN));
    assert_eq!(long(Nai::MAX_LEN + 1).parse::<Nai>(), Err(Malformed::TooLong));
    for group in GROUPS {
        let (suci, home) = concealed(group, &Identity::Nai(longest.clone()));
        assert_eq!(suci.deconceal(|_| Some(&home)), Ok(Identity::Nai(longest.clone())));
        let (ephemeral, ciphertext, tag) = suci.ecies_parts().unwrap();
        let too_long = [ephemeral, ciphertext, &[0], tag].concat();
        let text = format!("suci-1-example.com-678-{}-27-{}", suci.scheme().number(), hex(&too_long));
        assert_eq!(text.parse::<Suci>(), Err(Malformed::WrongLength));
    }
    let plmn = Plmn::new("274", "012").unwrap();
    for digits in ["274012", "274013001", "27401"] {
        assert!(matches!(Imsi::new(digits.parse().unwrap(), plmn), Err(Misuse::Parameter(_))), "{digits}");
    }
    assert_eq!(RoutingIndicator::default(), rid("0"));
}

#[test]
fn hexadecimal_digits_are_read_in_either_case() {
    for group in GROUPS {
        let (suci, _) = concealed(group, &nai("user17@example.com"));
        let text = suci.to_string();
        let (head, output) = text.rsplit_once('-').unwrap();
        assert_eq!(format!("{head}-{}", output.to_uppercase()).parse().as_ref(), Ok(&suci));
        let nai = suci.nai().unwrap();
        assert_eq!(Suci::from_nai(&nai.to_lowercase()), Ok(suci));
    }
}

#[test]
fn what_is_printed_for_a_log_shows_no_key() {
    let home = key(Group::X25519, 1);
    assert_eq!(format!("{home:?}"), "AgreementKey(..)");
    let keys = EciesKeys::derive(&Secret::zeroed(), home.public_key());
    assert_eq!(format!("{keys:?}"), "EciesKeys { ek_icb: Secret<32>(..), mk: Secret<32>(..) }");
}

/// Texts near the grammar, so that some are of it.
fn near_texts() -> impl Strategy<Value = String> {
    let home = prop_oneof!["0-[0-9]{3}-[0-9]{2,3}", "1-[a-z0-9-]{1,5}\\.[a-z0-9-]{1,5}"];
    let tail = prop_oneof!["0-0-[0-9]{1,10}", "0-0-[a-z.-]{1,10}", "[12]-[1-9]-[0-9a-fA-F]{82,92}"];
    (home, "[0-9]{1,5}", tail).prop_map(|(home, routing, tail)| format!("suci-{home}-{routing}-{tail}"))
}

fn near_nais() -> impl Strategy<Value = String> {
    let output = prop_oneof![
        "0.userid[a-z.@]{1,8}",
        "1.hnkey[0-9]{1,3}.ecckey[0-9a-fA-F]{64}.cip[0-9a-fA-F]{1,8}.mac[0-9a-fA-F]{16}",
        "2.hnkey[0-9]{1,3}.ecckey[0-9a-fA-F]{66}.cip[0-9a-fA-F]{2,8}.mac[0-9a-fA-F]{16}",
    ];
    ("[0-9]{1,5}", output, "[a-z.-]{1,8}\\.[a-z]{1,3}")
        .prop_map(|(routing, output, realm)| format!("type1.rid{routing}.schid{output}@{realm}"))
}

fn near_bytes() -> impl Strategy<Value = Vec<u8>> {
    let digits = |pattern: &'static str| pattern.prop_map(|digits| bytes(&digits));
    prop_oneof![
        digits("01[0-9]{2}[0-9f][0-9][0-9]{2}[0-9f][0-9][0-9f]{2}0000([0-9]{2}){0,5}[0-9f][0-9]"),
        digits("01[0-9]{2}[0-9f][0-9][0-9]{2}[0-9f][0-9][0-9f]{2}0[12][0-9a-f]{2}([0-9a-f]{2}){40,48}"),
        near_nais().prop_map(|nai| [&[0x11], nai.as_bytes()].concat()),
        proptest::collection::vec(any::<u8>(), 0..80),
    ]
}

proptest! {
    #[test]
    fn a_text_that_reads_is_printed_as_it_was(text in prop_oneof![near_texts(), "\\PC{0,60}"]) {
        if let Ok(suci) = text.parse::<Suci>() {
            // Apart from the case of hexadecimal digits, which exist only behind the last hyphen.
            let printed = suci.to_string();
            match suci.scheme() {
                Scheme::Null => prop_assert_eq!(printed, text),
                Scheme::Ecies { .. } => {
                    let (head, output) = text.rsplit_once('-').unwrap();
                    prop_assert_eq!(printed, format!("{head}-{}", output.to_lowercase()));
                }
            }
        }
    }

    #[test]
    fn a_nai_that_reads_is_printed_as_it_was(nai in prop_oneof![near_nais(), "\\PC{0,60}"]) {
        if let Ok(suci) = Suci::from_nai(&nai) {
            let printed = suci.nai().unwrap();
            match suci.scheme() {
                Scheme::Null => prop_assert_eq!(printed, nai),
                Scheme::Ecies { .. } => prop_assert_eq!(printed.to_lowercase(), nai.to_lowercase()),
            }
            prop_assert_eq!(Suci::from_nai(&suci.nai().unwrap()), Ok(suci));
        }
    }

    #[test]
    fn a_mobile_identity_that_reads_is_written_as_it_was(identity in near_bytes()) {
        if let Ok(suci) = Suci::from_mobile_identity(&identity) {
            let written = suci.mobile_identity();
            match suci.nai() {
                Some(_) => prop_assert!(written.eq_ignore_ascii_case(&identity)),
                None => prop_assert_eq!(&written, &identity),
            }
            prop_assert_eq!(Suci::from_mobile_identity(&written), Ok(suci));
        }
    }

    #[test]
    fn what_is_concealed_comes_back(seed in any::<u64>(), msin in "[0-9]{1,9}", name in "[a-z0-9-]{1,40}", id in 1_u8..) {
        for group in GROUPS {
            for identity in [imsi("274", "012", &msin), nai(&format!("{name}@example.com"))] {
                let home = key(group, seed);
                let public = HomeNetworkKey::new(id, group, home.public_key()).unwrap();
                let suci = conceal(&identity, rid("0"), &public, key(group, seed ^ 1)).unwrap();
                prop_assert_eq!(suci.deconceal(|_| Some(&home)), Ok(identity));
            }
        }
    }
}
