//! The conditions that must hold after any run with any fault.

use crate::common::testtree::{Node, Tree, What, read};
use crate::ending::{Ending, run};
use crate::world::{Preserves, World};
use std::ffi::OsString;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};

/// The deviations that the fault in a run excuses.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Excuse {
    /// The signals that may have ended the run.
    pub(crate) signals: &'static [i32],
    /// Standard error could not be written, so messages may be missing.
    pub(crate) mute: bool,
    /// Attributes that are preserved only where possible may be missing without a message, as with cp.
    pub(crate) bare: bool,
    /// The run ended before `main`, with a message of the loader or of the language's runtime.
    pub(crate) stillborn: bool,
    /// A system call claimed that an existing entry does not exist, so the entry has no backup.
    pub(crate) unseen: bool,
    /// Any system call claimed that, so what is to be removed seemed to be gone already.
    pub(crate) seems_gone: bool,
    /// A copier may have died, too. The next round then repeated the work that had failed.
    pub(crate) again: bool,
    /// The run was writing files in place when it ended, so these files are partial.
    pub(crate) half: bool,
    /// The counts of the run need not balance, if the run reports that.
    pub(crate) numbers: bool,
}

/// Checks a run, then repeats its command undisturbed and checks that run, too. Returns what is wrong; empty
/// if nothing is.
pub(crate) fn wrongs(world: &World, ending: &Ending, excuse: Excuse) -> String {
    let mut wrongs = after_the_first(world, ending, excuse);
    if ending.status.is_some() {
        let again = run(world.command(&[], 2));
        let others = after_the_second(world, ending, &again, excuse);
        if !others.is_empty() {
            wrongs.extend(others);
            wrongs.push(format!("the second run printed:\n{}", again.stderr));
        }
    }
    if wrongs.is_empty() {
        return String::new();
    }
    format!("{:?}\n{}\n  {}", ending.status, ending.stderr, wrongs.join("\n  "))
}

fn after_the_first(world: &World, ending: &Ending, excuse: Excuse) -> Vec<String> {
    let Some(status) = ending.status else { return vec!["it hung".to_owned()] };
    let mut wrongs = Vec::new();
    if ending.left {
        wrongs.push("processes were left".to_owned());
    }
    wrongs.extend(source_is_unchanged(world));
    wrongs.extend(nothing_else_is_there(world));
    let target = world.target();
    let end = match (status.code(), status.signal()) {
        _ if excuse.stillborn => return wrongs,
        (None, Some(signal)) if excuse.signals.contains(&signal) => End::Cut,
        (Some(code), _) => match end_of(code, world, ending, excuse, &target, &mut wrongs) {
            Some(end) => end,
            None => return wrongs,
        },
        _ => {
            wrongs.push("an unexpected signal ended it".to_owned());
            return wrongs;
        }
    };
    if ending.stderr.contains("panicked") || ending.stderr.contains("fatal runtime error") {
        wrongs.push("it panicked".to_owned());
    }
    wrongs.extend(mirror_is_whole(world, &target, end, excuse, &ending.stderr));
    match end {
        End::Complete => {
            let lacks = Lacks::of(ending, excuse);
            wrongs.extend(is_complete(world, &target, lacks, excuse));
        }
        End::Reported | End::Cut => {
            wrongs.extend(each_name_is_old_or_new(world, &target, end, ending, excuse))
        }
    }
    wrongs
}

/// The kind of end that an exit code promises.
#[derive(Clone, Copy, PartialEq)]
enum End {
    Complete,
    /// Some entries failed, and each failure was reported with a message.
    Reported,
    /// The run stopped early.
    Cut,
}

