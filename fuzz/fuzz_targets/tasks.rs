//! Random bytes where a copier takes a task from the ring.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pcopy::fuzzing::tasks(bytes));
