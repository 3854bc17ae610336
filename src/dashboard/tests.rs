//! Screens as they are seen, at several sizes and moments of a run.

use jiff::tz::TimeZone;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Color;

use super::{Panel, Theme, View, draw};
use crate::live::{
    Figures, HopState, LagFigures, LoadFigures, ObservationFigures, ObservedHopFigures, PathState,
    Phase, Rates, RecentEvent, SCHEMA, Second, ServerState, Snapshot, TapFigures, TotalState,
    TypeCount,
};
use cdc_bench_model::analysis::{HopStatistics, RunFigures, Targets, Throughput};
use cdc_bench_model::event::EventType;
use cdc_bench_model::timeline::{CapturePath, Hop, Nanos, Stamp};

const STEERING: View = View {
    panel: Panel::Overview,
    path: None,
    help: false,
    steers: true,
};

/// Half of a run of 10,000 events.
fn running(paths: &[CapturePath]) -> Snapshot {
    let load = LoadFigures {
        target: Some(10_000),
        rate_per_s: Some(167.0),
        is_paused: false,
        inserted: 4_215,
        written: 4_213,
        errors: 0,
        quiet_s: 0.0,
    };
    Snapshot {
        schema: SCHEMA.to_owned(),
        run: "20261124-101500-7f3a9c".to_owned(),
        stack: "local".to_owned(),
        at: jiff::Timestamp::UNIX_EPOCH,
        uptime_s: 41.2,
        part: None,
        step: String::new(),
        said: vec![
            "✓ servers PostgreSQL 18.3, Kafka 4.3.0, Connect, SecantusDB (9.1 s)".to_owned(),
            "✓ set-up connector cdc-bench-7f3a9c -> topic postgres.activity.event_outbox (2.0 s)"
                .to_owned(),
        ],
        figures: Figures {
            phase: Phase::Load,
            objectives: objectives(4_290, 8_640, 12_870),
            paths: paths.iter().map(|path| state(*path)).collect(),
            servers: servers(),
            load,
            observation: None,
        },
    }
}

fn objectives(p50: i64, p95: i64, p99: i64) -> Vec<cdc_bench_model::analysis::Objective> {
    let total = HopStatistics {
        count: 4_213,
        min: 2_100,
        mean: 5_300,
        p50,
        p90: p95,
        p95,
        p99,
        p999: p99,
        max: 92_010,
        error_bound: Some(0),
    };
    Targets::default().judge(&RunFigures {
        total: Some(&total),
        throughput: Throughput {
            average_per_s: 166.4,
            peak_per_s: 171.0,
            sustained_per_s: 166.4,
        },
        success_percent: 100.0,
        match_percent: None,
    })
}

fn servers() -> Vec<ServerState> {
    let server = |name: &str| ServerState {
        name: name.to_owned(),
        product: (name == "store").then(|| "SecantusDB".to_owned()),
        trouble: None,
        restarts: 0,
    };
    ["postgres", "kafka", "connect", "store"].map(server).into()
}

