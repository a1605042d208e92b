//! The board and nothing else: what every firmware on it has, and so what the others are compared with.
#![no_std]
#![no_main]

#[path = "../board.rs"]
#[allow(dead_code, reason = "nothing is measured here")]
mod board;

use core::panic::PanicInfo;

#[cortex_m_rt::entry]
fn main() -> ! {
    board::start_timer();
    board::start_line();
    let mut buffer = [0; 64];
    loop {
        let (kind, content) = board::receive(&mut buffer);
        board::send(kind, content);
    }
}

#[panic_handler]
fn panicked(_: &PanicInfo<'_>) -> ! {
    board::halt(b'!')
}
