//! Apicurio's schema registry, and its converter for Connect.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::stack::{TestStack, free_port, until_within};
use super::process::{Process, fetch, fetch_with_dependencies, recent_java};

const REGISTRY: &str = "io.apicurio:apicurio-registry-app:3.3.3:tar.gz:all";
const CONVERTER: &str = "io.apicurio:apicurio-registry-utils-converter:2.6.13.Final";
const AVRO: &str = "io.apicurio.registry.utils.converter.AvroConverter";

pub struct Registry {
    url: String,
    _process: Process,
}

/// The folder of plugins with the converter.
pub fn converter(folder: &Path) -> String {
    let plugins = folder.join("converters");
    std::fs::create_dir_all(&plugins).unwrap();
    fetch_with_dependencies(CONVERTER, &plugins.join("apicurio"));
    plugins.display().to_string()
}

impl Registry {
    /// Its schemas are in memory.
    pub fn up(stack: &TestStack, folder: &Path) -> Self {
        let home = folder.join("registry");
        fetch(REGISTRY, &home);
        let archive = std::fs::read_dir(&home).unwrap().flatten().next().unwrap();
        let unpacked = Command::new("tar")
            .arg("-xzf")
            .arg(archive.path())
            .arg("-C")
            .arg(&home)
            .status();
        assert!(unpacked.unwrap().success());
        let port = free_port();
        let mut java = Command::new(recent_java());
        java.args(["-Xmx384m", "-XX:TieredStopAtLevel=1"])
            .args([
                format!("-Dquarkus.http.port={port}"),
                "-Dquarkus.http.host=127.0.0.1".to_owned(),
            ])
            .args(["-jar", "quarkus-run.jar"])
            .current_dir(home_of_jar(&home));
        let process = Process::start(&mut java, &folder.join("registry.log"));
        let url = format!("http://127.0.0.1:{port}/apis/registry/v2");
        until_within(Duration::from_secs(180), "the registry", || {
            stack.block_on(async {
                let client = cdc_bench_stack::http_client().build().unwrap();
                let asked = client.get(format!("{url}/system/info")).send().await;
                asked.is_ok_and(|answer| answer.status().is_success())
            })
        });
        Self {
            url,
            _process: process,
        }
    }

    /// A connector's configuration for Avro; with the ids of schemas in headers, or as Confluent has them.
    pub fn avro(&self, in_headers: bool) -> Value {
        let mut config = json!({});
        let members = config.as_object_mut().unwrap();
        for side in ["key.converter", "value.converter"] {
            for (setting, value) in [
                ("", AVRO.to_owned()),
                (".apicurio.registry.url", self.url.clone()),
                (".apicurio.registry.auto-register", "true".to_owned()),
                (".apicurio.registry.find-latest", "true".to_owned()),
                (".apicurio.registry.as-confluent", "true".to_owned()),
                (".apicurio.registry.use-id", "contentId".to_owned()),
                (".apicurio.registry.headers.enabled", in_headers.to_string()),
            ] {
                members.insert(format!("{side}{setting}"), value.into());
            }
            members.insert(format!("{side}.schemas.enable"), Value::Null);
        }
        config
    }
}

/// The folder of the program, which the archive may have in one of its own.
fn home_of_jar(home: &Path) -> std::path::PathBuf {
    let folders = std::fs::read_dir(home).unwrap().flatten();
    let mut folders = folders.map(|entry| entry.path());
    folders
        .find(|folder| folder.join("quarkus-run.jar").exists())
        .unwrap_or_else(|| home.to_owned())
}
