//! Which events are traced.

use cdc_bench_model::event::EventId;

use crate::load::Rate;

/// Default limit of traces per second.
const PER_SECOND: f64 = 100.0;
/// Default share if the rate is unknown.
const UNKNOWN: f64 = 0.01;
/// Bits of an id that decide: its last 56, as in OpenTelemetry's consistent probability sampling. They are random in a
/// UUIDv7.
const BITS: u32 = 56;

/// A share of the events, selected by their ids: every path, process and repetition selects the same ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sampling {
    /// Ids whose bits are below this are selected.
    below: u64,
}

impl Sampling {
    /// A share from none (0) to all (1).
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss
    )] // up to 2^56, of which a float has the first 53 bits
    pub(super) fn of(share: f64) -> Self {
        Self {
            below: (share.clamp(0.0, 1.0) * (1_u64 << BITS) as f64) as u64,
        }
    }

    /// A share that gives some 100 traces a second.
    pub(super) fn at(rate: Rate) -> Self {
        Self::of(rate.per_second().map_or(UNKNOWN, |rate| PER_SECOND / rate))
    }

    pub(super) fn selects(self, id: EventId) -> bool {
        let (_, tail) = id.0.as_u64_pair();
        tail & ((1 << BITS) - 1) < self.below
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cdc_bench_model::event::Generator;

    fn accepted(sampling: Sampling) -> Vec<EventId> {
        let events = Generator::new(7, jiff::Timestamp::UNIX_EPOCH);
        let ids = events.take(10_000).map(|row| row.id);
        ids.filter(|id| sampling.selects(*id)).collect()
    }

    #[test]
    fn a_share_is_a_share_and_the_smaller_lies_in_the_larger() {
        assert_eq!(accepted(Sampling::of(1.0)).len(), 10_000);
        assert_eq!(accepted(Sampling::of(0.0)).len(), 0);
        let (tenth, hundredth) = (accepted(Sampling::of(0.1)), accepted(Sampling::of(0.01)));
        assert!((900..1_100).contains(&tenth.len()), "{}", tenth.len());
        assert!((70..130).contains(&hundredth.len()), "{}", hundredth.len());
        assert!(hundredth.iter().all(|id| tenth.contains(id)));
    }

    #[test]
    fn a_quick_load_is_thinned_to_some_hundred_a_second() {
        assert_eq!(Sampling::at(Rate::whole(50)), Sampling::of(1.0));
        assert_eq!(Sampling::at(Rate::whole(5_000)), Sampling::of(0.02));
        assert_eq!(Sampling::at(Rate::MAX), Sampling::of(0.01));
    }
}
