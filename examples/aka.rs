//! A calculator for AKA: what a telecom engineer otherwise does with a spreadsheet.
//!
//! ```console
//! cargo run --example aka -- milenage --k 465b5ce8b199b49faa5f0a2ee238a6bc --op cdc202d5123e20f62b6d676ac72cb318 \
//!     --rand 23553cbe9637a89d218ae64dae47bf35 --sqn ff9bb4d0b607 --amf b9b9
//! ```
//!
//! Each value is a line, `name=hex`. Bad input ends with exit code 2 and says which option is wrong and what it should be.
//! Keys on a command line end in the shell's history: use this for test data and in laboratories.

#![allow(
    clippy::print_stdout,
    clippy::std_instead_of_alloc,
    clippy::std_instead_of_core,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "a program for people, on a host"
)]

use std::{collections::BTreeMap, io::Read, process::ExitCode};

use remote_provisioning::{
    aka::{
        self, AlgorithmSet, Challenge, Keys, Milenage, Output, Sqn, SqnArray, SubscriberKey,
        eap::PrimeKeys,
        keys::{self, KAusf, ServingNetworkName},
        milenage, milenage256,
        sqn::Profile,
        suci::{self, HomeNetworkKey, Identity, Imsi, RoutingIndicator, Scheme, Suci},
        tuak,
    },
    crypto::{Agreement, Group, Secret, rustcrypto::AgreementKey},
    error::Misuse,
    identity::{Plmn, Supi},
};

const USAGE: &str = "\
usage: aka COMMAND --OPTION VALUE ...   (H: hexadecimal digits, N: a number)

  milenage       --k H (--op H | --opc H) --rand H --sqn H --amf H [--c H,H,H,H,H --r N,N,N,N,N]
  tuak           --k H (--top H | --topc H) --rand H --sqn H --amf H
                 --mac-bits N --res-bits N --ck-bits N --ik-bits N --iterations N
  milenage256    --k H (--op H [--algoname TEXT] | --opc H) --rand H --sqn H --amf H [--c H,H,H,H,H,H,H,H]
                 [--mac-bytes N] [--res-bytes N] [--ck-bytes N] [--ik-bytes N] [--ak-bytes N]
  auts           --k H --opc H --rand H --auts H                  Milenage: what the network reads in AUTS
  usim           --k H --opc H --rand H --autn H --sqn-ms H       Milenage: what the USIM answers
  5g             --ck H --ik H --autn H --rand H --res H --snn TEXT --supi TEXT --abba H
  eap-aka-prime  --ck H --ik H --autn H --network-name TEXT --identity TEXT
  suci conceal   --profile null|a|b --supi TEXT [--mnc-digits 2|3] [--hn-key H [--eph H]]
                 [--routing-indicator N] [--key-id N]     --supi: imsi-DIGITS, DIGITS or nai-USER@REALM
  suci deconceal --hn-private H --suci TEXT-OR-HEX         the text, the NAI form, or octets from octet 4 on";

/// A message for whoever typed it.
type Wrong = String;

/// Names and what to print behind them.
type Values = Vec<(&'static str, String)>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        None => {
            println!("{USAGE}");
            ExitCode::SUCCESS
        }
        Some((help, _)) if help == "--help" => {
            println!("{USAGE}");
            ExitCode::SUCCESS
        }
        Some((command, options)) => match run(command, options) {
            Ok(values) => {
                for (name, value) in values {
                    println!("{name}={value}");
                }
                ExitCode::SUCCESS
            }
            Err(wrong) => {
                eprintln!("aka {command}: {wrong}");
                ExitCode::from(2)
            }
        },
    }
}