fn end_of(
    code: i32,
    world: &World,
    ending: &Ending,
    excuse: Excuse,
    target: &Tree,
    wrongs: &mut Vec<String>,
) -> Option<End> {
    let has = |text: &str| excuse.mute || ending.stderr.contains(text);
    let is_cp = world.line.as_cp;
    let is_explained = match code {
        0 => {
            let is_failure =
                |line: &str| line.contains("cannot ") && !line.contains("pcopy: warning: cannot ");
            excuse.again || !ending.stderr.lines().any(is_failure) || has_separate_files(ending)
        }
        1 => {
            has("cannot ")
                || has("failed")
                || has("passed over")
                || has("repeatedly died")
                || has("was replaced")
                || has("nothing was removed from ")
                || is_cp && has("cp: ")
        }
        3 => has("pcopy: "),
        14 if excuse.numbers => has("the counts do not balance"),
        11 => {
            has("hint: when the target can be written again")
                || has("hint: when the source can be read again")
        }
        16 => has("copiers kept dying") || has("cannot "),
        24 => has("vanished") || has("changed"),
        _ => {
            wrongs.push(format!("exit code {code} is not allowed here"));
            return None;
        }
    };
    if !is_explained {
        wrongs.push(format!("no message explains exit code {code}"));
    }
    if is_cp && code > 1 {
        wrongs.push(format!("cp has no code {code}"));
    }
    if !is_cp && !excuse.mute && matches!(code, 0 | 1 | 24) {
        wrongs.extend(counts_agree(code, world, &ending.stderr));
    }
    if code == 3 && bare(target) != bare(&world.old) {
        wrongs.push("it was refused, and something was changed".to_owned());
    }
    Some(match code {
        0 => End::Complete,
        // Without a name the failure is one of the run itself.
        1 | 24
            if messages(&ending.stderr).any(|line| line.contains('\''))
                && !ending.stderr.contains("stopped after") =>
        {
            End::Reported
        }
        _ => End::Cut,
    })
}

/// Returns only the contents and modes of a tree.
fn bare(tree: &Tree) -> Vec<(&PathBuf, &What, u32)> {
    tree.iter().map(|(path, node)| (path, &node.what, node.mode)).collect()
}

/// Compares the counts of the summary with each other and with the exit code. Returns what is wrong, if
/// anything.
fn counts_agree(code: i32, world: &World, stderr: &str) -> Option<String> {
    let Some(line) = stderr.lines().rfind(|line| line.starts_with("copied ")) else {
        // A run that never began has no summary.
        return (code == 0).then(|| "there is no summary".to_owned());
    };
    let number = |word: &str| -> usize {
        let before = line.split(word).next().filter(|before| before.len() < line.len());
        let last = before.and_then(|before| before.trim().rsplit(' ').next());
        last.map_or(0, |digits| digits.replace(',', "").parse().unwrap_or(0))
    };
    let copied = line.split(' ').nth(1).unwrap().replace(',', "").parse().unwrap_or(0);
    let [linked, skipped, declined, changed, vanished, failed] =
        ["linked", "skipped", "declined", "changed", "vanished", "failed"].map(number);
    let vanished = vanished + changed;
    let sum = copied + linked + skipped + declined + vanished + failed;
    let all = world.source.len();
    let wrong = match code {
        0 => sum != all || failed + vanished > 0,
        24 => sum > all || failed > 0,
        _ => sum > all,
    };
    wrong.then(|| format!("of {all} entries, with code {code}: {line}"))
}

fn source_is_unchanged(world: &World) -> Option<String> {
    let now = read(&world.env.path("src"));
    if now == world.source {
        return None;
    }
    let changed: Vec<_> = world
        .source
        .iter()
        .filter(|(path, node)| now.get(*path) != Some(*node))
        .map(|(path, node)| format!("{path:?} was {node:?}, is {:?}", now.get(path)))
        .collect();
    Some(format!("the source was changed: {changed:?} {} entries now", now.len()))
}

