//! The structure of the program, checked in its sources: which module may use which, and which words may
//! occur where.
//!
//! The tests read the sources as text, so the rules also hold for code that this machine does not compile
//! (loom, tests). Comments and strings are ignored.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The layers, from the highest to the lowest. A module may use its own layer and lower layers.
const LAYERS: [&[&str]; 8] = [
    &["main", "cli"],
    &["ui", "bench"],
    &["parent"],
    &["copier"],
    &["outcome"],
    &["plan", "options", "wanted_attributes", "policy", "staging"],
    &["ipc", "manifest", "plan_file", "hash", "selection"],
    &["error", "mode_changes", "sanitize", "shell_quote"],
];

/// The files in which each external crate may be named. A directory ends in a slash.
const PLACES_OF_CRATES: [(&str, &[&str]); 14] = [
    ("clap", &["cli.rs", "cli/"]),
    (
        "walkdir",
        &[
            "plan/deletion_guard.rs",
            "plan/symlinked_dirs.rs",
            "bench/tree_stats.rs",
            "bench/tree_diff.rs",
            "bench/workdir.rs",
            "bench/outdate.rs",
        ],
    ),
    ("plotters", &["bench/chart/render.rs"]),
    ("dejavu", &["bench/chart/render.rs"]),
    ("png", &["bench/chart/render.rs"]),
    ("serde_json", &["bench/json_report.rs", "plan_file/"]),
    ("indicatif", &["ui/progress.rs"]),
    ("blake3", &["hash.rs"]),
    ("sha2", &["hash.rs"]),
    ("anyhow", &["main.rs"]),
    ("strsim", &["cli/usage_error.rs"]),
    ("unicode_width", &["ui/progress.rs"]),
    ("regex", &["selection/"]),
    ("jiff", &["cli/native/quantities.rs"]),
];

/// The source directories of the packages that the program uses.
const PACKAGES: [&str; 2] = ["crates/ring/src", "crates/sys/src"];

/// Returns every source file of the program by its path below `src`, without comments and without the
/// contents of strings.
fn sources() -> BTreeMap<String, String> {
    let found = sources_below("src");
    assert!(found.len() > 30, "the sources were not found");
    found
}

/// Like [`sources`], with the files of the packages, too, by their paths in the repository.
fn sources_of_all() -> BTreeMap<String, String> {
    let mut found = sources();
    for dir in PACKAGES {
        let files = sources_below(dir);
        assert!(files.len() > 5, "the sources of {dir} were not found");
        found.extend(files.into_iter().map(|(file, code)| (format!("{dir}/{file}"), code)));
    }
    found
}

fn sources_below(dir: &str) -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(dir);
    let mut found = BTreeMap::new();
    let mut waiting = vec![root.clone()];
    while let Some(dir) = waiting.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
                found.insert(name, code_of(&fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found
}

/// Blanks comments and the contents of strings and characters. The number of lines does not change.
fn code_of(text: &str) -> String {
    let mut code = String::new();
    let mut rest = text;
    let blank = |part: &str| part.chars().filter(|&c| c == '\n').collect::<String>();
    while let Some(c) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(hashes) = raw_string(rest) {
            let end = format!("\"{}", "#".repeat(hashes));
            let start = 2 + hashes;
            start + rest[start..].find(&end).unwrap() + end.len()
        } else if c == '"' {
            quoted(rest, '"')
        } else if c == '\'' && is_character(rest) {
            quoted(rest, '\'')
        } else {
            // A whole word at once, so that the r of `for"` does not look like a raw string's.
            let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            let length = word.max(c.len_utf8());
            code.push_str(&rest[..length]);
            rest = &rest[length..];
            continue;
        };
        code.push_str(&blank(&rest[..length]));
        rest = &rest[length..];
    }
    code
}

fn raw_string(rest: &str) -> Option<usize> {
    let after = rest.strip_prefix('r')?;
    let hashes = after.chars().take_while(|&c| c == '#').count();
    after[hashes..].starts_with('"').then_some(hashes)
}

/// Whether a quote begins a character literal and not a lifetime.
fn is_character(rest: &str) -> bool {
    let mut after = rest.chars().skip(1);
    match after.next() {
        Some('\\') => true,
        Some(_) => after.next() == Some('\''),
        None => false,
    }
}

fn quoted(rest: &str, end: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == end => return at + c.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}

