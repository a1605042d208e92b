//! Who is who: parsed once, valid ever after.
//!
//! A device and a subscription have identities of their own, and neither can be made from the other (TS 22.261 §6.14.2):
//! [`DeviceId`] comes from the manufacturer and never changes; [`SubscriptionId`] comes from the operator and may. There is
//! no conversion between them, and neither has a part that the other has.

use core::{
    fmt::{self, Write},
    str::FromStr,
};

use arrayvec::{ArrayString, ArrayVec};

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

/// Whom a credential speaks for. An anchor is trusted for one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The device, EDHOC Initiator.
    Device,
    /// The operator's provisioning server, EDHOC Responder.
    Operator,
    /// Another device that forwards. It signs its announcements and is trusted with nothing.
    Relay,
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

/// Which subscription: its SUPI, and the epoch of the credential that it is used with. Assigned by the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriptionId {
    /// The SUPI.
    pub supi: Supi,
    /// Grows with every credential of this device.
    pub epoch: u32,
}

/// `imsi-DIGITS`, and the epoch behind a stroke.
impl fmt::Display for SubscriptionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.supi, self.epoch)
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
            Some(maker) => {
                let digits = maker.iter().flat_map(|byte| [byte >> 4, byte & 15]);
                digits
                    .filter_map(|digit| char::from_digit(digit.into(), 16))
                    .try_for_each(|digit| f.write_char(digit))?;
            }
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

/// A universal entity identifier (RFC 9711 §4.2.1): 7 to 33 bytes that name one device among all there are, and never
/// change. In a PSA token, and so in this crate's endorsements, it is the *instance id* of the attestation key.
///
/// ```text
/// 0x01 ‖ 16, 24 or 32 random bytes    0x02 ‖ EUI of 6 or 8 bytes    0x03 ‖ 14 digits of an IMEI, a byte each
/// ```
///
/// To whoever receives one it is opaque (RFC 9711 §4.2.1.2; some of the RFC's own examples do not keep to the lengths
/// above), so [`Ueid::from_bytes`] looks at the length only. Those who *make* one have [`Ueid::random`] and the
/// conversions from [`Eui`] and [`Imei`], which keep to them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "serde_bytes::ByteBuf", into = "serde_bytes::ByteBuf")]
pub struct Ueid(ArrayVec<u8, { Self::MAX_LEN }>);

impl Ueid {
    /// Fewest bytes: an EUI-48 with its type.
    pub const MIN_LEN: usize = 7;

    /// Most bytes: 256 random bits with their type.
    pub const MAX_LEN: usize = 33;

    /// Type RAND (RFC 9711 §4.2.1.1, table 1).
    const RAND: u8 = 1;
    /// Type IEEE EUI.
    const EUI: u8 = 2;
    /// Type IMEI.
    const IMEI: u8 = 3;

    /// The identifier as it came, with its type byte.
    ///
    /// # Errors
    /// [`Malformed::WrongLength`] outside of 7 to 33 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.len() < Self::MIN_LEN {
            return Err(Malformed::WrongLength);
        }
        ArrayVec::try_from(bytes).map(Self).map_err(|_| Malformed::WrongLength)
    }

    /// Of type RAND: what was drawn once for this device, or hashed together from what makes it unique.
    ///
    /// # Errors
    /// [`Malformed::WrongLength`] if `random` is not 16, 24 or 32 bytes.
    pub fn random(random: &[u8]) -> Result<Self, Malformed> {
        match random.len() {
            16 | 24 | 32 => Ok(Self::typed(Self::RAND, random)),
            _ => Err(Malformed::WrongLength),
        }
    }

    fn typed(kind: u8, value: &[u8]) -> Self {
        Self(core::iter::once(kind).chain(value.iter().copied()).take(Self::MAX_LEN).collect())
    }

    /// All bytes, the type first.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The random part, if it is of type RAND and of a length that RAND has.
    pub fn rand(&self) -> Option<&[u8]> {
        match self.0.split_first() {
            Some((&Self::RAND, random)) if matches!(random.len(), 16 | 24 | 32) => Some(random),
            _ => None,
        }
    }

    /// The EUI, if it is made of one.
    pub fn eui(&self) -> Option<Eui> {
        match self.0.split_first() {
            Some((&Self::EUI, eui)) => Eui::from_bytes(eui).ok(),
            _ => None,
        }
    }

    /// The IMEI, if it is made of one. Its check digit, which does not travel, is computed.
    pub fn imei(&self) -> Option<Imei> {
        match self.0.split_first() {
            Some((&Self::IMEI, digits)) => Imei::from_values(digits.try_into().ok()?).ok(),
            _ => None,
        }
    }
}

impl From<&Eui> for Ueid {
    fn from(eui: &Eui) -> Self {
        Self::typed(Self::EUI, eui.as_bytes())
    }
}

impl From<&Imei> for Ueid {
    fn from(imei: &Imei) -> Self {
        Self::typed(Self::IMEI, &imei.values())
    }
}

impl TryFrom<serde_bytes::ByteBuf> for Ueid {
    type Error = Malformed;

    fn try_from(bytes: serde_bytes::ByteBuf) -> Result<Self, Malformed> {
        Self::from_bytes(&bytes)
    }
}

impl From<Ueid> for serde_bytes::ByteBuf {
    fn from(ueid: Ueid) -> Self {
        Self::from(ueid.0.to_vec())
    }
}

/// The bytes in hexadecimal digits, as [`Ueid`]'s `Display` writes them.
impl FromStr for Ueid {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let (pairs, rest) = text.as_bytes().as_chunks();
        if !rest.is_empty() {
            return Err(Malformed::Text);
        }
        let mut bytes: ArrayVec<u8, { Self::MAX_LEN }> = ArrayVec::new();
        for pair in pairs {
            bytes.try_push(from_hex(*pair)?).map_err(|_| Malformed::WrongLength)?;
        }
        Self::from_bytes(&bytes)
    }
}

