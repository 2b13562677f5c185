//! The trees to copy, by name: what is in each of them, and in which order it is made.
//!
//! A tree follows from its name, a seed and a scale alone. Nothing is made here; see `grow`.

use super::random::Random;

/// A tree by its name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Name {
    /// 100,000 small files in 1,000 folders.
    Small,
    /// 50,000 files of 1 KB in one folder.
    Wide,
    /// 1,000,000 empty files in one folder.
    Empty,
    /// 20,000 folders in three levels, with one file each.
    Deep,
    /// One file of 1.2 GB.
    Big,
    /// 20 files of 128 MB.
    Few,
    /// An image of 4 GB with 64 MB of data in it.
    Sparse,
    /// 20,000 files with three names each, in different folders.
    Links,
    /// One small file.
    Tiny1,
    /// Ten small files.
    Tiny10,
    /// A hundred small files.
    Tiny100,
    /// 1,000 small folders; then a wide one and a large file, which sort last.
    Skewed,
    /// What looks like somebody's sources.
    Source,
}

/// All trees, by the names that users give.
pub const ALL: [(&str, Name); 13] = [
    ("small", Name::Small),
    ("wide", Name::Wide),
    ("empty", Name::Empty),
    ("deep", Name::Deep),
    ("big", Name::Big),
    ("few", Name::Few),
    ("sparse", Name::Sparse),
    ("links", Name::Links),
    ("tiny1", Name::Tiny1),
    ("tiny10", Name::Tiny10),
    ("tiny100", Name::Tiny100),
    ("skewed", Name::Skewed),
    ("source", Name::Source),
];

/// Something to be made under a path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Entry {
    /// A folder.
    Folder,
    /// A file of this size, whose bytes are the stream of this number.
    File {
        /// Its size.
        bytes: u64,
        /// Which stream.
        stream: u64,
        /// Whether it may be executed.
        program: bool,
    },
    /// A file with holes: data only in pieces of this size at these positions.
    Image {
        /// Its size, holes and all.
        bytes: u64,
        /// Which stream.
        stream: u64,
        /// The size of each piece of data.
        piece: u64,
        /// Where they begin, in order.
        at: Vec<u64>,
    },
    /// A symlink with this text.
    Symlink(String),
    /// One more name of the file with this path.
    Link(String),
}

/// A tree to be made.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Tree {
    /// Which.
    pub name: Name,
    /// What its bytes, and sizes where they vary, follow from.
    pub seed: u64,
    /// How many entries it has in proportion to the usual (`big` and `sparse`: bytes).
    pub scale: f64,
}

impl Name {
    /// The name as users give it.
    pub fn as_str(self) -> &'static str {
        ALL.iter().find(|(_, name)| *name == self).map_or("", |(word, _)| *word)
    }
}

impl Tree {
    /// Calls `make` for each entry, folders before what is in them, until that fails.
    pub fn each<E>(&self, mut make: impl FnMut(&str, Entry) -> Result<(), E>) -> Result<(), E> {
        let make = &mut Maker { make: &mut make, seed: self.seed, stream: 0 };
        match self.name {
            Name::Small => self.small(make),
            Name::Wide => make.files("", self.scaled(50_000), 1024),
            Name::Empty => make.files("", self.scaled(1_000_000), 0),
            Name::Deep => self.deep(make),
            Name::Big => make.file("big", self.scaled(1_200_000_000)),
            Name::Few => make.files("", self.scaled(20), 128 << 20),
            Name::Sparse => self.sparse(make),
            Name::Links => self.links(make),
            Name::Tiny1 => make.files("", 1, 1024),
            Name::Tiny10 => make.files("", 10, 1024),
            Name::Tiny100 => make.files("", 100, 1024),
            Name::Skewed => self.skewed(make),
            Name::Source => self.source(make),
        }
    }

    fn scaled(&self, number: u64) -> u64 {
        ((number as f64 * self.scale).round() as u64).max(1)
    }

    fn small<E>(&self, make: &mut Maker<'_, E>) -> Result<(), E> {
        let (files, folders) = (self.scaled(100_000), self.scaled(1000));
        let mut sizes = Random::new(self.seed, u64::MAX);
        for folder in 0..folders {
            let path = format!("folder-{folder:04}");
            make.folder(&path)?;
            // The files are dealt out evenly, to the last one.
            for number in files * folder / folders..files * (folder + 1) / folders {
                make.file(&format!("{path}/file-{number:06}"), sizes.size(1500.0, 0.8))?;
            }
        }
        Ok(())
    }

