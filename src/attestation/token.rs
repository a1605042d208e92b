//! Reads tokens of both formats, and believes them one step at a time.
//!
//! ```text
//! evidence ─▶ COSE, instance id ─▶ endorsement ─▶ signature ─▶ nonce ─▶ claims ─▶ references ─▶ Claims
//! ```

use arrayvec::ArrayVec;

use super::{
    BootState, Claims, Component, DebugState, Digest, Endorsements, Finding, Format, LifeCycle, MAX_COMPONENTS,
    MAX_EVIDENCE, Measured, Model, Oem, Statement, Verifier, label,
};
use crate::{
    cose::{mac0::Mac0, sign1::Sign1},
    crypto::{Crypto, Hash},
    error::Malformed,
    identity::Ueid,
    wire::{self, Entries, Kind, Reader},
};

/// The profile of RFC 9783 §4.5.2.
pub(super) const PSA_PROFILE: &str = "tag:psacertified.org,2023:psa#tfm";
/// The profile before it, with keys of its own (RFC 9783 §4.6).
const PSA_IOT_PROFILE_1: &str = "PSA_IOT_PROFILE_1";
/// Where other profiles of this maker would be: what they mean is not known here.
const PSA_FAMILY: &str = "tag:psacertified.org,";

// Claims of RFC 9711.
pub(super) const NONCE: i64 = 10;
pub(super) const UEID: i64 = 256;
pub(super) const OEMID: i64 = 258;
pub(super) const HWMODEL: i64 = 259;
const HWVERSION: i64 = 260;
pub(super) const OEMBOOT: i64 = 262;
pub(super) const DBGSTAT: i64 = 263;
pub(super) const EAT_PROFILE: i64 = 265;
const SUBMODS: i64 = 266;
pub(super) const BOOTCOUNT: i64 = 267;
pub(super) const BOOTSEED: i64 = 268;
pub(super) const SWNAME: i64 = 270;
pub(super) const SWVERSION: i64 = 271;
pub(super) const MEASUREMENTS: i64 = 273;
const MEASRES: i64 = 274;
const INTUSE: i64 = 275;

// Claims of RFC 9783, which any CWT may carry.
pub(super) const CLIENT_ID: i64 = 2394;
pub(super) const LIFECYCLE: i64 = 2395;
pub(super) const IMPLEMENTATION_ID: i64 = 2396;
pub(super) const CERTIFICATION: i64 = 2398;
pub(super) const COMPONENTS: i64 = 2399;
const SERVICE: i64 = 2400;

/// Profile claim of the older profile.
const OLD_PROFILE: i64 = -75000;

/// The CBOR tag of a CWT, 61, as it is written (RFC 8392 §6).
const CWT_TAG: &[u8] = &[0xd8, 61];

/// Intended uses that fit: generic, registration, provisioning (RFC 9711 §4.3.3).
const USES: core::ops::RangeInclusive<u64> = 1..=3;

/// Checks evidence of both formats against [`Endorsements`].
///
/// The key is found by the instance id in the token, and by nothing else: a `kid` or a certificate in a COSE header is
/// passed over.
#[derive(Clone, Debug)]
pub struct TokenVerifier<E>(E);

impl<E: Endorsements> TokenVerifier<E> {
    /// With what makers have said. A reference to it will do.
    pub const fn new(endorsements: E) -> Self {
        Self(endorsements)
    }
}