/// What a command comes to. The fuzzer types here as well.
pub(crate) fn run(command: &str, options: &[String]) -> Result<Values, Wrong> {
    let (command, options) = match (command, options) {
        ("suci", [what, rest @ ..]) => (format!("suci {what}"), rest),
        _ => (command.to_string(), options),
    };
    let command: fn(&mut Options) -> Result<Values, Wrong> = match command.as_str() {
        "milenage" => milenage,
        "tuak" => tuak,
        "milenage256" => milenage256,
        "auts" => auts,
        "usim" => usim,
        "5g" => five_g,
        "eap-aka-prime" => eap_aka_prime,
        "suci conceal" => suci_conceal,
        "suci deconceal" => suci_deconceal,
        _ => return Err(format!("there is no such command\n\n{USAGE}")),
    };
    let mut options = Options::read(options)?;
    let values = command(&mut options)?;
    options.end()?;
    Ok(values)
}

fn milenage(options: &mut Options) -> Result<Values, Wrong> {
    let k = options.secret("k")?;
    let opc = match options.either("op", "opc")? {
        "op" => milenage::opc(&k, &options.secret("op")?),
        _ => options.secret("opc")?,
    };
    let mut set = Milenage::new(&k, &opc);
    match (options.list("c")?, options.list("r")?) {
        (None, None) => {}
        (Some(c), Some(r)) => {
            let constants = milenage::Constants::new(all("c", &c, bytes)?, all("r", &r, number)?);
            set = set.with_constants(constants.map_err(|error| format!("--c and --r: {error}"))?);
        }
        _ => return Err("--c and --r are given together or not at all".into()),
    }
    let (rand, sqn, amf) = options.inputs()?;
    let vector = aka::vector(&set, &rand, sqn, amf);
    Ok(vec![
        ("opc", hex(opc.bytes())),
        ("mac_a", hex(&set.f1(&rand, sqn, amf))),
        ("mac_s", hex(&set.f1_star(&rand, sqn, amf))),
        ("res", hex(vector.keys.res.bytes())),
        ("ck", hex(vector.keys.ck.bytes())),
        ("ik", hex(vector.keys.ik.bytes())),
        ("ak", hex(&vector.keys.ak)),
        ("ak_s", hex(&set.f5_star(&rand))),
        ("autn", hex(&vector.challenge.autn)),
    ])
}

fn tuak(options: &mut Options) -> Result<Values, Wrong> {
    let mut parameters = tuak::Parameters::default();
    type With = fn(tuak::Parameters, usize) -> Result<tuak::Parameters, Misuse>;
    let with: [(&str, With); 4] = [
        ("mac-bits", tuak::Parameters::with_mac_len),
        ("res-bits", tuak::Parameters::with_res_len),
        ("ck-bits", tuak::Parameters::with_ck_len),
        ("ik-bits", tuak::Parameters::with_ik_len),
    ];
    for (name, with) in with {
        let bits: usize = options.number(name)?;
        let len = if bits.is_multiple_of(8) { bits / 8 } else { usize::MAX };
        parameters = with(parameters, len).map_err(|error| format!("--{name} {bits}: {error}"))?;
    }
    let iterations = options.number("iterations")?;
    parameters = parameters.with_iterations(iterations).map_err(|error| format!("--iterations: {error}"))?;

    let k = options.key("k")?;
    let topc = match options.either("top", "topc")? {
        "top" => tuak::topc(k.get(), &options.secret("top")?, parameters),
        _ => options.secret("topc")?,
    };
    let functions = tuak::Functions::new(k.get(), &topc, parameters);
    let (rand, sqn, amf) = options.inputs()?;
    let mut keys = Keys::default();
    functions.f2_to_f5(&rand, &mut keys);
    Ok(vec![
        ("topc", hex(topc.bytes())),
        ("mac_a", hex(functions.f1(&rand, sqn, amf).bytes())),
        ("mac_s", hex(functions.f1_star(&rand, sqn, amf).bytes())),
        ("res", hex(keys.res.bytes())),
        ("ck", hex(keys.ck.bytes())),
        ("ik", hex(keys.ik.bytes())),
        ("ak", hex(&keys.ak)),
        ("ak_s", hex(&functions.f5_star(&rand))),
    ])
}

