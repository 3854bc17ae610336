//! Every format of a result shows the same figures: each is parsed and compared with the report.

use super::*;
use crate::timeline::Hop;

/// A hop as a form shows it: count, p50, p95, p99, max, and its bound where it has one.
#[derive(Debug, Clone, PartialEq)]
struct Shown {
    figures: [String; 5],
    bound: String,
}

/// The figures of the report, in the units of the formats.
fn reported(path: &PathReport, hop: Hop) -> ([i64; 4], u64, Option<i64>) {
    let s = path.hops[hop.as_str()];
    ([s.p50, s.p95, s.p99, s.max], s.count, s.error_bound)
}

fn agrees(shown: &str, us: i64) -> bool {
    let shown: f64 = shown
        .trim_matches(['(', ')'])
        .parse()
        .unwrap_or_else(|_| panic!("{shown:?} is no figure"));
    let exact = us as f64 / 1e3;
    let half_a_digit = if exact.abs() < 100.0 { 0.005 } else { 0.5 };
    (shown - exact).abs() <= half_a_digit + 1e-9
}

fn check(report: &Report, form: &str, shown: impl Fn(&str, Hop) -> Shown) {
    for (name, path) in &report.paths {
        for hop in Hop::PIPELINE.into_iter().chain([Hop::Total]) {
            let (quantiles, count, bound) = reported(path, hop);
            let Shown { figures, bound: b } = shown(name, hop);
            let context = format!("{form}, {name}, {}: {figures:?} ± {b:?}", hop.as_str());
            assert_eq!(figures[0], count.to_string(), "{context}");
            for (figure, us) in figures[1..].iter().zip(quantiles) {
                assert!(agrees(figure, us), "{context}: {us}");
            }
            match bound {
                Some(0) => assert_eq!(b, "", "{context}"),
                Some(bound) => assert!(agrees(&b, bound), "{context}"),
                None => assert_eq!(b, "?", "{context}"),
            }
            let in_brackets = figures[1].starts_with('(');
            let unsure = bound.is_none_or(|bound| bound > quantiles[0].abs());
            assert_eq!(in_brackets, unsure && bound != Some(0), "{context}");
        }
    }
}

fn owned<const N: usize>(cells: [&str; N]) -> [String; N] {
    cells.map(str::to_owned)
}

fn in_text(text: &str, path: &str, hop: Hop) -> Shown {
    let text = console::strip_ansi_codes(text).into_owned();
    let section = text.split(&format!("\n{path}\n")).nth(1).unwrap();
    let line = section
        .lines()
        .find(|line| line.split_whitespace().next() == Some(hop.as_str()))
        .unwrap();
    let cells: Vec<_> = line.split_whitespace().collect();
    let bound = cells
        .get(6)
        .filter(|cell| cell.parse::<f64>().is_ok() || **cell == "?");
    Shown {
        figures: owned([cells[1], cells[2], cells[3], cells[4], cells[5]]),
        bound: bound.map_or_else(String::new, |cell| (*cell).to_owned()),
    }
}

fn in_markdown(markdown: &str, path: &str, hop: Hop) -> Shown {
    let section = markdown.split(&format!("\n**{path}**\n")).nth(1).unwrap();
    let cells: Vec<_> = section
        .lines()
        .map(|line| line.split('|').map(str::trim).collect::<Vec<_>>())
        .find(|cells| cells.len() > 2 && cells[1].trim_matches('*') == hop.as_str())
        .unwrap();
    Shown {
        figures: owned([cells[2], cells[3], cells[4], cells[5], cells[6]]),
        bound: cells[7].to_owned(),
    }
}

/// All text beneath a node.
fn text(node: roxmltree::Node<'_, '_>) -> String {
    node.descendants()
        .filter(roxmltree::Node::is_text)
        .filter_map(|node| node.text())
        .collect()
}

/// The page as XML: it is written to be well formed.
fn parse(page: &str) -> roxmltree::Document<'_> {
    let body = page.strip_prefix("<!doctype html>").unwrap();
    roxmltree::Document::parse(body).unwrap()
}

fn in_html(page: &roxmltree::Document<'_>, path: &str, hop: Hop) -> Shown {
    let table = page
        .descendants()
        .find(|node| node.attribute("data-path") == Some(path))
        .unwrap();
    let row = table
        .descendants()
        .filter(|node| node.has_tag_name("tr"))
        .find(|row| {
            row.children()
                .find(|cell| cell.has_tag_name("th"))
                .is_some_and(|th| text(th) == hop.as_str())
        })
        .unwrap();
    let cells: Vec<_> = row
        .children()
        .filter(|cell| cell.has_tag_name("td"))
        .map(text)
        .collect();
    Shown {
        // count, min, p50, p90, p95, p99, p99.9, max, bound
        figures: [0, 2, 4, 5, 7].map(|n| cells[n].clone()),
        bound: cells[8].clone(),
    }
}

fn stored(report: &Report) -> (tempfile::TempDir, Stored) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.json");
    std::fs::write(&path, serde_json::to_vec_pretty(report).unwrap()).unwrap();
    let stored = Stored::read(&path).unwrap();
    (folder, stored)
}

