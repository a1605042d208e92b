//! Bytes of a whole first provisioning with voucher and PSA evidence, message by message. The figures of the README.

use remote_provisioning::{
    edhoc::{Method, OwnCredential},
    provisioning::device::Introduction,
    sim::{IDENTITY, identities, maker, maker::Attestation},
};

use super::*;

fn sizes(mut lab: Lab) -> Vec<usize> {
    lab.home.policy = maker::policy().unwrap();
    lab.attestation = Some(Attestation::new(&lab.device_config.name).unwrap());
    let sizes: Vec<_> = play(&mut lab).messages.iter().map(Vec::len).collect();
    lab.assert_complete();
    sizes
}

fn by_hash() -> Lab {
    let mut lab = Lab::new(1);
    let own = |chain: [&[u8]; 2]| {
        OwnCredential::thumbprint(IDENTITY, chain[0], &remote_provisioning::crypto::rustcrypto::RustCrypto)
    };
    lab.device_config.own = own(identities::device_chain());
    lab.operator_config.own = own(identities::operator_chain());
    lab
}

fn with(mut lab: Lab, method: Method, last: bool) -> Lab {
    lab.device_config.method = method;
    lab.operator_config.methods = vec![method];
    if last {
        lab.device_config.introduction = Introduction::VoucherLast { request: false };
    }
    lab
}

#[test]
fn a_whole_first_provisioning_has_these_sizes() {
    let rows = [
        ("CCS by kid, method 0, voucher first", with(Lab::raw(1), Method::SignSign, false)),
        ("CCS by kid, method 0, voucher last", with(Lab::raw(1), Method::SignSign, true)),
        ("CCS by kid, method 3, voucher first", with(Lab::raw(1), Method::StaticStatic, false)),
        ("chain of two by hash, method 0, voucher first", with(by_hash(), Method::SignSign, false)),
        ("chain of two by value, method 0, voucher first", with(Lab::new(1), Method::SignSign, false)),
        ("chain of two by value, method 0, voucher last", with(Lab::new(1), Method::SignSign, true)),
    ];
    let mut table = String::new();
    for (name, lab) in rows {
        let sizes = sizes(lab);
        let total: usize = sizes.iter().sum();
        let most = if name.starts_with("CCS") { 2_000 } else { 3_500 };
        assert!(total <= most, "{name}: {total}");
        if !name.contains("by value") {
            assert!(sizes.iter().all(|size| *size <= 1_020), "{name}: {sizes:?}");
        }
        let parts: Vec<_> = sizes.iter().map(ToString::to_string).collect();
        table += &format!("| {name} | {} = {total} |\n", parts.join("+"));
    }
    assert_eq!(table, EXPECTED, "\n{table}");
    let readme = include_str!("../../README.md");
    assert!(readme.contains(EXPECTED), "the table in the README");
}

const EXPECTED: &str = "\
| CCS by kid, method 0, voucher first | 123+419+595+210+284+91 = 1722 |
| CCS by kid, method 0, voucher last | 46+162+595+403+284+91 = 1581 |
| CCS by kid, method 3, voucher first | 123+419+531+210+284+91 = 1658 |
| chain of two by hash, method 0, voucher first | 123+483+595+210+284+91 = 1786 |
| chain of two by value, method 0, voucher first | 123+1123+1235+210+284+91 = 3066 |
| chain of two by value, method 0, voucher last | 46+803+1235+403+284+91 = 2862 |
";
