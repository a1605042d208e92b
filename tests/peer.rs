//! `examples/edhoc_peer.rs` as its user has it: two processes wired back to back, or one of them and a script; and that
//! `examples/own_keys.rs` does what it says.
#![cfg(unix)]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::std_instead_of_alloc,
    clippy::unwrap_used,
    reason = "a test that goes wrong here should stop"
)]

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::Once,
    thread,
};

use serde_json::Value;

const NOT_ACCEPTED: &str = "016c6e6f74206163636570746564";
const INITIATOR: &str = "42-50-31-FF-EF-37-32-39";
const RESPONDER: &str = "example.edu";

// ------------------------------------------------------------------------------------------------------------- processes

/// Cargo builds the examples for `cargo test`, but not for `cargo test --test peer`.
fn program(name: &str) -> PathBuf {
    static BUILT: Once = Once::new();
    // Tests run from PROFILE/deps, examples are built into PROFILE/examples.
    let profile = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().to_path_buf();
    let path = |name: &str| profile.join("examples").join(name);
    BUILT.call_once(|| {
        if !path("edhoc_peer").exists() || !path("own_keys").exists() {
            let build = ["build", "--quiet", "--example", "edhoc_peer", "--example", "own_keys"];
            assert!(Command::new(env!("CARGO")).args(build).status().unwrap().success());
        }
    });
    assert!(path(name).exists(), "run: cargo build --examples");
    path(name)
}

/// What a peer said, and how it ended.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    lines: Vec<String>,
}

impl Ran {
    /// What is behind each `= name`.
    fn all(&self, name: &str) -> Vec<&str> {
        let results = self.lines.iter().filter_map(|line| line.strip_prefix("= ")?.strip_prefix(name));
        results.filter_map(|rest| if rest.is_empty() { Some(rest) } else { rest.strip_prefix(' ') }).collect()
    }

    #[track_caller]
    fn one(&self, name: &str) -> &str {
        let all = self.all(name);
        assert_eq!(all.len(), 1, "= {name} in {self:?}");
        all[0]
    }

    fn messages(&self) -> Vec<&str> {
        self.lines.iter().map(String::as_str).filter(|line| !line.starts_with(['#', '='])).collect()
    }

    fn remarks(&self, text: &str) -> bool {
        self.lines.iter().any(|line| line.starts_with("# ") && line.contains(text))
    }

    #[track_caller]
    fn done(&self) {
        assert_eq!((self.code, self.lines.last().map(String::as_str)), (Some(0), Some("= done")), "{self:?}");
        assert!(self.all("peer-error").is_empty(), "{self:?}");
    }

    /// It found the fault, and said so.
    #[track_caller]
    fn refuses(&self, error: &str, why: &str) {
        assert_eq!((self.code, self.messages().last()), (Some(1), Some(&error)), "{self:?}");
        assert!(self.remarks(why), "{why}: {self:?}");
        assert!(self.all("peer").is_empty() && self.all("done").is_empty(), "{self:?}");
    }

    /// It was told.
    #[track_caller]
    fn refused(&self, error: &str) {
        assert_eq!((self.code, self.one("peer-error")), (Some(1), error), "{self:?}");
        assert!(!self.messages().contains(&error), "an error message is not answered with one: {self:?}");
        assert!(self.all("export").is_empty() && self.all("done").is_empty(), "{self:?}");
    }
}

