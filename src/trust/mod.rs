//! Who is this? One door from a claimed identity to a believed one.
//!
//! ```text
//! ID_CRED_x ─▶ CredentialId ─▶ verify(.., anchors, ..) ─▶ Verified<Peer> ─▶ edhoc checks Signature_or_MAC over CRED_x
//!              claimed            │                        believed, if that check holds too
//!                                 ├ x5chain, x5t ─▶ x509   RFC 5280 path to an Anchor of this role and domain
//!                                 ├ kcwt ─────────▶ cwt    signed by an Issuer for this role and domain
//!                                 └ kid, kccs ────▶ ccs    a Pinned key of this role and domain
//! ```
//!
//! **Anchors are data; validation is ours.** [`TrustAnchors`] only finds anchors, chains and pinned keys. Each
//! [`Anchor`] and [`Pinned`] carries the role and the domain it was made for, and [`verify`] looks at them again after
//! the lookup, so a careless implementation can refuse too much but never accept a device for an operator or a test
//! identity for production. No setting turns a check off.
//!
//! `Verified<Peer>` says that the *credential* is good: this name holds this key, for this role, in this domain. That
//! the peer holds the private key is shown only by the signature or MAC in `edhoc`. A `kid` need not be unique (RFC 9528
//! §3.5.3), so [`verify`] gives [`Candidates`], and that check tells which of them it is.
//!
//! Nobody is believed on first sight: a CCS sent by value counts only if it is pinned already. [`learn`] is the way to
//! say otherwise, and has to be said.
//!
//! *Who* it is does not say *what it may*: whether an operator is the owner of a device is the affair of [`voucher`].
//!
//! Not here: `x5bag`, `x5u` (RFC 9360), C509; an ID_CRED_x of more than one header parameter.

pub mod ccs;
pub mod concealed;
pub mod cwt;
pub mod voucher;
#[cfg(feature = "x509")]
pub mod x509;
#[cfg(not(feature = "x509"))]
#[path = "no_x509.rs"]
pub mod x509;

use alloc::{boxed::Box, vec::Vec};
use core::{fmt, ops::Deref};

use arrayvec::ArrayVec;

pub use self::{
    ccs::Pinned,
    cwt::Issuer,
    voucher::Maker,
    x509::{Anchor, KnownIssuers, RevocationList, Revocations},
};
use crate::{
    crypto::{Crypto, HASH_LEN, Hash, PublicKey},
    error::{Malformed, Misuse, Result, Untrusted},
    identity::{DeviceId, Domain, PeerName, Role},
    wire::{Kind, Reader, Wire, Writer, encode_with},
};

/// Most certificates in a chain, end entity included, anchor left at home.
pub const MAX_CHAIN: usize = 4;

/// Longest certificate, in bytes: half of the longest message (`wire::MAX_MESSAGE`).
pub const MAX_CERTIFICATE: usize = 2048;

/// Longest key identifier, in bytes.
pub const MAX_KID: usize = 64;

/// Most credentials that one `kid` may mean.
pub const MAX_CANDIDATES: usize = 4;

/// COSE hash algorithm SHA-256 (RFC 9054 §2.1).
pub const SHA_256: i64 = -16;

/// COSE hash algorithm SHA-256/64: the first 8 bytes (RFC 9054 §2.1).
pub const SHA_256_64: i64 = -15;

/// Bytes of a SHA-256/64 hash.
const SHORT_HASH_LEN: usize = 8;

/// COSE header `kid` (RFC 9052 §3.1).
const KID: i64 = 4;
/// COSE header `kcwt` (RFC 9528 §10.6).
const KCWT: i64 = 13;
/// COSE header `kccs` (RFC 9528 §10.6).
const KCCS: i64 = 14;
/// COSE header `x5chain` (RFC 9360 §2).
const X5CHAIN: i64 = 33;
/// COSE header `x5t` (RFC 9360 §2).
const X5T: i64 = 34;

// ---------------------------------------------------------------------------------------------------------- claimed

