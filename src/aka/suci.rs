//! SUCI: a device names its subscription to the home network, and nobody on the way learns which it is (TS 33.501
//! §6.12.2 and Annex C).
//!
//! ```text
//! device, conceal                                                        home network (SIDF), Suci::deconceal
//! scheme input = MSIN as BCD, or username
//! Z         = ECDH(ephemeral private, home network public)               Z = ECDH(home network private, ephemeral public)
//! EK || ICB = SHA-256(Z || 00000001 || ephemeral public)                 ANSI-X9.63-KDF, the same on both sides
//! MK        = SHA-256(Z || 00000002 || ephemeral public)
//! C         = AES-128-CTR(EK, ICB, scheme input)                         tag right?    no: nothing is decrypted
//! tag       = HMAC-SHA-256(MK, C), first 8 bytes                         scheme input = AES-128-CTR(EK, ICB, C)
//! scheme output = ephemeral public || C || tag  ─────── Suci ──────────▶ digits or characters right?    Identity
//! ```
//!
//! | scheme | curve | ephemeral public key | clause |
//! |---|---|---|---|
//! | 0, null-scheme | | conceals nothing: output = input | TS 33.501 §C.2 |
//! | 1, Profile A | Curve25519 | 32 bytes | TS 33.501 §C.3.4.1 |
//! | 2, Profile B | P-256 | 33 bytes, compressed | TS 33.501 §C.3.4.2 |
//!
//! A [`Suci`] has three forms, each parsed strictly and printed in one way. Hexadecimal digits are accepted in either
//! case; apart from that, what is accepted is what would have been printed, so spare bits are zero and numbers have no
//! leading zeros.
//!
//! | form | where | digits printed |
//! |---|---|---|
//! | `suci-0-274-012-678-1-27-…`, [`Display`](fmt::Display) and [`FromStr`] | core network (TS 29.571 §5.3.2, TS 29.503 Annex C) | lower case |
//! | `type1.rid678.schid1.hnkey27.ecckey….cip….mac…@realm`, [`Suci::nai`] | network specific identifiers (TS 23.003 §28.7.3) | upper case, as in TS 33.501 §C.4 |
//! | bytes, [`Suci::mobile_identity`] | NAS (TS 24.501 §9.11.3.4) | as in a NAI |
//!
//! What authenticates here is the ciphertext, not the sender: anyone with the public key makes a valid SUCI of any
//! identity, and an old one can be sent again. AKA comes after. Whether the null-scheme is welcome is for the home network
//! to decide, by [`Suci::scheme`].
//!
//! Left out: schemes that a network defines for itself (12 to 15), GLI and GCI, an omitted username, and the NAI form of an
//! IMSI, whose realm does not tell how many digits the MNC has. The SUPI is personal, but no key: it is not wiped.

use alloc::{boxed::Box, format, string::String, vec::Vec};
use core::{
    fmt::{self, Write},
    str::FromStr,
};

use aes::Aes128;
use arrayvec::{ArrayString, ArrayVec};
use ctr::{
    Ctr32BE,
    cipher::{KeyIvInit, StreamCipher},
};
use hmac::{Hmac, KeyInit, Mac, digest::FixedOutput};
use sha2::{Digest, Sha256};

use crate::{
    crypto::{Agreement, Group, Secret, equal},
    error::{Backend, Malformed, Misuse, Result, Untrusted},
    identity::{Plmn, Supi},
};

/// Bytes of the MAC tag (maclen of TS 33.501 §C.3.4).
pub(crate) const TAG_LEN: usize = 8;

/// Octet 4 of a 5GS mobile identity: type of identity SUCI, SUPI format IMSI or network specific identifier.
const SUCI_OF_IMSI: u8 = 0x01;
const SUCI_OF_NAI: u8 = 0x11;

/// In place of a digit that is not there.
const FILLER: u8 = 0xf;

