//! Block-wise transfers in CoAP (RFC 7959): the value of a Block option, and messages in blocks.
//!
//! ```text
//! device (CoAP client)                                   operator (CoAP server)
//!   ── POST, Block1 0/more/64, Size1 300, 64 bytes ───▶
//!   ◀────────────────────── 2.31 Continue, Block1 0 ────
//!   …                                                    the last one: Whole(message_1)
//!   ◀── 2.04 Changed, Block2 0/more/64, Size2 400, 64 bytes
//!   ── POST, Block2 1 ────────────────────────────────▶
//!   …                                                    Whole(message_2) at the device
//! ```
//!
//! CoAP itself repeats, acknowledges and knows repetitions (RFC 7252 §4); RFC 9528 §A.2 has EDHOC in it. This is the part
//! in between. Where RFC 7959 leaves the size options to the sender (§4), this profile asks for one with the first of
//! several blocks: a message has a fixed total from its first fragment on, here as everywhere.
//!
//! Where it is refused, RFC 7959 §2.9 has a code: 4.08 for a gap or a block of another message than the one under way, 4.13
//! for a message that is too long. A client that begins anew while the server has a part waits until that part's time is
//! over: the server cannot tell it from a stranger.
//!
//! Not here: the CoAP message, its token and its options other than these. Which message a block belongs to, the caller
//! tells: with Block1 by endpoint, resource and Request-Tag (RFC 9175 §3), with Block2 by the request and the ETag (RFC 7959
//! §2.4). Each block may have a token of its own, so that does not.

use alloc::vec::Vec;

use super::{
    Piece, Progress, Reassembler,
    fragment::{cut, sendable},
};
use crate::{
    error::{Error, Malformed, Misuse},
    time::Millis,
};

/// How long the blocks of a message are: 2^(SZX + 4) bytes (RFC 7959 §2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlockSize(u8);

impl BlockSize {
    /// 16 bytes.
    pub const MIN: Self = Self(0);
    /// 64 bytes: a block and its CoAP head fit into one frame of IEEE 802.15.4.
    pub const SMALL: Self = Self(2);
    /// 1,024 bytes.
    pub const MAX: Self = Self(6);

    /// Of a size exponent.
    ///
    /// # Errors
    /// [`Malformed::OutOfRange`] above 6: 7 is reserved.
    pub const fn new(szx: u8) -> Result<Self, Malformed> {
        if szx > 6 { Err(Malformed::OutOfRange) } else { Ok(Self(szx)) }
    }

    /// SZX.
    pub const fn exponent(self) -> u8 {
        self.0
    }

    /// Bytes of a block.
    pub const fn bytes(self) -> usize {
        16 << self.0
    }
}

/// The value of a Block1 or Block2 option (RFC 7959 §2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// NUM: which block, 20 bits.
    pub number: u32,
    /// M: whether more follow.
    pub more: bool,
    /// SZX.
    pub size: BlockSize,
}

impl Block {
    /// Reads the value of the option: 0 to 3 bytes, where leading zeros do not count (RFC 7252 §3.2).
    ///
    /// # Errors
    /// [`Malformed::TooLong`] above 3 bytes; [`Malformed::OutOfRange`] for the reserved size.
    pub fn read(value: &[u8]) -> Result<Self, Malformed> {
        if value.len() > 3 {
            return Err(Malformed::TooLong);
        }
        let value = value.iter().fold(0_u32, |value, byte| value << 8 | u32::from(*byte));
        let [.., low] = value.to_be_bytes();
        Ok(Self { number: value >> 4, more: low & 8 != 0, size: BlockSize::new(low & 7)? })
    }

    /// The value of the option, in as few bytes as it takes.
    ///
    /// # Errors
    /// [`Misuse::Parameter`] for a number of more than 20 bits.
    pub fn write(&self) -> Result<Vec<u8>, Misuse> {
        if self.number > 0xf_ffff {
            return Err(Misuse::Parameter("a block number has 20 bits"));
        }
        let value = self.number << 4 | u32::from(self.more) << 3 | u32::from(self.size.0);
        Ok(value.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect())
    }

    /// Where the block begins in its message.
    pub fn offset(&self) -> usize {
        usize::try_from(self.number).unwrap_or(usize::MAX).saturating_mul(self.size.bytes())
    }
}

/// Block `number` of a message: the value of its option, its payload and, with the first of several, the value of Size1 or
/// Size2.
///
/// # Errors
/// [`Misuse::Parameter`] if the message has no such block, or is longer than [`MAX_MESSAGE`](crate::wire::MAX_MESSAGE).
pub fn block(message: &[u8], number: u32, size: BlockSize) -> Result<(Block, &[u8], Option<usize>), Misuse> {
    sendable(message)?;
    let mut block = Block { number, more: false, size };
    let payload = cut(message, block.offset(), size.bytes());
    if payload.is_empty() && number > 0 {
        return Err(Misuse::Parameter("no such block"));
    }
    block.more = block.offset().saturating_add(payload.len()) < message.len();
    Ok((block, payload, (number == 0 && block.more).then_some(message.len())))
}

impl Reassembler {
    /// Takes a block in. `message` tells one message of one peer from all others; `total` is the value of Size1 (with Block1)
    /// or Size2 (with Block2), if the option is there.
    ///
    /// # Errors
    /// As [`Reassembler::accept`], and [`Malformed::WrongLength`] for a block that is not of its size (RFC 7959 §2.2).
    pub fn accept_block(
        &mut self,
        message: u64,
        block: Block,
        total: Option<usize>,
        payload: &[u8],
        now: Millis,
    ) -> Result<Progress, Error> {
        let size = block.size.bytes();
        if payload.len() > size || block.more && payload.len() < size {
            return Err(Malformed::WrongLength.into());
        }
        // A message of one block needs no total.
        let total = total.or((block.number == 0 && !block.more).then_some(payload.len()));
        self.accept(&Piece { message, total, offset: block.offset(), more: block.more, data: payload }, now)
    }
}
