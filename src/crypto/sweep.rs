//! What a library that computes on a key leaves on the stack: parts of the key, of its schedule or of a product, in frames that
//! are no more. No library wipes them all, and none could: where a value is spilled or moved is the compiler's business.
//!
//! So whatever computes on secrets outside of [`Secret`](super::Secret)s does that in a frame of its own, and the stack below is
//! overwritten afterwards. Without `unsafe`: by a function whose frame is one array, called from the same place.

use zeroize::Zeroize;

/// Words for hashes and HKDF.
pub(crate) const HASHES: usize = words(3, 1);

/// Words for single blocks of AES.
pub(crate) const BLOCKS: usize = words(8, 1);

/// Words for ciphers.
pub(crate) const CIPHERS: usize = words(11, 2);

/// Words for operations with points.
#[cfg(feature = "rustcrypto")]
pub(crate) const POINTS: usize = words(12, 4);

/// What a large machine and a small one have overwritten, in kilobytes: about what the operation itself takes on the first
/// (`tests/memory` says how much that is, and that it is enough), and less than that on the second, whose stack may be just
/// large enough. Unoptimised code takes several times as much.
const fn words(large: usize, small: usize) -> usize {
    let kilobytes = if cfg!(target_pointer_width = "64") { large } else { small };
    let unoptimised = if cfg!(debug_assertions) { 4 } else { 1 };
    kilobytes.saturating_mul(128).saturating_mul(unoptimised)
}

/// Runs `work`, and overwrites the stack that it used, `WORDS` words of it.
#[inline(never)]
pub(crate) fn swept<const WORDS: usize, T>(work: impl FnOnce() -> T) -> T {
    let result = below(work);
    overwrite::<WORDS>();
    result
}

/// Puts all frames of `work` below that of [`swept`].
#[inline(never)]
fn below<T>(work: impl FnOnce() -> T) -> T {
    work()
}

#[inline(never)]
fn overwrite<const WORDS: usize>() {
    let mut frame = [0_u64; WORDS];
    frame.zeroize();
}
