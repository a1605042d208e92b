//! A session set aside: sealed into a token that any server with the same key can open, so that a fleet of front ends needs
//! no memory of its own between two messages.
//!
//! ```text
//! seal ──▶ token ──▶ anywhere ──▶ open: key, kind, expiry ──▶ Opened ──▶ the caller looks the number up ──▶ the state
//! ```
//!
//! Keys come out of the number (see [`Seal`]), so that a server restored from a snapshot repeats none, as long as its random
//! source was not restored with it.
//!
//! **Once.** A token that is opened twice is two machines in one session, and two answers under one nonce. Whether a number
//! has been seen can only be known where all servers look: that is the caller's part, and [`Opened::first_use`] wants to
//! hear the answer before it gives anything out.

use alloc::{boxed::Box, vec::Vec};

use crate::{
    crypto::{Aead, Crypto, EphemeralKey, Group, KeyKind, PublicKey, Rng, Secret, SecretBytes},
    edhoc::{ConnectionId, Ead, Method, Suite},
    error::{Backend, Error, Malformed, Misuse, Untrusted},
    identity::{Domain, PeerName, Role},
    trust::{Date, Peer, Usage, Verified},
    wire::{Reader, Writer, encode_with},
};

/// Most bytes of a token: a sealed package, the message that brought the request, and three credentials.
pub const MAX_TOKEN: usize = 16_384;

/// Names one token.
pub type TokenNumber = [u8; 16];

const VERSION: u64 = 1;

/// The beginning of HKDF's info.
const INFO: &[u8] = b"RCP token";

/// What a token is sealed with.
///
/// ```text
/// token       = [ 1, kind, number: bstr .size 16, expires: uint, ciphertext: bstr ]
/// key ‖ nonce = HKDF-Expand( this key, "RCP token" ‖ number )                  32 ‖ 12 bytes
/// ciphertext  = A256GCM( key, nonce, aad = [ 1, kind, number, expires ], state )
/// ```
///
/// The number is random and new for each token, so no (key, nonce) meets two states.
#[derive(Clone, Copy, Debug)]
pub struct Seal<'a> {
    /// 32 random bytes that all servers have, and nobody else. They are for nothing but tokens.
    pub key: &'a Secret<32>,
    /// From when on nobody opens it. The caller may forget its number then.
    pub expires: Date,
}

/// What the sealed state is of. Part of what is authenticated: one is not opened for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    AwaitMessage3 = 1,
    Message3Accepted = 2,
    Session = 3,
    Operator = 4,
}

/// A token that has been opened, and not yet used.
pub struct Opened<T> {
    number: TokenNumber,
    state: T,
}

impl<T> Opened<T> {
    /// The token's number. Make it durable that it was used, in one step with finding out whether it was before.
    pub const fn number(&self) -> &TokenNumber {
        &self.number
    }

    /// The state, if nobody has used this number before.
    ///
    /// # Errors
    /// [`Untrusted::TokenUsed`] if somebody has.
    pub fn first_use(self, first: bool) -> Result<T, Error> {
        if first { Ok(self.state) } else { Err(Untrusted::TokenUsed.into()) }
    }
}

impl<T> core::fmt::Debug for Opened<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Opened").field("number", &self.number).finish_non_exhaustive()
    }
}

