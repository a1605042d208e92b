//! A SUCI in its three forms, and what it is made of.
//!
//! - no panic;
//! - what is read is written as it came, and all three forms name the same SUCI;
//! - what is concealed comes out again, and nothing that nobody concealed.

use remote_provisioning::{
    aka::suci::{Identity, Imsi, Nai, RoutingIndicator, Suci, null_scheme},
    crypto::{Agreement, rustcrypto::AgreementKey},
    identity::{Plmn, Supi},
    sim::maker,
};

use super::seeds::vectors;

pub(super) fn run(data: &[u8]) {
    if let Ok(suci) = Suci::from_mobile_identity(data) {
        assert_eq!(suci.mobile_identity(), data);
        all_forms(&suci);
    }
    let Ok(text) = core::str::from_utf8(data) else { return };
    if let Ok(suci) = text.parse::<Suci>() {
        // Hexadecimal digits may be of either case.
        assert!(suci.to_string().eq_ignore_ascii_case(text));
        all_forms(&suci);
    }
    if let Ok(suci) = Suci::from_nai(text) {
        assert!(suci.nai().unwrap().eq_ignore_ascii_case(text));
        all_forms(&suci);
    }
    let routing = RoutingIndicator::default();
    if let Ok(nai) = text.parse::<Nai>() {
        assert_eq!(nai.to_string(), text);
        let identity = Identity::Nai(nai);
        assert_eq!(null_scheme(&identity, routing).deconceal(|_| None), Ok(identity));
    }
    if let Ok(supi) = text.parse::<Supi>() {
        assert_eq!(supi.as_str(), text);
        for digits in [2, 3] {
            let Some(mnc) = text.get(3..3 + digits) else { continue };
            let plmn = Plmn::new(&text[..3], mnc).expect("digits");
            let Ok(imsi) = Imsi::new(supi, plmn) else { continue };
            let identity = Identity::Imsi(imsi);
            let suci = null_scheme(&identity, routing);
            assert_eq!(suci.deconceal(|_| None), Ok(identity));
            all_forms(&suci);
        }
    }
    if let Ok(routing) = text.parse::<RoutingIndicator>() {
        assert_eq!(routing.as_str(), text);
    }
}

fn all_forms(suci: &Suci) {
    let text = suci.to_string();
    if let Ok(again) = text.parse::<Suci>() {
        assert_eq!(again, *suci);
    } else {
        // The one text that could be split in two ways.
        assert!(suci.nai().is_some() && text.matches('-').count() > 5, "{text}");
    }
    assert_eq!(Suci::from_mobile_identity(&suci.mobile_identity()).as_ref(), Ok(suci));
    if let Some(nai) = suci.nai() {
        assert_eq!(Suci::from_nai(&nai).as_ref(), Ok(suci));
    }
    assert!(suci.scheme_output().len() <= Suci::MAX_OUTPUT_LEN);
    let home: &dyn Agreement = key();
    let revealed = suci.deconceal(|_| Some(home));
    if let (Ok(identity), None) = (&revealed, suci.ecies_parts()) {
        assert_eq!(&null_scheme(identity, *suci.routing_indicator()), suci);
    }
}

fn key() -> &'static AgreementKey {
    static KEY: std::sync::OnceLock<AgreementKey> = std::sync::OnceLock::new();
    KEY.get_or_init(|| maker::home_private().unwrap())
}

/// What there is to start from.
pub(super) fn seeds() -> Vec<(String, Vec<u8>)> {
    let mut seeds: Vec<(String, Vec<u8>)> = [
        ("imsi", "001010000000001"),
        ("nai", "alice@example.org"),
        ("routing", "0123"),
        ("null-imsi", "suci-0-274-012-0-0-0-001002086"),
        ("null-imsi-2", "suci-0-262-01-1234-0-0-0123456789"),
        ("null-nai", "suci-1-example.org-678-0-0-alice"),
        ("nai-null", "type1.rid678.schid0.useriduser17@example.com"),
        ("nai-dashes", "suci-1-a-b.org-1-0-0-c-d"),
    ]
    .map(|(name, text)| (name.to_string(), text.as_bytes().to_vec()))
    .into();
    for (number, case) in vectors(include_str!("../../../tests/vectors/aka_suci.json")).into_iter().enumerate() {
        let Some(output) = case.get("scheme_output") else { continue };
        let (scheme, key) = match output.len() {
            len if len > 48 => (2_u8, 27_u8),
            len if len > 40 => (1, 27),
            _ => (0, 0),
        };
        let digits = output.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let bytes = [&[0x01, 0x72, 0x24, 0x10, 0xf0, 0xff, scheme, key], output.as_slice()].concat();
        seeds.push((format!("c4-{number}-bytes"), bytes));
        seeds.push((format!("c4-{number}-text"), format!("suci-0-274-012-0-{scheme}-{key}-{digits}").into_bytes()));
    }
    seeds
}
