//! The programs that a container runs, as far as its spec tells: its command, or what that script of a shell runs. Pure.
//!
//! Reads as much of a shell's language as such scripts use. What the spec does not tell is said, and never guessed.

use std::collections::{BTreeMap, BTreeSet};

use super::container::View;
use split::{Part, assignment, is_name, is_of_name, piece, split};
use words::{INERT, KEYWORDS, SHELLS, WRAPPERS, base, is_script, of_shell, without_redirections};

mod split;
mod words;

/// What is nested deeper is not read.
const DEEPEST: usize = 30;
/// Values of variables are put in until they are as long together.
const LONGEST: usize = 1 << 20;
/// Begins what is not known; what the script has there follows.
const UNKNOWN: char = '\u{2}';

/// An argument; or, if it may be anything, what the script has there.
pub type Argument = Result<String, String>;

/// The arguments of a program wherever a container runs it, and why that may not be all.
pub fn runs(view: &View<'_>, program: &str) -> (Vec<Vec<Argument>>, Option<String>) {
    let mut script = Script { program, has_others: view.has_env_from, ..Script::default() };
    for variable in view.env {
        let value = script.filled(variable.value.as_deref().unwrap_or_default());
        let value = if variable.value_from.is_some() { unknown(&format!("${}", variable.name)) } else { value };
        script.variables.insert(variable.name.clone(), value);
    }
    if view.command.is_empty() {
        script.doubt("its image says what it runs");
    }
    let words: Vec<String> = view.command.iter().chain(view.args).map(|word| script.filled(word)).collect();
    script.command(&words);
    (script.runs, script.doubt)
}

/// The flag with which a container's rsync removes what its source does not have, if it has one.
///
/// # Errors
/// Why the spec does not tell.
pub fn delete_flag(view: &View<'_>) -> Result<Option<String>, String> {
    let (runs, doubt) = runs(view, "rsync");
    let is_end = |word: &Argument| word.as_ref().is_ok_and(|word| word == "--");
    let options: Vec<&Argument> = runs.iter().flat_map(|run| run.iter().take_while(|word| !is_end(word))).collect();
    let is_flag = |word: &&String| ["--del", "--delete"].contains(&word.as_str()) || word.starts_with("--delete-");
    if let Some(flag) = options.iter().filter_map(|word| word.as_ref().ok()).find(is_flag) {
        return Ok(Some(flag.clone()));
    }
    let source = options.iter().find_map(|word| word.as_ref().err());
    let source = source.map(|source| format!("`{source}` is among the arguments of its rsync"));
    let none = runs.is_empty().then(|| "no rsync is seen in its command".to_owned());
    source.or(doubt).or(none).map_or(Ok(None), Err)
}

#[derive(Default)]
struct Script<'a> {
    program: &'a str,
    /// Values, of which some are not known.
    variables: BTreeMap<String, String>,
    /// Whether there may be variables that the spec does not name.
    has_others: bool,
    /// Variables whose values depend on the course of things.
    vague: BTreeSet<String>,
    /// The function whose body this is.
    function: Option<String>,
    /// All functions, and whether they run their arguments.
    functions: BTreeMap<String, bool>,
    inserted: usize,
    depth: usize,
    runs: Vec<Vec<Argument>>,
    doubt: Option<String>,
}

