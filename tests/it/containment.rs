//! pcopy neither reads nor modifies entries outside the operands while another process exchanges entries with
//! symlinks.
//!
//! An attack lasts 3 s; with `PCOPY_FAULTS=long` 30 s. The tests make the same attack on a simple copier that
//! inspects an entry and then opens it by its path. That copier must fail, or the attack would prove nothing.

use crate::common::attack::{Attacker, Victim, marked, plant_marked, snapshot};
use crate::common::{HANG, Sandbox};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// The number of entries that are attacked in turn.
const VICTIMS: usize = 6;

/// The allowed exit codes: everything was copied, some entries failed, some vanished or changed.
const CODES: [i32; 3] = [0, 1, 24];

/// The options that are tried in turn, with a new target directory and with an existing one.
const OPTIONS: [&[&str]; 5] =
    [&[], &["-a"], &["--inplace"], &["-a", "--inplace"], &["--preserve=none", "-b"]];

/// One kind of attack.
struct Attack {
    name: &'static str,
    /// The entries that are exchanged with symlinks, below the source or the target.
    victims: fn(&Sandbox) -> Vec<Victim>,
    /// Whether a new target is tried, too.
    onto_new: bool,
}

#[test]
fn a_source_file_that_becomes_a_symlink_leaks_nothing() {
    attack(&Attack {
        name: "source file",
        victims: |env| (0..VICTIMS).map(|n| victim(env, "src", &format!("leaf-{n}"), n)).collect(),
        onto_new: true,
    });
}

#[test]
fn a_source_directory_that_becomes_a_symlink_leaks_nothing() {
    attack(&Attack {
        name: "source directory",
        victims: |env| (0..VICTIMS).map(|n| victim(env, "src", &directory(n), n)).collect(),
        onto_new: true,
    });
}

#[test]
fn a_target_file_that_becomes_a_symlink_harms_nothing() {
    attack(&Attack {
        name: "target file",
        victims: |env| {
            let names = |n| [format!("leaf-{n}"), format!(".leaf-{n}.pcopy-partial")];
            let victims = (0..VICTIMS).flat_map(|n| names(n).map(|name| (n, name)));
            victims.map(|(n, name)| victim(env, "dst", &name, n)).collect()
        },
        onto_new: false,
    });
}

#[test]
fn a_target_directory_that_becomes_a_symlink_harms_nothing() {
    attack(&Attack {
        name: "target directory",
        victims: |env| {
            let roots = |n| ["dst", ".dst.pcopy-partial"].map(|root| (n, root));
            let victims = (0..VICTIMS).flat_map(roots);
            victims.map(|(n, root)| victim(env, root, &directory(n), n)).collect()
        },
        onto_new: true,
    });
}

/// Returns an attacked directory: some are at the top, and some are so deep that copiers open them from the
/// top.
fn directory(number: usize) -> String {
    if number.is_multiple_of(2) { format!("sub-{number}") } else { format!("sub-{number}/1/2/3/4") }
}

fn victim(env: &Sandbox, root: &str, name: &str, number: usize) -> Victim {
    let spare = env.path("attic").join(format!("{root}-{name}").replace('/', "-"));
    let outside = if name.contains("leaf") { format!("file-{number}") } else { "dir".into() };
    let place = env.path(root).join(name);
    Victim { place, spare, leads_to: env.path("outside").join(outside) }
}

/// Plants a source, and entries of the same names outside it. One file is so large that several copiers work
/// on it, and one has two names.
fn plant(env: &Sandbox) {
    for number in 0..VICTIMS {
        let bytes = if number == 0 { "17M" } else { "3K" };
        env.tree("src", [&*format!("file leaf-{number} {bytes}")]);
        plant_marked(&env.path(format!("outside/file-{number}")), 3000);
        for directory in ["", "/1", "/1/2", "/1/2/3", "/1/2/3/4", "/1/2/3/4/5"] {
            let one = format!("sub-{number}{directory}/one");
            env.tree("src", [&*format!("file {one} 2K"), &*format!("link {one}-link nowhere")]);
            let second = env.path("src").join(format!("{one}-again"));
            fs::hard_link(env.path("src").join(&one), second).unwrap();
        }
    }
    for directory in ["", "/1", "/1/2", "/1/2/3", "/1/2/3/4", "/1/2/3/4/5", "/5"] {
        plant_marked(&env.path(format!("outside/dir{directory}/one")), 2000);
        plant_marked(&env.path(format!("outside/dir{directory}/one-again")), 2000);
    }
    env.tree("attic", ["dir ."]).tree("trash", ["dir ."]);
}

