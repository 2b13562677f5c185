//! Making things that `std` cannot make, looking at what it cannot see, and being somebody else.

use super::{
    PCOPY, Run, Sandbox, all_tests, contents, hash, is_root, run_alone, size, skip, tool,
    wait_until,
};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

impl Sandbox {
    /// Plants a tree from a fixture, a file with a line `KIND MODE TIME NAME REST` for each entry.
    ///
    /// KIND is dir, file (REST: its size), text, link, fifo, socket, char or block (REST:
    /// `MAJOR:MINOR`; only root can make these two, for others they are left out). NAME and REST know the
    /// escapes `\n`, `\t`, `\e`, `\s` (a space), `\xHH` and `\\`. `*N` after a NAME repeats it N times.
    /// A symlink that is too long for the file system is left out.
    pub(crate) fn plant(&self, root: &str, fixture: &str) -> &Self {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(fixture)).unwrap();
        let root = self.path(root);
        fs::create_dir_all(&root).unwrap();
        let mut dirs = Vec::new();
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let mut words = line.splitn(5, ' ');
            let mut word = || words.next().unwrap_or("");
            let (kind, mode, time, name, rest) = (word(), word(), word(), word(), word());
            let mut mode = u32::from_str_radix(mode, 8).unwrap();
            if kind == "file" && !is_root() {
                mode |= 0o400; // else it could not be copied
            }
            let (seconds, nanoseconds) = time.split_once('.').unwrap_or((time, "0"));
            let time: Time = (seconds.parse().unwrap(), nanoseconds.parse().unwrap());
            let name = unescape(name);
            let path =
                if name == b"." { root.clone() } else { root.join(OsStr::from_bytes(&name)) };
            match kind {
                "dir" => fs::create_dir_all(&path).unwrap(),
                "file" => fs::write(&path, contents(&name, size(rest))).unwrap(),
                "text" => fs::write(&path, unescape(rest)).unwrap(),
                "link" if !symlink_if_it_fits(OsStr::from_bytes(&unescape(rest)), &path) => {
                    continue;
                }
                "link" => {}
                "fifo" | "socket" => node(&path, kind, 0, 0),
                "char" | "block" if is_root() => {
                    let (major, minor) = rest.split_once(':').unwrap();
                    node(&path, kind, major.parse().unwrap(), minor.parse().unwrap());
                }
                "char" | "block" => continue,
                other => panic!("{other:?} is no kind of entry"),
            }
            match kind {
                "dir" => dirs.push((path, mode, time)),
                "link" => set_times(&path, time, time),
                _ => {
                    chmod(&path, mode);
                    set_times(&path, time, time);
                }
            }
        }
        for (path, mode, time) in dirs.into_iter().rev() {
            chmod(&path, mode);
            set_times(&path, time, time);
        }
        self
    }

    /// Runs `pcopy` as a user without any rights, to whom the whole sandbox is given first.
    ///
    /// For root this is nobody; another user is plain already. What is to belong to somebody else
    /// is given away after [`Sandbox::give_to_plain_user`], with [`Sandbox::plain_pcopy_as_is`].
    pub(crate) fn plain_pcopy<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Run<'_> {
        self.give_to_plain_user();
        self.plain_pcopy_as_is(arguments)
    }

    /// Runs `pcopy` as a user without any rights.
    pub(crate) fn plain_pcopy_as_is<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Run<'_> {
        self.run(as_plain_user(self.command(arguments)))
    }

    pub(crate) fn give_to_plain_user(&self) {
        if is_root() {
            let chown =
                Command::new("chown").args(["-hR", "65534:65534"]).arg(self.path("")).status();
            assert!(chown.unwrap().success());
            // chown takes the set-id bits away; who needs them sets them afterwards
        }
    }
}

/// Seconds since 1970, which may be negative, and nanoseconds.
pub(crate) type Time = (i64, i64);

fn unescape(text: &str) -> Vec<u8> {
    let (text, times) = match text.rsplit_once('*') {
        Some((text, times)) => match times.parse() {
            Ok(times) => (text, times),
            Err(_) => panic!("no number after * in {text:?}"),
        },
        None => (text, 1),
    };
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte != b'\\' {
            byte
        } else {
            match rest.next().expect("something after a backslash") {
                b'n' => b'\n',
                b't' => b'\t',
                b'e' => 0x1b,
                b's' => b' ',
                b'x' => {
                    let digits = [rest.next().unwrap(), rest.next().unwrap()];
                    u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
                }
                b'\\' => b'\\',
                other => panic!("no escape: {:?}", char::from(other)),
            }
        });
    }
    bytes.repeat(times)
}

/// Makes a `fifo`, a `socket`, or a `char` or `block` device.
pub(crate) fn node(path: &Path, kind: &str, major: u64, minor: u64) {
    use nix::sys::stat::{Mode, SFlag, makedev, mknod};
    let kind = match kind {
        "fifo" => SFlag::S_IFIFO,
        "socket" => SFlag::S_IFSOCK,
        "char" => SFlag::S_IFCHR,
        "block" => SFlag::S_IFBLK,
        other => panic!("{other:?} is no kind of node"),
    };
    mknod(path, kind, Mode::from_bits_truncate(0o600), makedev(major, minor)).unwrap();
}

