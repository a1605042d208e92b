//! Who is who: parsed once, valid ever after.
//!
//! A device and a subscription have identities of their own, and neither can be made from the other (TS 22.261 §6.14.2):
//! [`DeviceId`] comes from the manufacturer and never changes; [`Supi`] comes from the operator and may.

use core::{fmt, str::FromStr};

use arrayvec::ArrayString;

use crate::error::Malformed;

/// Whether a party acts for real subscribers. It is in the transcript, in every anchor, voucher and receipt, so that a
/// test identity never vouches for production, nor the reverse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Domain {
    /// Real subscribers.
    Production,
    /// Laboratories and test networks.
    Test,
}

/// The side a credential speaks for. An anchor is trusted for one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The device, EDHOC Initiator.
    Device,
    /// The operator's provisioning server, EDHOC Responder.
    Operator,
}

/// A subscription permanent identifier: an IMSI of 5 to 15 decimal digits (TS 23.003 §2.2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Supi(ArrayString<15>);

impl Supi {
    /// The digits, without a prefix.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Supi {
    type Err = Malformed;

    fn from_str(digits: &str) -> Result<Self, Malformed> {
        if digits.len() < 5 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Malformed::Text);
        }
        ArrayString::from(digits).map(Self).map_err(|_| Malformed::TooLong)
    }
}

impl fmt::Display for Supi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "imsi-{}", self.0)
    }
}

impl fmt::Debug for Supi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Supi({})", self.0)
    }
}

/// The name that a verified credential gives its holder: the serial number of an IDevID (IEEE 802.1AR §8.6), the common
/// name of an operator certificate, or the subject of a CCS. 1 to 64 printable ASCII characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerName(ArrayString<64>);

impl PeerName {
    /// The characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PeerName {
    type Err = Malformed;

    fn from_str(name: &str) -> Result<Self, Malformed> {
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
            return Err(Malformed::Text);
        }
        ArrayString::from(name).map(Self).map_err(|_| Malformed::TooLong)
    }
}

impl fmt::Display for PeerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PeerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerName({})", self.0)
    }
}

/// Which device: its name, and who gave it. Two makers may give out the same serial number; neither may speak for the
/// other's device.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId {
    maker: Option<[u8; Self::MAKER_LEN]>,
    name: PeerName,
}

impl DeviceId {
    /// Bytes that name a maker.
    pub const MAKER_LEN: usize = 16;

    /// `maker` is the beginning of the hash of the anchor's key; `None` for a key that the operator pinned itself.
    pub const fn new(maker: Option<[u8; Self::MAKER_LEN]>, name: PeerName) -> Self {
        Self { maker, name }
    }

    /// The name.
    pub const fn name(&self) -> &PeerName {
        &self.name
    }
}

/// `pinned/NAME`, or the maker in hexadecimal digits before the slash.
impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.maker {
            Some(maker) => maker.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?,
            None => f.write_str("pinned")?,
        }
        write!(f, "/{}", self.name)
    }
}

impl fmt::Debug for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceId({self})")
    }
}

/// A public land mobile network: MCC of three digits and MNC of two or three (TS 23.003 §2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Plmn {
    mcc: ArrayString<3>,
    mnc: ArrayString<3>,
}

impl Plmn {
    /// From the digits of MCC and MNC.
    ///
    /// # Errors
    /// [`Malformed::Text`] if they are not three, and two or three, digits.
    pub fn new(mcc: &str, mnc: &str) -> Result<Self, Malformed> {
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if mcc.len() != 3 || !(2..=3).contains(&mnc.len()) || !digits(mcc) || !digits(mnc) {
            return Err(Malformed::Text);
        }
        let parse = |text| ArrayString::from(text).map_err(|_| Malformed::Text);
        Ok(Self { mcc: parse(mcc)?, mnc: parse(mnc)? })
    }

    /// The three digits of the country.
    pub fn mcc(&self) -> &str {
        &self.mcc
    }

    /// The two or three digits of the network.
    pub fn mnc(&self) -> &str {
        &self.mnc
    }
}
