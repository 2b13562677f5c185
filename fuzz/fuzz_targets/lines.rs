//! Lines of a manifest: a line that can be parsed is the same after it is written and parsed again.
#![no_main]

use pcopy::hash::Digest;
use pcopy::manifest::{put_line, read_line};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    bytes.split(|&byte| byte == b'\n').for_each(read_and_write);
    // Random bytes rarely contain 64 hexadecimal digits.
    let Some((digest, rest)) = bytes.split_first_chunk() else { return };
    let digest = Digest(*digest);
    for before in ["", "\\"] {
        let text = [before.as_bytes(), digest.to_string().as_bytes(), rest].concat();
        text.split(|&byte| byte == b'\n').for_each(read_and_write);
    }
    write_and_read(digest, rest);
});

fn read_and_write(text: &[u8]) {
    if let Ok(Some(line)) = read_line(text) {
        write_and_read(line.digest, &line.name);
    }
}

fn write_and_read(digest: Digest, name: &[u8]) {
    if name.is_empty() || name.contains(&0) {
        return; // no file has such a name
    }
    let mut text = Vec::new();
    put_line(&mut text, digest, name);
    assert_eq!(text.pop(), Some(b'\n'));
    assert!(!text.contains(&b'\n'));
    let read = read_line(&text).unwrap().unwrap();
    let known = if name == b"-" { b"./-" } else { name };
    assert_eq!((read.digest, &read.name[..]), (digest, known));
}
