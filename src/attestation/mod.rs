//! What state is the device in? Evidence out at the device, a verdict at the operator.
//!
//! ```text
//! device                                           operator
//! TH_3, CRED_I ─▶ binding ─▶ nonce                 TH_3, CRED_I ─▶ binding ─▶ nonce
//!                              │                                                │
//!        formats of EAD_2 ─▶ Attester ─▶ evidence ═▶ EAD_3 ═▶ Policy::appraise ◀┘
//!                                                             │
//!                              1 signature    Verifier ◀──────┤ instance id ─▶ Endorsements ─▶ key, device
//!                              2 nonce        Verifier        │
//!                              3 identity     device of the endorsement == device of the certificate
//!                              4 each claim   boot, debug, life cycle, versions, measurements, class
//!                                                             ▼
//!                                                  Verdict, kept with the subscription   or   Finding, told as a Code
//! ```
//!
//! Evidence is a signed token about the device: a PSA token (RFC 9783) or a plain EAT (RFC 9711), told apart by the
//! profile in it. Two tokens never mean the same session: the nonce in them is [`binding`], which hangs on TH_3 and so on
//! both ephemeral keys and on the operator's credential, and on CRED_I, the device's. Evidence that was made for another
//! session, another device or another operator has another nonce and is [`Finding::Nonce`].
//!
//! **One identity.** The key that signs evidence is not the key of the certificate, and its instance id is not the serial
//! number. What ties them together is the [`Endorsement`]: this instance id and this key are in *that* device, maker and
//! name. A voucher names the device by the same serial number. Evidence of one good device is no use to another.
//!
//! **A skipped check does not compile.** [`Claims`] come from a [`Verifier`], a [`Verdict`] from [`Policy::appraise`] only,
//! and a policy that is content without evidence has to be made as one: [`Policy::without_evidence`].
//!
//! Everything in evidence is a stranger's until its signature has been checked, and attacker-controlled even then if the
//! device has been taken over: at most [`MAX_EVIDENCE`] bytes, at most [`MAX_COMPONENTS`] components, texts short and
//! printable, no recursion. CBOR has to be in its shortest form, which is stricter than RFC 9783 §5.1.1 asks of a verifier.
//!
//! Not here: ES384 and longer, certified attestation keys (`x5chain` in the token), submodules of an EAT (refused, because
//! nobody would judge their state), CoRIM. A verification service of your own can stand in for [`TokenVerifier`].

mod claims;
mod endorsement;
mod policy;
mod software;
mod token;

use alloc::vec::Vec;

pub use self::{
    claims::{
        BootState, Claims, Component, DebugState, DeviceClass, Digest, ImplementationId, LifeCycle, MAX_COMPONENTS,
        MAX_LABEL, Measured, Model, Oem, Statement, Version, label,
    },
    endorsement::{Endorsement, Endorsements, KnownSoftware, MIN_HMAC_KEY, MemoryEndorsements, Reference},
    policy::{Appraised, Demands, MinimumVersion, Policy, Verdict},
    software::{EatReport, PsaReport, SoftwareAttester},
    token::TokenVerifier,
};
use crate::{
    crypto::{Crypto, Hash},
    error::{Backend, Code, Malformed},
    wire::wire_choice,
};

/// Longest evidence, in bytes. It travels in message_3, which is to stay within one EAP fragment of 1,020 bytes; the rest
/// of that message (a credential by reference, a signature, the request around the evidence) takes up to 120.
pub const MAX_EVIDENCE: usize = 900;

wire_choice! {
    /// A form of evidence, as `terms` asks for it in EAD_2. The numbers are this protocol's own.
    #[derive(PartialOrd, Ord)]
    pub enum Format {
        /// A PSA token (RFC 9783), COSE_Sign1 with ES256 or COSE_Mac0 with HMAC 256/256. Tokens of the older
        /// `PSA_IOT_PROFILE_1` count too, as RFC 9783 §4.6 recommends.
        Psa = 1,
        /// Any other EAT (RFC 9711), COSE_Sign1 with ES256 or COSE_Mac0 with HMAC 256/256, with or without the CWT tag.
        Eat = 2,
    }
}

/// The nonce that binds evidence to a session (32 bytes): SHA-256("RCP attest" ‖ TH_3 ‖ SHA-256(CRED_I)).
///
/// `cred_i` is CRED_I byte for byte as it enters the transcript (RFC 9528 §3.5.2). TH_3 covers message_1, message_2 and
/// CRED_R, so both sides' fresh keys and the operator's name are in it; CRED_I, which TH_3 does not cover yet, is added.
pub fn binding(th_3: &Hash, cred_i: &[u8], crypto: &dyn Crypto) -> Hash {
    crypto.sha256(&[b"RCP attest", th_3, &crypto.sha256(&[cred_i])])
}