    fn deep<E>(&self, make: &mut Maker<'_, E>) -> Result<(), E> {
        let mut left = self.scaled(20_000);
        // So many in each folder that three levels are enough and no fewer would be.
        let each = (1..).find(|each| each + each * each + each * each * each >= left).unwrap_or(1);
        let mut folder = |path: &str| {
            let more = left > 0;
            left -= u64::from(more);
            more.then(|| make.folder(path).and_then(|()| make.file(&format!("{path}/file"), 1024)))
                .transpose()
        };
        for a in 0..each {
            folder(&format!("a{a:02}"))?;
            for b in 0..each {
                folder(&format!("a{a:02}/b{b:02}"))?;
                for c in 0..each {
                    folder(&format!("a{a:02}/b{b:02}/c{c:02}"))?;
                }
            }
        }
        Ok(())
    }

    fn sparse<E>(&self, make: &mut Maker<'_, E>) -> Result<(), E> {
        const PIECE: u64 = 64 << 10;
        let places = self.scaled(4 << 30) / PIECE;
        let mut random = Random::new(self.seed, u64::MAX);
        // One piece somewhere in each stretch of 64.
        let at = (0..places / 64).map(|stretch| (stretch * 64 + random.below(64)) * PIECE);
        let bytes = places.max(1) * PIECE;
        let entry =
            Entry::Image { bytes, stream: make.next_stream(), piece: PIECE, at: at.collect() };
        (make.make)("image", entry)
    }

    fn links<E>(&self, make: &mut Maker<'_, E>) -> Result<(), E> {
        const FOLDERS: u64 = 100;
        for kind in ["first", "second", "third"] {
            make.folder(kind)?;
            for folder in 0..FOLDERS {
                make.folder(&format!("{kind}/{folder:02}"))?;
            }
        }
        for number in 0..self.scaled(20_000) {
            let first = format!("first/{:02}/file-{number:05}", number % FOLDERS);
            make.file(&first, 1024)?;
            // Other neighbours in each folder.
            let second = format!("second/{:02}/name-{number:05}", number / FOLDERS % FOLDERS);
            let third = format!("third/{:02}/alias-{number:05}", number * 7 % FOLDERS);
            for name in [second, third] {
                (make.make)(&name, Entry::Link(first.clone()))?;
            }
        }
        Ok(())
    }

    fn skewed<E>(&self, make: &mut Maker<'_, E>) -> Result<(), E> {
        for number in 0..self.scaled(1000) {
            let path = format!("folder-{number:04}");
            make.folder(&path)?;
            make.files(&format!("{path}/"), 10, 1024)?;
        }
        make.folder("y-wide")?;
        make.files("y-wide/", self.scaled(30_000), 1024)?;
        make.file("z-large", self.scaled(256 << 20))
    }

    fn source<E>(&self, make: &mut Maker<'_, E>) -> Result<(), E> {
        const LEVELS: usize = 6;
        const ENDINGS: [&str; 5] = ["c", "h", "rs", "md", "txt"];
        let mut random = Random::new(self.seed, u64::MAX);
        let mut folders: Vec<(String, usize)> = vec![(String::new(), 0)];
        for number in 1..=self.scaled(3500) {
            // The first six go down to the last level, so that even a small tree has it.
            let below = |&(_, level): &(String, usize)| level < LEVELS;
            let mut parent = folders.len() - 1;
            if number > LEVELS as u64 {
                parent = random.below(folders.len() as u64) as usize;
                parent = (0..=parent).rfind(|&at| below(&folders[at])).unwrap_or(0);
            }
            let (path, level) = &folders[parent];
            let path = format!("{path}part-{number}/");
            let level = level + 1;
            make.folder(path.trim_end_matches('/'))?;
            folders.push((path, level));
        }
        for (folder, _) in &folders {
            let mut last = None;
            for number in 0..random.below(18) {
                let ending = ENDINGS[random.below(5) as usize];
                let path = format!("{folder}unit-{number}.{ending}");
                match last {
                    Some(text) if random.below(40) == 0 => {
                        (make.make)(&path, Entry::Symlink(text))?
                    }
                    _ => {
                        let (bytes, program) = (random.size(4000.0, 1.5), random.below(20) == 0);
                        let stream = make.next_stream();
                        (make.make)(&path, Entry::File { bytes, stream, program })?;
                    }
                }
                last = Some(format!("unit-{number}.{ending}"));
            }
        }
        Ok(())
    }
}

/// Hands entries on, and gives each file a stream of bytes of its own.
struct Maker<'a, E> {
    make: &'a mut dyn FnMut(&str, Entry) -> Result<(), E>,
    seed: u64,
    stream: u64,
}

