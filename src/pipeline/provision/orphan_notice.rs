//! What dead commands have left, in a line each, for whoever starts the next command.

use std::time::Duration;

use cdc_bench_stack::PostgresEndpoint;
use tokio::time::timeout;

use crate::pipeline::failure::Failure;
use crate::pipeline::provision::orphans::{Found, OwnedResource, Standing, find};
use crate::pipeline::provision::resource_registry::ResourceKind;
use crate::pipeline::provision::session_lock::RETURN_LIMIT;
use crate::pipeline::provision::source::connect_postgres;

/// Longest wait for the answer.
const LIMIT: Duration = Duration::from_secs(2);
/// Most commands that are named.
const MOST_NAMED: usize = 3;

/// What dead commands have left on the servers around this database; nothing where that cannot be looked at. `can_go_on`: whether
/// a run can be taken up from here.
pub async fn orphan_notice(
    postgres: &PostgresEndpoint,
    can_go_on: &(dyn Fn(&str) -> bool + Sync),
) -> Vec<String> {
    let look = async {
        let client = connect_postgres(postgres).await?;
        Ok::<_, Failure>(find(&client).await?)
    };
    match timeout(LIMIT, look).await {
        // Those who live take the locks again that the server has let go of.
        Ok(Ok(found)) if found.up_for > RETURN_LIMIT => lines(&found, can_go_on),
        Ok(Ok(_)) => Vec::new(),
        Ok(Err(failure)) => {
            tracing::debug!(%failure, "whether dead runs have left something is not known");
            Vec::new()
        }
        Err(_) => {
            tracing::debug!("whether dead runs have left something was not answered in time");
            Vec::new()
        }
    }
}

fn lines(found: &Found, can_go_on: &(dyn Fn(&str) -> bool + Sync)) -> Vec<String> {
    let is_left = |resource: &&OwnedResource| {
        matches!(resource.standing, Standing::Dead | Standing::Unknown)
            && !resource.entry.kind.is_owner()
    };
    let mut owners: Vec<&OwnedResource> = Vec::new();
    for resource in found.resources.iter().filter(is_left) {
        if !owners.iter().any(|known| known.owner == resource.owner) {
            owners.push(resource);
        }
    }
    let named = owners.iter().take(MOST_NAMED).map(|of| {
        let resources = found.resources.iter().filter(is_left);
        let resources = resources.filter(|resource| resource.owner == of.owner);
        line(of, resources, can_go_on)
    });
    let mut lines: Vec<_> = named.collect();
    if let Some(more @ 1..) = owners.len().checked_sub(MOST_NAMED) {
        lines.push(format!(
            "and {more} more: \"cdc-bench cleanup --orphans --dry-run\" lists everything"
        ));
    }
    lines
}

fn line<'a>(
    of: &OwnedResource,
    resources: impl Iterator<Item = &'a OwnedResource>,
    can_go_on: &(dyn Fn(&str) -> bool + Sync),
) -> String {
    let mut kinds: Vec<(ResourceKind, Vec<&str>)> = Vec::new();
    for OwnedResource { entry, .. } in resources {
        match kinds.iter_mut().find(|(kind, _)| *kind == entry.kind) {
            Some((_, names)) => names.push(&entry.name),
            None => kinds.push((entry.kind, vec![&entry.name])),
        }
    }
    let kinds = kinds.iter().map(|(kind, names)| match &names[..] {
        [name] => format!("{kind} {name}"),
        _ => format!("{} {kind}s", names.len()),
    });
    let left = kinds.collect::<Vec<_>>().join(", ");
    let owner = &of.owner;
    let run = of.entry.run().unwrap_or_default();
    let or_goes_on = if can_go_on(run) {
        format!(", \"cdc-bench run --resume {run}\" takes it up")
    } else {
        String::new()
    };
    match of.standing {
        Standing::Unknown => {
            format!(
                "{owner} may have ended without cleaning up: {left}; if so, \"cdc-bench cleanup --run {run}\" removes what it left"
            )
        }
        _ => format!(
            "{owner} ended without cleaning up: {left}; \"cdc-bench cleanup --orphans\" removes what it left{or_goes_on}"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::provision::resource_registry::RegistryEntry;

    fn of(run: &str, kind: ResourceKind, name: &str, standing: Standing) -> OwnedResource {
        let mut entry = RegistryEntry::lasting(kind, name.to_owned());
        entry.run_id = Some(run.to_owned());
        OwnedResource {
            entry,
            owner: format!("run {run}"),
            standing,
            age: None,
        }
    }

    #[test]
    fn a_line_a_command_says_what_it_left_and_what_removes_it() {
        let found = |resources| Found {
            resources,
            ..Found::default()
        };
        let (dead, alive) = (Standing::Dead, Standing::Alive);
        let resources = vec![
            of("a", ResourceKind::Run, "a", dead.clone()),
            of("a", ResourceKind::Topic, "t", dead.clone()),
            of("b", ResourceKind::Slot, "s", alive),
            of("a", ResourceKind::Slot, "x", dead.clone()),
            of("a", ResourceKind::Topic, "u", dead.clone()),
            of("c", ResourceKind::Slot, "y", Standing::Unknown),
        ];
        let goes_on = |run: &str| run == "a";
        assert_eq!(
            lines(&found(resources), &goes_on),
            [
                "run a ended without cleaning up: 2 topics, slot x; \"cdc-bench cleanup --orphans\" removes what it left, \"cdc-bench run --resume a\" takes it up",
                "run c may have ended without cleaning up: slot y; if so, \"cdc-bench cleanup --run c\" removes what it left",
            ]
        );
        let many = ["a", "b", "c", "d", "e"];
        let many = many.map(|run| of(run, ResourceKind::Slot, run, dead.clone()));
        let lines = lines(&found(many.into()), &goes_on);
        assert_eq!(lines.len(), MOST_NAMED + 1);
        assert!(lines[MOST_NAMED].starts_with("and 2 more"), "{lines:?}");
    }
}