/// The device's root of trust for reporting.
///
/// **What a wrong answer costs.** Evidence for another nonce than this one is refused by the operator, and nothing is lost
/// but the attempt. An attester that signs a nonce for *any* software that asks makes the evidence worth as much as that
/// software: it is the claims that count, so they have to be measured by something that the software cannot reach.
pub trait Attester {
    /// Evidence for `nonce` in the first of `formats` ([`Format::number`]) that this device has, or `None` if it has none
    /// of them. At most [`MAX_EVIDENCE`] bytes.
    ///
    /// # Errors
    /// [`Backend::KeyPending`] to be asked the same again later; otherwise what failed.
    fn evidence(&self, nonce: &Hash, formats: &[u64]) -> Result<Option<Vec<u8>>, Backend>;
}

/// The operator's judge of evidence: says whether it is genuine and what it states, and leaves it to the [`Policy`] what
/// to think of that.
///
/// **What a wrong answer costs.** Everything: whoever implements this answers for signature, nonce and the endorsed device.
/// [`TokenVerifier`] does it with keys from [`Endorsements`].
pub trait Verifier {
    /// What `evidence` states, if it is signed by an endorsed key and made for `nonce`, checked in this order.
    ///
    /// # Errors
    /// A [`Finding`].
    fn verify(&self, evidence: &[u8], nonce: &Hash, crypto: &dyn Crypto) -> Result<Claims, Finding>;
}

/// Why evidence was not accepted: one variant per failing claim. [`Finding::code`] is what the device is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Finding {
    /// The policy demands evidence and there is none.
    #[error("no evidence")]
    EvidenceMissing,
    /// The bytes are no token, or a claim is missing or not as its RFC has it.
    #[error("malformed evidence: {0}")]
    Malformed(#[from] Malformed),
    /// Nobody has endorsed this instance id.
    #[error("unknown instance id")]
    UnknownInstance,
    /// Not signed with the key that is endorsed for this instance id.
    #[error("wrong signature")]
    Signature,
    /// Made for another session, another device or another operator.
    #[error("wrong nonce")]
    Nonce,
    /// Endorsed for another device than the one that the certificate names.
    #[error("evidence of another device")]
    Identity,
    /// The token names another implementation id than the endorsement.
    #[error("evidence of another implementation")]
    Implementation,
    /// The token was made for something else than provisioning (`intuse`, RFC 9711 §4.3.3).
    #[error("evidence made for another use")]
    Use,
    /// A format that the policy does not accept.
    #[error("evidence format not accepted")]
    Format,
    /// Not shown to run authorised software only.
    #[error("boot state not accepted")]
    Boot,
    /// Debug facilities not shown to be as far off as demanded.
    #[error("debug state not accepted")]
    Debug,
    /// Another life cycle state than demanded, or none.
    #[error("life cycle not accepted")]
    LifeCycle,
    /// A component is missing, older than demanded, or tells no version that can be compared.
    #[error("software version not accepted")]
    SoftwareVersion,
    /// A component that is not among the reference values, or one of those is missing, or there are none.
    #[error("software measurement not accepted")]
    Measurement,
    /// Not of the demanded class, or not of the model that its implementation id stands for, or of a class nobody knows.
    #[error("device class not accepted")]
    DeviceClass,
    /// Asked for by software outside of the secure side (client id, RFC 9783 §4.1.2).
    #[error("evidence asked for by unsecure software")]
    Caller,
    /// The operator's own lookup failed; the device may try again.
    #[error("endorsements not available: {0}")]
    Backend(Backend),
}

impl Finding {
    /// What the device is told. An unknown instance id and a wrong signature are told alike, so that nobody learns from the
    /// answer which devices are endorsed.
    pub const fn code(&self) -> Code {
        match self {
            Self::EvidenceMissing => Code::EvidenceMissing,
            Self::Malformed(_) | Self::Use => Code::EvidenceNotAccepted,
            Self::UnknownInstance | Self::Signature => Code::EvidenceNotAuthentic,
            Self::Nonce => Code::EvidenceNotFresh,
            Self::Identity | Self::Implementation => Code::EvidenceIdentity,
            Self::Format => Code::EvidenceFormat,
            Self::Boot => Code::BootState,
            Self::Debug => Code::DebugState,
            Self::LifeCycle => Code::LifeCycle,
            Self::SoftwareVersion => Code::SoftwareVersion,
            Self::Measurement => Code::Measurement,
            Self::DeviceClass => Code::DeviceClass,
            Self::Caller => Code::EvidenceCaller,
            Self::Backend(_) => Code::TryLater,
        }
    }
}
