//! The programs that a container runs, as far as its spec tells: its command, or what that script of a shell runs. Pure.
//!
//! Reads commands and assignments, but not in which order they come: a variable is known where it gets a value once and in any
//! case. What the spec does not tell is said, and never guessed.

use std::collections::BTreeMap;
use std::mem;
use std::path::Path;

use super::container::View;
use read::{Command, Piece, Script, Word};

mod read;

/// What is nested deeper is not read.
const DEEPEST: usize = 20;
/// Of a word that takes more steps, it is not known what it is.
const STEPS: usize = 500;

/// Words before a command, or before assignments, that change nothing about them.
const KEYWORDS: [&str; 20] = [
    "if", "then", "elif", "else", "fi", "do", "while", "until", "case", "esac", "!", "{", "}", "export", "readonly",
    "local", "declare", "exec", "nohup", "time",
];
/// Commands that run the script behind their option `-c`; the first of them are shells.
const RUNNERS: [&str; 8] = ["sh", "ash", "bash", "dash", "su", "runuser", "flock", "script"];
const SHELLS: usize = 4;
/// Commands that run nothing of what is in their arguments.
const INERT: [&str; 27] = [
    "echo", "printf", "logger", ":", "test", "[", "[[", "which", "type", "hash", "grep", "ps", "kill", "pkill",
    "pgrep", "killall", "pidof", "chmod", "apk", "apt", "apt-get", "dnf", "microdnf", "tdnf", "yum", "zypper",
    "pacman",
];
/// Commands that give the variables in their arguments values from elsewhere.
const READERS: [&str; 6] = ["for", "read", "getopts", "mapfile", "readarray", "unset"];

/// An argument of a program.
#[derive(Debug)]
pub struct Argument {
    /// As it stands in the script, but for its quotes.
    shown: String,
    /// What it is once its variables are put in, if that is known.
    pub value: Option<String>,
}

impl Argument {
    /// The flag to delete in it, if any; or that it may be one.
    fn flag(&self) -> Result<Option<&str>, ()> {
        let is_flag = |word: &&str| ["--del", "--delete"].contains(word) || word.starts_with("--delete-");
        if let Some(value) = &self.value {
            return Ok(value.split_whitespace().find(is_flag));
        }
        let head = self.shown.split(['$', '`']).next().unwrap_or_default();
        let is_fixed = !head.is_empty() && (!head.starts_with('-') || head.contains('='));
        // A value that would be several words within a path, or behind an option's `=`, is nobody's.
        if is_fixed || self.shown.ends_with('/') { Ok(None) } else { Err(()) }
    }
}

/// The arguments of a program wherever a container runs it, and why that may not be all.
pub fn runs(view: &View<'_>, program: &str) -> (Vec<Vec<Argument>>, Option<String>) {
    let mut found = Found { program, ..Found::default() };
    for variable in view.env {
        let value = match (&variable.value, &variable.value_from) {
            (Some(value), _) => Some(Word::of_spec(value, view.env).pieces),
            (None, from) => from.is_none().then(Vec::new),
        };
        found.assign(&variable.name, value);
    }
    if view.command.is_empty() {
        found.doubt("its image says what it runs");
    }
    let words: Vec<_> = view.command.iter().chain(view.args).map(|word| Word::of_spec(word, view.env)).collect();
    found.command(&words);
    let value = |word: &Word| {
        let mut text = String::new();
        found.fill(&word.pieces, &mut STEPS.clone(), &mut text).map(|()| text)
    };
    let argument = |word: &Word| Argument { shown: word.shown.clone(), value: value(word) };
    (found.runs.iter().map(|words| words.iter().map(argument).collect()).collect(), found.doubt.clone())
}

/// The flag with which a container's rsync removes what its source does not have, if it has one; or why the spec does not tell.
pub fn delete_flag(view: &View<'_>) -> Result<Option<String>, String> {
    let (runs, doubt) = runs(view, "rsync");
    let mut vague = None;
    for argument in runs.iter().flat_map(|run| run.iter().take_while(|argument| argument.shown != "--")) {
        match argument.flag() {
            Ok(Some(flag)) => return Ok(Some(flag.to_owned())),
            Ok(None) => {}
            Err(()) => drop(vague.get_or_insert(&argument.shown)),
        }
    }
    let vague = vague.map(|shown| format!("the value of `{shown}`, an argument of its rsync, is not in the spec"));
    let none = runs.is_empty().then(|| "no rsync is seen in its command".to_owned());
    vague.or(doubt).or(none).map_or(Ok(None), Err)
}

/// As `delete_flag`, where a mistake would cost files: a script may be misread, so a mere mention is an error, too.
pub fn delete_flag_or_mention(view: &View<'_>) -> Result<Option<String>, String> {
    let values = view.env.iter().filter_map(|variable| variable.value.as_ref());
    let mut texts = view.command.iter().chain(view.args).chain(values);
    match delete_flag(view)? {
        None if texts.any(|text| text.contains("--del")) => Err("its command or environment mentions --del".to_owned()),
        flag => Ok(flag),
    }
}

