//! What the two sides say to each other inside EDHOC's EAD items and, after message_4, inside records.
//!
//! ```text
//! EAD_1 hello ─▶   ◀─ EAD_2 terms   EAD_3 request ─▶   ◀─ EAD_4 offer
//! records    [ prepared ─▶   ◀─ decision ]   confirm ─▶   ◀─ complete
//! ```
//!
//! All of it is authenticated and encrypted but `hello`, which is in clear (its authentication comes with the
//! transcript). What is encrypted is padded to a multiple of [`PADDING_CLASS`], so that its length tells little.

use alloc::vec::Vec;

use crate::{
    credential::Txn,
    crypto::Hash,
    edhoc::{EadItem, PeerError, token},
    error::{Code, Malformed, Misbehaved, Refused},
    identity::Domain,
    provisioning::receipt::MAX_RECEIPTS,
    wire::{Kind, Raw, Reader, Wire, Writer, encode_with, wire_array, wire_choice, wire_map},
};
use arrayvec::ArrayVec;

/// The EAD label of this protocol. Provisional: the registry of RFC 9528 §10.5 has no private-use range.
pub const EAD_LABEL: u32 = 0xce11;

/// ERR_CODE of an EDHOC error message that demands a cookie. ERR_INFO is the cookie: bstr .size (1..64). Provisional: the
/// registry of RFC 9528 §10.4 has no private-use range; this is in that of the specifications to come (24 to 65,535).
pub const COOKIE_DEMANDED: i64 = 0xce11;

/// Longest cookie, in bytes: an operator makes them as it likes.
pub const MAX_COOKIE: usize = 64;

/// The protocol version.
pub const VERSION: u64 = 1;

/// Algorithms, and evidence formats, in one list.
pub const MAX_CHOICES: usize = 8;

// ----------------------------------------------------------------------------------------------------- EAD_1, EAD_2

/// hello = [ version: 1, domain, concealed-id / null, relay: bstr .size 32 / null, ? cookie: bstr .size (1..64) ]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello<'a> {
    /// Production or test.
    pub domain: Domain,
    /// The device's name, concealed (see [`concealed`](crate::trust::concealed)); with it, the operator shows its voucher
    /// first.
    pub concealed_id: Option<Raw<'a>>,
    /// SHA-256 over the relay's announcement that the device answers.
    pub relay: Option<Hash>,
    /// The operator's cookie, sent back: what came with [`COOKIE_DEMANDED`], byte for byte. An operator that is not under
    /// load does not look at it.
    pub cookie: Option<&'a [u8]>,
}

impl<'a> Wire<'a> for Hello<'a> {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.array(if self.cookie.is_some() { 5 } else { 4 });
        writer.unsigned(VERSION);
        self.domain.write(writer);
        self.concealed_id.write(writer);
        self.relay.write(writer);
        if let Some(cookie) = self.cookie {
            writer.bytes(cookie);
        }
    }

    fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let len = reader.array()?;
        if !(4..=5).contains(&len) || reader.unsigned()? != VERSION {
            return Err(Malformed::OutOfRange);
        }
        Ok(Self {
            domain: Wire::read(reader)?,
            concealed_id: Wire::read(reader)?,
            relay: Wire::read(reader)?,
            cookie: match len {
                5 => Some(read_cookie(reader)?),
                _ => None,
            },
        })
    }
}

fn read_cookie<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    match reader.bytes_up_to(MAX_COOKIE)? {
        [] => Err(Malformed::WrongLength),
        cookie => Ok(cookie),
    }
}

/// The error message that demands a cookie: ( [`COOKIE_DEMANDED`], bstr ). Nobody authenticates it, and the device has done
/// nothing yet: it says message_1 once more.
pub fn demand(cookie: &[u8]) -> Vec<u8> {
    encode_with(|w| {
        w.integer(COOKIE_DEMANDED);
        w.bytes(cookie);
    })
}

/// The cookie that an error message demands, if it demands one.
pub fn demanded<'a>(error: &PeerError<'a>) -> Option<&'a [u8]> {
    let Raw(info) = error.info.filter(|_| error.refused == Refused::Edhoc(COOKIE_DEMANDED))?;
    let mut reader = Reader::new(info).ok()?;
    read_cookie(&mut reader).ok()
}