fn nothing_else_is_there(world: &World) -> Option<String> {
    let ours = ["src", "dst", ".dst.pcopy-partial", "cp", "trace"];
    let names = fs::read_dir(world.env.path("")).unwrap().map(|entry| entry.unwrap().file_name());
    // A killed run may leave the empty directory that it was about to rename. The next run of the same command
    // removes it.
    let is_trial = |name: &OsString| {
        let is_empty = || fs::read_dir(world.env.path(name)).is_ok_and(|all| all.count() == 0);
        name == ".dst.pcopy-partial-1" && !world.env.path("dst").exists() && is_empty()
    };
    let is_ours = |name: &OsString| ours.contains(&name.to_str().unwrap()) || is_trial(name);
    let others: Vec<_> = names.filter(|name| !is_ours(name)).collect();
    (!others.is_empty()).then(|| format!("stray entries beside the trees: {others:?}"))
}

/// Whether any component of a path is a staged name.
fn is_staged(path: &Path) -> bool {
    let is_staged =
        |name: &str| [".pcopy-partial", ".pcopy-partial-1"].iter().any(|end| name.ends_with(end));
    path.iter().any(|part| is_staged(part.to_str().unwrap()))
}

/// Returns the file of which this path is the backup; `None` if the path is not a backup.
fn backed_up(world: &World, path: &Path) -> Option<PathBuf> {
    let name = path.to_str()?.strip_suffix('~').filter(|_| world.line.backs_up())?;
    world.source.contains_key(Path::new(name)).then(|| name.into())
}

/// Whether the entry at `path` is a valid backup: the old file, or the file with which an earlier run
/// replaced it.
fn is_backup(world: &World, path: &Path, node: &Node) -> bool {
    backed_up(world, path).is_some_and(|name| {
        [&world.old, &world.source]
            .iter()
            .any(|tree| tree.get(&name).is_some_and(|old| old.what == node.what))
    })
}

/// Whether a run has reported names that could not become hard links and were copied.
fn has_separate_files(ending: &Ending) -> bool {
    ending.stderr.contains(" as separate files") || ending.stderr.contains(" as a separate file")
}

/// What a run has reported as lost, and what the copy may therefore lack.
#[derive(Clone, Copy, Default)]
struct Lacks {
    time: bool,
    mode: bool,
    /// The owner, ACLs or extended attributes. The mode may then have fewer permissions, too.
    others: bool,
    /// The mode of the directory of the operand.
    top_mode: bool,
    /// A name is a separate file instead of a hard link.
    links: bool,
}

impl Lacks {
    fn of(ending: &Ending, excuse: Excuse) -> Self {
        let warns = |of: &str| {
            let warnings = ending.stderr.lines().filter(|line| line.contains(": warning: cannot "));
            excuse.bare || excuse.mute || warnings.into_iter().any(|line| line.contains(of))
        };
        let others = warns(" owner of ") || warns(" ACL of ") || warns(" extended attributes of ");
        Self {
            time: warns(" times of "),
            mode: others || warns(" permissions of "),
            others,
            top_mode: false,
            links: excuse.bare || excuse.mute || has_separate_files(ending),
        }
    }
}

fn is_complete(world: &World, target: &Tree, lacks: Lacks, excuse: Excuse) -> Vec<String> {
    let mut wrongs = Vec::new();
    for (path, node) in &world.source {
        let is_top = path.as_os_str().is_empty();
        let lacks = Lacks { mode: lacks.mode || is_top && lacks.top_mode, ..lacks };
        match target.get(path) {
            None => wrongs.push(format!("{path:?} is missing")),
            Some(copy) => wrongs
                .extend(differs(world, node, copy, lacks).map(|what| format!("{path:?}: {what}"))),
        }
    }
    if world.line.preserves >= Preserves::Default && !lacks.links {
        for (one, other) in [("small", "d/e/small-too"), ("d/mid", "n/m/mid-too")] {
            let inode = |path| target.get(Path::new(path)).map(|node: &Node| node.file);
            if inode(one) != inode(other) {
                wrongs.push(format!("{one} and {other} are not hard links"));
            }
        }
    }
    for (path, node) in target.iter().filter(|(path, _)| !world.source.contains_key(*path)) {
        if !is_backup(world, path, node)
            && world.old.get(path).is_none_or(|old| old.what != node.what)
        {
            wrongs.push(format!("{path:?} is neither old nor of the source: {node:?}"));
        }
    }
    wrongs.extend(old_files_remain(world, target, excuse.unseen));
    wrongs
}

