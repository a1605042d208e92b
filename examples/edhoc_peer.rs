//! An EDHOC peer on stdin and stdout, for trying this crate against another implementation, or against itself.
//!
//! ```console
//! mkfifo back
//! cargo build --example edhoc_peer && cd target/debug/examples
//! ./edhoc_peer initiator <back | tee /dev/stderr | ./edhoc_peer responder | tee /dev/stderr >back
//! ```
//!
//! One message a line, in hexadecimal, both ways. Results are on lines `= name value`, remarks on lines `# ...`; both, and
//! blank lines, are skipped on input, so that two peers can be wired back to back:
//!
//! ```text
//! = ead N LABEL [HEX]              an EAD item of message N that was to be taken, LABEL negative if critical
//! = peer NAME                      the verified identity
//! = export LABEL CTXHEX LEN HEX    what EDHOC_Exporter gave; fields end at one space each, CTXHEX may be empty
//! = peer-error HEX                 the peer's error message
//! = done                           the handshake has completed, all exports are above
//! ```
//!
//! Without options both sides have the credentials of RFC 9529 section 3, whose private keys are published: for tests
//! only. Exit code 0: complete. 1: the protocol failed, or nobody was there. 2: wrong usage, with a message on stderr.

#![allow(
    clippy::print_stdout,
    clippy::std_instead_of_alloc,
    clippy::std_instead_of_core,
    reason = "a program for people, on a host"
)]

use std::{
    fmt::Display,
    io::{BufRead, Read, Write},
    process::ExitCode,
    str::FromStr,
    time::SystemTime,
};

use pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use remote_provisioning::{
    crypto::{Crypto, Rng, Secret, rustcrypto::RustCrypto},
    edhoc::{
        ConnectionId, Ead, EadItem, Method, OwnCredential, Session, Suite, error_message, initiator, is_error_message,
        read_error, responder,
    },
    error::{Backend, Error, Malformed, Misbehaved, Misuse, Refused, Untrusted},
    identity::{Domain, Role},
    store::{KeyId, KeyStore, memory::MemoryKeyStore},
    trust::{Anchor, Candidates, CredentialId, Date, MemoryAnchors, Pinned, learn, verify},
};
use x509_cert::der::Decode;

const USAGE: &str = "\
usage: edhoc_peer initiator|responder --OPTION VALUE ...   (HEX: hexadecimal digits, FILE: PEM or DER)

  --method 0..3       who signs (0: both, 1: initiator, 2: responder, 3: nobody). Initiator: 3. Responder: all; repeatable
  --suite N           initiator: SUITES_I, the last one is selected, those before it need not be known here; default 2.
                      responder: what it runs; default all. Repeatable. After an error 2 the initiator proposes once more
  --c HEX             C_I or C_R, 0 to 8 bytes
  --cred ref|val      send the credential by reference (kid, x5t; the default) or by value (kccs, x5chain)
  --cred-own HEX      this side's CCS
  --sk HEX            its private key, 32 bytes
  --x5chain FILE      this side's certificates instead of a CCS, end entity first: with a serialNumber for the initiator,
                      with a CN for the responder
  --key FILE          the private key: PKCS#8, SEC 1, or 32 bytes, as they are or in hexadecimal digits
  --cred-peer HEX     trust this CCS of the peer's, repeatable; none: trust no CCS
  --anchor FILE       trust this CA for the peer's certificates, repeatable
  --peer-chain FILE   know these certificates of the peer's, so that it may send x5t alone, repeatable
  --learn             believe ANY CCS that the peer sends by value: whoever comes first
  --ead N:LABEL[:HEX] put an EAD item into message N of this side, repeatable; LABEL negative: critical, 0: padding
  --ead-accept LABEL  take items with this label from the peer's messages, repeatable
  --export LABEL:CTXHEX:LEN   export this, repeatable; default 0::16 and 1::8, the secret and the salt of OSCORE
  --key-update CTXHEX         EDHOC_KeyUpdate before the exports that follow on the command line, repeatable
  --eph HEX           the ephemeral private key, 32 bytes, for known answers; a second one is for a second proposal";

