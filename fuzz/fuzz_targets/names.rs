//! What is shown of a name, and of lines on a terminal: nothing that could do something to it.
#![no_main]

use pcopy::sanitize::{escape, quote, tame};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    assert!(!escape(bytes).contains(is_dangerous));
    assert!(!quote(bytes).contains(is_dangerous));
    assert!(!tame(bytes).contains(|c| is_dangerous(c) && c != '\n'));
});

fn is_dangerous(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
}
