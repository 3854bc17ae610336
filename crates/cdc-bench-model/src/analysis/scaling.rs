//! Whether more shards carry more: where the curve of throughput against their number bends.

/// What so many shards carried.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScalingPoint {
    /// How many.
    pub shards: u8,
    /// Events a second of all together.
    pub per_s: f64,
}

/// Part of the throughput that added shards have to bring for the curve not to have bent.
const LEAST_GAIN: f64 = 0.5;

impl ScalingPoint {
    /// How much of what was added since another point has come through as throughput: 1 where the throughput has grown by as much as the
    /// number of shards, 0 where it has not grown.
    #[must_use]
    pub fn gain_since(&self, before: &Self) -> f64 {
        let added = f64::from(self.shards) / f64::from(before.shards) - 1.0;
        (self.per_s / before.per_s - 1.0) / added
    }
}

/// Where the curve of ascending points bends: the first at which less than half of what was added to the point before has come through.
/// From there on, twice as many shards carry less than one and a half times as much. `None`: it does not, as far as it goes.
#[must_use]
pub fn bend(points: &[ScalingPoint]) -> Option<ScalingPoint> {
    let pairs = points.windows(2).map(|pair| (pair[0], pair[1]));
    let mut bent = pairs.filter(|(before, at)| at.gain_since(before) < LEAST_GAIN);
    bent.next().map(|(_, at)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(values: &[(u8, f64)]) -> Vec<ScalingPoint> {
        let point = |&(shards, per_s)| ScalingPoint { shards, per_s };
        values.iter().map(point).collect()
    }

    #[test]
    fn the_curve_bends_where_less_than_half_of_what_was_added_comes_through() {
        let straight = points(&[(1, 50.0), (2, 99.0), (4, 190.0)]);
        assert_eq!(bend(&straight), None);
        // 0.9 of the first doubling, 0.4 of the second.
        let bent = points(&[(1, 50.0), (2, 95.0), (4, 133.0), (8, 140.0)]);
        assert_eq!(bend(&bent), Some(bent[2]));
        // Three times as many: twice as much would be half.
        assert_eq!(bend(&points(&[(1, 50.0), (3, 101.0)])), None);
        let at_once = points(&[(1, 50.0), (2, 40.0)]);
        assert_eq!(bend(&at_once), Some(at_once[1]));
        assert!(at_once[1].gain_since(&at_once[0]) < 0.0);
        assert_eq!(bend(&points(&[(1, 50.0)])), None);
    }
}
