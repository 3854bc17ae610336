//! The Pareto frontier of configurations: those that no other one beats in both latency and processor time.

/// The cost of a configuration.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// Latency, in any unit.
    pub latency: f64,
    /// Processor time, in any unit; `None` where it is not known: then latency alone decides.
    pub cpu: Option<f64>,
}

impl Cost {
    /// Whether it is no worse in either, and better in one.
    #[must_use]
    pub fn dominates(&self, other: &Self) -> bool {
        let (cpu, others) = (self.cpu.zip(other.cpu)).unwrap_or((0.0, 0.0));
        let no_worse = self.latency <= other.latency && cpu <= others;
        no_worse && (self.latency < other.latency || cpu < others)
    }

    /// Both combined: half of one outweighs twice the other.
    #[must_use]
    pub fn product(&self) -> f64 {
        self.latency.max(f64::MIN_POSITIVE) * self.cpu.unwrap_or(1.0).max(f64::MIN_POSITIVE)
    }
}

/// How many fronts lie before each: 0 is the frontier, 1 what would be it without the frontier, and so on (non-dominated
/// sorting; Deb and others, NSGA-II, 2002).
#[must_use]
pub fn fronts(costs: &[Cost]) -> Vec<usize> {
    let mut fronts = vec![None; costs.len()];
    for front in 0..costs.len() {
        let open = |n: &usize| fronts[*n].is_none();
        let left: Vec<usize> = (0..costs.len()).filter(open).collect();
        let is_beaten = |n: &usize| left.iter().any(|m| costs[*m].dominates(&costs[*n]));
        let beaten: Vec<bool> = left.iter().map(is_beaten).collect();
        for (n, beaten) in left.into_iter().zip(beaten) {
            if !beaten {
                fronts[n] = Some(front);
            }
        }
    }
    fronts.into_iter().map(Option::unwrap_or_default).collect()
}

/// The places of the best `keep`, best first: front by front, and of the front that does not fit whole, those with the
/// most room around them, so that what is kept spans from quick to cheap (crowding distance, by the same authors).
#[must_use]
pub fn best(costs: &[Cost], keep: usize) -> Vec<usize> {
    let fronts = fronts(costs);
    let mut kept = Vec::new();
    for front in 0..costs.len() {
        let mut places: Vec<usize> = (0..costs.len()).filter(|n| fronts[*n] == front).collect();
        let room = rooms(costs, &places);
        let mut order: Vec<usize> = (0..places.len()).collect();
        order.sort_by(|a, b| room[*b].total_cmp(&room[*a]));
        places = order.into_iter().map(|n| places[n]).collect();
        kept.extend(places);
    }
    kept.truncate(keep);
    kept
}

/// The room around each of some places of one front: how far its neighbours lie apart, on logarithmic axes. The ends have
/// all the room there is.
fn rooms(costs: &[Cost], places: &[usize]) -> Vec<f64> {
    let mut rooms = vec![0.0; places.len()];
    let axes: [fn(&Cost) -> f64; 2] = [|cost| cost.latency, |cost| cost.cpu.unwrap_or(1.0)];
    for axis in axes {
        let value = |n: usize| axis(&costs[places[n]]).max(f64::MIN_POSITIVE).ln();
        let mut order: Vec<usize> = (0..places.len()).collect();
        order.sort_by(|a, b| value(*a).total_cmp(&value(*b)));
        let (Some(first), Some(last)) = (order.first().copied(), order.last().copied()) else {
            continue;
        };
        let span = value(last) - value(first);
        if span <= 0.0 {
            continue;
        }
        rooms[first] = f64::INFINITY;
        rooms[last] = f64::INFINITY;
        for around in order.windows(3) {
            rooms[around[1]] += (value(around[2]) - value(around[0])) / span;
        }
    }
    rooms
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn costs(of: &[(f64, f64)]) -> Vec<Cost> {
        let cost = |(latency, cpu): &(f64, f64)| Cost {
            latency: *latency,
            cpu: Some(*cpu),
        };
        of.iter().map(cost).collect()
    }

    #[test]
    fn the_frontier_is_what_nobody_beats_in_both() {
        let costs = costs(&[
            (900.0, 1_000.0),
            (12.0, 3_600.0),
            (13.0, 2_000.0),
            (20.0, 2_500.0),
            (950.0, 3_700.0),
        ]);
        assert_eq!(fronts(&costs), [0, 0, 0, 1, 2]);
    }

    #[test]
    fn what_is_kept_spans_from_quick_to_cheap() {
        let costs = costs(&[
            (10.0, 400.0),
            (11.0, 390.0),
            (12.0, 380.0),
            (60.0, 60.0),
            (400.0, 10.0),
        ]);
        let mut kept = best(&costs, 3);
        kept.sort_unstable();
        assert_eq!(kept, [0, 3, 4]);
    }

    #[test]
    fn where_processor_time_is_not_known_latency_alone_decides() {
        let cost = |latency| Cost { latency, cpu: None };
        let costs = [cost(5.0), cost(3.0), cost(4.0)];
        assert_eq!(fronts(&costs), [2, 0, 1]);
        assert_eq!(best(&costs, 2), [1, 2]);
    }

    proptest! {
        #[test]
        fn nothing_that_is_kept_is_beaten_by_what_fell_out(
            of in proptest::collection::vec((1.0f64..1e3, 1.0f64..1e3), 1..20),
            keep in 1usize..20,
        ) {
            let costs = costs(&of);
            let kept = best(&costs, keep);
            prop_assert_eq!(kept.len(), keep.min(costs.len()));
            let out = (0..costs.len()).filter(|n| !kept.contains(n));
            for n in out {
                prop_assert!(kept.iter().all(|k| !costs[n].dominates(&costs[*k])));
            }
            // The first front is exactly what nobody dominates.
            for (n, front) in fronts(&costs).into_iter().enumerate() {
                let beaten = costs.iter().any(|other| other.dominates(&costs[n]));
                prop_assert_eq!(front == 0, !beaten);
            }
        }
    }
}