/// Returns the top-level module of the crate to which a file belongs.
fn module_of(file: &str) -> &str {
    let first = file.split('/').next().unwrap();
    first.strip_suffix(".rs").unwrap_or(first)
}

fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// Returns all top-level modules of the crate that a piece of code names.
fn modules_used(file: &str, code: &str) -> Vec<String> {
    let root = if module_of(file) == "main" { "pcopy::" } else { "crate::" };
    let mut used = Vec::new();
    for (at, _) in code.match_indices(root) {
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let after = &code[at + root.len()..];
        if let Some(group) = after.strip_prefix('{') {
            // `use pcopy::{cli, plan::Plan}`: the first word of each member of the group.
            let mut depth = 0;
            let mut begins = true;
            for (at, c) in group.char_indices() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => begins = true,
                    c if begins && !c.is_whitespace() => {
                        used.push(first_word(&group[at..]));
                        begins = false;
                    }
                    _ => {}
                }
            }
        } else {
            used.push(first_word(after));
        }
    }
    used
}

fn first_word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// Returns the lines for which `has` is true, each with its place as `file:line`.
fn places(sources: &BTreeMap<String, String>, has: impl Fn(&str) -> bool) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (file, code) in sources {
        for (number, line) in code.lines().enumerate().filter(|(_, line)| has(line)) {
            found
                .push((file.clone(), format!("{}:{}: {}", path_of(file), number + 1, line.trim())));
        }
    }
    found
}

/// Returns the path in the repository of a file of [`sources_of_all`].
fn path_of(file: &str) -> String {
    if file.starts_with("crates/") { file.to_owned() } else { format!("src/{file}") }
}

fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let inside = |c: char| c.is_alphanumeric() || c == '_';
        !line[..at].ends_with(inside) && !line[at + word.len()..].starts_with(inside)
    })
}

fn is_below(file: &str, places: &[&str]) -> bool {
    places.iter().any(|place| file == *place || (place.ends_with('/') && file.starts_with(place)))
}

#[test]
fn every_module_belongs_to_a_layer() {
    let lib = &sources()["lib.rs"];
    let listed: Vec<_> = lib
        .lines()
        .filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod "))
        .collect();
    assert!(listed.len() > 10, "{listed:?}");
    for module in listed.iter().filter_map(|module| module.strip_suffix(';')) {
        assert!(layer_of(module).is_some(), "give `{module}` a layer in tests/it/layers.rs");
    }
}

