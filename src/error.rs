//! What can go wrong, sorted by what follows from it. How it is told stands in `words`.
//!
//! A [`Refusal`] ends the run before anything was touched. A failure of one entry is a
//! [`EntryError`], and the run goes on. [`Unavailable`] is the machine
//! saying no to the run itself.

use crate::ipc::event::{EntryError, Op};
use crate::sanitize::quote;
use crate::sys::{Errno, describe};
use std::fmt;
use std::path::Path;

/// The run was not begun; nothing was touched. Exit code 3.
#[derive(Debug)]
pub struct Refusal {
    /// What is wrong: lower case, the thing quoted, the cause.
    pub message: String,
    /// What the user can do, if there is something.
    pub hint: Option<&'static str>,
}

impl Refusal {
    /// A refusal in the form `cannot ACT 'THING': CAUSE`.
    pub fn cannot(act: &str, thing: &Path, cause: Errno) -> Self {
        let thing = quote(thing.as_os_str().as_encoded_bytes());
        Self { message: format!("cannot {act} {thing}: {}", describe(cause)), hint: None }
    }

    /// The same refusal with advice.
    pub fn hint(mut self, hint: &'static str) -> Self {
        self.hint = Some(hint);
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)?;
        if let Some(hint) = self.hint {
            write!(out, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Refusal {}

/// Something that the run needs of the machine was denied.
#[derive(Debug)]
pub struct Unavailable {
    /// What was asked for.
    pub what: &'static str,
    /// What the kernel said.
    pub source: std::io::Error,
}

impl Unavailable {
    /// For `map_err`: names what was asked for.
    pub fn because(what: &'static str) -> impl FnOnce(Errno) -> Self {
        move |errno| Self { what, source: errno.into() }
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "cannot {}: {}", self.what, self.source)
    }
}

impl std::error::Error for Unavailable {}

/// Whether the machine lacks what the user insisted on, and nothing else is wrong.
pub fn lacks_capability(error: EntryError) -> bool {
    error.op == Op::Clone && means_unable(error.errno)
}

/// Whether the kernel says that two files cannot share their bytes, so that another way may do.
///
/// Of the file systems or the kernel: `EOPNOTSUPP`, `EXDEV`, `ENOTTY`, `ENOSYS`. Of the files: `EINVAL`
/// (one of them is kept without copy-on-write, or in other blocks), `ETXTBSY` (it is swapped to),
/// `EPERM` and `EACCES` (a guard forbids it), `EBADF` (the file system calls a descriptor unfit).
pub fn means_unable(errno: Errno) -> bool {
    use Errno::{EACCES, EBADF, EINVAL, ENOSYS, ENOTTY, EOPNOTSUPP, EPERM, ETXTBSY, EXDEV};
    matches!(
        errno,
        EOPNOTSUPP | EXDEV | ENOTTY | ENOSYS | EINVAL | ETXTBSY | EPERM | EACCES | EBADF
    )
}

/// Whether the same may go well a little later: what disks and networks say on a bad day.
pub fn may_pass(error: EntryError) -> bool {
    let passing = matches!(error.errno, Errno::EIO | Errno::ESTALE | Errno::ETIMEDOUT);
    passing && !matches!(error.op, Op::Changed | Op::KillsCopiers) // our own words
}

/// Whether no other entry can be written either: the target is full, over quota, read-only or broken.
pub fn ends_the_run(error: EntryError) -> bool {
    let lost = matches!(error.errno, Errno::ENOSPC | Errno::EDQUOT | Errno::EROFS | Errno::EIO);
    // An attribute that has no room has its own small store in mind, and a clone that cannot be read
    // says the same as one that cannot be written.
    // One file that cannot be read back says nothing of the others.
    let own_matter = matches!(error.op, Op::SetAttributes | Op::ReadBack)
        || error.op == Op::Clone && error.errno == Errno::EIO;
    lost && !error.op.concerns_source() && !own_matter
}
