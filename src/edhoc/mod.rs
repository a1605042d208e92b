//! EDHOC (RFC 9528): an authenticated key exchange in three messages, and the fourth that confirms it.
//!
//! ```text
//! Initiator (device)                                        Responder (operator)
//!
//! initiator::start
//! AwaitMessage2   ── METHOD, SUITES_I, G_X, C_I, EAD_1 ──▶  responder::read → Message1
//!                                                           Message1::write
//! AwaitMessage2::read  ◀── G_Y, enc( C_R, ID_CRED_R, ────   AwaitMessage3
//! Message2                  Signature_or_MAC_2, EAD_2 )
//! Message2::accept      the caller asked trust::verify about ID_CRED_R; the proof is checked here
//! Message2Accepted::write
//! AwaitMessage4   ── AEAD( ID_CRED_I, Signature_or_MAC_3, ▶ AwaitMessage3::read → Message3
//!                          EAD_3 )                          Message3::accept   likewise for ID_CRED_I
//!                                                           Message3Accepted::write
//! AwaitMessage4::read  ◀── AEAD( EAD_4 ) ──────────────     Session
//! Message4 → Session
//! ```
//!
//! Each step is a type that the next step consumes: a wrong order, a peer nobody verified, or a session without
//! message_4 does not compile. Any error ends the session (§5.1); [`error_message`] says what to send.
//! [`Verified`] is the only door from the claimed identity to the believed one, and critical EAD
//! items that nobody took stop the next message from being made.
//!
//! Without message_4 there is no session, and without [`trust::verify`](crate::trust::verify) (or a call that says that it
//! goes around it) nobody to accept:
//!
//! ```compile_fail,E0599
//! # use remote_provisioning::{edhoc::{Session, initiator::AwaitMessage4}};
//! fn skipped(sent: AwaitMessage4) -> Session {
//!     sent.complete().unwrap()
//! }
//! ```
//!
//! ```compile_fail,E0277
//! # use remote_provisioning::{crypto::Crypto, edhoc::{OwnCredential, initiator::Message2}, trust::Peer};
//! fn unverified(message: Message2, peer: Peer, own: &OwnCredential, crypto: &dyn Crypto) {
//!     let _ = message.accept(peer, own, crypto);
//! }
//! ```
//!
//! Between reading and accepting, the claimed identity and EAD items can be looked at. They are not authenticated yet:
//! act on them only after `accept`.
//!
//! A step that failed for this side's own reasons can be repeated: [`Stopped`]. A responder's session can rest between two
//! steps in a token of at most [`MAX_TOKEN`] bytes, and go on at any server that has the same key: [`Seal`]. A token opens
//! once, and only the caller can see to that: [`Opened::first_use`].
//!
//! Suites are rows of a table ([`Suite`]). This profile has -24 (private use), 3 and 2, all on P-256; the feature `x25519`
//! adds suite 0. Secrets of a session live behind boxes that steps hand on by pointer, so moving a step copies no key.

pub mod eap;
pub mod initiator;
pub mod responder;
pub(crate) mod token;

mod message;
mod schedule;
mod session;
#[cfg(all(test, feature = "rustcrypto"))]
mod trace;

use alloc::{boxed::Box, vec::Vec};

use arrayvec::ArrayVec;

pub(crate) use self::message::Draft;
pub use self::{
    message::{Ead, EadItem, MAX_EAD, PeerError, Suites, TakenEad, error_message, is_error_message, read_error},
    session::{Oscore, Session},
    token::{MAX_TOKEN, Opened, Seal, TokenNumber},
};
use crate::{
    cose::sign1::to_be_signed_in_parts,
    crypto::{Aead, Crypto, Group, HASH_LEN, Hash, KeyKind, Rng, SIGNATURE_LEN, Secret},
    edhoc::schedule::{Label, MacContext, Prk},
    error::{Backend, Error, Malformed, Misbehaved, Misuse, Untrusted},
    store::{KeyId, KeyStore},
    trust::{Candidates, CredentialId, Peer, Pinned, SHA_256, SHA_256_64, Verified, certificate_credential},
    wire::{self, Reader, Writer},
};

/// A cipher suite (RFC 9528 §3.6). The hash is SHA-256 in all of them here.
#[derive(Clone, Copy, Debug)]
pub struct Suite {
    /// Its number on the wire.
    pub number: i64,
    /// The AEAD of message_3 and message_4.
    pub aead: Aead,
    /// Bytes of a MAC that authenticates a static Diffie-Hellman key.
    pub mac_len: usize,
    /// The group of the ephemeral exchange.
    pub group: Group,
    /// Bytes of G_Y, the first part of message_2.
    pub g_y_len: usize,
    /// The keys of those who sign: with P-256 the signature is ES256, with Ed25519 EdDSA.
    pub signature: KeyKind,
    /// The AEAD for what comes after the handshake.
    pub application_aead: Aead,
}