/// What a peer names itself by: ID_CRED_x (RFC 9528 §3.5.3), a COSE header map with one entry. Claimed, not believed.
///
/// ```text
/// ID_CRED_x = { 33: bstr / [2*4 bstr] } / { 34: [-16, bstr .size 32] / [-15, bstr .size 8] }
///           / { 13: COSE_Sign1 } / { 14: { * int => any } } / { 4: bstr }
/// ```
///
/// The [`Wire`] form is always this full map; that a plaintext carries the bare `kid` instead is `edhoc`'s affair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialId<'a> {
    /// `x5chain` (33): DER certificates, end entity first, each issued by the next (RFC 9360 §2).
    Chain(ArrayVec<&'a [u8], MAX_CHAIN>),
    /// `x5t` (34): the hash of an end-entity certificate that the verifier has already.
    Thumbprint {
        /// [`SHA_256`] or [`SHA_256_64`].
        algorithm: i64,
        /// The hash, 32 or 8 bytes.
        hash: &'a [u8],
    },
    /// `kcwt` (13): a CWT: an untagged COSE_Sign1.
    Cwt(&'a [u8]),
    /// `kccs` (14): a CWT Claims Set, a map. Nobody has signed it.
    Ccs(&'a [u8]),
    /// `kid` (4): the identifier of a key that the verifier has already.
    Kid(&'a [u8]),
}

impl<'a> Wire<'a> for CredentialId<'a> {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.map(1);
        match self {
            Self::Chain(chain) => {
                writer.integer(X5CHAIN);
                // RFC 9360 §2: one certificate is a bstr, more are an array.
                if chain.len() != 1 {
                    writer.array(chain.len());
                }
                chain.iter().for_each(|certificate| writer.bytes(certificate));
            }
            Self::Thumbprint { algorithm, hash } => {
                writer.integer(X5T);
                writer.array(2);
                writer.integer(*algorithm);
                writer.bytes(hash);
            }
            Self::Cwt(cwt) => {
                writer.integer(KCWT);
                writer.encoded(cwt);
            }
            Self::Ccs(ccs) => {
                writer.integer(KCCS);
                writer.encoded(ccs);
            }
            Self::Kid(kid) => {
                writer.integer(KID);
                writer.bytes(kid);
            }
        }
    }

    fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        /// The head of a map with one pair.
        const ONE_PAIR: u8 = 0xa1;
        if reader.peek()? != Kind::Map {
            return Err(Malformed::WrongType);
        }
        let Some((&ONE_PAIR, entry)) = reader.raw()?.split_first() else {
            return Err(Malformed::WrongLength);
        };
        let mut entry = Reader::new(entry)?;
        let id = match entry.integer()? {
            X5CHAIN => Self::Chain(read_chain(&mut entry)?),
            X5T => {
                entry.array_of(2)?;
                let algorithm = entry.integer()?;
                let len = match algorithm {
                    SHA_256 => HASH_LEN,
                    SHA_256_64 => SHORT_HASH_LEN,
                    _ => return Err(Malformed::OutOfRange),
                };
                let hash = entry.bytes()?;
                if hash.len() != len {
                    return Err(Malformed::WrongLength);
                }
                Self::Thumbprint { algorithm, hash }
            }
            KCWT => Self::Cwt(read_raw(&mut entry, Kind::Array)?),
            KCCS => Self::Ccs(read_raw(&mut entry, Kind::Map)?),
            KID => Self::Kid(entry.bytes_up_to(MAX_KID)?),
            _ => return Err(Malformed::OutOfRange),
        };
        entry.end()?;
        Ok(id)
    }
}

fn read_raw<'a>(reader: &mut Reader<'a>, kind: Kind) -> Result<&'a [u8], Malformed> {
    if reader.peek()? == kind { reader.raw() } else { Err(Malformed::WrongType) }
}

fn read_chain<'a>(reader: &mut Reader<'a>) -> Result<ArrayVec<&'a [u8], MAX_CHAIN>, Malformed> {
    let len = match reader.peek()? {
        Kind::Bytes => 1,
        _ => match reader.array()? {
            0 | 1 => return Err(Malformed::WrongLength),
            len => len,
        },
    };
    let mut chain = ArrayVec::new();
    for _ in 0..len {
        chain.try_push(reader.bytes_up_to(MAX_CERTIFICATE)?).map_err(|_| Malformed::TooLong)?;
    }
    Ok(chain)
}

// --------------------------------------------------------------------------------------------------------- believed

/// A value that this room has checked. Later steps ask for it by type, so a skipped check does not compile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified<T>(T);

impl<T> Verified<T> {
    /// **The one way around validation**, for policies of your own. Whoever calls this vouches for `value` in the place
    /// of [`verify`]: that the name holds the key, for its role and its domain, today. Search a program for this name
    /// to find all that it believes without proof.
    pub const fn assertion(value: T) -> Self {
        Self(value)
    }