/// The one key of this side's key store.
const KEY: KeyId = KeyId(1);

/// RFC 9529 section 3: private key, CCS and connection identifier.
struct Published {
    sk: &'static str,
    cred: &'static str,
    c: &'static str,
}

const INITIATOR: Published = Published {
    sk: "fb13adeb6518cee5f88417660841142e830a81fe334380a953406a1305e8706b",
    cred: "a2027734322d35302d33312d46462d45462d33372d33322d333908a101a5010202412b2001215820ac75e9ece3e50bfc8ed60399889522\
           405c47bf16df96660a41298cb4307f7eb62258206e5de611388a4b8a8211334ac7d37ecb52a387d257e6db3c2a93df21ff3affc8",
    c: "37",
};

const RESPONDER: Published = Published {
    sk: "72cc4761dbd4c78f758931aa589d348d1ef874a7e303ede2f140dcf3e6aa4aac",
    cred: "a2026b6578616d706c652e65647508a101a501020241322001215820bbc34960526ea4d32e940cad2a234148ddc21791a12afbcbac9362\
           2046dd44f02258204519e257236b2a0ce2023f0931f1f386ca7afda64fcde0108c224c51eabf6072",
    c: "27",
};

/// A message for whoever typed it.
type Wrong = String;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--help") {
        let _ = writeln!(std::io::stdout(), "{USAGE}");
        return ExitCode::SUCCESS;
    }
    let mut side = match Side::new(&arguments) {
        Ok(side) => side,
        Err(wrong) => {
            let _ = writeln!(std::io::stderr(), "edhoc_peer: {wrong}");
            return ExitCode::from(2);
        }
    };
    side.remarks.iter().for_each(remark);
    let done = match side.role {
        Role::Device => side.initiate(),
        Role::Operator | Role::Relay => side.respond(),
    };
    match done.and_then(|session| side.conclude(session)) {
        Ok(()) => return ExitCode::SUCCESS,
        // RFC 9528 §6: an error message is never answered with another one.
        Err(Failure::PeerError) => {}
        Err(Failure::Link(why)) => remark(why),
        Err(Failure::Here(error)) => {
            if let Some(message) = error_message(&error, &side.suites) {
                let _ = send(&message);
            }
            remark(format_args!("failed: {error}"));
        }
    }
    ExitCode::from(1)
}

// --------------------------------------------------------------------------------------------------------- the handshake

/// Why there is no session.
enum Failure {
    /// The peer sent an error message, which has been printed.
    PeerError,
    /// Nobody there to talk to.
    Link(String),
    /// This side found something; the peer is to be told.
    Here(Error),
}

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Here(error.into())
    }
}

/// One side, ready to run.
struct Side {
    role: Role,
    methods: Vec<Method>,
    /// To propose or to take. An initiator's may begin with names of suites that are not run here.
    suites: Vec<Suite>,
    c: ConnectionId,
    own: OwnCredential,
    keys: MemoryKeyStore,
    anchors: MemoryAnchors,
    learn: bool,
    ead: Vec<EadOut>,
    accepted: Vec<u32>,
    afterwards: Vec<Afterwards>,
    rng: Random,
    remarks: Vec<&'static str>,
}

impl Side {
    fn initiate(&mut self) -> Result<Session, Failure> {
        let mut sent = self.propose()?;
        let mut message_2 = receive()?;
        if is_error_message(&message_2) {
            peer_error(&message_2);
            self.suites = self.second_proposal(&message_2).ok_or(Failure::PeerError)?;
            sent = self.propose()?;
            message_2 = receive_or_error()?;
        }

        let read = sent.read(&message_2, &RustCrypto)?;
        let peer = self.believe(&read.claimed()?)?;
        let mut accepted = read.accept(peer, &self.own, &RustCrypto)?;
        self.take(2, accepted.ead());
        let ead_3 = EadOut::items(&self.ead, 3);
        let (sent, message_3) = accepted.write(&self.own, &ead_3, &self.keys, &RustCrypto)?;
        send(&message_3)?;

        let mut read = sent.read(&receive_or_error()?, &RustCrypto)?;
        self.take(4, read.ead());
        Ok(read.complete()?)
    }