impl PartialEq for Suite {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Suite {}

impl Suite {
    /// Private-use suite -24: A128GCM, MAC of 16 bytes; application A256GCM, SHA-256. There is no registered AES-GCM
    /// suite on P-256.
    pub const GCM: Self = Self {
        number: -24,
        aead: Aead::A128Gcm,
        mac_len: 16,
        group: Group::P256,
        g_y_len: 32,
        signature: KeyKind::P256,
        application_aead: Aead::A256Gcm,
    };
    /// Suite 3: AES-CCM-16-128-128, MAC of 16 bytes; application AES-CCM-16-64-128 (RFC 9528 §3.6).
    pub const CCM_16: Self =
        Self { number: 3, aead: Aead::Ccm16_128_128, application_aead: Aead::Ccm16_64_128, ..Self::GCM };
    /// Suite 2: AES-CCM-16-64-128, MAC of 8 bytes; application likewise (RFC 9528 §3.6).
    pub const CCM_8: Self = Self { number: 2, aead: Aead::Ccm16_64_128, mac_len: 8, ..Self::CCM_16 };

    /// Suite 0: as 2, on X25519 and Ed25519 (RFC 9528 §3.6). Not of this profile; for talking to others.
    #[cfg(feature = "x25519")]
    pub const X25519: Self = Self { number: 0, group: Group::X25519, signature: KeyKind::Ed25519, ..Self::CCM_8 };

    /// The suites of this profile, in the order in which it prefers them.
    pub const ALL: [Self; 3] = [Self::GCM, Self::CCM_16, Self::CCM_8];

    /// Those of them that the shipped backend runs in this build: without the feature `ccm`, only the first.
    pub const BUILT: &[Self] = if cfg!(feature = "ccm") { &Self::ALL } else { &[Self::GCM] };

    /// Bytes of a Signature_or_MAC field.
    const fn proof_len(&self, signs: bool) -> usize {
        if signs { SIGNATURE_LEN } else { self.mac_len }
    }

    /// Every row.
    const TABLE: &[Self] = &[
        Self::GCM,
        Self::CCM_16,
        Self::CCM_8,
        #[cfg(feature = "x25519")]
        Self::X25519,
    ];
}

/// Who authenticates how (RFC 9528 §3.2): first the initiator, then the responder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Method 0: both sign.
    SignSign,
    /// Method 1: the initiator signs, the responder has a static Diffie-Hellman key.
    SignStatic,
    /// Method 2: the reverse.
    StaticSign,
    /// Method 3: both have static Diffie-Hellman keys; the smallest messages.
    StaticStatic,
}

impl Method {
    const fn initiator_signs(self) -> bool {
        matches!(self, Self::SignSign | Self::SignStatic)
    }

    const fn responder_signs(self) -> bool {
        matches!(self, Self::SignSign | Self::StaticSign)
    }
}

/// Longest connection identifier, in bytes.
const MAX_CONNECTION_ID: usize = 8;

/// A connection identifier, C_I or C_R: 0 to 8 bytes that the peer puts on its messages to us (RFC 9528 §3.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionId(ArrayVec<u8, MAX_CONNECTION_ID>);

impl ConnectionId {
    /// From its bytes.
    ///
    /// # Errors
    /// [`Misuse`] above 8 bytes.
    pub fn new(bytes: &[u8]) -> Result<Self, Misuse> {
        bytes.try_into().map(Self).map_err(|_| Misuse::Parameter("connection identifier above 8 bytes"))
    }

