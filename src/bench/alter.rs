//! Files of a copy that are made to differ from their source.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

/// What the target has in place of the source's times is older by so much.
const OLDER: Duration = Duration::from_secs(24 * 3600);

/// The files that were seen.
#[derive(Default)]
pub(super) struct Files {
    number: u64,
    /// Those that have several names, which count once: altered twice it would be the old file.
    linked: HashSet<(u64, u64)>,
}

impl Files {
    /// Gives every second file that it is called for other contents and an older time.
    pub(super) fn alter_every_second(&mut self, path: &Path) -> io::Result<()> {
        let metadata = fs::symlink_metadata(path)?;
        if metadata.nlink() > 1 && !self.linked.insert((metadata.dev(), metadata.ino())) {
            return Ok(());
        }
        self.number += 1;
        if self.number % 2 == 1 { alter(path, metadata.mode() & 0o7777) } else { Ok(()) }
    }
}

/// A file that its owner may not write becomes writable for as long as that takes.
fn alter(path: &Path, mode: u32) -> io::Result<()> {
    let writable = mode | 0o600;
    if writable != mode {
        fs::set_permissions(path, Permissions::from_mode(writable))?;
    }
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let modified = file.metadata()?.modified()?;
    write(&file)?;
    // Writing takes set-id bits away.
    file.set_permissions(Permissions::from_mode(mode))?;
    file.set_modified(modified - OLDER)
}

/// Another first byte; one at all, where there is none.
fn write(file: &File) -> io::Result<()> {
    let mut first = [0];
    file.read_at(&mut first, 0)?;
    file.write_all_at(&[!first[0]], 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_second_file_differs_once_however_many_names_it_has() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for name in ["a", "b", "c"] {
            fs::write(path(name), "old").unwrap();
        }
        let (mut times, mut names) = (Vec::new(), Vec::new());
        for name in ["a", "b", "c"] {
            for more in ["", "-2", "-3"] {
                if !more.is_empty() {
                    fs::hard_link(path(name), path(&format!("{name}{more}"))).unwrap();
                }
                names.push(format!("{name}{more}"));
            }
            times.push(fs::metadata(path(name)).unwrap().modified().unwrap());
        }
        let mut files = Files::default();
        for name in &names {
            files.alter_every_second(&path(name)).unwrap();
        }

        for ((name, time), altered) in
            ["a", "b", "c"].into_iter().zip(times).zip([true, false, true])
        {
            let now = fs::metadata(path(name)).unwrap().modified().unwrap();
            assert_eq!(fs::read(path(name)).unwrap() != b"old", altered, "{name}");
            assert_eq!(time.duration_since(now).unwrap() == OLDER, altered, "{name}: its time");
        }
    }

    #[test]
    fn empty_and_read_only_files_differ_and_keep_their_bits() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o444)).unwrap();

        Files::default().alter_every_second(&path).unwrap();

        assert_eq!(fs::read(&path).unwrap(), [255]);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o444);
    }
}