    fn propose(&mut self) -> Result<initiator::AwaitMessage2, Failure> {
        let method = *self.methods.first().ok_or(Misuse::Parameter("no method"))?;
        let ead_1 = EadOut::items(&self.ead, 1);
        let proposal = initiator::Proposal { method, suites: &self.suites, c_i: &self.c, ead_1: &ead_1 };
        let (sent, message_1) = initiator::start(&proposal, &RustCrypto, &mut self.rng)?;
        send(&message_1)?;
        Ok(sent)
    }

    /// What to say after an error 2. Only once: an honest responder has named all that it runs.
    fn second_proposal(&self, error: &[u8]) -> Option<Vec<Suite>> {
        let suites_r = read_error(error).ok().filter(|error| error.refused == Refused::WrongSuite)?.suites_r;
        // What was asked for comes first, and then all the rest.
        let mut supported = self.suites.clone();
        supported.extend(Suite::ALL.into_iter().filter(|suite| !self.suites.contains(suite)));
        let again = initiator::propose_again(&supported, &self.suites, &suites_r)?;
        remark(format_args!("proposing again, suite {}", again.last()?.number));
        Some(again.to_vec())
    }

    fn respond(&mut self) -> Result<Session, Failure> {
        let mut read = loop {
            let message_1 = receive()?;
            // Begins with a number as well, but never reads as the other.
            if read_error(&message_1).is_ok() {
                peer_error(&message_1);
                return Err(Failure::PeerError);
            }
            match responder::read(&message_1, &self.methods, &self.suites, &RustCrypto) {
                Ok(read) => break read,
                // The initiator may come back with another suite, in a session of its own.
                Err(error @ Error::Misbehaved(Misbehaved::WrongSuite)) => {
                    remark(format_args!("{error}; waiting for another message_1"));
                    send(&error_message(&error, &self.suites).unwrap_or_default())?;
                }
                Err(error) => return Err(error.into()),
            }
        };
        self.take(1, read.unverified_ead());
        let ead_2 = EadOut::items(&self.ead, 2);
        let (sent, message_2) = read.write(&self.c, &self.own, &ead_2, &self.keys, &RustCrypto, &mut self.rng)?;
        send(&message_2)?;

        let read = sent.read(&receive_or_error()?, &RustCrypto)?;
        let peer = self.believe(&read.claimed()?)?;
        let mut accepted = read.accept(peer, &self.own, &RustCrypto)?;
        self.take(3, accepted.ead());
        let (session, message_4) = accepted.write(&EadOut::items(&self.ead, 4), &RustCrypto)?;
        send(&message_4)?;
        Ok(session)
    }

    /// Who may be meant. That it is this one is shown by `accept`.
    fn believe(&self, claimed: &CredentialId<'_>) -> Result<Candidates, Error> {
        let kind = match claimed {
            CredentialId::Chain(_) => "x5chain",
            CredentialId::Thumbprint { .. } => "x5t",
            CredentialId::Cwt(_) => "kcwt",
            CredentialId::Ccs(_) => "kccs",
            CredentialId::Kid(_) => "kid",
        };
        remark(format_args!("the peer's credential comes as {kind}"));
        let role = other(self.role);
        match verify(claimed, role, Domain::Test, &self.anchors, &RustCrypto, Some(today())) {
            Err(Error::Untrusted(Untrusted::NoAnchor)) if self.learn && matches!(claimed, CredentialId::Ccs(_)) => {
                let peer = learn(claimed, role, Domain::Test, &RustCrypto)?;
                remark(format_args!("--learn: nobody vouches for {}, believed because it came first", peer.name()));
                Ok(peer.into())
            }
            verified => verified,
        }
    }

    /// Takes what is to be taken out of message `number`. Critical items that remain stop the next step.
    fn take(&self, number: u8, ead: &mut Ead) {
        for &label in &self.accepted {
            while let Some(item) = ead.take(label) {
                let sign = if item.critical { "-" } else { "" };
                let value = item.value.map(|value| format!(" {}", hex(value))).unwrap_or_default();
                result(format_args!("ead {number} {sign}{label}{value}"));
            }
        }
    }