    /// One that takes a single byte on the wire, other than `not`.
    ///
    /// # Errors
    /// [`Backend`] if the random source fails.
    pub fn random(rng: &mut dyn Rng, not: Option<&Self>) -> Result<Self, Backend> {
        let mut byte = [0];
        rng.fill(&mut byte)?;
        let [byte] = byte;
        // Any of 0..=23, in the one-byte form of §3.3.2; the next one where it is taken.
        let id = |byte: u8| Self(core::iter::once(byte % 24).collect());
        let first = id(byte);
        Ok(if Some(&first) == not { id((byte % 24).wrapping_add(1)) } else { first })
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn write_to(&self, writer: &mut Writer<'_>) {
        message::write_identifier(&self.0, writer);
    }

    fn read_from(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        message::read_identifier(reader).map(Self)
    }
}

/// A credential of this side: where its key is, and how it is named and spelled to the peer.
#[derive(Clone, Debug)]
pub struct OwnCredential {
    key: KeyId,
    /// ID_CRED_x, a map.
    id: Vec<u8>,
    /// CRED_x.
    credential: Vec<u8>,
}

impl OwnCredential {
    /// An X.509 chain, end entity first, sent whole (`x5chain`).
    ///
    /// # Errors
    /// [`Misuse`] if it is empty or longer than [`MAX_CHAIN`](crate::trust::MAX_CHAIN).
    pub fn chain(key: KeyId, chain: &[&[u8]]) -> Result<Self, Misuse> {
        let own = chain.first().ok_or(Misuse::Parameter("empty chain"))?;
        let sent = chain.try_into().map_err(|_| Misuse::Parameter("chain too long"))?;
        Ok(Self::named(key, own, &CredentialId::Chain(sent)))
    }

    /// An X.509 certificate that the peer has already, named by its SHA-256 hash (`x5t`).
    pub fn thumbprint(key: KeyId, certificate: &[u8], crypto: &dyn Crypto) -> Self {
        let hash = crypto.sha256(&[certificate]);
        Self::named(key, certificate, &CredentialId::Thumbprint { algorithm: SHA_256, hash: &hash })
    }

    /// The same with SHA-256/64: 8 bytes of hash instead of 32, for a peer that knows few certificates. Only finding it rests
    /// on the hash; the proof is over the certificate.
    pub fn short_thumbprint(key: KeyId, certificate: &[u8], crypto: &dyn Crypto) -> Self {
        let [a, b, c, d, e, f, g, h, ..] = crypto.sha256(&[certificate]);
        let hash = [a, b, c, d, e, f, g, h];
        Self::named(key, certificate, &CredentialId::Thumbprint { algorithm: SHA_256_64, hash: &hash })
    }

    fn named(key: KeyId, certificate: &[u8], id: &CredentialId<'_>) -> Self {
        Self { key, id: wire::encode(id), credential: certificate_credential(certificate) }
    }

    /// A CCS that the peer has pinned, named by its `kid`.
    ///
    /// # Errors
    /// [`Misuse`] if it has none.
    pub fn pinned(key: KeyId, ccs: &Pinned) -> Result<Self, Misuse> {
        let kid = ccs.kid().ok_or(Misuse::Parameter("a CCS without kid goes by value"))?;
        Ok(Self { key, id: wire::encode(&CredentialId::Kid(kid)), credential: ccs.peer().credential().to_vec() })
    }

    /// A CCS sent whole (`kccs`).
    pub fn ccs(key: KeyId, ccs: &Pinned) -> Self {
        let ccs = ccs.peer().credential();
        Self { key, id: wire::encode(&CredentialId::Ccs(ccs)), credential: ccs.to_vec() }
    }

    /// A CWT, an untagged COSE_Sign1, sent whole (`kcwt`).
    ///
    /// # Errors
    /// [`Malformed`] if it is not one item of deterministic CBOR.
    pub fn cwt(key: KeyId, cwt: &[u8]) -> Result<Self, Malformed> {
        let id = wire::encode(&CredentialId::Cwt(cwt));
        wire::decode::<CredentialId<'_>>(&id)?;
        Ok(Self { key, id, credential: cwt.to_vec() })
    }

    /// The key's number in the key store.
    pub const fn key(&self) -> KeyId {
        self.key
    }

    /// CRED_x (RFC 9528 §3.5.2).
    pub fn credential(&self) -> &[u8] {
        &self.credential
    }

    /// The Signature_or_MAC field of this side: a signature over MAC and context, or the MAC itself (§5.3.2, §5.4.2).
    fn prove(
        &self,
        proof: &Proof<'_>,
        c_r: Option<&ConnectionId>,
        keys: &dyn KeyStore,
        crypto: &dyn Crypto,
    ) -> Result<Vec<u8>, Error> {
        let mac = proof.mac(c_r, &self.id, &self.credential, crypto)?;
        if !proof.signs {
            return Ok(mac);
        }
        let aad = schedule::external_aad(proof.th, &self.credential, proof.ead);
        Ok(keys.sign(self.key, &to_be_signed_in_parts(&self.id, &aad, &mac))?.to_vec())
    }
}

/// What both sides know about one Signature_or_MAC field: under which key, over what, and of which kind.
struct Proof<'a> {
    prk: &'a Prk,
    label: Label,
    th: &'a Hash,
    ead: &'a [u8],
    signs: bool,
    mac_len: usize,
}

