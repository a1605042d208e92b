//! What to hand to a core network that is not yours: the statements and documents that carry out the operator machine's
//! questions in osmo-hlr, Open5GS and free5GC. Data only: you run them, over your driver.
//!
//! ```text
//! Action::Ask(question) ─▶ Core::steps ─▶ [ step, step, … ] ─▶ your driver ─▶ what the reading step read ─▶ [ Entry ]
//!                                                                                                              │
//! Operator::answer ◀─────────────────────────── answer(question, entries) ◀────────────────────────────────────┘
//! ```
//!
//! Run the steps in their order and stop at the first that fails; answer when the last one is durable. Each is harmless if
//! it runs twice, and a list that broke off anywhere is repeated from its beginning.
//!
//! | question | steps | then the core |
//! |---|---|---|
//! | [`PutIntoCore`](Question::PutIntoCore) | barred shell, **K with OPc and SQN if the epoch is higher**, open it unless barred, read | has this K: yes; another: `Conflict` |
//! | [`ReadCore`](Question::ReadCore) | withdraw the epoch if the core's is lower, read | tells the fingerprint of its K |
//! | [`BarInCore`](Question::BarInCore) | bar up to this epoch, read | lets nobody in under this SUPI, and keeps all it has |
//! | [`AdmitToCore`](Question::AdmitToCore) | lift a bar up to this epoch, open it, read | lets it in |
//! | [`RemoveFromCore`](Question::RemoveFromCore) | bar, delete K, withdraw the epoch, delete the rest, read | has nothing, and takes none of it again |
//! | [`Recover`](Question::Recover) | read by device and epoch | tells the SUPI and the fingerprint |
//! | none: [`Core::look`] | read | tells [`Entry::core_epoch`], for a [`Reservation`](crate::provisioning::question::Reservation) |
//! | none: [`Core::serve`] | write the service profile | has K and SQN as before |
//!
//! **Where the epoch lives.** Beside K, so that no write of K can be without it: in osmo-hlr in a table of its own in the
//! same database, written in the same transaction; in MongoDB in the field `provisioning` of the same document, written by
//! the same update. There are four numbers and a name: `epoch` of what is there (0: nothing), `barred` and `withdrawn` up to
//! which epoch, `device`. A write of K names the epoch that it needs to find (**compare and set**), so one that comes late,
//! twice or from a slow server changes nothing. The row or document outlives the subscription: that is what refuses a write
//! that comes after a removal.
//!
//! **SQN.** K, OPc and SQN are one value and written by one step; no other step touches SQN. The number given is the last one
//! used, or the next to use, whichever the core keeps; they all count IND in 5 bits, as
//! [`sqn::Profile::default`](crate::aka::sqn::Profile) does. A core that makes a vector in the very moment of a re-key may
//! write the old K's SQN beside the new K. It is above all that the device has seen under the new one, and nearer than Δ, so
//! the device takes it (TS 33.102 §C.2).
//!
//! **No injection.** SQL has only placeholders; what stands in documents is digits ([`Supi`]), hexadecimal digits, or escaped.
//! **Secrets.** Documents and parameters with K are [`SecretText`]: wiped on drop, and silent in `Debug`. What your driver
//! copies is yours to guard. **Algorithms.** These cores keep K and OPc of Milenage; each of them decides by an exhaustive
//! `match` on [`Algorithm`], so a set that a core cannot hold is refused with [`Code::NoCommonAlgorithm`].

pub mod free5gc;
mod json;
mod mongo;
pub mod open5gs;
pub mod osmo_hlr;
pub mod srsran;

use alloc::{string::String, vec::Vec};
use core::fmt;

use zeroize::Zeroizing;

use crate::{
    aka::{Ind, Sqn, sqn::Profile},
    credential::{Algorithm, fingerprint},
    crypto::{Crypto, Hash, Secret, equal},
    error::{Backend, Code},
    identity::Supi,
    provisioning::{
        Answer, Question,
        question::{CoreCredential, UpTo},
        receipt::supi_hash,
    },
};

/// A core network, as far as it can be told what to do in statements or documents.
pub trait Core {
    /// One of them.
    type Step;

    /// What to do for this question, in this order. `None`: it is not about the core network.
    ///
    /// # Errors
    /// What to [`answer`] instead: [`Code::NoCommonAlgorithm`] for a credential that this core cannot hold;
    /// [`Code::Conflict`] for a SUPI or an SQN that it cannot.
    fn steps(&self, question: &Question) -> Option<Result<Vec<Self::Step>, Code>>;

    /// Reads what there is under this SUPI and changes nothing.
    fn look(&self, supi: &Supi) -> Vec<Self::Step>;

    /// Writes the service profile of what is there up to this epoch. Touches neither K, OPc, SQN nor a bar.
    fn serve(&self, what: &UpTo) -> Vec<Self::Step>;
}

