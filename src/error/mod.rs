//! Every way to fail, sorted by who is at fault, and what the peer is told.
//!
//! The first question after a failure is *whose move is it?* [`Error`] answers that with its variant; the plain enum
//! inside gives the precise reason for a log. Nothing in here carries a byte of a message or of a key.
//!
//! What goes back to the peer is decided in one place, [`Error::told`], by exhaustive matches: a new error does not
//! compile until someone has chosen what a stranger may learn from it. Every failed proof of identity is told in the
//! same words (RFC 9528 §6.2, error code 1, one fixed text), so the answer is no oracle.

mod code;

pub use self::code::{Class, Code};

/// A shorthand: most of this crate's fallible functions fail with [`Error`].
pub type Result<T, E = Error> = core::result::Result<T, E>;

/// Why a call failed, and therefore whose move it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The peer's bytes are not what the grammar allows. The peer (or the link) is at fault; nothing was changed.
    #[error("malformed message: {0}")]
    Malformed(#[from] Malformed),
    /// Well-formed bytes that the protocol does not allow here. The peer is at fault.
    #[error("peer misbehaved: {0}")]
    Misbehaved(#[from] Misbehaved),
    /// The peer could not show who it is. Look at its credential or at your anchors.
    #[error("not trusted: {0}")]
    Untrusted(#[from] Untrusted),
    /// The peer understood and said no. Its reason says whether to try again.
    #[error("refused by the peer: {0}")]
    Refused(#[from] Refused),
    /// This operator declined, because its own systems said so; the device has been told. Nobody is at fault.
    #[error("declined: {0}")]
    Declined(Code),
    /// This program called the library wrongly. Fix the call.
    #[error("misuse: {0}")]
    Misuse(#[from] Misuse),
    /// Storage, key store, random source or crypto hardware of this side failed. The exchange can be tried again.
    #[error("back end failed: {0}")]
    Backend(#[from] Backend),
    /// Nobody answered within the attempts allowed. Start again later; nothing was lost.
    #[error("the peer did not answer")]
    Unanswered,
}

/// Bytes outside the grammar: RFC 8949 §4.2.1 deterministic CBOR, and the message's own CDDL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The input ends inside an item.
    #[error("truncated")]
    Truncated,
    /// Bytes follow the last item that belongs here.
    #[error("trailing bytes")]
    TrailingBytes,
    /// An integer or length is not in its shortest form.
    #[error("not the shortest encoding")]
    NotShortest,
    /// An indefinite length, a chunked string or a break.
    #[error("indefinite length")]
    Indefinite,
    /// Reserved additional information, or an invalid simple value.
    #[error("not CBOR")]
    Syntax,
    /// A tag, float or simple value that no message here uses.
    #[error("tag, float or simple value that has no place here")]
    Forbidden,
    /// Another type than the grammar names.
    #[error("wrong type")]
    WrongType,
    /// A number outside its range, or a choice with no such number.
    #[error("value out of range")]
    OutOfRange,
    /// A string or array of the wrong length.
    #[error("wrong length")]
    WrongLength,
    /// Longer than the limit named for it.
    #[error("too long")]
    TooLong,
    /// Nested deeper than `wire::MAX_DEPTH`.
    #[error("nested too deep")]
    TooDeep,
    /// A map key that is repeated or not in ascending order.
    #[error("map keys repeated or out of order")]
    KeyOrder,
    /// A key that the grammar requires is absent.
    #[error("required map key missing")]
    MissingKey,
    /// A negative (must-understand) key that this version does not know.
    #[error("unknown critical map key")]
    UnknownCriticalKey,
    /// A text string that is not UTF-8, or not of its fixed form.
    #[error("invalid text")]
    Text,
}

/// Messages that parse but must not be, in the state or order in which they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misbehaved {
    /// A message that this state does not expect.
    #[error("unexpected message")]
    UnexpectedMessage,
    /// An EDHOC method that this side does not run (RFC 9528 §3.2).
    #[error("unsupported EDHOC method")]
    UnsupportedMethod,
    /// The selected suite is not the first common one (RFC 9528 §5.2.3); answered with error code 2 and SUITES_R.
    #[error("wrong selected cipher suite")]
    WrongSuite,
    /// An ephemeral or static key that is not a point of the curve.
    #[error("not a point of the curve")]
    InvalidPoint,
    /// G_Y equals G_X, or a message came back to its sender.
    #[error("reflected message")]
    Reflection,
    /// The peer shows our own credential (RFC 9528 §9.7, selfie).
    #[error("the peer shows our own credential")]
    OwnCredential,
    /// C_R equals C_I (RFC 9528 §3.3.2).
    #[error("connection identifiers are equal")]
    SameConnectionId,
    /// A critical EAD item that this side does not know (RFC 9528 §3.8).
    #[error("unknown critical EAD item")]
    CriticalEad,
    /// An EAD item that must be there is missing, doubled or not marked critical.
    #[error("provisioning EAD item missing or repeated")]
    MissingEad,
    /// A message that did not come through the relay that it names, or through one that it does not name.
    #[error("another relay")]
    WrongRelay,
    /// A test identity in production, or the reverse.
    #[error("wrong domain (production or test)")]
    WrongDomain,
    /// An answer that names another transaction.
    #[error("another transaction")]
    WrongTransaction,
    /// A record whose sequence number is not above the last one.
    #[error("record replayed")]
    Replayed,
    /// An offer whose epoch, algorithm or mode does not fit the request.
    #[error("offer does not fit the request")]
    WrongOffer,
    /// The activation challenge was answered wrongly, or a receipt tells of something else than was offered.
    #[error("receipt or answer does not match the offer")]
    WrongReceipt,
    /// A fragment that has no place in the message under way, which goes on without it.
    #[error("fragment refused: {0}")]
    Fragment(#[from] Fragment),
}

/// Why a fragment has no place in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fragment {
    /// It starts before the byte that comes next, and is no repetition of what is there.
    #[error("overlaps what is there")]
    Overlap,
    /// It starts after the byte that comes next, or nothing is under way that it could belong to.
    #[error("leaves a gap")]
    Gap,
    /// It names another total than the first one did.
    #[error("another total length")]
    Total,
    /// It runs past the total, or the message does not end where the total says.
    #[error("does not end at the total length")]
    End,
    /// It is empty, or shorter than `framing::MIN_FRAGMENT` and not the last.
    #[error("too short")]
    Short,
    /// It is of another message, exchange or peer than the one under way.
    #[error("of another message than the one under way")]
    Interleaved,
    /// It repeats, asks for or answers what is over.
    #[error("of what is over")]
    Stale,
}

impl From<Fragment> for Error {
    fn from(fragment: Fragment) -> Self {
        Self::Misbehaved(fragment.into())
    }
}

/// Failed proofs. Told to the peer in one and the same way, except where RFC 9528 gives a code of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    /// A tag, MAC or signature did not verify. Deliberately says no more.
    #[error("authentication failed")]
    Authentication,
    /// The credential is named by reference and nobody here knows it (RFC 9528 §6.4).
    #[error("unknown credential")]
    UnknownCredential,
    /// The chain does not end in an anchor for this role and domain.
    #[error("no anchor for this chain")]
    NoAnchor,
    /// A certificate is past its validity.
    #[error("certificate expired")]
    Expired,
    /// A certificate is not valid yet, or no moment exists at which the whole chain is valid.
    #[error("certificate not yet valid")]
    NotYetValid,
    /// A certificate's usage or constraints forbid what it is used for.
    #[error("certificate not for this use")]
    WrongUsage,
    /// A certificate that is not DER, or has no identity.
    #[error("unusable certificate")]
    BadCertificate,
    /// A certificate whose key is not of P-256.
    #[error("certificate with a key of another curve")]
    WrongCurve,
    /// An extension twice in one certificate (RFC 5280 §4.2).
    #[error("extension repeated in a certificate")]
    DuplicateExtension,
    /// A critical extension that nobody here knows (RFC 5280 §4.2).
    #[error("unknown critical extension in a certificate")]
    CriticalExtension,
    /// A certificate longer than `trust::MAX_CERTIFICATE`.
    #[error("certificate too long")]
    CertificateTooLong,
    /// Signed by a certificate that is not one of a CA (RFC 5280 §4.2.1.9).
    #[error("issuer is no CA")]
    NotCa,
    /// More CAs below one than it allows (RFC 5280 §4.2.1.9).
    #[error("path length exceeded")]
    PathLength,
    /// A certificate that vouches for itself.
    #[error("self-signed certificate")]
    SelfSigned,
    /// A certificate that the key of its issuer has not signed: another CA of the same name, or damage.
    #[error("certificate not signed by its issuer's key")]
    WrongIssuerKey,
    /// A certificate that says it is for the other domain.
    #[error("certificate for the other domain (production or test)")]
    WrongDomain,
    /// A certificate that its issuer has revoked.
    #[error("certificate revoked")]
    Revoked,
    /// There is no revocation list, or none that is new enough.
    #[error("revocation list missing or out of date")]
    RevocationStale,
    /// A revocation list that is not DER, not complete, or not signed by its issuer.
    #[error("unusable revocation list")]
    BadRevocationList,
    /// More certificates than a chain may have here.
    #[error("chain too long")]
    ChainTooLong,
    /// A sealed session whose time is over.
    #[error("sealed session expired")]
    TokenExpired,
    /// A sealed session that was opened before.
    #[error("sealed session used already")]
    TokenUsed,
    /// The credential type cannot be used with this method (a signature needs a signing key).
    #[error("credential does not fit the method")]
    WrongCredential,
    /// Nobody entitled says that this operator owns this device.
    #[error("not entitled: {0}")]
    Voucher(#[from] Voucher),
    /// A relay that may not forward this.
    #[error("relay refused: {0}")]
    Relay(#[from] Relay),
}

/// Why a relay may not forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Relay {
    /// Its token is none of this operator's.
    #[error("token not authentic")]
    Token,
    /// The token is another relay's.
    #[error("token of another relay")]
    OtherRelay,
    /// The token's time is over.
    #[error("token expired")]
    Expired,
    /// The token is for the other domain, or not for this operation.
    #[error("outside of the token's scope")]
    Scope,
    /// It has forwarded as much as the token allows.
    #[error("quota used up")]
    Quota,
}

impl From<Relay> for Error {
    fn from(relay: Relay) -> Self {
        Self::Untrusted(relay.into())
    }
}

/// Why a voucher does not make an operator the owner of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Voucher {
    /// There is none, or it was sealed for somebody else.
    #[error("no voucher")]
    Missing,
    /// The first entry is signed by no maker that is trusted in this domain, or a later one not by the owner before.
    #[error("voucher entry signed by the wrong key")]
    Signer,
    /// It is for another device.
    #[error("voucher for another device")]
    OtherDevice,
    /// An entry speaks for another domain.
    #[error("voucher for another domain")]
    OtherDomain,
    /// It names another owner than the operator that shows it.
    #[error("voucher for another operator")]
    OtherOwner,
    /// It ends before what the device has accepted already, or its nonce is not the one that the device waits for.
    #[error("voucher out of date")]
    Stale,
    /// It leaves the line of owners that the device has accepted.
    #[error("voucher forks the line of owners")]
    Forked,
    /// Its entries do not follow from one another.
    #[error("voucher entries out of order")]
    Broken,
    /// More entries than a voucher may have.
    #[error("too many voucher entries")]
    TooLong,
    /// Its time is over, or it has an end and there is no clock to see whether it has come (RFC 8366 §5.3).
    #[error("voucher expired")]
    Expired,
}

/// The peer said no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The operator understood the request and declined it.
    #[error("{0}")]
    Code(Code),
    /// The operator has called the new credential off; the one in use stays.
    #[error("the new credential was called off")]
    Aborted,
    /// An EDHOC error message with this ERR_CODE (RFC 9528 §6). Not authenticated: treat it as a hint.
    #[error("EDHOC error {0}")]
    Edhoc(i64),
    /// An EDHOC error 2: the peer runs other suites (RFC 9528 §6.3). Not authenticated.
    #[error("EDHOC error 2, wrong selected cipher suite")]
    WrongSuite,
}

/// Calls that the library cannot follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misuse {
    /// An answer to a question that was not asked, or a call that this state does not allow.
    #[error("not now: {0}")]
    NotNow(&'static str),
    /// A parameter outside its documented range.
    #[error("invalid parameter: {0}")]
    Parameter(&'static str),
}

/// This side's own machinery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Backend {
    /// The random source failed or gave unusable bytes.
    #[error("random source")]
    Random,
    /// The key store does not know the key, or failed to use it.
    #[error("key store")]
    Key,
    /// The key store is still at it: repeat the call.
    #[error("key store not ready")]
    KeyPending,
    /// The store failed or holds something this version did not write.
    #[error("subscription store")]
    Store,
    /// The USIM failed.
    #[error("USIM")]
    Usim,
    /// A cryptographic primitive failed that cannot fail on valid input.
    #[error("crypto backend")]
    Crypto,
}

/// What a stranger may learn from a failure in the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Nothing goes out: the peer ended the exchange itself, or the failure is this side's alone.
    Nothing,
    /// EDHOC error code 1 with one fixed text (RFC 9528 §6.2).
    Unspecified,
    /// EDHOC error code 2 with SUITES_R (RFC 9528 §6.3).
    WrongSuite,
    /// EDHOC error code 3 (RFC 9528 §6.4).
    UnknownCredential,
}

impl Error {
    /// What the peer is told when this ends a handshake. Exhaustive on purpose: no `_` arm.
    pub const fn told(&self) -> Told {
        match self {
            Self::Misbehaved(Misbehaved::WrongSuite) => Told::WrongSuite,
            Self::Untrusted(Untrusted::UnknownCredential) => Told::UnknownCredential,
            // Whoever sends a fragment is a stranger still, and an error message would end what it does not belong to.
            Self::Misbehaved(Misbehaved::Fragment(_)) => Told::Nothing,
            // It is not the device that is refused.
            Self::Untrusted(Untrusted::Relay(_)) => Told::Nothing,
            Self::Malformed(_) | Self::Misbehaved(_) | Self::Untrusted(_) | Self::Backend(_) => Told::Unspecified,
            Self::Refused(_) | Self::Declined(_) | Self::Misuse(_) | Self::Unanswered => Told::Nothing,
        }
    }
}
