//! Every error that a public call can give: met in some run, or listed with the reason why no run can. A new variant does not
//! compile before it is in a list, and a new type of errors is found in the sources.

use std::{collections::BTreeSet, fs, path::Path, sync::Mutex};

use remote_provisioning::error::{
    Backend, Code, Error, Fragment, Malformed, Misbehaved, Misuse, Refused, Relay, Untrusted, Voucher,
};
use remote_provisioning_memory::heap;

static MET: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());

/// A run has met this one.
pub(crate) fn met(error: &Error) {
    heap::unwatched(|| MET.lock().unwrap().insert(error.name()));
}

/// The same for one that a call gives without its class.
pub(crate) fn met_as(error: impl Into<Error>) {
    met(&error.into());
}

/// What there is of a type of errors.
trait Listed {
    fn name(&self) -> &'static str;

    /// Those that runs have to meet, and those that they cannot, each with the reason.
    fn all() -> (Vec<&'static str>, Vec<(&'static str, &'static str)>);
}

macro_rules! listed {
    ($type:ident { $($met:ident),* $(,)? } $(of { $($outer:ident($inner:ty)),+ })? $(never { $($never:ident: $why:literal),+ $(,)? })?) => {
        impl Listed for $type {
            fn name(&self) -> &'static str {
                match self {
                    $(Self::$met { .. } => concat!(stringify!($type), "::", stringify!($met)),)*
                    $($(Self::$outer(inner) => inner.name(),)+)?
                    $($(Self::$never { .. } => concat!(stringify!($type), "::", stringify!($never)),)+)?
                }
            }

            fn all() -> (Vec<&'static str>, Vec<(&'static str, &'static str)>) {
                #[allow(unused_mut, reason = "a type without inner ones")]
                let mut all = (vec![$(concat!(stringify!($type), "::", stringify!($met))),*], Vec::new());
                $($(
                    let (met, never) = <$inner>::all();
                    all.0.extend(met);
                    all.1.extend(never);
                )+)?
                $(all.1.extend([$((concat!(stringify!($type), "::", stringify!($never)), $why)),+]);)?
                all
            }
        }
    };
}

listed! {
    Error { Unanswered }
    of {
        Malformed(Malformed), Misbehaved(Misbehaved), Untrusted(Untrusted), Refused(Refused), Declined(Code),
        Misuse(Misuse), Backend(Backend)
    }
}

listed! {
    Malformed {
        Truncated, TrailingBytes, NotShortest, Indefinite, Syntax, Forbidden, WrongType, OutOfRange, WrongLength, TooLong,
        TooDeep, KeyOrder, MissingKey, UnknownCriticalKey, Text,
    }
}

listed! {
    Misbehaved {
        UnexpectedMessage, UnsupportedMethod, WrongSuite, InvalidPoint, Reflection, OwnCredential, SameConnectionId,
        CriticalEad, MissingEad, WrongRelay, WrongDomain, WrongTransaction, WrongOffer, WrongReceipt,
    }
    of { Fragment(Fragment) }
    never {
        Replayed: "a session has two records each way: one that comes again while the next is waited for is known by its \
            hash, and answered; a unit test of provisioning::record makes more",
    }
}

// They come of `framing`, which puts together what is on the wire, and holds no secret.
listed! {
    Fragment {}
    never {
        Overlap: "framing holds no secret", Gap: "framing holds no secret", Total: "framing holds no secret",
        End: "framing holds no secret", Short: "framing holds no secret", Interleaved: "framing holds no secret",
        Stale: "framing holds no secret",
    }
}

listed! {
    Untrusted {
        Authentication, UnknownCredential, NoAnchor, Expired, NotYetValid, WrongUsage, BadCertificate, WrongCurve,
        DuplicateExtension, CriticalExtension, NotCa, PathLength, SelfSigned, WrongIssuerKey, WrongDomain, Revoked,
        RevocationStale, TokenExpired, TokenUsed, WrongCredential, CertificateTooLong, ChainTooLong, BadRevocationList,
    }
    of { Voucher(Voucher), Relay(Relay) }
}

