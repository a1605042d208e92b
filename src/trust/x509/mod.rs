//! X.509: from a chain of certificates to an [`Anchor`], and from the end entity to a [`Peer`].
//!
//! ```text
//! chain  leaf ◀─ issuer ◀─ issuer ─ ─ ─▶ Anchor (name and key, not sent)
//!        1. each is DER, at most 2,048 bytes, no extension twice; each names the next as its issuer
//!        2. key usage: the leaf may sign or agree, each issuer may sign certificates; the domain, where one names it
//!        3. RFC 5280 §6.1 by rustls-webpki: signatures, validity, basic and name constraints, critical extensions,
//!           revocation lists; before that, that no list is below its issuer's floor (see [`Revocations`])
//!        4. the leaf's subject gives the name, its SubjectPublicKeyInfo the key
//! ```
//!
//! **Why two libraries.** Path validation is `rustls-webpki`: no_std, fuzzed, in wide use, strict by default, with
//! budgets against hostile chains and with the signature check left to us, so that it runs on whatever [`Crypto`] is
//! there. It tells nothing of key usage and subject names, which the web does not need and IDevIDs (IEEE 802.1AR §8)
//! do; those are read with `x509-cert`, from the same bytes. To keep the two from reading different things, a
//! certificate has to be DER: what `x509-cert` decodes must encode to the bytes that came.
//!
//! **Names and usages.**
//!
//! | role | its name is the one | key usage |
//! |---|---|---|
//! | device | `serialNumber` (2.5.4.5) of the subject (IEEE 802.1AR §8.6) | absent, or `digitalSignature` or `keyAgreement` |
//! | operator | `commonName` (2.5.4.3) | the same |
//! | relay | `serialNumber`: it is a device too | `digitalSignature`, and not `keyAgreement`: it signs announcements, no more |
//!
//! Nothing else in a certificate tells one role from another: an anchor is for one role, so a root above several kinds must
//! not be an anchor; make anchors of the intermediates instead.
//!
//! **Domains.** A certificate may say by its certificate policies that it is for production ([`POLICY_PRODUCTION`]) or for
//! tests ([`POLICY_TEST`]), as may any CA above it. It is refused in the other domain, whatever domain its anchor was added
//! for; so is one that says both. One that says neither is of its anchor's domain.
//!
//! **Time.** Without a clock the chain is judged at the latest `notBefore` in it. `99991231235959Z`, the `notAfter` of
//! an IDevID without an end (RFC 5280 §4.1.2.5), is a date like any other.
//!
//! **Stricter than RFC 5280.** P-256 with ecdsa-with-SHA256 only; version 3 only; subjects in a chain differ; names
//! match byte for byte; nobody vouches for itself; a chain that constrains directory names is refused, because that cannot be checked here; the
//! order is leaf to root with nothing out of line. Certificates above the one that an anchor issued (the root itself,
//! say) only cost bytes.
//!
//! **Not checked.** Other certificate policies (critical ones are refused). Which extended key usages
//! there are (they must parse). Key identifiers. An anchor's own validity and path length: trusting it was a decision,
//! not a deduction (RFC 5280 §6.1.1).

mod revocation;

use alloc::vec::Vec;
use core::{fmt, time::Duration};

use arrayvec::ArrayVec;
use pki_types::{
    AlgorithmIdentifier, CertificateDer, Der, InvalidSignature, SignatureVerificationAlgorithm, TrustAnchor, UnixTime,
    alg_id,
};
use webpki::{
    EndEntityCert, ExpirationPolicy, ExtendedKeyUsageValidator, KeyPurposeIdIter, RevocationCheckDepth,
    RevocationOptionsBuilder, UnknownStatusPolicy,
};
use x509_cert::{
    Certificate,
    der::{
        Decode, Encode, Reader as _, SliceReader, Tag, Tagged,
        asn1::{ObjectIdentifier, UintRef},
        oid::db::{
            rfc4519::{COMMON_NAME, SERIAL_NUMBER},
            rfc5912::{ECDSA_WITH_SHA_256, ID_EC_PUBLIC_KEY, SECP_256_R_1},
        },
    },
    ext::pkix::{BasicConstraints, CertificatePolicies, KeyUsage},
    spki::SubjectPublicKeyInfoOwned,
};

