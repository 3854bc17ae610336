//! The seeded generator.
/// Placeholder.
pub struct Generator;
