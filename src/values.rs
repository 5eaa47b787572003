//! Helm values: the expected settings of each server.

use std::path::Path;

use serde_json::Value;

use crate::error::Refusal;
use crate::input;
use crate::yaml;

/// The defaults of the project's chart, for a release whose Secret cannot be read.
const CHART: &str = include_str!("../fixtures/helm-chart/file-simulator/values.yaml");
/// The values that the project's chart is installed with.
const INSTALLED: &str = include_str!("../fixtures/helm-chart/file-simulator/values-multi-nas.yaml");

/// The size limit of a values file: Helm stores no larger release.
const MAX_KIB: u64 = 16 * 1024;

#[derive(Debug, Clone)]
pub struct Values {
    pub origin: String,
    merged: Value,
}

impl Values {
    /// Merges the values that a release was given into the chart's defaults.
    pub fn new(origin: impl Into<String>, mut defaults: Value, given: &Value) -> Self {
        // Without given values, Helm omits the key; merging null would remove all defaults.
        if given.is_object() {
            json_patch::merge(&mut defaults, given);
        }
        Self { origin: origin.into(), merged: defaults }
    }

    /// The values built into the program; `why` no others are used.
    pub fn built_in(why: &str) -> Result<Self, Refusal> {
        Ok(Self::new(format!("built in, because {why}"), chart_defaults()?, &parse("built-in values", INSTALLED)?))
    }

    pub fn server(&self, name: &str) -> Option<Facts> {
        let entry = self.servers().find(|entry| entry["name"] == name)?;
        let mut facts = self.merged["nasDefaults"].clone();
        json_patch::merge(&mut facts, entry);
        Some(Facts { server: facts, global: self.merged["global"].clone() })
    }

    pub fn names(&self) -> Vec<&str> {
        self.servers().filter_map(|entry| entry["name"].as_str()).collect()
    }

    fn servers(&self) -> impl Iterator<Item = &Value> {
        self.merged["nasServers"].as_array().into_iter().flatten()
    }
}

#[derive(Debug, Clone)]
pub struct Facts {
    server: Value,
    global: Value,
}

impl Facts {
    /// The value at a path such as `service.nodePort`: of the server, else under `global`.
    pub fn get(&self, path: &str) -> Option<&Value> {
        let pointer = format!("/{}", path.replace('.', "/"));
        let find = |values: &'_ Value| values.pointer(&pointer).is_some_and(|value| !value.is_null());
        [&self.server, &self.global].into_iter().find(|values| find(values))?.pointer(&pointer)
    }
}

/// Reads a values file.
/// Errors: the file cannot be read, is not YAML, or has no `nasServers`: exit code 2.
pub fn load(path: &Path) -> Result<Value, Refusal> {
    let origin = path.display().to_string();
    let text = input::text(path, MAX_KIB).map_err(|error| {
        Refusal::usage(
            format!("cannot read the values file {origin}: {error}"),
            "give the path of a Helm values file with --values or FILE_SIMULATOR_VALUES",
        )
    })?;
    let values = parse(&origin, &text)?;
    match values["nasServers"].as_array() {
        Some(servers) if servers.iter().any(|server| server["name"].is_string()) => Ok(values),
        _ => Err(Refusal::usage(
            format!("{origin}: no `nasServers` with names"),
            "give the complete values that the release was installed with, not a file that overrides some of them",
        )),
    }
}

pub fn chart_defaults() -> Result<Value, Refusal> {
    parse("built-in values", CHART)
}

/// Reads values as Helm does: the last of two equal keys wins, and `7.0` is 7. Several documents are refused: it depends on
/// Helm's version whether it reads the first or merges all.
fn parse(origin: &str, text: &str) -> Result<Value, Refusal> {
    let mut values = serde_saphyr::from_str_with_options(text, yaml::as_helm())
        .map_err(|error| Refusal::usage(yaml::describe(origin, &error), "give a YAML file of Helm values"))?;
    floats_to_integers(&mut values);
    Ok(values)
}

/// Converts floats without a fraction to integers, as Helm's conversion to JSON does.
fn floats_to_integers(value: &mut Value) {
    match value {
        Value::Object(map) => map.values_mut().for_each(floats_to_integers),
        Value::Array(list) => list.iter_mut().for_each(floats_to_integers),
        Value::Number(number) if number.is_f64() => {
            let digits = number.as_f64().unwrap_or_default().to_string();
            *value = digits.parse::<i64>().map_or_else(|_| value.take(), Value::from);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_servers_own_values_precede_the_defaults_and_global_ones() {
        let chart = json!({
            "global": {"sidecar": {"syncInterval": 30}},
            "nasDefaults": {"service": {"port": 2049}, "sidecar": {"enabled": false}}
        });
        let given = json!({"nasServers": [
            {"name": "a", "service": {"nodePort": 32150}}, {"name": "b", "sidecar": {"syncInterval": 5}}]});
        let values = Values::new("test", chart, &given);
        let (a, b) = (values.server("a").unwrap(), values.server("b").unwrap());
        assert_eq!([a.get("service.port"), a.get("service.nodePort")], [Some(&json!(2049)), Some(&json!(32150))]);
        assert_eq!([a.get("sidecar.syncInterval"), b.get("sidecar.syncInterval")], [Some(&json!(30)), Some(&json!(5))]);
        assert_eq!((a.get("fsid"), values.server("c").is_none(), values.names()), (None, true, vec!["a", "b"]));
        // A release without values has the chart's defaults.
        let values = Values::new("test", json!({"nasServers": [{"name": "a", "fsid": 1}]}), &Value::Null);
        assert_eq!(values.server("a").unwrap().get("fsid"), Some(&json!(1)));
    }

    #[test]
    fn a_file_is_read_as_helm_reads_it() {
        let text = "nasServers: [{name: a, fsid: 7.0, port: 010, on: yes, share: 1.5}]\nglobal: {a: 1, b: 1}\nglobal: {a: 1e6}\n";
        let server = json!({"name": "a", "fsid": 7, "port": 8, "on": true, "share": 1.5});
        assert_eq!(parse("v", text).unwrap(), json!({"nasServers": [server], "global": {"a": 1_000_000}}));
        assert!(parse("v", "a: 1\n---\na: 2\n").unwrap_err().what.contains("several documents"));
        assert_eq!(parse("v", "---\na: 1\n").unwrap(), json!({"a": 1}));
        let anchors = "a: &a {b: 1}\nc:\n  <<: *a\n  d: 2\n";
        assert_eq!(parse("v", anchors).unwrap()["c"], json!({"b": 1, "d": 2}));
    }
}
