//! What the operator demands, and what came of it.

use alloc::{boxed::Box, vec::Vec};
use core::fmt;

use arrayvec::{ArrayString, ArrayVec};
use serde::{Deserialize, Serialize};

use super::{
    BootState, Claims, DebugState, DeviceClass, Finding, Format, ImplementationId, LifeCycle, MAX_COMPONENTS,
    MAX_LABEL, Measured, Verifier, Version, label,
};
use crate::{
    crypto::{Crypto, Hash},
    error::Misuse,
    identity::{DeviceId, Ueid},
};

/// The oldest version that a component may have. How versions compare: [`Version`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MinimumVersion {
    /// The component, as [`Component::kind`](super::Component::kind) has it. If there are several, it goes for each.
    pub component: ArrayString<MAX_LABEL>,
    /// The oldest version that will do.
    pub version: Version,
}

/// What evidence has to show. Start from [`Demands::all`], and take out by name what you can do without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demands {
    /// Formats that are accepted.
    pub formats: ArrayVec<Format, 2>,
    /// Whether the device has to have booted authorised software only.
    pub authorised_boot: bool,
    /// How far off debug facilities have to be at least; a PSA token can only show [`DebugState::Disabled`].
    pub debug: Option<DebugState>,
    /// The life cycle states that are accepted; `None` if any is, and none said too. A plain EAT tells its state only if it
    /// carries the claim of RFC 9783 (2395).
    pub life_cycles: Option<ArrayVec<LifeCycle, 7>>,
    /// Components that have to be there, and not too old.
    pub versions: Vec<MinimumVersion>,
    /// Whether the software has to be among the reference values.
    pub known_software: bool,
    /// The class that the device has to be of, by the reference values.
    pub class: Option<DeviceClass>,
    /// Whether the evidence has to have been asked for from the secure side (client id above zero, RFC 9783 §4.1.2).
    pub secure_caller: bool,
}

impl Demands {
    /// Authorised boot, debug disabled, secured, known software, class IoT; both formats, callers of either side, and no
    /// minimum versions, which nobody but you can know.
    pub fn all() -> Self {
        Self {
            formats: [Format::Psa, Format::Eat].into_iter().collect(),
            authorised_boot: true,
            debug: Some(DebugState::Disabled),
            life_cycles: Some(core::iter::once(LifeCycle::Secured).collect()),
            versions: Vec::new(),
            known_software: true,
            class: Some(DeviceClass::Iot),
            secure_caller: false,
        }
    }

    /// The first demand that `claims` do not meet, in the order of the fields.
    fn judge(&self, claims: &Claims) -> Result<(), Finding> {
        let holds = |condition: bool, finding| if condition { Ok(()) } else { Err(finding) };
        holds(self.formats.contains(&claims.format), Finding::Format)?;
        holds(!self.authorised_boot || claims.boot == Some(BootState::Authorised), Finding::Boot)?;
        // None is below every state.
        holds(self.debug.is_none() || claims.debug >= self.debug, Finding::Debug)?;
        let accepted = |states: &ArrayVec<LifeCycle, 7>| claims.life_cycle.is_some_and(|said| states.contains(&said));
        holds(self.life_cycles.as_ref().is_none_or(accepted), Finding::LifeCycle)?;
        holds(self.versions.iter().all(|minimum| is_recent(claims, minimum)), Finding::SoftwareVersion)?;
        holds(!self.known_software || claims.measured == Measured::Match, Finding::Measurement)?;
        holds(self.class.is_none() || claims.class == self.class, Finding::DeviceClass)?;
        holds(!self.secure_caller || claims.caller.is_some_and(|caller| caller > 0), Finding::Caller)
    }
}

/// Whether the component is there, and in no version that is older or cannot be compared.
fn is_recent(claims: &Claims, minimum: &MinimumVersion) -> bool {
    let mut components = claims.components.iter().filter(|component| component.kind == Some(minimum.component));
    let recent = |version: &ArrayString<MAX_LABEL>| version.parse().is_ok_and(|said: Version| said >= minimum.version);
    components.clone().all(|component| component.version.as_ref().is_some_and(recent)) && components.next().is_some()
}