fn milenage256(options: &mut Options) -> Result<Values, Wrong> {
    let mut parameters = milenage256::Parameters::default();
    type With = fn(milenage256::Parameters, usize) -> Result<milenage256::Parameters, Misuse>;
    let with: [(&str, With); 5] = [
        ("mac-bytes", milenage256::Parameters::with_mac_len),
        ("res-bytes", milenage256::Parameters::with_res_len),
        ("ck-bytes", milenage256::Parameters::with_ck_len),
        ("ik-bytes", milenage256::Parameters::with_ik_len),
        ("ak-bytes", milenage256::Parameters::with_ak_len),
    ];
    for (name, with) in with {
        if options.has(name) {
            parameters = with(parameters, options.number(name)?).map_err(|error| format!("--{name}: {error}"))?;
        }
    }
    if let Some(c) = options.list("c")? {
        parameters = parameters.with_constants(all("c", &c, bytes)?);
    }

    let k = options.key("k")?;
    let opc = match options.either("op", "opc")? {
        "op" => {
            let name = if options.has("algoname") { options.text("algoname")? } else { milenage256::ALGONAME.into() };
            milenage256::opc(k.get(), &options.secret("op")?, &name).map_err(|error| format!("--algoname: {error}"))?
        }
        _ => options.secret("opc")?,
    };
    let functions = milenage256::Functions::new(k.get(), &opc, parameters);
    let (rand, sqn, amf) = options.inputs()?;
    let mut keys = Keys::default();
    functions.f2_to_f5(&rand, &mut keys);
    let mac_s = functions.f1_star(&rand, sqn, amf);
    let f5_star_star = functions.f5_star_star(&rand, mac_s.bytes()).map_err(|error| error.to_string())?;
    Ok(vec![
        ("opc", hex(opc.bytes())),
        ("f1", hex(functions.f1(&rand, sqn, amf).bytes())),
        ("f1_star", hex(mac_s.bytes())),
        ("f2", hex(keys.res.bytes())),
        ("f3", hex(keys.ck.bytes())),
        ("f4", hex(keys.ik.bytes())),
        ("f5", hex(functions.f5(&rand).bytes())),
        ("f5_star", hex(functions.f5_star(&rand).bytes())),
        ("f5_star_star", hex(f5_star_star.bytes())),
    ])
}

fn auts(options: &mut Options) -> Result<Values, Wrong> {
    let set = Milenage::new(&options.secret("k")?, &options.secret("opc")?);
    Ok(match aka::resynchronise(&set, &options.bytes("rand")?, &options.bytes("auts")?) {
        Ok(sqn_ms) => vec![("valid", "true".into()), ("sqn_ms", hex(&sqn_ms.to_bytes()))],
        Err(_) => vec![("valid", "false".into())],
    })
}

/// The USIM has accepted SQN_MS last, under its IND and no other.
fn usim(options: &mut Options) -> Result<Values, Wrong> {
    let set = Milenage::new(&options.secret("k")?, &options.secret("opc")?);
    let challenge = Challenge { rand: options.bytes("rand")?, autn: options.bytes("autn")? };
    let sqn_ms = Sqn::from_bytes(options.bytes("sqn-ms")?);
    let (profile, mut array) = (Profile::default(), SqnArray::default());
    if profile.seq(sqn_ms) > 0 {
        array = SqnArray::from_bytes(profile, &sqn_ms.to_bytes()).map_err(|error| format!("--sqn-ms: {error}"))?;
    }
    Ok(match aka::authenticate(&set, &mut array, &challenge) {
        aka::Answer::Success(keys) => {
            vec![("res", hex(keys.res.bytes())), ("ck", hex(keys.ck.bytes())), ("ik", hex(keys.ik.bytes()))]
        }
        // A USIM that has accepted nothing at all says 0, whatever the IND of --sqn-ms is.
        aka::Answer::SyncFailure { .. } if profile.seq(sqn_ms) == 0 => {
            let (concealed, mac_s) = set.f1_star_and_f5_star(&challenge.rand, sqn_ms);
            vec![("auts", hex(&[&concealed[..], &mac_s[..]].concat()))]
        }
        aka::Answer::SyncFailure { auts } => vec![("auts", hex(&auts))],
        aka::Answer::MacFailure => vec![("mac_failure", "true".into())],
    })
}

