//! What a copy keeps of its source: owner, access lists, attributes, times, bits; and what not.

use crate::common::images::{BTRFS, EXT4, Make, TMPFS, XFS, mounted_or_skip};
use crate::common::things::*;
use crate::common::*;
use crate::everywhere::holds_on_every_file_system;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

// The last four go through the file systems themselves; with the first cp fails on btrfs, which lists
// attributes that a plain user may not read.
holds_on_every_file_system!(
    except each_option_keeps_what_it_keeps_for_cp_when_a_plain_user_gives_it,
    archive_keeps_all_on_tmpfs,
    archive_keeps_all_on_ext4,
    archive_keeps_all_on_xfs,
    archive_keeps_all_on_btrfs,
);

/// All that may be kept of an entry.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Whole {
    entry: Entry,
    owner: (u32, u32),
    attributes: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// Lists a tree with owners and attributes, found with `std` and the `xattr` crate.
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

fn run_tool(program: &str, arguments: &[&str], path: &Path) -> bool {
    let output = Command::new(program).args(arguments).arg(path).output();
    output.is_ok_and(|output| output.status.success())
}

fn set_attribute(path: &Path, name: &str, value: &[u8]) {
    xattr::set(path, name, value).unwrap_or_else(|error| panic!("{name} of {path:?}: {error}"));
}

/// A tree in which nearly every entry has something that only root can give; false if the file
/// system or the machine cannot have it.
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
    let owners = [
        ("ids", "1000:1001"),
        ("sub", "1001:1002"),
        ("sub/l", "5:6"),
        ("sub/p", "7:8"),
        ("sticky", "9:10"),
    ];
    for (name, owner) in owners {
        assert!(run_tool("chown", &["-h", owner], &at(name)));
    }
    for (name, mode) in [("ids", 0o6755), ("sticky", 0o3775), ("plain", 0o4711)] {
        chmod(&at(name), mode);
    }
    set_attribute(&at("sub/attributes"), "user.empty", b"");
    set_attribute(&at("sub/attributes"), "user.long", &contents(b"x", 200));
    set_attribute(&at("sub/attributes"), "trusted.t", b"\0\xff");
    set_attribute(&at("sub"), "user.of-a-folder", b"x");
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

/// Copies the tree with -a to a file system and within it, fresh and over a bare copy.
#[track_caller]
fn archives(name: &str, make: Make) {
    if !in_own_mounts(name) {
        return;
    }
    let env = Sandbox::new();
    let Some(_mounted) = mounted_or_skip(name, &env, "at", make) else { return };
    if !plant(&env, "src") {
        return skip(name, "no access lists here");
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
        set_attribute(&env.path("at/bare/plain"), "user.stranger", b"x");
        let run = env.pcopy(["-a", "-j", jobs, "-T", "src", "at/bare"]);
        run.exits(0).stderr_has("copied 0 entries");
        assert_whole(&source, &env.path("at/bare"), &run.story());
        for left in ["at/dst", "at/again", "at/bare"] {
            fs::remove_dir_all(env.path(left)).unwrap();
        }
    }
}

#[test]
fn archive_keeps_all_on_tmpfs() {
    archives("archive_keeps_all_on_tmpfs", TMPFS);
}

#[test]
fn archive_keeps_all_on_ext4() {
    archives("archive_keeps_all_on_ext4", EXT4);
}

#[test]
fn archive_keeps_all_on_xfs() {
    archives("archive_keeps_all_on_xfs", XFS);
}

#[test]
fn archive_keeps_all_on_btrfs() {
    archives("archive_keeps_all_on_btrfs", BTRFS);
}

/// The options of cp and of pcopy that must come to the same, and whether they keep times.
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

