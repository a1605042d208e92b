//! See `src/doors/fragments.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| remote_provisioning_fuzz::fragments(data));