    fn conclude(&self, mut session: Session) -> Result<(), Failure> {
        remark(format_args!("suite {}", session.suite().number));
        result(format_args!("peer {}", session.peer().name()));
        for what in &self.afterwards {
            match what {
                Afterwards::Update(context) => {
                    session.update(context, &RustCrypto)?;
                    remark(format_args!("key update {}", hex(context)));
                }
                Afterwards::Export { label, context, len } => {
                    let mut out = vec![0; *len];
                    session.export(*label, context, &mut out, &RustCrypto)?;
                    result(format_args!("export {label} {} {len} {}", hex(context), hex(&out)));
                }
            }
        }
        result("done");
        Ok(())
    }
}

const fn other(role: Role) -> Role {
    match role {
        Role::Device => Role::Operator,
        Role::Operator | Role::Relay => Role::Device,
    }
}

fn today() -> Date {
    Date(SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs()))
}

/// From the operating system, unless the ephemeral key is given.
struct Random {
    /// In reverse; the last one stays.
    fixed: Vec<[u8; 32]>,
}

impl Rng for Random {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), Backend> {
        if let Some(fixed) = self.fixed.last() {
            // Only ephemeral keys are drawn here.
            <&mut [u8; 32]>::try_from(out).map_err(|_| Backend::Random)?.copy_from_slice(fixed);
            if self.fixed.len() > 1 {
                self.fixed.pop();
            }
            return Ok(());
        }
        std::fs::File::open("/dev/urandom").and_then(|mut source| source.read_exact(out)).map_err(|_| Backend::Random)
    }
}

// ------------------------------------------------------------------------------------------------------------- the lines

/// A message. That nobody reads it is a failure.
fn send(message: &[u8]) -> Result<(), Failure> {
    line(&hex(message)).map_err(|error| Failure::Link(format!("nobody reads: {error}")))
}

/// A result. That nobody reads it is no failure: a peer wired back to back may have gone.
fn result(value: impl Display) {
    let _ = line(&format!("= {value}"));
}

fn remark(text: impl Display) {
    let _ = line(&format!("# {text}"));
}

fn line(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

/// The next message, which may be an error message.
fn receive() -> Result<Vec<u8>, Failure> {
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|error| Failure::Link(format!("cannot read: {error}")))?;
        let line = line.trim();
        if line.is_empty() || line.starts_with(['=', '#']) {
            continue;
        }
        return unhex(line).map_err(|why| {
            remark(format_args!("a line that is no message: {why}"));
            Malformed::Syntax.into()
        });
    }
    Err(Failure::Link("the input ended too early".into()))
}

fn receive_or_error() -> Result<Vec<u8>, Failure> {
    let message = receive()?;
    if is_error_message(&message) {
        peer_error(&message);
        return Err(Failure::PeerError);
    }
    Ok(message)
}

fn peer_error(message: &[u8]) {
    result(format_args!("peer-error {}", hex(message)));
    match read_error(message) {
        // Anybody can have written the text: quoted, so that it stays on its line.
        Ok(error) => match error.diagnostic {
            Some(text) => remark(format_args!("{}: {text:?}", error.refused)),
            None => remark(error.refused),
        },
        Err(why) => remark(format_args!("an error message that cannot be read: {why}")),
    }
}

// -------------------------------------------------------------------------------------------------------- what was typed

/// An EAD item to send.
struct EadOut {
    message: u8,
    label: u32,
    critical: bool,
    value: Option<Vec<u8>>,
}

impl EadOut {
    fn items(items: &[Self], message: u8) -> Vec<EadItem<'_>> {
        items
            .iter()
            .filter(|item| item.message == message)
            .map(|item| EadItem { label: item.label, critical: item.critical, value: item.value.as_deref() })
            .collect()
    }
}

/// What to do with the session, in the order of the command line.
enum Afterwards {
    Update(Vec<u8>),
    Export { label: u16, context: Vec<u8>, len: usize },
}

