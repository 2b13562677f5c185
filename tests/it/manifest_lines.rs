//! The lines of a manifest with any names and any bytes. `PCOPY_SEED` and `PCOPY_CASES` work as in the other
//! random tests.

use crate::common::chance::runner;
use crate::common::checksum_programs::accepts;
use crate::common::*;
use pcopy::hash::Digest;
use pcopy::manifest::{put_line, read_line};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::string::string_regex;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

/// Returns a byte of a name. Bytes that have a meaning in a line are more frequent.
fn byte() -> impl Strategy<Value = u8> {
    prop_oneof![
        2 => prop::sample::select(b"\\\n\r *-#()=nr".to_vec()),
        1 => 1..=255u8,
    ]
    .prop_filter("not a slash", |&byte| byte != b'/')
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    vec(byte(), 1..40).prop_filter("not a directory", |name| name != b"." && name != b"..")
}

#[test]
fn every_name_survives_its_line() {
    let (mut runner, seed) = runner(2000, 1000);
    let tried = runner.run(&(name(), any::<[u8; 32]>()), |(name, digest)| {
        let mut line = Vec::new();
        put_line(&mut line, Digest(digest), &name);
        prop_assert_eq!(line.pop(), Some(b'\n'));
        prop_assert!(!line.contains(&b'\n') && !line.contains(&b'\r'), "one line");
        let read = read_line(&line);
        let read = read.map_err(|bad| TestCaseError::fail(bad.to_string()))?.unwrap();
        prop_assert_eq!((read.digest, read.algorithm), (Digest(digest), None));
        let known = if name == b"-" { b"./-".to_vec() } else { name };
        prop_assert_eq!(read.name, known);
        Ok(())
    });
    tried.unwrap_or_else(|error| panic!("PCOPY_SEED={seed}: {error}"));
}

#[test]
fn what_can_be_read_means_the_same_when_it_is_written_again() {
    let hex = "[0-9a-fA-F]{64}";
    let of = |regex: &str| string_regex(regex).unwrap().prop_map(String::into_bytes);
    let text = prop_oneof![
        vec(any::<u8>(), 0..200),
        of(&format!("\\\\?{hex}[ *]{{0,3}}[a-c\\\\nr]{{0,9}}")),
        of(&format!("\\\\?(SHA256|BLAKE3|MD5) \\([()= \\\\n]{{0,9}}\\) = {hex}")),
    ];
    let (mut runner, seed) = runner(3000, 1000);
    let (whole, bad) = (Cell::new(0), Cell::new(0));
    let tried = runner.run(&text, |text| match read_line(&text) {
        Ok(Some(line)) => {
            whole.set(whole.get() + 1);
            let mut again = Vec::new();
            put_line(&mut again, line.digest, &line.name);
            let again = read_line(&again[..again.len() - 1]);
            let again = again.map_err(|bad| TestCaseError::fail(bad.to_string()))?.unwrap();
            prop_assert_eq!(again.digest, line.digest);
            prop_assert!(again.name == line.name || line.name == b"-", "{:?}", line);
            Ok(())
        }
        Ok(None) => Ok(()),
        Err(_) => {
            bad.set(bad.get() + 1);
            Ok(())
        }
    });
    tried.unwrap_or_else(|error| panic!("PCOPY_SEED={seed}: {error}"));
    let (whole, bad) = (whole.get(), bad.get());
    assert!(whole > 100 && bad > 100, "{whole} were read, {bad} were not: nothing was tried");
}

#[test]
fn coreutils_finds_every_name_again() {
    let (mut runner, seed) = runner(20, 200);
    let names = prop::collection::btree_set(name(), 1..60);
    let tried = runner.run(&names, |names: BTreeSet<Vec<u8>>| {
        let env = Sandbox::new();
        fs::create_dir(env.path("src")).unwrap();
        for name in &names {
            fs::write(env.path("src").join(OsStr::from_bytes(name)), name).unwrap();
        }
        env.pcopy(["--hash=sha256", "--manifest=sums", "src", "dst"]).exits(0);
        prop_assert_eq!(accepts(&env, "sha256sum", "dst", "sums"), Ok(()));
        env.pcopy(["--check-manifest", "sums", "dst"]).exits(0).stdout_is("");
        let lines = fs::read(env.path("sums")).unwrap();
        prop_assert_eq!(lines.iter().filter(|&&byte| byte == b'\n').count(), names.len());
        Ok(())
    });
    tried.unwrap_or_else(|error| panic!("PCOPY_SEED={seed}: {error}"));
}
