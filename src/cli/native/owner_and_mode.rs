//! The arguments of `--chown` and `--chmod`.

use crate::mode_changes::ModeChanges;
use crate::options::NewOwner;
use clap::builder::{OsStringValueParser, TypedValueParser};
use pcopy_sys::{accounts, process};

/// The kernel takes this ID for none.
const NO_ID: u32 = u32::MAX;

/// Returns a parser of `USER`, `USER:GROUP` or `:GROUP`.
pub(super) fn new_owner() -> impl TypedValueParser<Value = NewOwner> {
    OsStringValueParser::new().try_map(|word| {
        let word = word.to_str().ok_or_else(|| "the name is not in UTF-8".to_owned())?;
        owner_of(
            word,
            |name| id_of(name, "user", accounts::user_id),
            |name| id_of(name, "group", accounts::group_id),
        )
    })
}

/// Returns a parser of a list of changes to permission bits.
pub(super) fn mode_changes() -> impl TypedValueParser<Value = ModeChanges> {
    OsStringValueParser::new()
        .try_map(|word| ModeChanges::parse(&word.to_string_lossy(), process::umask()))
}

fn owner_of(
    word: &str,
    user: impl Fn(&str) -> Result<u32, String>,
    group: impl Fn(&str) -> Result<u32, String>,
) -> Result<NewOwner, String> {
    let (user_name, group_name) = word.split_once(':').unwrap_or((word, ""));
    if user_name.is_empty() && group_name.is_empty() {
        return Err("expected USER, USER:GROUP or :GROUP".to_owned());
    }
    let named = |name: &str, id: &dyn Fn(&str) -> Result<u32, String>| {
        Some(name).filter(|name| !name.is_empty()).map(id).transpose()
    };
    Ok(NewOwner { user: named(user_name, &user)?, group: named(group_name, &group)? })
}

/// Returns the ID that `name` stands for, which may be a number. `what` says whose name it is.
fn id_of(
    name: &str,
    what: &str,
    look_up: impl Fn(&str) -> pcopy_sys::Result<Option<u32>>,
) -> Result<u32, String> {
    if name.bytes().all(|byte| byte.is_ascii_digit()) {
        let id = name.parse().ok().filter(|id| *id != NO_ID);
        let last = NO_ID - 1;
        return id.ok_or_else(|| format!("expected an ID from 0 to {last}, not '{name}'"));
    }
    match look_up(name) {
        Ok(Some(id)) => Ok(id),
        Ok(None) => Err(format!("there is no {what} '{name}'")),
        Err(errno) => Err(format!("cannot look up the {what} '{name}': {}", errno.desc())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(word: &str) -> Result<(Option<u32>, Option<u32>), String> {
        let look_up = |what, names: &'static [(&str, u32)]| {
            move |name: &str| {
                let find = |name: &str| {
                    Ok(names.iter().find(|(known, _)| *known == name).map(|(_, id)| *id))
                };
                id_of(name, what, find)
            }
        };
        let (users, groups) = (&[("ann", 1000), ("7up", 7)], &[("staff", 50)]);
        let owner = owner_of(word, look_up("user", users), look_up("group", groups))?;
        Ok((owner.user, owner.group))
    }

    #[test]
    fn user_and_group_are_names_or_numbers_and_either_can_be_left_out() {
        for (word, user, group) in [
            ("ann", Some(1000), None),
            ("ann:", Some(1000), None),
            (":staff", None, Some(50)),
            ("ann:staff", Some(1000), Some(50)),
            ("5:006", Some(5), Some(6)),
            ("7up:0", Some(7), Some(0)),
            ("4294967294", Some(4_294_967_294), None),
        ] {
            assert_eq!(read(word), Ok((user, group)), "{word}");
        }
    }

    #[test]
    fn what_names_no_owner_is_refused() {
        for (word, why) in [
            ("", "expected USER, USER:GROUP or :GROUP"),
            (":", "expected USER, USER:GROUP or :GROUP"),
            ("bob", "there is no user 'bob'"),
            ("ann:bob", "there is no group 'bob'"),
            ("ann:staff:x", "there is no group 'staff:x'"),
            ("ann.staff", "there is no user 'ann.staff'"),
            ("+5", "there is no user '+5'"),
            ("4294967295", "expected an ID from 0 to 4294967294, not '4294967295'"),
            (":99999999999", "expected an ID from 0 to 4294967294, not '99999999999'"),
        ] {
            assert_eq!(read(word), Err(why.to_owned()), "{word}");
        }
    }
}