/// Names and values, in the order in which they were given.
struct Options<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Options<'a> {
    const SINGLE: [&'static str; 7] = ["c", "cred", "cred-own", "sk", "x5chain", "key", "learn"];
    const REPEATABLE: [&'static str; 10] =
        ["method", "suite", "cred-peer", "anchor", "peer-chain", "ead", "ead-accept", "export", "key-update", "eph"];

    fn read(arguments: &'a [String]) -> Result<Self, Wrong> {
        let mut options = Self(Vec::new());
        let mut arguments = arguments.iter();
        while let Some(name) = arguments.next() {
            let name = name.strip_prefix("--").ok_or(format!("{name}: an option begins with --"))?;
            let single = Self::SINGLE.contains(&name);
            if !single && !Self::REPEATABLE.contains(&name) {
                return Err(format!("--{name}: there is no such option\n\n{USAGE}"));
            }
            if single && options.has(name) {
                return Err(format!("--{name} is given twice"));
            }
            let value = match name {
                "learn" => "",
                _ => arguments.next().ok_or(format!("--{name}: a value is missing"))?,
            };
            options.0.push((name, value));
        }
        Ok(options)
    }

    fn all<'b>(&'b self, name: &'b str) -> impl Iterator<Item = &'a str> + 'b {
        self.0.iter().filter(move |(other, _)| *other == name).map(|(_, value)| *value)
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        self.all(name).next()
    }

    fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// All values of a repeatable option, read.
    fn each<T>(&self, name: &str, read: impl Fn(&str) -> Result<T, Wrong>) -> Result<Vec<T>, Wrong> {
        self.all(name).map(|value| read(value).map_err(|why| format!("--{name} {value}: {why}"))).collect()
    }
}

impl Side {
    fn new(arguments: &[String]) -> Result<Self, Wrong> {
        let (role, options) = arguments.split_first().ok_or(USAGE)?;
        let (role, published, other) = match role.as_str() {
            "initiator" => (Role::Device, INITIATOR, RESPONDER),
            "responder" => (Role::Operator, RESPONDER, INITIATOR),
            _ => return Err(format!("{role} is neither initiator nor responder\n\n{USAGE}")),
        };
        let options = &Options::read(options)?;
        let mut remarks = Vec::new();

        let mut fixed = options.each("eph", array::<32>)?;
        fixed.reverse();
        if !fixed.is_empty() {
            remarks.push("--eph: the ephemeral key is not random, which is for tests only");
        }
        let (keys, own) = own(options, role, &published, &mut remarks)?;
        let c = unhex(options.get("c").unwrap_or(published.c)).map_err(|why| format!("--c: {why}"))?;
        Ok(Self {
            role,
            methods: methods(options, role)?,
            suites: suites(options, role)?,
            c: ConnectionId::new(&c).map_err(|error| format!("--c: {error}"))?,
            own,
            keys,
            anchors: trusted(options, role, &other, &mut remarks)?,
            learn: options.has("learn"),
            ead: options.each("ead", |text| ead(text, role))?,
            accepted: options.each("ead-accept", |text| match number(text)? {
                0 => Err("padding is skipped anyway".into()),
                label => Ok(label),
            })?,
            afterwards: afterwards(options)?,
            rng: Random { fixed },
            remarks,
        })
    }
}

fn methods(options: &Options<'_>, role: Role) -> Result<Vec<Method>, Wrong> {
    let all = [Method::SignSign, Method::SignStatic, Method::StaticSign, Method::StaticStatic];
    let method = |text: &str| all.get(number::<usize>(text)?).copied().ok_or("there are the methods 0 to 3".into());
    let given = options.each("method", method)?;
    match (role, given.as_slice()) {
        (Role::Device, []) => Ok(vec![Method::StaticStatic]),
        (Role::Device, [_, _, ..]) => Err("--method: an initiator proposes one".into()),
        (Role::Operator | Role::Relay, []) => Ok(all.into()),
        _ => Ok(given),
    }
}

