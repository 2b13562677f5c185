//! Random bytes where names and lines are shown on a terminal.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pcopy::fuzzing::names(bytes));