/// Conceals `identity` for the home network: a fresh SUCI (TS 33.501 §C.3.2).
///
/// `ephemeral` is taken by value, because it is for one SUCI: two of the same key can be linked, and their ciphertexts
/// show where the identities differ.
///
/// # Errors
/// [`Misuse::Parameter`] if `ephemeral` is on another curve than `home`; what [`Agreement::agree`] says, which is
/// [`Misbehaved::InvalidPoint`](crate::error::Misbehaved::InvalidPoint) for a bad key of the home network.
pub fn conceal(
    identity: &Identity,
    routing: RoutingIndicator,
    home: &HomeNetworkKey,
    ephemeral: impl Agreement,
) -> Result<Suci> {
    check_key(&ephemeral, home.group)?;
    let mut shared = Secret::zeroed();
    ephemeral.agree(&home.public_key, &mut shared)?;
    let keys = EciesKeys::derive(&shared, ephemeral.public_key());

    let mut ciphertext = identity.scheme_input();
    keys.apply(&mut ciphertext)?;
    let mac = keys.mac(&ciphertext)?;

    let mut output = Vec::with_capacity(Suci::MAX_OUTPUT_LEN);
    output.extend_from_slice(ephemeral.public_key());
    output.extend_from_slice(&ciphertext);
    output.extend_from_slice(&mac);
    let scheme = Scheme::Ecies { group: home.group, key: home.id };
    Ok(Suci::new(identity.home_network(), routing, scheme, output)?)
}

/// Writes `identity` as it is into a SUCI of the null-scheme: for networks that provisioned no key (TS 33.501 §C.2).
pub fn null_scheme(identity: &Identity, routing: RoutingIndicator) -> Suci {
    let output = identity.scheme_input().as_slice().into();
    Suci { home: identity.home_network(), routing, scheme: Scheme::Null, output }
}

/// A subscription concealed identifier (TS 23.003 §2.2B). Well-formed, and no more than that, until
/// [`deconceal`](Suci::deconceal) says so.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Suci {
    home: HomeNetwork,
    routing: RoutingIndicator,
    scheme: Scheme,
    output: Box<[u8]>,
}

impl Suci {
    /// Most bytes of a scheme output: a point of P-256, the longest username, and the tag.
    pub const MAX_OUTPUT_LEN: usize = 33 + Nai::MAX_LEN + TAG_LEN;

    /// The one place that knows which combinations there are.
    fn new(home: HomeNetwork, routing: RoutingIndicator, scheme: Scheme, output: Vec<u8>) -> Result<Self, Malformed> {
        let input_len = match scheme {
            Scheme::Null => output.len(),
            Scheme::Ecies { group, .. } => output
                .len()
                .checked_sub(group.public_key_len().saturating_add(TAG_LEN))
                .ok_or(Malformed::WrongLength)?,
        };
        let most = match &home {
            HomeNetwork::Plmn(plmn) => msin_digits(plmn).div_ceil(2),
            HomeNetwork::Realm(realm) => Nai::MAX_LEN.saturating_sub(realm.len().saturating_add(1)),
        };
        if input_len == 0 || input_len > most {
            return Err(Malformed::WrongLength);
        }
        let suci = Self { home, routing, scheme, output: output.into() };
        if scheme == Scheme::Null {
            Identity::from_scheme_input(&suci.home, &suci.output)?;
        }
        Ok(suci)
    }

    /// MCC and MNC, or the realm: in the clear, so that the SUCI finds its way.
    pub const fn home_network(&self) -> &HomeNetwork {
        &self.home
    }

    /// The routing indicator.
    pub const fn routing_indicator(&self) -> &RoutingIndicator {
        &self.routing
    }

    /// The protection scheme, and the home network's key that it was used with.
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The scheme output: BCD digits or a username with the null-scheme, else ephemeral public key ‖ ciphertext ‖ tag.
    pub const fn scheme_output(&self) -> &[u8] {
        &self.output
    }

    /// Home network: checks the tag and gives the identity back (TS 33.501 §C.3.3). `key` finds the private key for
    /// [`Suci::scheme`] of [`Suci::home_network`]; it is not asked with the null-scheme.
    ///
    /// # Errors
    /// * [`Untrusted::UnknownCredential`] if `key` knows none: the SUCI names its key by reference, like a credential.
    /// * [`Misuse::Parameter`] if the key found is on another curve than the scheme.
    /// * What [`Agreement::agree`] says:
    ///   [`Misbehaved::InvalidPoint`](crate::error::Misbehaved::InvalidPoint) for a bad ephemeral key.
    /// * [`Untrusted::Authentication`] if the tag is wrong: damaged, or made for another key.
    /// * [`Malformed::Text`] if what was concealed is no MSIN or no username: the tag is right, the sender is not.
    pub fn deconceal<'k>(&self, key: impl FnOnce(&Self) -> Option<&'k dyn Agreement>) -> Result<Identity> {
        let Some((ephemeral, ciphertext, tag)) = self.ecies_parts() else {
            return Ok(Identity::from_scheme_input(&self.home, &self.output)?);
        };
        let key = key(self).ok_or(Untrusted::UnknownCredential)?;
        if let Scheme::Ecies { group, .. } = self.scheme {
            check_key(key, group)?;
        }
        let mut shared = Secret::zeroed();
        key.agree(ephemeral, &mut shared)?;
        let keys = EciesKeys::derive(&shared, ephemeral);

        if !equal(&keys.mac(ciphertext)?, tag) {
            return Err(Untrusted::Authentication.into());
        }
        let mut input = SchemeInput::new();
        input.try_extend_from_slice(ciphertext).map_err(|_| Malformed::WrongLength)?;
        keys.apply(&mut input)?;
        Ok(Identity::from_scheme_input(&self.home, &input)?)
    }

    /// Ephemeral public key, ciphertext and tag; `None` with the null-scheme.
    pub fn ecies_parts(&self) -> Option<(&[u8], &[u8], &[u8])> {
        let Scheme::Ecies { group, .. } = self.scheme else { return None };
        let (ephemeral, rest) = self.output.split_at_checked(group.public_key_len())?;
        let (ciphertext, tag) = rest.split_at_checked(rest.len().checked_sub(TAG_LEN)?)?;
        Some((ephemeral, ciphertext, tag))
    }

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