/// Seals a state.
///
/// # Errors
/// [`Misuse::Parameter`] above [`MAX_TOKEN`]; [`Backend`].
pub(crate) fn seal(
    kind: Kind,
    save: impl Fn(&mut Writer<'_>),
    seal: &Seal<'_>,
    crypto: &dyn Crypto,
    rng: &mut dyn Rng,
) -> Result<Vec<u8>, Error> {
    let mut number = TokenNumber::default();
    rng.fill(&mut number)?;
    let header = Header { kind, number, expires: seal.expires };
    let (key, nonce) = header.keys(seal.key, crypto)?;

    let aead = Aead::A256Gcm;
    let mut text = SecretBytes::new(encode_with(|w| {
        save(w);
        // Room for the tag, so that the buffer does not grow and leave a copy behind.
        w.encoded(&[0; Aead::A256Gcm.tag_len()]);
    }));
    let len = text.bytes().len().saturating_sub(aead.tag_len());
    text.buffer().truncate(len);
    crypto.seal(aead, key.bytes(), &nonce, &header.aad(), text.buffer())?;

    let token = encode_with(|w| {
        w.array(5);
        header.write(w);
        w.bytes(text.bytes());
    });
    if token.len() > MAX_TOKEN {
        Err(Misuse::Parameter("the session does not fit into a token").into())
    } else {
        Ok(token)
    }
}

/// Opens a token.
///
/// # Errors
/// [`Malformed`] if it is none; [`Untrusted::Authentication`] if it was altered, sealed under another key, or is of another
/// kind; [`Untrusted::TokenExpired`].
pub(crate) fn open<T>(
    kind: Kind,
    token: &[u8],
    key: &Secret<32>,
    today: Date,
    crypto: &dyn Crypto,
    load: impl FnOnce(&mut Reader<'_>) -> Result<T, Malformed>,
) -> Result<Opened<T>, Error> {
    let mut reader = Reader::up_to(MAX_TOKEN, token)?;
    reader.array_of(5)?;
    if reader.unsigned()? != VERSION {
        return Err(Malformed::OutOfRange.into());
    }
    if reader.unsigned()? != kind.number() {
        return Err(Untrusted::Authentication.into());
    }
    let header = Header { kind, number: *reader.bytes_exact()?, expires: Date(reader.unsigned()?) };
    let ciphertext = reader.bytes()?;
    reader.end()?;

    let (key, nonce) = header.keys(key, crypto)?;
    let mut text = SecretBytes::new(ciphertext.to_vec());
    crypto.open(Aead::A256Gcm, key.bytes(), &nonce, &header.aad(), text.buffer())?;
    if today >= header.expires {
        return Err(Untrusted::TokenExpired.into());
    }
    let mut reader = Reader::up_to(MAX_TOKEN, text.bytes())?;
    let state = load(&mut reader)?;
    reader.end()?;
    Ok(Opened { number: header.number, state })
}

struct Header {
    kind: Kind,
    number: TokenNumber,
    expires: Date,
}

impl Header {
    fn write(&self, w: &mut Writer<'_>) {
        w.unsigned(VERSION);
        w.unsigned(self.kind.number());
        w.bytes(&self.number);
        w.unsigned(self.expires.0);
    }

    fn aad(&self) -> Vec<u8> {
        encode_with(|w| {
            w.array(4);
            self.write(w);
        })
    }

    fn keys(&self, key: &Secret<32>, crypto: &dyn Crypto) -> Result<(Secret<32>, [u8; 12]), Backend> {
        let mut out = Secret::<44>::zeroed();
        crypto.hkdf_expand(key, &[INFO, &self.number], out.bytes_mut())?;
        let (key, nonce) = out.bytes().split_at(32);
        Ok((Secret::from_slice(key)?, nonce.try_into().map_err(|_| Backend::Crypto)?))
    }
}

impl Kind {
    fn number(self) -> u64 {
        #[expect(clippy::as_conversions, reason = "reads the discriminant of a fieldless enum")]
        {
            self as u64
        }
    }
}

/// What a token carries. Written in clear and with keys in it, so nowhere else; read only after the tag has been checked, so
/// that points and numbers are taken as they were left.
pub(crate) trait Portable: Sized {
    fn save(&self, w: &mut Writer<'_>);
    fn load(r: &mut Reader<'_>) -> Result<Self, Malformed>;
}

/// Field by field.
macro_rules! portable {
    ($($ty:ty { $($field:ident),* $(,)? })*) => {$(
        impl $crate::edhoc::token::Portable for $ty {
            fn save(&self, w: &mut $crate::wire::Writer<'_>) {
                $($crate::edhoc::token::Portable::save(&self.$field, w);)*
            }
            fn load(r: &mut $crate::wire::Reader<'_>) -> Result<Self, $crate::error::Malformed> {
                Ok(Self { $($field: $crate::edhoc::token::Portable::load(r)?),* })
            }
        }
    )*};
}

/// As in messages.
macro_rules! portable_as_sent {
    ($($ty:ty),* $(,)?) => {$(
        impl $crate::edhoc::token::Portable for $ty {
            fn save(&self, w: &mut $crate::wire::Writer<'_>) {
                $crate::wire::Wire::write(self, w);
            }
            fn load(r: &mut $crate::wire::Reader<'_>) -> Result<Self, $crate::error::Malformed> {
                $crate::wire::Wire::read(r)
            }
        }
    )*};
}

pub(crate) use {portable, portable_as_sent};

// Not u8: many of them are a byte string.
portable_as_sent!(u32, u64, bool);

impl Portable for usize {
    fn save(&self, w: &mut Writer<'_>) {
        w.unsigned(u64::try_from(*self).unwrap_or(u64::MAX));
    }
    fn load(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        Self::try_from(r.unsigned()?).map_err(|_| Malformed::OutOfRange)
    }
}

impl<const N: usize> Portable for [u8; N] {
    fn save(&self, w: &mut Writer<'_>) {
        w.bytes(self);
    }
    fn load(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        r.bytes_exact().copied()
    }
}

impl Portable for Vec<u8> {
    fn save(&self, w: &mut Writer<'_>) {
        w.bytes(self);
    }
    fn load(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        r.bytes().map(<[u8]>::to_vec)
    }
}

impl<const N: usize> Portable for Secret<N> {
    fn save(&self, w: &mut Writer<'_>) {
        w.bytes(self.bytes());
    }
    fn load(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        Self::from_slice(r.bytes_exact::<N>()?).map_err(|_| Malformed::WrongLength)
    }
}

impl Portable for SecretBytes {
    fn save(&self, w: &mut Writer<'_>) {
        w.bytes(self.bytes());
    }
    fn load(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        Vec::load(r).map(Self::new)
    }
}

impl<T: Portable> Portable for Vec<T> {
    fn save(&self, w: &mut Writer<'_>) {
        w.array(self.len());
        self.iter().for_each(|value| value.save(w));
    }
    fn load(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        (0..r.array()?).map(|_| T::load(r)).collect()
    }
}

impl<T: Portable> Portable for Box<T> {
    fn save(&self, w: &mut Writer<'_>) {
        T::save(self, w);
    }
    fn load(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        T::load(r).map(Self::new)
    }
}

impl<T: Portable> Portable for Option<T> {
    fn save(&self, w: &mut Writer<'_>) {
        match self {
            Some(value) => value.save(w),
            None => w.null(),
        }
    }
    fn load(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        if r.null()? { Ok(None) } else { T::load(r).map(Some) }
    }
}

impl Portable for ConnectionId {
    fn save(&self, w: &mut Writer<'_>) {
        w.bytes(self.bytes());
    }
    fn load(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        Self::new(r.bytes()?).map_err(|_| Malformed::TooLong)
    }
}

impl Portable for PeerName {
    fn save(&self, w: &mut Writer<'_>) {
        w.text(self.as_str());
    }
    fn load(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        r.text()?.parse()
    }
}

impl Portable for Date {
    fn save(&self, w: &mut Writer<'_>) {
        w.unsigned(self.0);
    }
    fn load(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        r.unsigned().map(Self)
    }
}

impl Portable for Suite {
    fn save(&self, w: &mut Writer<'_>) {
        w.integer(self.number);
    }
    fn load(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        let number = r.integer()?;
        Self::TABLE.iter().find(|suite| suite.number == number).copied().ok_or(Malformed::OutOfRange)
    }
}

impl Portable for Method {
    fn save(&self, w: &mut Writer<'_>) {
        w.integer(self.number());
    }
    fn load(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        Self::from_number(r.integer()?).ok_or(Malformed::OutOfRange)
    }
}

/// What is still to be taken. The transcript has the rest.
impl Portable for Ead {
    fn save(&self, w: &mut Writer<'_>) {
        w.wrapped(|w| self.write_waiting(w));
    }
    fn load(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        Self::read(r.bytes()?.to_vec())
    }
}

impl Portable for EphemeralKey {
    fn save(&self, w: &mut Writer<'_>) {
        self.group().save(w);
        w.bytes(self.private());
        w.bytes(self.public());
    }
    fn load(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self::from_parts(Group::load(r)?, SecretBytes::load(r)?, r.bytes()?.into()))
    }
}

impl Portable for Group {
    fn save(&self, w: &mut Writer<'_>) {
        w.boolean(*self == Self::P256);
    }
    fn load(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(if r.boolean()? { Self::P256 } else { Self::X25519 })
    }
}

impl Portable for PublicKey {
    fn save(&self, w: &mut Writer<'_>) {
        w.unsigned(match self.kind() {
            KeyKind::P256 => 0,
            KeyKind::X25519 => 1,
            KeyKind::Ed25519 => 2,
        });
        w.bytes(self.x());
        w.bytes(self.y());
    }
    fn load(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        let (kind, x, y) = (r.unsigned()?, r.bytes_exact()?, r.bytes()?);
        match (kind, y) {
            (0, y) => Ok(Self::from_checked_point(x, y.try_into().map_err(|_| Malformed::WrongLength)?)),
            (1, []) => Ok(Self::from_checked_x25519(x)),
            (2, []) => Ok(Self::from_checked_ed25519(x)),
            _ => Err(Malformed::OutOfRange),
        }
    }
}

impl Portable for Peer {
    fn save(&self, w: &mut Writer<'_>) {
        w.bytes(self.credential());
        self.public_key().save(w);
        self.name().save(w);
        w.unsigned(match self.role() {
            Role::Device => 0,
            Role::Operator => 1,
            Role::Relay => 2,
        });
        w.boolean(self.domain() == Domain::Production);
        w.boolean(self.may_sign());
        w.boolean(self.may_agree());
        self.anchor().copied().save(w);
    }
    fn load(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        let (credential, public_key, name) = (r.bytes()?, PublicKey::load(r)?, PeerName::load(r)?);
        let role = match r.unsigned()? {
            0 => Role::Device,
            1 => Role::Operator,
            2 => Role::Relay,
            _ => return Err(Malformed::OutOfRange),
        };
        let domain = if r.boolean()? { Domain::Production } else { Domain::Test };
        let usage = Usage { sign: r.boolean()?, agree: r.boolean()? };
        let peer = Self::new(credential, public_key, name, role, domain, usage);
        Ok(match Option::load(r)? {
            Some(anchor) => peer.below(anchor),
            None => peer,
        })
    }
}

/// It was verified where it was sealed.
impl Portable for Verified<Peer> {
    fn save(&self, w: &mut Writer<'_>) {
        self.get().save(w);
    }
    fn load(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        Peer::load(r).map(Self::assertion)
    }
}