impl fmt::Display for Ueid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Ueid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ueid({self})")
    }
}

fn from_hex(pair: [u8; 2]) -> Result<u8, Malformed> {
    if !pair.iter().all(u8::is_ascii_hexdigit) {
        return Err(Malformed::Text);
    }
    let digits = str::from_utf8(&pair).map_err(|_| Malformed::Text)?;
    u8::from_str_radix(digits, 16).map_err(|_| Malformed::Text)
}

/// An international mobile equipment identity: 8 digits of type allocation code, 6 of serial number, and a check digit
/// (TS 23.003 §6.2.1). Its text form is that of a PEI, `imei-` and 15 digits (TS 29.571 §5.3.2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Imei(ArrayString<15>);

impl Imei {
    /// From the 14 digits that identify, without the check digit: a radio message has a 0 in its place.
    ///
    /// # Errors
    /// [`Malformed::Text`] if they are not 14 digits.
    pub fn from_digits(digits: &str) -> Result<Self, Malformed> {
        let digits: &[u8; 14] = digits.as_bytes().try_into().map_err(|_| Malformed::Text)?;
        Self::from_values(&digits.map(|digit| digit.wrapping_sub(b'0'))).map_err(|_| Malformed::Text)
    }

    /// From the values of the 14 digits, 0 to 9 each, as a UEID has them.
    fn from_values(values: &[u8; 14]) -> Result<Self, Malformed> {
        let mut text = ArrayString::new();
        for value in values.iter().copied().chain([check_digit(values)]) {
            let digit = char::from_digit(u32::from(value), 10).ok_or(Malformed::OutOfRange)?;
            text.try_push(digit).map_err(|_| Malformed::TooLong)?;
        }
        Ok(Self(text))
    }

    /// The values of the 14 digits that identify.
    fn values(&self) -> [u8; 14] {
        self.0.as_bytes().first_chunk().copied().unwrap_or_default().map(|digit: u8| digit.wrapping_sub(b'0'))
    }

    /// The 15 digits, without a prefix.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The type allocation code, 8 digits.
    pub fn tac(&self) -> &str {
        self.0.get(..8).unwrap_or_default()
    }
}

/// The Luhn check digit of TS 23.003 §B.2: every second digit doubled and its digits added up.
fn check_digit(values: &[u8; 14]) -> u8 {
    /// Twice 0 to 9, digits added up.
    const DOUBLED: [u8; 10] = [0, 2, 4, 6, 8, 1, 3, 5, 7, 9];
    let (pairs, _) = values.as_chunks::<2>();
    let sum = pairs.iter().fold(0_u8, |sum, [plain, doubled]| {
        let doubled = DOUBLED.get(usize::from(*doubled)).copied().unwrap_or_default();
        sum.wrapping_add(*plain).wrapping_add(doubled)
    });
    (10_u8.wrapping_sub(sum % 10)) % 10
}

/// 15 digits with the right check digit, bare or as a PEI: `imei-` before them.
impl FromStr for Imei {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let digits = text.strip_prefix("imei-").unwrap_or(text);
        let imei = Self::from_digits(digits.get(..14).ok_or(Malformed::Text)?)?;
        if imei.as_str() == digits { Ok(imei) } else { Err(Malformed::Text) }
    }
}

impl fmt::Display for Imei {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "imei-{}", self.0)
    }
}

impl fmt::Debug for Imei {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Imei({})", self.0)
    }
}

/// An IEEE extended unique identifier of 48 or 64 bits. Its text form is that of a PEI (TS 29.571 §5.3.2): `mac-` and six
/// bytes, or `eui-` and eight, each of two hexadecimal digits, with hyphens between them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Eui {
    /// EUI-48, formerly MAC-48.
    Eui48([u8; 6]),
    /// EUI-64.
    Eui64([u8; 8]),
}

impl Eui {
    /// From 6 or 8 bytes, in the order in which they are written.
    ///
    /// # Errors
    /// [`Malformed::WrongLength`] for any other number of them.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        match bytes.try_into() {
            Ok(bytes) => Ok(Self::Eui48(bytes)),
            Err(_) => bytes.try_into().map(Self::Eui64).map_err(|_| Malformed::WrongLength),
        }
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Eui48(bytes) => bytes,
            Self::Eui64(bytes) => bytes,
        }
    }
}

/// A PEI: `mac-` or `eui-`. One that says `-untrusted` is no identity and is refused.
impl FromStr for Eui {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let (digits, len) = match (text.strip_prefix("mac-"), text.strip_prefix("eui-")) {
            (Some(digits), _) => (digits, 6),
            (_, Some(digits)) => (digits, 8),
            _ => return Err(Malformed::Text),
        };
        let mut bytes: ArrayVec<u8, 8> = ArrayVec::new();
        for pair in digits.split('-') {
            let pair = pair.as_bytes().try_into().map_err(|_| Malformed::Text)?;
            bytes.try_push(from_hex(pair)?).map_err(|_| Malformed::TooLong)?;
        }
        if bytes.len() == len { Self::from_bytes(&bytes) } else { Err(Malformed::WrongLength) }
    }
}

impl fmt::Display for Eui {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Eui48(_) => "mac",
            Self::Eui64(_) => "eui",
        })?;
        self.as_bytes().iter().try_for_each(|byte| write!(f, "-{byte:02X}"))
    }
}

impl fmt::Debug for Eui {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Eui({self})")
    }
}
