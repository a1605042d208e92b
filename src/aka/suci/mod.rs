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

mod ecies;
mod forms;

pub use self::ecies::EciesKeys;
pub(crate) use self::ecies::{TAG_LEN, kdf_block};

use alloc::{boxed::Box, vec::Vec};
use core::{
    fmt::{self, Write},
    str::FromStr,
};

use arrayvec::{ArrayString, ArrayVec};

use self::{
    ecies::check_key,
    forms::{check_username, digits_of, halves, msin_digits, octets, parse_digits, parse_realm},
};
use crate::{
    crypto::{Agreement, Group, Secret, equal},
    error::{Malformed, Misuse, Result, Untrusted},
    identity::{Plmn, Supi},
};

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
