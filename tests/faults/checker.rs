//! What must be true after any run, whatever was done to it.

use crate::ending::{Ending, run};
use crate::tree::{Node, Tree, What, read};
use crate::world::{Keeps, World};
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};

/// What the fault that was done to a run excuses.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Excuse {
    /// Signals that may have ended it.
    pub(crate) signals: &'static [i32],
    /// Standard error could not be written: what it should have said is not there.
    pub(crate) mute: bool,
    /// What may be kept cannot be, and cp is silent about that, too.
    pub(crate) bare: bool,
    /// It never came to its own first call: the loader or the language said so in its own way.
    pub(crate) stillborn: bool,
    /// It was told that nothing stands where something does, so no backup of that was made.
    pub(crate) unseen: bool,
    /// A copier may have been lost, too, and what failed before that was made good by the next round.
    pub(crate) again: bool,
    /// Whatever was being written in place when it ended is half new.
    pub(crate) half: bool,
    /// Its numbers need not add up, if it says so.
    pub(crate) numbers: bool,
}

/// What is wrong after a run, and after an undisturbed one of the same line; empty if nothing is.
pub(crate) fn wrongs(world: &World, ending: &Ending, excuse: Excuse) -> String {
    let mut wrongs = after_the_first(world, ending, excuse);
    if ending.status.is_some() {
        let again = run(world.command(&[], 2));
        let others = after_the_second(world, &again, excuse);
        if !others.is_empty() {
            wrongs.extend(others);
            wrongs.push(format!("the second run said:\n{}", again.stderr));
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
    wrongs.extend(source_is_untouched(world));
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
            wrongs.push("no signal was to end it".to_owned());
            return wrongs;
        }
    };
    if ending.stderr.contains("panicked") || ending.stderr.contains("fatal runtime error") {
        wrongs.push("it panicked".to_owned());
    }
    match end {
        End::Complete => wrongs.extend(is_complete(world, &target, excuse.bare, excuse.unseen)),
        End::Told | End::Cut => {
            wrongs.extend(each_name_is_old_or_new(world, &target, end, ending, excuse))
        }
    }
    wrongs
}

/// What kind of end an exit code promises.
#[derive(Clone, Copy, PartialEq)]
enum End {
    Complete,
    /// Some entries failed, each named.
    Told,
    /// Stopped early.
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
    let said = |text: &str| excuse.mute || ending.stderr.contains(text);
    let is_cp = world.line.as_cp;
    let told = match code {
        0 => {
            excuse.again
                || !ending.stderr.contains("cannot ")
                || ending.stderr.contains(" as separate files")
                || ending.stderr.contains(" as a separate file")
        }
        1 => {
            said("cannot ")
                || said("failed")
                || said("passed over")
                || said("repeatedly died")
                || said("was replaced")
                || is_cp && said("cp: ")
        }
        3 => said("pcopy: "),
        14 if excuse.numbers => said("the counts do not balance"),
        11 => said("hint: when the target can be written again"),
        16 => said("copiers kept dying") || said("cannot "),
        24 => said("vanished") || said("changed"),
        _ => {
            wrongs.push(format!("{code} is no code for this"));
            return None;
        }
    };
    if !told {
        wrongs.push(format!("it does not say why it left with {code}"));
    }
    if is_cp && code > 1 {
        wrongs.push(format!("cp has no code {code}"));
    }
    if !is_cp && !excuse.mute && matches!(code, 0 | 1 | 24) {
        wrongs.extend(counts_agree(code, world, &ending.stderr));
    }
    if code == 3 && bare(target) != bare(&world.old) {
        wrongs.push("it was refused, and something was touched".to_owned());
    }
    Some(match code {
        0 => End::Complete,
        // Without a name it is the machine that has denied something to the run itself.
        1 | 24 if ending.stderr.contains('\'') && !ending.stderr.contains("stopped after") => {
            End::Told
        }
        _ => End::Cut,
    })
}

/// Contents and bits alone.
fn bare(tree: &Tree) -> Vec<(&PathBuf, &What, u32)> {
    tree.iter().map(|(path, node)| (path, &node.what, node.mode)).collect()
}