fn state(path: CapturePath) -> PathState {
    let hop = |(hop, p50_us, p99_us): (Hop, i64, i64)| HopState {
        hop,
        count: 1_200,
        p50_us,
        p99_us,
    };
    let spans = match path {
        CapturePath::Debezium => [580, 2_430, 30, 1_250],
        CapturePath::Wal => [570, 880, 310, 1_310],
        CapturePath::Embedded => [560, 0, 40, 1_290],
    };
    let [capture, kafka, lag, processing] = spans;
    let mut hops = vec![
        (Hop::Capture, capture, 4_060),
        (Hop::KafkaDelivery, kafka, 5_860),
        (Hop::ConsumerLag, lag, 2_600),
        (Hop::Processing, processing, 5_370),
        (Hop::Commit, 510, 3_900),
        (Hop::WalDelivery, 70, 300),
        (Hop::Transform, 90, 400),
        (Hop::Write, 1_160, 5_100),
    ];
    if path == CapturePath::Debezium {
        hops.extend([(Hop::Debezium, 1_380, 3_300), (Hop::Produce, 1_050, 3_100)]);
    }
    let second = |n: i64| Second {
        written: 160 + n.unsigned_abs() * 7 % 13,
        p50_us: Some(4_700 + n * 37 % 400),
        p99_us: Some(8_000 + n * 911 % 6_000),
    };
    let event = |n: i64| RecentEvent {
        event_type: EventType::ALL[usize::try_from(n % 3).unwrap()],
        created: Stamp(0) + Nanos::from_millis(36_900_000 - n * 6),
        total_us: 4_900 + n * 731 % 9_000,
        slowest: if n % 4 == 3 {
            Hop::Processing
        } else {
            Hop::KafkaDelivery
        },
        slowest_us: (4_900 + n * 731 % 9_000) * 3 / 5,
    };
    PathState {
        inserted: 4_215,
        captured: 4_215,
        consumed: 4_214,
        written: 4_213,
        throughput: Rates {
            now_per_s: 168.0,
            average_per_s: 166.4,
            peak_per_s: 171.0,
        },
        hops: hops.into_iter().map(hop).collect(),
        total: Some(TotalState {
            count: 4_213,
            mean_us: 5_300,
            min_us: 2_100,
            max_us: 92_010,
            p50_us: spans.iter().sum::<i64>(),
            p95_us: 8_640,
            p99_us: 12_870,
        }),
        seconds: (0..25).map(second).collect(),
        by_type: EventType::ALL
            .into_iter()
            .zip([1_405, 1_404, 1_404])
            .map(|(event_type, count)| TypeCount { event_type, count })
            .collect(),
        last: (0..40).map(event).collect(),
        slot_lag_bytes: Some(0),
        debezium_behind_ms: (path == CapturePath::Debezium).then_some(1.4),
        group_lag_records: (path != CapturePath::Embedded).then_some(2),
        ..PathState::new(path)
    }
}

fn warming_up(paths: &[CapturePath]) -> Snapshot {
    let mut snapshot = running(paths);
    let figures = &mut snapshot.figures;
    figures.phase = Phase::WarmUp;
    figures.load = LoadFigures {
        target: Some(500),
        inserted: 212,
        written: 210,
        ..figures.load.clone()
    };
    for path in &mut figures.paths {
        // Of warm-up events.
        let hops = std::mem::take(&mut path.hops);
        *path = PathState {
            hops,
            ..PathState::new(path.path)
        };
    }
    for objective in &mut figures.objectives {
        objective.measured = None;
    }
    snapshot
}

/// Connect is unavailable: events are in PostgreSQL, and none is written.
fn stalled(paths: &[CapturePath]) -> Snapshot {
    let mut snapshot = running(paths);
    let figures = &mut snapshot.figures;
    figures.load.quiet_s = 7.3;
    figures.load.inserted = 5_432;
    figures.servers[2].trouble = Some("no answer within 2 s".to_owned());
    figures.servers[2].restarts = 1;
    for path in &mut figures.paths {
        path.inserted = 5_432;
        path.hops.clear();
        path.throughput.now_per_s = 0.0;
        path.slot_lag_bytes = Some(1_834_211);
        path.seconds.extend([Second::default(); 7]);
    }
    snapshot
        .said
        .push("WARN a server ended by itself; starting it again server=\"connect\"".to_owned());
    snapshot
}

fn over(paths: &[CapturePath], phase: Phase) -> Snapshot {
    let mut snapshot = running(paths);
    let figures = &mut snapshot.figures;
    figures.phase = phase;
    figures.load.inserted = 10_000;
    figures.load.written = 10_000;
    if phase == Phase::Failed {
        figures.objectives = objectives(34_920, 88_640, 212_870);
        figures.load.errors = 3;
        figures.load.written = 9_997;
    }
    snapshot
}

fn terminal(
    snapshot: &Snapshot,
    view: &View,
    (width, height): (u16, u16),
    theme: Theme,
) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal
        .draw(|frame| draw(frame, snapshot, view, &TimeZone::UTC, theme))
        .unwrap();
    terminal
}

