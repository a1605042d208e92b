//! `examples/aka.rs` as its user has it: what it prints for published numbers, and what it says to bad input.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::std_instead_of_alloc,
    clippy::unwrap_used,
    reason = "a test that goes wrong here should stop"
)]

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};

use serde_json::Value;

/// The example's program. Cargo builds it for `cargo test`, but not for `cargo test --test calculator`.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        // Tests run from PROFILE/deps, examples are built into PROFILE/examples.
        let profile = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().to_path_buf();
        let program = profile.join("examples").join(format!("aka{}", std::env::consts::EXE_SUFFIX));
        if !program.exists() {
            let built = Command::new(env!("CARGO")).args(["build", "--quiet", "--example", "aka"]).status().unwrap();
            assert!(built.success() && program.exists(), "run: cargo build --example aka");
        }
        program
    })
}

fn aka(arguments: &[&str]) -> Output {
    Command::new(program()).args(arguments).output().unwrap()
}

#[track_caller]
fn values(arguments: &[&str]) -> BTreeMap<String, String> {
    let output = aka(arguments);
    let (out, error) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {error}");
    let line = |line: &str| line.split_once('=').map(|(name, value)| (name.to_string(), value.to_string())).unwrap();
    out.lines().map(line).collect()
}

/// Compares each value by its name; `names` are pairs of the calculator's and the file's.
#[track_caller]
fn check(case: &Value, arguments: &[&str], names: &[(&str, &str)]) {
    let values = values(arguments);
    for (ours, published) in names {
        assert_eq!(values[*ours], case[*published].as_str().unwrap(), "{ours} of {}", case["name"]);
    }
    assert_eq!(values.len(), names.len(), "nothing else is printed: {values:?}");
}

fn cases(json: &str) -> Vec<Value> {
    let file: Value = serde_json::from_str(json).unwrap();
    file["cases"].as_array().unwrap().clone()
}

fn text<'a>(case: &'a Value, name: &str) -> &'a str {
    case[name].as_str().unwrap_or_else(|| panic!("{name} in {case}"))
}

#[test]
fn milenage() {
    for case in cases(include_str!("vectors/aka_milenage.json")) {
        let t = |name| text(&case, name);
        let inputs = ["--rand", t("rand"), "--sqn", t("sqn"), "--amf", t("management_field")];
        for (option, value) in [("--op", "op"), ("--opc", "opc")] {
            let arguments = [&["milenage", "--k", t("k"), option, t(value)][..], &inputs].concat();
            let mut printed = values(&arguments);
            let autn = printed.remove("autn").unwrap();
            assert_eq!(autn[12..], format!("{}{}", t("management_field"), t("f1")));
            for (ours, published) in [
                ("opc", "opc"),
                ("mac_a", "f1"),
                ("mac_s", "f1_star"),
                ("res", "f2"),
                ("ck", "f3"),
                ("ik", "f4"),
                ("ak", "f5"),
                ("ak_s", "f5_star"),
            ] {
                assert_eq!(printed.remove(ours).unwrap(), t(published), "{ours} of {}", case["name"]);
            }
            assert!(printed.is_empty());

            let zero = "00000000000000000000000000000000";
            let c: Vec<_> = [0, 1, 2, 4, 8].iter().map(|c| format!("{c:032x}")).collect();
            let c = c.join(",");
            let standard = [&arguments[..], &["--c", &c, "--r", "64,0,32,64,96"]].concat();
            assert_eq!(values(&standard), values(&arguments), "the standard constants by hand");
            let own = c.replacen(zero, "80000000000000000000000000000001", 1);
            let own = [&arguments[..], &["--c", &own, "--r", "64,0,32,64,96"]].concat();
            assert_ne!(values(&own)["mac_a"], values(&arguments)["mac_a"], "another c1");
        }
    }
}

#[test]
fn tuak() {
    for case in cases(include_str!("vectors/aka_tuak.json")) {
        let t = |name| text(&case, name);
        let bits = |name: &str| (8 * case[name].as_u64().unwrap()).to_string();
        let [mac, res, ck, ik] = &["mac_len", "res_len", "ck_len", "ik_len"].map(bits);
        let iterations = &case["iterations"].to_string();
        for (option, value) in [("--top", "top"), ("--topc", "topc")] {
            let inputs = ["tuak", "--k", t("k"), option, t(value), "--rand", t("rand"), "--sqn", t("sqn"), "--amf"];
            let lengths = ["--mac-bits", mac, "--res-bits", res, "--ck-bits", ck, "--ik-bits", ik];
            let more = ["--iterations", iterations];
            let arguments = [&inputs[..], &[t("management_field")], &lengths, &more].concat();
            let names = [("topc", "topc"), ("mac_a", "f1"), ("mac_s", "f1_star"), ("res", "f2"), ("ck", "f3")];
            check(&case, &arguments, &[&names[..], &[("ik", "f4"), ("ak", "f5"), ("ak_s", "f5_star")]].concat());
        }
    }
}