#[test]
fn text_markdown_html_and_csv_show_the_figures_of_the_report() {
    let report = sample::two_paths();
    let (_folder, stored) = stored(&report);
    let shown_text = render(&report);
    check(&report, "text", |path, hop| in_text(&shown_text, path, hop));
    let shown_markdown = markdown(&report);
    check(&report, "Markdown", |path, hop| {
        in_markdown(&shown_markdown, path, hop)
    });
    let html = page(&stored).unwrap();
    let document = parse(&html);
    check(&report, "HTML", |path, hop| in_html(&document, path, hop));

    // And the same to the letter, so that a figure can be looked up in another form.
    for path in report.paths.keys() {
        for hop in Hop::PIPELINE.into_iter().chain([Hop::Total]) {
            let shown = in_text(&shown_text, path, hop);
            assert_eq!(shown, in_markdown(&shown_markdown, path, hop));
            assert_eq!(shown, in_html(&document, path, hop));
        }
    }

    let csv = csv(&report);
    let mut lines = csv.lines();
    let columns: Vec<_> = lines.next().unwrap().split(',').collect();
    let lines: Vec<Vec<_>> = lines.map(|line| line.split(',').collect()).collect();
    for (name, path) in &report.paths {
        for (hop, statistics) in &path.hops {
            let line = lines
                .iter()
                .find(|line| line[1] == name && line[2] == hop)
                .unwrap();
            let of_report = serde_json::to_value(statistics).unwrap();
            for (column, cell) in columns.iter().zip(line).skip(3) {
                let field = &of_report[column.trim_end_matches("_us")];
                let expected = if field.is_null() {
                    String::new()
                } else {
                    field.to_string()
                };
                assert_eq!(*cell, expected, "{name} {hop} {column}");
            }
        }
    }
}

#[test]
fn every_form_tells_which_objectives_were_missed() {
    let report = sample::report();
    let (_folder, stored) = stored(&report);
    let text_form = console::strip_ansi_codes(&render(&report)).into_owned();
    let markdown_form = markdown(&report);
    let html = page(&stored).unwrap();
    let document = parse(&html);
    let xml = junit(&report).unwrap();
    let junit_form = roxmltree::Document::parse(&xml).unwrap();
    for objective in &report.objectives {
        let measured = objective
            .measured
            .map_or("not measured".to_owned(), |value| format!("{value:.2}"));
        let met = if objective.met { "met" } else { "missed" };
        let line = text_form
            .lines()
            .find(|line| line.split_whitespace().nth(1) == Some(&objective.name))
            .unwrap();
        assert!(line.starts_with(met) && line.ends_with(&measured), "{line}");
        let line = markdown_form
            .lines()
            .find(|line| line.starts_with(&format!("| {} |", objective.name)))
            .unwrap();
        assert!(line.contains(&measured) && line.contains(met), "{line}");
        let row = document
            .descendants()
            .filter(|node| node.has_tag_name("tr"))
            .map(text)
            .find(|row| row.starts_with(&objective.name))
            .unwrap();
        assert!(row.contains(&measured) && row.ends_with(met), "{row}");
        let case = junit_form
            .descendants()
            .find(|node| {
                node.has_tag_name("testcase") && node.attribute("name") == Some(&objective.name)
            })
            .unwrap();
        let failure = case.children().find(|node| node.has_tag_name("failure"));
        assert_eq!(failure.is_some(), !objective.met, "{}", objective.name);
        if let Some(failure) = failure {
            let message = failure.attribute("message").unwrap();
            assert!(
                message.contains(&measured) && message.contains(&objective.target),
                "{message}"
            );
        }
    }
    let suite = junit_form
        .descendants()
        .find(|node| node.has_tag_name("testsuite"))
        .unwrap();
    assert_eq!(
        suite.attribute("tests"),
        Some("5"),
        "the data is a test too"
    );
    assert_eq!(suite.attribute("failures"), Some("2"));
}

#[test]
fn every_form_says_what_an_advice_would_gain() {
    let mut report = sample::report();
    report.diagnosis.findings[0].expected_gain = Some(248_600);
    let (_folder, stored) = stored(&report);
    let html = page(&stored).unwrap();
    for form in [
        console::strip_ansi_codes(&render(&report)).into_owned(),
        markdown(&report),
        text(parse(&html).root()),
    ] {
        let line = form.lines().find(|line| line.contains("linger"));
        let found = line
            .unwrap()
            .contains("; expected gain: 249 ms at the median");
        assert!(found, "{line:?}");
    }
}

#[test]
fn a_lost_event_fails_the_test_suite_though_the_objectives_are_met() {
    let mut report = sample::report();
    report.counts.lost = 1;
    report.objectives.retain(|objective| objective.met);
    let xml = junit(&report).unwrap();
    let document = roxmltree::Document::parse(&xml).unwrap();
    let failed: Vec<_> = document
        .descendants()
        .filter(|node| node.has_tag_name("failure"))
        .filter_map(|node| node.parent()?.attribute("name"))
        .collect();
    assert_eq!(failed, ["nothing_lost"]);
}

#[test]
fn markdown_is_for_a_comment() {
    let markdown = markdown(&sample::report());
    assert!(markdown.len() < 65_536, "the longest comment GitHub takes");
    insta::assert_snapshot!(markdown);
}
