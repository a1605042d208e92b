//! Why an operator says no, in numbers that a device can act on.

use core::fmt;

/// Reasons for a refusal. The hundreds are the [`Class`]: whose move it is.
///
/// | code | name | meaning | whose move |
/// |---|---|---|---|
/// | 100 | [`TryLater`](Self::TryLater) | the operator is busy or its back end is down | the device |
/// | 101 | [`PoolEmpty`](Self::PoolEmpty) | no subscription is free at the moment | the device |
/// | 200 | [`NoCommonAlgorithm`](Self::NoCommonAlgorithm) | the request names no algorithm that the operator runs | the device's maker |
/// | 201 | [`WrongOperation`](Self::WrongOperation) | the operation does not fit what the device has | the device's maker |
/// | 202 | [`EvidenceMissing`](Self::EvidenceMissing) | evidence is required and missing | the device's maker |
/// | 203 | [`GrantMissing`](Self::GrantMissing) | the operator asks for a grant of the owner or a user, and the request has none | the device's maker |
/// | 300 | [`DeviceNotAccepted`](Self::DeviceNotAccepted) | the operator does not know or does not want this device | the device's owner |
/// | 301 | [`EvidenceNotAccepted`](Self::EvidenceNotAccepted) | the evidence shows a state that the operator does not accept | the device's owner |
/// | 302 | [`NotEntitled`](Self::NotEntitled) | the operator has no voucher that makes it the owner of this device | the device's owner |
/// | 303 | [`Suspended`](Self::Suspended) | the subscription is suspended; what the device has stays | the device's owner |
/// | 304 | [`Revoked`](Self::Revoked) | the subscription is revoked or retired, and the device has signed that it is gone | the device's owner |
/// | 310 | [`BootState`](Self::BootState) | the evidence does not say that the device booted authorised software only | the device's owner |
/// | 311 | [`DebugState`](Self::DebugState) | the evidence does not say that the device's debug facilities are as far off as demanded | the device's owner |
/// | 312 | [`LifeCycle`](Self::LifeCycle) | the evidence shows another life cycle state than demanded, or none | the device's owner |
/// | 313 | [`SoftwareVersion`](Self::SoftwareVersion) | the evidence shows software older than demanded, or does not tell its version | the device's owner |
/// | 314 | [`Measurement`](Self::Measurement) | the evidence shows software that is not among the reference values | the device's owner |
/// | 315 | [`DeviceClass`](Self::DeviceClass) | the device is not of the class that the subscription is for | the device's owner |
/// | 316 | [`EvidenceIdentity`](Self::EvidenceIdentity) | the evidence is about another device than the certificate | the device's owner |
/// | 317 | [`EvidenceNotFresh`](Self::EvidenceNotFresh) | the evidence was made for another session, another device or another operator | the device's owner |
/// | 318 | [`EvidenceNotAuthentic`](Self::EvidenceNotAuthentic) | the evidence is not signed by a key that is endorsed for its instance id | the device's owner |
/// | 319 | [`EvidenceFormat`](Self::EvidenceFormat) | the evidence has a format that the operator did not ask for | the device's owner |
/// | 320 | [`EvidenceCaller`](Self::EvidenceCaller) | the evidence was asked for by software outside of the device's secure side | the device's owner |
/// | 330 | [`GrantNotAuthentic`](Self::GrantNotAuthentic) | the grant is not signed by anybody who may grant | the device's owner |
/// | 331 | [`GrantOtherDevice`](Self::GrantOtherDevice) | the grant is for another device or another operator | the device's owner |
/// | 332 | [`GrantExpired`](Self::GrantExpired) | the grant is not valid yet, or not any more | the device's owner |
/// | 333 | [`GrantScope`](Self::GrantScope) | the grant asks for more than the operator gives | the device's owner |
/// | 334 | [`GrantUsed`](Self::GrantUsed) | the grant was used before | the device's owner |
/// | 340 | [`RelayScope`](Self::RelayScope) | the relay in between may not forward this operation | the device's owner |
/// | 400 | [`Conflict`](Self::Conflict) | device and operator disagree about what happened | the operator's staff |
/// | 401 | [`Quarantined`](Self::Quarantined) | another device has this one's identity, or this one's memory was set back | the operator's staff |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Code {
    /// RETRY: the operator is busy or its back end is down.
    TryLater = 100,
    /// RETRY: no subscription is free at the moment.
    PoolEmpty = 101,
    /// FIX: the request names no algorithm that the operator runs.
    NoCommonAlgorithm = 200,
    /// FIX: the operation does not fit what the device has.
    WrongOperation = 201,
    /// FIX: evidence is required and missing.
    EvidenceMissing = 202,
    /// FIX: the operator asks for a grant of the owner or a user, and the request has none.
    GrantMissing = 203,
    /// POLICY: the operator does not know or does not want this device.
    DeviceNotAccepted = 300,
    /// POLICY: the evidence shows a state that the operator does not accept.
    EvidenceNotAccepted = 301,
    /// POLICY: the operator has no voucher that makes it the owner of this device.
    NotEntitled = 302,
    /// POLICY: the subscription is suspended; what the device has stays.
    Suspended = 303,
    /// POLICY: the subscription is revoked or retired, and the device has signed that it is gone.
    Revoked = 304,
    /// POLICY: the evidence does not say that the device booted authorised software only.
    BootState = 310,
    /// POLICY: the evidence does not say that the device's debug facilities are as far off as demanded.
    DebugState = 311,
    /// POLICY: the evidence shows another life cycle state than demanded, or none.
    LifeCycle = 312,
    /// POLICY: the evidence shows software older than demanded, or does not tell its version.
    SoftwareVersion = 313,
    /// POLICY: the evidence shows software that is not among the reference values.
    Measurement = 314,
    /// POLICY: the device is not of the class that the subscription is for.
    DeviceClass = 315,
    /// POLICY: the evidence is about another device than the certificate.
    EvidenceIdentity = 316,
    /// POLICY: the evidence was made for another session, another device or another operator.
    EvidenceNotFresh = 317,
    /// POLICY: the evidence is not signed by a key that is endorsed for its instance id.
    EvidenceNotAuthentic = 318,
    /// POLICY: the evidence has a format that the operator did not ask for.
    EvidenceFormat = 319,
    /// POLICY: the evidence was asked for by software outside of the device's secure side.
    EvidenceCaller = 320,
    /// POLICY: the grant is not signed by anybody who may grant.
    GrantNotAuthentic = 330,
    /// POLICY: the grant is for another device or another operator.
    GrantOtherDevice = 331,
    /// POLICY: the grant is not valid yet, or not any more.
    GrantExpired = 332,
    /// POLICY: the grant asks for more than the operator gives.
    GrantScope = 333,
    /// POLICY: the grant was used before.
    GrantUsed = 334,
    /// POLICY: the relay in between may not forward this operation.
    RelayScope = 340,
    /// FATAL: device and operator disagree about what happened.
    Conflict = 400,
    /// FATAL: another device has this one's identity, or this one's memory was set back.
    Quarantined = 401,
}

