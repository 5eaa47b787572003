//! Makes text from pods and plugins, such as a container's log, safe for terminals, XML and other readers. Pure.

use std::sync::LazyLock;

use regex::Regex;

/// Replaces a secret.
const REMOVED: &str = "[removed]";

/// Removes escape sequences and control characters.
///
/// Of the control characters, XML 1.0 allows only tab, line feed and carriage return; it forbids U+FFFE and U+FFFF, too.
pub fn clean(text: &str) -> String {
    static ESCAPES: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"\x1b(\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?)").ok());
    let text = ESCAPES.as_ref().map_or_else(|| text.into(), |escapes| escapes.replace_all(text, ""));
    text.chars()
        .filter(|c| matches!(c, '\t' | '\n') || !(c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}')))
        .collect()
}

/// The patterns of secrets in a line, and what to keep of each match.
static SECRETS: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let word = "(?:pass(?:word|wd|phrase)|pwd|secret|token|credential|(?:api|access|private|client)[_-]?key)";
    // `[removed]` matches as a whole, so that redacting twice changes nothing.
    let value = r#"(?:\[removed\]|\\+"[^"\\]*\\*"?|"(?:\\.|[^"\\])*"?|'[^']*'?|[^\s,;&"'}\]]+)"#;
    [
        (r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|$)".to_owned(), ""),
        (r"\beyJ[\w-]{6,}(?:\.[\w-]*){1,4}".to_owned(), ""),
        (
            r#"(?i)(authorization\\*["']?\s*[:=]\s*\\*["']?(?:(?:basic|bearer|digest|token)\s+)?)[^\s"'\\,]+"#
                .to_owned(),
            "$1",
        ),
        (r"(?i)\b(bearer\s+)[^\s,;]+".to_owned(), "$1"),
        (r"(\w://[^\s:/@]*:)\S+@".to_owned(), "$1"),
        (format!(r#"(?i)([\w.-]*{word}[\w.-]*\\*["']?\s*[:=]+\s*){value}"#), "$1"),
        (format!(r#"(?i)((?:^|[\s"'])--?[\w-]*{word}[\w-]*\s+)(?:{value})"#), "$1"),
    ]
    .into_iter()
    // A test shows that every expression is valid.
    .filter_map(|(expression, kept)| Some((Regex::new(&expression).ok()?, kept)))
    .collect()
});

pub fn text(text: &str) -> String {
    redact(&clean(text).split('\n').map(str::to_owned).collect::<Vec<_>>()).join("\n")
}

/// Removes bearer tokens, JWTs, passwords in key-value pairs or URLs, and private keys, even if only a part of a key is present.
pub fn redact(lines: &[String]) -> Vec<String> {
    let mut redacted: Vec<String> = Vec::new();
    let mut is_key = false;
    for line in lines {
        let (begins, ends) = (at_key(line, "BEGIN"), at_key(line, "END"));
        if begins.is_none() && ends.is_some() && !is_key {
            // The beginning of this key was cut off; its last line may be short.
            redacted.pop();
        }
        let is_inside = is_key && ends.is_none();
        is_key = match (begins, ends) {
            (Some(begin), Some(end)) => begin > end,
            (None, None) => is_key,
            (begin, _) => begin.is_some(),
        };
        if !(is_inside || begins.is_none() && ends.is_some() || is_part_of_key(line)) {
            let secrets = SECRETS.iter();
            redacted.push(secrets.fold(line.clone(), |line, (secret, kept)| {
                secret.replace_all(&line, format!("{kept}{REMOVED}")).into_owned()
            }));
        } else if redacted.last().is_none_or(|last| last != REMOVED) {
            redacted.push(REMOVED.to_owned());
        }
    }
    redacted
}

fn at_key(line: &str, edge: &str) -> Option<usize> {
    let from = line.find(&format!("-----{edge} "))?;
    line[from..].contains("PRIVATE KEY-----").then_some(from)
}

/// Whether a line looks like the middle of a key: long base64, and not a path.
fn is_part_of_key(line: &str) -> bool {
    // Lines of logs start with a timestamp.
    let mut words = line.split_whitespace().rev();
    let last = words.next().filter(|_| words.nth(1).is_none()).unwrap_or_default();
    let has = |kind: fn(&char) -> bool| last.chars().any(|c| kind(&c));
    last.len() >= 60
        && !last.starts_with('/')
        && [char::is_ascii_uppercase, char::is_ascii_lowercase, char::is_ascii_digit].into_iter().all(has)
        && last.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '='))
}

#[cfg(test)]
mod tests {
    use super::text as redacted;
    use super::*;

    #[test]
    fn output_of_a_pod_cannot_control_a_terminal_or_break_xml() {
        assert_eq!(clean("a\u{1b}[31mred\u{1b}[0m\0\u{8}\u{fffe}\r\n\u{1b}]0;title\u{7}b"), "ared\nb");
    }

    #[test]
    fn secrets_are_removed_in_every_notation() {
        assert_eq!(SECRETS.len(), 7, "every expression is valid");
        for line in [
            "password=hunter2",
            "DB_PASSWORD: hunter2",
            "--set auth.password=hunter2,b=1",
            "mysqld --password hunter2 --port 1",
            "?access_token=hunter2&x=1",
            r#"{"token":"hunter2","a":1}"#,
            r#"{\"password\":\"hunter2\"}"#,
            r#"password = "a \"hunter2" b"#,
            "passwd='hunter 2 hunter2'",
            "pass\u{1b}[0mword=hunter2",
            "api-key==hunter2",
            "ClientSecret = hunter2",
            "Authorization: Bearer hunter2",
            r#""authorization": "Basic hunter2""#,
            "got bearer hunter2",
            "jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJodW50ZXIyIn0.hunter2 was refused",
            "postgres://admin:hunter2@db/x",
            "-----BEGIN RSA PRIVATE KEY-----hunter2",
            r"key: -----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n",
        ] {
            let seen = redacted(&clean(line));
            assert!(!seen.contains("hunter2") && seen.contains(REMOVED), "{line} became {seen}");
            assert_eq!(redacted(&seen), seen, "redacted twice");
        }
    }

    #[test]
    fn private_keys_and_their_parts_are_removed() {
        let body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQDhunter2DhUnT";
        let whole = format!("a\n-----BEGIN EC PRIVATE KEY-----\n{body}\nhunter2==\n-----END EC PRIVATE KEY-----\nb");
        let end = format!("{body}\n{body}\nhunter2==\n-----END PRIVATE KEY-----\nb");
        let middle = format!("{body}\n2026-11-21T03:00:00Z {body}\nb");
        assert_eq!(redacted(&whole), format!("a\n{REMOVED}\nb"));
        assert_eq!(redacted(&end), format!("{REMOVED}\nb"));
        assert_eq!(redacted(&middle), format!("{REMOVED}\nb"));
    }

    #[test]
    fn other_text_is_kept() {
        for line in [
            r#"MountVolume.SetUp failed for volume "v": secret "nas-secret" not found"#,
            "rsync error: some files could not be transferred (code 23) at main.c(1338) [sender=3.4.1]",
            "[03:00:30] Synced to Windows in 0s",
            "mounts windows-data at /windows-mount, export at /data (read only)",
            "blocked by nas-token-1 which is absent",
            "/mnt/c/Users/firstname/Documents/Projects/filesimulator/testdata2",
            "Back-off pulling image \"registry.example/no-such:tag\": ErrImagePull",
        ] {
            assert_eq!(redacted(line), line);
        }
    }
}
