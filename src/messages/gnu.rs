//! The words of GNU cp: what scripts and tests that were written for it look for.

use super::Names;
use crate::error::{EntryError, Op};
use crate::ipc::wire::event::{BackupKind, CopyMethod, Details};
use crate::numbers;
use crate::plan::backup_name::numbered_suffix;
use pcopy_sys::describe;
use std::ffi::OsString;
use std::fmt::Write;
use std::sync::OnceLock;

/// One entry's failure, after `cp: `.
pub fn describe_fault(error: EntryError, names: Names<'_>) -> String {
    let (source, target) = (quote(names.source), quote(names.target));
    let cause = describe(error.errno);
    match error.op {
        Op::OpenSource => format!("cannot open {source} for reading: {cause}"),
        Op::ReadDirectory => format!("cannot access {source}: {cause}"),
        Op::Stat | Op::Follow => format!("cannot stat {source}: {cause}"),
        Op::Read => format!("error reading {source}: {cause}"),
        Op::ReadSymlink => format!("cannot read symbolic link {source}: {cause}"),
        Op::LookAtTarget => format!("cannot stat {target}: {cause}"),
        Op::Create | Op::Publish => format!("cannot create regular file {target}: {cause}"),
        Op::CreateSymlink => format!("cannot create symbolic link {target}: {cause}"),
        Op::CreateFifo => format!("cannot create fifo {target}: {cause}"),
        Op::CreateNode => format!("cannot create special file {target}: {cause}"),
        Op::SymlinkTo => format!("cannot create symbolic link {target} to {source}: {cause}"),
        Op::Link | Op::HardLinkTo => {
            format!("cannot create hard link {target} to {source}: {cause}")
        }
        Op::CreateDirectory => format!("cannot create directory {target}: {cause}"),
        Op::DirectoryOverFile => {
            format!("cannot overwrite non-directory {target} with directory {source}")
        }
        // The source's place is taken by that of its copy.
        Op::DirectoryAgain => {
            format!("will not create hard link {target} to directory {source}")
        }
        Op::FileOverDirectory => {
            format!("cannot overwrite directory {target} with non-directory {source}")
        }
        Op::OpenTarget => format!("cannot access {target}: {cause}"),
        Op::Remove => format!("cannot remove {target}: {cause}"),
        Op::Write => format!("error writing {target}: {cause}"),
        Op::SetTimes => format!("preserving times for {target}: {cause}"),
        Op::SetPermissions => format!("setting permissions for {target}: {cause}"),
        Op::SetOwner => format!("failed to preserve ownership for {target}: {cause}"),
        Op::SetAccessList => format!("preserving permissions for {target}: {cause}"),
        Op::ReadAttributes => format!("listing attributes of {source}: {cause}"),
        Op::SetAttributes => format!("setting attributes for {target}: {cause}"),
        Op::Close => format!("failed to close {target}: {cause}"),
        Op::Changed => {
            format!("skipping file {source}, as it was replaced while being copied")
        }
        Op::IntoItself => {
            format!("cannot copy a directory, {source}, into itself, {target}")
        }
        Op::SameFile => format!("{source} and {target} are the same file"),
        Op::Backup => format!("cannot backup {target}: {cause}"),
        Op::BackupIsSource => {
            format!("backing up {target} might destroy source;  {source} not copied")
        }
        Op::JustCreated => format!("will not overwrite just-created {target} with {source}"),
        Op::ThroughJustCreated => {
            format!("will not copy {source} through just-created symlink {target}")
        }
        Op::Dangling => format!("not writing through dangling symlink {target}"),
        Op::Cycle => format!("cannot copy cyclic symbolic link {source}"),
        Op::NotReplaced => format!("not replacing {target}"),
        Op::Clone => format!("failed to clone {target} from {source}: {cause}"),
        Op::Elsewhere => {
            let target = quote_if_needed(names.target);
            format!("{target}: can make relative symbolic links only in current directory")
        }
        Op::Verify => format!("{target} is not what was read from {source}"),
        Op::Sync => format!("error writing {target} to the disk: {cause}"),
        Op::ThroughSymlink => format!("not reading {target} through a symlink"),
        Op::ReadBack => format!("error reading {target}: {cause}"),
        Op::KillsCopiers => format!("passed over {source}: copiers died on it again and again"),
    }
}

/// What `-v` says: that there was something in the way, what was copied where, and with `--debug`
/// how.
pub fn describe_done(names: Names<'_>, how: Details, suffix: &[u8]) -> String {
    let (source, target) = (quote(names.source), quote(names.target));
    let mut said = String::new();
    if how.removed {
        writeln!(said, "removed {target}").expect(FITS);
    }
    write!(said, "{source} -> {target}").expect(FITS);
    let numbered;
    let suffix = match how.kept {
        BackupKind::Not => None,
        BackupKind::Simple => Some(suffix),
        BackupKind::Numbered(number) => {
            numbered = numbered_suffix(number);
            Some(numbered.as_bytes())
        }
    };
    if let Some(suffix) = suffix {
        write!(said, " (backup: {})", quote(&[names.target, suffix].concat())).expect(FITS);
    }
    if let Some(method) = how.method {
        write!(said, "\n{}", describe_trail(method)).expect(FITS);
    }
    said
}

/// What `--debug` says of a file's bytes.
pub fn describe_trail(method: CopyMethod) -> String {
    let (offload, reflink, sparse) = method.words();
    format!("copy offload: {offload}, reflink: {reflink}, sparse detection: {sparse}")
}

const FITS: &str = "a String takes all that is written";

/// The question before a file is overwritten, as cp ends it.
pub fn question(target: &[u8], bits: u32, writable: bool, removes: bool) -> String {
    let target = quote(target);
    let letters = numbers::permissions(bits);
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
            let dangerous = character.is_control() || crate::sanitize::turns_text(character);
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
