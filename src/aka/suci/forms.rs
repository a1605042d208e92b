//! The three forms of a SUCI, read and written: text, NAI, bytes; and what they are made of, digits and names.

use alloc::{boxed::Box, format, string::String, vec::Vec};
use core::{
    fmt::{self, Write},
    str::FromStr,
};

use arrayvec::{ArrayString, ArrayVec};

use super::{HomeNetwork, Nai, RoutingIndicator, Scheme, Suci, ecies::TAG_LEN};
use crate::{error::Malformed, identity::Plmn};

/// Octet 4 of a 5GS mobile identity: type of identity SUCI, SUPI format IMSI or network specific identifier.
const SUCI_OF_IMSI: u8 = 0x01;
const SUCI_OF_NAI: u8 = 0x11;

/// In place of a digit that is not there.
const FILLER: u8 = 0xf;

impl Suci {
    /// The NAI form of a network specific identifier (TS 23.003 §28.7.3); `None` for an IMSI.
    pub fn nai(&self) -> Option<String> {
        let HomeNetwork::Realm(realm) = &self.home else { return None };
        let mut nai = format!("type1.rid{}.schid{}", self.routing, self.scheme.number());
        // Writing to a string does not fail.
        let _ = match (self.scheme, self.ecies_parts()) {
            (Scheme::Ecies { key, .. }, Some((ephemeral, ciphertext, tag))) => {
                write!(nai, ".hnkey{key}.ecckey{:X}.cip{:X}.mac{:X}", Hex(ephemeral), Hex(ciphertext), Hex(tag))
            }
            _ => write!(nai, ".userid{}", Text(&self.output)),
        };
        let _ = write!(nai, "@{realm}");
        Some(nai)
    }

    /// Reads the NAI form.
    ///
    /// # Errors
    /// [`Malformed::Text`] for anything else than this form, a realm or a username that is none;
    /// [`Malformed::OutOfRange`] for an unknown scheme or a key number that does not fit it; [`Malformed::WrongLength`]
    /// if a part of the output has not the length that its scheme gives it.
    pub fn from_nai(nai: &str) -> Result<Self, Malformed> {
        let (user, realm) = nai.rsplit_once('@').ok_or(Malformed::Text)?;
        let home = HomeNetwork::Realm(parse_realm(realm)?);
        let (routing, rest) =
            user.strip_prefix("type1.rid").and_then(|rest| rest.split_once('.')).ok_or(Malformed::Text)?;
        let (scheme, rest) = rest.strip_prefix("schid").and_then(|rest| rest.split_once('.')).ok_or(Malformed::Text)?;
        let routing = routing.parse()?;
        if scheme == "0" {
            let username = rest.strip_prefix("userid").ok_or(Malformed::Text)?;
            return Self::new(home, routing, Scheme::Null, bounded(username)?);
        }

        let mut parts = rest.split('.');
        let mut part = |name| parts.next().and_then(|text| text.strip_prefix(name)).ok_or(Malformed::Text);
        let key = part("hnkey")?;
        let scheme = Scheme::parse(scheme, key)?;
        let ephemeral = parse_hex(part("ecckey")?)?;
        let ciphertext = parse_hex(part("cip")?)?;
        let tag = parse_hex(part("mac")?)?;
        if parts.next().is_some() {
            return Err(Malformed::Text);
        }
        // Their sum alone would let a byte wander from one to the next.
        let Scheme::Ecies { group, .. } = scheme else { return Err(Malformed::OutOfRange) };
        if ephemeral.len() != group.public_key_len() || tag.len() != TAG_LEN {
            return Err(Malformed::WrongLength);
        }
        Self::new(home, routing, scheme, [ephemeral, ciphertext, tag].concat())
    }

    /// The contents of a 5GS mobile identity, octet 4 and on, without element identifier and length (TS 24.501
    /// §9.11.3.4): BCD and scheme output for an IMSI, the NAI form for a network specific identifier.
    pub fn mobile_identity(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match &self.home {
            HomeNetwork::Plmn(plmn) => {
                let digits = |text: &str| digits_of(text).chain([FILLER; 4]).collect::<ArrayVec<_, 8>>();
                let (mcc, mnc) = (digits_of(plmn.mcc()), digits(plmn.mnc()));
                // MNC digit 3 comes before digits 1 and 2.
                let mnc = mnc.iter().skip(2).take(1).chain(mnc.iter().take(2)).copied();
                let routing = digits(&self.routing.0).into_iter().take(4);
                bytes.push(SUCI_OF_IMSI);
                bytes.extend(octets(mcc.chain(mnc).chain(routing)));
                bytes.extend([self.scheme.number(), self.scheme.key()]);
                bytes.extend_from_slice(&self.output);
            }
            HomeNetwork::Realm(_) => {
                bytes.push(SUCI_OF_NAI);
                bytes.extend_from_slice(self.nai().unwrap_or_default().as_bytes());
            }
        }
        bytes
    }

