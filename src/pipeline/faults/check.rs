//! Whether a run can make the faults it is asked for, before anything is made.

use cdc_bench_model::timeline::CapturePath;
use cdc_bench_stack::StackKind;

use super::fault::{Fault, FaultTarget, LinkTarget, ProcessTarget};

/// Why a run cannot make a fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImpossibleFault {
    /// The server is not ours.
    #[error(
        "--fault {fault}: {target} is not ours to take away (--stack {stack}); a local stack's servers are: leave out the addresses of your own servers (POSTGRES_HOST, KAFKA_BOOTSTRAP_SERVERS, CONNECT_URL, MONGODB_URI), or make the fault a consumer's or a reader's, which are parts of this program"
    )]
    NotOurs {
        /// The fault.
        fault: String,
        /// What it is about.
        target: &'static str,
        /// Where the servers come from.
        stack: StackKind,
    },
    /// There is no such part in the run.
    #[error(
        "--fault {0}: our reader only observes on this run's capture path; it captures with --capture wal, embedded or both"
    )]
    NoReader(String),
    /// No path goes over the link.
    #[error(
        "--fault {fault}: no capture path of this run goes over {link}; {} goes over it (--capture)",
        names(link.paths())
    )]
    UnusedLink {
        /// The fault.
        fault: String,
        /// The link.
        link: LinkTarget,
    },
}

fn names(paths: &[CapturePath]) -> String {
    let names: Vec<_> = paths.iter().map(|path| path.as_str()).collect();
    names.join(" or ")
}

/// Whether a run on such a stack, by these paths, can make these faults.
///
/// # Errors
/// The first that it cannot make.
pub fn check_faults(
    faults: &[Fault],
    stack: StackKind,
    paths: &[CapturePath],
) -> Result<(), ImpossibleFault> {
    for fault in faults {
        if fault.needs_local_stack() && stack != StackKind::Local {
            return Err(ImpossibleFault::NotOurs {
                fault: fault.to_string(),
                target: fault.target().as_str(),
                stack,
            });
        }
        let is_readers = fault.target() == FaultTarget::Process(ProcessTarget::Reader);
        if is_readers && paths.iter().all(|path| *path == CapturePath::Debezium) {
            return Err(ImpossibleFault::NoReader(fault.to_string()));
        }
        if let FaultTarget::Link(link) = fault.target()
            && !paths.iter().any(|path| link.paths().contains(path))
        {
            return Err(ImpossibleFault::UnusedLink {
                fault: fault.to_string(),
                link,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_taken_away_from_a_stack_of_ours_alone_and_a_reader_where_it_captures() {
        let check = |fault: &str, stack, path| {
            let faults: Vec<Fault> = vec![fault.parse().unwrap()];
            check_faults(&faults, stack, &[path])
        };
        let (local, external) = (StackKind::Local, StackKind::External);
        let debezium = CapturePath::Debezium;
        assert_eq!(check("kill:kafka@1s", local, debezium), Ok(()));
        for other in [external, StackKind::Compose] {
            let error = check("kill:kafka@1s", other, debezium).unwrap_err();
            let text = error.to_string();
            assert!(text.contains("kafka is not ours") && text.contains("POSTGRES_HOST"));
        }
        assert_eq!(check("pause:consumer@1s", external, debezium), Ok(()));
        assert_eq!(check("pause:reader@1s", external, CapturePath::Wal), Ok(()));
        let error = check("kill:reader@1s", local, debezium).unwrap_err();
        assert!(error.to_string().contains("--capture wal"), "{error}");
    }

    #[test]
    fn a_link_is_cut_where_a_path_of_the_run_goes_over_it() {
        use CapturePath::{Debezium, Embedded, Wal};
        for (link, path, is_used) in [
            ("connect-kafka", Debezium, true),
            ("connect-kafka", Wal, false),
            ("connect-postgres", Wal, false),
            ("reader-kafka", Debezium, false),
            ("reader-kafka", Wal, true),
            ("consumer-kafka", Wal, true),
            ("consumer-kafka", Embedded, false),
            ("reader-postgres", Debezium, true),
            ("consumer-store", Embedded, true),
        ] {
            let faults = [format!("cut:{link}@1s").parse().unwrap()];
            let checked = check_faults(&faults, StackKind::Local, &[path]);
            assert_eq!(checked.is_ok(), is_used, "{link} {path}: {checked:?}");
        }
        let faults = ["cut:consumer-kafka@1s".parse().unwrap()];
        let error = check_faults(&faults, StackKind::Local, &[Embedded]).unwrap_err();
        assert!(error.to_string().contains("debezium or wal"), "{error}");
    }
}