fn suites(options: &Options<'_>, role: Role) -> Result<Vec<Suite>, Wrong> {
    let known = |number: i64| Suite::ALL.into_iter().find(|suite| suite.number == number);
    let unknown = |number| {
        let known: Vec<String> = Suite::ALL.iter().map(|suite| suite.number.to_string()).collect();
        format!("--suite {number}: this side runs {}", known.join(", "))
    };
    let given: Vec<i64> = options.each("suite", number)?;
    match (role, given.as_slice()) {
        (Role::Device, []) => Ok(vec![Suite::CCM_8]),
        // Those before the selected one are only named.
        (Role::Device, [named @ .., selected]) => {
            let named = named.iter().map(|number| known(*number).unwrap_or(Suite { number: *number, ..Suite::CCM_8 }));
            Ok(named.chain([known(*selected).ok_or_else(|| unknown(*selected))?]).collect())
        }
        (Role::Operator | Role::Relay, []) => Ok(Suite::ALL.into()),
        (Role::Operator | Role::Relay, given) => {
            given.iter().map(|number| known(*number).ok_or_else(|| unknown(*number))).collect()
        }
    }
}

/// The key store and the credential of this side.
fn own(
    options: &Options<'_>,
    role: Role,
    published: &Published,
    remarks: &mut Vec<&'static str>,
) -> Result<(MemoryKeyStore, OwnCredential), Wrong> {
    let by_value = match options.get("cred") {
        None | Some("ref") => false,
        Some("val") => true,
        Some(other) => return Err(format!("--cred: {other} is neither ref nor val")),
    };
    let name = match (options.get("cred-own"), options.get("x5chain")) {
        (Some(_), Some(_)) => return Err("give either --cred-own or --x5chain".into()),
        (Some(_), None) => Some("--cred-own"),
        (None, Some(_)) => Some("--x5chain"),
        (None, None) => None,
    };
    let private = match (options.get("sk"), options.get("key"), name) {
        (Some(_), Some(_), _) => return Err("give either --sk or --key".into()),
        (Some(sk), None, _) => secret(sk).map_err(|why| format!("--sk: {why}"))?,
        (None, Some(path), _) => private_key(&file("key", path)?).map_err(|why| format!("--key {path}: {why}"))?,
        (None, None, Some(name)) => return Err(format!("{name} needs --sk or --key")),
        (None, None, None) => secret(published.sk)?,
    };
    let mut keys = MemoryKeyStore::new();
    keys.insert(KEY, private.bytes()).map_err(|_| "--sk, --key: no private key of P-256")?;

    let (own, public) = if let Some(path) = options.get("x5chain") {
        let wrong = |why: String| format!("--x5chain {path}: {why}");
        let chain = certificates("x5chain", path)?;
        let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
        let leaf = *chain.first().ok_or_else(|| wrong("no certificate".into()))?;
        let own = if by_value {
            OwnCredential::chain(KEY, &chain).map_err(|error| wrong(error.to_string()))?
        } else {
            OwnCredential::thumbprint(KEY, leaf, &RustCrypto)
        };
        let leaf = x509_cert::Certificate::from_der(leaf).map_err(|error| wrong(error.to_string()))?;
        let public = leaf.tbs_certificate().subject_public_key_info().subject_public_key.raw_bytes();
        (own, RustCrypto.point(public).map_err(|error| wrong(error.to_string()))?)
    } else {
        let pinned = ccs(options.get("cred-own").unwrap_or(published.cred), role);
        let pinned = pinned.map_err(|why| format!("--cred-own: {why}"))?;
        let own = if by_value {
            OwnCredential::ccs(KEY, &pinned)
        } else {
            OwnCredential::pinned(KEY, &pinned).map_err(|error| format!("--cred-own: {error}: --cred val"))?
        };
        (own, *pinned.peer().public_key())
    };
    if keys.public_key(KEY) != Ok(public) {
        remarks.push("the private key is not that of the credential: the peer will refuse it");
    }
    Ok((keys, own))
}

