//! The staged names, under which entries are built until they are complete.

use pcopy_sys::file::NAME_BYTES_MAX;
use std::ffi::{CStr, CString};
use std::hash::{DefaultHasher, Hasher};

/// The suffix of staged names; the number of a variant may follow it.
pub(crate) const SUFFIX: &str = ".pcopy-partial";

/// The length in bytes of a name that nearly every file system takes: eCryptfs, with 143, has the lowest limit of
/// those in use.
const EVERYWHERE_BYTES: usize = 140;

/// Returns the staged name of `name`: `.NAME.pcopy-partial`, in the same directory.
///
/// The result depends only on `name` and `variant`, so that the next run finds what an interrupted run left.
/// A name that would become too long is truncated and gets a hash of the full name. A staged name of more than
/// [`EVERYWHERE_BYTES`] bytes is never longer than `name` itself: a file system that takes `name` takes it, too.
/// A `variant` above 0 gives another staged name, for a source that has an entry with the staged name of variant
/// 0.
pub(crate) fn staged_name(name: &CStr, variant: u32) -> CString {
    let bytes = name.to_bytes();
    let mut staged = Vec::with_capacity(bytes.len() + SUFFIX.len() + 24);
    staged.push(b'.');
    // The number follows the suffix. If it preceded the suffix, it could be the end of another name, and both
    // names would have the same staged name.
    let tag = if variant == 0 { String::new() } else { format!("-{variant}") };
    let bytes_max = bytes.len().clamp(EVERYWHERE_BYTES, NAME_BYTES_MAX);
    if 1 + bytes.len() + SUFFIX.len() + tag.len() <= bytes_max {
        staged.extend_from_slice(bytes);
    } else {
        let mut hasher = DefaultHasher::new();
        hasher.write(bytes);
        let hash = format!("~{:016x}", hasher.finish());
        let prefix_bytes = bytes_max - 1 - hash.len() - SUFFIX.len() - tag.len();
        staged.extend_from_slice(cut_at_character(bytes, prefix_bytes));
        staged.extend_from_slice(hash.as_bytes());
    }
    staged.extend_from_slice(SUFFIX.as_bytes());
    staged.extend_from_slice(tag.as_bytes());
    CString::new(staged).expect("made of a name and text, neither of which has a NUL")
}

/// Whether `name` is the staged name of an entry for whose name `is_own` is true, or may be: that of a long name does not
/// contain it.
pub(crate) fn is_staged_for(name: &CStr, is_own: impl FnOnce(&CStr) -> bool) -> bool {
    let bytes = name.to_bytes();
    let Some(end) = bytes.windows(SUFFIX.len()).rposition(|part| part == SUFFIX.as_bytes()) else {
        return false;
    };
    let (own, tag) = (&bytes[..end], &bytes[end + SUFFIX.len()..]);
    let number = tag.strip_prefix(b"-");
    let is_tag = tag.is_empty()
        || number.is_some_and(|number| !number.is_empty() && number.iter().all(u8::is_ascii_digit));
    let Some(own) = own.strip_prefix(b".").filter(|_| is_tag) else { return false };
    let hash = own.len().checked_sub(HASH_BYTES).map(|start| &own[start..]);
    let is_cut =
        hash.is_some_and(|hash| hash[0] == b'~' && hash[1..].iter().all(u8::is_ascii_hexdigit));
    is_cut || CString::new(own).is_ok_and(|own| is_own(&own))
}

/// The length of the hash of a long name, with its `~`.
const HASH_BYTES: usize = 17;

/// Returns the first bytes of `name`, at most `bytes_max`, without splitting a UTF-8 character. Some file
/// systems (ZFS, casefolded ext4) refuse names that are not UTF-8.
fn cut_at_character(name: &[u8], bytes_max: usize) -> &[u8] {
    let mut end = bytes_max.min(name.len());
    while end > bytes_max.saturating_sub(4)
        && name.get(end).is_some_and(|&byte| byte & 0xc0 == 0x80)
    {
        end -= 1;
    }
    &name[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_staged_name_is_hidden_and_contains_the_name() {
        assert_eq!(staged_name(c"a.txt", 0).as_c_str(), c".a.txt.pcopy-partial");
        assert_eq!(staged_name(c"a.txt", 2).as_c_str(), c".a.txt.pcopy-partial-2");
    }

    #[test]
    fn a_long_name_stays_within_the_limit_and_distinct() {
        for length in 100..=255 {
            let one = CString::new("x".repeat(length)).unwrap();
            let other = CString::new("x".repeat(length - 1) + "y").unwrap();
            for variant in [0, 1, u32::MAX] {
                let staged = staged_name(&one, variant);
                assert!(staged.count_bytes() <= length.max(EVERYWHERE_BYTES), "{length}");
                assert_ne!(staged, staged_name(&other, variant), "{length}");
            }
        }
    }

    #[test]
    fn a_staged_name_is_recognised_by_its_entry() {
        for name in [c"a.txt", c".a", c"x.pcopy-partial-1"] {
            for variant in [0, 2] {
                let staged = staged_name(name, variant);
                assert!(is_staged_for(&staged, |own| own == name), "{staged:?}");
                assert!(!is_staged_for(&staged, |_| false), "{staged:?}");
            }
        }
        let long = CString::new("x".repeat(200)).unwrap();
        assert!(is_staged_for(&staged_name(&long, 0), |_| false));
        for other in [c"a.txt", c".pcopy-partial", c"a.pcopy-partial", c".a.pcopy-partial-x"] {
            assert!(!is_staged_for(other, |own| own != c""), "{other:?}");
        }
    }

    #[test]
    fn a_long_name_is_not_truncated_inside_a_character() {
        for lead in 0..4 {
            let name = CString::new("a".repeat(lead) + &"文".repeat(83)).unwrap();
            let staged = staged_name(&name, 0);
            assert!(staged.to_str().is_ok(), "{staged:?}");
        }
    }
}
