//! A registry asked for schemas: by Confluent's REST interface, and by Apicurio's own for what that has not.

use std::collections::HashSet;
use std::time::Duration;

use cdc_bench_stack::{RegistryEndpoint, RegistryEndpointError};
use reqwest::header::{CONTENT_TYPE, LOCATION};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::error::{self, RegistryError};
use super::schema::{RegisteredSchema, SchemaKind};
use crate::observe::records::wire::{SchemaId, guid_text};

/// Longest wait for one answer.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Most references of one schema that are followed.
const MOST_REFERENCES: usize = 200;

/// An HTTP client for one registry.
#[derive(Debug)]
pub(super) struct RegistryClient {
    http: reqwest::Client,
    endpoint: RegistryEndpoint,
}

/// A schema as Confluent's interface has it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    schema: String,
    /// Absent for Avro.
    schema_type: Option<String>,
    #[serde(default)]
    references: Vec<Reference>,
}

#[derive(Debug, Deserialize)]
struct Reference {
    name: String,
    subject: String,
    version: i64,
}

/// What is to be done for a reference.
enum Step {
    Fetch(Reference),
    /// Those that it refers to are kept.
    Keep(String, String),
}

impl RegistryClient {
    pub fn new(endpoint: RegistryEndpoint) -> Result<Self, RegistryEndpointError> {
        let http =
            endpoint.client(|builder| builder.timeout(TIMEOUT).connect_timeout(CONNECT_TIMEOUT))?;
        Ok(Self { http, endpoint })
    }

    pub fn endpoint(&self) -> &RegistryEndpoint {
        &self.endpoint
    }

    /// The schema of this id, with those that it refers to.
    pub async fn schema(&self, id: &SchemaId) -> Result<RegisteredSchema, RegistryError> {
        let found = match id {
            SchemaId::Number(number) => {
                self.answer(&["schemas", "ids", &number.to_string()])
                    .await?
            }
            SchemaId::Guid(guid) => self.answer(&["schemas", "guids", &guid_text(guid)]).await?,
            SchemaId::Global(number) => match self.by_global_id(*number).await? {
                Some(schema) => return Ok(schema),
                // Of a registry that has one kind of ids.
                None => {
                    self.answer(&["schemas", "ids", &number.to_string()])
                        .await?
                }
            },
        };
        let Some(answer) = found else {
            return Err(RegistryError::NoSchema {
                url: self.endpoint.to_string(),
                id: id.to_string(),
            });
        };
        Ok(RegisteredSchema {
            kind: kind(answer.schema_type.as_deref()),
            references: self.references(answer.references).await?,
            text: answer.schema,
        })
    }

    /// The texts of the schemas referred to, and of those that they refer to, which come before them.
    async fn references(
        &self,
        direct: Vec<Reference>,
    ) -> Result<Vec<(String, String)>, RegistryError> {
        let mut seen = HashSet::new();
        let mut texts = Vec::new();
        let mut steps: Vec<_> = direct.into_iter().map(Step::Fetch).collect();
        while let Some(step) = steps.pop() {
            let reference = match step {
                Step::Keep(name, text) => {
                    texts.push((name, text));
                    continue;
                }
                Step::Fetch(reference) => reference,
            };
            let is_new = seen.insert((reference.subject.clone(), reference.version));
            if !is_new || seen.len() > MOST_REFERENCES {
                continue;
            }
            let version = reference.version.to_string();
            let path = ["subjects", &reference.subject, "versions", &version];
            let Some(answer) = self.answer(&path).await? else {
                return Err(RegistryError::NoSchema {
                    url: self.endpoint.to_string(),
                    id: format!("subject {} in version {version}", reference.subject),
                });
            };
            steps.push(Step::Keep(reference.name, answer.schema));
            steps.extend(answer.references.into_iter().map(Step::Fetch));
        }
        Ok(texts)
    }

    /// The schema of this global id, by Apicurio's own interface in the versions that it has; `None` if there is neither.
    async fn by_global_id(&self, id: u64) -> Result<Option<RegisteredSchema>, RegistryError> {
        let id = id.to_string();
        // What it refers to is written into it.
        for (version, dereferenced) in [
            ("v3", ("references", "DEREFERENCE")),
            ("v2", ("dereference", "true")),
        ] {
            let path = [version, "ids", "globalIds", &id];
            let request = self
                .endpoint
                .get_of_apicurio(&self.http, &path)
                .query(&[dereferenced]);
            let Found::Answer(answer) = self.send(request).await? else {
                continue;
            };
            let text = self.body(answer).await?;
            return Ok(Some(RegisteredSchema {
                kind: kind_of_text(&text),
                text,
                references: Vec::new(),
            }));
        }
        Ok(None)
    }