impl fmt::Debug for Suci {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Suci({self})")
    }
}

/// What a SUCI conceals: the SUPI, and how much of it is the home network's name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Identity {
    /// SUPI type 0.
    Imsi(Imsi),
    /// SUPI type 1, network specific identifier.
    Nai(Nai),
}

impl Identity {
    /// What goes into the scheme (TS 33.501 §C.3.1): the MSIN as BCD, first digit in the lower half of an octet, or the
    /// username.
    pub fn scheme_input(&self) -> SchemeInput {
        match self {
            Self::Imsi(imsi) => octets(digits_of(imsi.msin())).collect(),
            Self::Nai(nai) => nai.username().bytes().collect(),
        }
    }

    fn from_scheme_input(home: &HomeNetwork, input: &[u8]) -> Result<Self, Malformed> {
        match home {
            HomeNetwork::Plmn(plmn) => {
                let msin: ArrayString<16> = parse_digits(halves(input)).map_err(|_| Malformed::Text)?;
                // A whole octet of filler, or one digit too many.
                if msin.len().div_ceil(2) != input.len() || msin.len() > msin_digits(plmn) {
                    return Err(Malformed::Text);
                }
                let mut imsi = ArrayString::<16>::new();
                let _ = write!(imsi, "{}{}{msin}", plmn.mcc(), plmn.mnc());
                let supi = imsi.parse()?;
                Ok(Self::Imsi(Imsi { supi, plmn: *plmn }))
            }
            HomeNetwork::Realm(realm) => {
                let username = str::from_utf8(input).map_err(|_| Malformed::Text)?;
                check_username(username)?;
                Ok(Self::Nai(Nai { username: username.into(), realm: realm.clone() }))
            }
        }
    }

    fn home_network(&self) -> HomeNetwork {
        match self {
            Self::Imsi(imsi) => HomeNetwork::Plmn(imsi.plmn),
            Self::Nai(nai) => HomeNetwork::Realm(nai.realm.clone()),
        }
    }
}

/// A scheme input, as long as the longest username.
pub type SchemeInput = ArrayVec<u8, { Nai::MAX_LEN }>;

/// An IMSI of which it is known where the MNC ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Imsi {
    supi: Supi,
    plmn: Plmn,
}

impl Imsi {
    /// `supi` of the network `plmn`.
    ///
    /// # Errors
    /// [`Misuse::Parameter`] if its digits do not begin with MCC and MNC, or nothing follows them.
    pub fn new(supi: Supi, plmn: Plmn) -> Result<Self, Misuse> {
        let msin = supi.as_str().strip_prefix(plmn.mcc()).and_then(|rest| rest.strip_prefix(plmn.mnc()));
        match msin {
            Some(msin) if !msin.is_empty() => Ok(Self { supi, plmn }),
            _ => Err(Misuse::Parameter("the IMSI is not of this network")),
        }
    }

    /// All digits.
    pub const fn supi(&self) -> &Supi {
        &self.supi
    }

    /// MCC and MNC.
    pub const fn plmn(&self) -> &Plmn {
        &self.plmn
    }

    /// The digits behind MCC and MNC, 1 to 10.
    pub fn msin(&self) -> &str {
        let network = self.plmn.mcc().len().saturating_add(self.plmn.mnc().len());
        self.supi.as_str().get(network..).unwrap_or_default()
    }
}

/// A network specific identifier, `username@realm` (TS 23.003 §28.7.2, RFC 7542 §2.2). The realm is ASCII.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Nai {
    username: Box<str>,
    realm: Box<str>,
}

