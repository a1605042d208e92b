//! See `src/doors/device.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| remote_provisioning_fuzz::device(data));