    /// The value.
    pub const fn get(&self) -> &T {
        &self.0
    }

    /// The value alone; that it was verified is forgotten.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// A party: its credential, its key, its name, and what the key may do.
///
/// On the heap: it goes from step to step by value, and a device has little stack.
#[derive(Clone, PartialEq, Eq)]
pub struct Peer(Box<Party>);

#[derive(Clone, PartialEq, Eq)]
struct Party {
    credential: Box<[u8]>,
    public_key: PublicKey,
    name: PeerName,
    role: Role,
    domain: Domain,
    usage: Usage,
    anchor: Option<Hash>,
}

/// What a key may do in EDHOC (RFC 9528 §3.5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Sign: the signature methods.
    pub sign: bool,
    /// Agree: the static Diffie-Hellman methods.
    pub agree: bool,
}

impl Usage {
    /// No restriction.
    pub const ANY: Self = Self { sign: true, agree: true };
}

impl Peer {
    /// From parts, for [`Verified::assertion`]. `credential` is CRED_x (RFC 9528 §3.5.2), byte for byte.
    pub fn new(
        credential: &[u8],
        public_key: PublicKey,
        name: PeerName,
        role: Role,
        domain: Domain,
        usage: Usage,
    ) -> Self {
        let credential = credential.into();
        Self(Box::new(Party { credential, public_key, name, role, domain, usage, anchor: None }))
    }

    /// With the anchor that vouches for it.
    pub(crate) fn below(mut self, anchor: Hash) -> Self {
        self.0.anchor = Some(anchor);
        self
    }

    /// CRED_x exactly as it enters the transcript (RFC 9528 §3.5.2): the certificate in a CBOR byte string, the CWT
    /// untagged, or the CCS map as it was pinned.
    pub const fn credential(&self) -> &[u8] {
        &self.0.credential
    }

    /// The key that the peer authenticates with.
    pub const fn public_key(&self) -> &PublicKey {
        &self.0.public_key
    }

    /// The name that the credential gives its holder. Unique below one anchor only: see [`Peer::anchor`].
    pub const fn name(&self) -> &PeerName {
        &self.0.name
    }

    /// The side that the credential speaks for.
    pub const fn role(&self) -> Role {
        self.0.role
    }

    /// Production or test.
    pub const fn domain(&self) -> Domain {
        self.0.domain
    }

    /// Whether the key may sign (key usage `digitalSignature`, RFC 5280 §4.2.1.3, or no such restriction).
    pub const fn may_sign(&self) -> bool {
        self.0.usage.sign
    }

    /// Whether the key may agree (key usage `keyAgreement`, or no such restriction).
    pub const fn may_agree(&self) -> bool {
        self.0.usage.agree
    }

    /// Which device this is: what to keep records under. Not the name alone: see [`DeviceId`].
    pub fn device_id(&self) -> DeviceId {
        DeviceId::new(self.0.anchor.as_ref().and_then(|anchor| anchor.first_chunk().copied()), self.0.name)
    }

    /// `x509::Anchor::id` of the anchor that the chain ends in, or [`Issuer::id`] of who signed the CWT; `None` for a pinned
    /// key.
    pub const fn anchor(&self) -> Option<&Hash> {
        self.0.anchor.as_ref()
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer")
            .field("name", &self.0.name)
            .field("role", &self.0.role)
            .field("domain", &self.0.domain)
            .field("public_key", &self.0.public_key)
            .finish_non_exhaustive()
    }
}

/// A moment by the calendar: seconds since 1970-01-01T00:00:00Z, leap seconds not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(pub u64);

/// CRED_x of an X.509 certificate: its DER in a CBOR byte string (RFC 9528 §3.5.2).
pub fn certificate_credential(certificate: &[u8]) -> Vec<u8> {
    encode_with(|writer| writer.bytes(certificate))
}

/// The credentials that a claim may mean, one at least: several only where a `kid` does not tell them apart.
#[derive(Clone, Debug)]
pub struct Candidates(ArrayVec<Verified<Peer>, MAX_CANDIDATES>);

impl Candidates {
    /// All of them, in the order in which they are tried.
    pub fn iter(&self) -> impl Iterator<Item = &Verified<Peer>> {
        self.0.iter()
    }
}