    /// Reads the contents of a 5GS mobile identity, octet 4 and on.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] if the fixed part is not there; [`Malformed::OutOfRange`] for another type of identity or
    /// SUPI format, an unknown scheme or a key number that does not fit it, digits that are none, or spare bits that are
    /// set; [`Malformed::WrongLength`] if the output has not the length that its scheme gives it; for a NAI, what
    /// [`Suci::from_nai`] says.
    pub fn from_mobile_identity(bytes: &[u8]) -> Result<Self, Malformed> {
        match bytes {
            [SUCI_OF_NAI, nai @ ..] => Self::from_nai(str::from_utf8(nai).map_err(|_| Malformed::Text)?),
            [SUCI_OF_IMSI, plmn0, plmn1, plmn2, routing0, routing1, scheme, key, output @ ..] => {
                let mcc: ArrayString<3> = parse_digits(halves(&[*plmn0, *plmn1]).take(3))?;
                // MNC digit 3 comes before digits 1 and 2.
                let mnc: ArrayString<3> = parse_digits(halves(&[*plmn2]).chain([*plmn1 >> 4]))?;
                let plmn = Plmn::new(&mcc, &mnc).map_err(|_| Malformed::OutOfRange)?;
                let routing = RoutingIndicator(parse_digits(halves(&[*routing0, *routing1]))?);
                if routing.0.is_empty() {
                    return Err(Malformed::OutOfRange);
                }
                if output.len() > Self::MAX_OUTPUT_LEN {
                    return Err(Malformed::WrongLength);
                }
                Self::new(HomeNetwork::Plmn(plmn), routing, Scheme::new(*scheme, *key)?, output.to_vec())
            }
            [] | [SUCI_OF_IMSI, ..] => Err(Malformed::Truncated),
            [..] => Err(Malformed::OutOfRange),
        }
    }
}

/// The text form, with hexadecimal digits in lower case.
impl fmt::Display for Suci {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.home {
            HomeNetwork::Plmn(plmn) => write!(f, "suci-0-{}-{}", plmn.mcc(), plmn.mnc())?,
            HomeNetwork::Realm(realm) => write!(f, "suci-1-{realm}")?,
        }
        write!(f, "-{}-{}-{}-", self.routing, self.scheme.number(), self.scheme.key())?;
        match (self.scheme, &self.home) {
            (Scheme::Null, HomeNetwork::Plmn(_)) => {
                // Digits and not BCD (TS 29.503 Annex C).
                let mut digits = halves(&self.output).take_while(|digit| *digit != FILLER);
                digits.try_for_each(|digit| write!(f, "{digit}"))
            }
            (Scheme::Null, HomeNetwork::Realm(_)) => write!(f, "{}", Text(&self.output)),
            (Scheme::Ecies { .. }, _) => write!(f, "{:x}", Hex(&self.output)),
        }
    }
}

/// Reads the text form. Fails like [`Suci::from_nai`].
///
/// A realm may hold `-`, and so may a username in the clear. A text that can be split in two ways is refused with
/// [`Malformed::Text`], because it could name two subscriptions; the other two forms have no such case.
impl FromStr for Suci {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        if let Some(rest) = text.strip_prefix("suci-0-") {
            let (mcc, rest) = rest.split_once('-').ok_or(Malformed::Text)?;
            let (mnc, rest) = rest.split_once('-').ok_or(Malformed::Text)?;
            return parse_tail(&HomeNetwork::Plmn(Plmn::new(mcc, mnc)?), rest);
        }
        let rest = text.strip_prefix("suci-1-").ok_or(Malformed::Text)?;
        let mut found = Err(Malformed::Text);
        for (at, _) in rest.match_indices('-').take_while(|(at, _)| *at <= Nai::MAX_LEN) {
            let Some((realm, tail)) = rest.split_at_checked(at) else { continue };
            let Ok(realm) = parse_realm(realm) else { continue };
            let read = parse_tail(&HomeNetwork::Realm(realm), tail.strip_prefix('-').unwrap_or_default());
            match (&found, read) {
                (Ok(_), Ok(_)) => return Err(Malformed::Text),
                // The most precise reason wins over "it does not split here".
                (Err(Malformed::Text), read) | (Err(_), read @ Ok(_)) => found = read,
                (_, Err(_)) => {}
            }
        }
        found
    }
}

impl Scheme {
    fn parse(number: &str, key: &str) -> Result<Self, Malformed> {
        Self::new(parse_number(number)?, parse_number(key)?)
    }
}

