//! A release's manifest: its objects, the keys of list items, and how to show two values without secrets.

use serde_json::Value;

use crate::yaml;

/// Words that mark a field or value as secret, without `_` and `-`.
const SECRET: &str = "password passwd passphrase token secret credential apikey privatekey";

/// The maximum length of a shown value, in characters.
const MAX_SHOWN: usize = 80;
/// How many equal characters to show before the first difference.
const CONTEXT: usize = 20;

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

/// The fields that identify the items of a list, best first. Source: the merge keys in the API reference; a port's name
/// is unique too, and survives a change of its number.
pub fn keys(list: &str) -> &'static [&'static str] {
    match list {
        "volumeMounts" => &["mountPath"],
        "volumeDevices" => &["devicePath"],
        "hostAliases" => &["ip"],
        "ports" => &["name", "containerPort", "port"],
        _ => &["name"],
    }
}

/// The field that identifies this item of a list, and its value.
pub fn key<'a>(list: &str, item: &'a Value) -> Option<(&'static str, &'a Value)> {
    keys(list).iter().map(|key| (*key, &item[key])).find(|(_, value)| value.is_string() || value.is_number())
}

/// Two values of a field, shortened around their first difference; `None` if they may be secret.
pub fn shown(place: &str, values: [Option<&Value>; 2]) -> Option<[String; 2]> {
    let [one, other] = values.map(|value| value.map_or_else(|| "nothing".to_owned(), text));
    let (line, [one, other]) = match differing_lines(&one, &other) {
        Some((line, lines)) if values.iter().all(|value| value.is_some_and(Value::is_string)) => {
            (format!("line {line}: "), lines)
        }
        _ => (String::new(), [one, other]),
    };
    let equal = one.chars().zip(other.chars()).take_while(|(one, other)| one == other).count();
    let is_shown = !is_secret(place) && ![&one, &other].iter().any(|text| is_secret(text));
    is_shown.then(|| [one, other].map(|text| format!("{line}{}", shortened(&text, equal))))
}

fn is_secret(text: &str) -> bool {
    let words = text.to_lowercase().replace(['_', '-'], "");
    // The last one: a password in a URL.
    SECRET.split(' ').any(|word| words.contains(word)) || text.contains("://") && text.contains('@')
}

pub fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The number of the first line in which two texts differ, and both lines; `None` if neither text has several lines.
fn differing_lines(one: &str, other: &str) -> Option<(usize, [String; 2])> {
    let equal = one.lines().zip(other.lines()).take_while(|(one, other)| one == other).count();
    let line = |text: &str| text.lines().nth(equal).map_or_else(|| "none".to_owned(), |line| line.trim().to_owned());
    [one, other].iter().any(|text| text.trim_end().contains('\n')).then(|| (equal + 1, [line(one), line(other)]))
}

/// The text cut to the maximum length, at its start only if that leaves the first difference visible.
fn shortened(text: &str, equal: usize) -> String {
    if text.chars().count() <= MAX_SHOWN {
        return text.to_owned();
    }
    let skipped = if equal + CONTEXT > MAX_SHOWN { equal - CONTEXT } else { 0 };
    let shown: String = text.chars().skip(skipped).take(MAX_SHOWN).collect();
    let cut = |is_cut: bool| if is_cut { "…" } else { "" };
    format!("{}{shown}{}", cut(skipped > 0), cut(text.chars().count() > skipped + MAX_SHOWN))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_manifest_is_read_like_helm_does() {
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
    fn two_values_are_shown_where_they_differ_but_never_secrets() {
        use super::shown as both;

        let shown = |place: &str, one: &str, other: &str| both(place, [Some(&json!(one)), Some(&json!(other))]);
        assert_eq!(shown("env[X]", "30", "5").unwrap(), ["30", "5"]);
        assert_eq!(shown("command[2]", "a\n b\nc\n", "a\n sleep\nc\n").unwrap(), ["line 2: b", "line 2: sleep"]);
        assert_eq!(shown("command[2]", "a\n", "a\nb\n").unwrap(), ["line 2: none", "line 2: b"]);
        let long = "x".repeat(500);
        let [one, other] = shown("x", &format!("{long}1{long}"), &format!("{long}2{long}")).unwrap();
        assert!(one != other && one.chars().count() < 90 && one.starts_with('…') && one.ends_with('…'), "{one}");
        assert!(shown("env[DB_PASSWORD].value", "a", "b").is_none());
        assert!(shown("args[1]", "--token=a", "--token=b").is_none() && shown("url", "http://u:p@h", "").is_none());
        assert_eq!(both("x", [None, Some(&json!({"a": 1}))]).unwrap(), ["nothing", "{\"a\":1}"]);
    }
}
