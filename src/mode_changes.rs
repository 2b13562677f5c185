//! Changes of permission bits, in the grammar of rsync's `--chmod`, which is that of chmod(1) with items that apply to
//! directories or to files only.
//!
//! An item means what it means for rsync, also where chmod(1) differs: one operator for each item, `=` with letters leaves
//! set-ID bits, and `s` without u, g or a is the set-user-ID bit.

use std::fmt;

const PERMISSION_BITS: u32 = 0o7777;
const EXECUTE_BITS: u32 = 0o111;
const SET_USER_ID: u32 = 0o4000;
const SET_GROUP_ID: u32 = 0o2000;
const STICKY: u32 = 0o1000;
const TYPE_BITS: u32 = 0o170_000;
const DIRECTORY: u32 = 0o040_000;
const SYMLINK: u32 = 0o120_000;

/// The changes, in the order in which they are applied. Without changes, a mode stays as it is.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct ModeChanges(Vec<Change>);

/// An item that is not in the grammar.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BadItem(String);

/// One item of the list.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Change {
    applies_to: Entries,
    /// The bits that stay.
    stay: u32,
    /// The bits that are added.
    added: u32,
    /// Whether `X` is among the letters: execute bits are added only to directories, and to files that have one.
    is_conditional: bool,
    copied: Option<CopiedClass>,
}

/// To which entries a change is applied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Entries {
    All,
    Directories,
    NotDirectories,
}

/// `g=u` and the like: the permissions of one class are given to other classes, or taken from them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct CopiedClass {
    /// How far the permissions of the class are shifted in a mode.
    from_shift: u32,
    /// The execute bits of the classes that change.
    to: u32,
    /// The bits that may change.
    within: u32,
    is_taken: bool,
}

impl ModeChanges {
    /// Returns no changes.
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// Reads a comma-separated list of changes. Without u, g, o or a, a change leaves alone the bits of `umask`, as for
    /// chmod(1).
    pub fn parse(list: &str, umask: u32) -> Result<Self, BadItem> {
        let items = list.split(',');
        let changes = items.map(|item| change(item, umask).ok_or_else(|| BadItem(item.to_owned())));
        changes.collect::<Result<_, _>>().map(Self)
    }

    /// Adds changes that are applied after these.
    pub fn append(&mut self, later: Self) {
        self.0.extend(later.0);
    }

    /// Whether there are no changes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the permission bits that an entry with this type and these permission bits gets. The mode of a symbolic
    /// link has no meaning and stays.
    #[inline]
    pub fn apply(&self, mode: u32) -> u32 {
        if self.0.is_empty() { mode & PERMISSION_BITS } else { self.change(mode) }
    }

    #[cold]
    fn change(&self, mode: u32) -> u32 {
        let (kind, mut bits) = (mode & TYPE_BITS, mode & PERMISSION_BITS);
        if kind == SYMLINK {
            return bits;
        }
        let is_dir = kind == DIRECTORY;
        let may_execute = is_dir || bits & EXECUTE_BITS != 0;
        for change in &self.0 {
            if change.applies_to.has(is_dir) {
                bits = change.apply(bits, may_execute);
            }
        }
        bits
    }
}

impl Entries {
    fn has(self, is_dir: bool) -> bool {
        match self {
            Self::All => true,
            Self::Directories => is_dir,
            Self::NotDirectories => !is_dir,
        }
    }
}

impl Change {
    fn apply(&self, bits: u32, may_execute: bool) -> u32 {
        let copied = self.copied.map_or(0, |copied| copied.of(bits));
        let is_limited = self.is_conditional && !may_execute;
        let added = if is_limited { self.added & !EXECUTE_BITS } else { self.added };
        let changed = bits & self.stay | added;
        match self.copied {
            Some(CopiedClass { is_taken: true, .. }) => changed & !copied,
            _ => changed | copied,
        }
    }
}

impl CopiedClass {
    /// Returns the bits that are given or taken, if the entry has the permission bits `bits`.
    fn of(self, bits: u32) -> u32 {
        ((bits >> self.from_shift & 0o7) * self.to) & self.within
    }
}

