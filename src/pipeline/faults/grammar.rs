//! Faults as they are given on the command line: `ACTION:TARGET@MOMENT[,for=TIME]`.

use std::str::FromStr;
use std::time::Duration;

use super::fault::{
    Fault, FaultAction, LinkAction, LinkTarget, Moment, ProcessAction, ProcessTarget,
};

/// Longest time a fault goes on, and latest moment.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// How long a fault of a link goes on where that is not said.
const USUAL_LINK: Duration = Duration::from_secs(5);

/// What is wrong with a fault, and how it is written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0}; a fault is ACTION:TARGET@MOMENT[,for=TIME] with kill, stop, restart or pause of postgres, kafka, connect, store, consumer or reader, or of one of several (kafka-2, connect-1), or cut, reset, delay (,by=TIME) or throttle (,to=BYTES a second) of connect-postgres, reader-postgres, connect-kafka, reader-kafka, consumer-kafka or consumer-store; MOMENT is a TIME since the load began or a share of the load, TIME has its unit (ms, s, m): kill:connect@30%, pause:store@9s,for=2s, delay:consumer-store@50%,by=40ms,for=5s"
)]
pub struct ParseFaultError(String);

impl FromStr for Fault {
    type Err = ParseFaultError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |what: String| ParseFaultError(what);
        let (action, rest) = text
            .split_once(':')
            .ok_or_else(|| wrong(format!("{text:?} has no \":\" after its action")))?;
        let (target, rest) = rest
            .split_once('@')
            .ok_or_else(|| wrong(format!("{text:?} does not say when: no \"@\"")))?;
        let mut parts = rest.split(',');
        let moment = moment(parts.next().unwrap_or_default())?;
        let mut options = Options::default();
        for part in parts {
            options.set(part)?;
        }
        let process = ProcessTarget::ALL
            .into_iter()
            .chain(ProcessTarget::NODES)
            .find(|known| known.as_str() == target);
        let link = LinkTarget::ALL
            .into_iter()
            .find(|known| known.as_str() == target);
        let (action, usual) = match (process, link) {
            (Some(process), _) => {
                let known = ProcessAction::ALL
                    .into_iter()
                    .find(|known| known.as_str() == action);
                let action = known.ok_or_else(|| {
                    wrong(format!("{action:?} is nothing that is done to a process"))
                })?;
                (FaultAction::Process(action, process), action.usual_length())
            }
            (None, Some(link)) => (
                FaultAction::Link(options.link_action(action)?, link),
                USUAL_LINK,
            ),
            (None, None) => {
                return Err(wrong(format!(
                    "{target:?} is neither a process nor a link of the pipeline"
                )));
            }
        };
        options.all_used()?;
        let is_moment = matches!(
            action,
            FaultAction::Process(ProcessAction::Restart, _)
                | FaultAction::Link(LinkAction::Reset, _)
        );
        match options.length {
            Some(_) if is_moment => Err(wrong(format!(
                "{text:?} is over at once, and has no length: \"stop\" and \"cut\" have one"
            ))),
            Some(length) if length.is_zero() => {
                Err(wrong(format!("{text:?} would go on for no time at all")))
            }
            length => Ok(Self {
                action,
                moment,
                length: if is_moment {
                    Duration::ZERO
                } else {
                    length.unwrap_or(usual)
                },
            }),
        }
    }
}

/// What follows the moment.
#[derive(Debug, Default)]
struct Options {
    length: Option<Duration>,
    by: Option<Duration>,
    bytes_per_s: Option<u64>,
}

impl Options {
    fn set(&mut self, part: &str) -> Result<(), ParseFaultError> {
        let given_twice = || ParseFaultError(format!("{part:?} is given twice"));
        match part.split_once('=') {
            Some(("for", value)) => {
                let before = self.length.replace(time(value)?);
                before.map_or(Ok(()), |_| Err(given_twice()))
            }
            Some(("by", value)) => {
                let before = self.by.replace(time(value)?);
                before.map_or(Ok(()), |_| Err(given_twice()))
            }
            Some(("to", value)) => {
                let bytes: u64 = value
                    .parse()
                    .ok()
                    .filter(|bytes| *bytes > 0)
                    .ok_or_else(|| ParseFaultError(format!("{value:?} is no number of bytes")))?;
                let before = self.bytes_per_s.replace(bytes);
                before.map_or(Ok(()), |_| Err(given_twice()))
            }
            _ => Err(ParseFaultError(format!("{part:?} is no option of a fault"))),
        }
    }

    fn link_action(&mut self, action: &str) -> Result<LinkAction, ParseFaultError> {
        let missing = |what: &str| ParseFaultError(format!("\"{action}\" needs {what}"));
        match action {
            "cut" => Ok(LinkAction::Cut),
            "reset" => Ok(LinkAction::Reset),
            "delay" => {
                let by = self.by.take();
                let by = by.ok_or_else(|| missing("by how much: by=TIME"))?;
                Ok(LinkAction::Delay(by))
            }
            "throttle" => {
                let bytes = self.bytes_per_s.take();
                let bytes = bytes.ok_or_else(|| missing("to how much: to=BYTES a second"))?;
                Ok(LinkAction::Throttle(bytes))
            }
            _ => Err(ParseFaultError(format!(
                "{action:?} is nothing that is done to a link"
            ))),
        }
    }