/// An operator's policy, by name.
///
/// ```
/// use remote_provisioning::attestation::{Demands, MinimumVersion, Policy, label};
///
/// let newest = MinimumVersion { component: label("PRoT")?, version: "2.1.0".parse()? };
/// let meters = Policy::new("meters", Demands { versions: vec![newest], ..Demands::all() })?;
/// assert!(meters.demands_evidence());
/// assert!(!Policy::without_evidence("ambient tags")?.demands_evidence());
/// # Ok::<(), remote_provisioning::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    name: ArrayString<MAX_LABEL>,
    demands: Option<Demands>,
}

impl Policy {
    /// A policy that demands evidence.
    ///
    /// # Errors
    /// [`Misuse::Parameter`] unless the name is 1 to [`MAX_LABEL`] printable ASCII characters.
    pub fn new(name: &str, demands: Demands) -> Result<Self, Misuse> {
        Ok(Self { name: policy_name(name)?, demands: Some(demands) })
    }

    /// **The one policy that is content without evidence**, for devices too small to attest (ambient IoT): the certificate
    /// and the voucher then say who the device is, and nobody what state it is in. Search a program for this name to find
    /// all such profiles. Evidence that comes all the same has to be genuine, of this session and of this device; what it
    /// states is recorded, and nothing of it demanded.
    ///
    /// # Errors
    /// As [`Policy::new`].
    pub fn without_evidence(name: &str) -> Result<Self, Misuse> {
        Ok(Self { name: policy_name(name)?, demands: None })
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether a device without evidence is refused.
    pub const fn demands_evidence(&self) -> bool {
        self.demands.is_some()
    }

    /// The formats to ask for in EAD_2; none for a policy without evidence.
    pub fn formats(&self) -> impl Iterator<Item = Format> {
        self.demands.iter().flat_map(|demands| demands.formats.iter().copied())
    }

    /// Judges a device: signature first, then nonce, then identity, then each claim in the order of [`Demands`].
    ///
    /// `device` is the one of the certificate ([`Peer::device_id`](crate::trust::Peer::device_id)) in an authenticated
    /// session, and `nonce` is [`binding`](super::binding) of that session.
    ///
    /// # Errors
    /// The first [`Finding`].
    pub fn appraise(
        &self,
        device: &DeviceId,
        evidence: Option<&[u8]>,
        nonce: &Hash,
        verifier: &dyn Verifier,
        crypto: &dyn Crypto,
    ) -> Result<Verdict, Finding> {
        let verdict = |appraised| Verdict { policy: self.name, nonce: *nonce, appraised };
        let Some(evidence) = evidence else {
            return if self.demands_evidence() { Err(Finding::EvidenceMissing) } else { Ok(verdict(None)) };
        };
        let claims = verifier.verify(evidence, nonce, crypto)?;
        if claims.device != *device {
            return Err(Finding::Identity);
        }
        if let Some(demands) = &self.demands {
            demands.judge(&claims)?;
        }
        Ok(verdict(Some(Box::new(Appraised::new(crypto.sha256(&[evidence]), &claims)))))
    }
}

fn policy_name(name: &str) -> Result<ArrayString<MAX_LABEL>, Misuse> {
    label(name).map_err(|_| Misuse::Parameter("name of a policy"))
}

/// That a policy accepted a device, and on what grounds: to be kept with the subscription that it was issued for.
///
/// Made by [`Policy::appraise`] and by nothing else, so issuing can ask for it by type:
///
/// ```compile_fail,E0451
/// use remote_provisioning::attestation::{Verdict, label};
///
/// let forged = Verdict { policy: label("mine").unwrap(), nonce: [0; 32], appraised: None };
/// ```
///
/// It can be read back from storage, which makes whoever writes to that storage as good as a policy. No secrets in it, at
/// most some 900 bytes. `Display` gives it to a person, in one or two lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    policy: ArrayString<MAX_LABEL>,
    #[serde(with = "serde_bytes")]
    nonce: Hash,
    appraised: Option<Box<Appraised>>,
}

impl Verdict {
    /// The name of the policy.
    pub fn policy(&self) -> &str {
        &self.policy
    }

    /// Whether it is about this session of this device: what [`binding`](super::binding) gave for it.
    pub fn is_for(&self, nonce: &Hash) -> bool {
        self.nonce == *nonce
    }