/// Routing indicator, scheme, key number and scheme output of the text form.
fn parse_tail(home: &HomeNetwork, text: &str) -> Result<Suci, Malformed> {
    let mut parts = text.splitn(4, '-');
    let mut part = || parts.next().ok_or(Malformed::Text);
    let routing = part()?.parse()?;
    let scheme = Scheme::parse(part()?, part()?)?;
    let output = part()?;
    let output = match (scheme, home) {
        (Scheme::Ecies { .. }, _) => parse_hex(output)?,
        (Scheme::Null, HomeNetwork::Realm(_)) => bounded(output)?,
        (Scheme::Null, HomeNetwork::Plmn(_)) => {
            if !output.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(Malformed::Text);
            }
            if output.len() > 10 {
                return Err(Malformed::WrongLength);
            }
            octets(digits_of(output)).collect()
        }
    };
    Suci::new(home.clone(), routing, scheme, output)
}

/// A decimal number as it would be printed.
fn parse_number(text: &str) -> Result<u8, Malformed> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) || (text.len() > 1 && text.starts_with('0')) {
        return Err(Malformed::Text);
    }
    text.parse().map_err(|_| Malformed::OutOfRange)
}

/// Octets of hexadecimal digits in either case, no more than a scheme output has.
fn parse_hex(text: &str) -> Result<Vec<u8>, Malformed> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return Err(Malformed::WrongLength) };
    if pairs.len() > Suci::MAX_OUTPUT_LEN {
        return Err(Malformed::WrongLength);
    }
    let digit =
        |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok()).ok_or(Malformed::Text);
    pairs.iter().map(|[high, low]| Ok((digit(*high)? << 4) | digit(*low)?)).collect()
}

/// A username that is not checked yet, no longer than one may be.
fn bounded(username: &str) -> Result<Vec<u8>, Malformed> {
    if username.len() > Nai::MAX_LEN { Err(Malformed::WrongLength) } else { Ok(username.as_bytes().to_vec()) }
}

/// Atoms with dots between them (utf8-username of RFC 7542 §2.2).
pub(super) fn check_username(username: &str) -> Result<(), Malformed> {
    let atext = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || !c.is_ascii();
    let atom = |atom: &str| !atom.is_empty() && atom.chars().all(atext);
    if username.split('.').all(atom) { Ok(()) } else { Err(Malformed::Text) }
}

/// At least two labels of letters, digits and inner hyphens (realm of RFC 7542 §2.2).
pub(super) fn parse_realm(realm: &str) -> Result<Box<str>, Malformed> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if realm.len() <= Nai::MAX_LEN && realm.contains('.') && realm.split('.').all(label) {
        return Ok(realm.into());
    }
    Err(Malformed::Text)
}

/// Most digits of an MSIN in this network: an IMSI has 15 at most.
pub(super) fn msin_digits(plmn: &Plmn) -> usize {
    15_usize.saturating_sub(plmn.mcc().len()).saturating_sub(plmn.mnc().len())
}

/// The values of decimal digits.
pub(super) fn digits_of(text: &str) -> impl Iterator<Item = u8> {
    text.bytes().map(|byte| byte.wrapping_sub(b'0'))
}

/// Two digits per octet, the first in the lower half; the last octet is filled up.
pub(super) fn octets(mut digits: impl Iterator<Item = u8>) -> impl Iterator<Item = u8> {
    core::iter::from_fn(move || {
        let low = digits.next()?;
        Some((digits.next().unwrap_or(FILLER) << 4) | low)
    })
}

/// Lower and upper half of each octet.
pub(super) fn halves(octets: &[u8]) -> impl Iterator<Item = u8> {
    octets.iter().flat_map(|octet| [octet & 0xf, octet >> 4])
}

/// Digits up to the first filler, behind which there is only filler.
pub(super) fn parse_digits<const N: usize>(mut halves: impl Iterator<Item = u8>) -> Result<ArrayString<N>, Malformed> {
    let mut text = ArrayString::new();
    for half in halves.by_ref().take_while(|half| *half != FILLER) {
        let digit = char::from_digit(half.into(), 10).ok_or(Malformed::OutOfRange)?;
        text.try_push(digit).map_err(|_| Malformed::OutOfRange)?;
    }
    if halves.all(|half| half == FILLER) { Ok(text) } else { Err(Malformed::OutOfRange) }
}

/// Octets as hexadecimal digits, in the case that the caller writes.
struct Hex<'a>(&'a [u8]);

impl fmt::LowerHex for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::UpperHex for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02X}"))
    }
}

/// A username that [`Suci::new`] has checked.
struct Text<'a>(&'a [u8]);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(str::from_utf8(self.0).map_err(|_| fmt::Error)?)
    }
}
