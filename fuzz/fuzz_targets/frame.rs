//! `relive_fuzz_targets::frame` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| relive_fuzz_targets::frame::run(input));