/// Whether the line removes an entry that the source does not have.
fn is_extraneous(world: &World, path: &Path) -> bool {
    let is_kept = |path: &Path| path.extension().is_some_and(|end| end == "keep");
    let holds_kept = || world.old.keys().any(|other| other.starts_with(path) && is_kept(other));
    world.line.mirrors() && !world.source.contains_key(path) && !is_kept(path) && !holds_kept()
}

/// Checks that what only the target has is gone at the end of a run that removes it, or that nothing of it is gone before
/// everything is copied. Returns what is wrong.
fn mirror_is_whole(
    world: &World,
    target: &Tree,
    end: End,
    excuse: Excuse,
    stderr: &str,
) -> Vec<String> {
    let mut wrongs = Vec::new();
    let extraneous = world.old.keys().filter(|path| is_extraneous(world, path));
    let (left, gone): (Vec<_>, Vec<_>) = extraneous.partition(|path| target.contains_key(*path));
    if end == End::Complete && !excuse.seems_gone && !left.is_empty() {
        wrongs.push(format!("{left:?}, which the source does not have, is left"));
    }
    if !gone.is_empty() && stderr.contains("nothing was removed from ") {
        wrongs.push(format!("{gone:?} is gone, against the message"));
    }
    let is_copied = |(path, node): &(&PathBuf, &Node)| {
        target.get(*path).is_some_and(|copy| copy.what == node.what) || is_named(stderr, path)
    };
    if !gone.is_empty() && !excuse.mute && !world.line.removes_first() {
        let missing: Vec<_> = world.source.iter().filter(|entry| !is_copied(entry)).collect();
        if !missing.is_empty() {
            wrongs.push(format!("{gone:?} is gone, and {missing:?} is not copied"));
        }
    }
    wrongs
}

/// Checks that extraneous entries of the target remain, and that replaced files have backups. Returns what is
/// wrong.
fn old_files_remain(world: &World, target: &Tree, unseen: bool) -> Vec<String> {
    let mut wrongs = Vec::new();
    for (path, old) in &world.old {
        let is_old = |path: &Path| target.get(path).is_some_and(|node| node.what == old.what);
        let backup = PathBuf::from(format!("{}~", path.display()));
        let must_stay = !world.source.contains_key(path) && !is_extraneous(world, path);
        if must_stay && !is_old(path) {
            wrongs.push(format!("{path:?}, which is the user's, is gone or changed"));
        }
        if world.line.backs_up() && !unseen && !old.is_dir() && !is_old(path) && !is_old(&backup) {
            wrongs.push(format!("{path:?} has no backup"));
        }
    }
    wrongs
}

/// Returns in which preserved property the copy of an entry differs; `None` if it does not.
fn differs(world: &World, node: &Node, copy: &Node, lacks: Lacks) -> Option<String> {
    let preserves = world.line.preserves;
    let same = node.what == copy.what;
    let is_link = node.is_symlink();
    let mode = preserves < Preserves::Default || lacks.mode || is_link || node.mode == copy.mode;
    let time = preserves < Preserves::Default || lacks.time || node.time == copy.time;
    let others = preserves < Preserves::All
        || lacks.others
        || (node.owner, &node.xattrs) == (copy.owner, &copy.xattrs);
    let wrong = !same || !mode || !time || !others;
    wrong.then(|| format!("{node:?} became {copy:?}"))
}

