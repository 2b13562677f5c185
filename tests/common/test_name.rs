//! Tests that know their own names, and tests that run once for each of several *cells*, which are sets of
//! arguments.

use std::any::type_name;
use std::cell::Cell;

thread_local! {
    /// The cell for which this thread runs its test.
    static CELL: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// Returns the path of the test function around this macro, with its cell, in the form that the command line
/// accepts: `copy::any_number_of_copiers_gives_the_same_tree::jobs_8`.
macro_rules! test_name {
    () => {{
        fn here() {}
        $crate::common::test_name::name_of_test(here)
    }};
}

/// Makes a test for each of several numbers of copiers. The function takes the number as a string, as for
/// `-j`.
///
/// `each_jobs!(it_arrives, 1, 8);` makes the tests `it_arrives::jobs_1` and `it_arrives::jobs_8` from
/// `fn it_arrives(jobs: &str)`.
macro_rules! each_jobs {
    ($test:ident, $($jobs:tt),+) => {
        mod $test {
            $($crate::common::test_name::each_jobs! { @$jobs $test })+
        }
    };
    (@1 $test:ident) => { $crate::common::test_name::cell! { $test, jobs_1 => "1" } };
    (@2 $test:ident) => { $crate::common::test_name::cell! { $test, jobs_2 => "2" } };
    (@3 $test:ident) => { $crate::common::test_name::cell! { $test, jobs_3 => "3" } };
    (@4 $test:ident) => { $crate::common::test_name::cell! { $test, jobs_4 => "4" } };
    (@8 $test:ident) => { $crate::common::test_name::cell! { $test, jobs_8 => "8" } };
    (@64 $test:ident) => { $crate::common::test_name::cell! { $test, jobs_64 => "64" } };
}

/// Makes a test for each of several cells. The function takes the arguments of the cell.
///
/// `cells! { it_arrives, ext4 => (EXT4, "1"), xfs => (XFS, "8")
/// }` makes the tests `it_arrives::ext4` and `it_arrives::xfs` from `fn it_arrives(make: Make, jobs: &str)`.
/// A single argument needs no parentheses.
macro_rules! cells {
    ($test:ident, $($cell:ident => $arguments:tt),+ $(,)?) => {
        mod $test {
            #[allow(unused_imports)] // literals need none
            use super::*;
            $($crate::common::test_name::cell! { $test, $cell => $arguments })+
        }
    };
}

macro_rules! cell {
    ($test:ident, $cell:ident => ($($argument:expr),+)) => {
        #[test]
        fn $cell() {
            fn here() {}
            $crate::common::test_name::begin_cell(here);
            super::$test($($argument),+);
        }
    };
    ($test:ident, $cell:ident => $argument:tt) => {
        $crate::common::test_name::cell! { $test, $cell => ($argument) }
    };
}

pub(crate) use {cell, cells, each_jobs, test_name};

/// Records that this thread runs the cell whose function contains `here`.
pub(crate) fn begin_cell<F>(_here: F) {
    CELL.set(Some(path_of::<F>()));
}

/// Returns the name of the test that contains `here`, with the cell that this thread runs.
pub(crate) fn name_of_test<F>(_here: F) -> &'static str {
    let test = path_of::<F>();
    let of_test = |cell: &&str| cell.strip_prefix(test).is_some_and(|rest| rest.starts_with("::"));
    CELL.get().filter(of_test).unwrap_or(test)
}

/// Returns the path of a test: `copy::it_arrives` for the function `it::copy::it_arrives::{{closure}}::here`.
fn path_of<F>() -> &'static str {
    let path = type_name::<F>().strip_suffix("::here").unwrap();
    let (_program, path) = path.split_once("::").unwrap();
    path.trim_end_matches("::{{closure}}")
}
