//! A message in fragments, and back: packets of this crate's own, and the one reassembly that all envelopes share.

use alloc::vec::Vec;

use crate::{
    error::{Error, Fragment, Malformed, Misbehaved, Misuse},
    time::Millis,
    wire::MAX_MESSAGE,
};

/// Bytes of the head of a packet of this crate's own.
pub const HEAD_LEN: usize = 7;

/// Fewest bytes of a fragment that is not the last one: the smallest block of CoAP (RFC 7959 §2.2).
pub const MIN_FRAGMENT: usize = 16;

/// Most fragments of a message. With fewer bytes in each, a sender could keep a reassembly busy with thousands.
pub const MAX_FRAGMENTS: usize = MAX_MESSAGE / MIN_FRAGMENT;

/// How many bytes a link takes at once, the head of the envelope included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile(usize);

impl Profile {
    /// EAP: 1,020 bytes, the least that every lower layer carries (RFC 3748 §3.1).
    pub const EAP: Self = Self(1020);
    /// SMS: 134 bytes, which leaves 6 of the 140 for a user data header (TS 23.040 §9.2.3.24).
    pub const SMS: Self = Self(134);
    /// BIP and APDUs: 255 bytes, what a short Lc can say (ISO/IEC 7816-4 §5.2).
    pub const APDU: Self = Self(255);
    /// A NAS payload container: 65,535 bytes (TS 24.501 §9.11.3.39), so every message goes in one packet.
    pub const NAS: Self = Self(MAX_MESSAGE + HEAD_LEN);

    /// A link of one's own.
    ///
    /// # Errors
    /// [`Misuse::Parameter`] if a packet does not hold a head and [`MIN_FRAGMENT`] bytes (24 do, for every envelope), or
    /// more than the longest message.
    pub const fn new(packet: usize) -> Result<Self, Misuse> {
        match packet {
            24..=4103 => Ok(Self(packet)),
            _ => Err(Misuse::Parameter("a packet has 24 to 4,103 bytes")),
        }
    }

    /// Bytes of the longest packet.
    pub const fn packet(self) -> usize {
        self.0
    }

    /// Bytes of a message that fit into a packet whose head has `head`.
    pub(super) const fn room(self, head: usize) -> usize {
        self.0.saturating_sub(head)
    }
}

/// The bytes of `message` from `from` on, as many as there is room for.
pub(super) fn cut(message: &[u8], from: usize, room: usize) -> &[u8] {
    let rest = message.get(from..).unwrap_or_default();
    rest.get(..room).unwrap_or(rest)
}

/// Refuses a message that no reassembly would take.
pub(super) const fn sendable(message: &[u8]) -> Result<(), Misuse> {
    if message.len() > MAX_MESSAGE { Err(Misuse::Parameter("a message has at most 4,096 bytes")) } else { Ok(()) }
}

// ------------------------------------------------------------------------------------------------------------- packets

/// A packet of this crate's own, for links that have no fragmentation: 7 bytes of head, big-endian, then the data.
///
/// ```text
///  0                   1                   2                   3                   4                   5
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5
/// +-+-+-----------+-------------------------------+-------------------------------+-------------------------------+
/// |A|S|  number   |           exchange            |             total             |            offset             |
/// +-+-+-----------+-------------------------------+-------------------------------+-------------------------------+
/// ```
///
/// A is 0 for a fragment: `total` is the length of its message and `offset` where its data belong. A is 1 for an
/// acknowledgement, without data: `offset` is the byte that is wanted next of a message of length `total`. S is 1 in what
/// the server says, so that nobody takes for the other side's what he has said himself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Whether it acknowledges.
    pub acknowledges: bool,
    /// Whether it is the server's.
    pub from_server: bool,
    /// Which question of the exchange it belongs to, or the answer to it: 0 to 63, then from 0 again.
    pub number: u8,
    /// Which exchange, as the client has named it.
    pub exchange: u16,
    /// Bytes of the message.
    pub total: u16,
    /// Where the data begin, or have to.
    pub offset: u16,
    /// Bytes of the message.
    pub data: &'a [u8],
}

/// The highest number, and the mask that reads it.
const NUMBERS: u8 = 0x3f;

/// A.
const ACKNOWLEDGES: u8 = 0x80;

/// S.
const FROM_SERVER: u8 = 0x40;

impl<'a> Packet<'a> {
    /// Reads a packet. Whether it belongs anywhere is for others to say.
    ///
    /// # Errors
    /// [`Malformed`]: truncated, or an acknowledgement with data.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (head, data) = bytes.split_first_chunk::<HEAD_LEN>().ok_or(Malformed::Truncated)?;
        let [first, exchange @ .., t0, t1, o0, o1] = *head;
        let acknowledges = first & ACKNOWLEDGES != 0;
        if acknowledges && !data.is_empty() {
            return Err(Malformed::TrailingBytes);
        }
        Ok(Self {
            acknowledges,
            from_server: first & FROM_SERVER != 0,
            number: first & NUMBERS,
            exchange: u16::from_be_bytes(exchange),
            total: u16::from_be_bytes([t0, t1]),
            offset: u16::from_be_bytes([o0, o1]),
            data,
        })
    }

    /// Writes it.
    pub fn write(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD_LEN.saturating_add(self.data.len()));
        let flags = if self.acknowledges { ACKNOWLEDGES } else { 0 } | if self.from_server { FROM_SERVER } else { 0 };
        bytes.push(self.number & NUMBERS | flags);
        for field in [self.exchange, self.total, self.offset] {
            bytes.extend_from_slice(&field.to_be_bytes());
        }
        bytes.extend_from_slice(self.data);
        bytes
    }

    /// The number after this one.
    pub(super) const fn number_after(number: u8) -> u8 {
        number.wrapping_add(1) & NUMBERS
    }

    /// That it comes from the other side: one's own may be reflected.
    pub(super) fn check_side(&self, from_server: bool) -> Result<(), Misbehaved> {
        if self.from_server == from_server { Ok(()) } else { Err(Misbehaved::Reflection) }
    }

    /// As a piece of a message.
    pub(super) fn piece(&self) -> Piece<'a> {
        let (total, offset) = (usize::from(self.total), usize::from(self.offset));
        let more = offset.saturating_add(self.data.len()) < total;
        let message = u64::from(self.exchange) << 8 | u64::from(self.number);
        Piece { message, total: Some(total), offset, more, data: self.data }
    }
}

