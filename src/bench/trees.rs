//! Describes the trees that can be generated: the entries of each tree, and the order in which they are
//! created.
//!
//! The kind, the seed and the scale determine a tree completely. `generate` creates it on disk.

use super::random::Random;

/// The kinds of trees.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TreeKind {
    /// 100,000 small files in 1,000 directories.
    Small,
    /// 50,000 files of 1 KB in one directory.
    Wide,
    /// 1,000,000 empty files in one directory.
    Empty,
    /// 20,000 directories in three levels, with one file each.
    Deep,
    /// One file of 1.2 GB.
    Big,
    /// 20 files of 128 MB.
    Few,
    /// A disk image of 4 GB with 64 MB of data; the rest are holes.
    Sparse,
    /// 20,000 files with three names each, in different directories.
    Links,
    /// One small file.
    Tiny1,
    /// Ten small files.
    Tiny10,
    /// A hundred small files.
    Tiny100,
    /// 1,000 small directories, one wide directory and one large file. The wide directory and the large file
    /// sort last.
    Skewed,
    /// A tree like a source repository: nested directories, files of many sizes, symbolic links.
    Source,
}

/// All kinds of trees, by their names on the command line.
pub const TREES: [(&str, TreeKind); 13] = [
    ("small", TreeKind::Small),
    ("wide", TreeKind::Wide),
    ("empty", TreeKind::Empty),
    ("deep", TreeKind::Deep),
    ("big", TreeKind::Big),
    ("few", TreeKind::Few),
    ("sparse", TreeKind::Sparse),
    ("links", TreeKind::Links),
    ("tiny1", TreeKind::Tiny1),
    ("tiny10", TreeKind::Tiny10),
    ("tiny100", TreeKind::Tiny100),
    ("skewed", TreeKind::Skewed),
    ("source", TreeKind::Source),
];

impl TreeKind {
    /// Returns the name on the command line.
    pub(super) fn as_str(self) -> &'static str {
        TREES.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| *name)
    }
}

/// A tree to generate.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct TreeSpec {
    /// The kind of tree.
    pub kind: TreeKind,
    /// Determines the contents of the files, and their sizes if these vary.
    pub seed: u64,
    /// Multiplies the number of files (for `big` and `sparse`: the number of bytes).
    pub scale: f64,
}

/// An entry of a tree to generate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum TreeEntry {
    /// A directory.
    Directory,
    /// A file full of random bytes.
    File {
        /// The size of the file.
        bytes: u64,
        /// The number of the random stream for the contents.
        stream: u64,
        /// Whether the file has execute permission.
        executable: bool,
    },
    /// A file of holes with some chunks of random bytes.
    SparseFile {
        /// The size of the file, including the holes.
        bytes: u64,
        /// The number of the random stream for the contents.
        stream: u64,
        /// The size of each chunk.
        chunk: u64,
        /// The offset of each chunk, in ascending order.
        offsets: Vec<u64>,
    },
    /// A symbolic link with this target.
    Symlink(String),
    /// A further hard link to the file with this path.
    HardLink(String),
}

impl TreeSpec {
    /// Calls `visit` with the path and the description of each entry. A directory comes before its contents.
    /// Returns the first error that `visit` returns.
    pub(super) fn for_each_entry<E>(
        &self,
        mut visit: impl FnMut(&str, TreeEntry) -> Result<(), E>,
    ) -> Result<(), E> {
        let out = &mut Emitter { visit: &mut visit, seed: self.seed, last_stream: 0 };
        match self.kind {
            TreeKind::Small => self.small(out),
            TreeKind::Wide => out.files("", self.scaled(50_000), 1024),
            TreeKind::Empty => out.files("", self.scaled(1_000_000), 0),
            TreeKind::Deep => self.deep(out),
            TreeKind::Big => out.file("big", self.scaled(1_200_000_000)),
            TreeKind::Few => out.files("", self.scaled(20), 128 << 20),
            TreeKind::Sparse => self.sparse(out),
            TreeKind::Links => self.links(out),
            TreeKind::Tiny1 => out.files("", 1, 1024),
            TreeKind::Tiny10 => out.files("", 10, 1024),
            TreeKind::Tiny100 => out.files("", 100, 1024),
            TreeKind::Skewed => self.skewed(out),
            TreeKind::Source => self.source(out),
        }
    }

