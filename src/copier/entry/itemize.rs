//! Finds out what a copy changes of an existing entry, for `--itemize-changes`. Looks before anything is changed.

use super::Entry;
use super::action::{Action, Reason};
use super::result::{Applied, Done, Unfinished};
use crate::copier::context::Context;
use crate::error::Op;
use crate::ipc::wire::difference::Property;
use crate::ipc::wire::itemized::{Act, Change, Itemized, type_of};
use crate::plan::DirOrigin;
use pcopy_sys::file::{self, Kind, Node, Stat};
use std::os::fd::{AsFd, BorrowedFd};

/// Notes in the result of a new entry that everything of it is new. What is changed of an existing entry was noted when it
/// was looked at.
///
/// Also notes what a copier did that completed the entry and died before it reported that. What it found in an existing
/// directory is not known any more.
pub(in crate::copier) fn complete(
    cx: &Context<'_>,
    entry: &Entry<'_>,
    result: &mut Result<Applied, Unfinished>,
    act: impl Fn(&Stat) -> Itemized,
) {
    let Ok(applied) = result else { return };
    let is_of_dead = applied.done == Done::Skipped && cx.was_begun(entry.name);
    let is_made = applied.done == Done::Copied && applied.itemized.is_none();
    if !is_made && !is_of_dead {
        return;
    }
    let is_new = is_made || entry.dirs.staged || cx.was_begun_new(entry.name);
    match entry.dirs.stat_source(entry.name) {
        Ok(source) => {
            let mut item = act(&source);
            item.is_new = is_new;
            applied.itemized = Some(Box::new(item));
        }
        Err(errno) => *result = Err(Op::Stat.error()(errno).into()),
    }
}

/// Returns what `action` changes, which may be nothing; `None` if the options do not ask for it, or if the existing entry
/// stays as it is.
pub(in crate::copier) fn of_action(
    cx: &Context<'_>,
    entry: &Entry<'_>,
    source: &Stat,
    action: &Action,
) -> Option<Itemized> {
    if !cx.options().finds_changes() {
        return None;
    }
    let existing = || file::stat_at(&entry.dirs.target, entry.target_name).ok();
    let (act, old) = match action {
        Action::Skip { reason, old } => match reason {
            Reason::UpToDate | Reason::Compared(_) | Reason::AttributesOnly => {
                (Act::Attributes, Some(*old))
            }
            Reason::Published | Reason::SameFile | Reason::NotOlder | Reason::NoClobber => {
                return None;
            }
        },
        Action::Create | Action::CreateAnew | Action::CreateThrough => (Act::Copy, None),
        Action::Replace { old, .. } => (Act::Copy, Some(*old)),
        Action::WriteInto { .. } => (Act::Copy, existing()),
    };
    Some(of_entry(cx, entry, (source, old.as_ref()), act))
}

/// Returns what `act` changes of the existing entry `old`, which may be nothing.
pub(in crate::copier) fn of_entry(
    cx: &Context<'_>,
    entry: &Entry<'_>,
    (source, old): (&Stat, Option<&Stat>),
    act: Act,
) -> Itemized {
    let act = if act == Act::Copy && source.kind() != Kind::File { Act::Change } else { act };
    let Some(old) = old.filter(|old| old.type_bits() == source.type_bits()) else {
        return Itemized::created(act, type_of(source));
    };
    let dirs = entry.dirs;
    let opened = (dirs.follow && source.kind() == Kind::File)
        .then(|| file::open_source_noatime(&dirs.source, entry.name, true).ok())
        .flatten();
    let from = match &opened {
        Some(file) => Node::Open(file.as_fd()),
        // What a symlink leads to has no attributes under the name of the symlink.
        None => Node::Named(dirs.source.as_fd(), entry.name),
    };
    let to = Node::Named(dirs.target.as_fd(), entry.target_name);
    let mut item = attributes(cx, (from, to), (source, old), DirOrigin::Existing);
    item.act = act;
    match act {
        Act::Copy => {
            item.add_if(source.size() != old.size(), Change::Size);
            item.add_if(cx.options().checksum, Change::Contents);
        }
        // Whether it is created again, or only gets other attributes, cannot be seen afterwards.
        Act::Change => {
            let text = |dir, name| file::read_symlink(dir, name).ok();
            let is_same = source.device() == old.device()
                && text(&dirs.source, entry.name) == text(&dirs.target, entry.target_name);
            item.add_if(!is_same, Change::Contents);
            item.act = if is_same { Act::Attributes } else { act };
        }
        Act::Link | Act::Attributes => {}
    }
    let is_written = matches!(item.act, Act::Copy | Act::Change);
    item.add_if(is_written && !cx.attrs.times_are_reliable(), Change::TimeNow);
    item
}

/// Returns what is changed of an existing directory; `None` if nothing is.
pub(in crate::copier) fn of_dir(
    cx: &Context<'_>,
    (from, to): (BorrowedFd<'_>, BorrowedFd<'_>),
    (source, old): (&Stat, &Stat),
    origin: DirOrigin,
) -> Option<Itemized> {
    let item = attributes(cx, (Node::Open(from), Node::Open(to)), (source, old), origin);
    (!item.is_nothing()).then_some(item)
}

fn attributes(
    cx: &Context<'_>,
    nodes: (Node<'_>, Node<'_>),
    (source, old): (&Stat, &Stat),
    origin: DirOrigin,
) -> Itemized {
    // What cannot be read is reported when it is copied.
    let (properties, _) = cx.attrs.differing(nodes, (source, old), origin);
    let mut item = Itemized::of(Act::Attributes, type_of(source));
    item.add_if(properties.has(Property::Time), Change::Time);
    item.add_if(properties.has(Property::Permissions), Change::Permissions);
    let has_owner = properties.has(Property::Owner);
    let wanted = cx.options().wanted_owner(source);
    item.add_if(has_owner && wanted.user.is_some_and(|user| user != old.owner()), Change::Owner);
    item.add_if(has_owner && wanted.group.is_some_and(|group| group != old.group()), Change::Group);
    item.add_if(properties.has(Property::Acls), Change::Acls);
    item.add_if(properties.has(Property::Xattrs), Change::Xattrs);
    item
}
