//! Plans: every file is read, or is refused with a line, also if all check values fit.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pcopy::fuzzing::plans(bytes));