/// Makes a symlink; false if the text is longer than the file system can hold: 1023 bytes on some.
pub(crate) fn symlink_if_it_fits(text: impl AsRef<OsStr>, path: &Path) -> bool {
    match std::os::unix::fs::symlink(text.as_ref(), path) {
        Err(error) if error.kind() == std::io::ErrorKind::InvalidFilename => false,
        done => done.map(|()| true).unwrap(),
    }
}

/// Sets the times of an entry; of a symlink, its own.
pub(crate) fn set_times(path: &Path, accessed: Time, modified: Time) {
    use nix::sys::{stat, time::TimeSpec};
    let spec = |time: Time| TimeSpec::new(time.0, time.1);
    let nofollow = stat::UtimensatFlags::NoFollowSymlink;
    stat::utimensat(nix::fcntl::AT_FDCWD, path, &spec(accessed), &spec(modified), nofollow)
        .unwrap();
}

pub(crate) fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// The permission bits of an entry, with the set-id bits and the sticky bit.
pub(crate) fn mode_of(path: impl AsRef<Path>) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

pub(crate) fn modified(path: impl AsRef<Path>) -> Time {
    let metadata = fs::symlink_metadata(path).unwrap();
    (metadata.mtime(), metadata.mtime_nsec())
}

pub(crate) fn inode(path: impl AsRef<Path>) -> u64 {
    fs::symlink_metadata(path).unwrap().ino()
}

pub(crate) fn exists(path: impl AsRef<Path>) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// The same command, as a user without any rights.
pub(crate) fn as_plain_user(command: Command) -> Command {
    if !is_root() {
        return command;
    }
    // Nobody may not be able to reach the program where it was built.
    let program = plain_program();
    let mut plain = Command::new(program);
    plain.uid(65534).gid(65534); // std drops the other groups along with root
    plain.args(command.get_args()).stdin(Stdio::null());
    if let Some(dir) = command.get_current_dir() {
        plain.current_dir(dir);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => plain.env(name, value),
            None => plain.env_remove(name),
        };
    }
    plain
}

/// A copy of the program that everybody may run; made once per test program.
pub(crate) fn plain_program() -> &'static Path {
    static PROGRAM: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();
    PROGRAM.get_or_init(|| {
        let path = std::env::temp_dir().join(format!("pcopy-for-all-{}", hash(PCOPY.as_bytes())));
        let fresh = path.with_extension(std::process::id().to_string());
        fs::copy(PCOPY, &fresh).unwrap();
        chmod(&fresh, 0o755);
        fs::rename(&fresh, &path).unwrap(); // others may be running the old one
        path
    })
}

/// Runs the test `name` of this test program again, in a mount namespace of its own, and returns
/// true in there. Outside it returns false when that has been done, or when it cannot be done.
pub(crate) fn in_own_mounts(name: &str) -> bool {
    if std::env::var_os("PCOPY_TEST_IN_OWN_MOUNTS").is_some() {
        return true;
    }
    if !is_root() || !tool("unshare") {
        skip(name, "needs root and unshare, to mount file systems");
        return false;
    }
    run_alone();
    let ending = format!("::{name}");
    let is_it = |test: &String| test == name || test.ends_with(&ending);
    let test = all_tests().into_iter().find(is_it).unwrap();
    let inner = Command::new("unshare")
        .args(["-m", "--propagation", "private", "--"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &test, "--nocapture", "--test-threads", "1"])
        .env("PCOPY_TEST_IN_OWN_MOUNTS", "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&inner.stderr);
    if !inner.status.success() {
        panic!("{}\n{said}", String::from_utf8_lossy(&inner.stdout));
    }
    said.lines().filter(|line| line.starts_with("skipped:")).for_each(|line| eprintln!("{line}"));
    false
}

/// Something mounted, until this is dropped: before the sandbox that it is in, or that would stay.
pub(crate) struct Mounted(pub(crate) PathBuf);

impl Mounted {
    /// Waits until nobody is there, and takes it away: who forks beside us takes what we have open along,
    /// and a disk that is only out of sight is written to later.
    pub(crate) fn detach(self) {
        wait_until("the disk is free", || {
            Command::new("umount").arg(&self.0).output().unwrap().status.success()
        });
        std::mem::forget(self);
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let done = Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(std::thread::panicking() || done.is_ok_and(|status| status.success()));
    }
}

/// Runs `mount` with these words and the place; `None` if the machine does not let us.
pub(crate) fn mount(words: &[impl AsRef<OsStr>], place: &Path) -> Option<Mounted> {
    let output = Command::new("mount").args(words).arg(place).output();
    let done = output.is_ok_and(|output| output.status.success());
    done.then(|| Mounted(place.to_owned()))
}
