//! Words of a command: which only lead to another command, and what its arguments are. Pure.

use std::mem;

use super::UNKNOWN;

/// Words before a command, or before assignments, that change nothing about them.
pub(super) const KEYWORDS: [&str; 12] =
    ["if", "then", "elif", "else", "do", "while", "until", "!", "{", "export", "readonly", "local"];
/// Commands that run the command in their arguments, after their own options and numbers.
pub(super) const WRAPPERS: [&str; 11] =
    ["exec", "command", "time", "nice", "ionice", "nohup", "timeout", "env", "setsid", "stdbuf", "busybox"];
pub(super) const SHELLS: [&str; 4] = ["sh", "ash", "bash", "dash"];
/// Commands that run nothing of what is in their arguments.
pub(super) const INERT: [&str; 21] = [
    "echo", "printf", ":", "test", "[", "[[", "for", "case", "which", "type", "hash", "apk", "apt", "apt-get", "dnf",
    "yum", "kill", "pkill", "pgrep", "killall", "pidof",
];
/// The script in the arguments of a shell.
pub(super) fn of_shell(arguments: &[String]) -> Option<&str> {
    let is_command = |word: &String| word.starts_with('-') && !word.starts_with("--") && word.contains('c');
    let at = arguments.iter().position(is_command)?;
    let is_file = |word: &String| word.contains(['/', '.']);
    arguments
        .get(at + 1)
        .map(String::as_str)
        .filter(|script| !script.starts_with(UNKNOWN) && !arguments[..at].iter().any(is_file))
}

pub(super) fn without_redirections(words: &[String]) -> impl Iterator<Item = &str> {
    let mut is_target = false;
    words.iter().map(String::as_str).filter(move |word| {
        let operator = word.trim_start_matches(|letter: char| letter.is_ascii_digit() || letter == '&');
        let is_operator = operator.starts_with(['<', '>']);
        let is_whole = operator.trim_start_matches(['<', '>', '&']).is_empty();
        let was_target = mem::replace(&mut is_target, is_operator && is_whole);
        !is_operator && !was_target
    })
}

/// Whether a command is a file that comes with no system.
pub(super) fn is_script(command: &str) -> bool {
    let is_of_system = ["/bin/", "/sbin/", "/usr/"].iter().any(|folder| command.starts_with(folder));
    command.rsplit('.').next() == Some("sh") || command.contains('/') && !is_of_system
}

/// A program without its folder.
pub(super) fn base(command: &str) -> &str {
    command.rsplit('/').next().unwrap_or_default()
}
