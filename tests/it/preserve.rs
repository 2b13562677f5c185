//! What a copy preserves (owner, ACLs, extended attributes, times, modes), and what it does not.

use crate::common::entries::*;
use crate::common::images::{BTRFS, EXT4, Make, TMPFS, XFS, mounted_or_skip};
use crate::common::mounts::*;
use crate::common::plain_user::*;
use crate::common::*;
use crate::every_file_system::holds_on_every_file_system;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

// The last one mounts each file system itself; with the first, cp fails on btrfs, which lists attributes that
// an ordinary user may not read.
holds_on_every_file_system!(
    except each_option_of_an_ordinary_user_preserves_what_it_preserves_for_cp,
    archive_preserves_everything,
);

/// All properties of an entry that a copy may preserve.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Whole {
    entry: Entry,
    owner: (u32, u32),
    attributes: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// Lists a tree with owners and attributes. Uses only `std` and the `xattr` crate.
fn whole(root: &Path) -> BTreeMap<PathBuf, Whole> {
    let look = |(path, entry): (PathBuf, Entry)| {
        let place = if path.as_os_str().is_empty() { root.to_owned() } else { root.join(&path) };
        let metadata = fs::symlink_metadata(&place).unwrap();
        (
            path,
            Whole {
                entry,
                owner: (metadata.uid(), metadata.gid()),
                attributes: attributes(&place),
            },
        )
    };
    listing(root).into_iter().map(look).collect()
}

fn attributes(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    use std::os::unix::ffi::OsStringExt;
    let Ok(names) = xattr::list(path) else { return BTreeMap::new() };
    let is_alias = |name: &OsString| name.as_encoded_bytes().starts_with(b"trusted.SGI_ACL_"); // of XFS
    names
        .filter(|name| !is_alias(name))
        .map(|name| (name.clone().into_vec(), xattr::get(path, name).unwrap().unwrap_or_default()))
        .collect()
}

#[track_caller]
fn assert_whole(expected: &BTreeMap<PathBuf, Whole>, root: &Path, story: &str) {
    let found = whole(root);
    for (path, entry) in expected {
        assert_eq!(Some(entry), found.get(path), "{path:?} of {}\n{story}", root.display());
    }
    assert_eq!(expected.len(), found.len(), "{story}");
}

fn set_attribute(path: &Path, name: &str, value: &[u8]) {
    xattr::set(path, name, value).unwrap_or_else(|error| panic!("{name} of {path:?}: {error}"));
}

/// Plants a tree in which nearly every entry has an attribute that only root can set. Returns false if ACLs or
/// attributes of users are not supported.
fn plant(env: &Sandbox, root: &str) -> bool {
    env.tree(
        root,
        [
            "file plain 10",
            "file ids 20",
            "file sub/listed 300",
            "file sub/attributes 4",
            "link sub/l nowhere",
            "fifo sub/p",
            "file capable 30",
            "dir listed",
            "file listed/inside 5",
            "dir sticky",
        ],
    );
    let at = |name: &str| env.path(root).join(name);
    if xattr::set(at("plain"), "user.x", b"").is_err() {
        return false;
    }
    xattr::remove(at("plain"), "user.x").unwrap();
    let owners = [
        ("ids", "1000:1001"),
        ("sub", "1001:1002"),
        ("sub/l", "5:6"),
        ("sub/p", "7:8"),
        ("sticky", "9:10"),
    ];
    for (name, owner) in owners {
        must_run("chown", &["-h", owner], &at(name));
    }
    for (name, mode) in [("ids", 0o6755), ("sticky", 0o3775), ("plain", 0o4711)] {
        chmod(&at(name), mode);
    }
    set_attribute(&at("sub/attributes"), "user.empty", b"");
    set_attribute(&at("sub/attributes"), "user.long", &contents(b"x", 200));
    set_attribute(&at("sub/attributes"), "trusted.t", b"\0\xff");
    set_attribute(&at("sub"), "user.of-a-directory", b"x");
    set_attribute(&at("sub/l"), "trusted.of-a-symlink", b"x");
    set_attribute(&at("sub/p"), "trusted.of-a-fifo", b"x");
    // VFS_CAP_REVISION_2 with CAP_NET_RAW, effective.
    let capability = [&[1, 0, 0, 2, 0, 0x20, 0, 0][..], &[0; 12]].concat();
    set_attribute(&at("capable"), "security.capability", &capability);
    let lists = run_tool("setfacl", &["-m", "u:1000:rw,g:5:r"], &at("sub/listed"))
        && run_tool("setfacl", &["-m", "u:7:rwx,d:u:8:rx"], &at("listed"));
    let time = (1_046_660_583, 123_456_789);
    for (path, entry) in env.listing(root).into_iter().rev() {
        let path =
            if path.as_os_str().is_empty() { env.path(root) } else { at(path.to_str().unwrap()) };
        assert!(entry.modified != time);
        set_times(&path, (time.0 + 1, time.1), time);
    }
    lists
}

