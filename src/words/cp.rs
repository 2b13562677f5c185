//! The words of GNU cp: what scripts and tests that were written for it look for.

use super::Names;
use crate::human;
use crate::ipc::report::{Fault, How, Kept, Step, Trail};
use crate::plan::backup_name::numbered_suffix;
use crate::sys::describe;
use std::ffi::OsString;
use std::fmt::Write;
use std::sync::OnceLock;

/// One entry's failure, after `cp: `.
pub fn describe_fault(fault: Fault, names: Names<'_>) -> String {
    let (source, target) = (quote(names.source), quote(names.target));
    let cause = describe(fault.errno);
    match fault.step {
        Step::OpenSource => format!("cannot open {source} for reading: {cause}"),
        Step::ReadDirectory => format!("cannot access {source}: {cause}"),
        Step::Stat | Step::Follow => format!("cannot stat {source}: {cause}"),
        Step::Read => format!("error reading {source}: {cause}"),
        Step::ReadSymlink => format!("cannot read symbolic link {source}: {cause}"),
        Step::LookAtTarget => format!("cannot stat {target}: {cause}"),
        Step::Create | Step::Publish => format!("cannot create regular file {target}: {cause}"),
        Step::CreateSymlink => format!("cannot create symbolic link {target}: {cause}"),
        Step::CreateFifo => format!("cannot create fifo {target}: {cause}"),
        Step::CreateNode => format!("cannot create special file {target}: {cause}"),
        Step::SymlinkTo => format!("cannot create symbolic link {target} to {source}: {cause}"),
        Step::Link | Step::HardLinkTo => {
            format!("cannot create hard link {target} to {source}: {cause}")
        }
        Step::CreateDirectory => format!("cannot create directory {target}: {cause}"),
        Step::DirectoryOverFile => {
            format!("cannot overwrite non-directory {target} with directory {source}")
        }
        // The source's place is taken by that of its copy.
        Step::DirectoryAgain => {
            format!("will not create hard link {target} to directory {source}")
        }
        Step::FileOverDirectory => {
            format!("cannot overwrite directory {target} with non-directory {source}")
        }
        Step::OpenTarget => format!("cannot access {target}: {cause}"),
        Step::Remove => format!("cannot remove {target}: {cause}"),
        Step::Write => format!("error writing {target}: {cause}"),
        Step::SetTimes => format!("preserving times for {target}: {cause}"),
        Step::SetPermissions => format!("setting permissions for {target}: {cause}"),
        Step::SetOwner => format!("failed to preserve ownership for {target}: {cause}"),
        Step::SetAccessList => format!("preserving permissions for {target}: {cause}"),
        Step::ReadAttributes => format!("listing attributes of {source}: {cause}"),
        Step::SetAttributes => format!("setting attributes for {target}: {cause}"),
        Step::Close => format!("failed to close {target}: {cause}"),
        Step::Changed => {
            format!("skipping file {source}, as it was replaced while being copied")
        }
        Step::IntoItself => {
            format!("cannot copy a directory, {source}, into itself, {target}")
        }
        Step::SameFile => format!("{source} and {target} are the same file"),
        Step::Backup => format!("cannot backup {target}: {cause}"),
        Step::BackupIsSource => {
            format!("backing up {target} might destroy source;  {source} not copied")
        }
        Step::JustCreated => format!("will not overwrite just-created {target} with {source}"),
        Step::ThroughJustCreated => {
            format!("will not copy {source} through just-created symlink {target}")
        }
        Step::Dangling => format!("not writing through dangling symlink {target}"),
        Step::Cycle => format!("cannot copy cyclic symbolic link {source}"),
        Step::NotReplaced => format!("not replacing {target}"),
        Step::Clone => format!("failed to clone {target} from {source}: {cause}"),
        Step::Elsewhere => {
            let target = quote_if_needed(names.target);
            format!("{target}: can make relative symbolic links only in current directory")
        }
        Step::Verify => format!("{target} is not what was read from {source}"),
        Step::Sync => format!("error writing {target} to the disk: {cause}"),
        Step::ThroughSymlink => format!("not reading {target} through a symlink"),
        Step::ReadBack => format!("error reading {target}: {cause}"),
        Step::KillsCopiers => format!("passed over {source}: copiers died on it again and again"),
    }
}

/// What `-v` says: that there was something in the way, what was copied where, and with `--debug`
/// how.
pub fn describe_done(names: Names<'_>, how: How, suffix: &[u8]) -> String {
    let (source, target) = (quote(names.source), quote(names.target));
    let mut said = String::new();
    if how.removed {
        writeln!(said, "removed {target}").expect(FITS);
    }
    write!(said, "{source} -> {target}").expect(FITS);
    let numbered;
    let suffix = match how.kept {
        Kept::Not => None,
        Kept::Simple => Some(suffix),
        Kept::Numbered(number) => {
            numbered = numbered_suffix(number);
            Some(numbered.as_bytes())
        }
    };
    if let Some(suffix) = suffix {
        write!(said, " (backup: {})", quote(&[names.target, suffix].concat())).expect(FITS);
    }
    if let Some(trail) = how.trail {
        write!(said, "\n{}", describe_trail(trail)).expect(FITS);
    }
    said
}

