//! A test whose coordinator was killed, as another one takes it up.

use cdc_bench_model::RunId;
use cdc_bench_model::report::ResultFolder;

use crate::broker::Admin;
use crate::pipeline::distributed::control_topic::ControlTopic;
use crate::pipeline::failure::Failure;
use crate::pipeline::request::parameters::RunParameters;
use crate::pipeline::request::{DistributedRequest, RunRequest};
use crate::settings::Settings;

/// The parameters of the run of a test that is under way; `None` if there is no such test, or it has no plan yet.
///
/// # Errors
/// When the broker does not answer.
pub async fn test_under_way(
    test: &DistributedRequest,
    settings: &Settings,
) -> Result<Option<RunParameters>, Failure> {
    let given = cdc_bench_stack::running_endpoints(&settings.servers())?;
    let config = given.kafka()?.client_config();
    let kafka = Admin::connect(&config).await?;
    let state = ControlTopic::look(&kafka, &config, &test.test).await?;
    let plan = state.filter(|state| state.end.is_none());
    Ok(plan
        .and_then(|state| state.plan)
        .map(|plan| plan.parameters))
}

impl RunParameters {
    /// Id of the run.
    ///
    /// # Errors
    /// When it is none.
    pub fn run_id(&self) -> Result<RunId, Failure> {
        RunId::parse(&self.id).map_err(|error| Failure::usage(anyhow::anyhow!(error)))
    }

    /// The run of a test that is under way, as its new coordinator takes it up.
    ///
    /// # Errors
    /// When the parameters are none of a run.
    pub fn taken_up(
        self,
        folder: ResultFolder,
        settings: Settings,
        test: DistributedRequest,
    ) -> Result<RunRequest, Failure> {
        let limit = self.limit();
        let run = self.request(folder, settings, (None, limit))?;
        Ok(RunRequest {
            distributed: Some(DistributedRequest {
                is_taken_up: true,
                ..test
            }),
            ..run
        })
    }
}
