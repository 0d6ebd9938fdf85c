//! `relive_fuzz_targets::replay` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| relive_fuzz_targets::replay::run(input));