/// The numbers of the last line, against one another and the code.
fn counts_agree(code: i32, world: &World, said: &str) -> Option<String> {
    let Some(line) = said.lines().rfind(|line| line.starts_with("copied ")) else {
        // What was never begun has no numbers.
        return (code == 0).then(|| "there is no last line".to_owned());
    };
    let number = |word: &str| -> usize {
        let before = line.split(word).next().filter(|before| before.len() < line.len());
        let last = before.and_then(|before| before.trim().rsplit(' ').next());
        last.map_or(0, |digits| digits.replace(',', "").parse().unwrap_or(0))
    };
    let copied = line.split(' ').nth(1).unwrap().replace(',', "").parse().unwrap_or(0);
    let [linked, skipped, excluded, vanished, failed] =
        ["linked", "skipped", "left as they were", "vanished", "failed"].map(number);
    let sum = copied + linked + skipped + excluded + vanished + failed;
    let all = world.source.len();
    let wrong = match code {
        0 => sum != all || failed + vanished > 0,
        24 => sum > all || failed > 0,
        _ => sum > all,
    };
    wrong.then(|| format!("of {all} entries, with code {code}: {line}"))
}

fn source_is_untouched(world: &World) -> Option<String> {
    let now = read(&world.env.path("src"));
    if now == world.source {
        return None;
    }
    let touched: Vec<_> = world
        .source
        .iter()
        .filter(|(path, node)| now.get(*path) != Some(*node))
        .map(|(path, node)| format!("{path:?} was {node:?}, is {:?}", now.get(path)))
        .collect();
    Some(format!("the source was touched: {touched:?} {} entries now", now.len()))
}

fn nothing_else_is_there(world: &World) -> Option<String> {
    let ours = ["src", "dst", ".dst.pcopy-partial", "cp", "trace"];
    let names = fs::read_dir(world.env.path("")).unwrap().map(|entry| entry.unwrap().file_name());
    let others: Vec<_> = names.filter(|name| !ours.contains(&name.to_str().unwrap())).collect();
    (!others.is_empty()).then(|| format!("beside the trees there is {others:?}"))
}

/// Whether any part of a path is a staged name.
fn is_staged(path: &Path) -> bool {
    path.iter().any(|part| part.to_str().unwrap().ends_with(".pcopy-partial"))
}

/// The name whose second name a backup is.
fn backed_up(world: &World, path: &Path) -> Option<PathBuf> {
    let name = path.to_str()?.strip_suffix('~').filter(|_| world.line.backs_up())?;
    world.source.contains_key(Path::new(name)).then(|| name.into())
}

/// Whether a name holds what a backup may: the old one, or what an earlier run has put in its place.
fn is_backup(world: &World, path: &Path, node: &Node) -> bool {
    backed_up(world, path).is_some_and(|name| {
        [&world.old, &world.source]
            .iter()
            .any(|tree| tree.get(&name).is_some_and(|old| old.what == node.what))
    })
}

fn is_complete(world: &World, target: &Tree, bare: bool, unseen: bool) -> Vec<String> {
    let mut wrongs = Vec::new();
    for (path, node) in &world.source {
        match target.get(path) {
            None => wrongs.push(format!("{path:?} is missing")),
            Some(copy) => wrongs
                .extend(differs(world, node, copy, bare).map(|what| format!("{path:?}: {what}"))),
        }
    }
    if world.line.keeps >= Keeps::Usual && !bare {
        for (one, other) in [("small", "d/e/small-too"), ("d/mid", "n/m/mid-too")] {
            let inode = |path| target.get(Path::new(path)).map(|node: &Node| node.inode.0);
            if inode(one) != inode(other) {
                wrongs.push(format!("{one} and {other} are not one file"));
            }
        }
    }
    for (path, node) in target.iter().filter(|(path, _)| !world.source.contains_key(*path)) {
        if !is_backup(world, path, node)
            && world.old.get(path).is_none_or(|old| old.what != node.what)
        {
            wrongs.push(format!("{path:?} is none of ours: {node:?}"));
        }
    }
    wrongs.extend(old_ones_are_kept(world, target, unseen));
    wrongs
}

