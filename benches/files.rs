//! What a file costs on the way through the program: `cargo bench --bench files`.
fn main() {}
