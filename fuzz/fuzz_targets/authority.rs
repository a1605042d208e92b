//! See `src/doors/mod.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| remote_provisioning_fuzz::open("authority", data));
