//! A release's manifest: the objects in it, how items of lists are told apart, what of two values may be shown. Imports `yaml`.

use serde_json::Value;

use crate::yaml;

/// Words in the names of fields whose values are shown nowhere, and in values that are not; `_` and `-` within are left out.
const SECRET: &str = "password passwd passphrase token secret credential apikey privatekey";

const LONGEST: usize = 80;
/// How much of what is alike is shown before what differs.
const BEFORE: usize = 20;

/// The objects of a manifest, those of lists each by itself.
pub fn objects(manifest: &str) -> anyhow::Result<Vec<Value>> {
    let documents: Vec<Value> = serde_saphyr::from_multiple_with_options(manifest, yaml::as_helm())?;
    let members = |document: Value| match document["items"].as_array() {
        Some(items) if document["kind"].as_str().is_some_and(|kind| kind.ends_with("List")) => items.clone(),
        _ => vec![document],
    };
    let objects = documents.into_iter().flat_map(members);
    Ok(objects.filter(|object| object["kind"].is_string() && object["metadata"]["name"].is_string()).collect())
}

pub fn named(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    format!("{} {}", text(&object["kind"]), text(&object["metadata"]["name"]))
}

/// The fields that tell the items of a list apart, the best first. Source: the merge keys in the API's reference; a
/// port's name is as unique where it has one, and stays when its number is changed.
pub fn keys(list: &str) -> &'static [&'static str] {
    match list {
        "volumeMounts" => &["mountPath"],
        "volumeDevices" => &["devicePath"],
        "hostAliases" => &["ip"],
        "ports" => &["name", "containerPort", "port"],
        _ => &["name"],
    }
}

/// The field that tells an item of a list from the others, and its value there.
pub fn key<'a>(list: &str, item: &'a Value) -> Option<(&'static str, &'a Value)> {
    keys(list).iter().map(|key| (*key, &item[key])).find(|(_, value)| value.is_string() || value.is_number())
}

/// Two values of a field side by side, as short as what differs allows; `None` where they may be secret.
pub fn told(place: &str, values: [Option<&Value>; 2]) -> Option<[String; 2]> {
    let [one, other] = values.map(|value| value.map_or_else(|| "nothing".to_owned(), text));
    let (line, [one, other]) = match differing_lines(&one, &other) {
        Some((line, lines)) if values.iter().all(|value| value.is_some_and(Value::is_string)) => {
            (format!("line {line}: "), lines)
        }
        _ => (String::new(), [one, other]),
    };
    let alike = one.chars().zip(other.chars()).take_while(|(one, other)| one == other).count();
    let is_shown = !is_secret(place) && ![&one, &other].iter().any(|text| is_secret(text));
    is_shown.then(|| [one, other].map(|text| format!("{line}{}", shortened(&text, alike))))
}

fn is_secret(text: &str) -> bool {
    let words = text.to_lowercase().replace(['_', '-'], "");
    // A password in an address.
    SECRET.split(' ').any(|word| words.contains(word)) || text.contains("://") && text.contains('@')
}

pub fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The first line in which two texts differ, with its number; `None` if neither has more than one.
fn differing_lines(one: &str, other: &str) -> Option<(usize, [String; 2])> {
    let alike = one.lines().zip(other.lines()).take_while(|(one, other)| one == other).count();
    let line = |text: &str| text.lines().nth(alike).map_or_else(|| "none".to_owned(), |line| line.trim().to_owned());
    [one, other].iter().any(|text| text.trim_end().contains('\n')).then(|| (alike + 1, [line(one), line(other)]))
}

/// A text in at most so many characters, with its first ones left out where they are alike.
fn shortened(text: &str, alike: usize) -> String {
    if text.chars().count() <= LONGEST {
        return text.to_owned();
    }
    let skipped = if alike + BEFORE > LONGEST { alike - BEFORE } else { 0 };
    let shown: String = text.chars().skip(skipped).take(LONGEST).collect();
    let cut = |is_cut: bool| if is_cut { "…" } else { "" };
    format!("{}{shown}{}", cut(skipped > 0), cut(text.chars().count() > skipped + LONGEST))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_manifest_is_read_as_helm_reads_it() {
        let manifest = "---\n# Source: a/b.yaml\n---\nkind: A\nmetadata: {name: a}\nmode: 0644\nmode: 0640\ntext: \"0644\"\n---\n\
            kind: ConfigMapList\nitems:\n- {kind: ConfigMap, metadata: {name: b}}\n---\nnull\n";
        let found = objects(manifest).unwrap();
        assert_eq!(found.iter().map(named).collect::<Vec<_>>(), ["A a", "ConfigMap b"]);
        assert_eq!((&found[0]["mode"], &found[0]["text"]), (&json!(0o640), &json!("0644")));
        let windows = objects("kind: A\r\nmetadata: {name: a}\r\ntext: |\r\n  a\r\n  b\r\n").unwrap();
        assert_eq!(windows[0]["text"], "a\nb\n");
        assert!(objects("").unwrap().is_empty() && objects("a: [").is_err());
    }

    #[test]
    fn two_values_are_shown_where_they_differ_and_secrets_are_not() {
        use super::told as both;

        let told = |place: &str, one: &str, other: &str| both(place, [Some(&json!(one)), Some(&json!(other))]);
        assert_eq!(told("env[X]", "30", "5").unwrap(), ["30", "5"]);
        assert_eq!(told("command[2]", "a\n b\nc\n", "a\n sleep\nc\n").unwrap(), ["line 2: b", "line 2: sleep"]);
        assert_eq!(told("command[2]", "a\n", "a\nb\n").unwrap(), ["line 2: none", "line 2: b"]);
        let long = "x".repeat(500);
        let [one, other] = told("x", &format!("{long}1{long}"), &format!("{long}2{long}")).unwrap();
        assert!(one != other && one.chars().count() < 90 && one.starts_with('…') && one.ends_with('…'), "{one}");
        assert!(told("env[DB_PASSWORD].value", "a", "b").is_none());
        assert!(told("args[1]", "--token=a", "--token=b").is_none() && told("url", "http://u:p@h", "").is_none());
        assert_eq!(both("x", [None, Some(&json!({"a": 1}))]).unwrap(), ["nothing", "{\"a\":1}"]);
    }
}
