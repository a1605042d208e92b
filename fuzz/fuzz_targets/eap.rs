//! See `src/doors/eap.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| remote_provisioning_fuzz::eap(data));