fn screen(snapshot: &Snapshot, view: &View, size: (u16, u16)) -> String {
    let drawn = terminal(snapshot, view, size, Theme::new(true));
    let lines = drawn.backend().to_string();
    // The backend puts each line in quotes.
    let lines = lines.lines().map(|line| line.trim_matches('"').trim_end());
    lines.collect::<Vec<_>>().join("\n")
}

const ONE: &[CapturePath] = &[CapturePath::Debezium];
const TWO: &[CapturePath] = &[CapturePath::Debezium, CapturePath::Wal];
const SMALL: (u16, u16) = (80, 24);
const MIDDLE: (u16, u16) = (120, 40);
const LARGE: (u16, u16) = (200, 60);

macro_rules! shows {
    ($name:ident, $snapshot:expr, $view:expr, $size:expr) => {
        #[test]
        fn $name() {
            insta::assert_snapshot!(screen(&$snapshot, &$view, $size));
        }
    };
}

shows!(one_path_running_80x24, running(ONE), STEERING, SMALL);
shows!(one_path_running_120x40, running(ONE), STEERING, MIDDLE);
shows!(one_path_running_200x60, running(ONE), STEERING, LARGE);
shows!(two_paths_running_80x24, running(TWO), STEERING, SMALL);
shows!(two_paths_running_120x40, running(TWO), STEERING, MIDDLE);
shows!(two_paths_running_200x60, running(TWO), STEERING, LARGE);
shows!(one_path_warming_up_80x24, warming_up(ONE), STEERING, SMALL);
shows!(
    two_paths_warming_up_120x40,
    warming_up(TWO),
    STEERING,
    MIDDLE
);
shows!(one_path_stalled_80x24, stalled(ONE), STEERING, SMALL);
shows!(one_path_stalled_120x40, stalled(ONE), STEERING, MIDDLE);
shows!(two_paths_stalled_80x24, stalled(TWO), STEERING, SMALL);
shows!(
    one_path_failed_80x24,
    over(ONE, Phase::Failed),
    STEERING,
    SMALL
);
shows!(
    two_paths_failed_200x60,
    over(TWO, Phase::Failed),
    STEERING,
    LARGE
);
shows!(
    one_path_passed_120x40,
    over(ONE, Phase::Passed),
    View::default(),
    MIDDLE
);
shows!(
    no_kafka_120x40,
    running(&[CapturePath::Embedded]),
    STEERING,
    MIDDLE
);
shows!(
    help_80x24,
    running(ONE),
    View {
        help: true,
        ..STEERING
    },
    SMALL
);
shows!(
    events_80x24,
    running(ONE),
    View {
        panel: Panel::Events,
        ..STEERING
    },
    SMALL
);
shows!(
    second_path_80x24,
    running(TWO),
    View {
        path: Some(1),
        ..STEERING
    },
    SMALL
);

/// Two minutes of an observation whose sink is cut.
fn observed() -> Snapshot {
    let hop = |hop: &str, p50_us: i64| ObservedHopFigures {
        hop: hop.to_owned(),
        count: 1_913,
        p50_us,
        p95_us: p50_us * 2,
        p99_us: p50_us * 4,
    };
    let lag = |name: &str, behind_s| LagFigures {
        name: name.to_owned(),
        behind_s: Some(behind_s),
        ..LagFigures::default()
    };
    let tap = |name: &str, trouble: Option<&str>, resumed| TapFigures {
        name: name.to_owned(),
        trouble: trouble.map(str::to_owned),
        resumed,
    };
    let mut snapshot = running(&[]);
    "observed".clone_into(&mut snapshot.stack);
    "observing: 120 s, Ctrl-C ends it".clone_into(&mut snapshot.step);
    snapshot.figures = Figures {
        phase: Phase::Observing,
        observation: Some(ObservationFigures {
            captured: 24_120,
            in_kafka: 24_101,
            completed: 24_007,
            in_flight: 113,
            missing: 2,
            duplicates: 0,
            unreadable: 0,
            sampled_share: 1.0,
            hops: vec![
                hop("debezium", 212_000),
                hop("produce", 4_100),
                hop("consume", 91_000),
                hop("total", 310_000),
                hop("capture", 900),
                hop("deliver", 2_300),
            ],
            seconds: (0..60)
                .map(|n| Second {
                    written: 180 + n % 7 * 6,
                    p50_us: Some(300_000),
                    p99_us: Some(900_000),
                })
                .collect(),
            lags: vec![
                lag("debezium", 0.3),
                LagFigures {
                    bytes: Some(1_523_000),
                    ..lag("slot debezium", 12.0)
                },
                LagFigures {
                    records: Some(94),
                    ..lag("group sink", 0.9)
                },
            ],
            taps: vec![
                tap("wal", None, 1),
                tap("topics", None, 0),
                tap("sink", Some("connection refused"), 0),
            ],
        }),
        ..Figures::default()
    };
    snapshot
}