/// What a reading step read under a SUPI.
#[derive(Debug)]
pub struct Entry {
    supi: Supi,
    epoch: u32,
    withdrawn: u32,
    k: Option<Secret<16>>,
}

impl Entry {
    /// From the columns or fields that the reading step names: the digits of the SUPI, the two epochs, and K in 32 hexadecimal
    /// digits, if there is one. Wipe your copy of K.
    ///
    /// # Errors
    /// [`Backend::Store`] if it is not that: somebody else wrote into the core.
    pub fn new(supi: &str, epoch: u32, withdrawn: u32, k: Option<&str>) -> Result<Self, Backend> {
        let supi = supi.parse().map_err(|_| Backend::Store)?;
        Ok(Self { supi, epoch, withdrawn, k: k.map(unhex).transpose()? })
    }

    /// The highest epoch that the core has or must not take any more, 0 for none: the `core_epoch` of a
    /// [`Reservation`](crate::provisioning::question::Reservation).
    pub fn core_epoch(&self) -> u32 {
        self.epoch.max(self.withdrawn)
    }

    fn fingerprint(&self, crypto: &dyn Crypto) -> Option<Hash> {
        self.k.as_ref().map(|k| fingerprint(k, crypto))
    }
}

/// The answer to a question whose steps were run: `read` is what the reading step read, or why the steps could not be run
/// ([`Code::TryLater`] for a database that is down). `None`: the question is not about the core network.
pub fn answer(question: &Question, read: Result<&[Entry], Code>, crypto: &dyn Crypto) -> Option<Answer> {
    let entry = || read.map(<[Entry]>::first);
    Some(match question {
        Question::PutIntoCore(credential) => Answer::CoreReady(entry().and_then(|entry| has(entry, credential))),
        Question::ReadCore(_) => {
            Answer::CoreHolds(entry().map(|entry| entry.and_then(|entry| entry.fingerprint(crypto))))
        }
        Question::BarInCore(_) | Question::AdmitToCore(_) | Question::RemoveFromCore(_) => {
            Answer::CoreReady(read.map(|_| ()))
        }
        Question::Recover(lost) => Answer::Recovered(read.map(|entries| {
            let found = entries.iter().find(|entry| supi_hash(&lost.txn, &entry.supi, crypto) == lost.supi_hash)?;
            Some((found.supi, found.fingerprint(crypto)?))
        })),
        Question::Find(_)
        | Question::Appraise(_)
        | Question::Reserve(_)
        | Question::ComputeOpc { .. }
        | Question::Log(_) => return None,
    })
}

/// The same K in the same epoch; anything else stays as it is.
fn has(entry: Option<&Entry>, credential: &CoreCredential) -> Result<(), Code> {
    let k = credential.secrets.k.bytes();
    let same =
        |entry: &Entry| entry.epoch == credential.epoch && entry.k.as_ref().is_some_and(|held| equal(held.bytes(), k));
    if entry.is_some_and(same) { Ok(()) } else { Err(Code::Conflict) }
}

/// Text that has K in it, or may: wiped on drop. It cannot be printed or compared by accident.
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// Most bytes that any statement or document of this module has: none grows above it, so none leaves a copy behind.
    pub const MAX_LEN: usize = 4096;

    fn new() -> Self {
        Self::with_room(Self::MAX_LEN)
    }

    /// For up to this many bytes.
    fn with_room(len: usize) -> Self {
        Self(Zeroizing::new(String::with_capacity(len)))
    }

    fn hex(bytes: &[u8]) -> Self {
        let mut text = Self::new();
        push_hex(&mut text.0, bytes);
        text
    }

    /// The text. Do not copy it around.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(..)")
    }
}

/// Hexadecimal digits, in a time that does not depend on them: K is among them.
fn push_hex(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        let mut digits = [0; 2];
        // Cannot fail: there is room for both.
        text.push_str(base16ct::lower::encode_str(&[*byte], &mut digits).unwrap_or_default());
    }
}

/// K as any of these cores keeps it, in digits of either case.
fn unhex(digits: &str) -> Result<Secret<16>, Backend> {
    let mut k = Secret::zeroed();
    match base16ct::mixed::decode(digits, k.bytes_mut()) {
        Ok(bytes) if bytes.len() == 16 => Ok(k),
        _ => Err(Backend::Store),
    }
}

/// An SQN as a number.
fn number(sqn: Sqn) -> u64 {
    sqn.to_bytes().into_iter().fold(0, |number, byte| number << 8 | u64::from(byte))
}

/// For cores that keep the number to use next, not the last one used.
fn next(sqn: Sqn) -> Result<Sqn, Code> {
    Profile::default().next(sqn, Ind::default(), 0).map_err(|_| Code::Conflict)
}

/// For cores that keep K and OPc of 16 bytes, and run Milenage on them.
fn milenage_only(algorithm: Algorithm) -> Result<(), Code> {
    match algorithm {
        Algorithm::Milenage => Ok(()),
    }
}