cells! { archive_preserves_everything, tmpfs => TMPFS, ext4 => EXT4, xfs => XFS, btrfs => BTRFS }
/// Copies a tree with `-a` to a file system and within it: to a new target, and onto a copy that was made
/// without `-a`.
fn archive_preserves_everything(make: Make) {
    if !in_own_mounts!() {
        return;
    }
    let env = Sandbox::new();
    let Some(_mounted) = mounted_or_skip!(&env, "at", make) else { return };
    if !plant(&env, "src") {
        return skip!("no ACLs here");
    }
    let source = whole(&env.path("src"));
    for jobs in ["1", "2", "8"] {
        for (from, to) in [("src", "at/dst"), ("at/dst", "at/again")] {
            let run = env.pcopy(["-a", "-j", jobs, from, to]);
            run.exits(0);
            assert_whole(&source, &env.path(to), &run.story());

            env.pcopy(["-a", "-j", jobs, "-T", from, to]).exits(0).stderr_has("copied 0 entries");
            assert_whole(&source, &env.path(to), "the second time");
        }
        env.pcopy(["-j", jobs, "src", "at/bare"]).exits(0);
        set_attribute(&env.path("at/bare/plain"), "user.extraneous", b"x");
        let run = env.pcopy(["-a", "-j", jobs, "-T", "src", "at/bare"]);
        run.exits(0).stderr_has("copied 0 entries");
        assert_whole(&source, &env.path("at/bare"), &run.story());
        for left in ["at/dst", "at/again", "at/bare"] {
            fs::remove_dir_all(env.path(left)).unwrap();
        }
    }
}

/// The options of cp, the options of pcopy that must have the same effect, and whether they preserve times.
const SAME_AS_CP: [(&[&str], &[&str], bool); 9] = [
    (&["-a"], &["-a"], true),
    (&["-rp"], &["-p"], true),
    (&["-r"], &["--preserve=none"], false),
    (&["-r", "--preserve=mode"], &["--preserve=none", "--preserve=mode"], false),
    (&["-r", "--preserve=ownership"], &["--preserve=none,ownership"], false),
    (&["-r", "--preserve=timestamps,xattr"], &["--preserve=none,timestamps,xattr"], true),
    (&["-r", "--no-preserve=mode"], &["--preserve=none", "--no-preserve=mode"], false),
    (&["-a", "--no-preserve=ownership,xattr"], &["-a", "--no-preserve=ownership,xattr"], true),
    (&["-a", "--no-preserve=mode"], &["-a", "--no-preserve=mode"], true),
];