wire_array! {
    /// terms = [ domain, [ * evidence-format: uint ], sealed-voucher / null ]
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Terms<'a> {
        /// Production or test.
        pub domain: Domain,
        /// Evidence that the operator wants to see.
        pub evidence_formats: ArrayVec<u64, MAX_CHOICES>,
        /// The voucher for the device that EAD_1 concealed, sealed for it (see [`concealed`](crate::trust::concealed)).
        pub voucher: Option<Raw<'a>>,
    }
}

// ----------------------------------------------------------------------------------------------------- EAD_3

wire_choice! {
    /// What a device asks for.
    pub enum Operation {
        /// A first subscription.
        Provision = 0,
        /// A new K in place of the one in use, or beside it.
        Rekey = 1,
        /// The same, for the owner or the number that the operator's log has now.
        Reassociate = 2,
        /// A subscription of another operator, which has become the device's owner.
        Transfer = 3,
        /// A subscription on somebody's account: see [`grant`](crate::authority::grant).
        OnDemand = 4,
        /// To finish what a power cut or a lost message left open.
        Resume = 5,
        /// To hear how things stand, and to hand in receipts.
        Query = 6,
        /// To give the subscription back.
        Retire = 7,
    }
}

impl Operation {
    /// Whether it ends with a new credential.
    pub const fn issues(self) -> bool {
        match self {
            Self::Provision | Self::Rekey | Self::Reassociate | Self::Transfer | Self::OnDemand => true,
            Self::Resume | Self::Query | Self::Retire => false,
        }
    }
}

wire_array! {
    /// counter = [ request: uint, retry: uint ]: never repeats, so that two devices with one identity are noticed.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    pub struct Counter {
        /// Durable; grows with every request.
        pub request: u32,
        /// Grows with every message_1 of one request: another suite was proposed, or a cookie brought.
        pub retry: u32,
    }
}

wire_map! {
    /// request = { 1: txn, 2: operation, 3: counter, 4: [ + algorithm ], 5: device-state, ? 6: evidence,
    ///             ? 7: grant, ? 8: [ + receipt / summary ], ? 9: voucher-request }
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Request<'a> {
        /// The transaction.
        1 => pub txn: Txn,
        /// What for.
        2 => pub operation: Operation,
        /// The request counter.
        3 => pub counter: Counter,
        /// Numbers of algorithm sets that the device runs; unknown ones are passed over.
        4 => pub algorithms: ArrayVec<u64, MAX_CHOICES>,
        /// What the device has.
        5 => pub state: DeviceState,
        /// Evidence of the state the device is in.
        6 => pub evidence: Option<&'a [u8]>,
        /// On whose account: see [`grant`](crate::authority::grant).
        7 => pub grant: Option<&'a [u8]>,
        /// Receipts that nobody has acknowledged, oldest first; where there was no room for all of them, a summary comes
        /// first.
        8 => pub receipts: Option<ArrayVec<&'a [u8], MAX_RECEIPTS>>,
        /// For the maker: the device waits for a voucher with this nonce (see
        /// [`VoucherRequest`](crate::trust::voucher::VoucherRequest)).
        9 => pub voucher_request: Option<&'a [u8]>,
    }
}

wire_array! {
    /// device-state = [ active: epoch / null, supi-hash / null, package-hash / null, pending: epoch / null,
    ///                  owner-epoch: uint, voucher-head: hash / null, last-receipt: hash / null ]
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct DeviceState {
        /// Epoch of the credential in use.
        pub active: Option<u32>,
        /// Names its SUPI to those who know it: see [`supi_hash`](super::receipt::supi_hash).
        pub supi_hash: Option<Hash>,
        /// SHA-256 over the package that it came in.
        pub package_hash: Option<Hash>,
        /// Epoch of a credential that is prepared and not decided.
        pub pending: Option<u32>,
        /// The owner epoch of the last voucher entry it accepted; 0 before the first.
        pub owner_epoch: u32,
        /// Hash of that entry.
        pub voucher_head: Option<Hash>,
        /// Hash of the last receipt it made.
        pub last_receipt: Option<Hash>,
    }
}

