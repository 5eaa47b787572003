//! Finds the arguments of a program, wherever a container's script runs it.

use std::collections::BTreeSet;
use std::path::Path;
use std::{mem, slice};

use super::super::container::View;
use super::split::{DOLLAR, MAX_DEPTH, Role, UNKNOWN, assignment, piece, split, unknown};
use super::value::{Variables, shell_like};

const MAX_SCRIPTS: usize = 2_000;

/// Words before a command or assignments that do not change their meaning.
const KEYWORDS: [&str; 20] = [
    "if", "then", "elif", "else", "fi", "do", "while", "until", "case", "esac", "!", "{", "}", "export", "readonly",
    "local", "declare", "exec", "nohup", "time",
];
/// Commands that run the script after their option `-c`; the first ones are shells.
const RUNNERS: [&str; 8] = ["sh", "ash", "bash", "dash", "su", "runuser", "flock", "script"];
const SHELLS: usize = 4;
/// Commands that never run their arguments.
const INERT: [&str; 27] = [
    "echo", "printf", "logger", ":", "test", "[", "[[", "which", "type", "hash", "grep", "ps", "kill", "pkill",
    "pgrep", "killall", "pidof", "chmod", "apk", "apt", "apt-get", "dnf", "microdnf", "tdnf", "yum", "zypper",
    "pacman",
];
/// Commands that assign unknown values to the variables in their arguments.
const READERS: [&str; 6] = ["for", "read", "getopts", "mapfile", "readarray", "unset"];

#[derive(Debug, PartialEq, Eq)]
pub struct Argument {
    pub(super) text: String,
    /// Its possible values; `None`: any.
    pub(super) values: Option<Vec<String>>,
}

impl Argument {
    /// Its value, if only one is possible.
    pub fn known(&self) -> Option<&str> {
        self.values.as_deref().and_then(|values| if let [value] = values { Some(&**value) } else { None })
    }
}

/// The arguments of each run of a program, and why the list may be incomplete.
pub fn invocations(view: &View<'_>, program: &str) -> (Vec<Vec<Argument>>, Option<String>) {
    let mut script = Script { program, ..Script::default() };
    script.variables.has_others = view.has_env_from;
    for variable in view.env {
        let value = variable.value.as_deref().map(|value| shell_like(value, view.env));
        script.variables.given.insert(variable.name.clone());
        let is_elsewhere = variable.value_from.is_some();
        script.variables.assign(&variable.name, value.or((!is_elsewhere).then(String::new)));
    }
    let words: Vec<String> = view.command.iter().chain(view.args).map(|word| shell_like(word, view.env)).collect();
    // The first pass collects assignments anywhere in the script, the second the commands that use them.
    for _ in 0..2 {
        (script.runs, script.doubt, script.scripts) = Default::default();
        if view.command.is_empty() {
            script.doubt("its image defines the command");
        }
        script.command(&words);
    }
    let argument = |text: String| Argument { values: script.variables.expand(&text), text };
    let runs = script.runs.into_iter().map(|words| words.into_iter().map(argument).collect()).collect();
    (runs, script.doubt)
}

#[derive(Default)]
struct Script<'a> {
    program: &'a str,
    variables: Variables,
    /// How many conditions and functions enclose the command.
    branches: usize,
    functions: BTreeSet<String>,
    depth: usize,
    scripts: usize,
    runs: Vec<Vec<String>>,
    doubt: Option<String>,
}

