//! How far this machine's clock may be off by its NTP daemon's own account (chrony's).

use std::process::Stdio;
use std::time::Duration;

use cdc_bench_model::timeline::Nanos;
use tokio::process::Command;
use tokio::time::timeout;

use crate::pipeline::commands::worker::heartbeats::Standing;
use crate::pipeline::failure::Failure;

/// Between two questions.
const EVERY: Duration = Duration::from_secs(16);
/// Longest wait for an answer.
const LIMIT: Duration = Duration::from_secs(5);
/// The reference of a daemon that trusts the machine's own clock.
const ITSELF: &str = "7F7F0101";

/// Asks now.
///
/// # Errors
/// When there is no chrony, or the clock is not synchronised.
pub(super) async fn bound() -> Result<Nanos, Failure> {
    let failed = |reason: String| {
        Failure::usage(anyhow::anyhow!(
            "--trust-ntp: {reason}; without the option, clocks are measured by round trips alone"
        ))
    };
    let asked = Command::new("chronyc")
        .args(["-c", "-n", "tracking"])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = match timeout(LIMIT, asked).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => return Err(failed(format!("chronyc of chrony cannot be run: {error}"))),
        Err(_) => {
            return Err(failed(format!(
                "chronyc did not answer within {} s",
                LIMIT.as_secs()
            )));
        }
    };
    let (said, error) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    bound_in(&said).map_err(|reason| failed(format!("{reason}{}", trailing(&error))))
}

fn trailing(error: &str) -> String {
    match error.trim() {
        "" => String::new(),
        error => format!(" ({error})"),
    }
}

/// The bound in what `chronyc -c tracking` prints: the clock is off by no more than what is left to correct, the root dispersion and
/// half the root delay.
fn bound_in(said: &str) -> Result<Nanos, String> {
    let fields: Vec<_> = said.trim().split(',').collect();
    let [
        reference,
        _,
        _,
        _,
        left,
        _,
        _,
        _,
        _,
        _,
        delay,
        dispersion,
        _,
        leap,
    ] = fields[..]
    else {
        return Err(format!("chronyc said \"{}\"", said.trim()));
    };
    if leap == "Not synchronised" {
        return Err("this machine's clock is not synchronised".to_owned());
    }
    if reference == ITSELF {
        return Err("this machine's clock is its own reference".to_owned());
    }
    let seconds = |field: &str| -> Result<f64, String> {
        let number = field.parse::<f64>().ok().filter(|of| of.is_finite());
        number.ok_or_else(|| format!("chronyc said \"{}\"", said.trim()))
    };
    let bound = seconds(left)?.abs() + seconds(dispersion)? + seconds(delay)? / 2.0;
    Ok(Duration::try_from_secs_f64(bound)
        .map_err(|error| format!("chronyc said \"{}\": {error}", said.trim()))?
        .into())
}

/// Keeps the worker's bound up to date, until it is dropped.
pub(super) async fn follow(standing: &Standing) {
    loop {
        tokio::time::sleep(EVERY).await;
        let bound = match bound().await {
            Ok(bound) => Some(bound),
            Err(failure) => {
                tracing::warn!(%failure, "chrony's bound is not stated until it answers again");
                None
            }
        };
        standing.set(|state| state.ntp_bound = bound);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As chrony 4.3 prints it.
    const SYNCHRONISED: &str = "A29FC87B,162.159.200.123,4,1795977192.205861574,-0.000012000,0.000001501,0.000002360,-33.898,0.004,0.154,0.003000000,0.000480000,64.2,Normal\n";

    #[test]
    fn the_bound_is_what_is_left_to_correct_and_the_way_to_the_reference() {
        assert_eq!(bound_in(SYNCHRONISED), Ok(Nanos(1_992_000)));
    }

    #[test]
    fn a_clock_that_nothing_sets_has_no_bound() {
        let itself = "7F7F0101,,8,1795977192.205861574,0.000000000,0.000000000,0.000000000,0.000,0.000,0.000,0.000000000,0.000000000,0.0,Normal\n";
        let nothing = SYNCHRONISED.replace("Normal", "Not synchronised");
        for (said, reason) in [
            (itself, "its own reference"),
            (&*nothing, "not synchronised"),
            ("506 Cannot talk to daemon\n", "506 Cannot talk to daemon"),
            ("", "chronyc said \"\""),
            (&SYNCHRONISED.replace("0.000480000", "much"), "much"),
        ] {
            let error = bound_in(said).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}