    /// The answer at this path of Confluent's interface; `None` if there is nothing.
    async fn answer(&self, path: &[&str]) -> Result<Option<Answer>, RegistryError> {
        self.read(self.endpoint.get(&self.http, path)).await
    }

    async fn read<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
    ) -> Result<Option<T>, RegistryError> {
        let answer = match self.send(request).await? {
            Found::Answer(answer) => answer,
            Found::Nothing {
                is_registrys: true, ..
            } => return Ok(None),
            Found::Nothing { what, .. } => return Err(self.not_a_registry(what)),
        };
        let what = describe(&answer);
        let text = self.body(answer).await?;
        match serde_json::from_str(&text) {
            Ok(answer) => Ok(Some(answer)),
            Err(_) => Err(self.not_a_registry(what)),
        }
    }

    async fn body(&self, answer: Response) -> Result<String, RegistryError> {
        match answer.text().await {
            Ok(text) => Ok(text),
            Err(error) => Err(error::of_request(&self.endpoint, &error).await),
        }
    }

    async fn send(&self, request: RequestBuilder) -> Result<Found, RegistryError> {
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => return Err(error::of_request(&self.endpoint, &error).await),
        };
        let status = answer.status();
        match status {
            status if status.is_success() => Ok(Found::Answer(answer)),
            StatusCode::UNAUTHORIZED => Err(error::unauthorized(&self.endpoint)),
            StatusCode::FORBIDDEN => Err(error::forbidden(&self.endpoint)),
            StatusCode::NOT_FOUND => {
                let what = describe(&answer);
                let text = self.body(answer).await?;
                // Confluent's interface has a code of its own for it.
                let refusal = serde_json::from_str::<serde_json::Value>(&text).unwrap_or_default();
                let is_registrys = refusal.get("error_code").is_some();
                Ok(Found::Nothing { what, is_registrys })
            }
            status if status.is_redirection() => Err(RegistryError::Redirected {
                url: self.endpoint.to_string(),
                to: target(&answer),
            }),
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                Err(RegistryError::Away {
                    url: self.endpoint.to_string(),
                    reason: format!("it answered {status}"),
                })
            }
            _ => Err(self.not_a_registry(describe(&answer))),
        }
    }

    fn not_a_registry(&self, what: String) -> RegistryError {
        RegistryError::NotARegistry {
            url: self.endpoint.to_string(),
            what,
        }
    }
}

/// What there is at a path.
enum Found {
    Answer(Response),
    Nothing {
        /// The answer in words.
        what: String,
        /// Whether it is a registry that says so.
        is_registrys: bool,
    },
}

fn kind(name: Option<&str>) -> SchemaKind {
    match name {
        Some("PROTOBUF") => SchemaKind::Protobuf,
        Some("JSON") => SchemaKind::JsonSchema,
        _ => SchemaKind::Avro,
    }
}

/// What a schema without its kind is written in.
fn kind_of_text(text: &str) -> SchemaKind {
    let Ok(json) = serde_json::from_str::<serde_json::Value>(text) else {
        return SchemaKind::Protobuf;
    };
    let is_json_schema = ["$schema", "$id", "properties"]
        .iter()
        .any(|name| json.get(name).is_some());
    if is_json_schema {
        SchemaKind::JsonSchema
    } else {
        SchemaKind::Avro
    }
}

/// Status and type of an answer.
fn describe(answer: &Response) -> String {
    let kind = answer.headers().get(CONTENT_TYPE);
    let kind = kind
        .and_then(|kind| kind.to_str().ok())
        .unwrap_or("no content type");
    format!("{} with {kind}", answer.status())
}

/// Where a redirect leads, without what may be secret.
fn target(answer: &Response) -> String {
    let location = answer
        .headers()
        .get(LOCATION)
        .and_then(|value| value.to_str().ok());
    let Some(to) = location.and_then(|text| answer.url().join(text).ok()) else {
        return "nowhere".to_owned();
    };
    format!("{}{}", to.origin().ascii_serialization(), to.path())
}