#[test]
fn an_observation_80x24_and_120x40() {
    for size in [SMALL, (120, 40)] {
        insta::assert_snapshot!(screen(&observed(), &View::default(), size));
    }
}

#[test]
fn one_path_being_ended_80x24() {
    let mut snapshot = running(ONE);
    snapshot.figures.load.is_paused = true;
    snapshot.step = "stopping servers".to_owned();
    insta::assert_snapshot!(screen(&snapshot, &STEERING, SMALL));
}

#[test]
fn one_run_of_several_80x24() {
    let mut snapshot = running(ONE);
    snapshot.part = Some("step 3 of 10: debezium at 1000/s".to_owned());
    insta::assert_snapshot!(screen(&snapshot, &View::default(), SMALL));
}

#[test]
fn setting_up_80x24() {
    let mut snapshot = running(&[]);
    snapshot.figures = Figures::default();
    snapshot.step = "set-up: connector".to_owned();
    insta::assert_snapshot!(screen(&snapshot, &STEERING, SMALL));
}

/// The pipeline is large in the middle of the screen and lit, at every size.
#[test]
fn the_slowest_hop_is_lit_and_no_other() {
    for (paths, size) in [(ONE, SMALL), (ONE, LARGE), (TWO, SMALL), (TWO, LARGE)] {
        let drawn = terminal(&running(paths), &STEERING, size, Theme::new(true));
        let buffer = drawn.backend().buffer();
        let rows = buffer.content.chunks(usize::from(size.0));
        let mut lit = 0;
        for row in rows {
            let text: String = row.iter().map(|cell| cell.symbol()).collect();
            for hop in ["capture ", "kafka_delivery", "consumer_lag", "processing"] {
                // The list of events, which begin with their time, names hops too.
                let is_event = text.contains("│10:1");
                let Some(at) = text.find(hop).filter(|_| !is_event) else {
                    continue;
                };
                let column = text[..at].chars().count();
                let is_lit = row[column].fg == Color::Indexed(214);
                let is_slowest = hop == "kafka_delivery";
                assert_eq!(is_lit, is_slowest, "{hop} at {size:?}: {text}");
                lit += usize::from(is_lit);
            }
        }
        assert_eq!(lit, 1, "{size:?}");
    }
}

#[test]
fn without_colours_there_are_none() {
    let drawn = terminal(&stalled(TWO), &STEERING, LARGE, Theme::new(false));
    let cells = &drawn.backend().buffer().content;
    assert!(
        cells
            .iter()
            .all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset)
    );
}

#[test]
fn every_size_is_drawn_without_a_panic() {
    let snapshots = [
        running(ONE),
        running(TWO),
        running(&CapturePath::ALL),
        warming_up(TWO),
        observed(),
    ];
    for snapshot in &snapshots {
        for panel in [Panel::Overview, Panel::Events, Panel::Log] {
            for width in (1..220).step_by(17) {
                for height in (1..70).step_by(5) {
                    let view = View {
                        panel,
                        help: true,
                        ..STEERING
                    };
                    terminal(snapshot, &view, (width, height), Theme::new(true));
                }
            }
        }
    }
}
