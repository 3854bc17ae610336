//! Lines of a program: whether they can be read.

use crate::broker::Admin;
use crate::observe::lines_source::LinesSource;
use crate::pipeline::Failure;

/// `flag`: that of the command line which names them.
pub(in crate::observe) async fn check(
    source: &LinesSource,
    flag: &str,
    admin: &Admin,
) -> Result<(), Failure> {
    let refused = |why: String| Err(Failure::usage(anyhow::anyhow!("{flag}: {why}")));
    if let LinesSource::Topic(name) = source
        && admin.topic(name).await?.is_none()
    {
        return refused(format!(
            "topic \"{name}\" does not exist, or this user may not describe it; name another ({flag} topic:NAME), or allow DESCRIBE and READ on it"
        ));
    }
    match source.check(flag) {
        Ok(()) => Ok(()),
        Err(error) => refused(error.to_string()),
    }
}
