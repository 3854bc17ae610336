//! Lines of the application: whether they can be read.

use super::sink::check_lines;
use crate::broker::Admin;
use crate::observe::lines_source::LinesSource;
use crate::observe::request::{PipelineRequest, SinkChoice};
use crate::pipeline::Failure;

const FLAG: &str = "--lines-source";

/// Where they are, if there are any.
pub(super) async fn find(
    request: &PipelineRequest,
    admin: &Admin,
) -> Result<Option<LinesSource>, Failure> {
    let Some(source) = &request.source_lines else {
        return Ok(None);
    };
    if matches!(&request.sink, SinkChoice::Lines(of_consumer) if of_consumer == source) {
        return Err(Failure::usage(anyhow::anyhow!(
            "{source} cannot have the lines of the consumer (--lines) and of the application ({FLAG}) at once: let each write its own"
        )));
    }
    check_lines(source, FLAG, admin).await?;
    Ok(Some(source.clone()))
}
