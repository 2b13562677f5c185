//! Shell patterns: fnmatch(3).

use std::ffi::CStr;

/// Whether `name` matches the shell pattern, in which `*` and `?` also stand for slashes and leading dots.
pub fn matches(pattern: &CStr, name: &CStr) -> bool {
    // SAFETY: both strings are NUL-terminated.
    unsafe { libc::fnmatch(pattern.as_ptr(), name.as_ptr(), 0) == 0 }
}
