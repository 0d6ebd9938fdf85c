//! `relive_fuzz_targets::log_operations` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| relive_fuzz_targets::log_operations::run(input));