// ----------------------------------------------------------------------------------------------------- EAD_4

/// offer = package-offer / status / refusal
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Offer<'a> {
    /// A new credential.
    Package(PackageOffer<'a>),
    /// The answer to a resume or a query.
    Status(Status),
    /// No.
    Refusal(Refusal),
}

wire_map! {
    /// package-offer = { 1: txn, 2: bstr .cbor COSE_Encrypt0, ? 3: bstr .cbor voucher-chain }
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct PackageOffer<'a> {
        /// The transaction.
        1 => pub txn: Txn,
        /// The sealed package.
        2 => pub sealed: &'a [u8],
        /// The voucher, where it was not shown in `terms`. Looked at before the package is.
        3 => pub voucher: Option<&'a [u8]>,
    }
}

wire_choice! {
    /// What a device is to do now.
    pub enum Order {
        /// Nothing more: the transaction is over, and the previous credential may go.
        Complete = 0,
        /// Use the credential that is prepared.
        Commit = 1,
        /// Let go of the credential that is prepared.
        Abort = 2,
        /// Let go of all credentials of this operator: its core network accepts none of them any more.
        Erase = 3,
    }
}

wire_choice! {
    /// How a subscription stands at its operator.
    #[derive(Default)]
    pub enum Standing {
        /// As agreed, or there is none yet.
        #[default]
        InService = 0,
        /// Barred for a while; the device keeps what it has.
        Suspended = 1,
        /// Barred for good; the device does not know yet (REVOKED_UNREACHABLE).
        RevokedUnreachable = 2,
        /// Barred for good, and the device has signed that its credential is gone.
        Revoked = 3,
        /// Barred because the device gives it back, and has not signed yet that its credential is gone.
        Retiring = 4,
        /// Given back. The device can be provisioned again.
        Retired = 5,
    }
}

wire_array! {
    /// status = [ 6, txn, cumulative-ack: uint, order, standing, wanted: operation / null ]
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Status = 6 {
        /// The transaction.
        pub txn: Txn,
        /// Sequence number of the last receipt that the operator has.
        pub acknowledged: u64,
        /// What to do now.
        pub order: Order,
        /// How the subscription stands.
        pub standing: Standing,
        /// What the operator would like the device to ask for, when it suits it.
        pub wanted: Option<Operation>,
    }
}

wire_map! {
    /// refusal = { 1: txn, 2: code, ? 3: retry-after: uint }
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Refusal {
        /// The transaction.
        1 => pub txn: Txn,
        /// Why.
        2 => pub code: Code,
        /// Seconds after which to ask again, with a code of class RETRY.
        3 => pub retry_after: Option<u32>,
    }
}

impl Wire<'_> for Code {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.unsigned(u64::from(self.number()));
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Self::from_number(reader.unsigned()?).ok_or(Malformed::OutOfRange)
    }
}

impl<'a> Wire<'a> for Offer<'a> {
    fn write(&self, writer: &mut Writer<'_>) {
        match self {
            Self::Package(offer) => offer.write(writer),
            Self::Status(status) => status.write(writer),
            Self::Refusal(refusal) => refusal.write(writer),
        }
    }

    fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        if reader.peek()? == Kind::Array {
            return Status::read(reader).map(Self::Status);
        }
        // Package and refusal are told apart by the type of key 2.
        let mut ahead = reader.clone();
        let is_package = match ahead.map()?.find(2)? {
            Some(value) => value.peek()? == Kind::Bytes,
            None => return Err(Malformed::MissingKey),
        };
        if is_package {
            PackageOffer::read(reader).map(Self::Package)
        } else {
            Refusal::read(reader).map(Self::Refusal)
        }
    }
}

// ----------------------------------------------------------------------------------------------------- records

wire_array! {
    /// prepared = [ 1, txn, res: bstr .size (4..16), receipt ]
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Prepared<'a> = 1 {
        /// The transaction.
        pub txn: Txn,
        /// The answer to the activation challenge.
        pub res: &'a [u8],
        /// The device's receipt, a COSE_Sign1 in a byte string.
        pub receipt: &'a [u8],
    }
}

