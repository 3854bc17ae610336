//! Which rows and documents are verified.

/// What is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// The rows and documents whose `run_id` is exactly this: not its warm-up, not its probe.
    Run(String),
    /// Everything in the table and in the collection.
    All,
}