impl<E: Endorsements> Verifier for TokenVerifier<E> {
    fn verify(&self, evidence: &[u8], nonce: &Hash, crypto: &dyn Crypto) -> Result<Claims, Finding> {
        let token = Token::read(evidence)?;
        let endorsement = self.0.endorsement(&token.instance).map_err(Finding::Backend)?;
        // Whatever was found has to be what was asked for.
        let endorsement =
            endorsement.filter(|found| *found.instance() == token.instance).ok_or(Finding::UnknownInstance)?;
        match &token.envelope {
            Envelope::Sign1(sign1) => endorsement.verify_sign1(sign1, crypto),
            Envelope::Mac0(mac0) => endorsement.verify_mac0(mac0, crypto),
        }
        .map_err(|_| Finding::Signature)?;
        if token.nonce()? != nonce {
            return Err(Finding::Nonce);
        }

        let mut statement = token.statement(&endorsement, crypto)?;
        let reference = self.0.reference(&statement.implementation).map_err(Finding::Backend)?;
        if let Some(reference) = reference {
            statement.class = reference.class_of(&statement);
            let good = statement.measured != Measured::Differ && reference.matches(&statement.components);
            statement.measured = if good { Measured::Match } else { Measured::Differ };
        }
        Ok(Claims::assertion(statement))
    }
}

enum Envelope<'a> {
    Sign1(Sign1<'a>),
    Mac0(Mac0<'a>),
}

/// The keys of claims that the two PSA profiles number differently.
struct Keys {
    nonce: i64,
    instance: i64,
    client: i64,
    life_cycle: i64,
    implementation: i64,
    boot_seed: i64,
    certification: i64,
    components: i64,
    service: i64,
}

/// RFC 9783 §4; what a plain EAT has of it has the same numbers.
const KEYS: Keys = Keys {
    nonce: NONCE,
    instance: UEID,
    client: CLIENT_ID,
    life_cycle: LIFECYCLE,
    implementation: IMPLEMENTATION_ID,
    boot_seed: BOOTSEED,
    certification: CERTIFICATION,
    components: COMPONENTS,
    service: SERVICE,
};

/// RFC 9783 §4.6, table 2.
const OLD_KEYS: Keys = Keys {
    nonce: -75008,
    instance: -75009,
    client: -75001,
    life_cycle: -75002,
    implementation: -75003,
    boot_seed: -75004,
    certification: -75005,
    components: -75006,
    service: -75010,
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Profile {
    Psa,
    PsaIot1,
    Eat,
}

impl Profile {
    fn of(entries: &Entries<'_>) -> Result<Self, Malformed> {
        match entries.get(EAT_PROFILE) {
            // RFC 9711 §4.3.2: a URI, or an OID as bytes.
            Some(profile) if Reader::new(profile)?.peek()? == Kind::Text => match wire::decode(profile)? {
                PSA_PROFILE => Ok(Self::Psa),
                other if other.starts_with(PSA_FAMILY) => Err(Malformed::OutOfRange),
                _ => Ok(Self::Eat),
            },
            Some(profile) => wire::decode::<&[u8]>(profile).map(|_| Self::Eat),
            None => match entries.value(OLD_PROFILE)? {
                Some(PSA_IOT_PROFILE_1) => Ok(Self::PsaIot1),
                Some(_) => Err(Malformed::OutOfRange),
                None => Ok(Self::Eat),
            },
        }
    }

    const fn keys(self) -> &'static Keys {
        match self {
            Self::Psa | Self::Eat => &KEYS,
            Self::PsaIot1 => &OLD_KEYS,
        }
    }
}

/// A token that nobody has verified yet, and no more of it than it takes to find its key.
struct Token<'a> {
    envelope: Envelope<'a>,
    entries: Entries<'a>,
    profile: Profile,
    instance: Ueid,
}