#[test]
fn a_module_uses_only_its_own_layer_and_those_below() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for (file, code) in sources().iter().filter(|(file, _)| *file != "lib.rs") {
        let module = module_of(file);
        let layer = layer_of(module).unwrap_or_else(|| panic!("{module} has no layer"));
        for used in modules_used(file, code) {
            let below = layer_of(&used).unwrap_or_else(|| panic!("src/{file} uses {used}"));
            seen += 1;
            if below < layer {
                wrong.push(format!("src/{file} uses crate::{used}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(seen > 50, "only {seen} uses were found: the test does not look right");
}

/// Collects the paths that the tree of a `use` names: `a::{b, c::d}` names `a::b` and `a::c::d`.
fn leaves(tree: &str, before: &str, found: &mut Vec<String>) {
    let tree = tree.trim();
    let Some(open) = tree.find('{') else {
        let path = tree.split(" as ").next().unwrap().trim();
        found.extend((!path.is_empty()).then(|| format!("{before}{path}")));
        return;
    };
    let head = format!("{before}{}", &tree[..open]);
    let inner = &tree[open + 1..tree.rfind('}').unwrap()];
    let (mut depth, mut start) = (0, 0);
    for (at, c) in inner.char_indices().chain([(inner.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                leaves(&inner[start..at], &head, found);
                start = (at + 1).min(inner.len());
            }
            _ => {}
        }
    }
}

/// Returns which modules each module uses. A module is a file, given by its path without `.rs` or `/mod.rs`.
/// A directory's `mod.rs` and the files below it may use each other.
fn module_graph() -> BTreeMap<String, Vec<String>> {
    let name = |file: &str| {
        let file = file.strip_suffix(".rs").unwrap();
        file.strip_suffix("/mod").unwrap_or(file).to_owned()
    };
    let files: BTreeMap<String, String> =
        sources().into_iter().map(|(file, code)| (name(&file), code)).collect();
    let is_below = |one: &str, other: &str| one.starts_with(&format!("{other}/"));
    let uses = |module: &String, code: &String| {
        let code = code.split("mod tests {").next().unwrap().replace('\n', " ");
        let mut paths = Vec::new();
        let is_inside_word = |c: char| c.is_alphanumeric() || c == '_'; // of "cause "
        let statements =
            code.match_indices("use ").filter(|(at, _)| !code[..*at].ends_with(is_inside_word));
        for (at, statement) in statements {
            leaves(code[at + statement.len()..].split(';').next().unwrap(), "", &mut paths);
        }
        let mut used = Vec::new();
        for path in paths {
            let parts: Vec<&str> = path.split("::").map(str::trim).collect();
            let ups = parts.iter().take_while(|part| **part == "super").count();
            let mut place: Vec<&str> = match parts[0] {
                "crate" => parts[1..].to_vec(),
                "super" => {
                    let own: Vec<&str> = module.split('/').collect();
                    [&own[..own.len() - ups], &parts[ups..]].concat()
                }
                _ => continue,
            };
            while !place.is_empty() && !files.contains_key(&place.join("/")) {
                place.pop();
            }
            let place = place.join("/");
            let is_other =
                place != *module && !is_below(module, &place) && !is_below(&place, module);
            if !place.is_empty() && is_other && !used.contains(&place) {
                used.push(place);
            }
        }
        used
    };
    files.iter().map(|(module, code)| (module.clone(), uses(module, code))).collect()
}

#[test]
fn no_modules_use_each_other_in_a_circle() {
    let mut graph = module_graph();
    assert!(graph.values().map(Vec::len).sum::<usize>() > 300, "the uses were not found");

    // Modules that use none of those that are left cannot be in a circle.
    loop {
        let left: Vec<String> = graph.keys().cloned().collect();
        graph.retain(|_, used| used.iter().any(|module| left.contains(module)));
        if graph.len() == left.len() {
            break;
        }
    }

    let left: Vec<&String> = graph.keys().collect();
    assert!(left.is_empty(), "in circles, or users of these: {left:?}");
}

#[test]
fn the_paths_of_a_use_are_read() {
    let mut found = Vec::new();
    leaves("crate::a::{self, b::{C, D}, e as f}", "", &mut found);
    assert_eq!(found, ["crate::a::self", "crate::a::b::C", "crate::a::b::D", "crate::a::e"]);
}

#[test]
fn the_benchmark_shares_no_code_with_what_it_measures() {
    let sources = sources();
    let own = sources.iter().filter(|(file, _)| file.starts_with("bench/"));
    let used: Vec<_> = own.flat_map(|(file, code)| modules_used(file, code)).collect();
    assert!(used.contains(&"sanitize".to_owned()), "the test does not look right");
    for module in ["parent", "copier", "plan", "ipc"] {
        assert!(!used.contains(&module.to_owned()), "src/bench uses crate::{module}");
    }
}

#[test]
fn each_outside_crate_is_used_in_one_place() {
    let sources = sources();
    for (name, files) in PLACES_OF_CRATES {
        let path = format!("{name}::");
        let used = places(&sources, |line| {
            line.match_indices(&path).any(|(at, _)| {
                !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
            }) || line.trim_start().starts_with(&format!("use {name};"))
                || line.trim_start().starts_with(&format!("pub use {name} as "))
        });
        assert!(!used.is_empty(), "{name} is used nowhere: the test does not look right");
        let wrong: Vec<_> = used.iter().filter(|(file, _)| !is_below(file, files)).collect();
        assert!(wrong.is_empty(), "{name} may only be used in {files:?}:\n{wrong:#?}");
    }
}

#[test]
fn every_dependency_has_its_place() {
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"));
    let manifest = manifest.unwrap();
    let section = manifest.split_once("\n[dependencies]\n").unwrap().1;
    let section = section.split("\n[").next().unwrap();
    for line in section.lines().filter(|line| line.contains('=')) {
        let name = first_word(&line.replace('-', "_"));
        let is_own = name.starts_with("pcopy_"); // used everywhere, instead of what they wrap
        assert!(
            is_own || PLACES_OF_CRATES.iter().any(|(place, _)| *place == name),
            "give {name} its place"
        );
    }
}

#[test]
fn unsafe_code_is_in_sys_and_the_ring_alone() {
    let sources = sources_of_all();
    for root in ["lib.rs", "main.rs"] {
        assert!(sources[root].contains("#![forbid(unsafe_code)]"), "src/{root} allows unsafe code");
    }
    let used = places(&sources, |line| has_word(line, "unsafe"));
    assert!(!used.is_empty(), "the test does not look right");
    let wrong: Vec<_> = used.iter().filter(|(file, _)| !file.starts_with("crates/")).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn nothing_is_left_to_do() {
    let left = places(&sources_of_all(), |line| {
        ["todo!", "unimplemented!", "dbg!"].iter().any(|word| line.contains(word))
    });
    assert!(left.is_empty(), "{left:#?}");
}

#[test]
fn only_main_and_the_screen_print() {
    // Usage errors and help are the command line's own; all else goes through ui/screen.rs.
    let printed = places(&sources_of_all(), |line| {
        ["println!", "eprintln!", "print!", "eprint!"].iter().any(|word| has_word(line, word))
    });
    let wrong: Vec<_> =
        printed.iter().filter(|(file, _)| !is_below(file, &["main.rs", "cli.rs"])).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn only_cli_plan_and_ui_know_which_program_was_started() {
    // Everything else reads a field of the policy, which says what is wanted.
    let places_allowed = ["main.rs", "cli/", "plan/", "ui/", "options.rs", "policy.rs"];
    let used = places(&sources(), |line| has_word(line, "Compat"));
    assert!(!used.is_empty(), "the test does not look right");
    let wrong: Vec<_> = used.iter().filter(|(file, _)| !is_below(file, &places_allowed)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn mode_and_owner_of_a_source_are_read_in_one_place() {
    // `--chmod` and `--chown` change them there, for all that sets or compares them.
    let used = places(&sources(), |line| {
        let reads = ["permissions", "owner", "group"];
        ["source", "read", "operand"].iter().any(|whose| {
            reads.iter().any(|what| line.contains(&format!("{whose}.{what}()")))
                || line.contains(&format!("{whose}.stat.permissions()"))
        })
    });
    assert!(!used.is_empty(), "the test does not look right");
    let allowed = ["wanted_attributes.rs"];
    let wrong: Vec<_> = used.iter().filter(|(file, _)| !is_below(file, &allowed)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn deciding_about_an_entry_changes_nothing() {
    const LOOKS: [&str; 7] = [
        "may_write_at",
        "open_noatime",
        "open_path",
        "read_symlink",
        "stat_at",
        "stat_at_following",
        "stat_fd",
    ];
    for (file, code) in sources().iter().filter(|(file, _)| file.contains("entry/decide/")) {
        let code = code.split("mod tests {").next().unwrap();
        for call in code.split("file::").skip(1).map(first_word).filter(|name| !name.is_empty()) {
            let is_type = call.starts_with(char::is_uppercase);
            assert!(is_type || LOOKS.contains(&&*call), "{file} calls file::{call}");
        }
        for call in code.split("attrs.").skip(1).map(first_word) {
            assert!(
                ["explain_change", "has_time_of", "times_are_reliable", "would_repair"]
                    .contains(&&*call),
                "{file} calls attrs.{call}"
            );
        }
        for word in ["outbox", "file_data", "xattr", "staging"] {
            let line = code.lines().find(|line| has_word(line, word));
            assert_eq!(line, None, "{file} uses {word}");
        }
    }
}

#[test]
fn no_process_starts_a_thread() {
    let mut sources = sources_of_all();
    for code in sources.values_mut() {
        if let Some(tests) = code.find("mod tests {") {
            code.truncate(tests); // what tests do among themselves is theirs
        }
    }
    let started = places(&sources, |line| line.contains("thread::"));
    let wrong: Vec<_> = started
        .iter()
        .filter(|(file, line)| {
            let asks_or_sleeps = ["available_parallelism", "thread::sleep"];
            !is_below(file, &["crates/ring/src/tests/"])
                && !asks_or_sleeps.iter().any(|act| line.contains(act))
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_file_begins_with_a_module_comment() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in sources_of_all().keys().map(|file| path_of(file)) {
        let path: PathBuf = root.join(&file);
        let text = fs::read_to_string(path).unwrap();
        assert!(text.starts_with("//! "), "{file} does not say what it is");
    }
}

#[test]
fn code_is_distinguished_from_comments_and_strings() {
    let code = code_of("a \"b\\\"c\" 'd' // e\n&'f g /* h */ r#\"i\"# '\\'' j");
    assert_eq!(code.split_whitespace().collect::<Vec<_>>(), ["a", "&'f", "g", "j"]);
}
