//! See `src/doors/link.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| remote_provisioning_fuzz::link(data));