pub use self::revocation::{MAX_LIST, RevocationList, Revocations};
use super::{Date, MAX_CERTIFICATE, MAX_CHAIN, Peer, TrustAnchors, Usage, certificate_credential};
use crate::{
    crypto::{Crypto, Hash, PublicKey, Signature},
    error::{Result, Untrusted},
    identity::{Domain, PeerName, Role},
};

/// The certificate policy of what is for production. Provisional, like [`POLICY_TEST`]: below the arc 2.25, whose next number stands for EAD label 0xCE11.
pub const POLICY_PRODUCTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.25.52753.0");

/// The certificate policy of what is for tests.
pub const POLICY_TEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.25.52753.1");

/// A root that this party trusts, for one role and one domain: a name and a key.
#[derive(Clone, PartialEq, Eq)]
pub struct Anchor {
    role: Role,
    domain: Domain,
    anchor: TrustAnchor<'static>,
}

impl Anchor {
    /// Takes name, key and name constraints from a CA certificate. The certificate's signature and dates are not looked
    /// at: calling this is what makes it trusted.
    ///
    /// # Errors
    /// [`Untrusted`]: if it is not a DER certificate with a P-256 key, not one of a CA that may sign certificates, or one
    /// that says it is for the other domain.
    pub fn from_certificate(der: &[u8], role: Role, domain: Domain) -> Result<Self, Untrusted> {
        let certificate = read(der)?;
        p256_key(certificate.tbs_certificate().subject_public_key_info())?;
        check_issuer(&certificate)?;
        check_domain(&certificate, domain)?;
        let der = CertificateDer::from(der);
        let anchor = webpki::anchor_from_trusted_cert(&der).map_err(|error| reason(&error))?.to_owned();
        Ok(Self { role, domain, anchor })
    }

    /// The side it vouches for.
    pub const fn role(&self) -> Role {
        self.role
    }

    /// Production or test.
    pub const fn domain(&self) -> Domain {
        self.domain
    }

    /// What names this anchor: the SHA-256 hash of its SubjectPublicKeyInfo, so of its key alone.
    pub fn id(&self, crypto: &dyn Crypto) -> Hash {
        id(&self.anchor, crypto)
    }

    /// Whether `other` has the same key.
    pub(super) fn same_key(&self, other: &Self) -> bool {
        self.anchor.subject_public_key_info == other.anchor.subject_public_key_info
    }

    fn borrow(&self) -> TrustAnchor<'_> {
        TrustAnchor {
            subject: Der::from_slice(self.anchor.subject.as_ref()),
            subject_public_key_info: Der::from_slice(self.anchor.subject_public_key_info.as_ref()),
            name_constraints: self.anchor.name_constraints.as_ref().map(|der| Der::from_slice(der.as_ref())),
        }
    }
}

impl fmt::Debug for Anchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Anchor({:?}, {:?})", self.role, self.domain)
    }
}

fn id(anchor: &TrustAnchor<'_>, crypto: &dyn Crypto) -> Hash {
    crypto.sha256(&[webpki::spki_for_anchor(anchor).as_ref()])
}

