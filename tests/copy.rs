//! What a copy holds: every type of entry, exactly.

mod common;
use common::Sandbox;

#[test]
fn a_small_tree_is_copied_with_all_that_is_in_it() {
    let env = Sandbox::new();
    env.tree(
        "src",
        ["file a 3K", "dir empty", "link l a", "file sub/b 300K", "fifo sub/f", "file zero 0"],
    );

    env.pcopy(["src", "dst"]).exits(0).stderr_has("copied 8 entries");

    env.assert_same("src", "dst");
    env.assert_nothing_staged();
}