wire_array! {
    /// decision = [ 2, txn, commit: 0 / 1 ]
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Decision = 2 {
        /// The transaction.
        pub txn: Txn,
        /// What was decided.
        pub verdict: Verdict,
    }
}

wire_choice! {
    /// Commit or abort.
    pub enum Verdict {
        /// Let go of the credential that is prepared.
        Abort = 0,
        /// Use it.
        Commit = 1,
    }
}

wire_array! {
    /// confirm = [ 3, txn, res: bstr .size (4..16) / null, receipt ]
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Confirm<'a> = 3 {
        /// The transaction.
        pub txn: Txn,
        /// The answer to the activation challenge, where it is the first one: in one-shot.
        pub res: Option<&'a [u8]>,
        /// The device's receipt, a COSE_Sign1 in a byte string.
        pub receipt: &'a [u8],
    }
}

wire_array! {
    /// stopped = [ 7, txn, code, retry-after: uint / null ]: nothing was decided; resume later.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Stopped = 7 {
        /// The transaction.
        pub txn: Txn,
        /// Why.
        pub code: Code,
        /// Seconds after which to ask again, with a code of class RETRY.
        pub retry_after: Option<u32>,
    }
}

wire_array! {
    /// complete = [ 4, txn, cumulative-ack: uint ]
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Complete = 4 {
        /// The transaction.
        pub txn: Txn,
        /// Sequence number of the last receipt that the operator has.
        pub acknowledged: u64,
    }
}

/// What EDHOC encrypts, and records, are padded to a multiple of this many bytes.
pub const PADDING_CLASS: usize = 64;

/// Zeros to pad with; what hides them is the encryption.
const ZEROS: [u8; PADDING_CLASS] = [0; PADDING_CLASS];

/// The one EAD item of this protocol.
pub(super) const fn ead(value: &[u8]) -> EadItem<'_> {
    EadItem { label: EAD_LABEL, critical: true, value: Some(value) }
}

/// `item`, and padding (RFC 9528 §3.8.1) for a plaintext that is `len` bytes long without it.
pub(super) fn with_padding(item: EadItem<'_>, len: usize) -> ArrayVec<EadItem<'_>, 3> {
    let short_by = len.next_multiple_of(PADDING_CLASS).saturating_sub(len);
    // A padding item is one byte for its label, and if it has a value one more for the head, or two from 24 bytes on.
    let (bare, value) = match short_by {
        0 => (false, None),
        1 => (true, None),
        2..=25 => (false, Some(short_by.saturating_sub(2))),
        26 => (true, Some(23)),
        _ => (false, Some(short_by.saturating_sub(3))),
    };
    let bare = bare.then_some(EadItem { value: None, ..EadItem::padding(&[]) });
    let value = value.and_then(|len| ZEROS.get(..len)).map(EadItem::padding);
    [Some(item), bare, value].into_iter().flatten().collect()
}

/// The one EAD item of this protocol, critical in every message, and only once.
pub(super) fn take_ead(ead: &mut crate::edhoc::Ead) -> Result<Vec<u8>, Misbehaved> {
    let value = match ead.take(EAD_LABEL) {
        Some(crate::edhoc::TakenEad { critical: true, value: Some(value) }) => value.to_vec(),
        _ => return Err(Misbehaved::MissingEad),
    };
    if ead.take(EAD_LABEL).is_some() { Err(Misbehaved::MissingEad) } else { Ok(value) }
}

token::portable_as_sent!(Operation, Counter, DeviceState);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_is_padded_to_a_class() {
        for len in 0..3 * PADDING_CLASS {
            let items = with_padding(ead(b"x"), len);
            assert!(items.first().is_some_and(|item| item.critical));
            // RFC 8949: a label of 0 is one byte, the head of a string one or, from 24 bytes on, two.
            let padding = items.iter().skip(1).map(|item| {
                assert!(!item.critical && item.label == 0, "padding (RFC 9528 §3.8.1)");
                item.value.map_or(1, |value| value.len().saturating_add(if value.len() < 24 { 2 } else { 3 }))
            });
            let padded = len.saturating_add(padding.sum());
            assert_eq!(padded, len.next_multiple_of(PADDING_CLASS), "{len}");
        }
    }
}