impl Nai {
    /// Most bytes of username, `@` and realm (RFC 7542 §2.3).
    pub const MAX_LEN: usize = 253;

    /// What stands before the `@`.
    pub const fn username(&self) -> &str {
        &self.username
    }

    /// What stands behind the `@`.
    pub const fn realm(&self) -> &str {
        &self.realm
    }
}

impl FromStr for Nai {
    type Err = Malformed;

    fn from_str(nai: &str) -> Result<Self, Malformed> {
        if nai.len() > Self::MAX_LEN {
            return Err(Malformed::TooLong);
        }
        let (username, realm) = nai.split_once('@').ok_or(Malformed::Text)?;
        check_username(username)?;
        Ok(Self { username: username.into(), realm: parse_realm(realm)? })
    }
}

impl fmt::Display for Nai {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.username, self.realm)
    }
}

/// Where a SUCI belongs (home network identifier of TS 23.003 §2.2B); says which SUPI type it has.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HomeNetwork {
    /// SUPI type 0, IMSI.
    Plmn(Plmn),
    /// SUPI type 1, network specific identifier: the realm.
    Realm(Box<str>),
}

/// Protection scheme and, where there is one, number of the home network's public key (TS 23.003 §2.2B).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Null-scheme (0), with key number 0.
    Null,
    /// Profile A (1) on X25519, Profile B (2) on P-256.
    Ecies {
        /// The curve, which names the profile.
        group: Group,
        /// The home network public key identifier, 1 to 255; 0 is the null-scheme's (TS 29.571 §5.3.2). 255 is reserved
        /// in NAS, but not in the other forms.
        key: u8,
    },
}

impl Scheme {
    /// The protection scheme identifier.
    pub const fn number(self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Ecies { group: Group::X25519, .. } => 1,
            Self::Ecies { group: Group::P256, .. } => 2,
        }
    }

    /// The home network public key identifier.
    pub const fn key(self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Ecies { key, .. } => key,
        }
    }

    const fn new(number: u8, key: u8) -> Result<Self, Malformed> {
        match (number, key) {
            (0, 0) => Ok(Self::Null),
            (1, 1..) => Ok(Self::Ecies { group: Group::X25519, key }),
            (2, 1..) => Ok(Self::Ecies { group: Group::P256, key }),
            _ => Err(Malformed::OutOfRange),
        }
    }

    fn parse(number: &str, key: &str) -> Result<Self, Malformed> {
        Self::new(parse_number(number)?, parse_number(key)?)
    }
}

/// 1 to 4 digits that lead to the right AUSF and UDM within the home network (TS 23.003 §2.2B).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RoutingIndicator(ArrayString<4>);

impl RoutingIndicator {
    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// `0`, for a USIM that holds none (TS 24.501 §9.11.3.4).
impl Default for RoutingIndicator {
    fn default() -> Self {
        let mut digits = ArrayString::new();
        digits.push('0');
        Self(digits)
    }
}

impl FromStr for RoutingIndicator {
    type Err = Malformed;

    fn from_str(digits: &str) -> Result<Self, Malformed> {
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Malformed::Text);
        }
        ArrayString::from(digits).map(Self).map_err(|_| Malformed::TooLong)
    }
}