listed! {
    Voucher { Missing, Signer, OtherDevice, OtherDomain, OtherOwner, Stale, Forked, Broken, TooLong, Expired }
}

listed! {
    Relay { Token, OtherRelay, Expired, Scope, Quota }
}

listed! {
    Refused { Aborted, Edhoc, WrongSuite }
    of { Code(Code) }
}

listed! {
    Code {
        TryLater, PoolEmpty, NoCommonAlgorithm, WrongOperation, EvidenceMissing, GrantMissing, DeviceNotAccepted,
        EvidenceNotAccepted, NotEntitled, Suspended, Revoked, BootState, DebugState, LifeCycle, SoftwareVersion, Measurement,
        DeviceClass, EvidenceIdentity, EvidenceNotFresh, EvidenceNotAuthentic, EvidenceFormat, EvidenceCaller,
        GrantNotAuthentic, GrantOtherDevice, GrantExpired, GrantScope, GrantUsed, RelayScope, Conflict, Quarantined,
    }
}

listed! {
    Misuse { NotNow, Parameter }
}

listed! {
    Backend { Random, Key, KeyPending, Store, Usim, Crypto }
}

/// Types of errors that are not in [`Error`], and why no secret is where they come from.
const OTHERS: [(&str, &str); 10] = [
    ("attestation/mod.rs", "Finding: judges evidence, which is on the wire under the session's keys, by public ones"),
    ("authority/association.rs", "Fault: judges signed deeds"),
    ("authority/grant.rs", "Fault: judges signed tokens"),
    ("authority/takeover.rs", "Fault: judges signed claims and vetoes"),
    ("crypto/check.rs", "Broken: a check of a backend with published values"),
    ("provisioning/account.rs", "Conflict: holds an entry of the log against others"),
    ("provisioning/receipt.rs", "Fault: judges signed receipts"),
    ("provisioning/watch.rs", "Alarm: says what is wrong with a device"),
    ("provisioning/watch.rs", "Refusal: counts what a device says of itself"),
    ("sim/fleet/mod.rs", "Violation: what a simulation has found"),
];

/// Whether all have been met that have to be, and nothing else; how many.
pub(crate) fn complete() -> Result<usize, String> {
    let (must, never) = Error::all();
    let met = MET.lock().unwrap();
    let missing: Vec<_> = must.iter().filter(|name| !met.contains(*name)).collect();
    let after_all: Vec<_> = never.iter().filter(|(name, _)| met.contains(name)).collect();
    if !missing.is_empty() || !after_all.is_empty() {
        return Err(format!("not met: {missing:?}; met, and said never to be: {after_all:?}"));
    }
    let mut found = Vec::new();
    types(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../src"), "", &mut found);
    let mut listed: Vec<_> = OTHERS.iter().map(|(file, what)| (*file, what.split(':').next().unwrap())).collect();
    listed.sort_unstable();
    found.retain(|(file, _)| file != "error/mod.rs");
    found.sort();
    let found: Vec<_> = found.iter().map(|(file, name)| (file.as_str(), name.as_str())).collect();
    if found != listed {
        return Err(format!("types of errors in the sources: {found:?}; listed: {listed:?}"));
    }
    Ok(must.len())
}

/// The types in this folder that are errors.
fn types(folder: &Path, prefix: &str, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type().unwrap().is_dir() {
            types(&entry.path(), &format!("{name}/"), found);
        } else if name.ends_with(".rs") {
            let text = fs::read_to_string(entry.path()).unwrap();
            for rest in text.split("thiserror::Error").skip(1).filter(|rest| rest.starts_with([',', ')'])) {
                let rest = rest.split_once("pub enum ").into_iter().chain(rest.split_once("pub struct "));
                let first = rest.min_by_key(|(before, _)| before.len());
                let type_name = first.unwrap().1.split(|c: char| !c.is_alphanumeric()).next().unwrap();
                found.push((name.clone(), type_name.to_owned()));
            }
        }
    }
}
