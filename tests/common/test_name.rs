//! Tests that know their own names, and tests that are run once for each of several cells.

use std::any::type_name;
use std::cell::Cell;

thread_local! {
    /// The cell that the test of this thread is run for.
    static CELL: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// The path of the test function around this macro, as the command line names it, with its cell:
/// `copy::any_number_of_copiers_gives_the_same_tree::jobs_8`.
macro_rules! test_name {
    () => {{
        fn here() {}
        $crate::common::test_name::name_of_test(here)
    }};
}

/// Makes a test of each cell of a function that takes a number of copiers, as `-j` takes it.
///
/// `each_jobs!(it_arrives, 1, 8);` makes `it_arrives::jobs_1` and `it_arrives::jobs_8` of
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

/// Makes a test of each cell of a function that takes arguments.
///
/// `cells! { it_arrives, ext4 => (EXT4, "1"), xfs => (XFS, "8") }` makes `it_arrives::ext4` and
/// `it_arrives::xfs` of `fn it_arrives(make: Make, jobs: &str)`; of one argument the parentheses are left out.
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

/// Notes that this thread runs the cell around `here`.
pub(crate) fn begin_cell<F>(_here: F) {
    CELL.set(Some(path_of::<F>()));
}

/// The test around `here`, or its cell that this thread runs.
pub(crate) fn name_of_test<F>(_here: F) -> &'static str {
    let test = path_of::<F>();
    let of_test = |cell: &&str| cell.strip_prefix(test).is_some_and(|rest| rest.starts_with("::"));
    CELL.get().filter(of_test).unwrap_or(test)
}

/// `copy::it_arrives` of the function `it::copy::it_arrives::{{closure}}::here`.
fn path_of<F>() -> &'static str {
    let path = type_name::<F>().strip_suffix("::here").unwrap();
    let (_program, path) = path.split_once("::").unwrap();
    path.trim_end_matches("::{{closure}}")
}