// ---------------------------------------------------------------------------------------------------------- reassembly

/// What an envelope says of a fragment.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'a> {
    /// Which message of which peer: whatever tells one from the other. Fragments of two messages never mix.
    pub message: u64,
    /// Bytes of the whole message, where the envelope says so. The first fragment has to.
    pub total: Option<usize>,
    /// Where its data belong.
    pub offset: usize,
    /// Whether the envelope promises more.
    pub more: bool,
    /// The data.
    pub data: &'a [u8],
}

/// What a fragment did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It was taken in, and the byte at this offset comes next.
    Next(usize),
    /// It was there already; nothing has changed.
    Repeated,
    /// It was the last one, and this is the message.
    Whole(Vec<u8>),
}

/// One message under way, of at most [`MAX_MESSAGE`] bytes in at most [`MAX_FRAGMENTS`] fragments, in order.
///
/// Memory is one buffer of the length that the first fragment names, given back with the message or when its time is
/// over. A fragment that is refused changes nothing and costs nothing, whoever sent it.
///
/// A message that does not get whole has its place for a fixed time from its first fragment on, which no later one
/// extends. In that time it can not be pushed out; after it, the first fragment of another message takes its place.
#[derive(Debug)]
pub struct Reassembler {
    patience: u64,
    under_way: Option<UnderWay>,
}

#[derive(Debug)]
struct UnderWay {
    message: u64,
    total: usize,
    bytes: Vec<u8>,
    until: Millis,
}

impl Reassembler {
    /// One that gives a message `patience` milliseconds.
    pub const fn new(patience: u64) -> Self {
        Self { patience, under_way: None }
    }

    /// Takes a fragment in.
    ///
    /// # Errors
    /// [`Fragment`], or [`Malformed::TooLong`] for a total above [`MAX_MESSAGE`]. Nothing has changed.
    pub fn accept(&mut self, piece: &Piece<'_>, now: Millis) -> Result<Progress, Error> {
        let end = piece.offset.saturating_add(piece.data.len());
        let Some(under_way) = self.under_way.as_mut().filter(|under_way| now < under_way.until) else {
            let total = piece.total.ok_or(Fragment::Gap)?;
            if total > MAX_MESSAGE {
                return Err(Malformed::TooLong.into());
            }
            piece.check(total, end)?;
            if piece.offset != 0 {
                return Err(Fragment::Gap.into());
            }
            if end == total {
                self.under_way = None;
                return Ok(Progress::Whole(piece.data.to_vec()));
            }
            let mut bytes = Vec::with_capacity(total);
            bytes.extend_from_slice(piece.data);
            let until = now.after(self.patience);
            self.under_way = Some(UnderWay { message: piece.message, total, bytes, until });
            return Ok(Progress::Next(end));
        };
        if piece.message != under_way.message {
            return Err(Fragment::Interleaved.into());
        }
        if piece.total.is_some_and(|total| total != under_way.total) {
            return Err(Fragment::Total.into());
        }
        piece.check(under_way.total, end)?;
        let have = under_way.bytes.len();
        if piece.offset > have {
            return Err(Fragment::Gap.into());
        }
        if piece.offset < have {
            let same = under_way.bytes.get(piece.offset..end) == Some(piece.data);
            return if same { Ok(Progress::Repeated) } else { Err(Fragment::Overlap.into()) };
        }
        under_way.bytes.extend_from_slice(piece.data);
        if end < under_way.total {
            return Ok(Progress::Next(end));
        }
        let whole = self.under_way.take().map(|under_way| under_way.bytes);
        Ok(Progress::Whole(whole.unwrap_or_default()))
    }

    /// How many bytes of this message there are; none if it is not under way.
    pub fn have(&self, message: u64, now: Millis) -> usize {
        let under_way =
            self.under_way.as_ref().filter(|under_way| under_way.message == message && now < under_way.until);
        under_way.map_or(0, |under_way| under_way.bytes.len())
    }

    /// Until when the message under way has its place.
    pub fn until(&self) -> Option<Millis> {
        self.under_way.as_ref().map(|under_way| under_way.until)
    }

    /// Gives the memory of a message back whose time is over, and tells whether there was one.
    pub fn expire(&mut self, now: Millis) -> bool {
        let over = self.until().is_some_and(|until| now >= until);
        if over {
            self.under_way = None;
        }
        over
    }
}

impl Piece<'_> {
    /// Whether a message of this total can have this fragment.
    fn check(&self, total: usize, end: usize) -> Result<(), Fragment> {
        if self.data.is_empty() && total != 0 {
            return Err(Fragment::Short);
        }
        if end > total || self.more != (end < total) {
            return Err(Fragment::End);
        }
        if self.more && self.data.len() < MIN_FRAGMENT { Err(Fragment::Short) } else { Ok(()) }
    }
}