    fn scaled(&self, number: u64) -> u64 {
        ((number as f64 * self.scale).round() as u64).max(1)
    }

    fn small<E>(&self, out: &mut Emitter<'_, E>) -> Result<(), E> {
        let (files, directories) = (self.scaled(100_000), self.scaled(1000));
        let mut sizes = Random::new(self.seed, u64::MAX);
        for directory in 0..directories {
            let path = format!("folder-{directory:04}");
            out.directory(&path)?;
            // The files are divided equally; two directories differ by at most one file.
            let (first, end) =
                (files * directory / directories, files * (directory + 1) / directories);
            for number in first..end {
                out.file(&format!("{path}/file-{number:06}"), sizes.size(1500.0, 0.8))?;
            }
        }
        Ok(())
    }

    fn deep<E>(&self, out: &mut Emitter<'_, E>) -> Result<(), E> {
        let mut left = self.scaled(20_000);
        // `each` is the smallest number of subdirectories per directory with which three levels have at least
        // `left` directories.
        let each = (1..).find(|each| each + each * each + each * each * each >= left).unwrap_or(1);
        let mut directory = |path: &str| {
            if left == 0 {
                return Ok(());
            }
            left -= 1;
            out.directory(path)?;
            out.file(&format!("{path}/file"), 1024)
        };
        for a in 0..each {
            directory(&format!("a{a:02}"))?;
            for b in 0..each {
                directory(&format!("a{a:02}/b{b:02}"))?;
                for c in 0..each {
                    directory(&format!("a{a:02}/b{b:02}/c{c:02}"))?;
                }
            }
        }
        Ok(())
    }

    fn sparse<E>(&self, out: &mut Emitter<'_, E>) -> Result<(), E> {
        const CHUNK: u64 = 64 << 10;
        const STRETCH: u64 = 64;
        let chunks = self.scaled(4 << 30) / CHUNK;
        let mut random = Random::new(self.seed, u64::MAX);
        // One of every 64 chunks has data, at a random position among the 64.
        let offset = |stretch| (stretch * STRETCH + random.below(STRETCH)) * CHUNK;
        let offsets = (0..chunks / STRETCH).map(offset).collect();
        let (bytes, stream) = (chunks.max(1) * CHUNK, out.next_stream());
        out.entry("image", TreeEntry::SparseFile { bytes, stream, chunk: CHUNK, offsets })
    }

    fn links<E>(&self, out: &mut Emitter<'_, E>) -> Result<(), E> {
        const DIRECTORIES: u64 = 100;
        for kind in ["first", "second", "third"] {
            out.directory(kind)?;
            for directory in 0..DIRECTORIES {
                out.directory(&format!("{kind}/{directory:02}"))?;
            }
        }
        for number in 0..self.scaled(20_000) {
            let first = format!("first/{:02}/file-{number:05}", number % DIRECTORIES);
            out.file(&first, 1024)?;
            // The second names of the files in one directory of `first` are spread over all directories of
            // `second`.
            let second =
                format!("second/{:02}/name-{number:05}", number / DIRECTORIES % DIRECTORIES);
            let third = format!("third/{:02}/alias-{number:05}", number * 7 % DIRECTORIES);
            for name in [second, third] {
                out.entry(&name, TreeEntry::HardLink(first.clone()))?;
            }
        }
        Ok(())
    }

    fn skewed<E>(&self, out: &mut Emitter<'_, E>) -> Result<(), E> {
        for number in 0..self.scaled(1000) {
            let path = format!("folder-{number:04}");
            out.directory(&path)?;
            out.files(&format!("{path}/"), 10, 1024)?;
        }
        out.directory("y-wide")?;
        out.files("y-wide/", self.scaled(30_000), 1024)?;
        out.file("z-large", self.scaled(256 << 20))
    }