fn attack(attack: &Attack) {
    let seconds =
        if std::env::var_os("PCOPY_FAULTS").is_some_and(|how| how == "long") { 30 } else { 3 };
    let env = Sandbox::new();
    plant(&env);
    let before = snapshot(&env.path("outside"));
    env.pcopy(["-T", "src", "dst"]).exits(0);

    let attacker = Attacker::begin((attack.victims)(&env));
    let begun = Instant::now();
    let (mut runs, mut reported) = (0, 0);
    while begun.elapsed() < Duration::from_secs(seconds) {
        let options = OPTIONS[runs % OPTIONS.len()];
        if attack.onto_new && runs % 2 == 1 {
            throw_away(&env, runs);
        }
        let run =
            env.pcopy(["-j8", "-q", "--update=all", "-T", "src", "dst"].iter().chain(options));
        attacker.while_paused(|| {
            let fits = run.status.code().is_some_and(|code| CODES.contains(&code));
            assert!(fits, "{}", run.story());
            // A directory of the copy may be where the attacker left it.
            let places = ["dst", ".dst.pcopy-partial", "attic"].map(|place| env.path(place));
            let leaked = marked(&places);
            assert!(leaked.is_empty(), "{leaked:?} after {runs} runs\n{}", run.story());
            let after = snapshot(&env.path("outside"));
            assert_eq!(after, before, "after {runs} runs\n{}", run.story());
        });
        reported += run.stderr.lines().count();
        runs += 1;
    }
    let swaps = attacker.end();

    let tries = leaks_from_a_simple_copier(attack.victims);
    println!(
        "{}: {seconds} s, {runs} runs, {swaps:?}, {reported} failures; a simple copier leaks in run {tries}",
        attack.name
    );
    assert!(reported > 0 || swaps.lost > 0, "no run of {runs} met the attacker: {swaps:?}");
}

/// Moves the target away, so that the next run creates a new one.
fn throw_away(env: &Sandbox, number: usize) {
    for name in ["dst", ".dst.pcopy-partial"] {
        let trash = env.path(format!("trash/{name}-{number}"));
        if fs::rename(env.path(name), &trash).is_ok() {
            // The attacker may still exchange entries in it: what remains is removed with the sandbox.
            let _: std::io::Result<()> = fs::remove_dir_all(trash);
        }
    }
}

/// Makes the same attack on a copier that opens entries by their paths. Returns the number of the run in
/// which the copier read or modified an entry outside.
fn leaks_from_a_simple_copier(victims: fn(&Sandbox) -> Vec<Victim>) -> usize {
    let env = Sandbox::new();
    plant(&env);
    let (source, target) = (env.path("src"), env.path("dst"));
    simple_copy(&source, &target);
    let before = snapshot(&env.path("outside"));
    let attacker = Attacker::begin(victims(&env));
    let begun = Instant::now();
    let mut runs = 0;
    let is_unharmed = || {
        marked(std::slice::from_ref(&target)).is_empty() && snapshot(&env.path("outside")) == before
    };
    while attacker.while_paused(is_unharmed) {
        assert!(begun.elapsed() < HANG, "the attack is too weak for a simple copier, {runs} runs");
        simple_copy(&source, &target);
        runs += 1;
    }
    attacker.end();
    runs
}

/// Copies by inspecting each entry and then opening it by its path. Ignores failures.
fn simple_copy(from: &Path, to: &Path) {
    let Ok(metadata) = fs::symlink_metadata(from) else { return };
    if metadata.is_file() {
        let _: std::io::Result<u64> = fs::copy(from, to);
    } else if metadata.is_dir() {
        let _: std::io::Result<()> = fs::create_dir_all(to);
        for entry in fs::read_dir(from).into_iter().flatten().flatten() {
            simple_copy(&entry.path(), &to.join(entry.file_name()));
        }
    }
}