#[test]
fn milenage256() {
    let mut seen = 0;
    for case in cases(include_str!("vectors/aka_milenage256.json")) {
        if case.get("f1").is_none() {
            continue; // Only OPc is published.
        }
        let t = |name| text(&case, name);
        let len = |name: &str| case[name].to_string();
        let [mac, res, ck, ik, ak] = &["mac_len", "res_len", "ck_len", "ik_len", "ak_len"].map(len);
        let c: Vec<_> = case["c"].as_array().unwrap().iter().map(|c| c.as_str().unwrap()).collect();
        let c = c.join(",");
        for source in [&["--op", t("op"), "--algoname", t("algoname")][..], &["--opc", t("opc")]] {
            let inputs = ["--rand", t("rand"), "--sqn", t("sqn"), "--amf", t("management_field"), "--c", &c];
            let lengths =
                ["--mac-bytes", mac, "--res-bytes", res, "--ck-bytes", ck, "--ik-bytes", ik, "--ak-bytes", ak];
            let arguments = [&["milenage256", "--k", t("k")][..], source, &inputs, &lengths].concat();
            let names = ["opc", "f1", "f1_star", "f2", "f3", "f4", "f5", "f5_star", "f5_star_star"];
            check(&case, &arguments, &names.map(|name| (name, name)));
        }
        seen += 1;
    }
    assert_eq!(seen, 10);
}

#[test]
fn auts_and_usim() {
    for case in cases(include_str!("vectors/aka_auts.json")) {
        let t = |name| text(&case, name);
        let arguments = ["auts", "--k", t("k"), "--opc", t("opc"), "--rand", t("rand"), "--auts"];
        let read = values(&[&arguments[..], &[t("auts")]].concat());
        assert_eq!((read["valid"].as_str(), read["sqn_ms"].as_str()), ("true", t("sqn_ms")));
        let damaged = values(&[&arguments[..], &["ffffffffffffffffffffffffffff"]].concat());
        assert_eq!(damaged.into_iter().collect::<Vec<_>>(), [("valid".to_string(), "false".to_string())]);
    }
    for case in cases(include_str!("vectors/aka_autn.json")) {
        let t = |name| text(&case, name);
        let usim = |rand: &str, sqn_ms: &str| {
            let more = ["--rand", rand, "--autn", t("autn"), "--sqn-ms", sqn_ms];
            values(&[&["usim", "--k", t("k"), "--opc", t("opc")][..], &more].concat())
        };
        // One SEQ before, the same again, and another RAND.
        let before = format!("{:012x}", u64::from_str_radix(t("sqn"), 16).unwrap() - 32);
        let fresh = usim(t("rand"), &before);
        assert_eq!(["res", "ck", "ik"].map(|name| fresh[name].as_str()), ["res", "ck", "ik"].map(t));
        let stale = usim(t("rand"), t("sqn"));
        assert_eq!((stale.len(), stale["auts"].len()), (1, 28));
        let inputs = ["--k", t("k"), "--opc", t("opc"), "--rand", t("rand"), "--auts", &stale["auts"]];
        assert_eq!(values(&[&["auts"][..], &inputs].concat())["sqn_ms"], t("sqn"));
        assert_eq!(usim("00112233445566778899aabbccddeeff", &before)["mac_failure"], "true");
    }
}

#[test]
fn five_g_and_eap_aka_prime() {
    let case = &cases(include_str!("vectors/aka_5g.json"))[0];
    let t = |name| text(case, name);
    let autn = format!("{}80000000000000000000", t("sqn_xor_ak"));
    let keys = ["--ck", t("ck"), "--ik", t("ik"), "--res", t("res"), "--rand", t("rand"), "--autn", &autn];
    for supi in [t("supi").to_string(), format!("imsi-{}", t("supi"))] {
        let names = ["--snn", t("serving_network_name"), "--supi", &supi, "--abba", t("abba")];
        let printed = values(&[&["5g"][..], &keys, &names].concat());
        let names = [("res_star", "res_star"), ("k_ausf", "kausf"), ("k_seaf", "kseaf"), ("k_amf", "kamf")];
        for (ours, published) in names {
            assert_eq!(printed[ours], t(published), "{ours}");
        }
        assert_eq!((printed.len(), printed["hres_star"].len()), (5, 32));
    }
    for case in cases(include_str!("vectors/aka_eap.json")) {
        let t = |name| text(&case, name);
        let keys = ["eap-aka-prime", "--ck", t("ck"), "--ik", t("ik"), "--autn", t("autn")];
        let arguments = [&keys[..], &["--network-name", t("network_name"), "--identity", t("identity")]].concat();
        let names = ["ck_prime", "ik_prime", "k_encr", "k_aut", "k_re", "msk", "emsk"];
        check(&case, &arguments, &names.map(|name| (name, name)));
    }
}

