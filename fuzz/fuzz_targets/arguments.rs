//! Command lines: each is refused in words, or means something that hangs together.
#![no_main]

use pcopy::cli;
use pcopy::options::{Command, Operands, Options};
use pcopy::plan::JOBS_MAX;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// Words that are seldom found by chance; a byte stands for one of them, or for a letter.
const WORDS: [&str; 26] = [
    "--update=",
    "--backup=",
    "--preserve=",
    "--no-preserve=",
    "--sparse=",
    "--reflink=",
    "--hash=",
    "--manifest=",
    "--check",
    "--check-manifest=",
    "--retries=",
    "--verify",
    "--fsync",
    "--checksum",
    "--parents",
    "--inplace",
    "--suffix=",
    "--progress=",
    "-t",
    "-T",
    "-j",
    "-S",
    "none",
    "all",
    "auto",
    "always",
];

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let words = bytes.split(|&byte| byte == 0).map(|word| {
        let mut whole = Vec::new();
        for &byte in word {
            match byte.checked_sub(0xe0).and_then(|number| WORDS.get(usize::from(number))) {
                Some(known) => whole.extend(known.as_bytes()),
                None => whole.push(byte),
            }
        }
        OsStr::from_bytes(&whole).to_owned()
    });
    let arguments: Vec<OsString> = [OsString::from("pcopy")].into_iter().chain(words).collect();
    match cli::read(&arguments) {
        Ok(options) => assert!(hangs_together(&options), "{options:?}"),
        Err(error) => assert!(!error.to_string().trim().is_empty()),
    }
});

fn hangs_together(options: &Options) -> bool {
    let Options { command, operands, copy, .. } = options;
    let has_operands = match operands {
        Operands::Onto { sources, .. } | Operands::Into { sources, .. } => !sources.is_empty(),
        Operands::Beside { .. } | Operands::Exactly { .. } => !options.parents,
    };
    let hashes =
        options.manifest.is_some() || copy.verify || matches!(command, Command::CheckManifest { .. });
    has_operands
        && (matches!(command, Command::CheckManifest { .. }) || copy.hash.is_some() == hashes)
        && options.jobs.is_none_or(|jobs| (1..=JOBS_MAX).contains(&jobs))
        && (*command == Command::Copy || !copy.verify && !copy.fsync && copy.backup.is_none())
        && !(options.quiet && copy.verbose)
}