/// Runs both programs with each pair of options, under a umask, as the user `user`, into a folder
/// with a default access list and one without.
fn does_as_cp(env: &Sandbox, user: u32) {
    let run = |folder: &str, words: &[&str]| {
        let mut command = Command::new("sh");
        command.args(["-c", "umask 027; exec \"$@\"", "sh"]).args(words);
        command.current_dir(env.path(folder)).uid(user).gid(user);
        env.run(command)
    };
    let program = plain_program().to_str().unwrap();
    for ((theirs, ours, times), folder) in
        SAME_AS_CP.iter().flat_map(|options| [(options, "bare"), (options, "listed")])
    {
        run(folder, &[&["cp"][..], theirs, &["../src", "cp"]].concat()).exits(0);
        let mut expected = whole(&env.path(folder).join("cp"));
        for jobs in ["1", "8"] {
            let copy = format!("copy-{jobs}");
            let words = [&[program, "-q", "-j", jobs][..], ours, &["../src", &copy]].concat();

            let run = run(folder, &words);

            run.exits(0);
            let mut found = whole(&env.path(folder).join(&copy));
            if !times {
                let forget = |whole: &mut Whole| whole.entry.modified = (0, 0);
                expected.values_mut().chain(found.values_mut()).for_each(forget);
            }
            for (path, expected) in &expected {
                let found = found.get(path);
                assert_eq!(found, Some(expected), "{path:?} in {folder}\n{}", run.story());
            }
            assert_eq!(found.len(), expected.len(), "{}", run.story());
            fs::remove_dir_all(env.path(folder).join(copy)).unwrap();
        }
        fs::remove_dir_all(env.path(folder).join("cp")).unwrap();
    }
}

#[test]
fn each_option_keeps_what_it_keeps_for_cp() {
    let name = "each_option_keeps_what_it_keeps_for_cp";
    let env = Sandbox::new();
    if !is_root() || !plant(&env, "src") {
        return skip(name, "needs root, and access lists on the file system of the tests");
    }
    chmod(&env.path("src/ids"), 0o755); // whose they are decides over set-id bits; see access.rs
    env.tree("", ["dir bare", "dir listed"]);
    assert!(run_tool("setfacl", &["-m", "d:u:99:rwx,d:o::---"], &env.path("listed")));

    does_as_cp(&env, 0);
}

#[test]
fn each_option_keeps_what_it_keeps_for_cp_when_a_plain_user_gives_it() {
    let name = "each_option_keeps_what_it_keeps_for_cp_when_a_plain_user_gives_it";
    let env = Sandbox::new();
    if !is_root() || !plant(&env, "src") {
        return skip(name, "needs root, and access lists on the file system of the tests");
    }
    for (file, mode) in [("ids", 0o755), ("plain", 0o711)] {
        chmod(&env.path("src").join(file), mode);
    }
    chmod(&env.path("src/plain"), 0o644);
    xattr::remove(env.path("src/capable"), "security.capability").unwrap();
    env.tree("", ["dir bare", "dir listed"]);
    assert!(run_tool("setfacl", &["-m", "d:u:99:rwx,d:o::---"], &env.path("listed")));
    for open in ["", "bare", "listed"] {
        chmod(&env.path(open), 0o777);
    }

    does_as_cp(&env, 65534);
}

#[test]
fn an_owner_that_cannot_be_given_is_named_and_lends_no_rights() {
    let name = "an_owner_that_cannot_be_given_is_named_and_lends_no_rights";
    if !tool("strace") || !is_root() {
        return skip(name, "needs root and strace");
    }
    let env = Sandbox::new();
    env.tree("src", ["file theirs 10", "file other 20"]);
    assert!(run_tool("chown", &["1000:1001"], &env.path("src/theirs")));
    chmod(&env.path("src/theirs"), 0o6755);
    let broken = ["-e", "trace=fchown", "-e", "inject=fchown:error=EIO"];

    let run = env.run(env.traced(&broken, ["-a", "src", "dst"]));

    run.exits(11).stderr_has("cannot set owner of 'dst/theirs': Input/output error");
    let refused = ["-e", "trace=fchown", "-e", "inject=fchown:error=EPERM"];
    let run = env.run(env.traced(&refused, ["-a", "src", "again"]));
    run.exits(1).stderr_has("cannot set owner of 'again/theirs': Operation not permitted");
    assert_eq!(mode_of(env.path("again/theirs")), 0o755, "{}", run.story());
    assert_eq!(
        fs::read(env.path("src/theirs")).unwrap(),
        fs::read(env.path("again/theirs")).unwrap()
    );
    env.assert_same("src/other", "again/other");
}

