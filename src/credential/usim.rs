//! Where K lives.

use crate::{
    aka::{self, Answer, Challenge, Milenage, Output, sqn::Profile},
    credential::{
        Activation, Algorithm, Exporter, KeyName, MilenageParameters, Package, Previous, ServiceProfile, SuciData, Txn,
    },
    crypto::{Crypto, Hash, Secret, SecretBytes},
    error::{Backend, Error, Malformed, Misbehaved},
    identity::{Domain, Supi},
    store::Slot,
    wire::{self, Raw, wire_map},
};

/// A sealed package on its way into a USIM.
#[derive(Clone, Copy)]
pub struct Offered<'a> {
    /// Production or test.
    pub domain: Domain,
    /// The transaction.
    pub txn: &'a Txn,
    /// The COSE_Encrypt0.
    pub sealed: &'a [u8],
    /// The session it was sealed in.
    pub exporter: &'a dyn Exporter,
}

impl core::fmt::Debug for Offered<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Offered").field("txn", &self.txn).finish_non_exhaustive()
    }
}

/// What the device learns of a package that its USIM took in. No secret among it but `content`.
#[derive(Debug)]
pub struct Installed {
    /// The new subscription.
    pub supi: Supi,
    /// Its epoch.
    pub epoch: u32,
    /// Its algorithm set.
    pub algorithm: Algorithm,
    /// When it may be relied on.
    pub activation: Activation,
    /// What becomes of the one in use.
    pub previous: Previous,
    /// SHA-256 over the sealed package.
    pub package_hash: Hash,
    /// The answer to the activation challenge: RES, 4 to 16 bytes.
    pub res: Output,
    /// What the slot is to hold: the credential itself, or a handle into a secure element.
    pub content: SecretBytes,
}

/// Where K lives: [`SoftUsim`], or a secure element that gets the sealed package and the exporter, and from then on keeps
/// K to itself. During that one call the host could compute K too, because it holds the session; where that is too much,
/// the session has to run in the element as well.
///
/// An implementation opens the package with [`open`](crate::credential::open), makes K with
/// [`derive_k`](crate::credential::derive_k), and answers [`Package::challenge`].
///
/// **What a wrong answer costs.** A USIM that accepts a challenge twice can be replayed; one that answers before the MAC
/// is checked leaks; one that erases the other slot on install can leave a device without credential.
pub trait Usim {
    /// Opens a package, makes K, and answers the activation challenge. Nothing is final before the caller has committed
    /// [`Installed::content`] to `slot`: an install without commit is overwritten by the next one.
    ///
    /// # Errors
    /// [`Untrusted`](crate::error::Untrusted) if the package does not open in this session;
    /// [`Malformed`](crate::error::Malformed) if it is none; [`Misbehaved::WrongOffer`] if the challenge was not made
    /// with K; [`Backend::Usim`].
    fn install(&mut self, slot: Slot, offered: &Offered<'_>, crypto: &dyn Crypto) -> Result<Installed, Error>;

    /// Answers an AKA challenge from the credential in `content`, and gives the content that must be durable before the
    /// answer leaves, because an SQN has been used up. On a wrong MAC or SQN the content stays as it is.
    ///
    /// # Errors
    /// [`Backend::Usim`] if `content` is not what this USIM made.
    fn authenticate(
        &mut self,
        slot: Slot,
        content: &SecretBytes,
        challenge: &Challenge,
    ) -> Result<(Answer, Option<SecretBytes>), Backend>;

    /// The slot is committed to be empty: let go of whatever this USIM keeps for it elsewhere. One that cannot do it at the
    /// moment does it before the next install.
    fn erase(&mut self, slot: Slot);
}

wire_map! {
    /// What [`SoftUsim`] keeps in a slot. K and SQN stand in one value, are only ever written together, and belong together:
    /// `sqn` is the form of [`aka::Card`], which another K refuses.
    struct Stored<'a> {
        1 => epoch: u32,
        2 => supi: Supi,
        3 => algorithm: Algorithm,
        4 => k: &'a [u8; 16],
        5 => opc: &'a [u8; 16],
        6 => sqn: &'a [u8],
        /// A [`SuciData`], as it came.
        7 => suci: Option<Raw<'a>>,
        /// A [`ServiceProfile`], as it came.
        8 => profile: Option<Raw<'a>>,
    }
}