/// Runs both programs with each pair of options as the user `user`, with a umask, into a directory with a
/// default ACL and into a directory without one.
fn does_as_cp(env: &Sandbox, user: u32) {
    let run = |dir: &str, words: &[&str]| {
        let mut command = Command::new("sh");
        command.args(["-c", "umask 027; exec \"$@\"", "sh"]).args(words);
        command.current_dir(env.path(dir)).uid(user).gid(user);
        env.run(command)
    };
    let program = plain_program().to_str().unwrap();
    for ((theirs, ours, times), dir) in
        SAME_AS_CP.iter().flat_map(|options| [(options, "bare"), (options, "listed")])
    {
        run(dir, &[&["cp"][..], theirs, &["../src", "cp"]].concat()).exits(0);
        let mut expected = whole(&env.path(dir).join("cp"));
        for jobs in ["1", "8"] {
            let copy = format!("copy-{jobs}");
            let words = [&[program, "-q", "-j", jobs][..], ours, &["../src", &copy]].concat();

            let run = run(dir, &words);

            run.exits(0);
            let mut found = whole(&env.path(dir).join(&copy));
            if !times {
                let forget = |whole: &mut Whole| whole.entry.modified = (0, 0);
                expected.values_mut().chain(found.values_mut()).for_each(forget);
            }
            for (path, expected) in &expected {
                let found = found.get(path);
                assert_eq!(found, Some(expected), "{path:?} in {dir}\n{}", run.story());
            }
            assert_eq!(found.len(), expected.len(), "{}", run.story());
            fs::remove_dir_all(env.path(dir).join(copy)).unwrap();
        }
        fs::remove_dir_all(env.path(dir).join("cp")).unwrap();
    }
}

#[test]
fn each_option_preserves_what_it_preserves_for_cp() {
    let env = Sandbox::new();
    if !is_root() || !plant(&env, "src") {
        return skip!("needs root, and ACLs on the file system of the tests");
    }
    chmod(&env.path("src/ids"), 0o755); // set-id bits depend on the owner; see access.rs
    env.tree("", ["dir bare", "dir listed"]);
    must_run("setfacl", &["-m", "d:u:99:rwx,d:o::---"], &env.path("listed"));

    does_as_cp(&env, 0);
}

#[test]
fn each_option_of_an_ordinary_user_preserves_what_it_preserves_for_cp() {
    let env = Sandbox::new();
    if !is_root() || !plant(&env, "src") {
        return skip!("needs root, and ACLs on the file system of the tests");
    }
    for (file, mode) in [("ids", 0o755), ("plain", 0o711)] {
        chmod(&env.path("src").join(file), mode);
    }
    chmod(&env.path("src/plain"), 0o644);
    xattr::remove(env.path("src/capable"), "security.capability").unwrap();
    env.tree("", ["dir bare", "dir listed"]);
    must_run("setfacl", &["-m", "d:u:99:rwx,d:o::---"], &env.path("listed"));
    for open in ["", "bare", "listed"] {
        chmod(&env.path(open), 0o777);
    }

    does_as_cp(&env, 65534);
}

#[test]
fn an_owner_that_cannot_be_set_is_reported_and_grants_nothing() {
    if !tool("strace") || !is_root() {
        return skip!("needs root and strace");
    }
    let env = Sandbox::new();
    env.tree("src", ["file theirs 10", "file other 20"]);
    must_run("chown", &["1000:1001"], &env.path("src/theirs"));
    chmod(&env.path("src/theirs"), 0o6755);
    let broken = ["-e", "trace=fchown", "-e", "inject=fchown:error=EIO"];

    let run = env.run(env.traced(&broken, ["-a", "src", "dst"]));

    run.exits(0).stderr_has("warning: cannot set owner of 'dst/theirs': Input/output error\n");
    let refused = ["-e", "trace=fchown", "-e", "inject=fchown:error=EPERM"];
    let run = env.run(env.traced(&refused, ["--preserve=ownership", "src", "again"]));
    run.exits(1).stderr_has("pcopy: cannot set owner of 'again/theirs': Operation not permitted\n");
    assert_eq!(mode_of(env.path("again/theirs")), 0o755, "{}", run.story());
    assert_eq!(
        fs::read(env.path("src/theirs")).unwrap(),
        fs::read(env.path("again/theirs")).unwrap()
    );
    env.assert_same("src/other", "again/other");
}

