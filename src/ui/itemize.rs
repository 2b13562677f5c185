//! The line of `--itemize-changes`, in rsync's letters.

use crate::ipc::wire::itemized::{Act, Change, Itemized, Type};
use crate::sanitize::escape;

/// Returns eleven letters and the name, which is relative to DST. A directory has a slash at its end.
pub(super) fn line(item: &Itemized, name: &[u8]) -> String {
    let slash = if item.kind == Type::Directory { "/" } else { "" };
    let name = if name.is_empty() { "." } else { &escape(name) };
    format!("{} {name}{slash}", letters(item))
}

/// Returns the line for an entry that was removed: a word in place of the letters.
pub(super) fn removal_line(name: &[u8], is_dir: bool) -> String {
    format!("*deleting   {}{}", escape(name), if is_dir { "/" } else { "" })
}

/// Returns the letters: what is done, the type, and nine letters for what changes. `.` stands for what does not change,
/// and a new entry has `+` in all nine places.
fn letters(item: &Itemized) -> String {
    let act = match item.act {
        Act::Copy => '>',
        Act::Change => 'c',
        Act::Link => 'h',
        Act::Attributes => '.',
    };
    let kind = match item.kind {
        Type::File => 'f',
        Type::Directory => 'd',
        Type::Symlink => 'L',
        Type::Device => 'D',
        Type::Special => 'S',
    };
    let mut text = String::from_iter([act, kind]);
    if item.is_new {
        return text + "+++++++++";
    }
    let letter = |change, letter| if item.has(change) { letter } else { '.' };
    text.extend([
        letter(Change::Contents, 'c'),
        letter(Change::Size, 's'),
        if item.has(Change::TimeNow) { 'T' } else { letter(Change::Time, 't') },
        letter(Change::Permissions, 'p'),
        letter(Change::Owner, 'o'),
        letter(Change::Group, 'g'),
        '.', // access and creation times are not compared
        letter(Change::Acls, 'a'),
        letter(Change::Xattrs, 'x'),
    ]);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_has_the_letter_and_the_place_of_rsync() {
        let mut item = Itemized::of(Act::Copy, Type::File);
        assert_eq!(line(&item, b"a"), ">f......... a");
        for (change, expected) in [
            (Change::Contents, ">fc........ a"),
            (Change::Size, ">fcs....... a"),
            (Change::Time, ">fcst...... a"),
            (Change::Permissions, ">fcstp..... a"),
            (Change::Owner, ">fcstpo.... a"),
            (Change::Group, ">fcstpog... a"),
            (Change::Acls, ">fcstpog.a. a"),
            (Change::Xattrs, ">fcstpog.ax a"),
            (Change::TimeNow, ">fcsTpog.ax a"),
        ] {
            item.add_if(true, change);
            assert_eq!(line(&item, b"a"), expected);
        }
        let root = Itemized::created(Act::Change, Type::Directory);
        assert_eq!(line(&root, b""), "cd+++++++++ ./");
    }
}
