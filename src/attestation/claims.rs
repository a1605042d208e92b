//! What evidence of either format states, once it has been verified.

use core::{fmt, ops::Deref, str::FromStr};

use arrayvec::{ArrayString, ArrayVec};
use serde::{Deserialize, Serialize};

use super::Format;
use crate::{
    crypto::{HASH_LEN, Hash},
    error::Malformed,
    identity::{DeviceId, Ueid},
    wire::wire_choice,
};

/// Most software components in one token: more of them, at some 75 bytes each, do not fit into evidence anyway.
pub const MAX_COMPONENTS: usize = 8;

/// Longest text of a claim that is kept, in bytes.
pub const MAX_LABEL: usize = 32;

/// Names an implementation: the hardware and immutable root of trust that many devices share (RFC 9783 §4.2.2). 32 bytes.
pub type ImplementationId = [u8; 32];

/// A text as claims may have it: 1 to [`MAX_LABEL`] printable ASCII characters, so that a record of it shows what was
/// said and nothing else.
///
/// # Errors
/// [`Malformed::Text`], or [`Malformed::TooLong`].
pub fn label(text: &str) -> Result<ArrayString<MAX_LABEL>, Malformed> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
        return Err(Malformed::Text);
    }
    ArrayString::from(text).map_err(|_| Malformed::TooLong)
}

/// A measurement, or the hash of a signer's key: 32, 48 or 64 bytes (RFC 9783 §4).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Digest(ArrayVec<u8, 64>);

impl Digest {
    /// From its bytes.
    ///
    /// # Errors
    /// [`Malformed::WrongLength`] unless they are 32, 48 or 64.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        match bytes.len() {
            32 | 48 | 64 => ArrayVec::try_from(bytes).map(Self).map_err(|_| Malformed::WrongLength),
            _ => Err(Malformed::WrongLength),
        }
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<Hash> for Digest {
    fn from(hash: Hash) -> Self {
        Self(hash.into_iter().take(HASH_LEN).collect())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}

wire_choice! {
    /// How far off debug facilities are (`dbgstat`, RFC 9711 §4.2.9); each level includes those before it.
    ///
    /// A PSA token has no such claim; there it follows from the life cycle: [`LifeCycle::debug`].
    #[derive(PartialOrd, Ord)]
    pub enum DebugState {
        /// Some debug facility is on.
        Enabled = 0,
        /// All are off now.
        Disabled = 1,
        /// All are off, and have been since the device booted.
        DisabledSinceBoot = 2,
        /// All are off, and only the manufacturer can turn them on again.
        DisabledPermanently = 3,
        /// All are off for ever.
        DisabledFullyAndPermanently = 4,
    }
}

/// Whether the device runs only what it was meant to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BootState {
    /// All software was authorised when it booted (`oemboot`, RFC 9711 §4.2.8; or [`LifeCycle::boot`]).
    Authorised,
    /// It need not have been.
    Unauthorised,
}

/// State of the PSA root of trust (RFC 9783 §4.3.1): the major state; the minor one is the maker's own affair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LifeCycle {
    /// 0x0000 to 0x00ff: a state that must not occur.
    Unknown,
    /// 0x1000 to 0x10ff: still being made.
    AssemblyAndTest,
    /// 0x2000 to 0x20ff: its root of trust is being set up.
    RotProvisioning,
    /// 0x3000 to 0x30ff: in use.
    Secured,
    /// 0x4000 to 0x40ff: software outside of the root of trust is being debugged.
    NonRotDebug,
    /// 0x5000 to 0x50ff: the root of trust is being debugged, and can come back from that.
    RecoverableRotDebug,
    /// 0x6000 to 0x60ff: out of service.
    Decommissioned,
}

impl LifeCycle {
    /// The state that the claim has this number for.
    pub const fn from_number(number: u64) -> Option<Self> {
        Some(match number >> 8 {
            0x00 => Self::Unknown,
            0x10 => Self::AssemblyAndTest,
            0x20 => Self::RotProvisioning,
            0x30 => Self::Secured,
            0x40 => Self::NonRotDebug,
            0x50 => Self::RecoverableRotDebug,
            0x60 => Self::Decommissioned,
            _ => return None,
        })
    }

    /// The debug state that goes with it: off in the secured state, and in no other can it be told to be.
    pub const fn debug(self) -> DebugState {
        match self {
            Self::Secured => DebugState::Disabled,
            _ => DebugState::Enabled,
        }
    }

    /// The boot state that goes with it: the two states in which reports of the root of trust can be believed (RFC 9783
    /// §4.3.1) are those in which it has checked what it booted.
    pub const fn boot(self) -> BootState {
        match self {
            Self::Secured | Self::NonRotDebug => BootState::Authorised,
            _ => BootState::Unauthorised,
        }
    }
}

impl fmt::Display for LifeCycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "unknown",
            Self::AssemblyAndTest => "assembly and test",
            Self::RotProvisioning => "root of trust provisioning",
            Self::Secured => "secured",
            Self::NonRotDebug => "debug outside of the root of trust",
            Self::RecoverableRotDebug => "debug of the root of trust",
            Self::Decommissioned => "decommissioned",
        })
    }
}