#[test]
fn a_file_that_will_change_owner_is_private_until_it_has() {
    if !tool("strace") || !is_root() {
        return skip!("needs root and strace");
    }
    let env = Sandbox::new();
    env.tree("src", ["file theirs 10", "file listed 10"]);
    chmod(&env.path("src/theirs"), 0o664);
    must_run("chown", &["1000:1001"], &env.path("src/theirs"));
    if !run_tool("setfacl", &["-m", "u:1000:rw"], &env.path("src/listed")) {
        return skip!("no ACLs here");
    }
    let calls = "trace=openat,fchown,fsetxattr,utimensat,fchmod";

    env.run(env.traced(&["-y", "-e", calls], ["-a", "-j1", "src", "dst"])).exits(0);

    let trace = fs::read_to_string(env.path("trace")).unwrap();
    let of = |file: &str| -> Vec<&str> {
        let target = format!(".dst.pcopy-partial/{file}>");
        trace.lines().filter(|line| line.contains(&target)).collect()
    };
    for (file, order) in [
        ("theirs", &["O_CREAT", "fchown", "utimensat", "fchmod"][..]),
        ("listed", &["O_CREAT", "fsetxattr", "utimensat", "fchmod"]),
    ] {
        let calls = of(file);
        assert_eq!(calls.len(), order.len(), "{calls:#?}");
        for (call, name) in calls.iter().zip(order) {
            assert!(call.contains(name), "{name} in {calls:#?}");
        }
        assert!(calls[0].contains(", 0600)") || calls[0].contains(", 0600<"), "{}", calls[0]);
    }
}

#[test]
fn what_a_file_system_cannot_preserve_is_a_warning_under_archive_and_a_failure_when_named() {
    if !in_own_mounts!() {
        return;
    }
    let env = Sandbox::new();
    env.tree("src", ["file a 10", "file listed 10", "file plain 10"]).tree("", ["dir bare"]);
    set_attribute(&env.path("src/a"), "user.x", b"x");
    let Some(_mounted) = mount(&["-t", "ramfs", "-o", "mode=755", "none"], &env.path("bare"))
    else {
        return skip!("no ramfs");
    };
    let time = modified(env.path("src"));

    env.pcopy(["-a", "src", "bare/archive"]).exits(0).stderr_has(
        "warning: cannot set extended attributes of 'bare/archive/a': Operation not supported\n",
    );
    let named = env.pcopy(["-a", "--preserve=xattr", "src", "bare/named"]);
    named
        .exits(1)
        .stderr_has("cannot set extended attributes of 'bare/named/a': Operation not supported");
    env.assert_same("src", "bare/archive");
    env.assert_same("src", "bare/named"); // the file was copied all the same

    if run_tool("setfacl", &["-m", "g:5:rw"], &env.path("src/listed")) {
        assert_eq!(mode_of(env.path("src/listed")), 0o664, "the mask lets the group write");
        let run = env.pcopy(["-a", "src", "bare/list"]);
        run.exits(0)
            .stderr_has("warning: cannot set ACL of 'bare/list/listed': Operation not supported\n");
        assert_eq!(mode_of(env.path("bare/list/listed")), 0o604, "fewer permissions, not more");
    }
    assert_eq!(modified(env.path("src")), time);
}

#[test]
fn the_default_acl_of_the_target_lets_no_other_user_in() {
    let env = Sandbox::new();
    env.tree("src", ["file a 10", "file sub/b 10", "fifo sub/p"]).tree("", ["dir into/old"]);
    chmod(&env.path("src/a"), 0o660);
    if !run_tool("setfacl", &["-m", "d:u:99:rwx"], &env.path("into"))
        || !run_tool("setfacl", &["-m", "d:u:99:rwx"], &env.path("into/old"))
    {
        return skip!("no ACLs here");
    }
    for target in ["into/new", "into/old"] {
        env.pcopy(["-T", "src", target]).exits(0);

        for file in ["a", "sub/b", "sub/p"] {
            let found = attributes(&env.path(target).join(file));
            assert_eq!(found, BTreeMap::new(), "{target}/{file}");
        }
    }
}