impl<E> Maker<'_, E> {
    fn next_stream(&mut self) -> u64 {
        self.stream += 1;
        Random::new(self.seed, self.stream).number()
    }

    fn folder(&mut self, path: &str) -> Result<(), E> {
        (self.make)(path, Entry::Folder)
    }

    fn file(&mut self, path: &str, bytes: u64) -> Result<(), E> {
        let stream = self.next_stream();
        (self.make)(path, Entry::File { bytes, stream, program: false })
    }

    fn files(&mut self, before: &str, number: u64, bytes: u64) -> Result<(), E> {
        (0..number).try_for_each(|file| self.file(&format!("{before}file-{file:07}"), bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn entries(name: Name, seed: u64, scale: f64) -> BTreeMap<String, Entry> {
        let mut found = BTreeMap::new();
        let tree = Tree { name, seed, scale };
        let end: Result<(), ()> = tree.each(|path, entry| {
            let parent = path.rsplit_once('/').map(|(parent, _)| found.get(parent));
            assert!(
                parent.is_none_or(|parent| parent == Some(&Entry::Folder)),
                "{path}: no folder"
            );
            assert!(found.insert(path.to_owned(), entry).is_none(), "{path} twice");
            Ok(())
        });
        assert_eq!(end, Ok(()));
        found
    }

    /// How many folders, files and others there are, and how many bytes the files have.
    fn count(entries: &BTreeMap<String, Entry>) -> (usize, usize, usize, u64) {
        let (mut folders, mut files, mut others, mut all) = (0, 0, 0, 0);
        for entry in entries.values() {
            match entry {
                Entry::Folder => folders += 1,
                Entry::File { bytes, .. } | Entry::Image { bytes, .. } => {
                    files += 1;
                    all += bytes;
                }
                Entry::Symlink(_) | Entry::Link(_) => others += 1,
            }
        }
        (folders, files, others, all)
    }

    #[test]
    fn each_tree_has_what_its_name_promises() {
        for (name, scale, expected) in [
            (Name::Wide, 0.01, (0, 500, 0, 500 * 1024)),
            (Name::Empty, 0.001, (0, 1000, 0, 0)),
            (Name::Deep, 0.01, (200, 200, 0, 200 * 1024)),
            (Name::Deep, 1.0, (20_000, 20_000, 0, 20_000 * 1024)),
            (Name::Big, 1.0, (0, 1, 0, 1_200_000_000)),
            (Name::Few, 1.0, (0, 20, 0, 20 << 27)),
            (Name::Sparse, 1.0, (0, 1, 0, 4 << 30)),
            (Name::Links, 0.01, (303, 200, 400, 200 * 1024)),
            (Name::Tiny1, 1.0, (0, 1, 0, 1024)),
            (Name::Tiny10, 9.0, (0, 10, 0, 10 * 1024)),
            (Name::Tiny100, 1.0, (0, 100, 0, 100 * 1024)),
        ] {
            assert_eq!(count(&entries(name, 1, scale)), expected, "{name:?}");
        }
        let (folders, files, _, bytes) = count(&entries(Name::Small, 1, 0.1));
        assert_eq!((folders, files), (100, 10_000));
        assert!((1500..2500).contains(&(bytes / 10_000)), "{bytes}");
    }

    #[test]
    fn the_image_has_64_mib_of_data_in_pieces_that_do_not_touch_one_another_twice() {
        let image = entries(Name::Sparse, 1, 1.0).remove("image");
        let Some(Entry::Image { bytes, piece, at, .. }) = image else { panic!("{image:?}") };
        assert_eq!((at.len() as u64 * piece, piece), (64 << 20, 64 << 10));
        assert!(at.windows(2).all(|two| two[0] + piece <= two[1]) && at[1023] + piece <= bytes);
    }

    #[test]
    fn what_is_large_in_the_skewed_tree_sorts_last() {
        let entries = entries(Name::Skewed, 1, 0.01);
        assert_eq!(count(&entries).0, 11);
        let last = entries.last_key_value().unwrap();
        assert!(matches!(last.1, Entry::File { bytes: 2_684_355, .. }), "{last:?}");
        assert_eq!(entries.keys().filter(|path| path.starts_with("y-wide/")).count(), 300);
    }

    #[test]
    fn sources_are_six_levels_deep_with_symlinks_and_programs_even_in_a_small_tree() {
        let entries = entries(Name::Source, 1, 0.02);
        let depth = |path: &String| path.matches('/').count();
        assert_eq!(entries.keys().map(depth).max(), Some(6), "a file in the sixth folder");
        assert!(count(&entries).2 > 0);
        let program = |entry: &Entry| matches!(entry, Entry::File { program: true, .. });
        assert!(entries.values().any(program));
    }

    #[test]
    fn a_tree_follows_from_its_seed() {
        for (_, name) in ALL {
            let tree = |seed| entries(name, seed, 0.001);
            assert!(tree(1) == tree(1), "{name:?}");
            assert!(tree(1) != tree(2), "{name:?}: another seed, the same tree");
        }
    }
}
