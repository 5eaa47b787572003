//! docs/checks.md: the reference of all kinds of checks, of the words that `explain` has for a terminal.

use std::fmt::Write as _;

use super::*;

/// The reference of all kinds, in Markdown.
fn reference() -> String {
    let schema = schema();
    let mut text = format!("{HEAD}## Checks\n");
    for about in Check::ALL {
        let _ = write!(text, "\n### {}\n\n{} *{}.*\n", about.key, about.summary, facts(about).join("; "));
        rows(&schema, &schema["$defs"]["Check"]["properties"][about.key], &mut text);
    }
    text.push_str("\n## Types\n");
    for (name, definition) in schema["$defs"].as_object().into_iter().flatten() {
        if is_named(definition) && !["Check", "Select", "Test"].contains(&name.as_str()) {
            let _ = write!(text, "\n### {}\n\n{}\n", name.to_lowercase(), description(definition));
            rows(&schema, definition, &mut text);
        }
    }
    text
}

const HEAD: &str = "<!-- Made from the code: `GOLDEN=write cargo test --lib reference` writes it again. -->
# Checks and their keys

What `explain CHECK` says in a terminal, there with permissions and an example. [suites.md](suites.md) shows how a suite is written.

";

fn rows(schema: &Value, object: &Value, text: &mut String) {
    let fields = fields(object);
    if !fields.is_empty() {
        text.push_str("\n| key | is | |\n| --- | --- | --- |\n");
    }
    for field in fields {
        let link = |word: &str| format!("[{word}](#{word})");
        let _ = writeln!(text, "| `{}` | {} | {} |", field.name, field.type_in(schema, &link), field.meaning);
    }
}

#[test]
fn the_reference_of_checks_is_the_codes_own() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/checks.md");
    if std::env::var_os("GOLDEN").is_some_and(|wish| wish == "write") {
        std::fs::write(path, reference()).unwrap();
    }
    // Git may have made line ends Windows'.
    let there = std::fs::read_to_string(path).unwrap_or_default().replace("\r\n", "\n");
    assert!(there == reference(), "{path} is not what the code says: GOLDEN=write cargo test --lib reference");
}