impl From<Verified<Peer>> for Candidates {
    fn from(peer: Verified<Peer>) -> Self {
        Self(core::iter::once(peer).collect())
    }
}

impl IntoIterator for Candidates {
    type Item = Verified<Peer>;
    type IntoIter = arrayvec::IntoIter<Verified<Peer>, MAX_CANDIDATES>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// Believes `claimed`, or says why not: the peer's credential is good for `role` in `domain`.
///
/// `date` is `None` on a device without a clock. Then the chain is judged at the latest `notBefore` in it: there must
/// be one moment at which all of it is valid. **Without a clock nobody can see that a certificate has expired.**
///
/// # Errors
/// [`Untrusted::UnknownCredential`] for a reference that the anchors do not resolve (RFC 9528 §6.4);
/// [`Untrusted::NoAnchor`] for a CCS or a CWT that nobody here vouches for; for a chain, whatever [`x509`] finds wrong with
/// it.
pub fn verify(
    claimed: &CredentialId<'_>,
    role: Role,
    domain: Domain,
    anchors: &dyn TrustAnchors,
    crypto: &dyn Crypto,
    date: Option<Date>,
) -> Result<Candidates> {
    let peer = match claimed {
        CredentialId::Chain(chain) => x509::validate(chain, role, domain, anchors, crypto, date)?,
        CredentialId::Thumbprint { algorithm, hash } => {
            let known = anchors.chain(role, *algorithm, hash).ok_or(Untrusted::UnknownCredential)?;
            let mut chain = ArrayVec::new();
            for certificate in known {
                chain.try_push(certificate.as_slice()).map_err(|_| Untrusted::ChainTooLong)?;
            }
            let leaf = chain.first().ok_or(Untrusted::UnknownCredential)?;
            if !is_thumbprint(&crypto.sha256(&[leaf]), *algorithm, hash) {
                return Err(Untrusted::UnknownCredential.into());
            }
            x509::validate(&chain, role, domain, anchors, crypto, date)?
        }
        CredentialId::Cwt(cwt) => cwt::validate(cwt, role, domain, anchors, crypto, date)?,
        CredentialId::Ccs(_) => {
            return pinned(claimed, role, domain, anchors, date)?.ok_or_else(|| Untrusted::NoAnchor.into());
        }
        CredentialId::Kid(_) => {
            return pinned(claimed, role, domain, anchors, date)?.ok_or_else(|| Untrusted::UnknownCredential.into());
        }
    };
    Ok(Verified(peer).into())
}

/// All pinned keys that `claimed` may mean. Dates are held against those, not against the claim: one of two keys with one
/// `kid` may have expired.
fn pinned(
    claimed: &CredentialId<'_>,
    role: Role,
    domain: Domain,
    anchors: &dyn TrustAnchors,
    date: Option<Date>,
) -> Result<Option<Candidates>, Untrusted> {
    let (mut candidates, mut refused) = (ArrayVec::new(), None);
    for pinned in (0..MAX_CANDIDATES).map_while(|number| anchors.pinned(role, domain, claimed, number)) {
        if !pinned.is_for(role, domain, claimed) {
            continue;
        }
        match pinned.check_date(date) {
            Ok(()) if candidates.iter().any(|other: &Verified<Peer>| other.get() == pinned.peer()) => {}
            // Never full: as many rounds as places.
            Ok(()) => candidates.extend(core::iter::once(Verified(pinned.peer().clone()))),
            Err(error) => refused = Some(error),
        }
    }
    match refused {
        Some(error) if candidates.is_empty() => Err(error),
        _ => Ok((!candidates.is_empty()).then_some(Candidates(candidates))),
    }
}

/// **Trust on first use** (RFC 9528 §D.5): believes a CCS that came by value and that nobody vouches for. Whoever is first
/// to speak is believed, so an attacker who is first stays for good; for a laboratory, or where something outside of this
/// protocol shows who is there.
///
/// When the handshake has completed, pin what it was: [`Pinned::from_ccs`] of [`Peer::credential`].
///
/// # Errors
/// [`Untrusted::WrongCredential`] for any other kind of claim; otherwise as [`Pinned::from_ccs`].
pub fn learn(claimed: &CredentialId<'_>, role: Role, domain: Domain, crypto: &dyn Crypto) -> Result<Verified<Peer>> {
    match claimed {
        CredentialId::Ccs(ccs) => Ok(Verified(Pinned::from_ccs(ccs, role, domain, crypto)?.into_peer())),
        _ => Err(Untrusted::WrongCredential.into()),
    }
}

/// Whether `hash` is what `algorithm` makes of a certificate with this SHA-256 hash.
fn is_thumbprint(sha_256: &Hash, algorithm: i64, hash: &[u8]) -> bool {
    let expected = match algorithm {
        SHA_256 => Some(sha_256.as_slice()),
        SHA_256_64 => sha_256.get(..SHORT_HASH_LEN),
        _ => None,
    };
    expected == Some(hash)
}

// ---------------------------------------------------------------------------------------------------------- anchors

/// What this party believes without proof. Finds; does not judge.
///
/// **What a wrong answer costs.** Whatever comes back is held against role, domain, hash and key identifier, and every
/// chain and CWT is validated, so a wrong answer cannot make a stranger known. What does: an [`Anchor`], an [`Issuer`] or a
/// [`Pinned`] made from bytes that nobody vouches for, or one key made an anchor for two roles or two domains.
pub trait TrustAnchors {
    /// All anchors. Those of another role or domain are passed over.
    fn anchors(&self) -> &[Anchor];

