//! Splits a script into its commands, and a text into tokens. Pure.

use std::{iter, mem};

/// Deeper nesting is not parsed.
pub(super) const MAX_DEPTH: usize = 20;
/// Marks an unknown value; the script's text for it follows.
pub(super) const UNKNOWN: char = '\u{2}';
/// Stands for a `$` that begins no variable.
pub(super) const DOLLAR: char = '\u{3}';

/// The meaning of a text between two separators.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    #[default]
    Command,
    /// The name of a function whose body follows.
    Function,
    /// A pattern of a `case`; the first includes `case WORD in`.
    Pattern,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) text: String,
    /// Whether it follows `&&` or `||`.
    pub(super) is_conditional: bool,
    pub(super) role: Role,
    /// Whether a single `|` follows: a pipe, or another pattern.
    is_piped: bool,
}

/// The commands of a script, without comments and here-documents.
pub(super) fn split(script: &str) -> Vec<Part> {
    let (mut parts, mut part, mut rest) = (Vec::new(), Part::default(), script);
    let mut ends: Vec<String> = Vec::new();
    let mut open = 0_usize;
    while let Some(first) = rest.chars().next() {
        let is_start = part.text.is_empty() || part.text.ends_with(char::is_whitespace);
        let mut size = piece(rest, false);
        match first {
            // An array assignment.
            '(' if part.text.ends_with('=') => {
                size = nested(rest, false, 1);
                part.text.push_str(&unknown(&rest[..size]));
            }
            '#' if is_start => size = rest.find('\n').unwrap_or(rest.len()),
            '&' if part.text.ends_with(['>', '<']) || rest.starts_with("&>") => part.text.push(first),
            '\n' | ';' | '&' | '|' | '(' | ')' => {
                let is_conditional = rest.starts_with("&&") || rest.starts_with("||");
                let is_function = rest.starts_with("()");
                if is_function {
                    part.role = Role::Function;
                }
                part.is_piped = first == '|' && !is_conditional;
                match first {
                    '(' if !is_function => open += 1,
                    ')' if open == 0 => {
                        part.role = Role::Pattern;
                        parts
                            .iter_mut()
                            .rev()
                            .take_while(|part: &&mut Part| part.is_piped)
                            .for_each(|part| part.role = Role::Pattern);
                    }
                    ')' => open -= 1,
                    _ => {}
                }
                size += usize::from(is_conditional || is_function);
                parts.push(mem::replace(&mut part, Part { is_conditional, ..Part::default() }));
                if first == '\n' {
                    size = ends.drain(..).fold(size, |size, end| size + document(&rest[size..], &end));
                }
            }
            _ => {
                if let Some(after) = rest.strip_prefix("<<").filter(|after| !after.starts_with('<')) {
                    let end = after.trim_start_matches(['-', ' ']).split(|letter: char| " \t\n;&|)".contains(letter));
                    ends.extend(end.take(1).map(|end| end.replace(['\'', '"', '\\'], "")));
                    size = 2;
                }
                part.text.push_str(&rest[..size]);
            }
        }
        rest = &rest[size..];
    }
    parts.push(part);
    parts
}

/// The length of a here-document that ends with this line; 0 if there is no such line.
fn document(text: &str, end: &str) -> usize {
    let mut size = 0;
    let is_end = |line: &str| {
        size += line.len();
        line.trim() == end
    };
    if text.split_inclusive('\n').any(is_end) { size } else { 0 }
}

/// The length of the first token: a quotation, an escape, a variable, a substitution, or one character. Within double
/// quotes, fewer of these exist.
pub(super) fn piece(text: &str, is_quoted: bool) -> usize {
    nested(text, is_quoted, 0)
}

