//! Random bytes where the parent reads reports from a pipe.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pcopy::fuzzing::reports(bytes));