/// What a device can do about a refusal. None of them is "at once": a device that is refused lets go of the session, and
/// what it holds stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// The device: the same again, after the time that the refusal names.
    Retry,
    /// The device's maker: this device will never ask rightly by itself.
    Fix,
    /// The device's owner: bring it into another state, or ask the operator.
    Policy,
    /// The operator's staff: until a person has looked, nothing helps.
    Fatal,
}

impl Class {
    /// Whose move it is.
    pub const fn whose_move(self) -> &'static str {
        match self {
            Self::Retry => "the device",
            Self::Fix => "the device's maker",
            Self::Policy => "the device's owner",
            Self::Fatal => "the operator's staff",
        }
    }

    /// Whether the same request can be granted another time, without anybody doing anything to the device.
    pub const fn is_worth_repeating(self) -> bool {
        matches!(self, Self::Retry)
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Retry => "RETRY",
            Self::Fix => "FIX",
            Self::Policy => "POLICY",
            Self::Fatal => "FATAL",
        })
    }
}

impl Code {
    /// All codes, by number.
    pub const ALL: [Self; 30] = [
        Self::TryLater,
        Self::PoolEmpty,
        Self::NoCommonAlgorithm,
        Self::WrongOperation,
        Self::EvidenceMissing,
        Self::GrantMissing,
        Self::DeviceNotAccepted,
        Self::EvidenceNotAccepted,
        Self::NotEntitled,
        Self::Suspended,
        Self::Revoked,
        Self::BootState,
        Self::DebugState,
        Self::LifeCycle,
        Self::SoftwareVersion,
        Self::Measurement,
        Self::DeviceClass,
        Self::EvidenceIdentity,
        Self::EvidenceNotFresh,
        Self::EvidenceNotAuthentic,
        Self::EvidenceFormat,
        Self::EvidenceCaller,
        Self::GrantNotAuthentic,
        Self::GrantOtherDevice,
        Self::GrantExpired,
        Self::GrantScope,
        Self::GrantUsed,
        Self::RelayScope,
        Self::Conflict,
        Self::Quarantined,
    ];

    /// The number on the wire.
    pub const fn number(self) -> u16 {
        #[expect(clippy::as_conversions, reason = "reads the discriminant of a fieldless enum")]
        {
            self as u16
        }
    }

    /// The code with this number, if there is one.
    pub fn from_number(number: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|code| u64::from(code.number()) == number)
    }

    /// What can be done about it.
    pub const fn class(self) -> Class {
        match self.number() {
            ..200 => Class::Retry,
            200..300 => Class::Fix,
            300..400 => Class::Policy,
            _ => Class::Fatal,
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self {
            Self::TryLater => "try again later",
            Self::PoolEmpty => "no subscription is free",
            Self::NoCommonAlgorithm => "no common authentication algorithm",
            Self::WrongOperation => "operation does not fit",
            Self::EvidenceMissing => "evidence missing",
            Self::GrantMissing => "grant missing",
            Self::DeviceNotAccepted => "device not accepted",
            Self::EvidenceNotAccepted => "device state not accepted",
            Self::NotEntitled => "no voucher for this device",
            Self::Suspended => "subscription suspended",
            Self::Revoked => "subscription revoked",
            Self::BootState => "boot state not accepted",
            Self::DebugState => "debug state not accepted",
            Self::LifeCycle => "life cycle not accepted",
            Self::SoftwareVersion => "software version not accepted",
            Self::Measurement => "software measurement not accepted",
            Self::DeviceClass => "device class not accepted",
            Self::EvidenceIdentity => "evidence of another device",
            Self::EvidenceNotFresh => "evidence not of this session",
            Self::EvidenceNotAuthentic => "evidence not authentic",
            Self::EvidenceFormat => "evidence format not accepted",
            Self::EvidenceCaller => "evidence asked for by unsecure software",
            Self::GrantNotAuthentic => "grant not authentic",
            Self::GrantOtherDevice => "grant for another device",
            Self::GrantExpired => "grant expired",
            Self::GrantScope => "grant too wide",
            Self::GrantUsed => "grant used already",
            Self::RelayScope => "relay not for this operation",
            Self::Conflict => "records conflict",
            Self::Quarantined => "two devices with one identity",
        };
        write!(f, "{} {}: {what}", self.class(), self.number())
    }
}
