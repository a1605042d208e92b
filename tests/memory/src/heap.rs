//! An allocator that gives nothing back before somebody has looked at it.
//!
//! ```text
//! alloc, while watched ─▶ in the list of live blocks ─▶ dealloc ─▶ in the list of freed ones, as it was ─▶ freed() looks
//!                                                                                                    └─▶ release() gives back
//! ```
//!
//! Only blocks that are allocated by a thread while it watches are in the lists. A block that grows is a new one, and the old
//! one is freed: copies that growing leaves are seen.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    ptr,
    sync::Mutex,
};

/// Set it as the global allocator.
pub struct Watching;

/// What stands before each block.
struct Head {
    previous: *mut Head,
    next: *mut Head,
    layout: Layout,
    /// The how-manieth watched allocation it is; 0 for none.
    serial: u64,
}

const HEAD: usize = 64;
const _: () = assert!(size_of::<Head>() <= HEAD);

struct Lists {
    live: *mut Head,
    freed: *mut Head,
    serial: u64,
    /// The allocation that is to tell where it comes from.
    traced: u64,
}

// SAFETY: what the pointers point to is touched under the lock alone.
unsafe impl Send for Lists {}

static LISTS: Mutex<Lists> = Mutex::new(Lists { live: ptr::null_mut(), freed: ptr::null_mut(), serial: 0, traced: 0 });

thread_local! {
    static WATCHES: Cell<bool> = const { Cell::new(false) };
}

fn offset(layout: Layout) -> usize {
    HEAD.max(layout.align())
}

fn outer(layout: Layout) -> Layout {
    let size = layout.size().checked_add(offset(layout)).expect("a block of this size");
    Layout::from_size_align(size, layout.align().max(align_of::<Head>())).expect("a block of this size")
}

impl Head {
    /// # Safety
    /// `block` came out of [`Watching`] with this layout.
    unsafe fn of(block: *mut u8, layout: Layout) -> *mut Self {
        // SAFETY: the head is that far before the block.
        unsafe { block.sub(offset(layout)).cast() }
    }

    /// # Safety
    /// Both are heads, under the lock, and `head` is in no list.
    unsafe fn push(list: &mut *mut Self, head: *mut Self) {
        // SAFETY: as promised.
        unsafe {
            (*head).previous = ptr::null_mut();
            (*head).next = *list;
            if let Some(next) = list.as_mut() {
                next.previous = head;
            }
        }
        *list = head;
    }

    /// # Safety
    /// `head` is in this list, under the lock.
    unsafe fn unlink(list: &mut *mut Self, head: *mut Self) {
        // SAFETY: as promised.
        unsafe {
            let (previous, next) = ((*head).previous, (*head).next);
            match previous.as_mut() {
                Some(previous) => previous.next = next,
                None => *list = next,
            }
            if let Some(next) = next.as_mut() {
                next.previous = previous;
            }
        }
    }
}

// SAFETY: blocks are the system's, with room before them.
unsafe impl GlobalAlloc for Watching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: not of size 0.
        let start = unsafe { System.alloc(outer(layout)) };
        if start.is_null() {
            return start;
        }
        // SAFETY: `outer` has room for it.
        let block = unsafe { start.add(offset(layout)) };
        let head = unsafe { Head::of(block, layout) };
        let mut lists = LISTS.lock().unwrap();
        let mut serial = 0;
        if WATCHES.get() {
            lists.serial += 1;
            serial = lists.serial;
        }
        // SAFETY: it is aligned, and nobody else's.
        unsafe {
            head.write(Head { previous: ptr::null_mut(), next: ptr::null_mut(), layout, serial });
            if serial != 0 {
                // What the block was before is not what is looked for.
                block.write_bytes(0x5a, layout.size());
                Head::push(&mut lists.live, head);
            }
        }
        let traced = serial != 0 && serial == lists.traced;
        drop(lists);
        if traced {
            unwatched(|| eprintln!("allocation {serial}:\n{}", std::backtrace::Backtrace::force_capture()));
        }
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: it came out of `alloc`.
        unsafe {
            let head = Head::of(block, layout);
            if (*head).serial == 0 {
                System.dealloc(head.cast(), outer(layout));
            } else {
                let mut lists = LISTS.lock().unwrap();
                Head::unlink(&mut lists.live, head);
                Head::push(&mut lists.freed, head);
            }
        }
    }
}

/// Watches what this thread allocates in `work`.
pub fn watched<T>(work: impl FnOnce() -> T) -> T {
    set(true, work)
}

/// Looks away.
pub fn unwatched<T>(work: impl FnOnce() -> T) -> T {
    set(false, work)
}

fn set<T>(on: bool, work: impl FnOnce() -> T) -> T {
    let before = WATCHES.replace(on);
    let result = work();
    WATCHES.set(before);
    result
}

/// A block that was watched.
pub struct Block<'a> {
    /// The how-manieth allocation.
    pub serial: u64,
    pub bytes: &'a [u8],
}

fn each(list: impl Fn(&Lists) -> *mut Head, mut look: impl FnMut(&Block<'_>)) {
    let mut head = list(&LISTS.lock().unwrap());
    // SAFETY: a list changes only where watched blocks are allocated or freed, and this thread does neither here.
    while let Some(found) = unsafe { head.as_ref() } {
        let block = unsafe { head.cast::<u8>().add(offset(found.layout)) };
        let bytes = unsafe { std::slice::from_raw_parts(block, found.layout.size()) };
        look(&Block { serial: found.serial, bytes });
        head = found.next;
    }
}

/// Shows all blocks that are not freed.
pub fn live(look: impl FnMut(&Block<'_>)) {
    unwatched(|| each(|lists| lists.live, look));
}

/// Shows all blocks that were freed, as they were then.
pub fn freed(look: impl FnMut(&Block<'_>)) {
    unwatched(|| each(|lists| lists.freed, look));
}

/// Gives them back.
pub fn release() {
    let mut lists = LISTS.lock().unwrap();
    let mut head = lists.freed;
    lists.freed = ptr::null_mut();
    while !head.is_null() {
        // SAFETY: it is in no list any more, and its block is freed.
        unsafe {
            let (layout, next) = ((*head).layout, (*head).next);
            System.dealloc(head.cast(), outer(layout));
            head = next;
        }
    }
}

/// Begins to count allocations anew; this one is to tell where it comes from, on standard error.
pub fn count_anew(traced: Option<u64>) {
    let mut lists = LISTS.lock().unwrap();
    lists.serial = 0;
    lists.traced = traced.unwrap_or_default();
}
