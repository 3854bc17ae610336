//! The size of a local stack's Kafka and Connect.

/// Brokers and Connect workers of a local stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClusterSize {
    /// Brokers, each a controller as well: 1, or 3, which keep every record three times.
    pub brokers: usize,
    /// Workers of Kafka Connect, in one group.
    pub connect_workers: usize,
}

impl Default for ClusterSize {
    /// One of each.
    fn default() -> Self {
        Self {
            brokers: 1,
            connect_workers: 1,
        }
    }
}

/// What is asked of the size of a stack; `None`: whatever there is, or one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClusterRequest {
    /// Brokers.
    pub brokers: Option<usize>,
    /// Workers of Kafka Connect.
    pub connect_workers: Option<usize>,
}

impl ClusterRequest {
    /// Whether nothing is asked.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }

    /// The size of a stack that is started for it.
    #[must_use]
    pub fn size(self) -> ClusterSize {
        let usual = ClusterSize::default();
        ClusterSize {
            brokers: self.brokers.unwrap_or(usual.brokers),
            connect_workers: self.connect_workers.unwrap_or(usual.connect_workers),
        }
    }

    /// Whether a stack of this size is what is asked for.
    #[must_use]
    pub(crate) fn is_met_by(self, size: ClusterSize) -> bool {
        self.brokers.is_none_or(|brokers| brokers == size.brokers)
            && self
                .connect_workers
                .is_none_or(|workers| workers == size.connect_workers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_that_is_not_asked_for_is_whatever_there_is() {
        let three = ClusterSize {
            brokers: 3,
            connect_workers: 1,
        };
        let asked = |brokers, connect_workers| ClusterRequest {
            brokers,
            connect_workers,
        };
        assert!(asked(None, None).is_met_by(three) && asked(None, None).is_empty());
        assert!(asked(Some(3), Some(1)).is_met_by(three));
        assert!(!asked(Some(1), None).is_met_by(three));
        assert!(!asked(None, Some(2)).is_met_by(three));
        assert_eq!(asked(Some(3), None).size(), three);
    }
}