#[test]
fn a_file_that_is_to_change_hands_is_private_until_it_has() {
    let name = "a_file_that_is_to_change_hands_is_private_until_it_has";
    if !tool("strace") || !is_root() {
        return skip(name, "needs root and strace");
    }
    let env = Sandbox::new();
    env.tree("src", ["file theirs 10", "file listed 10"]);
    chmod(&env.path("src/theirs"), 0o664);
    assert!(run_tool("chown", &["1000:1001"], &env.path("src/theirs")));
    if !run_tool("setfacl", &["-m", "u:1000:rw"], &env.path("src/listed")) {
        return skip(name, "no access lists here");
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
fn what_a_file_system_cannot_keep_is_silent_under_archive_and_a_failure_when_named() {
    let name = "what_a_file_system_cannot_keep_is_silent_under_archive_and_a_failure_when_named";
    if !in_own_mounts(name) {
        return;
    }
    let env = Sandbox::new();
    env.tree("src", ["file a 10", "file listed 10", "file plain 10"]).tree("", ["dir bare"]);
    set_attribute(&env.path("src/a"), "user.x", b"x");
    let Some(_mounted) = mount(&["-t", "ramfs", "-o", "mode=755", "none"], &env.path("bare"))
    else {
        return skip(name, "no ramfs");
    };
    let time = modified(env.path("src"));

    env.pcopy(["-a", "src", "bare/archive"]).exits(0).stderr_lacks("attributes");
    let named = env.pcopy(["-a", "--preserve=xattr", "src", "bare/named"]);
    named
        .exits(1)
        .stderr_has("cannot set extended attributes of 'bare/named/a': Operation not supported");
    env.assert_same("src", "bare/archive");
    env.assert_same("src", "bare/named"); // the file is there all the same

    if run_tool("setfacl", &["-m", "g:5:rw"], &env.path("src/listed")) {
        assert_eq!(mode_of(env.path("src/listed")), 0o664, "the mask lets the group write");
        let run = env.pcopy(["-a", "src", "bare/list"]);
        run.exits(1).stderr_has("cannot set ACL of 'bare/list/listed': Operation not supported");
        assert_eq!(mode_of(env.path("bare/list/listed")), 0o604, "fewer rights, not more");
    }
    assert_eq!(modified(env.path("src")), time);
}

#[test]
fn the_default_access_list_of_the_target_lets_nobody_in() {
    let name = "the_default_access_list_of_the_target_lets_nobody_in";
    let env = Sandbox::new();
    env.tree("src", ["file a 10", "file sub/b 10", "fifo sub/p"]).tree("", ["dir into/old"]);
    chmod(&env.path("src/a"), 0o660);
    if !run_tool("setfacl", &["-m", "d:u:99:rwx"], &env.path("into"))
        || !run_tool("setfacl", &["-m", "d:u:99:rwx"], &env.path("into/old"))
    {
        return skip(name, "no access lists here");
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

    let mut told: Vec<_> = run.stdout.lines().collect();
    told.sort_unstable();
    assert_eq!(told, ["dst/changed", "dst/longer"], "{}", run.story());
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
fn a_list_with_a_word_that_nobody_knows_names_the_words() {
    let env = Sandbox::new();
    env.tree("src", ["file a 10"]);

    for wrong in ["--preserve=modes", "--no-preserve=everything"] {
        let run = env.pcopy([wrong, "src", "dst"]);

        run.exits(2)
            .stderr_has("mode, ownership, timestamps, links, acl, xattr, context, all, none");
        assert!(!exists(env.path("dst")));
    }
}

#[test]
fn a_file_is_private_while_its_folder_lends_it_rights() {
    let name = "a_file_is_private_while_its_folder_lends_it_rights";
    if !tool("strace") || !is_root() {
        return skip(name, "needs root and strace");
    }
    for (options, folder) in [(&["-j1"][..], "listed"), (&["-a", "-j1"], "group")] {
        let env = Sandbox::new();
        env.tree("src", ["file a 10"]).tree("", ["dir listed", "dir group"]);
        chmod(&env.path("src/a"), 0o664);
        assert!(run_tool("chown", &["0:7"], &env.path("group")));
        chmod(&env.path("group"), 0o2775);
        if !run_tool("setfacl", &["-m", "d:u:99:rwx"], &env.path("listed")) {
            return skip(name, "no access lists here");
        }
        let target = format!("{folder}/dst");

        env.run(env.traced(&["-e", "trace=openat"], [options, &["src", &target]].concat()))
            .exits(0);

        let trace = fs::read_to_string(env.path("trace")).unwrap();
        let born = trace.lines().find(|line| line.contains("\"a\", O_WRONLY|O_CREAT")).unwrap();
        assert!(born.contains(", 0600)"), "{born}");
        env.assert_same("src", &target);
    }
}

#[test]
fn a_merged_folder_loses_the_lists_that_the_source_has_not() {
    let name = "a_merged_folder_loses_the_lists_that_the_source_has_not";
    let env = Sandbox::new();
    env.tree("src", ["file d/a 10"]).tree("", ["dir dst/d"]);
    if !run_tool("setfacl", &["-m", "u:99:rwx,d:u:98:rwx"], &env.path("dst/d")) {
        return skip(name, "no access lists here");
    }

    env.pcopy(["-a", "-T", "src", "dst"]).exits(0);

    assert_eq!(attributes(&env.path("dst/d")), BTreeMap::new());
    env.assert_same("src", "dst");
}

#[test]
fn where_bits_are_not_kept_a_folder_that_may_not_be_written_stays_so() {
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
    let name = "an_attribute_that_cannot_be_read_is_not_emptied_in_the_target";
    if !tool("strace") {
        return skip(name, "strace is not installed");
    }
    let env = Sandbox::new();
    env.tree("src", ["file a 10"]);
    if xattr::set(env.path("src/a"), "user.x", b"value").is_err() {
        return skip(name, "no attributes here");
    }
    env.pcopy(["-a", "src", "dst"]).exits(0);
    let broken = ["-e", "trace=lgetxattr", "-e", "inject=lgetxattr:error=EIO"];

    env.run(env.traced(&broken, ["-a", "-T", "src", "dst"])).exits(1);

    assert_eq!(xattr::get(env.path("dst/a"), "user.x").unwrap().unwrap(), b"value");
}

#[test]
fn names_of_one_file_stay_one_though_an_attribute_is_refused() {
    let name = "names_of_one_file_stay_one_though_an_attribute_is_refused";
    if !in_own_mounts(name) {
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
        return skip(name, "no ramfs");
    };
    for jobs in ["1", "8"] {
        let run = env.pcopy(["-a", "--preserve=xattr", "-j", jobs, "src", "bare/dst"]);

        run.exits(1);
        assert_eq!(
            run.stderr.matches("cannot set extended attributes").count(),
            1,
            "{}",
            run.story()
        );
        let first = inode(env.path("bare/dst/a"));
        assert_eq!([inode(env.path("bare/dst/b")), inode(env.path("bare/dst/c"))], [first, first]);
        fs::remove_dir_all(env.path("bare/dst")).unwrap();
    }
}

#[test]
fn bits_that_are_not_the_sources_are_right_before_the_times_are() {
    let name = "bits_that_are_not_the_sources_are_right_before_the_times_are";
    if !tool("strace") || !is_root() {
        return skip(name, "needs root and strace");
    }
    let env = Sandbox::new();
    env.tree("src", ["file theirs 10"]);
    assert!(run_tool("chown", &["1000:1001"], &env.path("src/theirs")));
    let options = ["-p", "--no-preserve=mode", "-j1", "src", "dst"];

    env.run(env.traced(&["-y", "-e", "trace=utimensat,fchmod"], options)).exits(0);

    let trace = fs::read_to_string(env.path("trace")).unwrap();
    let calls: Vec<_> = trace.lines().filter(|line| line.contains("/theirs>")).collect();
    assert_eq!(calls.len(), 2, "{trace}");
    assert!(calls[0].contains("fchmod(") && calls[1].contains("utimensat("), "{trace}");
}

#[test]
fn attributes_that_never_fit_are_a_failure_and_not_the_end_of_memory() {
    if !tool("strace") {
        return skip("attributes_that_never_fit_are_a_failure", "strace is not installed");
    }
    for call in ["flistxattr", "fgetxattr"] {
        let env = Sandbox::new();
        env.tree("src", ["file a 1K"]);
        if xattr::set(env.path("src/a"), "user.name", b"value").is_err() {
            return skip("attributes_that_never_fit_are_a_failure", "no attributes here");
        }
        let fail = format!("inject={call}:error=ERANGE");

        let traced = ["-e", "trace=flistxattr,fgetxattr", "-e", &fail];
        let run = env.run(env.traced(&traced, ["-a", "src", "dst"]));

        run.exits(1).stderr_has("Numerical result out of range");
    }
}