fn five_g(options: &mut Options) -> Result<Values, Wrong> {
    let mut of = options.ck_and_ik()?;
    of.res = options.output("res", 4..=16)?;
    let challenge = Challenge { rand: options.bytes("rand")?, autn: options.bytes("autn")? };
    let snn: ServingNetworkName = options.text("snn")?.parse().map_err(|_| {
        "--snn: a name like 5G:mnc001.mcc001.3gppnetwork.org, for a private network with : and 11 digits of NID behind it"
    })?;
    let (supi, abba) = (options.text("supi")?, options.any_bytes("abba")?);
    let supi = supi.strip_prefix("imsi-").or_else(|| supi.strip_prefix("nai-")).unwrap_or(&supi);

    let res_star = keys::res_star(&of, &snn, &challenge.rand);
    let k_ausf = KAusf::new(&of, &snn, &challenge);
    let k_seaf = k_ausf.k_seaf(&snn);
    let k_amf = k_seaf.k_amf(supi, &abba).map_err(|error| format!("--supi, --abba: {error}"))?;
    Ok(vec![
        ("res_star", hex(&res_star)),
        ("hres_star", hex(&keys::hres_star(&challenge.rand, &res_star))),
        ("k_ausf", hex(k_ausf.secret().bytes())),
        ("k_seaf", hex(k_seaf.secret().bytes())),
        ("k_amf", hex(k_amf.secret().bytes())),
    ])
}

fn eap_aka_prime(options: &mut Options) -> Result<Values, Wrong> {
    let challenge = Challenge { rand: [0; 16], autn: options.bytes("autn")? };
    let prime = PrimeKeys::new(&options.ck_and_ik()?, &options.text("network-name")?, &challenge)
        .map_err(|error| format!("--network-name: {error}"))?;
    let keys = prime.eap_keys(&options.text("identity")?);
    Ok(vec![
        ("ck_prime", hex(prime.ck())),
        ("ik_prime", hex(prime.ik())),
        ("k_encr", hex(keys.k_encr())),
        ("k_aut", hex(keys.k_aut())),
        ("k_re", hex(keys.k_re())),
        ("msk", hex(keys.msk())),
        ("emsk", hex(keys.emsk())),
    ])
}

fn suci_conceal(options: &mut Options) -> Result<Values, Wrong> {
    let identity = options.identity()?;
    let routing = if options.has("routing-indicator") {
        options.text("routing-indicator")?.parse().map_err(|_| "--routing-indicator: 1 to 4 digits")?
    } else {
        RoutingIndicator::default()
    };
    let group = match options.text("profile")?.as_str() {
        "null" => None,
        "a" => Some(Group::X25519),
        "b" => Some(Group::P256),
        other => return Err(format!("--profile: {other} is none of null, a and b")),
    };
    let suci = match group {
        None => {
            // Given or not, they make no difference.
            for unused in ["hn-key", "eph", "key-id"] {
                let _ = options.text(unused);
            }
            suci::null_scheme(&identity, routing)
        }
        Some(group) => {
            let key = options.any_bytes("hn-key")?;
            let home = HomeNetworkKey::new(options.number("key-id")?, group, &key)
                .map_err(|error| format!("--hn-key, --key-id: {error}"))?;
            let ephemeral = if options.has("eph") { options.secret("eph")? } else { random()? };
            let ephemeral = AgreementKey::new(group, ephemeral).map_err(|error| format!("--eph: {error}"))?;
            suci::conceal(&identity, routing, &home, ephemeral).map_err(|error| format!("--hn-key: {error}"))?
        }
    };
    Ok(vec![("suci", suci.to_string()), ("scheme_output", hex(suci.scheme_output()))])
}