impl Proof<'_> {
    /// MAC_2 or MAC_3; as long as the hash where it is signed (§5.3.2).
    fn mac(
        &self,
        c_r: Option<&ConnectionId>,
        id_cred: &[u8],
        credential: &[u8],
        crypto: &dyn Crypto,
    ) -> Result<Vec<u8>, Error> {
        let c_r = &wire::encode_with(|w| c_r.into_iter().for_each(|c_r| c_r.write_to(w)));
        let context = MacContext { c_r, id_cred, th: self.th, credential, ead: self.ead };
        let mut mac = alloc::vec![0; if self.signs { HASH_LEN } else { self.mac_len }];
        schedule::kdf(self.prk, self.label, &context.parts(), &mut mac, crypto)?;
        Ok(mac)
    }

    /// Checks the peer's field.
    fn check(
        &self,
        peer: &Peer,
        id_cred: &[u8],
        c_r: Option<&ConnectionId>,
        field: &[u8],
        crypto: &dyn Crypto,
    ) -> Result<(), Error> {
        let credential = peer.credential();
        let mac = self.mac(c_r, id_cred, credential, crypto)?;
        if self.signs {
            let signature = field.try_into().map_err(|_| Untrusted::Authentication)?;
            let aad = schedule::external_aad(self.th, credential, self.ead);
            Ok(crypto.verify(peer.public_key(), &to_be_signed_in_parts(id_cred, &aad, &mac), signature)?)
        } else if crate::crypto::equal(&mac, field) {
            Ok(())
        } else {
            Err(Untrusted::Authentication.into())
        }
    }
}

/// §3.5.1: a signature method needs a key that may sign, a static one a key that may agree; of the suite's kind.
fn check_usage(peer: &Peer, signs: bool, suite: Suite) -> Result<(), Untrusted> {
    let (may, kind) = if signs { (peer.may_sign(), suite.signature) } else { (peer.may_agree(), suite.group.kind()) };
    if may && peer.public_key().kind() == kind { Ok(()) } else { Err(Untrusted::WrongCredential) }
}

/// §9.7: a peer that shows our own credential is ourselves, or someone who sends our messages back.
fn check_not_own(peer: &Peer, own: &OwnCredential) -> Result<(), Misbehaved> {
    if peer.credential() == own.credential { Err(Misbehaved::OwnCredential) } else { Ok(()) }
}

/// A shared secret that is about to be mixed in.
fn shared_secret() -> Prk {
    Secret::zeroed()
}

/// A step that did not happen.
///
/// Where this side's own machinery was at fault (a key store that is not ready, a random source that failed, a parameter
/// that does not fit), nothing has been sent and the step is as it was: [`Stopped::again`] gives it back, and the same call
/// can be repeated. After anything else the session is over (RFC 9528 §5.1).
pub struct Stopped<S> {
    error: Error,
    step: Option<Box<S>>,
}

impl<S> Stopped<S> {
    fn new(error: Error, step: S) -> Self {
        let own_fault = matches!(error, Error::Backend(_) | Error::Misuse(_));
        Self { error, step: own_fault.then(|| Box::new(step)) }
    }

    /// Why.
    pub const fn error(&self) -> Error {
        self.error
    }

    /// The step, to be tried again.
    ///
    /// # Errors
    /// The reason, if the session is over.
    pub fn again(self) -> Result<S, Error> {
        self.step.map(|step| *step).ok_or(self.error)
    }
}

impl<S> From<Stopped<S>> for Error {
    fn from(stopped: Stopped<S>) -> Self {
        stopped.error
    }
}

impl<S> core::fmt::Debug for Stopped<S> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Stopped").field("error", &self.error).field("again", &self.step.is_some()).finish()
    }
}

/// The candidate that passes, with what `check` made of it; else why the first one did not.
fn find<T>(
    candidates: Candidates,
    mut check: impl FnMut(&Peer) -> Result<T, Error>,
) -> Result<(Verified<Peer>, T), Error> {
    let mut first = None;
    for peer in candidates {
        match check(&peer) {
            Ok(checked) => return Ok((peer, checked)),
            // Says nothing about the peer.
            Err(error @ Error::Backend(_)) => return Err(error),
            Err(error) => {
                first.get_or_insert(error);
            }
        }
    }
    Err(first.unwrap_or(Untrusted::Authentication.into()))
}
