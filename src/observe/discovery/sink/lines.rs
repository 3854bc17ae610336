//! Lines of the consumer: whether they can be read.

use crate::broker::Admin;
use crate::observe::lines_source::LinesSource;
use crate::pipeline::Failure;

pub(super) async fn check(source: &LinesSource, admin: &Admin) -> Result<(), Failure> {
    let refused = |why: String| Err(Failure::usage(anyhow::anyhow!("--lines: {why}")));
    if let LinesSource::Topic(name) = source
        && admin.topic(name).await?.is_none()
    {
        return refused(format!(
            "topic \"{name}\" does not exist, or this user may not describe it; name another (--lines topic:NAME), or allow DESCRIBE and READ on it"
        ));
    }
    match source.check() {
        Ok(()) => Ok(()),
        Err(error) => refused(error.to_string()),
    }
}
