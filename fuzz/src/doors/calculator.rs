//! What somebody types at the calculator, `examples/aka.rs`: its arguments, one a line.
//!
//! - no panic;
//! - a complaint is short, and names what it is about or shows the usage;
//! - what comes out is hexadecimal, a word or a SUCI.

#[path = "../../../examples/aka.rs"]
#[allow(dead_code, unreachable_pub, reason = "a program with a `main` of its own")]
mod program;

use super::seeds::vectors;

pub(super) fn run(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else { return };
    let mut arguments = text.lines().map(str::to_string);
    let Some(command) = arguments.next() else { return };
    let options: Vec<String> = arguments.collect();
    match program::run(&command, &options) {
        Ok(values) => {
            assert!(!values.is_empty() && options.len() % 2 == usize::from(command == "suci"));
            assert!(values.iter().all(|(name, value)| !name.is_empty() && !value.contains('\n')));
        }
        Err(wrong) => assert!(wrong.contains("--") || wrong.contains("usage: aka")),
    }
}

/// What there is to start from.
pub(super) fn seeds() -> Vec<(String, Vec<u8>)> {
    let mut seeds = Vec::new();
    let mut add = |name: String, words: &str| seeds.push((name, words.replace(' ', "\n").into_bytes()));
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    for (number, case) in vectors(include_str!("../../../tests/vectors/aka_milenage.json")).iter().take(2).enumerate() {
        let value = |name: &str| hex(&case[name]);
        let (k, op, opc, rand) = (value("k"), value("op"), value("opc"), value("rand"));
        let rest = format!("--rand {rand} --sqn {} --amf {}", value("sqn"), value("management_field"));
        add(format!("milenage-op-{number}"), &format!("milenage --k {k} --op {op} {rest}"));
        add(format!("milenage-opc-{number}"), &format!("milenage --k {k} --opc {opc} {rest}"));
        let c = ["00".repeat(16), "11".repeat(16), "22".repeat(16), "33".repeat(16), "44".repeat(16)].join(",");
        add(format!("milenage-c-{number}"), &format!("milenage --k {k} --opc {opc} {rest} --c {c} --r 64,0,32,64,96"));
        let lengths = "--mac-bits 64 --res-bits 32 --ck-bits 128 --ik-bits 128 --iterations 1";
        add(format!("tuak-{number}"), &format!("tuak --k {k} --top {k}{k} {rest} {lengths}"));
        add(format!("milenage256-{number}"), &format!("milenage256 --k {k}{k} --op {k}{k} {rest} --mac-bytes 16"));
        let auts = "8711a0ec9e1637df17f80b3850bb";
        add(format!("auts-{number}"), &format!("auts --k {k} --opc {opc} --rand {rand} --auts {auts}"));
        let autn = "bb52e91c747ac3ab2a5c23d15ee351d5";
        let usim = format!("usim --k {k} --opc {opc} --rand {rand} --autn {autn} --sqn-ms 000000000021");
        add(format!("usim-{number}"), &usim);
        let keys = format!("--ck {k} --ik {opc} --autn {autn}");
        let network = "5G:mnc001.mcc001.3gppnetwork.org";
        let rest =
            format!("--rand {rand} --res 0011223344556677 --snn {network} --supi imsi-001010123456789 --abba 0000");
        add(format!("5g-{number}"), &format!("5g {keys} {rest}"));
        add(
            format!("prime-{number}"),
            &format!("eap-aka-prime {keys} --network-name WLAN --identity 0555444333222111"),
        );
    }
    let p256 = "0272da71976234ce833a6907425867b82e074d44ef907dfb4b3e21c1c2256ebcd1";
    let eph = "99798858a1dc6a2c68637149a4b1dbfd1fdffadddd62a2142f06699ed7602529";
    add("suci-null".into(), "suci conceal --profile null --supi imsi-001010000000001");
    add(
        "suci-b".into(),
        &format!("suci conceal --profile b --supi alice@example.org --hn-key {p256} --key-id 27 --eph {eph}"),
    );
    add("suci-deconceal".into(), "suci deconceal --suci suci-0-274-012-0-0-0-001002086");
    seeds
}
