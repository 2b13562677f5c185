//! pcopy uses the terms of its field. `fixtures/replaced_words.txt` lists the words that it does not use.

use crate::common::*;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// A word or phrase that pcopy does not use, and its replacement.
struct Replaced {
    words: String,
    instead: String,
}

/// The list: the words that are replaced, and the places where one of them is allowed.
struct List {
    replaced: Vec<Replaced>,
    lawful: Vec<(String, String)>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn list() -> List {
    let text = fs::read_to_string(root().join("fixtures/replaced_words.txt")).unwrap();
    let lines = || text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let replaced: Vec<Replaced> = lines()
        .filter_map(|line| line.split_once(" -> "))
        .map(|(words, instead)| Replaced { words: words.into(), instead: instead.into() })
        .collect();
    let lawful = lines()
        .filter(|line| !line.contains(" -> "))
        .map(|line| line.split_once(": ").unwrap())
        .map(|(file, text)| (file.to_owned(), text.to_owned()))
        .collect();
    assert!(replaced.len() > 30, "the list was not found");
    List { replaced, lawful }
}

/// Whether `text`, in lower case, contains `words` with no letter or digit directly before or after them.
fn has_words(text: &str, words: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric();
    text.match_indices(words).any(|(at, _)| {
        let before = text[..at].chars().next_back().is_some_and(is_word);
        let behind = text[at + words.len()..].chars().next().is_some_and(is_word);
        !before && !behind
    })
}

impl List {
    /// Returns complaints about the lines of a text. `name` is the file or command that the text comes from.
    fn complaints(&self, name: &str, text: &str) -> String {
        let mut all = String::new();
        for (number, line) in (1..).zip(text.lines()) {
            let lower = line.to_lowercase();
            let is_lawful =
                |(file, text): &(String, String)| name.ends_with(&**file) && line.contains(&**text);
            if self.lawful.iter().any(is_lawful) {
                continue;
            }
            for Replaced { words, instead } in &self.replaced {
                if has_words(&lower, words) {
                    writeln!(all, "{name}:{number}: '{words}' -> {instead}: {line}").unwrap();
                }
            }
        }
        all
    }
}

fn files(below: &str, extensions: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![root().join(below)];
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|found| extensions.iter().any(|e| found == *e)) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn check_files(below: &[&str]) {
    let list = list();
    let mut all = String::new();
    for path in below.iter().flat_map(|below| files(below, &["rs", "md", "toml"])) {
        let name = path.strip_prefix(root()).unwrap().to_str().unwrap();
        all += &list.complaints(name, &fs::read_to_string(&path).unwrap());
    }
    assert!(all.is_empty(), "\n{all}");
}

#[test]
fn sources_use_the_words_of_the_field() {
    check_files(&["src", "crates"]);
}

#[test]
fn documents_use_the_words_of_the_field() {
    check_files(&["README.md", "ARCHITECTURE.md", "docs"]);
}

#[test]
fn help_uses_the_words_of_the_field() {
    let (list, env) = (list(), Sandbox::new());
    let mut all = String::new();
    for arguments in [&["-h"][..], &["--help"], &["bench", "-h"], &["bench", "--help"]] {
        let run = env.pcopy(arguments);
        all += &list.complaints(&arguments.join(" "), &run.stdout);
    }
    assert!(all.is_empty(), "\n{all}");
}

#[test]
fn test_names_use_the_words_of_the_field() {
    let list = list();
    let mut all = String::new();
    for path in ["tests", "src", "crates"].iter().flat_map(|below| files(below, &["rs"])) {
        let text = fs::read_to_string(&path).unwrap();
        let names = text.lines().filter_map(|line| {
            line.trim().strip_prefix("fn ")?.split_once('(').map(|(name, _)| name.replace('_', " "))
        });
        let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        all += &list.complaints(&name, &names.collect::<Vec<_>>().join("\n"));
    }
    assert!(all.is_empty(), "\n{all}");
}

#[test]
fn a_replaced_word_is_found_in_any_case_and_as_a_whole_word_only() {
    let list = list();

    assert_eq!(list.complaints("x.md", "a Folder of files").lines().count(), 1);
    assert_eq!(list.complaints("x.md", "two folders, a wish").lines().count(), 2);
    assert!(list.complaints("x.md", "the processorless machine").is_empty());
}