impl Script<'_> {
    fn doubt(&mut self, why: impl Into<String>) {
        self.doubt.get_or_insert_with(|| why.into());
    }

    /// A text with the variables that Kubernetes puts in, as in `$(NAME)`.
    fn filled(&mut self, text: &str) -> String {
        let (mut out, mut rest) = (String::new(), text);
        while let Some((before, after)) = rest.split_once('$') {
            out.push_str(before);
            let named = after.strip_prefix('(').and_then(|after| after.split_once(')'));
            let named = named.filter(|(name, _)| self.variables.contains_key(*name));
            rest = if let Some((name, after)) = named {
                out.push_str(&self.value(name, &format!("$({name})")));
                after
            } else {
                out.push('$');
                after.strip_prefix('$').unwrap_or(after)
            };
        }
        out + rest
    }

    /// The value of a variable, where the script has `source`.
    fn value(&mut self, name: &str, source: &str) -> String {
        let value = match self.variables.get(name) {
            _ if self.vague.contains(name) || self.inserted > LONGEST => unknown(source),
            Some(value) => value.clone(),
            None if is_name(name) && !self.has_others => String::new(),
            None => unknown(source),
        };
        self.inserted += value.len();
        value
    }

    fn script(&mut self, text: &str) {
        if self.depth >= DEEPEST {
            return self.doubt("its script is nested too deep");
        }
        self.depth += 1;
        let parts = split(text);
        self.find_vague(&parts);
        for part in parts {
            if part.is_function {
                self.function = part.text.split_whitespace().last().map(str::to_owned);
                self.functions.extend(self.function.clone().map(|name| (name, false)));
                continue;
            }
            let text = self.expanded(&part.text, false);
            match shlex::split(&text) {
                Some(words) if words.first().is_some_and(|word| word == "}") => self.function = None,
                Some(words) => self.statement(&words),
                None => self.doubt(format!("`{}` cannot be read", part.text.trim())),
            }
        }
        self.depth -= 1;
    }

    /// Notes the variables whose values depend on a condition, on an input, or on how often a loop has run.
    fn find_vague(&mut self, parts: &[Part]) {
        let (mut branches, mut loops) = (0_usize, 0_usize);
        let mut counts: BTreeMap<&str, (usize, bool)> = BTreeMap::new();
        for part in parts {
            let mut words = part.text.split_whitespace();
            while let Some(word) = words.next() {
                match word {
                    "if" | "case" | "{" => branches += 1,
                    "fi" | "esac" | "}" => branches = branches.saturating_sub(1),
                    "while" | "until" | "for" => loops += 1,
                    "done" => loops = loops.saturating_sub(1),
                    _ => {}
                }
                if let Some((name, _)) = assignment(word) {
                    let name = name.trim_end_matches('+');
                    let (count, is_in_loop) = counts.entry(name).or_default();
                    *count += 1;
                    *is_in_loop |= loops > 0;
                    if branches > 0 || part.is_conditional {
                        self.vague.insert(name.to_owned());
                    }
                } else if matches!(word, "for" | "read" | "getopts") {
                    self.vague.extend(words.by_ref().map(str::to_owned));
                } else if !KEYWORDS.contains(&word) {
                    break;
                }
            }
        }
        for (name, (count, is_in_loop)) in counts {
            if is_in_loop && (count > 1 || self.variables.contains_key(name)) {
                self.vague.insert(name.to_owned());
            }
        }
    }

    /// Assigns variables, or runs a command.
    fn statement(&mut self, words: &[String]) {
        let assigned: Option<Vec<_>> =
            words.iter().filter(|word| !KEYWORDS.contains(&word.as_str())).map(|word| assignment(word)).collect();
        let Some(assigned) = assigned else { return self.command(words) };
        for (name, value) in assigned {
            let (name, is_more) = name.strip_suffix('+').map_or((name, false), |name| (name, true));
            let before = if is_more { self.value(name, name) } else { String::new() };
            self.variables.insert(name.to_owned(), before + value);
        }
    }

    fn command(&mut self, mut words: &[String]) {
        let mut is_wrapped = false;
        let (first, rest) = loop {
            let Some((first, rest)) = words.split_first() else { return };
            let name = base(first);
            let is_own = is_wrapped && first.starts_with(|letter: char| letter == '-' || letter.is_ascii_digit());
            if WRAPPERS.contains(&name) || self.functions.get(name) == Some(&true) {
                if name == "command" && rest.first().is_some_and(|word| word.eq_ignore_ascii_case("-v")) {
                    return;
                }
                is_wrapped = true;
            } else if !KEYWORDS.contains(&name) && assignment(first).is_none() && !is_own {
                break (first, rest);
            }
            words = rest;
        };
        let is_program = |word: &str| word == self.program || word.ends_with(&format!("/bin/{}", self.program));
        match base(first) {
            _ if first.contains(UNKNOWN) => match &self.function {
                Some(name) if first == &unknown("$@") => drop(self.functions.insert(name.clone(), true)),
                _ => self.doubt(format!("it runs `{}`", first.replace(UNKNOWN, ""))),
            },
            name if name == self.program => self.runs.push(without_redirections(rest).map(argument).collect()),
            name if SHELLS.contains(&name) => match of_shell(rest) {
                Some(script) => self.script(script),
                None => self.doubt(format!("the script that its {name} runs is not in the spec")),
            },
            "trap" => rest.iter().take(1).for_each(|script| self.script(script)),
            "eval" | "." | "source" => self.doubt(format!("it runs what `{first}` is given")),
            name if INERT.contains(&name) || self.functions.contains_key(name) => {}
            _ if is_script(first) || rest.iter().any(|word| word.split_whitespace().any(is_program)) => {
                self.doubt(format!("what its `{first}` runs is not in the spec"));
            }
            _ => {}
        }
    }

    /// A text with its variables put in, after what it substitutes was run.
    fn expanded(&mut self, text: &str, is_quoted: bool) -> String {
        if self.depth >= DEEPEST {
            return unknown(text);
        }
        self.depth += 1;
        let (mut out, mut rest) = (String::new(), text);
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(piece(rest, is_quoted));
            rest = after;
            let inside =
                |open: &str, close: char| piece.strip_prefix(open).map(|text| text.strip_suffix(close).unwrap_or(text));
            if let Some(text) = inside("\"", '"').filter(|_| !is_quoted) {
                out = format!("{out}\"{}\"", self.expanded(text, true));
            } else if let Some(script) = inside("$(", ')').or_else(|| inside("`", '`')) {
                if !script.starts_with('(') {
                    self.script(script);
                }
                out.push_str(&unknown(piece));
            } else if let Some(name) = inside("${", '}').or(piece.strip_prefix('$')).filter(|name| !name.is_empty()) {
                out.push_str(&self.parameter(piece, name, is_quoted));
            } else {
                out.push_str(piece);
            }
        }
        self.depth -= 1;
        out
    }

    /// What a script has in the place of a variable.
    fn parameter(&mut self, piece: &str, text: &str, is_quoted: bool) -> String {
        let (name, how) = text.split_at(text.find(|letter| !is_of_name(letter)).unwrap_or(text.len()));
        let default = how.strip_prefix(":-").or_else(|| how.strip_prefix('-'));
        let value = self.value(if name.is_empty() { text } else { name }, piece);
        let value = match default {
            Some(default) if value.is_empty() => return self.expanded(default, is_quoted),
            // What is cut off at an end; a flag could be.
            None if how.starts_with(['%', '#']) && !value.contains("--") => value,
            None if !how.is_empty() => unknown(piece),
            _ => value,
        };
        let quoted = |text: &str| shlex::try_quote(text).unwrap_or_default().into_owned();
        if is_quoted {
            return format!("\"{}\"", quoted(&value));
        }
        let words = value.split([' ', '\t', '\n']);
        words.map(|word| if word.is_empty() { String::new() } else { quoted(word) }).collect::<Vec<_>>().join(" ")
    }
}

/// What stands for something that is not known: one word.
fn unknown(source: &str) -> String {
    let source = source.chars().map(|letter| if letter.is_whitespace() { '\u{a0}' } else { letter });
    std::iter::once(UNKNOWN).chain(source.filter(|letter| !"'\"\\".contains(*letter))).collect()
}

/// A value that would be several words within a path, or behind an option's `=`, is nobody's.
fn argument(word: &str) -> Argument {
    let (head, shown) = (word.split(UNKNOWN).next().unwrap_or_default(), word.replace(UNKNOWN, ""));
    let is_fixed = head == word || !head.is_empty() && (!head.starts_with('-') || head.contains('='));
    if is_fixed { Ok(shown) } else { Err(shown) }
}

#[cfg(test)]
mod tests;