/// What `--debug` says of a file's bytes.
pub fn describe_trail(trail: Trail) -> String {
    let (offload, reflink, sparse) = trail.words();
    format!("copy offload: {offload}, reflink: {reflink}, sparse detection: {sparse}")
}

const FITS: &str = "a String takes all that is written";

/// The question before a file is overwritten, as cp ends it.
pub fn question(target: &[u8], bits: u32, writable: bool, removes: bool) -> String {
    let target = quote(target);
    let letters = human::permissions(bits);
    if writable {
        format!("overwrite {target}? ")
    } else if removes {
        format!("replace {target}, overriding mode {bits:04o} ({letters})? ")
    } else {
        format!("unwritable {target} (mode {bits:04o}, {letters}); try anyway? ")
    }
}

/// The name between quotes, as it can be given to a shell: GNU's style "shell-escape-always".
///
/// Where another character set than UTF-8 is in use, all bytes above ASCII are escaped.
pub fn quote(name: &[u8]) -> String {
    quote_in(name, is_utf8())
}

/// The name without quotes where a shell reads it right without: GNU's style "shell-escape".
fn quote_if_needed(name: &[u8]) -> String {
    let special = |byte: &u8| b" !\"$&'()*;<=>?[\\^`|".contains(byte);
    let begins_so = matches!(name, [] | [b'~' | b'#', ..] | [b'{' | b'}']);
    let quoted = quote(name);
    let as_it_is = quoted.len() == name.len() + 2; // nothing in it is escaped
    if begins_so || !as_it_is || name.iter().any(special) {
        return quoted;
    }
    quoted.trim_matches('\'').to_owned()
}

fn quote_in(name: &[u8], utf8: bool) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b" '%+,-./:@]_".contains(byte);
    let rest = name.strip_prefix(b"~").or(name.strip_prefix(b"#")).unwrap_or(name);
    if name.contains(&b'\'') && rest.iter().all(plain) {
        return format!("\"{}\"", String::from_utf8_lossy(name));
    }
    let mut shown = Shown { text: "'".to_owned(), escaping: false };
    for chunk in name.utf8_chunks() {
        for character in chunk.valid().chars() {
            let dangerous = character.is_control() || crate::quote::turns_text(character);
            if dangerous || !utf8 && !character.is_ascii() {
                let mut bytes = [0; 4];
                character.encode_utf8(&mut bytes).bytes().for_each(|byte| shown.escape(byte));
            } else {
                shown.push(character);
            }
        }
        chunk.invalid().iter().for_each(|&byte| shown.escape(byte));
    }
    shown.text.push('\'');
    shown.text
}

/// A quoted name as it grows: inside `'…'`, or for escapes inside `$'…'`.
struct Shown {
    text: String,
    escaping: bool,
}

impl Shown {
    fn push(&mut self, character: char) {
        if std::mem::take(&mut self.escaping) {
            self.text.push_str("''");
        }
        match character {
            '\'' => self.text.push_str("'\\''"),
            _ => self.text.push(character),
        }
    }

    fn escape(&mut self, byte: u8) {
        if !std::mem::replace(&mut self.escaping, true) {
            self.text.push_str("'$'");
        }
        match byte {
            0x07 => self.text.push_str("\\a"),
            0x08 => self.text.push_str("\\b"),
            0x0c => self.text.push_str("\\f"),
            b'\n' => self.text.push_str("\\n"),
            b'\r' => self.text.push_str("\\r"),
            b'\t' => self.text.push_str("\\t"),
            0x0b => self.text.push_str("\\v"),
            other => write!(self.text, "\\{other:03o}").expect(FITS),
        }
    }
}

/// Whether the user's terminal shows UTF-8, as far as the environment tells.
fn is_utf8() -> bool {
    static UTF8: OnceLock<bool> = OnceLock::new();
    *UTF8.get_or_init(|| {
        // The order of POSIX: the first that is set and not empty counts.
        let locale: OsString = ["LC_ALL", "LC_CTYPE", "LANG"]
            .iter()
            .filter_map(std::env::var_os)
            .find(|value| !value.is_empty())
            .unwrap_or_default();
        let locale = locale.to_string_lossy().to_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_as_a_shell_reads_them() {
        for (name, quoted) in [
            (&b"a"[..], "'a'"),
            (b"", "''"),
            (b"a b$c", "'a b$c'"),
            (b"it's", "\"it's\""),
            (b"~it's", "\"~it's\""),
            (b"it's $1", "'it'\\''s $1'"),
            (b"a\nb", "'a'$'\\n''b'"),
            (b"\na", "''$'\\n''a'"),
            (b"a\n", "'a'$'\\n'"),
            (b"\x1b[2J", "''$'\\033''[2J'"),
            (b"back\\slash", "'back\\slash'"),
            (b"\xff\xfe", "''$'\\377\\376'"),
            ("é文".as_bytes(), "'é文'"),
        ] {
            assert_eq!(quote_in(name, true), quoted, "{}", name.escape_ascii());
        }
        assert_eq!(quote_in("é".as_bytes(), false), "''$'\\303\\251'");
    }

    #[test]
    fn what_could_move_a_terminal_is_escaped() {
        assert_eq!(quote_in("a\u{202e}b".as_bytes(), true), "'a'$'\\342\\200\\256''b'");
    }
}