fn suci_deconceal(options: &mut Options) -> Result<Values, Wrong> {
    let text = options.text("suci")?;
    let read = match (text.starts_with("suci-"), text.starts_with("type1.")) {
        (true, _) => text.parse::<Suci>(),
        (_, true) => Suci::from_nai(&text),
        _ => Suci::from_mobile_identity(&options.any_bytes("suci")?),
    };
    let suci = read.map_err(|error| format!("--suci: {error}"))?;
    let private = match suci.scheme() {
        Scheme::Null => {
            let _ = options.text("hn-private");
            None
        }
        Scheme::Ecies { group, .. } => Some(
            AgreementKey::new(group, options.secret("hn-private")?)
                .map_err(|error| format!("--hn-private: {error}"))?,
        ),
    };
    let identity = suci.deconceal(|_| private.as_ref().map(|key| key as &dyn Agreement));
    let supi = match identity.map_err(|error| format!("--suci, --hn-private: {error}"))? {
        Identity::Imsi(imsi) => imsi.supi().to_string(),
        Identity::Nai(nai) => format!("nai-{nai}"),
    };
    Ok(vec![("supi", supi)])
}

/// From the operating system: an ephemeral key is never used twice.
fn random() -> Result<Secret<32>, Wrong> {
    let mut secret = Secret::zeroed();
    let mut source =
        std::fs::File::open("/dev/urandom").map_err(|error| format!("/dev/urandom: {error}; give --eph"))?;
    source.read_exact(secret.bytes_mut()).map_err(|error| format!("/dev/urandom: {error}; give --eph"))?;
    Ok(secret)
}

// ----------------------------------------------------------------------------------------------------- what was typed

/// The options of a command, each taken out when it is read: what is left at the end was not meant for it.
struct Options(BTreeMap<String, (String, bool)>);

impl Options {
    fn read(arguments: &[String]) -> Result<Self, Wrong> {
        let mut options = BTreeMap::new();
        for pair in arguments.chunks(2) {
            let [name, rest @ ..] = pair else { continue };
            let name = name.strip_prefix("--").ok_or(format!("{name}: an option begins with --"))?;
            let [value] = rest else { return Err(format!("--{name}: a value is missing")) };
            if options.insert(name.to_string(), (value.clone(), false)).is_some() {
                return Err(format!("--{name} is given twice"));
            }
        }
        Ok(Self(options))
    }

    fn end(&self) -> Result<(), Wrong> {
        match self.0.iter().find(|(_, (_, used))| !used) {
            Some((name, _)) => Err(format!("--{name}: this command has no such option")),
            None => Ok(()),
        }
    }

    fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Which of two is there; not both, not none.
    fn either(&self, one: &'static str, other: &'static str) -> Result<&'static str, Wrong> {
        match (self.has(one), self.has(other)) {
            (true, false) => Ok(one),
            (false, true) => Ok(other),
            _ => Err(format!("give either --{one} or --{other}")),
        }
    }

    fn text(&mut self, name: &str) -> Result<String, Wrong> {
        let (text, used) = self.0.get_mut(name).ok_or(format!("--{name} is missing"))?;
        *used = true;
        Ok(text.clone())
    }

    fn any_bytes(&mut self, name: &str) -> Result<Vec<u8>, Wrong> {
        any_bytes(name, &self.text(name)?)
    }

    fn bytes<const N: usize>(&mut self, name: &str) -> Result<[u8; N], Wrong> {
        bytes(name, &self.text(name)?)
    }

    fn secret<const N: usize>(&mut self, name: &str) -> Result<Secret<N>, Wrong> {
        Secret::from_slice(&self.bytes::<N>(name)?).map_err(|error| format!("--{name}: {error}"))
    }

    fn number<T: std::str::FromStr>(&mut self, name: &str) -> Result<T, Wrong> {
        number(name, &self.text(name)?)
    }

    fn list(&mut self, name: &str) -> Result<Option<Vec<String>>, Wrong> {
        if !self.has(name) {
            return Ok(None);
        }
        Ok(Some(self.text(name)?.split(',').map(str::to_string).collect()))
    }

    /// K of 16 or 32 bytes.
    fn key(&mut self, name: &str) -> Result<Key, Wrong> {
        match self.any_bytes(name)?.len() {
            16 => Ok(Key::Short(self.secret(name)?)),
            32 => Ok(Key::Long(self.secret(name)?)),
            len => Err(format!("--{name}: {len} bytes, expected 16 or 32")),
        }
    }

    fn output(&mut self, name: &str, lengths: std::ops::RangeInclusive<usize>) -> Result<Output, Wrong> {
        let bytes = self.any_bytes(name)?;
        if !lengths.contains(&bytes.len()) {
            let (least, most) = (lengths.start(), lengths.end());
            return Err(format!("--{name}: {} bytes, expected {least} to {most}", bytes.len()));
        }
        Output::from_slice(&bytes).map_err(|error| format!("--{name}: {error}"))
    }

    /// An IMSI does not tell where its MNC ends: two digits, unless `--mnc-digits` says three.
    fn identity(&mut self) -> Result<Identity, Wrong> {
        let text = self.text("supi")?;
        if text.contains('@') {
            let nai = text.strip_prefix("nai-").unwrap_or(&text);
            return Ok(Identity::Nai(nai.parse().map_err(|error| format!("--supi: {error}"))?));
        }
        let mnc_digits = if self.has("mnc-digits") { self.number("mnc-digits")? } else { 2 };
        let digits = text.strip_prefix("imsi-").unwrap_or(&text);
        let supi: Supi = digits.parse().map_err(|error| format!("--supi: {error}; an IMSI has 5 to 15 digits"))?;
        let (mcc, rest) = digits.split_at(3);
        let mnc = rest.get(..mnc_digits).unwrap_or_default();
        let plmn = Plmn::new(mcc, mnc).map_err(|_| "--mnc-digits: 2 or 3, and --supi has as many behind the MCC")?;
        Ok(Identity::Imsi(Imsi::new(supi, plmn).map_err(|error| format!("--supi: {error}"))?))
    }

    fn ck_and_ik(&mut self) -> Result<Keys, Wrong> {
        let mut keys = Keys::default();
        keys.ck = self.output("ck", 16..=32)?;
        keys.ik = self.output("ik", 16..=32)?;
        Ok(keys)
    }

    fn inputs(&mut self) -> Result<([u8; 16], Sqn, aka::Amf), Wrong> {
        Ok((self.bytes("rand")?, Sqn::from_bytes(self.bytes("sqn")?), self.bytes("amf")?))
    }
}

enum Key {
    Short(Secret<16>),
    Long(Secret<32>),
}

impl Key {
    fn get(&self) -> SubscriberKey<'_> {
        match self {
            Self::Short(k) => k.into(),
            Self::Long(k) => k.into(),
        }
    }
}

fn any_bytes(name: &str, text: &str) -> Result<Vec<u8>, Wrong> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let digits = digits.ok_or(format!("--{name}: not hexadecimal"))?;
    let (pairs, rest) = digits.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(format!("--{name}: an odd number of hexadecimal digits"));
    }
    Ok(pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

fn bytes<const N: usize>(name: &str, text: &str) -> Result<[u8; N], Wrong> {
    let bytes = any_bytes(name, text)?;
    bytes.as_slice().try_into().map_err(|_| format!("--{name}: {} bytes, expected {N}", bytes.len()))
}

fn number<T: std::str::FromStr>(name: &str, text: &str) -> Result<T, Wrong> {
    text.parse().map_err(|_| format!("--{name}: {text} is not a number that fits here"))
}

/// The `N` parts of a list.
fn all<T, const N: usize>(
    name: &str,
    parts: &[String],
    read: fn(&str, &str) -> Result<T, Wrong>,
) -> Result<[T; N], Wrong> {
    let read: Vec<T> = parts.iter().map(|part| read(name, part)).collect::<Result<_, _>>()?;
    read.try_into()
        .map_err(|read: Vec<T>| format!("--{name}: {} values, expected {N}, with commas between", read.len()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
