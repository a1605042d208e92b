//! A stack of one's own for a call, painted before, and looked at after it.

use std::cell::RefCell;

/// More than any call needs, unoptimised.
const LEN: usize = 4 << 20;
const WORD: usize = size_of::<u64>();
const PAINT: u64 = 0x5a_a5_5a_a5_a5_5a_a5_5a;

#[repr(align(64))]
struct Painted([u64; LEN / WORD]);

thread_local! {
    static STACK: RefCell<Option<Box<Painted>>> = const { RefCell::new(None) };
}

/// Runs `work` on the painted stack; then what it left there, from the deepest place that it wrote to.
///
/// # Panics
/// If that is all of it, or the stack is in use.
pub fn painted<T>(work: impl FnOnce() -> T) -> (T, Vec<u8>) {
    STACK.with_borrow_mut(|stack| {
        let stack = stack.get_or_insert_with(|| {
            let mut stack = unsafe { Box::<Painted>::new_zeroed().assume_init() };
            stack.0.fill(PAINT);
            stack
        });
        let base = stack.0.as_mut_ptr().cast::<u8>();
        // SAFETY: the memory is this thread's, and nobody uses it meanwhile.
        let result = unsafe { psm::on_stack(base, LEN, work) };
        let deepest = stack.0.iter().position(|word| *word != PAINT).unwrap_or(stack.0.len());
        assert!(deepest > 1024, "the stack is too small");
        let used = &mut stack.0[deepest..];
        let left = super::heap::unwatched(|| used.iter().flat_map(|word| word.to_ne_bytes()).collect());
        used.fill(PAINT);
        (result, left)
    })
}

/// Tells a debugger where the stack ends, and gives it the time to set its watch.
pub fn stop() {
    painted(|| ());
    let top = STACK.with_borrow_mut(|stack| stack.as_mut().map(|stack| stack.0.as_mut_ptr_range().end as usize));
    println!("stack ends at {:#x}", top.unwrap_or_default());
    // SAFETY: a breakpoint changes nothing.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        std::arch::asm!("int3");
    }
}