fn nested(text: &str, is_quoted: bool, depth: usize) -> usize {
    let letter = |at: usize| text[at..].chars().next().map_or(0, char::len_utf8);
    let until = |begin: usize, close: char, is_quoted: bool| {
        let mut at = begin;
        while at < text.len() && !text[at..].starts_with(close) {
            at += nested(&text[at..], is_quoted, depth + 1);
        }
        at + letter(at)
    };
    let to_next = |close: char| text[1..].find(close).map_or(text.len(), |at| at + 2);
    match text.as_bytes() {
        _ if depth == MAX_DEPTH => letter(0),
        [b'\\', ..] => 1 + letter(1),
        [b'\'', ..] if !is_quoted => to_next('\''),
        [b'"', ..] if !is_quoted => until(1, '"', true),
        [b'`', ..] => to_next('`'),
        [b'$', b'(', ..] => until(2, ')', false),
        [b'$', b'{', ..] => until(2, '}', is_quoted),
        [b'$', b'@' | b'*' | b'#' | b'?' | b'-' | b'$' | b'!', ..] => 2,
        [b'$', ..] => 1 + text[1..].find(|letter| !is_of_name(letter)).unwrap_or(text.len() - 1),
        [b'(', ..] if !is_quoted && depth > 0 => until(1, ')', false),
        _ => letter(0),
    }
}

/// The placeholder of an unknown value: one word.
pub(super) fn unknown(source: &str) -> String {
    let source = source.chars().map(|letter| if letter.is_whitespace() { '\u{a0}' } else { letter });
    iter::once(UNKNOWN).chain(source.filter(|letter| !"'\"\\".contains(*letter))).collect()
}

/// The name and the value that a word assigns, including `NAME+=value` and `NAME[index]=value`.
pub(super) fn assignment(word: &str) -> Option<(&str, &str)> {
    let (name, value) = word.split_once('=')?;
    let name = name.strip_suffix('+').unwrap_or(name);
    let name = name.split_once('[').map_or(name, |(name, _)| name);
    is_name(name).then_some((name, value))
}

fn is_name(text: &str) -> bool {
    text.starts_with(|letter: char| !letter.is_ascii_digit()) && text.chars().all(is_of_name)
}

pub(super) fn is_of_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn commands_are_split_like_in_a_shell() {
        let texts = |script: &str| {
            let texts = split(script).into_iter().map(|part| part.text.trim().to_owned());
            texts.filter(|text| !text.is_empty()).collect::<Vec<_>>()
        };
        assert_eq!(texts("a; b & c | d\n(e) # f; g\nh#i"), ["a", "b", "c", "d", "e", "h#i"]);
        assert_eq!(texts("a 'b;c' \"d|$(e; \"f\")\" \\; g 2>&1 &>h"), ["a 'b;c' \"d|$(e; \"f\")\" \\; g 2>&1 &>h"]);
        assert_eq!(texts("# don't\na"), ["a"]);
        assert_eq!(texts("cat <<'E' <<-F\none\nE\n\ttwo; x\n\tF\nb"), ["cat <<'E' <<-F", "b"]);
        assert_eq!(texts("echo $((1<<2))\nx=1<<2\nb"), ["echo $((1<<2))", "x=1<<2", "b"], "no here-documents");
        let parts = split("f() { a && b || c; d; }");
        let is = |which: fn(&Part) -> bool| {
            parts.iter().filter(|part| which(part)).map(|part| part.text.trim()).collect::<Vec<_>>()
        };
        assert_eq!(
            (is(|part| part.role == Role::Function), is(|part| part.is_conditional)),
            (vec!["f"], vec!["b", "c"])
        );
    }

    proptest! {
        #[test]
        fn any_text_is_split(text in "([$(){}'\"`\\\\<&|;#\n aé]|<<E\n){0,60}") {
            prop_assert!(!split(&text).is_empty());
        }
    }

    #[test]
    fn deep_nesting_terminates() {
        for open in ["$(", "\"$(", "${a:-", "(", "`"] {
            split(&open.repeat(100_000));
        }
    }
}
