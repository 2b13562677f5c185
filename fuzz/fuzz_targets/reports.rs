//! What the supervisor reads from a copier's pipe: anything, or frames that mean the same when written again.
#![no_main]

use pcopy::ipc::wire::event::Report;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut from = bytes;
    while let Ok(Some(report)) = Report::decode(&mut from) {
        let mut frame = Vec::new();
        report.encode(&mut frame);
        assert_eq!(Report::decode(&mut &frame[..]), Ok(Some(report)));
    }
});
