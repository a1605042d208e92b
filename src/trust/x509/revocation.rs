//! Revocation lists (RFC 5280 §5), and what of them is never forgotten.
//!
//! ```text
//! DER ─▶ RevocationList::new: signature of its issuer, P-256, cRLSign ─▶ Revocations::add ─▶ every path validation
//!                               epoch = cRLNumber (§5.2.3)                │
//!                                                                         └ floors: the highest epoch of each issuer
//! ```
//!
//! **The epoch never goes back.** A list below its issuer's floor is not taken in, and where there is a floor and no list
//! that reaches it, whatever that issuer has issued is refused. So make [`Revocations::floors`] durable where a backup of the
//! lists does not reach (the log, an HSM's counter), and hand them to [`Revocations::raise`] before anything else: a server
//! that was restored together with an old list then refuses, and does not believe.
//!
//! **Time.** With a clock, a list past its `nextUpdate` is refused like one that is missing. Without one, the epoch is all
//! that can be gone by.

use alloc::{collections::BTreeMap, vec::Vec};

use webpki::{CertRevocationList, OwnedCertRevocationList};
use x509_cert::{
    crl::CertificateList,
    der::{Decode, Encode, oid::AssociatedOid},
    ext::pkix::CrlNumber,
};

use super::{ECDSA_WITH_SHA_256, key_usage, p256_key, raw_signature, read};
use crate::{
    crypto::{Crypto, Hash},
    error::Untrusted,
};

/// Longest list, in bytes. Lists come from the operator's own systems, so it may be more than a message.
pub const MAX_LIST: usize = 1 << 20;

/// A revocation list whose signature has been checked.
#[derive(Debug)]
pub struct RevocationList {
    /// SHA-256 over the issuer's name, as webpki has it: DER without the outermost head.
    issuer: Hash,
    epoch: u64,
    list: CertRevocationList<'static>,
}

impl RevocationList {
    /// Reads a list in DER that the CA with this certificate signed. Whether the CA is to be believed shows when a chain
    /// leads through it.
    ///
    /// # Errors
    /// [`Untrusted::BadRevocationList`] if it is not a complete list of version 2 with a `cRLNumber` below 2^64, or not DER,
    /// or not signed with ecdsa-with-SHA256 by that CA; [`Untrusted::WrongUsage`] if the CA may not sign lists (§4.2.1.3).
    pub fn new(der: &[u8], issuer: &[u8], crypto: &dyn Crypto) -> Result<Self, Untrusted> {
        const BAD: Untrusted = Untrusted::BadRevocationList;
        let issuer = read(issuer)?;
        if key_usage(&issuer)?.is_some_and(|usage| !usage.crl_sign()) {
            return Err(Untrusted::WrongUsage);
        }
        if der.len() > MAX_LIST {
            return Err(BAD);
        }
        let list: CertificateList = CertificateList::from_der(der).map_err(|_| BAD)?;
        let tbs = &list.tbs_cert_list;
        if list.to_der().map_err(|_| BAD)? != der || list.signature_algorithm.oid != ECDSA_WITH_SHA_256 {
            return Err(BAD);
        }
        let name = tbs.issuer.to_der().map_err(|_| BAD)?;
        if name != issuer.tbs_certificate().subject().to_der().map_err(|_| BAD)? {
            return Err(BAD);
        }
        let key = p256_key(issuer.tbs_certificate().subject_public_key_info())?;
        let key = crypto.point(key).map_err(|_| Untrusted::BadCertificate)?;
        let signature = list.signature.as_bytes().and_then(raw_signature).ok_or(BAD)?;
        crypto.verify(&key, &tbs.to_der().map_err(|_| BAD)?, &signature).map_err(|_| BAD)?;

        let numbers = tbs.crl_extensions.iter().flatten().filter(|extension| extension.extn_id == CrlNumber::OID);
        let mut numbers = numbers.map(|extension| CrlNumber::from_der(extension.extn_value.as_bytes()));
        let (Some(Ok(CrlNumber(number))), None) = (numbers.next(), numbers.next()) else { return Err(BAD) };
        let epoch =
            number.as_bytes().iter().try_fold(0_u64, |sum, byte| Some(sum.checked_mul(256)? | u64::from(*byte)));
        let list: CertRevocationList<'static> = OwnedCertRevocationList::from_der(der).map_err(|_| BAD)?.into();
        Ok(Self { issuer: crypto.sha256(&[list.issuer()]), epoch: epoch.ok_or(BAD)?, list })
    }

    /// What names its issuer: a hash of the CA's subject.
    pub const fn issuer(&self) -> &Hash {
        &self.issuer
    }

    /// Its number (`cRLNumber`), which grows with every list of this issuer.
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }
}

/// The newest list of each issuer, and the floors below which no list counts.
#[derive(Debug, Default)]
pub struct Revocations {
    lists: Vec<RevocationList>,
    floors: BTreeMap<Hash, u64>,
    demanded: bool,
}

impl Revocations {
    /// No lists and no floors: whoever is below an anchor is believed until it expires.
    pub const fn none() -> Self {
        Self { lists: Vec::new(), floors: BTreeMap::new(), demanded: false }
    }

    /// Every certificate of a chain needs a list of its issuer.
    pub const fn demanded() -> Self {
        Self { lists: Vec::new(), floors: BTreeMap::new(), demanded: true }
    }

    /// Takes a list in, in place of the one that its issuer had, and raises the floor to it.
    ///
    /// # Errors
    /// [`Untrusted::RevocationStale`] if its epoch is below the floor; nothing has changed.
    pub fn add(&mut self, list: RevocationList) -> Result<(), Untrusted> {
        if self.floors.get(&list.issuer).is_some_and(|floor| list.epoch < *floor) {
            return Err(Untrusted::RevocationStale);
        }
        self.floors.insert(list.issuer, list.epoch);
        self.lists.retain(|other| other.issuer != list.issuer);
        self.lists.push(list);
        Ok(())
    }

    /// The floors: the issuer, and the highest epoch seen of it. To be made durable.
    pub fn floors(&self) -> impl Iterator<Item = (&Hash, u64)> {
        self.floors.iter().map(|(issuer, epoch)| (issuer, *epoch))
    }

    /// Raises the floor of an issuer to what was durable; never lowers it.
    pub fn raise(&mut self, issuer: Hash, epoch: u64) {
        let floor = self.floors.entry(issuer).or_default();
        *floor = epoch.max(*floor);
    }

    /// Whether a certificate whose issuer has no list is refused.
    pub(super) const fn is_demanded(&self) -> bool {
        self.demanded
    }

    pub(super) fn lists(&self) -> Vec<&CertRevocationList<'static>> {
        self.lists.iter().map(|list| &list.list).collect()
    }

    /// That for an issuer with a floor there is a list that reaches it.
    pub(super) fn check_floor(&self, issuer_name: &[u8], crypto: &dyn Crypto) -> Result<(), Untrusted> {
        if self.floors.is_empty() {
            return Ok(());
        }
        let issuer = crypto.sha256(&[issuer_name]);
        let reached = |floor: &u64| self.lists.iter().any(|list| list.issuer == issuer && list.epoch >= *floor);
        if self.floors.get(&issuer).is_none_or(reached) { Ok(()) } else { Err(Untrusted::RevocationStale) }
    }
}