#[derive(Default)]
struct Found<'a> {
    program: &'a str,
    /// The values of variables; `None` for what is not known, such as one that is assigned twice.
    variables: BTreeMap<String, Option<Vec<Piece>>>,
    /// How many conditions and functions a command is within, and how many scripts.
    branches: usize,
    depth: usize,
    runs: Vec<Vec<Word>>,
    doubt: Option<String>,
}

impl Found<'_> {
    fn doubt(&mut self, why: impl Into<String>) {
        self.doubt.get_or_insert_with(|| why.into());
    }

    fn script(&mut self, text: &str) {
        if self.depth == DEEPEST {
            return self.doubt("its script is nested too deep");
        }
        self.depth += 1;
        let script = Script::read(text);
        if script.is_broken {
            self.doubt("its script cannot be read to its end");
        }
        script.commands.iter().for_each(|command| self.statement(command));
        script.inner.iter().for_each(|text| self.script(text));
        self.depth -= 1;
    }

    /// Assigns variables, or runs a command.
    fn statement(&mut self, command: &Command) {
        let is_keyword = |word: &&Word| KEYWORDS.contains(&word.shown.as_str());
        let (keywords, words) = command.words.split_at(command.words.iter().take_while(is_keyword).count());
        for keyword in keywords {
            match keyword.shown.as_str() {
                "case" => return self.branches += 1,
                "if" | "{" => self.branches += 1,
                "fi" | "esac" | "}" => self.branches = self.branches.saturating_sub(1),
                _ => {}
            }
        }
        let assigned = words.iter().take_while(|word| word.assignment().is_some()).count();
        let is_plain = self.branches == 0 && !command.is_conditional && assigned == words.len();
        self.assign_all(&words[..assigned], is_plain);
        self.command(&words[assigned..]);
    }

    fn assign_all(&mut self, words: &[Word], is_plain: bool) {
        for (name, value) in words.iter().filter_map(Word::assignment) {
            self.assign(name, is_plain.then_some(value));
        }
    }

    fn assign(&mut self, name: &str, value: Option<Vec<Piece>>) {
        let value = if self.variables.contains_key(name) { None } else { value };
        self.variables.insert(name.to_owned(), value);
    }

    /// Appends what a word is once its variables are put in; `None` if that is not known.
    fn fill(&self, pieces: &[Piece], steps: &mut usize, text: &mut String) -> Option<()> {
        for piece in pieces {
            *steps = steps.checked_sub(1)?;
            match piece {
                Piece::Text(more) => text.push_str(more),
                Piece::Variable(name) => self.fill(self.variables.get(name)?.as_ref()?, steps, text)?,
                Piece::Unknown => return None,
            }
        }
        Some(())
    }

    fn command(&mut self, words: &[Word]) {
        let Some((first, rest)) = words.split_first() else { return };
        let name = base(&first.shown);
        let is_question = name == "command" && rest.first().is_some_and(|word| word.shown.eq_ignore_ascii_case("-v"));
        if is_question || INERT.contains(&name) || rest.last().is_some_and(|last| last.shown == "]]") {
            return;
        }
        if READERS.contains(&name) {
            return rest.iter().for_each(|word| self.assign(&word.shown, None));
        }
        let at = words.iter().position(|word| base(&word.shown) == self.program);
        let (mut is_script, mut has_script, mut has_runner) = (false, false, false);
        for word in &words[..at.unwrap_or(words.len())] {
            has_runner |= RUNNERS.contains(&base(&word.shown));
            let is_option = word.shown.starts_with('-') && !word.shown.starts_with("--") && word.shown.contains('c');
            if mem::replace(&mut is_script, has_runner && is_option) {
                self.script(&word.shown);
                has_script = true;
            } else {
                self.assign_all(std::slice::from_ref(word), false);
            }
        }
        match at {
            Some(at) => self.runs.push(words[at + 1..].to_vec()),
            None if name == "trap" => rest.iter().take(1).for_each(|script| self.script(&script.shown)),
            None if !has_script => self.others(first, rest),
            None => {}
        }
    }

    /// Doubts a command that may run the program all the same.
    fn others(&mut self, first: &Word, rest: &[Word]) {
        let name = first.shown.as_str();
        let is_file = |word: &str| Path::new(word).extension() == Some("sh".as_ref());
        let is_of_system = ["/bin/", "/sbin/", "/usr/"].iter().any(|folder| name.starts_with(folder));
        let is_other = name.contains('/') && !name.contains('*') && !is_of_system;
        let is_mentioned = |text: &str| text.split_whitespace().any(|word| base(word) == self.program);
        match name {
            // What calls the function or the script with it was looked at.
            "$@" | "$*" | "$1" => {}
            _ if !first.is_text() => self.doubt(format!("it runs `{name}`")),
            "eval" | "." | "source" => self.doubt(format!("it runs what `{name}` is given")),
            _ if RUNNERS[..SHELLS].contains(&base(name)) => {
                self.doubt(format!("the script that its {name} runs is not in the spec"));
            }
            _ if is_other
                || is_file(name)
                || rest.iter().any(|word| is_file(&word.shown) || is_mentioned(&word.shown)) =>
            {
                self.doubt(format!("what its `{name}` runs is not in the spec"));
            }
            _ => {}
        }
    }
}

fn base(command: &str) -> &str {
    command.rsplit('/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests;