    /// The evidence, or `None` if the policy was content without and there was none.
    pub fn appraised(&self) -> Option<&Appraised> {
        self.appraised.as_deref()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "accepted by policy \"{}\"", self.policy)?;
        match &self.appraised {
            Some(appraised) => write!(f, ": {appraised}"),
            None => f.write_str(" without evidence"),
        }
    }
}

/// Evidence that a policy accepted, and what it stated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Appraised {
    #[serde(with = "serde_bytes")]
    hash: Hash,
    format: Format,
    instance: Ueid,
    #[serde(with = "serde_bytes")]
    implementation: ImplementationId,
    boot: Option<BootState>,
    debug: Option<DebugState>,
    life_cycle: Option<LifeCycle>,
    class: Option<DeviceClass>,
    known_software: bool,
    software: ArrayVec<Installed, MAX_COMPONENTS>,
}

/// What a component is, and its version.
type Installed = (Option<ArrayString<MAX_LABEL>>, Option<ArrayString<MAX_LABEL>>);

impl Appraised {
    fn new(hash: Hash, claims: &Claims) -> Self {
        Self {
            hash,
            format: claims.format,
            instance: claims.instance.clone(),
            implementation: claims.implementation,
            boot: claims.boot,
            debug: claims.debug,
            life_cycle: claims.life_cycle,
            class: claims.class,
            known_software: claims.measured == Measured::Match,
            software: claims.components.iter().map(|component| (component.kind, component.version)).collect(),
        }
    }

    /// SHA-256 over the evidence.
    pub const fn hash(&self) -> &Hash {
        &self.hash
    }

    /// Its format.
    pub const fn format(&self) -> Format {
        self.format
    }

    /// The instance id of its key.
    pub const fn instance(&self) -> &Ueid {
        &self.instance
    }

    /// The implementation that the device is of.
    pub const fn implementation(&self) -> &ImplementationId {
        &self.implementation
    }

    /// The boot state.
    pub const fn boot(&self) -> Option<BootState> {
        self.boot
    }

    /// The debug state.
    pub const fn debug(&self) -> Option<DebugState> {
        self.debug
    }

    /// The life cycle state.
    pub const fn life_cycle(&self) -> Option<LifeCycle> {
        self.life_cycle
    }

    /// The class of the device.
    pub const fn class(&self) -> Option<DeviceClass> {
        self.class
    }

    /// Whether all of its software was among the reference values.
    pub const fn known_software(&self) -> bool {
        self.known_software
    }

    /// Its software: what each component is, and its version.
    pub fn software(&self) -> impl Iterator<Item = (Option<&str>, Option<&str>)> {
        self.software.iter().map(|(kind, version)| (kind.as_deref(), version.as_deref()))
    }
}

impl fmt::Display for Appraised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let format = match self.format {
            Format::Psa => "PSA token",
            Format::Eat => "EAT",
        };
        write!(f, "{format} ")?;
        self.hash.iter().take(8).try_for_each(|byte| write!(f, "{byte:02x}"))?;
        write!(f, " of {}", self.instance)?;
        if let Some(life_cycle) = self.life_cycle {
            write!(f, ", {life_cycle}")?;
        }
        f.write_str(match self.boot {
            Some(BootState::Authorised) => ", authorised boot",
            Some(BootState::Unauthorised) => ", unauthorised boot",
            None => "",
        })?;
        f.write_str(match self.debug {
            Some(DebugState::Enabled) => ", debug enabled",
            Some(DebugState::Disabled) => ", debug disabled",
            Some(DebugState::DisabledSinceBoot) => ", debug disabled since boot",
            Some(DebugState::DisabledPermanently) => ", debug disabled permanently",
            Some(DebugState::DisabledFullyAndPermanently) => ", debug disabled fully and permanently",
            None => "",
        })?;
        f.write_str(if self.known_software { ", known software" } else { ", software not compared" })?;
        let separators = core::iter::once("\n ").chain(core::iter::repeat(","));
        for ((kind, version), separator) in self.software().zip(separators) {
            write!(f, "{separator} {} {}", kind.unwrap_or("unnamed"), version.unwrap_or("of no version"))?;
        }
        Ok(())
    }
}
