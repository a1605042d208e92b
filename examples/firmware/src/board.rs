//! The board: an Arm MPS2 with the FPGA image AN386, as QEMU has it. One serial port, one timer, a heap that counts.

use core::{
    alloc::{GlobalAlloc, Layout},
    mem::MaybeUninit,
    ptr,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

use embedded_alloc::LlffHeap;

/// Reads a register.
fn read(address: usize) -> u32 {
    // SAFETY: every address in this file is a register of the board.
    unsafe { ptr::read_volatile(address as *const u32) }
}

fn write(address: usize, value: u32) {
    // SAFETY: as above; nothing in memory depends on these registers.
    unsafe { ptr::write_volatile(address as *mut u32, value) }
}

// ---------------------------------------------------------------------------------------------------------- timer

const TIMER: usize = 0x4000_0000;

/// Starts the timer: it counts down, without an end, at 25 MHz of emulated time.
pub fn start_timer() {
    write(TIMER + 8, u32::MAX);
    write(TIMER + 4, u32::MAX);
    write(TIMER, 1);
}

/// Ticks since the timer was started, modulo 2³².
pub fn ticks() -> u32 {
    !read(TIMER + 4)
}

// ---------------------------------------------------------------------------------------------------- serial port

const UART: usize = 0x4000_4000;
const STATE: usize = UART + 4;
const SENDER_FULL: u32 = 1;
const RECEIVER_FULL: u32 = 2;

/// Switches the serial port on.
pub fn start_serial() {
    write(UART + 16, 16);
    write(UART + 8, 3);
}

fn send_byte(byte: u8) {
    while read(STATE) & SENDER_FULL != 0 {}
    write(UART, byte.into());
}

fn receive_byte() -> u8 {
    while read(STATE) & RECEIVER_FULL == 0 {}
    read(UART) as u8
}

/// Sends a frame: what it is, how long it is, and what is in it.
pub fn send(kind: u8, content: &[u8]) {
    send_byte(kind);
    for byte in (content.len() as u16).to_le_bytes().iter().chain(content) {
        send_byte(*byte);
    }
}

/// Receives a frame: what it is, and how many bytes of `buffer` are now its content. What does not fit is lost.
pub fn receive(buffer: &mut [u8]) -> (u8, &[u8]) {
    let kind = receive_byte();
    let len = usize::from(u16::from_le_bytes([receive_byte(), receive_byte()]));
    let mut places = buffer.iter_mut();
    for _ in 0..len {
        let byte = receive_byte();
        if let Some(place) = places.next() {
            *place = byte;
        }
    }
    (kind, buffer.get(..len).unwrap_or_default())
}

/// Says why, and stops.
pub fn halt(kind: u8) -> ! {
    send(kind, &[]);
    loop {
        cortex_m::asm::wfi();
    }
}

// ----------------------------------------------------------------------------------------------------------- heap

/// Bytes that the heap may grow to.
const HEAP_LEN: usize = 8 * 1024;

/// A linked-list heap, and what was asked of it.
pub struct Heap {
    inner: LlffHeap,
    held: AtomicU32,
    peak: AtomicU32,
    calls: AtomicU32,
}

impl Heap {
    /// Not started yet.
    pub const fn empty() -> Self {
        Self { inner: LlffHeap::empty(), held: AtomicU32::new(0), peak: AtomicU32::new(0), calls: AtomicU32::new(0) }
    }

    /// Gives it its memory. Once, before anything is allocated.
    pub fn start(&self) {
        static mut ARENA: [MaybeUninit<u8>; HEAP_LEN] = [MaybeUninit::uninit(); HEAP_LEN];
        // SAFETY: nobody else names the arena, and this is called once.
        unsafe { self.inner.init(&raw mut ARENA as usize, HEAP_LEN) }
    }

    /// Bytes that are held now.
    pub fn held(&self) -> u32 {
        self.held.load(Relaxed)
    }

    /// From now on, the peak is that of what comes.
    pub fn restart(&self) {
        self.peak.store(self.held(), Relaxed);
        self.calls.store(0, Relaxed);
    }

    /// The most bytes that were held at a time.
    pub fn peak(&self) -> u32 {
        self.peak.load(Relaxed)
    }

    /// Allocations.
    pub fn calls(&self) -> u32 {
        self.calls.load(Relaxed)
    }
}

// SAFETY: all of it is done by `LlffHeap`; counting changes nothing of what it is asked and answers.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = self.held.load(Relaxed) + layout.size() as u32;
        self.held.store(held, Relaxed);
        self.peak.store(held.max(self.peak()), Relaxed);
        self.calls.store(self.calls() + 1, Relaxed);
        // SAFETY: the caller's promise.
        unsafe { self.inner.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        self.held.store(self.held() - layout.size() as u32, Relaxed);
        // SAFETY: the caller's promise.
        unsafe { self.inner.dealloc(place, layout) }
    }
}

// ---------------------------------------------------------------------------------------------------------- stack

unsafe extern "C" {
    static mut __sheap: u32;
    static _stack_start: u32;
}

/// What the part of the stack holds that nobody has used.
const PAINT: u32 = cortex_m_rt::STACK_PAINT_VALUE;

/// Paints the stack that is free now.
#[inline(never)]
pub fn paint_stack() {
    let mut place = &raw mut __sheap;
    // A little below where it is now, for this function itself.
    let end = (cortex_m::register::msp::read() - 64) as *mut u32;
    while place < end {
        // SAFETY: between the end of the static memory and the stack pointer there is nothing.
        unsafe {
            place.write_volatile(PAINT);
            place = place.add(1);
        }
    }
}

/// Bytes of stack that were used since it was painted, all callers included.
pub fn stack_peak() -> u32 {
    let mut place = &raw mut __sheap;
    // SAFETY: that memory is there, and the loop ends at the stack of this function at the latest.
    while unsafe { place.read_volatile() } == PAINT {
        place = unsafe { place.add(1) };
    }
    (&raw const _stack_start as usize - place as usize) as u32
}