/// Validates a chain, end entity first.
pub(super) fn validate(
    chain: &ArrayVec<&[u8], MAX_CHAIN>,
    role: Role,
    domain: Domain,
    anchors: &dyn TrustAnchors,
    crypto: &dyn Crypto,
    date: Option<Date>,
) -> Result<Peer> {
    let certificates = chain.iter().map(|der| read(der)).collect::<Result<Vec<_>, _>>()?;
    let (leaf, issuers) = certificates.split_first().ok_or(Untrusted::BadCertificate)?;
    let usage = leaf_usage(leaf, role)?;
    issuers.iter().try_for_each(check_issuer)?;
    issuers.iter().try_for_each(|issuer| p256_key(issuer.tbs_certificate().subject_public_key_info()).map(|_| ()))?;
    certificates.iter().try_for_each(|certificate| check_domain(certificate, domain))?;
    let name = name(leaf, role)?;
    let key = p256_key(leaf.tbs_certificate().subject_public_key_info())?;

    let ders: Vec<CertificateDer<'_>> = chain.iter().map(|der| CertificateDer::from(*der)).collect();
    let parsed = ders
        .iter()
        .map(|der| EndEntityCert::try_from(der).map_err(|error| reason(&error)))
        .collect::<Result<Vec<_>, _>>()?;
    check_links(&parsed)?;
    let revocations = anchors.revocations();
    parsed.iter().try_for_each(|certificate| revocations.check_floor(certificate.issuer(), crypto))?;
    let lists = revocations.lists();
    let options = RevocationOptionsBuilder::new(&lists).ok().map(|options| {
        options
            .with_depth(RevocationCheckDepth::Chain)
            .with_status_policy(match revocations.is_demanded() {
                true => UnknownStatusPolicy::Deny,
                false => UnknownStatusPolicy::Allow,
            })
            .with_expiration_policy(match date {
                Some(_) => ExpirationPolicy::Enforce,
                None => ExpirationPolicy::Ignore,
            })
            .build()
    });
    if options.is_none() && revocations.is_demanded() {
        return Err(Untrusted::RevocationStale.into());
    }

    let candidates: Vec<TrustAnchor<'_>> = anchors
        .anchors()
        .iter()
        .filter(|anchor| anchor.role == role && anchor.domain == domain)
        .filter(|anchor| parsed.iter().any(|certificate| certificate.issuer() == anchor.anchor.subject.as_ref()))
        .map(Anchor::borrow)
        .collect();
    let (end_entity, _) = parsed.split_first().ok_or(Untrusted::BadCertificate)?;
    let path = end_entity
        .verify_for_usage(
            &[&EcdsaP256Sha256(crypto)],
            &candidates,
            ders.get(1..).unwrap_or_default(),
            moment(&certificates, date),
            AnyUsage,
            options,
            None,
        )
        .map_err(|error| match (reason(&error), date) {
            // Judged at the latest notBefore: whatever has expired by then was never valid together with the rest.
            (Untrusted::Expired, None) => Untrusted::NotYetValid,
            (reason, _) => reason,
        })?;

    let credential = certificate_credential(end_entity.der().as_ref());
    let key = crypto.point(key).map_err(|_| Untrusted::BadCertificate)?;
    Ok(Peer::new(&credential, key, name, role, domain, usage).below(id(path.anchor(), crypto)))
}

/// The moment at which a chain is judged: now, or on a device without a clock the first one at which all of it may be
/// valid.
fn moment(certificates: &[Certificate], date: Option<Date>) -> UnixTime {
    let seconds = date.map(|date| Duration::from_secs(date.0));
    let not_before = |certificate: &Certificate| certificate.tbs_certificate().validity().not_before.to_unix_duration();
    UnixTime::since_unix_epoch(seconds.or_else(|| certificates.iter().map(not_before).max()).unwrap_or_default())
}