/// What stood only in the target, and what was to be backed up.
fn old_ones_are_kept(world: &World, target: &Tree, unseen: bool) -> Vec<String> {
    let mut wrongs = Vec::new();
    for (path, old) in &world.old {
        let is_old = |path: &Path| target.get(path).is_some_and(|node| node.what == old.what);
        let backup = PathBuf::from(format!("{}~", path.display()));
        let must_stay = !world.source.contains_key(path);
        if must_stay && !is_old(path) {
            wrongs.push(format!("{path:?}, which is the user's, is gone or changed"));
        }
        if world.line.backs_up() && !unseen && !old.is_dir() && !is_old(path) && !is_old(&backup) {
            wrongs.push(format!("of {path:?} there is no backup"));
        }
    }
    wrongs
}

/// What a copy lacks that this line keeps.
fn differs(world: &World, node: &Node, copy: &Node, bare: bool) -> Option<String> {
    let keeps = world.line.keeps;
    let same = node.what == copy.what;
    let is_link = matches!(node.what, What::Symlink(_));
    let mode = keeps < Keeps::Usual || bare || is_link || node.mode == copy.mode;
    let time = keeps < Keeps::Usual || bare || node.modified == copy.modified;
    let others =
        keeps < Keeps::All || bare || (node.owner, &node.xattrs) == (copy.owner, &copy.xattrs);
    let wrong = !same || !mode || !time || !others;
    wrong.then(|| format!("{node:?} became {copy:?}"))
}

/// Each final name holds the source's bytes or its old ones, and what is missing was named.
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
    wrongs.extend(old_ones_are_kept(world, target, excuse.unseen));
    for path in world.old.keys().filter(|path| !target.contains_key(*path)) {
        // What cannot be proven to be on the disk is removed, and told.
        if !world.line.verifies() || !is_named(&ending.stderr, path) {
            wrongs.push(format!("{path:?}, which stood there, has gone and nothing has come"));
        }
    }
    for (path, node) in &world.source {
        if target.get(path).is_some_and(|copy| copy.what == node.what) {
            continue;
        }
        let stands = target.contains_key(path);
        let new_folder_is_there = path
            .ancestors()
            .skip(1)
            .any(|dir| target.contains_key(dir) && !world.old.contains_key(dir));
        let must_be_there = match end {
            End::Told => !excuse.mute && !is_named(&ending.stderr, path),
            _ => {
                let is_told = excuse.mute || is_named(&ending.stderr, path);
                let is_told = is_told || excuse.numbers && adds_up_to_nothing(ending);
                !stands && new_folder_is_there && !world.line.in_place && !is_told
            }
        };
        if must_be_there {
            let what = if stands { "not the source's" } else { "missing" };
            wrongs.push(format!("{path:?} is {what} without a word: {node:?}"));
        }
    }
    wrongs
}

/// Whether a run says that it does not know what it has done.
fn adds_up_to_nothing(ending: &Ending) -> bool {
    ending.stderr.contains("the counts do not balance; some entries may be missing")
}

/// Whether a message names an entry or a folder above it.
fn is_named(said: &str, path: &Path) -> bool {
    path.ancestors().any(|path| {
        ["src", "dst"].iter().any(|root| {
            let name = Path::new(root).join(path);
            let name = name.to_str().unwrap().trim_end_matches('/').to_owned();
            said.contains(&format!("'{name}'"))
        })
    })
}

fn after_the_second(world: &World, ending: &Ending, excuse: Excuse) -> Vec<String> {
    let mut wrongs = Vec::new();
    if ending.code() != Some(0) {
        wrongs.push(format!("the second run ended with {:?}", ending.status));
        return wrongs;
    }
    let target = world.target();
    wrongs.extend(is_complete(world, &target, false, excuse.unseen));
    let top = fs::read_dir(world.env.path("")).unwrap().map(|entry| entry.unwrap().path());
    let staged: Vec<_> = top.chain(target.keys().cloned()).filter(|path| is_staged(path)).collect();
    if !staged.is_empty() {
        wrongs.push(format!("the second run left {staged:?}"));
    }
    wrongs.extend(source_is_untouched(world));
    wrongs.iter().map(|wrong| format!("after the second run: {wrong}")).collect()
}