#[test]
fn without_times_contents_decide_what_is_copied_again() {
    let env = Sandbox::new();
    env.tree(
        "src",
        ["file same 70K", "file changed 70K", "file longer 10", "link l x", "file sub/x 5"],
    );
    let arguments = ["-v", "--no-preserve=timestamps", "-T", "src", "dst"];
    env.pcopy(arguments).exits(0);
    env.pcopy(arguments).exits(0).stdout_is("");
    let mut changed = fs::read(env.path("src/changed")).unwrap();
    *changed.last_mut().unwrap() ^= 1;
    fs::write(env.path("src/changed"), changed).unwrap();
    fs::write(env.path("src/longer"), "01234567890").unwrap();

    let run = env.pcopy(arguments);

    let mut printed: Vec<_> = run.stdout.lines().collect();
    printed.sort_unstable();
    assert_eq!(printed, ["dst/changed", "dst/longer"], "{}", run.story());
    for file in ["same", "changed", "longer", "sub/x"] {
        assert_eq!(
            fs::read(env.path("src").join(file)).unwrap(),
            fs::read(env.path("dst").join(file)).unwrap()
        );
    }
}

#[test]
fn without_times_a_copy_is_of_today() {
    let env = Sandbox::new();
    env.tree("src", ["file a 10", "file sub/b 10", "link l x"]);
    for (path, _) in env.listing("src").into_iter().rev() {
        set_times(&env.path("src").join(path), (5, 0), (6, 0));
    }

    env.pcopy(["--no-preserve=timestamps", "src", "dst"]).exits(0);

    for (path, entry) in env.listing("dst") {
        assert!(entry.modified.0 > 1_000_000_000, "{path:?}");
    }
    assert_eq!(mode_of(env.path("src/a")), mode_of(env.path("dst/a")));
}

#[test]
fn a_list_with_an_unknown_attribute_names_the_known_ones() {
    let env = Sandbox::new();
    env.tree("src", ["file a 10"]);

    for wrong in ["--preserve=modes", "--no-preserve=everything"] {
        let run = env.pcopy([wrong, "src", "dst"]);

        run.exits(2)
            .stderr_has("mode, ownership, timestamps, links, acl, xattr, context, all or none");
        assert!(!exists(env.path("dst")));
    }
}

#[test]
fn a_file_is_private_while_its_directory_has_a_default_acl() {
    if !tool("strace") || !is_root() {
        return skip!("needs root and strace");
    }
    for (options, dir) in [(&["-j1"][..], "listed"), (&["-a", "-j1"], "group")] {
        let env = Sandbox::new();
        env.tree("src", ["file a 10"]).tree("", ["dir listed", "dir group"]);
        chmod(&env.path("src/a"), 0o664);
        must_run("chown", &["0:7"], &env.path("group"));
        chmod(&env.path("group"), 0o2775);
        if !run_tool("setfacl", &["-m", "d:u:99:rwx"], &env.path("listed")) {
            return skip!("no ACLs here");
        }
        let target = format!("{dir}/dst");

        env.run(env.traced(&["-e", "trace=openat"], [options, &["src", &target]].concat()))
            .exits(0);

        let trace = fs::read_to_string(env.path("trace")).unwrap();
        let born = trace.lines().find(|line| line.contains("\"a\", O_WRONLY|O_CREAT")).unwrap();
        assert!(born.contains(", 0600)"), "{born}");
        env.assert_same("src", &target);
    }
}

#[test]
fn a_merged_directory_loses_the_acls_that_the_source_lacks() {
    let env = Sandbox::new();
    env.tree("src", ["file d/a 10"]).tree("", ["dir dst/d"]);
    if !run_tool("setfacl", &["-m", "u:99:rwx,d:u:98:rwx"], &env.path("dst/d")) {
        return skip!("no ACLs here");
    }

    env.pcopy(["-a", "-T", "src", "dst"]).exits(0);

    assert_eq!(attributes(&env.path("dst/d")), BTreeMap::new());
    env.assert_same("src", "dst");
}

