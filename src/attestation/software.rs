//! Evidence that is put together in software and signed with a key of the [`KeyStore`]: for tests and simulations, and for
//! firmware whose root of trust gives out claims and signatures but no token.

use alloc::{boxed::Box, vec::Vec};

use arrayvec::{ArrayString, ArrayVec};

use super::{
    Attester, BootState, Component, DebugState, Digest, Format, ImplementationId, MAX_COMPONENTS, MAX_EVIDENCE,
    MAX_LABEL, Model, Oem, token as t,
};
use crate::{
    cose::sign1::Sign1,
    crypto::Hash,
    error::{Backend, Misuse},
    identity::Ueid,
    store::{KeyId, KeyStore},
    wire::{Writer, encode_with},
};

/// Claims of a PSA token (RFC 9783 §4), but the nonce and the profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PsaReport {
    /// The instance id: of type RAND, 33 bytes.
    pub instance: Ueid,
    /// The implementation id.
    pub implementation: ImplementationId,
    /// Who asks for the token: above zero on the secure side, below on the other.
    pub client: i32,
    /// The life cycle with its minor state: 0x3000 is secured.
    pub life_cycle: u16,
    /// 8 to 32 bytes that differ between boots.
    pub boot_seed: Option<ArrayVec<u8, 32>>,
    /// `1234567890123-12345`.
    pub certification: Option<ArrayString<MAX_LABEL>>,
    /// The software; one at least, each with a measurement.
    pub components: ArrayVec<Component, MAX_COMPONENTS>,
}

/// Claims of a plain EAT (RFC 9711 §4.2), but the nonce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EatReport {
    /// The universal entity id.
    pub instance: Ueid,
    /// Who made the hardware.
    pub oem: Option<Oem>,
    /// Its model.
    pub model: Option<Model>,
    /// Whether it booted authorised software only.
    pub boot: Option<BootState>,
    /// How far off debug facilities are.
    pub debug: Option<DebugState>,
    /// How often it has booted.
    pub boot_count: Option<u64>,
    /// The name of its software.
    pub software: Option<ArrayString<MAX_LABEL>>,
    /// The version of its software.
    pub version: Option<ArrayString<MAX_LABEL>>,
    /// Life cycle of its root of trust, as in a PSA token.
    pub life_cycle: Option<u16>,
    /// Measurements: the number of a CoAP content format, and the body.
    pub measurements: Vec<(u16, Box<[u8]>)>,
}

/// Signs what it was told, with a P-256 key of a [`KeyStore`].
///
/// **Whoever can call it can make evidence.** In a device in the field the key belongs where only the root of trust can
/// use it, and the claims have to come from there.
pub struct SoftwareAttester<'a> {
    keys: &'a dyn KeyStore,
    key: KeyId,
    psa: Option<PsaReport>,
    eat: Option<EatReport>,
}

impl<'a> SoftwareAttester<'a> {
    /// With the claims for one format, or for both.
    ///
    /// # Errors
    /// [`Misuse::Parameter`] if a token would be longer than [`MAX_EVIDENCE`].
    pub fn new(
        keys: &'a dyn KeyStore,
        key: KeyId,
        psa: Option<PsaReport>,
        eat: Option<EatReport>,
    ) -> Result<Self, Misuse> {
        let payloads =
            [psa.as_ref().map(|report| report.payload(&[0; 32])), eat.as_ref().map(|report| report.payload(&[0; 32]))];
        for payload in payloads.into_iter().flatten() {
            let Ok(token) = Sign1::create::<Misuse>(&payload, &[], |_| Ok([0; 64])) else { continue };
            if token.to_tagged().len() > MAX_EVIDENCE {
                return Err(Misuse::Parameter("evidence too long"));
            }
        }
        Ok(Self { keys, key, psa, eat })
    }

    fn payload(&self, format: u64, nonce: &Hash) -> Option<Vec<u8>> {
        match Format::from_number(format)? {
            Format::Psa => self.psa.as_ref().map(|report| report.payload(nonce)),
            Format::Eat => self.eat.as_ref().map(|report| report.payload(nonce)),
        }
    }
}

impl Attester for SoftwareAttester<'_> {
    fn evidence(&self, nonce: &Hash, formats: &[u64]) -> Result<Option<Vec<u8>>, Backend> {
        let Some(payload) = formats.iter().find_map(|format| self.payload(*format, nonce)) else { return Ok(None) };
        Sign1::create(&payload, &[], |message| self.keys.sign(self.key, message)).map(|token| Some(token.to_tagged()))
    }
}