impl<'a> Token<'a> {
    fn read(evidence: &'a [u8]) -> Result<Self, Malformed> {
        /// The first byte of a COSE_Mac0: tag 17.
        const MAC0: u8 = 0xd1;
        if evidence.len() > MAX_EVIDENCE {
            return Err(Malformed::TooLong);
        }
        let (cwt, cose) = match evidence.strip_prefix(CWT_TAG) {
            Some(cose) => (true, cose),
            None => (false, evidence),
        };
        let envelope = match cose.first() {
            Some(&MAC0) => Envelope::Mac0(Mac0::foreign(cose)?),
            _ => Envelope::Sign1(Sign1::foreign(cose)?),
        };
        let payload = match &envelope {
            Envelope::Sign1(sign1) => sign1.unverified(),
            Envelope::Mac0(mac0) => mac0.unverified(),
        };
        let entries = Entries::decode(payload)?;
        let profile = Profile::of(&entries)?;
        // RFC 9783 §5.1.1: no CWT tag on a PSA token.
        if cwt && profile != Profile::Eat {
            return Err(Malformed::Forbidden);
        }
        let instance = match profile {
            Profile::Eat => Ueid::from_bytes(entries.required(UEID)?)?,
            // RFC 9783 §4.2.1: of type RAND, 33 bytes.
            Profile::Psa | Profile::PsaIot1 => {
                let instance = entries.required::<&[u8; Ueid::MAX_LEN]>(profile.keys().instance)?;
                let instance = Ueid::from_bytes(instance)?;
                instance.rand().ok_or(Malformed::OutOfRange)?;
                instance
            }
        };
        Ok(Self { envelope, entries, profile, instance })
    }