    fn source<E>(&self, out: &mut Emitter<'_, E>) -> Result<(), E> {
        let mut random = Random::new(self.seed, u64::MAX);
        let directories = self.source_directories(&mut random, out)?;
        for directory in &directories {
            source_files(directory, &mut random, out)?;
        }
        Ok(())
    }

    /// Creates nested directories. Returns the paths of all directories, with a slash at the end. The root is
    /// included as an empty path.
    fn source_directories<E>(
        &self,
        random: &mut Random,
        out: &mut Emitter<'_, E>,
    ) -> Result<Vec<String>, E> {
        const LEVELS: usize = 6;
        let level = |path: &String| path.matches('/').count();
        let mut directories = vec![String::new()];
        for number in 1..=self.scaled(3500) {
            // The first six directories are nested in each other, so that even a small tree has six levels.
            let mut parent = directories.len() - 1;
            if number > LEVELS as u64 {
                parent = random.below(directories.len() as u64) as usize;
                let may_be_parent = |&at: &usize| level(&directories[at]) < LEVELS;
                parent = (0..=parent).rfind(may_be_parent).unwrap_or(0);
            }
            let path = format!("{}part-{number}", directories[parent]);
            out.directory(&path)?;
            directories.push(path + "/");
        }
        Ok(directories)
    }
}

/// Creates up to 17 files in one directory of the tree `source`. About one in 40 is a symbolic link to the
/// previous file.
fn source_files<E>(
    directory: &str,
    random: &mut Random,
    out: &mut Emitter<'_, E>,
) -> Result<(), E> {
    const EXTENSIONS: [&str; 5] = ["c", "h", "rs", "md", "txt"];
    let mut last = None;
    for number in 0..random.below(18) {
        let name = format!("unit-{number}.{}", EXTENSIONS[random.below(5) as usize]);
        let entry = match last {
            Some(target) if random.below(40) == 0 => TreeEntry::Symlink(target),
            _ => {
                let (bytes, executable) = (random.size(4000.0, 1.5), random.below(20) == 0);
                TreeEntry::File { bytes, stream: out.next_stream(), executable }
            }
        };
        out.entry(&format!("{directory}{name}"), entry)?;
        last = Some(name);
    }
    Ok(())
}

/// Passes entries to the visitor, and gives each file a random stream of its own.
struct Emitter<'a, E> {
    visit: &'a mut dyn FnMut(&str, TreeEntry) -> Result<(), E>,
    seed: u64,
    last_stream: u64,
}