impl Script<'_> {
    fn doubt(&mut self, why: impl Into<String>) {
        self.doubt.get_or_insert_with(|| why.into());
    }

    fn script(&mut self, text: &str) {
        self.scripts += 1;
        if self.depth >= MAX_DEPTH || self.scripts > MAX_SCRIPTS {
            return self.doubt("its script is nested too deeply");
        }
        self.depth += 1;
        for part in split(&text.replace(DOLLAR, "$")) {
            if part.role == Role::Function {
                self.functions.extend(part.text.split_whitespace().last().map(str::to_owned));
                continue;
            }
            if part.role == Role::Pattern && !part.text.trim_start().starts_with("case ") {
                continue;
            }
            let text = self.substituted(&part.text, false);
            match shlex::split(&text) {
                Some(words) => self.statement(&words, part.is_conditional),
                None => self.doubt(format!("cannot parse `{}` in its script", part.text.trim())),
            }
        }
        self.depth -= 1;
    }

    /// The text with its command substitutions replaced by unknowns, after reading their scripts.
    fn substituted(&mut self, text: &str, is_quoted: bool) -> String {
        let (mut out, mut rest) = (String::new(), text);
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(piece(rest, is_quoted));
            rest = after;
            let inside = |open, close| piece.strip_prefix(open).map(|text| text.strip_suffix(close).unwrap_or(text));
            if let Some(text) = inside("\"", '"').filter(|_| !is_quoted && self.depth < MAX_DEPTH) {
                out = format!("{out}\"{}\"", self.substituted(text, true));
            } else if let Some(script) = inside("$(", ')').or_else(|| inside("`", '`')) {
                if !script.starts_with('(') {
                    self.script(script);
                }
                out.push_str(&unknown(piece));
            } else if let Some(text) = inside("${", '}') {
                if let Some((name, _)) = assignment(&text.replacen(":=", "=", 1)) {
                    self.variables.assign(name, Some(piece.to_owned()));
                }
                out.push_str(&unknown(piece)[unknown("").len()..]);
            } else if piece.starts_with(['\'', '\\']) {
                out.push_str(&piece.replace('$', &DOLLAR.to_string()));
            } else {
                out.push_str(piece);
            }
        }
        out
    }

    fn statement(&mut self, words: &[String], is_conditional: bool) {
        let is_keyword = |word: &&String| KEYWORDS.contains(&word.as_str());
        let (keywords, words) = words.split_at(words.iter().take_while(is_keyword).count());
        for keyword in keywords {
            match keyword.as_str() {
                "case" => return self.branches += 1,
                "if" | "{" => self.branches += 1,
                "fi" | "esac" | "}" => self.branches = self.branches.saturating_sub(1),
                _ => {}
            }
        }
        let is_plain = self.branches == 0 && !is_conditional;
        let assigned = words.iter().take_while(|word| assignment(word).is_some()).count();
        self.assign_all(&words[..assigned], is_plain && assigned == words.len());
        self.command(&words[assigned..]);
    }

    /// Records the assignments; unless they are unconditional, the variables may also be empty.
    fn assign_all(&mut self, words: &[String], is_plain: bool) {
        for (name, value) in words.iter().filter_map(|word| assignment(word)) {
            self.variables.assign(name, Some(value.to_owned()));
            if !is_plain {
                self.variables.assign(name, Some(String::new()));
            }
        }
    }

    fn command(&mut self, words: &[String]) {
        let words = without_redirections(words);
        let Some((first, rest)) = words.split_first() else { return };
        let name = base(first);
        let is_question = name == "command" && rest.first().is_some_and(|word| word.eq_ignore_ascii_case("-v"));
        if is_question || INERT.contains(&name) || rest.ends_with(&["]]".into()]) {
            return;
        }
        if READERS.contains(&name) {
            let (names, values) = rest.split_at(rest.iter().position(|word| word == "in").unwrap_or(rest.len()));
            for name in names {
                values.iter().skip(1).for_each(|value| self.variables.assign(name, Some(value.clone())));
                if values.is_empty() {
                    self.variables.assign(name, None);
                }
            }
            return;
        }
        if let Some([known]) = self.variables.expand(first).as_deref()
            && known != first
        {
            if rest.is_empty() {
                return self.script(known);
            }
            let words = known.split_whitespace().map(str::to_owned).chain(rest.iter().cloned());
            return self.command(&words.collect::<Vec<_>>());
        }
        let at = words.iter().position(|word| base(word) == self.program);
        let (mut is_script, mut has_script, mut has_runner) = (false, false, false);
        for word in &words[..at.unwrap_or(words.len())] {
            has_runner |= RUNNERS.contains(&base(word));
            let is_option = word.starts_with('-') && !word.starts_with("--") && word.contains('c');
            if mem::replace(&mut is_script, has_runner && is_option) {
                self.script(word);
                has_script = true;
            } else {
                self.assign_all(slice::from_ref(word), false);
            }
        }
        match at {
            Some(at) => self.runs.push(words[at + 1..].to_vec()),
            None if name == "trap" => rest.iter().take(1).for_each(|script| self.script(script)),
            None if !has_script => self.doubt_command(first, rest),
            None => {}
        }
    }

    /// Records a doubt if the command may run the program indirectly.
    fn doubt_command(&mut self, first: &str, rest: &[String]) {
        let is_file = |word: &str| Path::new(word).extension() == Some("sh".as_ref());
        let is_of_system = ["/bin/", "/sbin/", "/usr/"].iter().any(|folder| first.starts_with(folder));
        let is_other = first.contains('/') && !first.contains('*') && !is_of_system;
        let is_mentioned = |word: &String| word.split_whitespace().any(|word| base(word) == self.program);
        match first {
            // The caller of the function or script has been read.
            "$@" | "$*" | "$1" => {}
            _ if self.functions.contains(first) => {}
            _ if first.contains(['$', UNKNOWN]) => self.doubt(format!("it runs `{}`", first.replace(UNKNOWN, ""))),
            "eval" | "." | "source" => self.doubt(format!("it runs code through `{first}`")),
            _ if RUNNERS[..SHELLS].contains(&base(first)) => {
                self.doubt(format!("the script of its {first} is not in the spec"));
            }
            _ if is_other || is_file(first) || rest.iter().any(|word| is_file(word) || is_mentioned(word)) => {
                self.doubt(format!("the spec does not show what its `{first}` runs"));
            }
            _ => {}
        }
    }
}

fn without_redirections(words: &[String]) -> Vec<String> {
    let mut is_target = false;
    let is_kept = |word: &&String| {
        let operator = word.trim_start_matches(|letter: char| letter.is_ascii_digit() || letter == '&');
        let is_operator = operator.starts_with(['<', '>']);
        let is_whole = operator.trim_start_matches(['<', '>', '&']).is_empty();
        let was_target = mem::replace(&mut is_target, is_operator && is_whole);
        !is_operator && !was_target
    };
    words.iter().filter(is_kept).cloned().collect()
}

fn base(command: &str) -> &str {
    command.rsplit('/').next().unwrap_or_default()
}
