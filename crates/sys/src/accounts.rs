//! The IDs of users and groups, by name.

use crate::{Errno, Result};
use nix::unistd::{Group, User};

/// Returns the ID of the user with this name; `None` if there is none.
pub fn user_id(name: &str) -> Result<Option<u32>> {
    none_if_absent(User::from_name(name)).map(|user| user.map(|user| user.uid.as_raw()))
}

/// Returns the ID of the group with this name; `None` if there is none.
pub fn group_id(name: &str) -> Result<Option<u32>> {
    none_if_absent(Group::from_name(name)).map(|group| group.map(|group| group.gid.as_raw()))
}

/// The manual of getpwnam(3) lists these errors for a name that was not found.
fn none_if_absent<T>(found: Result<Option<T>>) -> Result<Option<T>> {
    match found {
        Err(Errno::ENOENT | Errno::ESRCH | Errno::EBADF | Errno::EPERM) => Ok(None),
        found => found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_has_the_id_0_and_an_unknown_name_has_none() {
        assert_eq!((user_id("root"), group_id("root")), (Ok(Some(0)), Ok(Some(0))));
        let unknown = "no such name";
        assert_eq!((user_id(unknown), group_id(unknown)), (Ok(None), Ok(None)));
    }
}