/// Checks that each final name has the contents of the source or its old contents, and that missing entries
/// were reported.
fn each_name_is_old_or_new(
    world: &World,
    target: &Tree,
    end: End,
    ending: &Ending,
    excuse: Excuse,
) -> Vec<String> {
    let mut wrongs = Vec::new();
    let half_is_fine = world.line.in_place && (end == End::Cut || excuse.half);
    for (path, node) in target.iter().filter(|(path, _)| !is_staged(path)) {
        let is_what = |other: Option<&Node>| other.is_some_and(|other| other.what == node.what);
        let is_new = is_what(world.source.get(path));
        let is_old = is_what(world.old.get(path));
        let may_be_half = half_is_fine && matches!(node.what, What::File(_));
        let is_half = may_be_half && (end == End::Cut || is_named(&ending.stderr, path))
            || ending.stderr.contains(&format!("'src/{}' changed while", path.display()));
        if !is_new && !is_old && !is_backup(world, path, node) && !is_half {
            wrongs.push(format!("{path:?} is neither old nor new: {node:?}"));
        }
    }
    wrongs.extend(old_files_remain(world, target, excuse.unseen));
    let gone = world.old.keys().filter(|path| !target.contains_key(*path));
    for path in gone.filter(|path| !is_extraneous(world, path)) {
        // A file that fails verification is removed, and reported.
        if !world.line.verifies() || !is_named(&ending.stderr, path) {
            wrongs.push(format!("{path:?}, which existed, is gone and was not replaced"));
        }
    }
    for (path, node) in &world.source {
        if target.get(path).is_some_and(|copy| copy.what == node.what) {
            continue;
        }
        let exists = target.contains_key(path);
        let new_dir_exists = path
            .ancestors()
            .skip(1)
            .any(|dir| target.contains_key(dir) && !world.old.contains_key(dir));
        let must_exist = match end {
            End::Reported => !excuse.mute && !is_named(&ending.stderr, path),
            _ => {
                let is_reported = excuse.mute || is_named(&ending.stderr, path);
                let is_reported = is_reported || excuse.numbers && reports_wrong_counts(ending);
                !exists && new_dir_exists && !world.line.in_place && !is_reported
            }
        };
        if must_exist {
            let what = if exists { "not the source's" } else { "missing" };
            wrongs.push(format!("{path:?} is {what} and not reported: {node:?}"));
        }
    }
    wrongs
}

/// Whether a run reports that its counts are wrong.
fn reports_wrong_counts(ending: &Ending) -> bool {
    ending.stderr.contains("the counts do not balance; some entries may be missing")
}

/// Returns the lines that report something of an entry: the summary names the whole copy.
fn messages(stderr: &str) -> impl Iterator<Item = &str> {
    stderr.lines().filter(|line| !line.starts_with("copied ") && !line.starts_with("hint: "))
}

/// Whether a message names the entry or a directory above it.
fn is_named(stderr: &str, path: &Path) -> bool {
    path.ancestors().any(|path| {
        ["src", "dst"].iter().any(|root| {
            let name = Path::new(root).join(path);
            let name = name.to_str().unwrap().trim_end_matches('/').to_owned();
            messages(stderr).any(|line| line.contains(&format!("'{name}'")))
        })
    })
}

fn after_the_second(world: &World, first: &Ending, ending: &Ending, excuse: Excuse) -> Vec<String> {
    let mut wrongs = Vec::new();
    if ending.code() != Some(0) {
        wrongs.push(format!("the second run ended with {:?}", ending.status));
        return wrongs;
    }
    let target = world.target();
    let excuse = Excuse { bare: false, ..excuse };
    wrongs.extend(mirror_is_whole(
        world,
        &target,
        End::Complete,
        Excuse::default(),
        &ending.stderr,
    ));
    // The mode of a source that had vanished is unknown, and a later run keeps the mode of its target.
    let top_mode = first.stderr.contains("'src' vanished");
    wrongs.extend(is_complete(world, &target, Lacks { top_mode, ..Lacks::default() }, excuse));
    let top = fs::read_dir(world.env.path("")).unwrap().map(|entry| entry.unwrap().path());
    let staged: Vec<_> = top.chain(target.keys().cloned()).filter(|path| is_staged(path)).collect();
    if !staged.is_empty() {
        wrongs.push(format!("the second run left {staged:?}"));
    }
    wrongs.extend(source_is_unchanged(world));
    wrongs.iter().map(|wrong| format!("after the second run: {wrong}")).collect()
}
