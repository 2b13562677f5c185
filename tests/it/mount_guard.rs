//! A run is refused if a disk of /etc/fstab is not mounted where it copies from or to.

use crate::common::entries::*;
use crate::common::mounts::in_own_mounts;
use crate::common::*;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn mount(arguments: &[&str], on: &Path) {
    assert!(Command::new("mount").args(arguments).arg(on).status().unwrap().success());
}

/// Returns what is mounted on `/`.
fn root() -> String {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let line = text.lines().rfind(|line| line.split(' ').nth(4) == Some("/")).unwrap();
    line.split(" - ").nth(1).unwrap().split(' ').nth(1).unwrap().to_owned()
}

/// Gives this mount namespace a `/etc` with this file. It calls `disk` in the sandbox a mount point; `root` is what the
/// file calls the root file system.
fn with_fstab(env: &Sandbox, root: &str) -> PathBuf {
    let disk = env.path("my disk");
    fs::create_dir(&disk).unwrap();
    let copied = Command::new("cp").args(["-a", "/etc"]).arg(env.path("etc")).status();
    assert!(copied.unwrap().success());
    let shown = disk.display().to_string().replace(' ', "\\040");
    let lines = format!(
        "# disks\n{root} / ext4 defaults 0 1\nUUID=1234 none swap sw 0 0\n/dev/sdx1\t{shown}  ext4 noauto 0 2\n"
    );
    fs::write(env.path("etc/fstab"), lines).unwrap();
    mount(&["--bind", env.path("etc").to_str().unwrap()], Path::new("/etc"));
    disk
}

#[test]
fn a_target_or_a_source_on_a_disk_that_is_not_mounted_is_refused() {
    if !in_own_mounts!() {
        return;
    }
    let env = Sandbox::new();
    env.tree("src", ["file a 1"]);
    let disk = with_fstab(&env, &root());
    fs::create_dir(disk.join("sub")).unwrap();
    std::os::unix::fs::symlink("my disk/sub", env.path("link")).unwrap();

    for line in [
        &["src", "my disk"][..],
        &["src", "my disk/sub/new"],
        &["--mkpath", "src", "my disk/a/b"],
        &["-T", "src", "link"],
        &["-t", "link", "src"],
        &["my disk/sub", "new"],
        &["src", "my disk/sub", "src"],
        &["--dry-run", "src", "my disk"],
        &["--check", "src", "my disk"],
    ] {
        env.pcopy(line).exits(3).stderr_has("is in /etc/fstab and not mounted");
    }
    assert_eq!(fs::read_dir(&disk).unwrap().count(), 1);
    assert!(!exists(env.path("new")));

    env.pcopy(["src", "elsewhere"]).exits(0);
    env.pcopy(["--no-mount-guard", "src", "my disk"]).exits(0);
    fs::remove_dir_all(disk.join("src")).unwrap();
    mount(&["-t", "tmpfs", "none"], &disk);
    env.pcopy(["src", "my disk"]).exits(0);
}

#[test]
fn an_fstab_that_is_not_about_this_system_says_nothing() {
    if !in_own_mounts!() {
        return;
    }
    let env = Sandbox::new();
    env.tree("src", ["file a 1"]);
    with_fstab(&env, "UUID=no-such-disk");

    env.pcopy(["src", "my disk"]).exits(0);
}

#[test]
fn cp_does_not_read_fstab() {
    if !in_own_mounts!() {
        return;
    }
    let env = Sandbox::new();
    env.tree("src", ["file a 1"]);
    with_fstab(&env, &root());

    env.cp(["-r", "src", "my disk"]).exits(0);
}

#[test]
fn a_required_mount_must_be_there() {
    if !in_own_mounts!() {
        return;
    }
    let env = Sandbox::new();
    env.tree("src", ["file a 1"]).tree("disk", []);

    for option in ["--require-mount", "--require-mount=disk"] {
        env.pcopy([option, "src", "disk"])
            .exits(3)
            .stderr_has("nothing is mounted at 'disk' (--require-mount)");
    }
    assert_eq!(fs::read_dir(env.path("disk")).unwrap().count(), 0);

    mount(&["-t", "tmpfs", "none"], &env.path("disk"));
    env.pcopy(["--require-mount", "src", "disk"]).exits(0);
    env.pcopy(["--require-mount", "src", "disk/new"]).exits(0);
    env.pcopy(["--require-mount=disk", "src", "disk/new"]).exits(0);
    env.pcopy(["--require-mount", "src", "disk/new/other"])
        .exits(3)
        .stderr_has("nothing is mounted at 'disk/new'");
    mount(&["--bind", env.path("src").to_str().unwrap()], &env.path("disk/new"));
    env.pcopy(["--require-mount=disk/new", "src", "disk/third"]).exits(0);
}

#[test]
fn a_required_mount_that_goes_during_the_run_is_a_failure() {
    if !in_own_mounts!() {
        return;
    }
    let env = Sandbox::new();
    env.many("src", 5000, 2000);
    env.tree("disk", []);
    mount(&["-t", "tmpfs", "none"], &env.path("disk"));

    let live = env.frozen_mid_copy(&["-j1", "--require-mount=disk", "src", "dst"]);
    assert!(Command::new("umount").args(["-l"]).arg(env.path("disk")).status().unwrap().success());
    live.thaw();

    live.end().exits(1).stderr_has("what is mounted at 'disk' has changed during the run");
}

#[test]
fn a_required_file_must_be_in_the_target() {
    let env = Sandbox::new();
    env.tree("src", ["file a 1", "file .marker 1"]).tree("disk", []);

    let refused = env.pcopy(["--require-file=.marker", "src", "disk"]);
    refused.exits(3).stderr_has("cannot find 'disk/.marker': No such file or directory");
    assert_eq!(fs::read_dir(env.path("disk")).unwrap().count(), 0);

    env.tree("disk", ["file .marker 0"]);
    env.pcopy(["--require-file=.marker", "src", "disk"]).exits(0);
    env.pcopy(["--check", "--require-file=other", "-T", "src", "disk"]).exits(3);
}
