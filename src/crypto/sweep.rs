//! What a library that computes on a key leaves on the stack: parts of the key, of its schedule or of a product, in frames that
//! are no more. No library wipes them all, and none could: where a value is spilled or moved is the compiler's business.
//!
//! So whatever computes on secrets outside of [`Secret`](super::Secret)s does that in a frame of its own, and the stack below is
//! overwritten afterwards. Then a function with many arguments is called, for the sake of the registers that they come in.

use core::hint::black_box;

use zeroize::zeroize_stack;

/// Bytes for hashes and HKDF.
pub(crate) const HASHES: usize = bytes(2, 1);

/// Bytes for one block of AES.
pub(crate) const BLOCK: usize = bytes(3, 1);

/// Bytes for several blocks of AES side by side, as in a vector: 5.5 KB at -O3, but up to 8.7 KB at -Oz.
pub(crate) const BLOCKS: usize = bytes(9, 1);

/// Bytes for ciphers.
pub(crate) const CIPHERS: usize = bytes(11, 2);

/// Bytes for operations with points.
#[cfg(feature = "rustcrypto")]
pub(crate) const POINTS: usize = bytes(12, 4);

/// What a large machine and a small one have overwritten, in kilobytes: about what the operation itself takes on the first
/// (`tests/memory` says how much that is, and that it is enough), and less than that on the second, whose stack may be just
/// large enough. Unoptimised code takes several times as much.
const fn bytes(large: usize, small: usize) -> usize {
    let kilobytes = if cfg!(target_pointer_width = "64") { large } else { small };
    let unoptimised = if cfg!(debug_assertions) { 4 } else { 1 };
    kilobytes.saturating_mul(1024).saturating_mul(unoptimised)
}

/// Runs `work`, and overwrites the stack that it used, `BYTES` bytes of it, and on a large machine registers.
#[inline(never)]
pub(crate) fn swept<const BYTES: usize, T>(work: impl FnOnce() -> T) -> T {
    let result = below(work);
    zeroize_stack::<BYTES>();
    // A small machine may have no floating point, and no firmware has it for this.
    if cfg!(target_pointer_width = "64") {
        let (word, real) = black_box((0, 0.0));
        blank(word, word, word, word, word, word, real, real, real, real, real, real, real, real);
    }
    result
}

/// Puts all frames of `work` below that of [`swept`].
#[inline(never)]
fn below<T>(work: impl FnOnce() -> T) -> T {
    work()
}

/// Puts zeros where arguments are: into registers that `work` may have left anything in. What is undefined in a value is stored
/// from one of them.
#[inline(never)]
#[expect(clippy::too_many_arguments, reason = "one for each register")]
fn blank(
    a: usize,
    b: usize,
    c: usize,
    d: usize,
    e: usize,
    f: usize,
    s: f64,
    t: f64,
    u: f64,
    v: f64,
    w: f64,
    x: f64,
    y: f64,
    z: f64,
) {
    black_box(([a, b, c, d, e, f], [s, t, u, v, w, x, y, z]));
}
