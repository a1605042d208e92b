//! The board: an Arm MPS2 with the FPGA image AN386, as QEMU has it: one timer, a line to the outside, a heap that
//! counts. A real board has a radio or a serial port in the place of the line.

use core::{
    alloc::{GlobalAlloc, Layout},
    arch::asm,
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

// ----------------------------------------------------------------------------------------------------------- line

const OPEN: u32 = 1;
const WRITE: u32 = 5;
const READ: u32 = 6;

/// Asks the machine around the processor (Arm's semihosting).
fn ask(what: u32, parameters: &[usize; 3]) -> usize {
    let answer;
    // SAFETY: the parameters say where to read or to write, and how much; see the callers.
    unsafe { asm!("bkpt #0xab", inout("r0") what => answer, in("r1") parameters) }
    answer
}

static DOWN: AtomicU32 = AtomicU32::new(0);
static UP: AtomicU32 = AtomicU32::new(0);

/// Opens the line, which is two named pipes.
pub fn start_line() {
    const READING: usize = 1;
    const WRITING: usize = 5;
    let open = |name: &'static [u8], mode| ask(OPEN, &[name.as_ptr() as usize, mode, name.len() - 1]) as u32;
    DOWN.store(open(b"down\0", READING), Relaxed);
    UP.store(open(b"up\0", WRITING), Relaxed);
}

fn send_bytes(mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let left = ask(WRITE, &[UP.load(Relaxed) as usize, bytes.as_ptr() as usize, bytes.len()]);
        bytes = bytes.get(bytes.len() - left..).unwrap_or_default();
    }
}

fn receive_bytes(mut bytes: &mut [u8]) {
    while !bytes.is_empty() {
        let left = ask(READ, &[DOWN.load(Relaxed) as usize, bytes.as_mut_ptr() as usize, bytes.len()]);
        let read = bytes.len() - left;
        bytes = bytes.get_mut(read..).unwrap_or_default();
    }
}

/// Sends a frame: what it is, how long it is, and what is in it.
pub fn send(kind: u8, content: &[u8]) {
    let [low, high] = (content.len() as u16).to_le_bytes();
    send_bytes(&[kind, low, high]);
    send_bytes(content);
}

/// Receives a frame: what it is, and its content, in `buffer`. What does not fit is not from this laboratory.
pub fn receive(buffer: &mut [u8]) -> (u8, &[u8]) {
    let mut head = [0; 3];
    receive_bytes(&mut head);
    let [kind, low, high] = head;
    let Some(content) = buffer.get_mut(..usize::from(u16::from_le_bytes([low, high]))) else { halt(b'?') };
    receive_bytes(content);
    (kind, content)
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
const HEAP_LEN: usize = 16 * 1024;

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