/// RFC 9360 §2: each certificate certifies the one before it. With subjects that all differ, the search for a path has
/// one way to go, however hostile the chain.
fn check_links(chain: &[EndEntityCert<'_>]) -> Result<(), Untrusted> {
    let mut rest = chain;
    while let Some((certificate, above)) = rest.split_first() {
        if above.iter().any(|other| other.subject() == certificate.subject()) {
            return Err(Untrusted::BadCertificate);
        }
        if rest.len() == chain.len() && certificate.subject() == certificate.issuer() {
            return Err(Untrusted::SelfSigned);
        }
        if above.first().is_some_and(|issuer| issuer.subject() != certificate.issuer()) {
            return Err(Untrusted::NoAnchor);
        }
        rest = above;
    }
    Ok(())
}

// ---------------------------------------------------------------------------------------------- reading certificates

fn read(der: &[u8]) -> Result<Certificate, Untrusted> {
    if der.len() > MAX_CERTIFICATE {
        return Err(Untrusted::CertificateTooLong);
    }
    let certificate = Certificate::from_der(der).map_err(|_| Untrusted::BadCertificate)?;
    if certificate.to_der().map_err(|_| Untrusted::BadCertificate)? != der {
        return Err(Untrusted::BadCertificate);
    }
    // RFC 5280 §4.2: no extension twice. webpki sees this for the extensions that it knows.
    let mut rest = certificate.tbs_certificate().extensions().map(Vec::as_slice).unwrap_or_default();
    while let Some((extension, others)) = rest.split_first() {
        if others.iter().any(|other| other.extn_id == extension.extn_id) {
            return Err(Untrusted::DuplicateExtension);
        }
        rest = others;
    }
    Ok(certificate)
}

fn key_usage(certificate: &Certificate) -> Result<Option<KeyUsage>, Untrusted> {
    let found = certificate.tbs_certificate().get_extension::<KeyUsage>();
    Ok(found.map_err(|_| Untrusted::BadCertificate)?.map(|(_, usage)| usage))
}

fn leaf_usage(leaf: &Certificate, role: Role) -> Result<Usage, Untrusted> {
    let usage = key_usage(leaf)?.map(|usage| Usage { sign: usage.digital_signature(), agree: usage.key_agreement() });
    match (role, usage) {
        (Role::Device | Role::Operator, None) => Ok(Usage::ANY),
        (Role::Device | Role::Operator, Some(usage)) if usage.sign || usage.agree => Ok(usage),
        (Role::Relay, Some(usage)) if usage.sign && !usage.agree => Ok(usage),
        _ => Err(Untrusted::WrongUsage),
    }
}

/// That no certificate policy says that this is for the other domain.
fn check_domain(certificate: &Certificate, domain: Domain) -> Result<(), Untrusted> {
    let found = certificate.tbs_certificate().get_extension::<CertificatePolicies>();
    let Some((_, policies)) = found.map_err(|_| Untrusted::BadCertificate)? else { return Ok(()) };
    let other = match domain {
        Domain::Production => POLICY_TEST,
        Domain::Test => POLICY_PRODUCTION,
    };
    let is_other = policies.0.iter().any(|policy| policy.policy_identifier == other);
    if is_other { Err(Untrusted::WrongDomain) } else { Ok(()) }
}

/// RFC 5280 §6.1.4 (k), said of each issuer before anything is computed, and (n), which webpki leaves out.
fn check_issuer(issuer: &Certificate) -> Result<(), Untrusted> {
    let constraints = issuer.tbs_certificate().get_extension::<BasicConstraints>();
    if !constraints.map_err(|_| Untrusted::BadCertificate)?.is_some_and(|(_, constraints)| constraints.ca) {
        return Err(Untrusted::NotCa);
    }
    if key_usage(issuer)?.is_none_or(|usage| usage.key_cert_sign()) { Ok(()) } else { Err(Untrusted::WrongUsage) }
}

/// The one attribute that names a device or an operator.
fn name(leaf: &Certificate, role: Role) -> Result<PeerName, Untrusted> {
    let attribute = match role {
        Role::Device | Role::Relay => SERIAL_NUMBER,
        Role::Operator => COMMON_NAME,
    };
    let mut found = leaf.tbs_certificate().subject().iter().filter(|pair| pair.oid == attribute);
    let (Some(name), None) = (found.next(), found.next()) else { return Err(Untrusted::BadCertificate) };
    match name.value.tag() {
        Tag::PrintableString | Tag::Utf8String => {}
        _ => return Err(Untrusted::BadCertificate),
    }
    let name = core::str::from_utf8(name.value.value()).map_err(|_| Untrusted::BadCertificate)?;
    name.parse().map_err(|_| Untrusted::BadCertificate)
}

/// The encoded point of a P-256 key (RFC 5480 §2).
fn p256_key(spki: &SubjectPublicKeyInfoOwned) -> Result<&[u8], Untrusted> {
    let curve = spki.algorithm.parameters.as_ref().and_then(|any| any.decode_as::<ObjectIdentifier>().ok());
    if spki.algorithm.oid != ID_EC_PUBLIC_KEY || curve != Some(SECP_256_R_1) {
        return Err(Untrusted::WrongCurve);
    }
    let point = spki.subject_public_key.as_bytes().ok_or(Untrusted::BadCertificate)?;
    if is_sec1_point(point) { Ok(point) } else { Err(Untrusted::BadCertificate) }
}

/// Whether this looks like an uncompressed or a compressed point (RFC 5480 §2.2), and not like anything else that a
/// [`Crypto`] may know how to read, such as a bare x.
const fn is_sec1_point(point: &[u8]) -> bool {
    matches!((point.first(), point.len()), (Some(4), 65) | (Some(2 | 3), 33))
}

// -------------------------------------------------------------------------------------------------------- for webpki

/// Any extended key usage, as long as it parses.
struct AnyUsage;

impl ExtendedKeyUsageValidator for AnyUsage {
    fn validate(&self, mut purposes: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        purposes.try_for_each(|purpose| purpose.map(|_| ()))
    }
}

/// ecdsa-with-SHA256 on P-256 (RFC 5758 §3.2, RFC 5480 §2.1.1), by our own backend.
struct EcdsaP256Sha256<'c>(&'c dyn Crypto);

impl fmt::Debug for EcdsaP256Sha256<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EcdsaP256Sha256")
    }
}

