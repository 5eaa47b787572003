//! A shell's script taken apart into its commands, and their words into what is put in. Pure.

use std::mem;

use k8s_openapi::api::core::v1::EnvVar;

const ENDS: &str = " \t\r\n;&|()<>";

/// What stands together in a word.
#[derive(Debug, Clone)]
pub(super) enum Piece {
    Text(String),
    Variable(String),
    /// What only a shell that runs can tell.
    Unknown,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Word {
    /// As it stands there, but for its quotes.
    pub(super) shown: String,
    pub(super) pieces: Vec<Piece>,
}

impl Word {
    /// A word of a pod's spec, in which Kubernetes puts in variables, as in `$(NAME)`. No other dollar of it is one.
    pub(super) fn of_spec(text: &str, env: &[EnvVar]) -> Self {
        let (mut word, mut rest) = (Self::default(), text);
        while let Some((before, after)) = rest.split_once('$') {
            word.push(before);
            let named = after.strip_prefix('(').and_then(|after| after.split_once(')'));
            rest = if let Some((name, after)) = named.filter(|(name, _)| env.iter().any(|its| its.name == *name)) {
                word.put(&format!("${{{name}}}"), Piece::Variable(name.to_owned()));
                after
            } else {
                word.push("$");
                after.strip_prefix('$').unwrap_or(after)
            };
        }
        word.push(rest);
        word
    }

    fn push(&mut self, more: &str) {
        if let Some(Piece::Text(text)) = self.pieces.last_mut() {
            text.push_str(more);
            self.shown.push_str(more);
        } else {
            self.put(more, Piece::Text(more.to_owned()));
        }
    }

    fn put(&mut self, shown: &str, piece: Piece) {
        self.shown.push_str(shown);
        self.pieces.push(piece);
    }

    pub(super) fn is_text(&self) -> bool {
        self.pieces.iter().all(|piece| matches!(piece, Piece::Text(_)))
    }

    /// The name and the value that it assigns, also where that is put behind the old one or into an array.
    pub(super) fn assignment(&self) -> Option<(&str, Vec<Piece>)> {
        let Some((Piece::Text(text), more)) = self.pieces.split_first() else { return None };
        let (name, value) = text.split_once('=')?;
        let name = name.strip_suffix('+').unwrap_or(name);
        let name = name.split_once('[').map_or(name, |(name, _)| name);
        let is_name = name.starts_with(|letter: char| !letter.is_ascii_digit()) && name.chars().all(is_of_name);
        is_name.then(|| (name, [&[Piece::Text(value.to_owned())], more].concat()))
    }
}

/// A command, without where its input comes from and its output goes to.
#[derive(Debug, Default)]
pub(super) struct Command {
    pub(super) words: Vec<Word>,
    /// Whether it runs only if the one before succeeded, or failed.
    pub(super) is_conditional: bool,
}

#[derive(Debug, Default)]
pub(super) struct Script {
    pub(super) commands: Vec<Command>,
    /// The scripts whose output is put into words.
    pub(super) inner: Vec<String>,
    /// Whether not all of it was read, as where it has a here-document, or assigns a variable within a word.
    pub(super) is_broken: bool,
}

impl Script {
    pub(super) fn read(text: &str) -> Self {
        let (mut script, mut command, mut rest) = (Self::default(), Command::default(), text);
        let mut is_target = false;
        while let Some(first) = rest.chars().next() {
            match first {
                ' ' | '\t' | '\r' => rest = &rest[1..],
                '\\' if rest.starts_with("\\\n") => rest = &rest[2..],
                '#' => rest = &rest[rest.find('\n').unwrap_or(rest.len())..],
                '&' | '<' | '>' if first != '&' || rest.starts_with("&>") => {
                    let target = rest.trim_start_matches(['&', '<', '>', '|']);
                    if rest.starts_with("<<") || target.starts_with('(') {
                        script.is_broken = true;
                        break;
                    }
                    (rest, is_target) = (target, true);
                }
                _ if ENDS.contains(first) => {
                    let is_conditional = rest.starts_with("&&") || rest.starts_with("||");
                    let next = Command { is_conditional, ..Command::default() };
                    script.commands.push(mem::replace(&mut command, next));
                    (rest, is_target) = (&rest[if is_conditional { 2 } else { 1 }..], false);
                }
                _ => {
                    let word;
                    (word, rest) = script.word(rest);
                    let is_number = word.shown.parse::<u8>().is_ok() && rest.starts_with(['<', '>']);
                    if !mem::take(&mut is_target) && !is_number {
                        command.words.push(word);
                    }
                }
            }
        }
        script.commands.push(command);
        script
    }