/// Reads one item; returns `None` if it is not in the grammar.
fn change(item: &str, umask: u32) -> Option<Change> {
    let operator = item.find(|letter| !"DFugoa".contains(letter))?;
    let (who, rest) = item.split_at(operator);
    let mut applies_to = Entries::All;
    // `classes` has the execute bits of the classes, and `set_ids` the bits that `s` means for them.
    let (mut classes, mut set_ids) = (0, 0);
    for letter in who.bytes() {
        match letter {
            b'D' if applies_to != Entries::NotDirectories => applies_to = Entries::Directories,
            b'F' if applies_to != Entries::Directories => applies_to = Entries::NotDirectories,
            b'u' => (classes, set_ids) = (classes | 0o100, set_ids | SET_USER_ID),
            b'g' => (classes, set_ids) = (classes | 0o010, set_ids | SET_GROUP_ID),
            b'o' => classes |= 0o001,
            b'a' => (classes, set_ids) = (0o111, SET_USER_ID | SET_GROUP_ID),
            _ => return None,
        }
    }
    let plain = Change { applies_to, stay: 0, added: 0, is_conditional: false, copied: None };
    let operator = rest.bytes().next()?;
    if operator.is_ascii_digit() {
        let bits = octal(rest).filter(|_| classes == 0)?;
        return Some(Change { added: bits, ..plain });
    }
    let within = if classes == 0 { PERMISSION_BITS & !umask } else { PERMISSION_BITS };
    let classes = if classes == 0 { 0o111 } else { classes };
    let letters = rest.strip_prefix(['+', '-', '='])?;
    let from_shift = match letters {
        "u" => Some(6),
        "g" => Some(3),
        "o" => Some(0),
        _ => None,
    };
    let is_taken = operator == b'-';
    if let Some(from_shift) = from_shift {
        let copied = Some(CopiedClass { from_shift, to: classes, within, is_taken });
        let special = [(0o100, SET_USER_ID), (0o010, SET_GROUP_ID), (0o001, STICKY)];
        let special = special.iter().filter(|(class, _)| classes & class != 0);
        let special = special.fold(0, |bits, (_, bit)| bits | bit);
        let replaced = match operator {
            b'=' => (classes * 0o7) | special,
            _ => 0,
        };
        return Some(Change { stay: PERMISSION_BITS & !replaced, copied, ..plain });
    }
    let (mut permissions, mut special) = (0, 0);
    for letter in letters.bytes() {
        match letter {
            b'r' => permissions |= 0o4,
            b'w' => permissions |= 0o2,
            b'x' | b'X' => permissions |= 0o1,
            b's' if set_ids == 0 => special |= SET_USER_ID,
            b's' => special |= set_ids,
            b't' => special |= STICKY,
            _ => return None,
        }
    }
    let bits = ((classes * permissions) & within) | special;
    let is_conditional = letters.contains('X');
    let replaced = (classes * 0o7) | if special == 0 { 0 } else { set_ids };
    let (stay, added) = match operator {
        b'+' => (PERMISSION_BITS, bits),
        b'-' => (PERMISSION_BITS & !bits, 0),
        _ => (PERMISSION_BITS & !replaced, bits),
    };
    Some(Change { stay, added, is_conditional, ..plain })
}

/// Returns the permission bits that an octal number stands for.
fn octal(digits: &str) -> Option<u32> {
    let is_octal = digits.bytes().all(|digit| matches!(digit, b'0'..=b'7'));
    let bits = is_octal.then(|| u32::from_str_radix(digits, 8).ok()).flatten();
    bits.filter(|bits| *bits <= PERMISSION_BITS)
}

impl fmt::Display for BadItem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let expected = "expected a list of modes such as ug+w, go=rX, D2775 or F644";
        match &*self.0 {
            "" => write!(out, "{expected}; a mode is empty"),
            item => write!(out, "{expected}, not '{item}'"),
        }
    }
}