fn start(arguments: &str) -> Child {
    let mut command = Command::new(program("edhoc_peer"));
    command.args(arguments.split_whitespace()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    command.spawn().unwrap()
}

/// Takes lines from one to the other until one of them ends.
fn wire(from: ChildStdout, mut to: ChildStdin) -> thread::JoinHandle<Vec<String>> {
    thread::spawn(move || {
        let pass = |line: String| {
            let _ = writeln!(to, "{line}");
            line
        };
        BufReader::new(from).lines().map(Result::unwrap).map(pass).collect()
    })
}

fn pair(initiator: &str, responder: &str) -> (Ran, Ran) {
    let (mut one, mut other) = (start(&format!("initiator {initiator}")), start(&format!("responder {responder}")));
    let there = wire(one.stdout.take().unwrap(), other.stdin.take().unwrap());
    let back = wire(other.stdout.take().unwrap(), one.stdin.take().unwrap());
    let ran = |arguments, mut child: Child, lines: thread::JoinHandle<Vec<String>>| {
        let lines = lines.join().unwrap();
        keep_keys(arguments, &lines);
        Ran { lines, code: child.wait().unwrap().code() }
    };
    (ran(initiator, one, there), ran(responder, other, back))
}

/// No private key that was given is in what was said.
fn keep_keys(arguments: &str, lines: &[String]) {
    let words: Vec<_> = arguments.split_whitespace().collect();
    for key in words.windows(2).filter(|pair| ["--sk", "--eph"].contains(&pair[0]) && pair[1].len() == 64) {
        let key = key[1].to_lowercase();
        assert!(lines.iter().all(|line| !line.to_lowercase().contains(&key)), "{arguments}");
    }
}

/// Both complete, believe each other and export the same.
#[track_caller]
fn complete(initiator: &str, responder: &str) -> (Ran, Ran) {
    let (one, other) = pair(initiator, responder);
    one.done();
    other.done();
    assert!(!one.all("export").is_empty());
    assert_eq!(one.all("export"), other.all("export"), "{initiator} | {responder}");
    (one, other)
}

/// One peer and a script.
fn alone(arguments: &str, input: &str) -> Ran {
    let mut child = start(arguments);
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let lines: Vec<_> = String::from_utf8(output.stdout).unwrap().lines().map(String::from).collect();
    keep_keys(arguments, &lines);
    Ran { code: output.status.code(), lines }
}

// ----------------------------------------------------------------------------------------------------------------- files

/// A file of the published test identities.
fn pki(name: &str) -> Vec<u8> {
    fs::read(format!("{}/src/sim/pki/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes a file for one test, and gives its path.
fn file(name: &str, content: impl AsRef<[u8]>) -> String {
    let path = format!("{}/peer-{name}", env!("CARGO_TARGET_TMPDIR"));
    fs::write(&path, content).unwrap();
    path
}

/// RFC 7468, in one line of base64.
fn pem(label: &str, der: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in der.chunks(3) {
        let padded = [0, chunk[0], *chunk.get(1).unwrap_or(&0), *chunk.get(2).unwrap_or(&0)];
        let bits = u32::from_be_bytes(padded);
        for (index, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            let digit = usize::try_from(bits >> shift & 0x3f).unwrap();
            text.push(if index > chunk.len() { '=' } else { char::from(DIGITS[digit]) });
        }
    }
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
}

/// RFC 5915 §3, without what is optional.
fn sec1(key: &[u8]) -> Vec<u8> {
    [b"\x30\x25\x02\x01\x01\x04\x20", key].concat()
}

/// RFC 5958 §2, around it.
fn pkcs8(key: &[u8]) -> Vec<u8> {
    let head =
        b"\x30\x41\x02\x01\x00\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
    [head, &b"\x04\x27"[..], &sec1(key)].concat()
}

// ----------------------------------------------------------------------------------------------------------- they work

#[test]
fn methods_and_suites_by_reference_and_by_value() {
    for method in 0..4 {
        for suite in [-24, 2, 3] {
            for credential in ["ref", "val"] {
                let initiator = format!("--method {method} --suite {suite} --cred {credential}");
                let (one, other) = complete(&initiator, &format!("--cred {credential}"));
                assert_eq!((one.one("peer"), other.one("peer")), (RESPONDER, INITIATOR), "{initiator}");
                let kind = if credential == "ref" { "comes as kid" } else { "comes as kccs" };
                assert!(one.remarks(kind) && other.remarks(kind) && one.remarks(&format!("suite {suite}")));
                assert_eq!((one.messages().len(), other.messages().len()), (2, 2));
            }
        }
    }
}

/// RFC 9529 §3, each side against the script of the other one.
#[test]
fn rfc_9529() {
    let t = published;
    let exports = [format!("0  16 {}", t("oscore_master_secret")), format!("1  8 {}", t("oscore_master_salt"))];

    let script = format!("# remark\n\n= result\n  {}  \n{}\n", t("message_2"), t("message_4").to_uppercase());
    let ran = alone(&format!("initiator --suite 6 --suite 2 --eph {}", t("x")), &script);
    ran.done();
    assert_eq!(ran.messages(), [t("message_1"), t("message_3")]);
    assert_eq!((ran.all("export"), ran.one("peer")), (exports.iter().map(String::as_str).collect(), RESPONDER));
    assert!(ran.remarks("--eph") && ran.remarks("published key"));

    let script = format!("{}\n{}\n{}\n", t("refused_message_1"), t("message_1"), t("message_3"));
    let ran = alone(&format!("responder --suite 2 --eph {}", t("y")), &script);
    ran.done();
    assert_eq!(ran.messages(), [t("error"), t("message_2"), t("message_4")]);
    assert_eq!((ran.all("export"), ran.one("peer")), (exports.iter().map(String::as_str).collect(), INITIATOR));

    // The same by hand.
    let own = |side: &str, other: &str| {
        let [c, sk, own, peer] =
            [format!("c_{side}"), format!("sk_{side}"), format!("cred_{side}"), format!("cred_{other}")]
                .map(|name| t(&name));
        format!("--c {c} --sk {sk} --cred-own {own} --cred-peer {peer}")
    };
    let initiator = format!("{} --suite 6 --suite 2 --eph {}", own("i", "r"), t("x"));
    let (one, other) = complete(&initiator, &format!("{} --eph {}", own("r", "i"), t("y")));
    assert_eq!(one.messages(), [t("message_1"), t("message_3")]);
    assert_eq!(other.messages(), [t("message_2"), t("message_4")]);
    assert!(!one.remarks("published key"));
}

#[test]
fn ephemeral_keys_are_fresh() {
    let [one, other] = ["", ""].map(|_| complete("", "").0.one("export 0").to_string());
    assert_ne!(one, other);
}

#[test]
fn certificates() {
    let (device, operator) = (pki("device.key"), pki("operator.key"));
    let device_chain = file("device.der", [pki("device.der"), pki("maker-issuer.der")].concat());
    let operator_chain = pem("CERTIFICATE", &pki("operator.der")) + &pem("CERTIFICATE", &pki("operator-issuer.der"));
    let operator_chain = file("operator.pem", format!("a comment\n{operator_chain}"));
    let maker = file("maker.pem", pem("CERTIFICATE", &pki("maker-root.der")));
    let root = file("root.der", pki("operator-root.der"));
    let keys = |name: &str, key: &[u8]| {
        [
            file(&format!("{name}.raw"), key),
            file(&format!("{name}.hex"), format!("{}\n", hex(key))),
            file(&format!("{name}.sec1"), sec1(key)),
            file(&format!("{name}.sec1.pem"), pem("EC PRIVATE KEY", &sec1(key))),
            file(&format!("{name}.pkcs8"), pkcs8(key)),
            file(&format!("{name}.pkcs8.pem"), pem("PRIVATE KEY", &pkcs8(key))),
        ]
    };
    let by_value = |key: &str| format!("--x5chain {device_chain} --key {key} --anchor {root} --cred val");
    let operator_by_value = |key: &str| format!("--x5chain {operator_chain} --key {key} --anchor {maker} --cred val");
    let mut last = None;
    for (method, (one, other)) in (0..4).cycle().zip(keys("device", &device).iter().zip(&keys("operator", &operator))) {
        let (one, other) = complete(&format!("{} --method {method}", by_value(one)), &operator_by_value(other));
        assert_eq!((one.one("peer"), other.one("peer")), ("provisioning.example-operator", "IOT-0001-0000-0001"));
        assert!(one.remarks("x5chain") && !one.remarks("not that of the credential"));
        last = Some(one);
    }
    let whole = last.unwrap().messages()[1].len();

    // By hash: whoever does not know the chain cannot look it up.
    let device =
        format!("--x5chain {device_chain} --sk {} --anchor {root} --peer-chain {operator_chain}", hex(&device));
    let operator = format!("--x5chain {operator_chain} --sk {} --anchor {maker}", hex(&operator));
    let (one, _) = complete(&device, &format!("{operator} --peer-chain {device_chain}"));
    assert!(one.remarks("x5t") && one.messages()[1].len() < whole / 4);
    let (one, other) = pair(&device, &operator);
    one.refused("03f5");
    other.refuses("03f5", "unknown credential");

    // A chain on one side, a CCS on the other.
    let (one, other) = complete(
        &format!("--cred-peer none --anchor {root}"),
        &format!("{operator} --cred val --cred-peer {}", published("cred_i")),
    );
    assert_eq!((one.one("peer"), other.one("peer")), ("provisioning.example-operator", INITIATOR));

    // Below another root, for the other role, and with a key of somebody else's.
    let (one, other) = pair(
        &by_value(&file("a.raw", pki("device.key"))).replace(&root, &maker),
        &operator_by_value(&file("b.raw", pki("operator.key"))),
    );
    one.refuses(NOT_ACCEPTED, "no anchor");
    other.refused(NOT_ACCEPTED);
    let (one, other) = pair(
        &by_value(&file("a.raw", pki("rogue-device.key"))),
        &operator_by_value(&file("b.raw", pki("operator.key"))),
    );
    assert!(one.remarks("not that of the credential"));
    one.refused(NOT_ACCEPTED);
    other.refuses(NOT_ACCEPTED, "authentication failed");
}

#[test]
fn ead_items() {
    let offer = "--ead 1:0:0000 --ead 1:5:aa --ead 1:-6 --ead 1:7: --ead 3:-5:bb --ead 3:5:cc --ead 3:4294967295";
    let (one, other) = complete(
        &format!("{offer} --ead-accept 5 --ead-accept 0009"),
        "--ead 2:-9:0102 --ead 2:77:03 --ead 4:-5 --ead-accept 5 --ead-accept 6 --ead-accept 7",
    );
    assert_eq!(one.all("ead"), ["2 -9 0102", "4 -5"]);
    assert_eq!(other.all("ead"), ["1 5 aa", "1 -6", "1 7 ", "3 -5 bb", "3 5 cc"]);
    assert_eq!(one.messages()[0].len(), 2 * (37 + 4 + 3 + 1 + 2));
}

/// Whoever does not know the label stops; the other one is told.
#[test]
fn unknown_critical_ead() {
    for number in [1, 3] {
        let (one, other) = pair(&format!("--ead {number}:-5:aa"), "--ead-accept 6");
        one.refused(NOT_ACCEPTED);
        other.refuses(NOT_ACCEPTED, "unknown critical EAD item");
        complete(&format!("--ead {number}:5:aa"), "");
    }
    let (one, other) = pair("", "--ead 2:-5");
    one.refuses(NOT_ACCEPTED, "unknown critical EAD item");
    other.refused(NOT_ACCEPTED);
    // The responder is done before it can hear of it.
    let (one, other) = pair("", "--ead 4:-5");
    one.refuses(NOT_ACCEPTED, "unknown critical EAD item");
    other.done();
}

#[test]
fn exports_and_key_updates() {
    let order = "--export 0::16 --key-update 01 --export 0::16 --key-update 01 --export 0::16 --export 65535:abcd:8160 --export 1:ff:0";
    let (one, _) = complete(order, order);
    let exports = one.all("export");
    assert_eq!(exports.len(), 5);
    let [before, once, twice] = [0, 1, 2].map(|index| exports[index].strip_prefix("0  16 ").unwrap());
    assert!(before != once && once != twice && before != twice, "{exports:?}");
    assert!(exports[3].starts_with("65535 abcd 8160 ") && exports[3].len() == 16 + 2 * 8160, "{}", exports[3].len());
    assert_eq!(exports[4], "1 ff 0 ");

    // Other contexts, other keys; without an --export the two of OSCORE come after the update.
    let (one, other) = pair("--key-update 01", "--key-update 02");
    one.done();
    other.done();
    assert!(one.all("export").len() == 2 && one.all("export") != other.all("export"));
}

#[test]
fn connection_identifiers() {
    for (c, wire) in [("", "40"), ("ff", "41ff"), ("0102030405060708", "480102030405060708"), ("17", "17")] {
        let output = Command::new(program("edhoc_peer")).args(["initiator", "--c", c]).stdin(Stdio::null()).output();
        let output = String::from_utf8(output.unwrap().stdout).unwrap();
        assert!(output.lines().any(|line| line.starts_with("03025820") && line.ends_with(wire)), "{output}");
    }
    let (one, other) = pair("--c 05", "--c 05");
    one.refused(NOT_ACCEPTED);
    other.refuses(NOT_ACCEPTED, "connection identifiers are equal");
}

// ------------------------------------------------------------------------------------------------------- they do not work

fn published(name: &str) -> String {
    let file: Value = serde_json::from_str(include_str!("vectors/edhoc_rfc9529_section_3.json")).unwrap();
    file["cases"][0][name].as_str().unwrap().to_string()
}

#[test]
fn nobody_is_believed_unasked() {
    let (cred_i, cred_r) = (published("cred_i"), published("cred_r"));
    // By reference: code 3, because the credential is not found. By value: nobody vouches for it.
    for (credential, error, why) in [("ref", "03f5", "unknown credential"), ("val", NOT_ACCEPTED, "no anchor")] {
        for trust in ["--cred-peer none".to_string(), format!("--cred-peer {}", hex(&pki("raw-device.ccs")))] {
            let (one, other) = pair(&format!("--cred {credential}"), &trust);
            one.refused(error);
            other.refuses(error, why);
            let (one, other) = pair(&trust.clone(), &format!("--cred {credential}"));
            one.refuses(error, why);
            other.refused(error);
        }
    }

    // The loud way.
    let (one, other) = complete("--cred val --learn", "--cred val --learn");
    assert!(one.remarks("believed because it came first") && other.remarks("believed because it came first"));
    let (one, other) = pair("--learn", "");
    one.refuses("03f5", "unknown credential");
    other.refused("03f5");

    // A key that is not that of the credential, in both kinds of proof.
    for method in 0..4 {
        let wrong = format!("--sk {}", hex(&pki("raw-device.key")));
        let (one, other) = pair(&format!("--method {method}"), &wrong);
        one.refuses(NOT_ACCEPTED, "authentication failed");
        other.refused(NOT_ACCEPTED);
        let (one, other) = pair(&format!("--method {method} {wrong}"), "");
        one.refused(NOT_ACCEPTED);
        other.refuses(NOT_ACCEPTED, "authentication failed");
    }

    // One `kid`, several keys: the proof tells which one.
    let other_key = cred_r.replace("6578616d706c652e656475", "6578616d706c652e6f7267");
    let (one, _) = complete(&format!("--cred-peer {other_key} --cred-peer {cred_r}"), &format!("--cred-peer {cred_i}"));
    assert_eq!(one.one("peer"), RESPONDER);
    // Ourselves.
    let (one, other) =
        pair(&format!("--cred-peer {cred_i}"), &format!("--cred-own {cred_i} --sk {}", published("sk_i")));
    one.refuses(NOT_ACCEPTED, "our own credential");
    other.refused(NOT_ACCEPTED);
}

#[test]
fn negotiation() {
    // Suite 3 is refused, so suite 2 is proposed, behind all that would have been better.
    let (one, other) = pair("--suite 3", "--suite 2");
    assert_eq!((one.code, one.lines.last().unwrap().as_str(), one.one("peer-error")), (Some(0), "= done", "0202"));
    other.done();
    assert_eq!(one.all("export"), other.all("export"));
    let messages = one.messages();
    assert!(messages[0].starts_with("03035820") && messages[1].starts_with("038303370258"), "{messages:?}");
    assert_eq!((messages.len(), other.messages()[0]), (3, "0202"));
    let (one, other) = pair("--suite 2", "--suite 3 --suite -24");
    assert_eq!((one.code, other.code, one.one("peer-error")), (Some(0), Some(0), "02820337"));
    assert!(one.remarks("suite -24"), "{one:?}");

    // Talked down: the responder runs 3, so 2 behind it is not to be selected.
    let (one, other) = pair("--suite 3 --suite 2", "");
    assert_eq!((one.one("peer-error"), one.code, other.code), ("0283370302", Some(0), Some(0)));
    assert!(one.remarks("proposing again, suite 3"), "{one:?}");

    // An ephemeral key for each proposal; a single one serves both.
    let (x, refused) = (published("x"), published("refused_x"));
    let proposed = |ephemeral: &str| {
        let ran = alone(&format!("initiator --suite 3 {ephemeral}"), "0202");
        ran.messages().iter().map(|message| message.contains(&published("g_x"))).collect::<Vec<_>>()
    };
    assert_eq!(proposed(&format!("--eph {refused} --eph {x}")), [false, true]);
    assert_eq!(proposed(&format!("--eph {x}")), [true, true]);

    // Nothing in common; what was just refused; nonsense; and a second refusal.
    for (errors, times) in [("0205", 1), ("0202", 1), ("02820205", 1), ("0281", 1), ("05a0", 1), ("0203\n0203", 2)] {
        let ran = alone("initiator", errors);
        assert_eq!((ran.code, ran.all("peer-error").len(), ran.messages().len()), (Some(1), times, times), "{ran:?}");
    }
    let (one, other) = pair("--method 1", "--method 0 --method 3");
    one.refused(NOT_ACCEPTED);
    other.refuses(NOT_ACCEPTED, "unsupported EDHOC method");
}

#[test]
fn bad_lines() {
    for role in ["initiator", "responder"] {
        let ran = alone(role, "# nothing\n\n= nothing\n");
        assert_eq!(ran.code, Some(1));
        assert!(ran.remarks("ended too early"), "{ran:?}");
        for line in ["xyz", "0", "40", "58", "é", "ffff"] {
            let ran = alone(role, line);
            ran.refuses(NOT_ACCEPTED, "failed: ");
        }
    }
    // What an error message says is anybody's, and stays on its line.
    let ran = alone("initiator", "01663d200a3d2061");
    assert_eq!((ran.code, ran.all("peer-error").len()), (Some(1), 1));
    assert!(ran.remarks(r#""= \n= a""#), "{ran:?}");
    let ran = alone("responder", NOT_ACCEPTED);
    assert_eq!((ran.messages().len(), ran.one("peer-error")), (0, NOT_ACCEPTED));
}

/// Nobody reads: an end like any other, not a panic.
#[test]
fn broken_pipe() {
    for role in ["initiator", "responder"] {
        let mut child = start(role);
        drop(child.stdout.take());
        let (mut input, t) = (child.stdin.take().unwrap(), published);
        let _ = writeln!(input, "{}", if role == "initiator" { t("message_2") } else { t("message_1") });
        // A process that another test is just starting may still hold the other end: then this is what ends it.
        drop(input);
        assert_eq!(child.wait().unwrap().code(), Some(1), "{role}");
    }
    let mut command = Command::new(program("edhoc_peer"));
    let mut help = command.arg("--help").stdout(Stdio::piped()).spawn().unwrap();
    drop(help.stdout.take());
    assert_eq!(help.wait().unwrap().code(), Some(0));
}

#[test]
fn wrong_usage() {
    let rubbish = file("rubbish", "rubbish");
    let long = "00".repeat(9);
    let cred = published("cred_i");
    let p384 = format!("{}/tests/vectors/pki/p384.der", env!("CARGO_MANIFEST_DIR"));
    for (arguments, says) in [
        ("", "usage: edhoc_peer"),
        ("observer", "neither initiator nor responder"),
        ("initiator method", "begins with --"),
        ("initiator --methods 1", "--methods: there is no such option"),
        ("initiator --method", "--method: a value is missing"),
        ("initiator --method 4", "--method 4: there are the methods 0 to 3"),
        ("initiator --method 0 --method 1", "an initiator proposes one"),
        ("initiator --suite x", "--suite x: \"x\" is not a number"),
        ("initiator --suite 2 --suite 9", "--suite 9: this side runs "),
        ("responder --suite 9", "--suite 9: this side runs "),
        ("initiator --c 1", "--c: an odd number"),
        (&format!("initiator --c {long}"), "--c: "),
        ("initiator --c 01 --c 02", "--c is given twice"),
        ("initiator --cred both", "--cred: both is neither ref nor val"),
        (&format!("initiator --cred-own {cred}"), "--cred-own needs --sk or --key"),
        ("initiator --cred-own a0 --sk 01", "--sk: 1 bytes, expected 32"),
        (&format!("initiator --cred-own a0 --sk {}", "11".repeat(32)), "--cred-own: malformed message"),
        (&format!("initiator --cred-own a0 --sk {}", "00".repeat(32)), "no private key of P-256"),
        ("initiator --cred-peer 00", "--cred-peer: malformed message"),
        (&format!("responder --cred-peer {cred} --cred-peer {cred}"), "--cred-peer: "),
        ("initiator --x5chain a --cred-own b", "give either --cred-own or --x5chain"),
        (&format!("initiator --x5chain {rubbish}"), "--x5chain needs --sk or --key"),
        (&format!("initiator --x5chain {rubbish} --sk {}", "11".repeat(32)), "no certificate in it"),
        (&format!("initiator --x5chain {p384} --sk {}", "11".repeat(32)), "--x5chain "),
        (&format!("initiator --x5chain a --key {rubbish}"), "neither 32 bytes nor PKCS#8 or SEC 1"),
        ("initiator --x5chain a --key /nowhere", "--key /nowhere: "),
        ("initiator --anchor /nowhere", "--anchor /nowhere: "),
        (&format!("initiator --anchor {rubbish}"), "no certificate in it"),
        (&format!("initiator --anchor {p384}"), "--anchor "),
        (&format!("initiator --peer-chain {rubbish}"), "no certificate in it"),
        ("initiator --eph 01", "--eph 01: 1 bytes, expected 32"),
        ("initiator --ead 1", "--ead 1: give N:LABEL[:HEX]"),
        ("initiator --ead 2:1", "the initiator sends the messages 1 and 3"),
        ("responder --ead 5:1", "the initiator sends the messages 1 and 3"),
        ("initiator --ead 1:4294967296", "at most 32 bits"),
        ("initiator --ead 1:1:0g", "not hexadecimal"),
        ("initiator --ead-accept -1", "is not a number"),
        ("initiator --ead-accept 0", "padding is skipped anyway"),
        ("initiator --export 1", "give LABEL:CTXHEX:LEN"),
        ("initiator --export 65536::1", "is not a number"),
        ("initiator --export 1::8161", "at most 8160 bytes"),
        ("initiator --key-update 0", "--key-update: an odd number"),
    ] {
        let mut child = Command::new(program("edhoc_peer"));
        let output = child.args(arguments.split_whitespace()).stdin(Stdio::null()).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments}");
        assert!(error.contains(says) && output.stdout.is_empty(), "{arguments} says {error}");
    }
}

#[test]
fn own_keys() {
    let output = Command::new(program("own_keys")).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    for (what, times) in [("not ready", 8), ("export the same", 4), ("Generate: 1", 8), ("Sign: 2", 4)] {
        assert_eq!(text.matches(what).count(), times, "{what}: {text}");
    }
}