    /// The nonce. More than one (RFC 9711 §4.1) are refused: nobody asked for the others.
    fn nonce(&self) -> Result<&'a [u8], Malformed> {
        let nonce: &[u8] = self.entries.required(self.profile.keys().nonce)?;
        let possible = match self.profile {
            Profile::Eat => (8..=64).contains(&nonce.len()),
            Profile::Psa | Profile::PsaIot1 => matches!(nonce.len(), 32 | 48 | 64),
        };
        if possible { Ok(nonce) } else { Err(Malformed::WrongLength) }
    }

    /// Everything else.
    fn statement(&self, endorsement: &super::Endorsement, crypto: &dyn Crypto) -> Result<Statement, Finding> {
        let keys = self.profile.keys();
        let implementation = *endorsement.implementation();
        if self.entries.value(keys.implementation)?.is_some_and(|said: &[u8; 32]| *said != implementation) {
            return Err(Finding::Implementation);
        }
        let life_cycle = self.entries.value(keys.life_cycle)?;
        let life_cycle =
            life_cycle.map(|number| LifeCycle::from_number(number).ok_or(Malformed::OutOfRange)).transpose()?;
        let mut statement = Statement {
            format: Format::Psa,
            instance: self.instance.clone(),
            device: *endorsement.device(),
            implementation,
            boot: life_cycle.map(LifeCycle::boot),
            debug: life_cycle.map(LifeCycle::debug),
            life_cycle,
            caller: self.caller(keys)?,
            components: self.components(keys)?,
            measured: Measured::NoReference,
            class: None,
            oem: None,
            model: None,
            certification: self.certification(keys)?,
            boot_seed: self.boot_seed(keys)?,
            boot_count: None,
        };
        self.entries.value::<&str>(keys.service)?;
        match self.profile {
            Profile::Psa | Profile::PsaIot1 => self.require_psa(keys)?,
            Profile::Eat => self.add_eat(&mut statement, crypto)?,
        }
        Ok(statement)
    }

    /// What RFC 9783 §4 says MUST be there, beyond nonce, instance id and profile. Of the older profile's claims that "no
    /// software measurements" is not enough.
    fn require_psa(&self, keys: &Keys) -> Result<(), Malformed> {
        let mut required = [keys.client, keys.life_cycle, keys.implementation, keys.components].into_iter();
        let there = |key| self.entries.get(key).is_some();
        let seeded = self.profile != Profile::PsaIot1 || there(keys.boot_seed);
        if required.all(there) && seeded { Ok(()) } else { Err(Malformed::MissingKey) }
    }

    fn caller(&self, keys: &Keys) -> Result<Option<i32>, Malformed> {
        match self.entries.value::<i64>(keys.client)? {
            Some(0) => Err(Malformed::OutOfRange),
            client => client.map(|client| client.try_into().map_err(|_| Malformed::OutOfRange)).transpose(),
        }
    }

    /// Thirteen digits, and since RFC 9783 a hyphen and five more (§4.2.3).
    fn certification(&self, keys: &Keys) -> Result<Option<arrayvec::ArrayString<{ super::MAX_LABEL }>>, Malformed> {
        let Some(reference) = self.entries.value::<&str>(keys.certification)? else { return Ok(None) };
        let digits = |text: &str, len| text.len() == len && text.bytes().all(|byte| byte.is_ascii_digit());
        let good = match (self.profile, reference.split_once('-')) {
            (Profile::PsaIot1, None) => digits(reference, 13),
            (_, Some((product, version))) => digits(product, 13) && digits(version, 5),
            _ => false,
        };
        if good { label(reference).map(Some) } else { Err(Malformed::Text) }
    }

    fn boot_seed(&self, keys: &Keys) -> Result<Option<ArrayVec<u8, 64>>, Malformed> {
        let Some(seed) = self.entries.value::<&[u8]>(keys.boot_seed)? else { return Ok(None) };
        let possible = match self.profile {
            Profile::Psa => (8..=32).contains(&seed.len()),
            Profile::PsaIot1 => seed.len() == 32,
            Profile::Eat => true,
        };
        if !possible {
            return Err(Malformed::WrongLength);
        }
        ArrayVec::try_from(seed).map(Some).map_err(|_| Malformed::TooLong)
    }

    /// `[ + { ? 1: type tstr, 2: measurement, ? 4: version tstr, ? 5: signer, ? 6: tstr } ]` (RFC 9783 §4.4.1).
    fn components(&self, keys: &Keys) -> Result<ArrayVec<Component, MAX_COMPONENTS>, Malformed> {
        let items = self.entries.array::<MAX_COMPONENTS>(keys.components)?;
        if items.is_empty() && self.entries.get(keys.components).is_some() {
            return Err(Malformed::WrongLength);
        }
        items
            .iter()
            .map(|item| {
                let entries = Entries::decode(item)?;
                let text = |key| entries.value::<&str>(key)?.map(label).transpose();
                entries.value::<&str>(6)?;
                Ok(Component {
                    kind: text(1)?,
                    measurement: Some(Digest::from_bytes(entries.required(2)?)?),
                    version: text(4)?,
                    signer: entries.value(5)?.map(Digest::from_bytes).transpose()?,
                })
            })
            .collect()
    }

    /// What a plain EAT says of its own (RFC 9711 §4.2). Whoever signed it may have left out what another claim depends on,
    /// as the RFC's own examples do.
    fn add_eat(&self, statement: &mut Statement, crypto: &dyn Crypto) -> Result<(), Finding> {
        let entries = &self.entries;
        statement.format = Format::Eat;
        if entries.get(SUBMODS).is_some() {
            return Err(Malformed::Forbidden.into());
        }
        if entries.value(INTUSE)?.is_some_and(|used: u64| !USES.contains(&used)) {
            return Err(Finding::Use);
        }
        if let Some(authorised) = entries.value(OEMBOOT)? {
            statement.boot = Some(if authorised { BootState::Authorised } else { BootState::Unauthorised });
        }
        if let Some(debug) = entries.value::<DebugState>(DBGSTAT)? {
            statement.debug = Some(debug);
        }
        statement.oem = entries.get(OEMID).map(read_oem).transpose()?;
        statement.model = entries.value(HWMODEL)?.map(read_model).transpose()?;
        read_version(entries, HWVERSION)?;
        statement.boot_count = entries.value(BOOTCOUNT)?;
        self.add_software(&mut statement.components, crypto)?;
        if let Some(results) = entries.get(MEASRES)
            && !all_compared(results)?
        {
            statement.measured = Measured::Differ;
        }
        Ok(())
    }

    /// `swname` and `swversion` are a component without a measurement; each of `measurements`, `[ content-format, body
    /// bstr ]`, is one without a name.
    fn add_software(
        &self,
        components: &mut ArrayVec<Component, MAX_COMPONENTS>,
        crypto: &dyn Crypto,
    ) -> Result<(), Malformed> {
        let (name, version) = (self.entries.value::<&str>(SWNAME)?, read_version(&self.entries, SWVERSION)?);
        if name.is_some() || version.is_some() {
            let kind = name.map(label).transpose()?;
            let named = Component { kind, version: version.map(label).transpose()?, ..Component::default() };
            components.try_push(named).map_err(|_| Malformed::TooLong)?;
        }
        let items = self.entries.array::<MAX_COMPONENTS>(MEASUREMENTS)?;
        if items.is_empty() && self.entries.get(MEASUREMENTS).is_some() {
            return Err(Malformed::WrongLength);
        }
        for item in items {
            let mut reader = Reader::new(item)?;
            reader.array_of(2)?;
            let format = u16::try_from(reader.unsigned()?).map_err(|_| Malformed::OutOfRange)?;
            let body = reader.bytes()?;
            reader.end()?;
            let kind = label(&alloc::format!("{format}"))?;
            let measurement = Some(crypto.sha256(&[body]).into());
            let measured = Component { kind: Some(kind), measurement, ..Component::default() };
            components.try_push(measured).map_err(|_| Malformed::TooLong)?;
        }
        Ok(())
    }
}