    /// The word that a text begins with, and what follows it.
    fn word<'a>(&mut self, text: &'a str) -> (Word, &'a str) {
        let (mut word, mut rest, mut is_quoted) = (Word::default(), text, false);
        while let Some(first) = rest.chars().next().filter(|first| is_quoted || !ENDS.contains(*first)) {
            let after = &rest[first.len_utf8()..];
            rest = match first {
                '"' => {
                    is_quoted = !is_quoted;
                    after
                }
                '\'' if !is_quoted => {
                    let (text, after) = self.until(after, '\'');
                    word.push(text);
                    after
                }
                '\\' => {
                    let next = after.chars().next().unwrap_or('\n');
                    match next {
                        '\n' => {}
                        _ if is_quoted && !"$`\"\\".contains(next) => word.push(&format!("\\{next}")),
                        _ => word.push(next.encode_utf8(&mut [0; 4])),
                    }
                    after.get(next.len_utf8()..).unwrap_or_default()
                }
                '`' => {
                    let (script, after) = self.until(after, '`');
                    self.inner.push(script.to_owned());
                    word.put(&rest[..rest.len() - after.len()], Piece::Unknown);
                    after
                }
                // A quoted text of bash.
                '$' if !is_quoted && after.starts_with(['\'', '"']) => after,
                '$' => {
                    let (piece, after) = self.put_in(after);
                    word.put(&rest[..rest.len() - after.len()], piece);
                    after
                }
                other => {
                    word.push(other.encode_utf8(&mut [0; 4]));
                    after
                }
            };
        }
        self.is_broken |= is_quoted;
        (word, rest)
    }

    /// What a dollar before that text begins, and what follows it.
    fn put_in<'a>(&mut self, text: &'a str) -> (Piece, &'a str) {
        let name = |text: &str| text.find(|letter| !is_of_name(letter)).unwrap_or(text.len());
        if let Some(inside) = text.strip_prefix('(') {
            let mut open = 1_usize;
            let is_end = |letter: char| {
                open = if letter == '(' { open + 1 } else { open - usize::from(letter == ')') };
                open == 0
            };
            let end = inside.find(is_end);
            self.is_broken |= end.is_none();
            let (script, after) = inside.split_at(end.unwrap_or(inside.len()));
            // Else it is a sum.
            if !script.starts_with('(') {
                self.inner.push(script.to_owned());
            }
            return (Piece::Unknown, after.strip_prefix(')').unwrap_or(after));
        }
        if let Some(text) = text.strip_prefix('{') {
            let (inside, after) = self.until(text, '}');
            let (name, how) = inside.split_at(name(inside));
            // As `${NAME:=value}` does.
            self.is_broken |= how.trim_start_matches(':').starts_with('=');
            let piece = if how.is_empty() { Piece::Variable(name.to_owned()) } else { Piece::Unknown };
            return (piece, after);
        }
        match text.split_at(if text.starts_with(['@', '*', '#', '?', '-', '$', '!']) { 1 } else { name(text) }) {
            ("", after) => (Piece::Text("$".to_owned()), after),
            (name, after) => (Piece::Variable(name.to_owned()), after),
        }
    }

    fn until<'a>(&mut self, text: &'a str, end: char) -> (&'a str, &'a str) {
        self.is_broken |= !text.contains(end);
        text.split_once(end).unwrap_or((text, ""))
    }
}

fn is_of_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}
