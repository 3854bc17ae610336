//! cdc-bench: the command.
fn main() {}