impl<E> Emitter<'_, E> {
    fn next_stream(&mut self) -> u64 {
        self.last_stream += 1;
        Random::new(self.seed, self.last_stream).number()
    }

    fn entry(&mut self, path: &str, entry: TreeEntry) -> Result<(), E> {
        (self.visit)(path, entry)
    }

    fn directory(&mut self, path: &str) -> Result<(), E> {
        self.entry(path, TreeEntry::Directory)
    }

    fn file(&mut self, path: &str, bytes: u64) -> Result<(), E> {
        let stream = self.next_stream();
        self.entry(path, TreeEntry::File { bytes, stream, executable: false })
    }

    /// Creates `number` files of `bytes` bytes each. Their names begin with `prefix`.
    fn files(&mut self, prefix: &str, number: u64, bytes: u64) -> Result<(), E> {
        (0..number).try_for_each(|file| self.file(&format!("{prefix}file-{file:07}"), bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn entries(kind: TreeKind, seed: u64, scale: f64) -> BTreeMap<String, TreeEntry> {
        let mut found = BTreeMap::new();
        let tree = TreeSpec { kind, seed, scale };
        let end: Result<(), ()> = tree.for_each_entry(|path, entry| {
            let parent = path.rsplit_once('/').map(|(parent, _)| found.get(parent));
            assert!(
                parent.is_none_or(|parent| parent == Some(&TreeEntry::Directory)),
                "{path}: no directory"
            );
            assert!(found.insert(path.to_owned(), entry).is_none(), "{path} twice");
            Ok(())
        });
        assert_eq!(end, Ok(()));
        found
    }

    /// Returns the numbers of directories, of files and of other entries, and the total size of the files.
    fn count(entries: &BTreeMap<String, TreeEntry>) -> (usize, usize, usize, u64) {
        let (mut directories, mut files, mut others, mut total) = (0, 0, 0, 0);
        for entry in entries.values() {
            match entry {
                TreeEntry::Directory => directories += 1,
                TreeEntry::File { bytes, .. } | TreeEntry::SparseFile { bytes, .. } => {
                    files += 1;
                    total += bytes;
                }
                TreeEntry::Symlink(_) | TreeEntry::HardLink(_) => others += 1,
            }
        }
        (directories, files, others, total)
    }

    #[test]
    fn each_tree_has_what_its_description_says() {
        for (kind, scale, expected) in [
            (TreeKind::Wide, 0.01, (0, 500, 0, 500 * 1024)),
            (TreeKind::Empty, 0.001, (0, 1000, 0, 0)),
            (TreeKind::Deep, 0.01, (200, 200, 0, 200 * 1024)),
            (TreeKind::Deep, 1.0, (20_000, 20_000, 0, 20_000 * 1024)),
            (TreeKind::Big, 1.0, (0, 1, 0, 1_200_000_000)),
            (TreeKind::Few, 1.0, (0, 20, 0, 20 << 27)),
            (TreeKind::Sparse, 1.0, (0, 1, 0, 4 << 30)),
            (TreeKind::Links, 0.01, (303, 200, 400, 200 * 1024)),
            (TreeKind::Tiny1, 1.0, (0, 1, 0, 1024)),
            (TreeKind::Tiny10, 9.0, (0, 10, 0, 10 * 1024)),
            (TreeKind::Tiny100, 1.0, (0, 100, 0, 100 * 1024)),
        ] {
            assert_eq!(count(&entries(kind, 1, scale)), expected, "{kind:?}");
        }
        let (directories, files, _, bytes) = count(&entries(TreeKind::Small, 1, 0.1));
        assert_eq!((directories, files), (100, 10_000));
        assert!((1500..2500).contains(&(bytes / 10_000)), "{bytes}");
    }

    #[test]
    fn the_sparse_image_has_64_mib_of_data_in_chunks_that_do_not_overlap() {
        let image = entries(TreeKind::Sparse, 1, 1.0).remove("image");
        let Some(TreeEntry::SparseFile { bytes, chunk, offsets, .. }) = image else {
            panic!("{image:?}")
        };
        assert_eq!((offsets.len() as u64 * chunk, chunk), (64 << 20, 64 << 10));
        assert!(offsets.windows(2).all(|two| two[0] + chunk <= two[1]));
        assert!(offsets[1023] + chunk <= bytes);
    }

    #[test]
    fn the_large_entries_of_the_skewed_tree_sort_last() {
        let entries = entries(TreeKind::Skewed, 1, 0.01);
        assert_eq!(count(&entries).0, 11);
        let last = entries.last_key_value().unwrap();
        assert!(matches!(last.1, TreeEntry::File { bytes: 2_684_355, .. }), "{last:?}");
        assert_eq!(entries.keys().filter(|path| path.starts_with("y-wide/")).count(), 300);
    }

    #[test]
    fn even_a_small_source_tree_has_six_levels_symlinks_and_executable_files() {
        let entries = entries(TreeKind::Source, 1, 0.02);
        let depth = |path: &String| path.matches('/').count();
        assert_eq!(entries.keys().map(depth).max(), Some(6), "a file in the sixth directory");
        assert!(count(&entries).2 > 0);
        let executable =
            |entry: &TreeEntry| matches!(entry, TreeEntry::File { executable: true, .. });
        assert!(entries.values().any(executable));
    }

    #[test]
    fn the_seed_determines_a_tree() {
        for (_, kind) in TREES {
            let tree = |seed| entries(kind, seed, 0.001);
            assert!(tree(1) == tree(1), "{kind:?}");
            assert!(tree(1) != tree(2), "{kind:?}: another seed, the same tree");
        }
    }
}