/// What a subscription may be for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceClass {
    /// A device for the Internet of things: a meter, a sensor, a tracker.
    Iot,
    /// Anything else: a handset, a modem for a computer.
    Other,
}

/// Who made the hardware (`oemid`, RFC 9711 §4.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Oem {
    /// An IANA private enterprise number.
    Pen(u64),
    /// An IEEE company identifier.
    Ieee([u8; 3]),
    /// A number that the maker drew once.
    Random([u8; 16]),
}

/// Which product of its maker it is (`hwmodel`, RFC 9711 §4.2.4): 1 to 32 bytes.
pub type Model = ArrayVec<u8, 32>;

/// One piece of software that the device has booted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Component {
    /// What it is: the measurement type of a PSA token (`BL`, `PRoT`, `ARoT`, `App`, …), the `swname` of an EAT, or the
    /// number of the content format of one of its `measurements`.
    pub kind: Option<ArrayString<MAX_LABEL>>,
    /// Its version, as its maker writes it.
    pub version: Option<ArrayString<MAX_LABEL>>,
    /// Its measurement. Of an entry in an EAT's `measurements`, SHA-256 over its body.
    pub measurement: Option<Digest>,
    /// Who signed it.
    pub signer: Option<Digest>,
}

/// How the components compare with the reference values of the implementation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Measured {
    /// Each is among the references, and none is missing.
    Match,
    /// One is not, or one is missing, or the device itself reports a failed comparison (`measres`).
    Differ,
    /// There are no reference values.
    NoReference,
}

/// What evidence states, whatever its format was. What it does not state is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The format that it came in.
    pub format: Format,
    /// The instance id of the attestation key.
    pub instance: Ueid,
    /// The device that this key is in, by its endorsement.
    pub device: DeviceId,
    /// The implementation that it is of, by its endorsement and, if it says so itself, by the evidence.
    pub implementation: ImplementationId,
    /// Whether it runs authorised software only.
    pub boot: Option<BootState>,
    /// How far off its debug facilities are.
    pub debug: Option<DebugState>,
    /// The state of its root of trust.
    pub life_cycle: Option<LifeCycle>,
    /// Who asked for the token (client id, RFC 9783 §4.1.2): above zero on the secure side, below on the other.
    pub caller: Option<i32>,
    /// Its software.
    pub components: ArrayVec<Component, MAX_COMPONENTS>,
    /// How that compares with the reference values.
    pub measured: Measured,
    /// Its class, by the reference values. `None` without them, or if the evidence names another model.
    pub class: Option<DeviceClass>,
    /// The maker of its hardware.
    pub oem: Option<Oem>,
    /// The model of its hardware.
    pub model: Option<Model>,
    /// The certificate of its kind (RFC 9783 §4.2.3).
    pub certification: Option<ArrayString<MAX_LABEL>>,
    /// Differs between boots: 8 to 32 bytes in a PSA token, up to 64 in an EAT.
    pub boot_seed: Option<ArrayVec<u8, 64>>,
    /// How often it has booted.
    pub boot_count: Option<u64>,
}

/// A [`Statement`] that a [`Verifier`](super::Verifier) has checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims(Statement);

impl Claims {
    /// **For a [`Verifier`](super::Verifier) of your own**: whoever calls this answers for it that the evidence is signed by a key that
    /// is in `statement.device`, that it was made for the nonce asked for, and that it states this. Search a program for
    /// this name to find all that it believes without [`TokenVerifier`](super::TokenVerifier).
    pub const fn assertion(statement: Statement) -> Self {
        Self(statement)
    }
}

impl Deref for Claims {
    type Target = Statement;

    fn deref(&self) -> &Statement {
        &self.0
    }
}

/// A version that can be compared: 1 to 8 decimal numbers below 2^32.
///
/// ```text
/// version = [ "v" ] number *( "." number ) [ "+" number ]          1.2.10   v3.0   2.1.0+17
/// ```
///
/// Numbers are compared from the left, as numbers: 1.2.10 is above 1.2.9. Missing ones are 0: 1.2 is 1.2.0. What follows
/// the plus, as the images of many boot loaders have it, counts last, after all places before it: 1.2+9 is below 1.2.1.
/// Anything else (`1.2-rc1`, a date with hyphens, a name) does not parse: it cannot be said to be above or below, so where
/// a minimum is demanded it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    numbers: [u32; Self::PLACES],
    build: u32,
}

impl Version {
    /// Most numbers before the plus.
    const PLACES: usize = 7;
}

impl FromStr for Version {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            if digits { text.parse().map_err(|_| Malformed::OutOfRange) } else { Err(Malformed::Text) }
        };
        let text = text.strip_prefix('v').unwrap_or(text);
        let (text, build) = match text.split_once('+') {
            Some((text, build)) => (text, number(build)?),
            None => (text, 0),
        };
        let mut numbers = [0; Self::PLACES];
        let mut places = numbers.iter_mut();
        for part in text.split('.') {
            *places.next().ok_or(Malformed::TooLong)? = number(part)?;
        }
        Ok(Self { numbers, build })
    }
}
