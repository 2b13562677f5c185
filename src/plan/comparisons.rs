//! What `--check` and `--check-manifest` compare the target with.

use super::manifest_line::{BadLine, BadManifestLine, BadName};
use super::notes::{Note, NoteKind};
use super::operands::errno_of;
use crate::error::Refusal;
use crate::hash::{Algorithm, Digest};
use crate::manifest::read_line;
use crate::sanitize::quote;
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Identity, Kind};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What the target is compared with.
pub enum Check {
    /// The sources of the command line.
    Sources,
    /// The files that a manifest (a list of file hashes) lists.
    Manifest(ListedFiles),
}

/// The files that a manifest lists.
pub struct ListedFiles {
    /// The files, sorted by name.
    pub files: Vec<ListedFile>,
    /// The directory that the names are relative to.
    pub dir: OwnedFd,
    /// The identity of the manifest itself, which may lie in `dir`; `None` for standard input.
    pub own: Option<Identity>,
    /// The path of the directory, as the user gave it.
    path: PathBuf,
}

/// A file that a manifest lists.
pub struct ListedFile {
    /// The path of the file below the directory. No component is empty, `.` or `..`.
    pub name: Vec<u8>,
    /// The digest of the file, from the manifest.
    pub digest: Digest,
    /// The algorithm of the digest, if the line names it.
    pub algorithm: Option<Algorithm>,
}

impl ListedFiles {
    /// Reads the manifest `file`, which lists files in `dir`. Lines that cannot be used become notes for the
    /// user.
    pub(super) fn read(file: &Path, dir: &Path) -> Result<(Self, Vec<Note>), Refusal> {
        match file::stat_path(dir, true) {
            Ok(stat) if stat.kind() == Kind::Directory => {}
            Ok(_) => return Err(Refusal::cannot("open directory", dir, Errno::ENOTDIR)),
            Err(errno) => return Err(Refusal::cannot("open directory", dir, errno)),
        }
        let (text, own) =
            read_all(file).map_err(|error| Refusal::cannot("read", file, errno_of(&error)))?;
        let (mut files, bad) = parse(file, &text);
        if files.is_empty() {
            return Err(Refusal {
                message: match bad.first() {
                    Some(line) => format!("no file is listed: {line}"),
                    None => format!("no file is listed in {}", quote(file.as_os_str().as_bytes())),
                },
                hint: Some("a line is a hash of 64 digits, two spaces, and a name".into()),
            });
        }
        files.sort_by(|one, other| one.name.cmp(&other.name));
        let dir_fd =
            file::open_dir(dir).map_err(|errno| Refusal::cannot("open directory", dir, errno))?;
        let note = |line| Note { before: 0, kind: NoteKind::BadManifestLine(line) };
        let notes = bad.into_iter().map(note).collect();
        Ok((Self { files, dir: dir_fd, own, path: dir.to_owned() }, notes))
    }

    /// Whether the manifest lists the file `name` in the directory at `path`.
    pub fn has(&self, path: &[u8], name: &[u8]) -> bool {
        let slash = if path.is_empty() { &b""[..] } else { b"/" };
        let wanted = || path.iter().chain(slash).chain(name);
        self.files.binary_search_by(|file| file.name.iter().cmp(wanted())).is_ok()
    }

    /// Returns the path of an entry as the user would write it; `path` is relative to the directory.
    pub fn show(&self, path: &[u8]) -> Vec<u8> {
        let mut whole = self.path.as_os_str().as_bytes().to_vec();
        if !path.is_empty() {
            if whole.last() != Some(&b'/') {
                whole.push(b'/');
            }
            whole.extend_from_slice(path);
        }
        whole
    }
}

/// Parses a manifest into the files that it lists and the lines that cannot be used.
fn parse(file: &Path, text: &[u8]) -> (Vec<ListedFile>, Vec<BadManifestLine>) {
    let (mut files, mut bad) = (Vec::new(), Vec::new());
    for (number, line) in (1..).zip(text.split(|&byte| byte == b'\n')) {
        let why = match read_line(line) {
            Ok(None) => continue,
            Ok(Some(line)) => match normal(&line.name) {
                Ok(name) => {
                    let (digest, algorithm) = (line.digest, line.algorithm);
                    files.push(ListedFile { name, digest, algorithm });
                    continue;
                }
                Err(why) => BadLine::Name(line.name, why),
            },
            Err(why) => BadLine::Malformed(why),
        };
        bad.push(BadManifestLine { file: file.to_owned(), number, why });
    }
    (files, bad)
}

/// Reads a file, or standard input for `-`. Returns the contents, and the identity of the file.
fn read_all(file: &Path) -> Result<(Vec<u8>, Option<Identity>), std::io::Error> {
    let mut text = Vec::new();
    if file == Path::new("-") {
        std::io::stdin().lock().read_to_end(&mut text)?;
        return Ok((text, None));
    }
    let mut file = std::fs::File::open(file)?;
    file.read_to_end(&mut text)?;
    Ok((text, file::stat_fd(&file).ok().map(|stat| stat.identity())))
}

/// Returns the name without empty components and without `.`.
fn normal(name: &[u8]) -> Result<Vec<u8>, BadName> {
    if name.first() == Some(&b'/') {
        return Err(BadName::Absolute);
    }
    let parts: Vec<_> = name.split(|&byte| byte == b'/').collect();
    if parts.contains(&&b".."[..]) {
        return Err(BadName::LeadsOut);
    }
    if matches!(parts.last(), Some(&b"" | &b".")) {
        return Err(BadName::Directory);
    }
    let named = parts.into_iter().filter(|part| !matches!(*part, b"" | b"."));
    Ok(named.collect::<Vec<_>>().join(&b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_in_its_directory() {
        assert_eq!(normal(b"a/b"), Ok(b"a/b".to_vec()));
        assert_eq!(normal(b"./a//./b"), Ok(b"a/b".to_vec()));
        assert_eq!(normal(b"..a/b.."), Ok(b"..a/b..".to_vec()));
        for wrong in [&b"/a"[..], b"//a", b"..", b"../a", b"a/../b", b"a/..", b"a/", b".", b"a/."] {
            assert!(normal(wrong).is_err(), "{}", crate::sanitize::escape(wrong));
        }
    }
}