/// Whom this side believes.
fn trusted(
    options: &Options<'_>,
    role: Role,
    published: &Published,
    remarks: &mut Vec<&'static str>,
) -> Result<MemoryAnchors, Wrong> {
    let (role, mut anchors) = (other(role), MemoryAnchors::new());
    for text in options.all("cred-peer").filter(|text| *text != "none") {
        let pinned = ccs(text, role).map_err(|why| format!("--cred-peer: {why}"))?;
        anchors.add_pinned(pinned).map_err(|error| format!("--cred-peer: {error}"))?;
    }
    for path in options.all("anchor") {
        let wrong = |why: &dyn Display| format!("--anchor {path}: {why}");
        for certificate in certificates("anchor", path)? {
            let anchor = Anchor::from_certificate(&certificate, role, Domain::Test).map_err(|why| wrong(&why))?;
            anchors.add_anchor(anchor).map_err(|why| wrong(&why))?;
        }
    }
    for path in options.all("peer-chain") {
        let chain = certificates("peer-chain", path)?;
        let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
        anchors.add_chain(role, &chain, &RustCrypto).map_err(|why| format!("--peer-chain {path}: {why}"))?;
    }
    // Whoever says anything about trust says all of it.
    if !["cred-peer", "anchor", "peer-chain", "learn"].iter().any(|name| options.has(name)) {
        remarks.push("trusting the published key of RFC 9529 section 3, which anybody can have: for tests only");
        anchors.add_pinned(ccs(published.cred, role)?).map_err(|error| error.to_string())?;
    }
    Ok(anchors)
}

fn ead(text: &str, role: Role) -> Result<EadOut, Wrong> {
    let mut parts = text.splitn(3, ':');
    let (Some(message), Some(label)) = (parts.next(), parts.next()) else { return Err("give N:LABEL[:HEX]".into()) };
    let message = number(message)?;
    if !(match role {
        Role::Device => [1, 3],
        Role::Operator | Role::Relay => [2, 4],
    })
    .contains(&message)
    {
        return Err("the initiator sends the messages 1 and 3, the responder 2 and 4".into());
    }
    let label: i64 = number(label)?;
    Ok(EadOut {
        message,
        label: label.unsigned_abs().try_into().map_err(|_| "a label has at most 32 bits")?,
        critical: label < 0,
        value: parts.next().map(unhex).transpose()?,
    })
}

fn afterwards(options: &Options<'_>) -> Result<Vec<Afterwards>, Wrong> {
    let mut list = Vec::new();
    for (name, value) in &options.0 {
        list.push(match *name {
            "export" => export(value).map_err(|why| format!("--export {value}: {why}"))?,
            "key-update" => Afterwards::Update(unhex(value).map_err(|why| format!("--key-update: {why}"))?),
            _ => continue,
        });
    }
    if !options.has("export") {
        list.extend([export("0::16")?, export("1::8")?]);
    }
    Ok(list)
}

fn export(text: &str) -> Result<Afterwards, Wrong> {
    /// What HKDF-Expand with SHA-256 gives at most (RFC 5869 §2.3).
    const LONGEST: usize = 255 * 32;
    let parts: Vec<&str> = text.split(':').collect();
    let [label, context, len] = parts.as_slice() else { return Err("give LABEL:CTXHEX:LEN".into()) };
    match number(len)? {
        len if len > LONGEST => Err(format!("at most {LONGEST} bytes")),
        len => Ok(Afterwards::Export { label: number(label)?, context: unhex(context)?, len }),
    }
}

fn ccs(text: &str, role: Role) -> Result<Pinned, Wrong> {
    Pinned::from_ccs(&unhex(text)?, role, Domain::Test, &RustCrypto).map_err(|error| error.to_string())
}

fn file(option: &str, path: &str) -> Result<Vec<u8>, Wrong> {
    std::fs::read(path).map_err(|error| format!("--{option} {path}: {error}"))
}