/// `uint / bstr .size 3 / bstr .size 16` (RFC 9711 §4.2.3).
fn read_oem(value: &[u8]) -> Result<Oem, Malformed> {
    if Reader::new(value)?.peek()? == Kind::Unsigned {
        return wire::decode(value).map(Oem::Pen);
    }
    let bytes: &[u8] = wire::decode(value)?;
    match (bytes.try_into(), bytes.try_into()) {
        (Ok(ieee), _) => Ok(Oem::Ieee(ieee)),
        (_, Ok(random)) => Ok(Oem::Random(random)),
        _ => Err(Malformed::WrongLength),
    }
}

/// 1 to 32 bytes (RFC 9711 §4.2.4).
fn read_model(bytes: &[u8]) -> Result<Model, Malformed> {
    if bytes.is_empty() {
        return Err(Malformed::WrongLength);
    }
    Model::try_from(bytes).map_err(|_| Malformed::WrongLength)
}

/// `[ version tstr, ? scheme ]` (RFC 9711 §4.2.5 and §4.2.7). The scheme, a number or a name, is not looked at: see
/// [`Version`](super::Version) for how versions are compared.
fn read_version<'a>(entries: &Entries<'a>, key: i64) -> Result<Option<&'a str>, Malformed> {
    if entries.get(key).is_none() {
        return Ok(None);
    }
    let items = entries.array::<2>(key)?;
    let version = items.first().ok_or(Malformed::WrongLength)?;
    wire::decode(version).map(Some)
}

/// Whether every result in `[ + [ system tstr, [ + [ id tstr / bstr, result ] ] ] ]` is a success (RFC 9711 §4.2.17).
fn all_compared(results: &[u8]) -> Result<bool, Malformed> {
    /// Comparison successful.
    const SUCCESS: u64 = 1;
    /// Failed, not run, absent.
    const OTHERS: core::ops::RangeInclusive<u64> = 2..=4;
    let mut reader = Reader::new(results)?;
    let (mut all, mut any) = (true, false);
    for _ in 0..reader.array()? {
        reader.array_of(2)?;
        reader.text()?;
        for _ in 0..reader.array()? {
            reader.array_of(2)?;
            match reader.peek()? {
                Kind::Text => reader.text().map(|_| ())?,
                _ => reader.bytes().map(|_| ())?,
            }
            match reader.unsigned()? {
                SUCCESS => any = true,
                result if OTHERS.contains(&result) => all = false,
                _ => return Err(Malformed::OutOfRange),
            }
        }
    }
    reader.end()?;
    Ok(all && any)
}