    /// The chain whose end-entity certificate has this hash (`x5t`), end entity first. It is validated like one that
    /// came in a message.
    fn chain(&self, role: Role, algorithm: i64, hash: &[u8]) -> Option<&[Vec<u8>]>;

    /// All issuers of CWTs. Those of another role or domain are passed over.
    fn issuers(&self) -> &[Issuer];

    /// Revocation lists; [`Revocations::none`] where there are none.
    fn revocations(&self) -> &Revocations;

    /// Signatures of issuers' certificates and of revocation lists that need not be checked again. For an operator, whose
    /// devices come from a few issuers: one signature less in each session, and two less where there is a list. None, unless
    /// somebody says otherwise.
    fn known_issuers(&self) -> Option<&KnownIssuers> {
        None
    }

    /// Those whose word makes somebody the owner of this device. Those of another domain are passed over.
    fn makers(&self) -> &[Maker];

    /// The pinned key number `number`, from 0, that `claimed`, a `kid` or a CCS, may mean: see [`Pinned::is_for`]. No more
    /// than [`MAX_CANDIDATES`] are asked for.
    fn pinned(&self, role: Role, domain: Domain, claimed: &CredentialId<'_>, number: usize) -> Option<&Pinned>;
}

/// Anchors, known chains and pinned keys in memory.
#[derive(Debug, Default)]
pub struct MemoryAnchors {
    anchors: Vec<Anchor>,
    chains: Vec<KnownChain>,
    issuers: Vec<Issuer>,
    makers: Vec<Maker>,
    pinned: Vec<Pinned>,
    revocations: Revocations,
    known_issuers: Option<KnownIssuers>,
}

/// A chain that a peer may name by the hash of its end-entity certificate.
#[derive(Clone, Debug)]
struct KnownChain {
    role: Role,
    hash: Hash,
    chain: Vec<Vec<u8>>,
}

impl MemoryAnchors {
    /// Trusts nobody.
    pub const fn new() -> Self {
        Self {
            anchors: Vec::new(),
            chains: Vec::new(),
            issuers: Vec::new(),
            makers: Vec::new(),
            pinned: Vec::new(),
            revocations: Revocations::none(),
            known_issuers: None,
        }
    }

    /// Remembers the signatures of issuers: see [`TrustAnchors::known_issuers`].
    pub fn remember_issuers(&mut self, known: KnownIssuers) {
        self.known_issuers = Some(known);
    }

    /// Trusts `anchor`.
    ///
    /// # Errors
    /// [`Misuse::Parameter`] if its key is an anchor already for another role or domain: then a device could pass for
    /// an operator, or a test identity for production.
    pub fn add_anchor(&mut self, anchor: Anchor) -> Result<(), Misuse> {
        let same_place = |other: &Anchor| other.role() == anchor.role() && other.domain() == anchor.domain();
        if self.anchors.iter().any(|other| other.same_key(&anchor) && !same_place(other)) {
            return Err(Misuse::Parameter("an anchor is for one role and one domain"));
        }
        self.anchors.push(anchor);
        Ok(())
    }

