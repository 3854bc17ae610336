//! A result as JUnit XML, for what shows test results: each objective is a test case.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Property, TestCase, TestCaseStatus, TestSuite};

use super::figures;
use super::{ObservationReport, Report, Verdict};
use crate::analysis::Objective;
use crate::timeline::Hop;

/// The report as JUnit XML. Besides the objectives there is a test case for the data itself, because a lost event fails a
/// run whatever its objectives say.
///
/// # Errors
/// When the XML cannot be written.
pub fn junit(report: &Report) -> Result<String, quick_junit::SerializeError> {
    let mut suite = TestSuite::new(format!("cdc-bench run {}", report.run.id));
    suite.set_time(Duration::try_from_secs_f64(report.run.duration_s).unwrap_or_default());
    suite.add_property(Property::new("started_at", report.run.started_at.as_str()));
    add_objectives(&mut suite, &report.objectives);
    let counts = &report.counts;
    let differing = report
        .verification
        .map_or(0, |v| v.missing + v.extra + v.differing);
    suite.add_test_case(case(
        "nothing_lost",
        counts.lost == 0 && differing == 0,
        &format!(
            "{} of {} events lost; {differing} documents missing, extra or differing",
            counts.lost, counts.inserted
        ),
    ));
    for (name, path) in report.ordered_paths() {
        for (hop, statistics) in Hop::ALL
            .into_iter()
            .filter_map(|hop| Some((hop.as_str(), path.hops.get(hop.as_str())?)))
        {
            for (quantile, value) in [("p50", statistics.p50), ("p99", statistics.p99)] {
                suite.add_property(Property::new(
                    format!("{name}.{hop}.{quantile}_us"),
                    value.to_string(),
                ));
            }
        }
    }
    let verdict = match report.verdict {
        Verdict::Pass => "pass",
        Verdict::Fail => "fail",
    };
    suite.add_property(Property::new("verdict", verdict));
    let mut out = quick_junit::Report::new("cdc-bench");
    out.add_test_suite(suite);
    out.to_string()
}

/// A test case for each objective.
fn add_objectives(suite: &mut TestSuite, objectives: &[Objective]) {
    for objective in objectives {
        let measured = figures::measured(objective);
        suite.add_test_case(case(
            &objective.name,
            objective.met,
            &format!("{measured}, and {} was asked", objective.target),
        ));
    }
}

/// The same of an observation: its objectives, and a test case for what is missing.
///
/// # Errors
/// When the XML cannot be written.
pub fn observation_junit(
    report: &ObservationReport,
) -> Result<String, quick_junit::SerializeError> {
    let mut suite = TestSuite::new(format!("cdc-bench observe {}", report.run.id));
    suite.set_time(Duration::try_from_secs_f64(report.run.duration_s).unwrap_or_default());
    suite.add_property(Property::new("started_at", report.run.started_at.as_str()));
    add_objectives(&mut suite, &report.objectives);
    suite.add_test_case(case(
        "nothing_missing",
        report.missing == 0,
        &format!(
            "{} of {} changes missing",
            report.missing, report.counts.captured
        ),
    ));
    for (hop, statistics) in report.observed().iter().flat_map(|path| &path.hops) {
        for (quantile, value) in [("p50", statistics.p50), ("p99", statistics.p99)] {
            let name = format!("observed.{hop}.{quantile}_us");
            suite.add_property(Property::new(name, value.to_string()));
        }
    }
    let mut out = quick_junit::Report::new("cdc-bench");
    out.add_test_suite(suite);
    out.to_string()
}

fn case(name: &str, met: bool, message: &str) -> TestCase {
    let status = if met {
        TestCaseStatus::success()
    } else {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
        status.set_message(message);
        status
    };
    let mut case = TestCase::new(name, status);
    case.set_classname("cdc-bench.objectives");
    if met {
        case.set_system_out(message);
    }
    case
}