impl std::error::Error for BadItem {}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: u32 = 0o100_000;
    const UMASK: u32 = 0o022;

    fn changed(list: &str, mode: u32) -> u32 {
        ModeChanges::parse(list, UMASK).unwrap().apply(mode)
    }

    #[test]
    fn each_operator_changes_the_named_classes() {
        for (list, from, to) in [
            ("u+x", 0o644, 0o744),
            ("go-r", 0o644, 0o600),
            ("a+w", 0o444, 0o666),
            ("ug=rw", 0o751, 0o661),
            ("o=", 0o777, 0o770),
            ("u=rwx,g=rx,o=", 0, 0o750),
            ("ugo=rwx", 0, 0o777),
            ("g+w,g-w", 0o600, 0o600),
            ("u+", 0o644, 0o644),
        ] {
            assert_eq!(changed(list, FILE | from), to, "{list}");
            assert_eq!(changed(list, DIRECTORY | from), to, "{list}");
        }
    }

    #[test]
    fn without_a_class_the_umask_limits_the_change() {
        assert_eq!(changed("+w", FILE | 0o400), 0o600);
        assert_eq!(changed("-w", FILE | 0o666), 0o466);
        assert_eq!(changed("=rw", FILE | 0o777), 0o644);
        assert_eq!(changed("+x", FILE | 0o600), 0o711);
        assert_eq!(changed("+u", FILE | 0o600), 0o644);
    }

    #[test]
    fn a_number_is_the_whole_mode() {
        assert_eq!(changed("640", FILE | 0o7777), 0o640);
        assert_eq!(changed("02775", DIRECTORY | 0o700), 0o2775);
        assert_eq!(changed("0", FILE | 0o777), 0);
        assert_eq!(changed("600,g+r", FILE | 0o777), 0o640);
    }

    #[test]
    fn prefixes_limit_a_change_to_directories_or_to_other_entries() {
        for (list, file, directory) in [
            ("D755,F644", 0o644, 0o755),
            ("Dg+s,ug+w,Fo-w,+X", 0o664, 0o2775),
            ("uD-w", 0o644, 0o555),
            ("Fa-r", 0o200, 0o755),
        ] {
            assert_eq!(changed(list, FILE | 0o644), file, "{list}");
            assert_eq!(changed(list, DIRECTORY | 0o755), directory, "{list}");
        }
        assert_eq!(changed("F600", 0o010_644), 0o600, "a FIFO is no directory");
    }

    #[test]
    fn a_capital_x_asks_for_the_execute_bits_that_the_entry_had() {
        assert_eq!(changed("a+X", FILE | 0o644), 0o644);
        assert_eq!(changed("a+X", FILE | 0o744), 0o755);
        assert_eq!(changed("a+X", DIRECTORY | 0o600), 0o711);
        assert_eq!(changed("a-x,a+X", FILE | 0o755), 0o755);
        assert_eq!(changed("a-X", FILE | 0o755), 0o644);
        assert_eq!(changed("a=rX", FILE | 0o600), 0o444);
    }

    #[test]
    fn special_bits_are_set_and_cleared_as_by_rsync() {
        for (list, from, to) in [
            ("u+s", 0o755, 0o4755),
            ("g+s", 0o755, 0o2755),
            ("ug+s", 0o755, 0o6755),
            ("a+s", 0o755, 0o6755),
            ("+s", 0o755, 0o4755),
            ("o+s", 0o755, 0o4755),
            ("+t", 0o755, 0o1755),
            ("ug-s", 0o6755, 0o755),
            ("u=rwx", 0o4700, 0o4700),
            ("ug=s", 0o4777, 0o6007),
            ("755", 0o4755, 0o755),
        ] {
            assert_eq!(changed(list, FILE | from), to, "{list}");
        }
    }

    #[test]
    fn one_class_can_get_the_permissions_of_another() {
        assert_eq!(changed("g=u", FILE | 0o640), 0o660);
        assert_eq!(changed("o=g,g=", FILE | 0o640), 0o604);
        assert_eq!(changed("go+u", FILE | 0o600), 0o666);
        assert_eq!(changed("g-o", FILE | 0o664), 0o624);
        assert_eq!(changed("g=u", FILE | 0o2600), 0o660);
    }

    #[test]
    fn the_mode_of_a_symlink_stays() {
        assert_eq!(changed("600", SYMLINK | 0o777), 0o777);
    }

    #[test]
    fn lists_that_are_appended_are_applied_after_each_other() {
        let mut changes = ModeChanges::parse("600", UMASK).unwrap();
        changes.append(ModeChanges::parse("g+r", UMASK).unwrap());
        assert_eq!(changes.apply(FILE | 0o777), 0o640);
        assert_eq!(ModeChanges::none().apply(FILE | 0o4711), 0o4711);
    }

    #[test]
    fn an_item_outside_of_the_grammar_is_named() {
        for (list, bad) in [
            ("", ""),
            ("u+r,", ""),
            ("u", "u"),
            ("rwx", "rwx"),
            ("u+q", "u+q"),
            ("F600,go*w", "go*w"),
            ("u+r+w", "u+r+w"),
            ("DF+x", "DF+x"),
            ("888", "888"),
            ("10000", "10000"),
            ("99999999999999", "99999999999999"),
            ("u644", "u644"),
            ("0o644", "0o644"),
            ("g=ur", "g=ur"),
            ("g=uo", "g=uo"),
            ("ü+r", "ü+r"),
            ("u+ü", "u+ü"),
            ("u ", "u "),
        ] {
            let error = ModeChanges::parse(list, UMASK).unwrap_err();
            assert_eq!(error, BadItem(bad.to_owned()), "{list}");
            assert!(error.to_string().contains(bad));
        }
    }
}