impl core::fmt::Debug for SoftwareAttester<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("SoftwareAttester").field("key", &self.key).finish_non_exhaustive()
    }
}

/// The entries of a claims map, keys ascending, each value encoded.
#[derive(Default)]
struct ClaimsMap(Vec<(i64, Vec<u8>)>);

impl ClaimsMap {
    fn add(&mut self, key: i64, write: impl Fn(&mut Writer<'_>)) {
        self.0.push((key, encode_with(write)));
    }

    fn add_some<T>(&mut self, key: i64, value: Option<T>, write: impl Fn(&mut Writer<'_>, &T)) {
        if let Some(value) = value {
            self.add(key, |w| write(w, &value));
        }
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.map(self.0.len());
        for (key, value) in &self.0 {
            writer.integer(*key);
            writer.encoded(value);
        }
    }

    fn encode(&self) -> Vec<u8> {
        encode_with(|w| self.write(w))
    }
}

impl PsaReport {
    fn payload(&self, nonce: &Hash) -> Vec<u8> {
        let mut claims = ClaimsMap::default();
        claims.add(t::NONCE, |w| w.bytes(nonce));
        claims.add(t::UEID, |w| w.bytes(self.instance.as_bytes()));
        claims.add(t::EAT_PROFILE, |w| w.text(t::PSA_PROFILE));
        claims.add_some(t::BOOTSEED, self.boot_seed.as_deref(), |w, seed| w.bytes(seed));
        claims.add(t::CLIENT_ID, |w| w.integer(self.client.into()));
        claims.add(t::LIFECYCLE, |w| w.unsigned(self.life_cycle.into()));
        claims.add(t::IMPLEMENTATION_ID, |w| w.bytes(&self.implementation));
        claims.add_some(t::CERTIFICATION, self.certification, |w, reference| w.text(reference));
        claims.add(t::COMPONENTS, |w| {
            w.array(self.components.len());
            self.components.iter().for_each(|component| write_component(component, w));
        });
        claims.encode()
    }
}

fn write_component(component: &Component, writer: &mut Writer<'_>) {
    let mut entries = ClaimsMap::default();
    entries.add_some(1, component.kind, |w, kind| w.text(kind));
    entries.add_some(2, component.measurement.as_ref().map(Digest::as_bytes), |w, value| w.bytes(value));
    entries.add_some(4, component.version, |w, version| w.text(version));
    entries.add_some(5, component.signer.as_ref().map(Digest::as_bytes), |w, signer| w.bytes(signer));
    entries.write(writer);
}

impl EatReport {
    fn payload(&self, nonce: &Hash) -> Vec<u8> {
        let mut claims = ClaimsMap::default();
        claims.add(t::NONCE, |w| w.bytes(nonce));
        claims.add(t::UEID, |w| w.bytes(self.instance.as_bytes()));
        claims.add_some(t::OEMID, self.oem, |w, oem| match oem {
            Oem::Pen(number) => w.unsigned(*number),
            Oem::Ieee(bytes) => w.bytes(bytes),
            Oem::Random(bytes) => w.bytes(bytes),
        });
        claims.add_some(t::HWMODEL, self.model.as_deref(), |w, model| w.bytes(model));
        claims.add_some(t::OEMBOOT, self.boot, |w, boot| w.boolean(*boot == BootState::Authorised));
        claims.add_some(t::DBGSTAT, self.debug, |w, debug| w.unsigned(debug.number().into()));
        claims.add_some(t::BOOTCOUNT, self.boot_count, |w, count| w.unsigned(*count));
        claims.add_some(t::SWNAME, self.software, |w, name| w.text(name));
        claims.add_some(t::SWVERSION, self.version, |w, version| {
            w.array(1);
            w.text(version);
        });
        claims.add_some(t::MEASUREMENTS, Some(&self.measurements).filter(|list| !list.is_empty()), |w, list| {
            w.array(list.len());
            for (format, body) in *list {
                w.array(2);
                w.unsigned((*format).into());
                w.bytes(body);
            }
        });
        claims.add_some(t::LIFECYCLE, self.life_cycle, |w, state| w.unsigned((*state).into()));
        claims.encode()
    }
}