wire_map! {
    /// A [`Package`] as far as this USIM looks into it: the other parts are long, and go into the slot as they are.
    struct Outline<'a> {
        1 => epoch: u32,
        2 => supi: Supi,
        3 => algorithm: Algorithm,
        4 => parameters: MilenageParameters<'a>,
        5 => challenge: Challenge,
        6 => suci: Option<Raw<'a>>,
        7 => profile: Option<Raw<'a>>,
        8 => activation: Activation,
        9 => previous: Previous,
    }
}

/// That all of a package is one. In a frame of its own, which is gone when K is made.
#[inline(never)]
fn check(package: &[u8]) -> Result<(), Malformed> {
    wire::decode::<Package<'_>>(package).map(|_| ())
}

/// A USIM in software: its credential is the content of the slot, in clear. The store has to guard it.
#[derive(Clone, Copy, Debug, Default)]
pub struct SoftUsim;

/// What a credential says besides its secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card<'a> {
    /// The subscription.
    pub supi: Supi,
    /// Its epoch.
    pub epoch: u32,
    /// Its algorithm set.
    pub algorithm: Algorithm,
    /// For concealing the SUPI.
    pub suci: Option<SuciData<'a>>,
    /// What it is for.
    pub profile: Option<ServiceProfile>,
}

impl SoftUsim {
    /// Reads the content of a slot that this USIM made, without its secrets.
    ///
    /// # Errors
    /// [`Backend::Usim`] if it is not such content.
    pub fn card(content: &SecretBytes) -> Result<Card<'_>, Backend> {
        let Stored { supi, epoch, algorithm, suci, profile, .. } =
            wire::decode(content.bytes()).map_err(|_| Backend::Usim)?;
        let suci = suci.map(|Raw(suci)| wire::decode(suci)).transpose().map_err(|_| Backend::Usim)?;
        let profile = profile.map(|Raw(profile)| wire::decode(profile)).transpose().map_err(|_| Backend::Usim)?;
        Ok(Card { supi, epoch, algorithm, suci, profile })
    }
}

impl Usim for SoftUsim {
    /// All there is, is the content of the slot.
    fn erase(&mut self, _: Slot) {}

    fn install(&mut self, _: Slot, offered: &Offered<'_>, crypto: &dyn Crypto) -> Result<Installed, Error> {
        let Offered { domain, txn, sealed, exporter } = *offered;
        let opened = super::open(sealed, domain, txn, exporter, crypto)?;
        check(opened.bytes())?;
        let package: Outline<'_> = wire::decode(opened.bytes())?;
        let name = KeyName { algorithm: package.algorithm, supi: &package.supi, epoch: package.epoch, txn };
        let k = super::derive_k(&name, exporter, crypto)?;
        let opc = Secret::from_slice(package.parameters.opc)?;
        let mut card = aka::Card::new(Milenage::new(&k, &opc), Profile::default());
        let Answer::Success(keys) = card.authenticate(&package.challenge) else {
            return Err(Misbehaved::WrongOffer.into());
        };
        let stored = Stored {
            epoch: package.epoch,
            supi: package.supi,
            algorithm: package.algorithm,
            k: k.bytes(),
            opc: opc.bytes(),
            sqn: &card.to_bytes(),
            suci: package.suci,
            profile: package.profile,
        };
        Ok(Installed {
            supi: package.supi,
            epoch: package.epoch,
            algorithm: package.algorithm,
            activation: package.activation,
            previous: package.previous,
            package_hash: super::package_hash(sealed, crypto),
            res: keys.res.clone(),
            content: SecretBytes::new(wire::encode(&stored)),
        })
    }

    fn authenticate(
        &mut self,
        _: Slot,
        content: &SecretBytes,
        challenge: &Challenge,
    ) -> Result<(Answer, Option<SecretBytes>), Backend> {
        let stored: Stored<'_> = wire::decode(content.bytes()).map_err(|_| Backend::Usim)?;
        let milenage = Milenage::new(&Secret::from_slice(stored.k)?, &Secret::from_slice(stored.opc)?);
        let card = aka::Card::from_bytes(milenage, Profile::default(), stored.sqn);
        let mut card = card.map_err(|_| Backend::Usim)?;
        let answer = card.authenticate(challenge);
        let content = match answer {
            Answer::Success(_) => Some(SecretBytes::new(wire::encode(&Stored { sqn: &card.to_bytes(), ..stored }))),
            Answer::SyncFailure { .. } | Answer::MacFailure => None,
        };
        Ok((answer, content))
    }
}
