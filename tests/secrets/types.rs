//! Which types hold secrets, and that none of them can be printed, serialised, compared or hashed.

use std::{collections::BTreeSet, fs, path::Path};

use remote_provisioning::{
    aka, attestation::Attester, cores, credential, crypto, edhoc, provisioning, sim, store, trust,
};

/// Does not compile if the type has one of these traits: then the name can be read in two ways, and the compiler does not say
/// which. Gives the names of the types.
macro_rules! never {
    ($($type:ty),+ $(,)?) => {{
        $({
            trait Ambiguous<A> {
                fn is_not() {}
            }
            impl<T: ?Sized> Ambiguous<()> for T {}
            struct Printed;
            impl<T: ?Sized + core::fmt::Display> Ambiguous<Printed> for T {}
            struct Compared;
            impl<T: ?Sized + PartialEq> Ambiguous<Compared> for T {}
            struct Written;
            impl<T: ?Sized + serde::Serialize> Ambiguous<Written> for T {}
            struct Hashed;
            impl<T: ?Sized + core::hash::Hash> Ambiguous<Hashed> for T {}
            <$type as Ambiguous<_>>::is_not();
        })+
        [$(stringify!($type)),+]
    }};
}

/// Every public type that holds a secret itself, and the machines that hold those.
fn secret_types() -> BTreeSet<String> {
    let names = never![
        crypto::Secret<16>,
        crypto::SecretBytes,
        crypto::EphemeralKey,
        crypto::Hedged<'_>,
        crypto::rustcrypto::AgreementKey,
        aka::Output,
        aka::Keys,
        aka::Vector,
        aka::Answer,
        aka::Milenage,
        aka::Milenage256,
        aka::Tuak,
        aka::Card<aka::Milenage>,
        aka::Subscriber<aka::Milenage>,
        aka::keys::KAusf,
        aka::keys::KSeaf,
        aka::keys::KAmf,
        aka::keys::KGnb,
        aka::eap::PrimeKeys,
        aka::eap::EapKeys,
        aka::eap::ReauthKeys,
        aka::suci::EciesKeys,
        cores::Entry,
        cores::SecretText,
        cores::osmo_hlr::Value,
        cores::osmo_hlr::Statement,
        credential::Installed,
        credential::Secrets,
        credential::StorageKey,
        edhoc::initiator::AwaitMessage2,
        edhoc::initiator::Message2Accepted,
        edhoc::initiator::AwaitMessage4,
        edhoc::responder::Message1,
        edhoc::responder::AwaitMessage3,
        edhoc::responder::Message3Accepted,
        edhoc::Session,
        edhoc::Oscore,
        edhoc::eap::EapKeys,
        provisioning::Device,
        provisioning::Operator,
        provisioning::Question,
        provisioning::Answer,
        provisioning::question::CoreCredential,
        sim::World,
        sim::home::Home,
        sim::maker::Attestation,
        store::memory::MemoryKeyStore,
        store::memory::MemoryStore,
        trust::concealed::VoucherSecret,
    ];
    let last = |name: &str| name.split('<').next().unwrap().rsplit("::").next().unwrap().trim().to_owned();
    names.into_iter().map(last).collect()
}

/// What a type holds that holds a secret. The backend over AWS-LC has the same types under the same names.
const HELD: [&str; 12] = [
    "Secret<",
    "SecretBytes",
    "SecretText",
    "Zeroizing<",
    "SigningKey",
    "PrivateKey",
    "StorageKey",
    "Secrets",
    "Output",
    "Keys",
    "EphemeralKey",
    "SessionKeys",
];

/// Public types of a source file that hold one of these by value: their names.
fn holding(source: &str) -> Vec<String> {
    let code: String =
        source.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let mut found = Vec::new();
    for keyword in ["\npub struct ", "\npub enum "] {
        for (at, _) in code.match_indices(keyword) {
            let rest = &code[at + keyword.len()..];
            let name: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
            let end = rest.find("\n}").into_iter().chain(rest.find(";\n")).min().unwrap_or(rest.len());
            let body = &rest[name.len()..end];
            let held = |word: &str| {
                body.match_indices(word).any(|(at, _)| {
                    let before = &body[..at];
                    let lifetime = |c: char| c.is_alphanumeric() || c == '\'';
                    let whole = !before.ends_with(char::is_alphanumeric);
                    whole && !before.trim_end().trim_end_matches(lifetime).ends_with('&')
                })
            };
            if HELD.iter().any(|word| held(word)) {
                found.push(name);
            }
        }
    }
    found
}

fn sources(folder: &Path, out: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            out.push(fs::read_to_string(path).unwrap());
        }
    }
}

/// The list above has every one of them.
#[test]
fn no_secret_type_is_printed_serialised_or_compared() {
    let listed = secret_types();
    let mut all = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut all);
    let held: BTreeSet<_> = all.iter().flat_map(|source| holding(source)).collect();
    let missing: Vec<_> = held.difference(&listed).filter(|name| *name != "AwsLcKeyStore").collect();
    assert!(missing.is_empty(), "not in the list of this test: {missing:?}");
    assert!(held.len() > 25, "{held:?}");
    assert_eq!(holding("\npub struct A<'a> {\n    k: &'a Secret<16>,\n}\npub struct B(Secret<16>);\n"), ["B"]);
}

/// One function compares: no other place of the sources uses `subtle`.
#[test]
fn all_compares_go_through_one_function() {
    let mut all = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut all);
    let uses: usize = all.iter().map(|source| source.matches("ct_eq(").count()).sum();
    assert_eq!(uses, 1, "crypto::equal");
}

/// `Debug` of all that a run has, in `tests/secrets/outputs.rs`; here that it says no more than a name.
#[test]
fn debug_is_silent() {
    let secret = crypto::Secret::<16>::from_slice(&[0xab; 16]).unwrap();
    let bytes = crypto::SecretBytes::new(vec![0xab; 16]);
    let attestation = sim::maker::Attestation::new(&sim::maker::device_name().unwrap()).unwrap();
    let _: &dyn Attester = &attestation;
    assert_eq!(format!("{secret:?} {bytes:?}"), "Secret<16>(..) SecretBytes(..)");
}