#[test]
fn suci() {
    for case in cases(include_str!("vectors/aka_suci.json")) {
        let t = |name| text(&case, name);
        let (supi, mnc_digits) = match t("supi_type") {
            "imsi" => (format!("imsi-{}{}", t("mcc_mnc"), t("msin")), (t("mcc_mnc").len() - 3).to_string()),
            _ => (format!("nai-{}", t("nai")), "2".to_string()),
        };
        let scheme = case["scheme"].as_u64().unwrap();
        let conceal = |keys: &[&str]| {
            let mut arguments = vec!["suci", "conceal", "--supi", &supi, "--routing-indicator", "678"];
            if t("supi_type") == "imsi" {
                arguments.extend(["--mnc-digits", &mnc_digits]);
            }
            values(&[&arguments, keys].concat())
        };
        let deconceal = |suci: &str| {
            let private = case.get("hn_private_key").map_or("00", |key| key.as_str().unwrap());
            values(&["suci", "deconceal", "--hn-private", private, "--suci", suci])["supi"].clone()
        };
        if scheme == 0 {
            let printed = conceal(&["--profile", "null"]);
            assert_eq!(printed["scheme_output"], t("scheme_input"));
            assert_eq!(deconceal(&printed["suci"]), supi);
            continue;
        }
        let keys = ["--profile", ["", "a", "b"][usize::try_from(scheme).unwrap()], "--hn-key", t("hn_public_key")];
        let keys = [&keys[..], &["--key-id", "27"]].concat();
        let printed = conceal(&[&keys[..], &["--eph", t("eph_private_key")]].concat());
        assert_eq!((printed["scheme_output"].as_str(), printed.len()), (t("scheme_output"), 2));
        assert_eq!(deconceal(&printed["suci"]), supi);
        let (one, other) = (conceal(&keys), conceal(&keys));
        assert_ne!(one["suci"], other["suci"], "a fresh ephemeral key each time");
        assert_eq!(deconceal(&one["suci"]), supi);
    }
}

#[test]
fn bad_input_is_named() {
    let k = "465b5ce8b199b49faa5f0a2ee238a6bc";
    let inputs = ["--rand", k, "--sqn", "ff9bb4d0b607", "--amf", "b9b9"];
    let milenage = |more: &[&'static str]| [&["milenage"][..], more, &inputs].concat();
    for (arguments, says) in [
        (vec!["milenag"], "no such command"),
        (vec!["milenage", "k"], "begins with --"),
        (vec!["milenage", "--k"], "--k: a value is missing"),
        (milenage(&[]), "--k is missing"),
        (milenage(&["--k", "465b"]), "--k: 2 bytes, expected 16"),
        (milenage(&["--k", "465"]), "--k: an odd number"),
        (milenage(&["--k", "+1"]), "--k: not hexadecimal"),
        (milenage(&["--k", "é1"]), "--k: not hexadecimal"),
        (milenage(&["--k", k]), "either --op or --opc"),
        (milenage(&["--k", k, "--op", k, "--opc", k]), "either --op or --opc"),
        (milenage(&["--k", k, "--k", k]), "--k is given twice"),
        (milenage(&["--k", k, "--op", k, "--sqm", "1"]), "--sqm: this command has no such option"),
        (milenage(&["--k", k, "--op", k, "--c", "00"]), "--c and --r"),
        (milenage(&["--k", k, "--op", k, "--c", "00", "--r", "1"]), "--c: 1 bytes, expected 16"),
        (milenage(&["--k", k, "--op", k, "--r", "1,2,3,4,256", "--c", k]), "--c: 1 values, expected 5"),
        (vec!["tuak", "--mac-bits", "63"], "--mac-bits 63"),
        (vec!["tuak", "--mac-bits", "-8"], "--mac-bits: -8 is not a number"),
        (vec!["milenage256", "--ak-bytes", "5"], "--ak-bytes"),
        (vec!["milenage256", "--k", "00"], "--k: 1 bytes, expected 16 or 32"),
        (vec!["suci"], "no such command"),
        (vec!["suci", "conceal", "--supi", "imsi-274"], "--supi"),
        (vec!["suci", "conceal", "--supi", "27401200100208", "--profile", "c"], "--profile: c is none of"),
        (vec!["suci", "conceal", "--supi", "27401200100208", "--mnc-digits", "4"], "--mnc-digits"),
        (vec!["suci", "conceal", "--supi", "27401200100208", "--profile", "a"], "--hn-key is missing"),
        (vec!["suci", "deconceal", "--suci", "suci-0-274-012"], "--suci"),
        (vec!["5g", "--ck", "00"], "--ck: 1 bytes, expected 16 to 32"),
    ] {
        let output = aka(&arguments);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(error.contains(says) && output.stdout.is_empty(), "{arguments:?} says {error}");
    }
    assert_eq!(aka(&[]).status.code(), Some(0));
    assert_eq!(aka(&["--help"]).status.code(), Some(0));
}
