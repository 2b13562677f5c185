//! Random commands, and the trees on which they run.

use crate::common::contents;
use crate::common::testtree::{Bytes, Node, Tree, What};
use crate::rules::*;
use crate::trees::{self, Things};
use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::select;
use std::path::Path;

/// The options that belong to the operands, the operands, and the directory of the target into which `src` is
/// copied.
type Form = (&'static [Word], &'static [&'static str], &'static str);

/// In these forms `src` and `two` are directories, `f` is a file, and `l` is a symlink to `src`.
const FORMS: [Form; 14] = [
    (&[ONTO], &["src", "dst"], "dst"),
    (&[ONTO], &["src", "dst"], "dst"),
    (&[ONTO], &["src/", "dst"], "dst"),
    (&[], &["src/.", "dst"], "dst"),
    (&[], &["src", "dst"], "dst/src"),
    (&[], &["src/", "dst"], "dst/src"),
    (&[], &["src", "two", "dst"], "dst/src"),
    (&[], &["l/", "dst"], "dst/l"),
    (&[], &["l", "f", "dst"], "dst/l"),
    (&[], &["f", "dst"], "dst/src"),
    (&[ONTO], &["f", "dst"], "dst"),
    (&[STRIP], &["l//", "src/", "dst"], "dst/src"),
    (&[PARENTS], &["src/d", "dst"], "dst/src"),
    (&[PARENTS], &["src/g", "two/d", "src/d/e", "dst"], "dst/src"),
];

#[derive(Clone, Debug)]
pub(crate) struct Case {
    source: Things,
    two: Things,
    target: Things,
    words: Vec<Word>,
    form: usize,
    /// The modes of DST and of the directory into which `src` is copied.
    target_modes: (u32, u32),
    /// Whether the target does not exist yet. Ignored for forms that need an existing target.
    is_new: bool,
    no_matter: Vec<&'static str>,
}

pub(crate) fn case() -> impl Strategy<Value = Case> {
    let trees = (trees::source(), trees::source(), trees::target());
    let words = vec(select(WORDS.to_vec()), 0..6);
    let no_matter = vec(select(NO_MATTER.to_vec()), 0..3);
    let mode = || select(vec![0o750, 0o755, 0o700, 0o1777, 0o2775, 0o2755]);
    let target = ((mode(), mode()), weighted(0.2, Just(())));
    (trees, words, 0..FORMS.len(), target, no_matter)
        .prop_map(|((source, two, target), words, form, (modes, is_new), no_matter)| Case {
            source,
            two,
            target,
            words,
            form,
            target_modes: modes,
            is_new: is_new.is_some(),
            no_matter,
        })
        .prop_filter("makes no sense", |case| case.makes_sense())
}

impl Case {
    pub(crate) fn rules(&self) -> Rules {
        Rules::of(&[&self.words[..], FORMS[self.form].0].concat())
    }

    /// Returns all words but the operands.
    pub(crate) fn options(&self) -> impl Iterator<Item = &'static str> {
        let words = self.words.iter().chain(FORMS[self.form].0).map(|word| word.0);
        words.chain(self.no_matter.iter().copied())
    }

    /// Returns the sources and the target.
    pub(crate) fn operands(&self) -> (&'static [&'static str], &'static str) {
        let (target, sources) = FORMS[self.form].1.split_last().unwrap();
        (sources, target)
    }

    /// Returns the tree before the command. `me` is the user and group that run it.
    pub(crate) fn before(&self, me: (u32, u32)) -> Tree {
        let (rules, (sources, _)) = (self.rules(), self.operands());
        let dir = Node { owner: me, ..Node::new(What::Dir, 0o750, (50, 7)) };
        let mut tree = Tree::new();
        let is_certain = rules.preserves_mode() && rules.times && !rules.backups;
        let may_link = is_certain || rules.update != Update::Differing || !rules.links;
        for (root, things) in [("src", &self.source), ("two", &self.two)] {
            tree.insert(root.into(), dir.clone());
            // The manual does not say whether names that symlinks lead to stay one file.
            let may_link = may_link && !rules.follows(false);
            trees::add(&mut tree, Path::new(root), things, None, may_link);
        }
        let has_links = has_links(&tree) || rules.joins();
        let (link, file) = (What::Symlink("src".into()), What::File(Bytes(contents(b"f", 6))));
        tree.insert("l".into(), Node { what: link, mode: 0o777, file: 1001, ..dir.clone() });
        tree.insert("f".into(), Node { what: file, mode: 0o640, file: 1002, ..dir.clone() });
        if self.is_new && sources.len() == 1 && !rules.parents {
            return tree;
        }
        let (dst, inner) = self.target_modes;
        tree.insert("dst".into(), Node { mode: dst, ..dir.clone() });
        let meets = Path::new(FORMS[self.form].2);
        tree.entry(meets.into()).or_insert(Node { mode: inner, ..dir });
        let mut things = self.target.clone();
        if has_links {
            // Which hard link of those that look up to date remains is chance; so no entry looks so but one
            // that is.
            things.iter_mut().for_each(|(_, thing)| thing.be_of_another_time());
        }
        if rules.way == Way::HardLink {
            things.iter_mut().for_each(|(_, thing)| thing.be_the_source_itself());
        }
        // Existing hard links stay one file while they are replaced one by one, not while they are repaired.
        let may_link = !has_links && rules.update != Update::Differing && rules.way == Way::Copy;
        trees::add(&mut tree, meets, &things, Some(Path::new("src")), may_link);
        tree
    }

    /// Whether the manual defines the result of the command.
    fn makes_sense(&self) -> bool {
        let (rules, (sources, target)) = (self.rules(), self.operands());
        let before = self.before((0, 0));
        let exist = sources.iter().all(|source| before.contains_key(Path::new(source)));
        // The text of a symlink is relative to its own directory, and its slashes are not defined.
        let is_plain = !rules.parents && sources.iter().all(|source| !source.contains('/'));
        let is_defined = rules.way != Way::Symlink || is_plain;
        // cp goes through a symlink in place of a directory of --parents; the manual does not mention it.
        let mut dirs = sources.iter().flat_map(|source| Path::new(source).ancestors().skip(1));
        let is_symlink =
            |dir| before.get(&Path::new(target).join(dir)).is_some_and(Node::is_symlink);
        let leads_away = rules.parents && dirs.any(is_symlink);
        // cp joins operands to hard links only if they come before the other names.
        let joins_some = rules.ends && rules.follows(true) && !rules.follows(false);
        exist && is_defined && !leads_away && !joins_some && !rules.contradict()
    }
}

fn has_links(tree: &Tree) -> bool {
    let files = || tree.values().filter(|node| !node.is_dir());
    files().any(|node| files().filter(|other| other.file == node.file).count() > 1)
}
