//! The meaning of the options in the model.

/// A word of the command line and its meaning.
#[derive(Clone, Copy)]
pub(crate) struct Word(pub(crate) &'static str, fn(&mut Rules));

impl std::fmt::Debug for Word {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) mode: Mode,
    pub(crate) owner: bool,
    pub(crate) times: bool,
    pub(crate) links: bool,
    /// Whether an option, and not the default, preserves links. Then followed symlinks to a file become links
    /// of it, too.
    pub(crate) ends: bool,
    pub(crate) update: Update,
    pub(crate) backups: bool,
    pub(crate) control: Control,
    pub(crate) suffix: &'static str,
    /// The option about symlinks, if given. The default depends on `way`.
    pub(crate) follow: Option<Follow>,
    pub(crate) way: Way,
    pub(crate) force: bool,
    /// Whether an existing entry is removed before it is replaced.
    pub(crate) remove: bool,
    pub(crate) onto: bool,
    pub(crate) strip: bool,
    pub(crate) parents: bool,
    /// The number of options that choose a way. Two of them exclude each other.
    pub(crate) ways: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mode {
    /// The source's mode, because an option says so.
    Preserved,
    /// The source's mode by default. Existing directories keep a part of theirs.
    ByDefault,
    /// The source's mode without the bits of the umask.
    Masked,
    /// The mode of any new file.
    Default,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Update {
    Differing,
    All,
    Older,
    Nothing,
    NothingAndFail,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Control {
    Off,
    Simple,
    Numbered,
    Existing,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Follow {
    Nothing,
    Named,
    All,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    Copy,
    HardLink,
    Symlink,
    Attributes,
}

impl Rules {
    pub(crate) fn of(words: &[Word]) -> Self {
        let mut rules = Self {
            mode: Mode::ByDefault,
            owner: false,
            times: true,
            links: true,
            ends: false,
            update: Update::Differing,
            backups: false,
            control: Control::Existing,
            suffix: "~",
            follow: None,
            way: Way::Copy,
            force: false,
            remove: false,
            onto: false,
            strip: false,
            parents: false,
            ways: 0,
        };
        words.iter().for_each(|word| word.1(&mut rules));
        rules
    }

    pub(crate) fn preserves_mode(&self) -> bool {
        matches!(self.mode, Mode::Preserved | Mode::ByDefault)
    }

    /// Whether symlinks are followed: those that are operands if `named` is set, else those below an operand.
    pub(crate) fn follows(&self, named: bool) -> bool {
        match self.follow {
            Some(Follow::All) => true,
            Some(Follow::Named) => named,
            Some(Follow::Nothing) => false,
            None => self.way == Way::HardLink,
        }
    }

    /// Whether a file and a followed symlink to this file become hard links.
    pub(crate) fn joins(&self) -> bool {
        self.ends && self.follows(false) && matches!(self.way, Way::Copy | Way::Attributes)
    }

    pub(crate) fn backs_up(&self) -> bool {
        self.backups && self.control != Control::Off
    }

    /// Whether options of the command line exclude each other.
    pub(crate) fn contradict(&self) -> bool {
        let stays = matches!(self.update, Update::Nothing | Update::NothingAndFail);
        self.ways > 1 || (self.backups && stays)
    }
}

fn keep(rules: &mut Rules, what: bool) {
    rules.mode = if what { Mode::Preserved } else { Mode::Default };
    (rules.owner, rules.times) = (what, what);
}

fn back_up(rules: &mut Rules, control: Control) {
    (rules.backups, rules.control) = (true, control);
}

fn go(rules: &mut Rules, way: Way) {
    rules.way = way;
    rules.ways += 1;
}

/// The options that have an effect. Some are listed several times, so that they are chosen more often.
pub(crate) const WORDS: &[Word] = &[
    Word("-p", |r| keep(r, true)),
    Word("--preserve", |r| keep(r, true)),
    Word("-a", |r| {
        keep(r, true);
        (r.links, r.ends, r.follow) = (true, true, Some(Follow::Nothing));
    }),
    Word("-d", |r| (r.links, r.ends, r.follow) = (true, true, Some(Follow::Nothing))),
    Word("--preserve=all", |r| {
        keep(r, true);
        (r.links, r.ends) = (true, true);
    }),
    Word("--preserve=mode", |r| r.mode = Mode::Preserved),
    Word("--preserve=ownership", |r| r.owner = true),
    Word("--preserve=timestamps,links", |r| (r.times, r.links, r.ends) = (true, true, true)),
    Word("--preserve=none", |r| {
        keep(r, false);
        (r.mode, r.links, r.ends) = (Mode::Masked, false, false);
    }),
    Word("--no-preserve=mode", |r| r.mode = Mode::Default),
    Word("--no-preserve=ownership", |r| r.owner = false),
    Word("--no-preserve=timestamps", |r| r.times = false),
    Word("--no-preserve=links", |r| (r.links, r.ends) = (false, false)),
    Word("--no-preserve=all", |r| {
        keep(r, false);
        (r.links, r.ends) = (false, false);
    }),
    Word("-P", |r| r.follow = Some(Follow::Nothing)),
    Word("-H", |r| r.follow = Some(Follow::Named)),
    Word("-L", |r| r.follow = Some(Follow::All)),
    Word("-L", |r| r.follow = Some(Follow::All)),
    Word("-n", |r| r.update = Update::Nothing),
    Word("-u", |r| r.update = Update::Older),
    Word("--update", |r| r.update = Update::Older),
    Word("--update=older", |r| r.update = Update::Older),
    Word("--update=all", |r| r.update = Update::All),
    Word("--update=all", |r| r.update = Update::All),
    Word("--update=none", |r| r.update = Update::Nothing),
    Word("--update=none-fail", |r| r.update = Update::NothingAndFail),
    Word("-b", |r| r.backups = true),
    Word("-b", |r| r.backups = true),
    Word("--backup", |r| r.backups = true),
    Word("--backup=none", |r| back_up(r, Control::Off)),
    Word("--backup=off", |r| back_up(r, Control::Off)),
    Word("--backup=simple", |r| back_up(r, Control::Simple)),
    Word("--backup=never", |r| back_up(r, Control::Simple)),
    Word("--backup=numbered", |r| back_up(r, Control::Numbered)),
    Word("--backup=t", |r| back_up(r, Control::Numbered)),
    Word("--backup=existing", |r| back_up(r, Control::Existing)),
    Word("--backup=nil", |r| back_up(r, Control::Existing)),
    Word("-S.old", |r| (r.backups, r.suffix) = (true, ".old")),
    Word("-l", |r| go(r, Way::HardLink)),
    Word("-l", |r| go(r, Way::HardLink)),
    Word("-s", |r| go(r, Way::Symlink)),
    Word("-s", |r| go(r, Way::Symlink)),
    Word("--attributes-only", |r| go(r, Way::Attributes)),
    Word("--attributes-only", |r| go(r, Way::Attributes)),
    Word("-f", |r| r.force = true),
    Word("--remove-destination", |r| r.remove = true),
];

/// The options that belong to the operands.
pub(crate) const ONTO: Word = Word("-T", |r| r.onto = true);
pub(crate) const PARENTS: Word = Word("--parents", |r| r.parents = true);
pub(crate) const STRIP: Word = Word("--strip-trailing-slashes", |r| r.strip = true);

/// Options that must not change the result.
pub(crate) const NO_MATTER: &[&str] = &[
    "-j1",
    "-j1",
    "-j2",
    "-j8",
    "-j8",
    "--sparse=auto",
    "--sparse=always",
    "--sparse=never",
    "--reflink=auto",
    "--reflink=never",
    "-r",
    "-R",
    "-q",
    "-v",
    "-x",
    "--progress=never",
];