/// One DER certificate after the other, or PEM blocks.
fn certificates(option: &str, path: &str) -> Result<Vec<Vec<u8>>, Wrong> {
    let bytes = file(option, path)?;
    let (mut found, mut rest) = (Vec::new(), bytes.as_slice());
    while let Some((_, behind)) = der(SEQUENCE, rest) {
        found.push(rest.strip_suffix(behind).unwrap_or(rest).to_vec());
        rest = behind;
    }
    if found.is_empty() {
        let blocks = CertificateDer::pem_slice_iter(&bytes).map(|block| block.map(|der| der.to_vec()));
        return match blocks.collect::<Result<Vec<_>, _>>() {
            Ok(blocks) if !blocks.is_empty() => Ok(blocks),
            Ok(_) => Err(format!("--{option} {path}: no certificate in it")),
            Err(error) => Err(format!("--{option} {path}: {error}")),
        };
    }
    if rest.is_empty() { Ok(found) } else { Err(format!("--{option} {path}: something follows the certificate")) }
}

const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const SEQUENCE: u8 = 0x30;

/// AlgorithmIdentifier of a key of P-256 (RFC 5480 §2.1.1): id-ecPublicKey, secp256r1.
const P_256: [u8; 19] = *b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";

/// 32 bytes or their digits, or PKCS#8 (RFC 5958) or SEC 1 (RFC 5915), PEM or DER.
fn private_key(file: &[u8]) -> Result<Secret<32>, Wrong> {
    if let Ok(secret) = Secret::from_slice(file) {
        return Ok(secret);
    }
    let text = std::str::from_utf8(file).map(str::trim);
    if let Some(secret) = text.ok().and_then(|text| secret(text).ok()) {
        return Ok(secret);
    }
    let block = PrivateKeyDer::from_pem_slice(file);
    let bytes = block.as_ref().map_or(file, PrivateKeyDer::secret_der);
    // PrivateKeyInfo = { version, algorithm, OCTET STRING of an ECPrivateKey }; ECPrivateKey = { version, OCTET STRING }.
    let read = || {
        let (_version, rest) = der(INTEGER, der(SEQUENCE, bytes)?.0)?;
        let Some((algorithm, rest)) = der(SEQUENCE, rest) else { return Some(der(OCTET_STRING, rest)?.0) };
        let (_version, rest) = der(INTEGER, der(SEQUENCE, der(OCTET_STRING, rest)?.0)?.0)?;
        if algorithm == P_256 { Some(der(OCTET_STRING, rest)?.0) } else { None }
    };
    let scalar = read().ok_or("neither 32 bytes nor PKCS#8 or SEC 1 of a key of P-256")?;
    Secret::from_slice(scalar).map_err(|_| format!("a scalar of {} bytes, expected 32", scalar.len()))
}

/// What is in the DER value at the front, if it has this tag, and what is behind it.
fn der(tag: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = match bytes.strip_prefix(&[tag])? {
        [len @ ..=0x7f, rest @ ..] => (usize::from(*len), rest),
        [0x81, len, rest @ ..] => (usize::from(*len), rest),
        [0x82, high, low, rest @ ..] => (usize::from(u16::from_be_bytes([*high, *low])), rest),
        _ => return None,
    };
    rest.split_at_checked(len)
}

fn number<T: FromStr>(text: &str) -> Result<T, Wrong> {
    text.parse().map_err(|_| format!("{text:?} is not a number that fits here"))
}

fn secret(text: &str) -> Result<Secret<32>, Wrong> {
    let mut secret = Secret::zeroed();
    secret.bytes_mut().copy_from_slice(&array::<32>(text)?);
    Ok(secret)
}

fn array<const N: usize>(text: &str) -> Result<[u8; N], Wrong> {
    unhex(text)?.try_into().map_err(|bytes: Vec<u8>| format!("{} bytes, expected {N}", bytes.len()))
}

fn unhex(text: &str) -> Result<Vec<u8>, Wrong> {
    let digit = |digit: char| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let digits: Option<Vec<u8>> = text.chars().map(digit).collect();
    let digits = digits.ok_or("not hexadecimal")?;
    match digits.as_chunks::<2>() {
        (pairs, []) => Ok(pairs.iter().map(|[high, low]| high << 4 | low).collect()),
        _ => Err("an odd number of hexadecimal digits".into()),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