    /// Trusts `issuer` to sign CWTs.
    ///
    /// # Errors
    /// [`Misuse::Parameter`] if its key is an issuer's already for another role or domain.
    pub fn add_issuer(&mut self, issuer: Issuer) -> Result<(), Misuse> {
        let same_place = |other: &Issuer| other.role() == issuer.role() && other.domain() == issuer.domain();
        if self.issuers.iter().any(|other| other.public_key() == issuer.public_key() && !same_place(other)) {
            return Err(Misuse::Parameter("an issuer is for one role and one domain"));
        }
        self.issuers.push(issuer);
        Ok(())
    }

    /// What it knows of revoked certificates: to add lists and floors to, or to replace.
    pub const fn revocations_mut(&mut self) -> &mut Revocations {
        &mut self.revocations
    }

    /// Trusts `maker` to say who owns this device.
    ///
    /// # Errors
    /// [`Misuse::Parameter`] if its key is a maker's already for the other domain.
    pub fn add_maker(&mut self, maker: Maker) -> Result<(), Misuse> {
        if self.makers.iter().any(|other| other.key() == maker.key() && other.domain() != maker.domain()) {
            return Err(Misuse::Parameter("a maker's key is for one domain"));
        }
        self.makers.push(maker);
        Ok(())
    }

    /// Trusts `pinned`.
    ///
    /// # Errors
    /// [`Misuse::Parameter`] if it is pinned already, its `kid` is taken [`MAX_CANDIDATES`] times in this role and domain, or
    /// its key is pinned for another role or domain.
    pub fn add_pinned(&mut self, pinned: Pinned) -> Result<(), Misuse> {
        if self.pinned.contains(&pinned) {
            return Err(Misuse::Parameter("this key is pinned already"));
        }
        let peer = pinned.peer();
        let same_kid = |other: &&Pinned| {
            let other_peer = other.peer();
            other.kid() == pinned.kid() && other_peer.role() == peer.role() && other_peer.domain() == peer.domain()
        };
        if pinned.kid().is_some() && self.pinned.iter().filter(same_kid).count() >= MAX_CANDIDATES {
            return Err(Misuse::Parameter("too many keys with one kid"));
        }
        let same_place = |other: &Peer| other.role() == peer.role() && other.domain() == peer.domain();
        if self
            .pinned
            .iter()
            .map(Pinned::peer)
            .any(|other| other.public_key() == peer.public_key() && !same_place(other))
        {
            return Err(Misuse::Parameter("a pinned key is for one role and one domain"));
        }
        self.pinned.push(pinned);
        Ok(())
    }

    /// Knows a chain, end entity first, so that a peer can name it by a hash (`x5t`). Knowing is not trusting: it still
    /// has to lead to an anchor.
    ///
    /// # Errors
    /// [`Misuse::Parameter`] if it has no certificate, or more than [`MAX_CHAIN`].
    pub fn add_chain(&mut self, role: Role, chain: &[&[u8]], crypto: &dyn Crypto) -> Result<(), Misuse> {
        let leaf = chain.first().filter(|_| chain.len() <= MAX_CHAIN);
        let leaf = leaf.ok_or(Misuse::Parameter("a chain has one to four certificates"))?;
        let hash = crypto.sha256(&[leaf]);
        self.chains.push(KnownChain { role, hash, chain: chain.iter().map(|der| der.to_vec()).collect() });
        Ok(())
    }
}

impl TrustAnchors for MemoryAnchors {
    fn anchors(&self) -> &[Anchor] {
        &self.anchors
    }

    fn chain(&self, role: Role, algorithm: i64, hash: &[u8]) -> Option<&[Vec<u8>]> {
        let mut known = self.chains.iter().filter(|known| known.role == role);
        known.find(|known| is_thumbprint(&known.hash, algorithm, hash)).map(|known| known.chain.as_slice())
    }

    fn issuers(&self) -> &[Issuer] {
        &self.issuers
    }

    fn revocations(&self) -> &Revocations {
        &self.revocations
    }

    fn known_issuers(&self) -> Option<&KnownIssuers> {
        self.known_issuers.as_ref()
    }

    fn makers(&self) -> &[Maker] {
        &self.makers
    }

    fn pinned(&self, role: Role, domain: Domain, claimed: &CredentialId<'_>, number: usize) -> Option<&Pinned> {
        self.pinned.iter().filter(|pinned| pinned.is_for(role, domain, claimed)).nth(number)
    }
}