    /// Whether what is left is of every fault.
    fn all_used(&self) -> Result<(), ParseFaultError> {
        match (self.by, self.bytes_per_s) {
            (None, None) => Ok(()),
            (Some(_), _) => Err(ParseFaultError("\"by\" is of a delay alone".to_owned())),
            (None, Some(_)) => Err(ParseFaultError("\"to\" is of a throttle alone".to_owned())),
        }
    }
}

fn moment(text: &str) -> Result<Moment, ParseFaultError> {
    let Some(percent) = text.strip_suffix('%') else {
        return time(text).map(Moment::After);
    };
    let percent: Option<f64> = percent.parse().ok();
    let within = percent.filter(|percent| (0.0..=100.0).contains(percent));
    within
        .map(Moment::Percent)
        .ok_or_else(|| ParseFaultError(format!("{text:?} is no share of a load, 0% to 100%")))
}

/// A number with its unit.
fn time(text: &str) -> Result<Duration, ParseFaultError> {
    let wrong = || ParseFaultError(format!("{text:?} is no time"));
    let at = text.find(|c: char| c.is_ascii_alphabetic());
    let (number, unit) = text.split_at(at.ok_or_else(wrong)?);
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "ms" => number / 1e3,
        "s" => number,
        "m" => number * 60.0,
        _ => return Err(wrong()),
    };
    let time = Duration::try_from_secs_f64(seconds).map_err(|_| wrong())?;
    if time > LONGEST {
        return Err(ParseFaultError(format!("{text:?} is more than a day")));
    }
    Ok(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> Fault {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn a_fault_says_what_is_done_to_what_and_when() {
        let kill = fault("kill:connect@30%");
        assert_eq!(
            kill.action,
            FaultAction::Process(ProcessAction::Kill, ProcessTarget::Connect)
        );
        assert_eq!(kill.moment, Moment::Percent(30.0));
        assert_eq!(kill.length, Duration::ZERO);
        let pause = fault("pause:store@9s,for=2s");
        assert_eq!(pause.moment, Moment::After(Duration::from_secs(9)));
        assert_eq!(pause.length, Duration::from_secs(2));
        assert_eq!(fault("pause:reader@1m").length, Duration::from_secs(5));
        assert_eq!(
            fault("delay:consumer-store@1.5s,for=500ms,by=40ms").action,
            FaultAction::Link(
                LinkAction::Delay(Duration::from_millis(40)),
                LinkTarget::ConsumerStore
            )
        );
    }

    #[test]
    fn a_fault_is_written_as_it_is_read() {
        for text in [
            "kill:postgres@0%",
            "kill:kafka@12.5%,for=5s",
            "stop:consumer@2s,for=5s",
            "restart:store@100%",
            "pause:reader@0.25s,for=0.5s",
            "cut:reader-postgres@50%,for=3s",
            "reset:connect-postgres@50%",
            "cut:connect-kafka@7.3s,for=0.2s",
            "delay:consumer-store@50%,by=40ms,for=5s",
            "throttle:consumer-store@50%,to=20000,for=5s",
        ] {
            let written = fault(text).to_string();
            assert_eq!(written, text);
            assert_eq!(fault(&written), fault(text));
        }
    }

    #[test]
    fn what_is_no_fault_is_refused_with_what_is_wrong_and_how_it_is_written() {
        for (text, what) in [
            ("", "no \":\""),
            ("connect@30%", "no \":\""),
            ("kill:connect", "does not say when"),
            ("kill:connect@", "\"\" is no time"),
            ("kill:connect@30", "\"30\" is no time"),
            ("kill:connect@101%", "no share of a load"),
            ("kill:connect@-1%", "no share of a load"),
            ("kill:connect@NaN%", "no share of a load"),
            ("kill:connect@-1s", "\"-1s\" is no time"),
            ("kill:connect@1h", "\"1h\" is no time"),
            ("kill:connect@1000000m", "more than a day"),
            ("kill:zookeeper@1s", "neither a process nor a link"),
            ("cut:connect@1s", "nothing that is done to a process"),
            ("kill:consumer-store@1s", "nothing that is done to a link"),
            ("kill:connect@1s,5s", "no option of a fault"),
            ("kill:connect@1s,for=2s,for=3s", "given twice"),
            ("kill:connect@1s,by=2s", "of a delay alone"),
            ("cut:consumer-store@1s,to=2", "of a throttle alone"),
            ("restart:connect@1s,for=2s", "over at once"),
            ("pause:connect@1s,for=0s", "no time at all"),
            ("delay:consumer-store@1s", "needs by how much"),
            ("throttle:consumer-store@1s,to=0", "no number of bytes"),
        ] {
            let error = text.parse::<Fault>().unwrap_err().to_string();
            assert!(error.contains(what), "{text}: {error}");
            assert!(error.contains("kill:connect@30%"), "{error}");
        }
    }
}
