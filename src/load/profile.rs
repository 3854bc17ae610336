//! Loads by name: the four of a demonstration, each heavier than the one before.

use super::Rate;

/// A number of events, and how fast they come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum LoadProfile {
    /// 10 events, 2 a second
    WarmUp,
    /// 100 events, 7 a second
    Moderate,
    /// 1,000 events, 33 a second
    Stress,
    /// 10,000 events, 167 a second
    Extreme,
}

impl LoadProfile {
    /// Every profile, from the lightest.
    pub const ALL: [Self; 4] = [Self::WarmUp, Self::Moderate, Self::Stress, Self::Extreme];

    /// Its one name, in flags, files and reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WarmUp => "warm-up",
            Self::Moderate => "moderate",
            Self::Stress => "stress",
            Self::Extreme => "extreme",
        }
    }

    /// How many events.
    #[must_use]
    pub fn events(self) -> u64 {
        match self {
            Self::WarmUp => 10,
            Self::Moderate => 100,
            Self::Stress => 1_000,
            Self::Extreme => 10_000,
        }
    }

    /// How fast.
    #[must_use]
    pub fn rate(self) -> Rate {
        Rate::whole(match self {
            Self::WarmUp => 2,
            Self::Moderate => 7,
            Self::Stress => 33,
            Self::Extreme => 167,
        })
    }
}
