//! Commands that nobody thought of, and the world in which they are given.

use crate::common::contents;
use crate::rules::*;
use crate::trees::{self, Things};
use crate::world::{Bytes, Node, What, World};
use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::select;
use std::path::Path;

/// The words that belong to the operands, these, and the folder of the target that meets `src`.
type Form = (&'static [Word], &'static [&'static str], &'static str);

/// `src` and `two` are folders, `f` is a file, `l` a symlink to `src`.
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
    /// Whether there is no target yet, if it need not be there.
    is_new: bool,
    no_matter: Vec<&'static str>,
}

pub(crate) fn case() -> impl Strategy<Value = Case> {
    let trees = (trees::source(), trees::source(), trees::target());
    let words = vec(select(WORDS.to_vec()), 0..6);
    let no_matter = vec(select(NO_MATTER.to_vec()), 0..3);
    (trees, words, 0..FORMS.len(), weighted(0.2, Just(())), no_matter)
        .prop_map(|((source, two, target), words, form, is_new, no_matter)| Case {
            source,
            two,
            target,
            words,
            form,
            is_new: is_new.is_some(),
            no_matter,
        })
        .prop_filter("makes no sense", |case| case.makes_sense())
}

impl Case {
    pub(crate) fn rules(&self) -> Rules {
        Rules::of(&[&self.words[..], FORMS[self.form].0].concat())
    }

    /// All words but the operands.
    pub(crate) fn options(&self) -> impl Iterator<Item = &'static str> {
        let said = self.words.iter().chain(FORMS[self.form].0).map(|word| word.0);
        said.chain(self.no_matter.iter().copied())
    }

    /// The sources, and the target.
    pub(crate) fn operands(&self) -> (&'static [&'static str], &'static str) {
        let (target, sources) = FORMS[self.form].1.split_last().unwrap();
        (sources, target)
    }

    /// The world before the command is given.
    pub(crate) fn before(&self, me: (u32, u32)) -> World {
        let (rules, (sources, _)) = (self.rules(), self.operands());
        let folder = Node { what: What::Dir, mode: 0o750, owner: me, time: Some((50, 7)), file: 0 };
        let mut world = World::new();
        let is_certain = rules.mode == Mode::Kept && rules.times && !rules.backups;
        let may_link = is_certain || rules.update != Update::Differing || !rules.links;
        for (root, things) in [("src", &self.source), ("two", &self.two)] {
            world.insert(root.into(), folder.clone());
            // The manual does not say whether names that symlinks lead to stay one file.
            let may_link = may_link && !rules.follows(false);
            trees::add(&mut world, Path::new(root), things, None, may_link);
        }
        let has_links = has_links(&world) || rules.joins();
        let (link, file) = (What::Symlink("src".into()), What::File(Bytes(contents(b"f", 6))));
        world.insert("l".into(), Node { what: link, mode: 0o777, file: 1001, ..folder.clone() });
        world.insert("f".into(), Node { what: file, mode: 0o640, file: 1002, ..folder.clone() });
        if self.is_new && sources.len() == 1 && !rules.parents {
            return world;
        }
        world.insert("dst".into(), folder.clone());
        let meets = Path::new(FORMS[self.form].2);
        world.entry(meets.into()).or_insert(folder);
        let mut things = self.target.clone();
        if has_links {
            // With names of one file, which of those that seem complete remains is chance; so only
            // those do that are.
            things.iter_mut().for_each(|(_, thing)| thing.be_of_another_time());
        }
        if rules.way == Way::HardLink {
            things.iter_mut().for_each(|(_, thing)| thing.be_the_source_itself());
        }
        // Old names of one file stay one while they are replaced one by one, not while they are mended.
        let may_link = !has_links && rules.update != Update::Differing && rules.way == Way::Copy;
        trees::add(&mut world, meets, &things, Some(Path::new("src")), may_link);
        world
    }

    /// Whether the command means something, and the manual says what.
    fn makes_sense(&self) -> bool {
        let (rules, (sources, target)) = (self.rules(), self.operands());
        let before = self.before((0, 0));
        let are_there = sources.iter().all(|source| before.contains_key(Path::new(source)));
        // What a symlink would say is relative to itself, not to us, or has slashes that nobody promises.
        let is_plain = !rules.parents && sources.iter().all(|source| !source.contains('/'));
        let can_be_said = rules.way != Way::Symlink || is_plain;
        // cp goes through a symlink that stands for a folder of --parents; nobody promises that.
        let mut folders = sources.iter().flat_map(|source| Path::new(source).ancestors().skip(1));
        let is_symlink =
            |folder| before.get(&Path::new(target).join(folder)).is_some_and(Node::is_symlink);
        let leads_away = rules.parents && folders.any(is_symlink);
        // Of the named ones alone cp makes one file only if they come before the others.
        let joins_some = rules.ends && rules.follows(true) && !rules.follows(false);
        are_there && can_be_said && !leads_away && !joins_some && !rules.contradict()
    }
}

fn has_links(world: &World) -> bool {
    let files = || world.values().filter(|node| !node.is_dir());
    files().any(|node| files().filter(|other| other.file == node.file).count() > 1)
}