impl SignatureVerificationAlgorithm for EcdsaP256Sha256<'_> {
    fn verify_signature(&self, public_key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        let key: PublicKey = match is_sec1_point(public_key) {
            true => self.0.point(public_key).map_err(|_| InvalidSignature)?,
            false => return Err(InvalidSignature),
        };
        let signature = raw_signature(signature).ok_or(InvalidSignature)?;
        self.0.verify(&key, message, &signature).map_err(|_| InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_P256
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_SHA256
    }
}

/// `Ecdsa-Sig-Value ::= SEQUENCE { r INTEGER, s INTEGER }` (RFC 3279 §2.2.3) as r ‖ s.
fn raw_signature(der: &[u8]) -> Option<Signature> {
    let mut reader = SliceReader::new(der).ok()?;
    let (r, s) = reader.sequence(|pair| Ok::<_, der::Error>((UintRef::decode(pair)?, UintRef::decode(pair)?))).ok()?;
    reader.finish().ok()?;
    let mut raw: Signature = [0; 64];
    let (high, low) = raw.split_at_mut(32);
    for (half, integer) in [(high, r), (low, s)] {
        let bytes = integer.as_bytes();
        half.get_mut(half.len().checked_sub(bytes.len())?..)?.copy_from_slice(bytes);
    }
    Some(raw)
}

/// What webpki's words mean in ours.
fn reason(error: &webpki::Error) -> Untrusted {
    use webpki::Error as E;
    match error {
        E::CertExpired { .. } => Untrusted::Expired,
        E::CertNotValidYet { .. } => Untrusted::NotYetValid,
        E::UnknownIssuer | E::CertDistrusted => Untrusted::NoAnchor,
        E::InvalidSignatureForPublicKey => Untrusted::WrongIssuerKey,
        E::EndEntityUsedAsCa => Untrusted::NotCa,
        E::PathLenConstraintViolated => Untrusted::PathLength,
        E::UnsupportedCriticalExtension => Untrusted::CriticalExtension,
        E::CaUsedAsEndEntity | E::NameConstraintViolation | E::RequiredEkuNotFoundContext(_) => Untrusted::WrongUsage,
        E::CertRevoked => Untrusted::Revoked,
        E::CrlExpired { .. } | E::UnknownRevocationStatus => Untrusted::RevocationStale,
        E::InvalidCrlSignatureForPublicKey | E::IssuerNotCrlSigner => Untrusted::BadRevocationList,
        E::MaximumPathDepthExceeded
        | E::MaximumPathBuildCallsExceeded
        | E::MaximumSignatureChecksExceeded
        | E::MaximumNameConstraintComparisonsExceeded => Untrusted::ChainTooLong,
        // Encodings, versions and algorithms; and what only DNS names can cause.
        _ => Untrusted::BadCertificate,
    }
}

#[cfg(test)]
mod tests {
    use super::raw_signature;

    #[test]
    fn signatures_have_one_encoding() {
        let raw = raw_signature(&[0x30, 7, 2, 1, 5, 2, 2, 0, 0x80]);
        assert!(raw.is_some_and(|raw| raw.iter().map(|byte| u32::from(*byte)).sum::<u32>() == 0x85));
        assert!(raw.is_some_and(|raw| raw.get(31) == Some(&5) && raw.last() == Some(&0x80)));

        let long = |len: u8| [&[0x30, len.saturating_add(5), 2, 1, 5, 2, len][..], &[1; 40]].concat();
        assert!(raw_signature(long(32).get(..39).unwrap_or_default()).is_some());
        assert!(raw_signature(long(33).get(..40).unwrap_or_default()).is_none(), "33 bytes");
        let refused: [&[u8]; 9] = [
            &[],
            &[0x30, 0],
            &[0x30, 3, 2, 1, 5],
            &[0x30, 6, 2, 1, 5, 2, 1, 0x80],
            &[0x30, 7, 2, 1, 5, 2, 2, 0, 0x7f],
            &[0x30, 6, 2, 1, 5, 2, 1, 6, 0],
            &[0x30, 9, 2, 1, 5, 2, 1, 6, 2, 1, 7],
            &[0x30, 0x81, 6, 2, 1, 5, 2, 1, 6],
            &[0x31, 6, 2, 1, 5, 2, 1, 6],
        ];
        for der in refused {
            assert_eq!(raw_signature(der), None, "{der:?}");
        }
    }
}
