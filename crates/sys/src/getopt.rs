//! Parses command lines exactly as the GNU tools do: getopt_long(3). Long options may be abbreviated, and
//! operands and options may be mixed unless `POSIXLY_CORRECT` is set.

use std::ffi::{CStr, CString, OsString, c_char, c_int};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// Whether an option takes an argument.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Takes {
    /// No argument.
    Nothing,
    /// An argument, attached to the option or as the next word.
    Argument,
    /// An optional argument, which must be attached to the option.
    Perhaps,
}

/// An option: its long name, its letter (or any number above 255), and whether it takes an argument.
pub type Known = (&'static CStr, u32, Takes);

/// A parsed command line.
#[derive(Debug)]
pub struct Read {
    /// The options in the order of the command line: the letter or number of each, and its argument.
    pub options: Vec<(u32, Option<OsString>)>,
    /// The operands.
    pub operands: Vec<OsString>,
}

/// The value that getopt_long(3) returns after it has printed an error.
const WRONG: c_int = b'?' as c_int;

unsafe extern "C" {
    /// The argument of the option that was returned last.
    static mut optarg: *mut c_char;
    /// The index of the next word. After the last option, this is the index of the first operand.
    static mut optind: c_int;
}

/// Parses `arguments`, the first of which is the program's name. `letters` is getopt's string of short
/// options.
///
/// Returns `None` if the C library has found an error, which it has printed on standard error. Works only
/// once per process, and only while the process has a single thread, because the C library keeps its state in
/// global variables.
pub fn read(arguments: &[OsString], letters: &CStr, long: &[Known]) -> Option<Read> {
    let words: Vec<CString> = arguments
        .iter()
        .map(|word| CString::new(word.as_bytes()).unwrap_or_default()) // no argument contains a NUL
        .collect();
    let mut vector: Vec<*mut c_char> = words.iter().map(|word| word.as_ptr().cast_mut()).collect();
    vector.push(std::ptr::null_mut());
    let mut table: Vec<libc::option> = long
        .iter()
        .map(|&(name, letter, takes)| libc::option {
            name: name.as_ptr(),
            has_arg: match takes {
                Takes::Nothing => 0,
                Takes::Argument => 1,
                Takes::Perhaps => 2,
            },
            flag: std::ptr::null_mut(),
            val: c_int::try_from(letter).unwrap_or(WRONG),
        })
        .collect();
    // SAFETY: all fields are numbers and pointers, for which zeros are a valid value. An entry of zeros ends
    // the table.
    table.push(unsafe { std::mem::zeroed() });
    let count = c_int::try_from(words.len()).ok()?;
    let mut options = Vec::new();
    loop {
        // SAFETY: the vector has `count` strings and then a null pointer, and the table ends with zeros. Both
        // outlive the call, which moves pointers within the vector and writes to no string.
        let letter = unsafe {
            libc::getopt_long(
                count,
                vector.as_mut_ptr(),
                letters.as_ptr(),
                table.as_ptr(),
                std::ptr::null_mut(),
            )
        };
        match letter {
            -1 => break,
            WRONG => return None,
            _ => {}
        }
        // SAFETY: there is a single thread, so `optarg` does not change meanwhile; it points into one of
        // `words`.
        let argument = unsafe { text(optarg) };
        options.push((u32::try_from(letter).ok()?, argument));
    }
    // SAFETY: there is a single thread.
    let first = usize::try_from(unsafe { optind }).ok()?;
    let operands = vector.get(first..words.len())?;
    // SAFETY: the pointers of the vector are those of `words`, in another order.
    let operands = operands.iter().filter_map(|&word| unsafe { text(word) }).collect();
    Some(Read { options, operands })
}

/// Copies a string of the C library; `None` for a null pointer.
///
/// # Safety
///
/// `word` must be null or point to a string that ends in a NUL.
unsafe fn text(word: *const c_char) -> Option<OsString> {
    if word.is_null() {
        return None;
    }
    // SAFETY: the caller promises that `word` points to such a string.
    Some(OsString::from_vec(unsafe { CStr::from_ptr(word) }.to_bytes().to_vec()))
}
