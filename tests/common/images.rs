//! File systems in image files.

use super::mounts::{Mounted, mount};
use super::{Sandbox, skip_for, tool};
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The command that creates a file system in an image: the program and its arguments.
pub(crate) type Make = &'static [&'static str];

pub(crate) const EXT4: Make = &["mkfs.ext4", "-q", "-F"];
/// An ext4 whose directory listings do not contain the types of entries.
pub(crate) const EXT4_WITHOUT_TYPES: Make = &["mkfs.ext4", "-q", "-F", "-O", "^filetype"];
/// An ext4 that stores times in whole seconds.
pub(crate) const EXT4_OF_SECONDS: Make = &["mkfs.ext4", "-q", "-F", "-I", "128"];
pub(crate) const XFS: Make = &["mkfs.xfs", "-q"];
pub(crate) const BTRFS: Make = &["mkfs.btrfs", "-q"];
pub(crate) const TMPFS: Make = &["tmpfs"];

/// Mounts a new file system at `name` in a sandbox. If this machine cannot do that, skips the test and
/// returns `None`.
macro_rules! mounted_or_skip {
    ($env:expr, $name:expr, $make:expr) => {
        $crate::common::images::mounted_or_skip_for(
            $crate::common::test_name::test_name!(),
            $env,
            $name,
            $make,
        )
    };
}
pub(crate) use mounted_or_skip;

/// Like [`mounted_or_skip`], for a helper function, which gets the name of its test as an argument.
#[track_caller]
pub(crate) fn mounted_or_skip_for(
    test: &str,
    env: &Sandbox,
    name: &str,
    make: Make,
) -> Option<Mounted> {
    mounted(env, name, make).inspect_err(|why| skip_for(test, why)).ok()
}

fn mounted(env: &Sandbox, name: &str, make: Make) -> Result<Mounted, String> {
    mounted_of(env, name, make, 1 << 30)
}

/// Mounts a new file system of `bytes` bytes at `name`. The error says why this machine cannot do that.
pub(crate) fn mounted_of(
    env: &Sandbox,
    name: &str,
    make: Make,
    bytes: u64,
) -> Result<Mounted, String> {
    let place = env.path(name);
    fs::create_dir(&place).unwrap();
    let kind = make[0].trim_start_matches("mkfs.");
    if kind == "tmpfs" {
        let words = ["-t", "tmpfs", "-o", "size=300M,mode=755", "tmpfs"];
        return mount(&words, &place).ok_or_else(|| "cannot mount a tmpfs here".to_owned());
    }
    if !tool(make[0]) {
        return Err(format!("{} is not installed", make[0]));
    }
    let image = env.path(format!("{name}.image"));
    make_image(&image, make, bytes);
    let words = ["-t", kind, "-o", "loop"].map(OsStr::new);
    let mounted = mount(&[&words[..], &[image.as_os_str()]].concat(), &place);
    // So that nothing remains after the unmount, and no listing of the sandbox reads the image.
    fs::remove_file(image).unwrap();
    mounted.ok_or_else(|| format!("cannot mount {kind} from an image here"))
}

/// Creates an image of `bytes` bytes with a new file system in it.
pub(crate) fn make_image(image: &Path, make: Make, bytes: u64) {
    fs::File::create(image).unwrap().set_len(bytes).unwrap();
    let made = Command::new(make[0]).args(&make[1..]).arg(image).output().unwrap();
    assert!(made.status.success(), "{make:?}: {}", String::from_utf8_lossy(&made.stderr));
}
