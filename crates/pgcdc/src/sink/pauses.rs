//! Pauses between attempts.

use std::time::Duration;

use super::config::DeliveryConfig;

/// The pause after this many failures: doubled with each, up to a limit, and shortened by chance, so that sinks that failed
/// together do not try again together.
pub(super) fn pause(failures: u32, config: &DeliveryConfig) -> Duration {
    let doublings = failures.saturating_sub(1).min(30);
    let longest = config.first_pause.saturating_mul(1 << doublings);
    longest
        .min(config.longest_pause)
        .mul_f64(0.5 + fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_differ() {
        let config = DeliveryConfig::default();
        for (failures, longest) in [
            (1, 100),
            (2, 200),
            (4, 800),
            (20, 30_000),
            (u32::MAX, 30_000),
        ] {
            let longest = Duration::from_millis(longest);
            let pauses: Vec<_> = (0..20).map(|_| pause(failures, &config)).collect();
            assert!(
                pauses
                    .iter()
                    .all(|pause| (longest / 2..=longest).contains(pause))
            );
            assert!(pauses.iter().any(|pause| *pause != pauses[0]));
        }
    }
}