impl fmt::Display for RoutingIndicator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A public key of the home network, as it is provisioned to a USIM (TS 31.102 §4.4.11.8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HomeNetworkKey {
    id: u8,
    group: Group,
    public_key: ArrayVec<u8, 33>,
}

impl HomeNetworkKey {
    /// The key with the number `id`, 1 to 255, of 32 (X25519) or 33 bytes (P-256, compressed). Whether it is a point shows
    /// when it is used.
    ///
    /// # Errors
    /// [`Misuse::Parameter`] if the number is 0 or the length is wrong.
    pub fn new(id: u8, group: Group, public_key: &[u8]) -> Result<Self, Misuse> {
        let wrong = Misuse::Parameter("a home network key has a number above 0, and 32 or 33 bytes");
        if id == 0 || public_key.len() != group.public_key_len() {
            return Err(wrong);
        }
        Ok(Self { id, group, public_key: ArrayVec::try_from(public_key).map_err(|_| wrong)? })
    }

    /// Its number.
    pub const fn id(&self) -> u8 {
        self.id
    }

    /// Its curve.
    pub const fn group(&self) -> Group {
        self.group
    }

    /// Its bytes.
    pub fn public_key(&self) -> &[u8] {
        &self.public_key
    }
}

/// The keys of one SUCI (TS 33.501 §C.3.2). [`conceal`] and [`Suci::deconceal`] make them; they are here for those who
/// compare an implementation of their own step by step.
#[derive(Debug)]
pub struct EciesKeys {
    /// EK ‖ ICB: 128 bits each, one output of the hash.
    ek_icb: Secret<32>,
    /// MK, the next one.
    mk: Secret<32>,
}

impl EciesKeys {
    /// ANSI-X9.63-KDF with SHA-256 (SEC 1 §3.6.1) of Z = `shared` and SharedInfo1 = `ephemeral`, the public key as sent.
    pub fn derive(shared: &Secret<32>, ephemeral: &[u8]) -> Self {
        Self { ek_icb: kdf_block(shared, 1, ephemeral), mk: kdf_block(shared, 2, ephemeral) }
    }

    /// EK, 16 bytes.
    pub fn encryption_key(&self) -> &[u8] {
        self.ek_icb.bytes().get(..16).unwrap_or_default()
    }

    /// ICB, the initial counter block, 16 bytes.
    pub fn initial_counter_block(&self) -> &[u8] {
        self.ek_icb.bytes().get(16..).unwrap_or_default()
    }

    /// MK, 32 bytes.
    pub const fn mac_key(&self) -> &[u8; 32] {
        self.mk.bytes()
    }

    /// AES-128 in CTR mode, the last 32 bits counting: encrypts or decrypts.
    pub(crate) fn apply(&self, text: &mut [u8]) -> Result<(), Backend> {
        let mut cipher = Ctr32BE::<Aes128>::new_from_slices(self.encryption_key(), self.initial_counter_block())
            .map_err(|_| Backend::Crypto)?;
        cipher.try_apply_keystream(text).map_err(|_| Backend::Crypto)
    }

    /// The tag; SharedInfo2 is empty.
    pub(crate) fn mac(&self, ciphertext: &[u8]) -> Result<[u8; TAG_LEN], Backend> {
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(self.mac_key()).map_err(|_| Backend::Crypto)?;
        mac.update(ciphertext);
        let mut out = Secret::<32>::zeroed();
        FixedOutput::finalize_into(mac, out.bytes_mut().into());
        out.bytes().first_chunk().copied().ok_or(Backend::Crypto)
    }
}

/// A block of the ANSI-X9.63-KDF. SUCI needs the first two.
pub(crate) fn kdf_block(shared: &Secret<32>, counter: u32, ephemeral: &[u8]) -> Secret<32> {
    let mut out = Secret::zeroed();
    let hash = Sha256::new().chain_update(shared.bytes()).chain_update(counter.to_be_bytes());
    Digest::finalize_into(hash.chain_update(ephemeral), out.bytes_mut().into());
    out
}

/// Against a key that says it is on one curve and is on another.
fn check_key(key: &(impl Agreement + ?Sized), group: Group) -> Result<(), Misuse> {
    if key.group() == group && key.public_key().len() == group.public_key_len() {
        return Ok(());
    }
    Err(Misuse::Parameter("the key is not of the scheme's curve"))
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
fn check_username(username: &str) -> Result<(), Malformed> {
    let atext = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || !c.is_ascii();
    let atom = |atom: &str| !atom.is_empty() && atom.chars().all(atext);
    if username.split('.').all(atom) { Ok(()) } else { Err(Malformed::Text) }
}

/// At least two labels of letters, digits and inner hyphens (realm of RFC 7542 §2.2).
fn parse_realm(realm: &str) -> Result<Box<str>, Malformed> {
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
fn msin_digits(plmn: &Plmn) -> usize {
    15_usize.saturating_sub(plmn.mcc().len()).saturating_sub(plmn.mnc().len())
}

/// The values of decimal digits.
fn digits_of(text: &str) -> impl Iterator<Item = u8> {
    text.bytes().map(|byte| byte.wrapping_sub(b'0'))
}

/// Two digits per octet, the first in the lower half; the last octet is filled up.
fn octets(mut digits: impl Iterator<Item = u8>) -> impl Iterator<Item = u8> {
    core::iter::from_fn(move || {
        let low = digits.next()?;
        Some((digits.next().unwrap_or(FILLER) << 4) | low)
    })
}

/// Lower and upper half of each octet.
fn halves(octets: &[u8]) -> impl Iterator<Item = u8> {
    octets.iter().flat_map(|octet| [octet & 0xf, octet >> 4])
}

/// Digits up to the first filler, behind which there is only filler.
fn parse_digits<const N: usize>(mut halves: impl Iterator<Item = u8>) -> Result<ArrayString<N>, Malformed> {
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
