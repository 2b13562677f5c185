//! Which extended attributes are not copied on this machine: the rules of libattr's configuration file, which
//! cp follows, too.

use pcopy_sys::pattern;
use std::ffi::{CStr, CString};

/// libattr's configuration file; see the comment at its beginning for the format.
const FILE: &str = "/etc/xattr.conf";

/// The patterns (fnmatch(3)) of the names of extended attributes that are not copied as such: those that the
/// file says to `skip`, and those that belong to the `permissions`. ACLs, which the file counts among the
/// latter, are copied as ACLs.
#[derive(Default)]
pub struct XattrRules(Vec<CString>);

impl XattrRules {
    /// Reads the rules. Without the file there are none.
    pub(super) fn read() -> Self {
        Self::parse(&std::fs::read_to_string(FILE).unwrap_or_default())
    }

    fn parse(text: &str) -> Self {
        let rule = |line: &str| {
            let (pattern, rest) = line.split_once([' ', '\t'])?;
            let action = rest.split('#').next()?.trim();
            let is_rule = matches!(action, "skip" | "permissions");
            CString::new(pattern).ok().filter(|_| is_rule)
        };
        Self(text.lines().filter(|line| !line.starts_with('#')).filter_map(rule).collect())
    }

    /// Whether the attribute `name` is not copied.
    pub(crate) fn skip(&self, name: &CStr) -> bool {
        self.0.iter().any(|rule| pattern::matches(rule, name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_patterns_of_both_actions_are_skipped_and_comments_are_not() {
        let text = "# user.comment skip\n\nuser.Beagle.*\t\tskip # index\nsystem.nfs4_acl permissions\n\
            user.kept keep\nuser.half\nuser.x? skip";
        let rules = XattrRules::parse(text);
        for (name, skipped) in [
            (c"user.Beagle.time", true),
            (c"system.nfs4_acl", true),
            (c"user.xy", true),
            (c"user.xyz", false),
            (c"user.comment", false),
            (c"user.kept", false),
            (c"user.half", false),
            (c"user.Beagle", false),
        ] {
            assert_eq!(rules.skip(name), skipped, "{name:?}");
        }
        assert!(!XattrRules::default().skip(c"user.any"));
    }
}