#[test]
fn where_modes_are_not_preserved_an_unwritable_directory_stays_so() {
    let env = Sandbox::new();
    env.tree("src", ["file d/a 10"]).tree("dst", ["dir d"]);
    env.give_to_plain_user();
    chmod(&env.path("dst/d"), 0o555);

    let run = env.plain_pcopy_as_is(["--no-preserve=mode", "-T", "src", "dst"]);

    run.exits(1).stderr_has("cannot create 'dst/d/a': Permission denied");
    assert_eq!(mode_of(env.path("dst/d")), 0o555);
}

#[test]
fn an_attribute_that_cannot_be_read_is_not_emptied_in_the_target() {
    if !tool("strace") {
        return skip!("strace is not installed");
    }
    let env = Sandbox::new();
    env.tree("src", ["file a 10"]);
    if xattr::set(env.path("src/a"), "user.x", b"value").is_err() {
        return skip!("no attributes here");
    }
    env.pcopy(["-a", "src", "dst"]).exits(0);
    let broken = ["-e", "trace=fgetxattr", "-e", "inject=fgetxattr:error=EIO"];

    // With -L the source is opened.
    let run = env.run(env.traced(&broken, ["-a", "-L", "-T", "src", "dst"]));

    run.exits(0).stderr_has(
        "pcopy: warning: cannot read extended attributes of 'src/a': Input/output error\n",
    );

    assert_eq!(xattr::get(env.path("dst/a"), "user.x").unwrap().unwrap(), b"value");
}

each_jobs!(hard_links_stay_one_file_though_an_attribute_is_refused, 1, 8);
fn hard_links_stay_one_file_though_an_attribute_is_refused(jobs: &str) {
    if !in_own_mounts!() {
        return;
    }
    let env = Sandbox::new();
    env.tree("src", ["file a 10"]).tree("", ["dir bare"]);
    set_attribute(&env.path("src/a"), "user.x", b"x");
    for link in ["b", "c"] {
        fs::hard_link(env.path("src/a"), env.path("src").join(link)).unwrap();
    }
    let Some(_mounted) = mount(&["-t", "ramfs", "-o", "mode=755", "none"], &env.path("bare"))
    else {
        return skip!("no ramfs");
    };

    let run = env.pcopy(["-a", "--preserve=xattr", "-j", jobs, "src", "bare/dst"]);

    run.exits(1);
    assert_eq!(run.stderr.matches("cannot set extended attributes").count(), 1, "{}", run.story());
    let first = inode(env.path("bare/dst/a"));
    assert_eq!([inode(env.path("bare/dst/b")), inode(env.path("bare/dst/c"))], [first, first]);
}

#[test]
fn modes_that_are_not_the_sources_are_set_before_the_times() {
    if !tool("strace") || !is_root() {
        return skip!("needs root and strace");
    }
    let env = Sandbox::new();
    env.tree("src", ["file theirs 10"]);
    must_run("chown", &["1000:1001"], &env.path("src/theirs"));
    let options = ["-p", "--no-preserve=mode", "-j1", "src", "dst"];

    env.run(env.traced(&["-y", "-e", "trace=utimensat,fchmod"], options)).exits(0);

    let trace = fs::read_to_string(env.path("trace")).unwrap();
    let calls: Vec<_> = trace.lines().filter(|line| line.contains("/theirs>")).collect();
    assert_eq!(calls.len(), 2, "{trace}");
    assert!(calls[0].contains("fchmod(") && calls[1].contains("utimensat("), "{trace}");
}

#[test]
fn attributes_that_never_fit_are_a_warning_and_not_the_end_of_memory() {
    if !tool("strace") {
        return skip!("strace is not installed");
    }
    for call in ["flistxattr", "fgetxattr"] {
        let env = Sandbox::new();
        env.tree("src", ["file a 1K"]);
        if xattr::set(env.path("src/a"), "user.name", b"value").is_err() {
            return skip!("no attributes here");
        }
        let fail = format!("inject={call}:error=ERANGE");

        let traced = ["-e", "trace=flistxattr,fgetxattr", "-e", &fail];
        let run = env.run(env.traced(&traced, ["-a", "src", "dst"]));

        run.exits(0).stderr_has("warning: ").stderr_has("Numerical result out of range");
        env.assert_same("src", "dst");
    }
}
