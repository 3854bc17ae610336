//! The search space of a tuning: settings, their defaults, and configurations drawn at random.

use rand::seq::IndexedRandom;
use std::collections::BTreeMap;

use cdc_bench_model::report::Configuration;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use crate::debezium::LOW_LATENCY;

/// Name of the defaults, in the table and in folder names.
pub(super) const STOCK: &str = "stock";

/// Component that a setting belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SettingOwner {
    Connector,
    Consumer,
    Store,
}

/// A setting with its default and the other values to try.
struct TunedSetting {
    owner: SettingOwner,
    name: &'static str,
    default: &'static str,
    alternatives: &'static [&'static str],
}

const fn setting(
    owner: SettingOwner,
    name: &'static str,
    default: &'static str,
    alternatives: &'static [&'static str],
) -> TunedSetting {
    TunedSetting {
        owner,
        name,
        default,
        alternatives,
    }
}

/// Defaults of Debezium 3, of Kafka 4's producer within Connect, and of our own consumer.
const SPACE: [TunedSetting; 10] = [
    setting(
        SettingOwner::Connector,
        "poll.interval.ms",
        "500",
        &["1", "5", "10", "50", "100"],
    ),
    setting(
        SettingOwner::Connector,
        "max.batch.size",
        "2048",
        &["256", "1024", "8192"],
    ),
    setting(
        SettingOwner::Connector,
        "max.queue.size",
        "8192",
        &["2048", "16384", "32768"],
    ),
    setting(
        SettingOwner::Connector,
        "producer.override.linger.ms",
        "5",
        &["0", "1", "10", "20"],
    ),
    setting(
        SettingOwner::Connector,
        "producer.override.batch.size",
        "16384",
        &["65536", "262144"],
    ),
    setting(
        SettingOwner::Connector,
        "producer.override.compression.type",
        "none",
        &["lz4", "snappy", "zstd"],
    ),
    setting(
        SettingOwner::Consumer,
        "fetch.min.bytes",
        "1",
        &["1024", "16384"],
    ),
    setting(
        SettingOwner::Consumer,
        "fetch.wait.max.ms",
        "500",
        &["5", "20", "100"],
    ),
    setting(
        SettingOwner::Store,
        "batch_size",
        "100",
        &["20", "500", "1000"],
    ),
    setting(
        SettingOwner::Store,
        "writes_in_flight",
        "2",
        &["1", "4", "8"],
    ),
];
/// Records that the broker has acknowledged but not replicated yet are lost with it.
const ACKS: TunedSetting = setting(
    SettingOwner::Connector,
    "producer.override.acks",
    "all",
    &["1"],
);

/// Attempts to draw a new configuration before there is taken to be none.
const DRAWS: usize = 1_000;

/// `count` distinct configurations by name: Debezium's defaults, our `low-latency` profile, and random ones, of whose settings
/// about half are the defaults.
pub(super) fn configurations(
    count: usize,
    seed: u64,
    weaker_acks: bool,
) -> Vec<(String, Configuration)> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut drawn = vec![
        (STOCK.to_owned(), Configuration::default()),
        ("low-latency".to_owned(), low_latency()),
    ];
    for _ in 0..DRAWS {
        if drawn.len() >= count {
            break;
        }
        let configuration = draw(&mut rng, weaker_acks);
        if is_accepted(&configuration) && drawn.iter().all(|(_, known)| *known != configuration) {
            drawn.push((format!("random-{}", drawn.len() - 1), configuration));
        }
    }
    drawn.truncate(count);
    drawn
}

fn low_latency() -> Configuration {
    let settings = LOW_LATENCY.iter();
    Configuration {
        connector: settings
            .map(|(name, value, _)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        ..Configuration::default()
    }
}

fn draw(rng: &mut Xoshiro256PlusPlus, weaker_acks: bool) -> Configuration {
    let mut configuration = Configuration::default();
    for setting in SPACE.iter().chain(weaker_acks.then_some(&ACKS)) {
        if rng.random_bool(0.5) {
            continue;
        }
        if let Some(value) = setting.alternatives.choose(rng) {
            let settings: &mut BTreeMap<_, _> = match setting.owner {
                SettingOwner::Connector => &mut configuration.connector,
                SettingOwner::Consumer => &mut configuration.consumer,
                SettingOwner::Store => &mut configuration.store,
            };
            settings.insert(setting.name.to_owned(), (*value).to_owned());
        }
    }
    configuration
}

/// Debezium refuses a queue that is not larger than a batch.
fn is_accepted(configuration: &Configuration) -> bool {
    number(configuration, "max.queue.size") > number(configuration, "max.batch.size")
}

/// The value of a numeric setting.
pub(super) fn number(configuration: &Configuration, name: &str) -> Option<u64> {
    let all = [
        &configuration.connector,
        &configuration.consumer,
        &configuration.store,
    ];
    let set = all.into_iter().find_map(|settings| settings.get(name));
    let default = || Some(SPACE.iter().find(|setting| setting.name == name)?.default);
    set.map(String::as_str).or_else(default)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_and_nothing_twice() {
        let drawn = configurations(40, 7, false);
        assert_eq!(drawn, configurations(40, 7, false));
        assert_ne!(drawn, configurations(40, 8, false));
        let mut all: Vec<_> = drawn
            .iter()
            .map(|(_, configuration)| configuration.clone())
            .collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 40);
        assert_eq!(drawn[0].0, "stock");
        assert_eq!(drawn[0].1, Configuration::default());
        assert_eq!(drawn[1].1.connector["poll.interval.ms"], "1");
    }

    #[test]
    fn every_value_of_every_setting_comes_up_and_no_default_is_written_down() {
        let drawn = configurations(300, 1, true);
        for setting in SPACE.iter().chain([&ACKS]) {
            let values: Vec<_> = drawn
                .iter()
                .filter_map(|(_, configuration)| {
                    let all = [
                        &configuration.connector,
                        &configuration.consumer,
                        &configuration.store,
                    ];
                    all.into_iter()
                        .find_map(|settings| settings.get(setting.name))
                })
                .collect();
            for other in setting.alternatives {
                assert!(
                    values.iter().any(|value| value == other),
                    "{} {other}",
                    setting.name
                );
            }
            // Except for the profile, which sets every value explicitly.
            assert!(
                values.iter().all(|value| *value != setting.default),
                "{}",
                setting.name
            );
        }
    }

    #[test]
    fn a_queue_holds_more_than_a_batch() {
        for (name, configuration) in configurations(300, 3, false) {
            assert!(is_accepted(&configuration), "{name}: {configuration}");
        }
    }

    #[test]
    fn acks_are_weakened_only_where_that_is_asked_for() {
        let has_acks = |weaker_acks| {
            let drawn = configurations(60, 5, weaker_acks);
            drawn
                .iter()
                .any(|(_, configuration)| configuration.connector.contains_key(ACKS.name))
        };
        assert!(!has_acks(false));
        assert!(has_acks(true));
    }
}
