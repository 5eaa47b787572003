//! Whether a container's rsync deletes files that its source lacks. Pure.

use k8s_openapi::api::core::v1::Pod;

use super::super::container::{View, named};
use super::programs::{Argument, invocations};
use super::split::{DOLLAR, UNKNOWN};

/// The flag with which a container's rsync deletes files that its source lacks, if it has one.
/// Errors: why the spec does not show the flag.
pub fn delete_flag(view: &View<'_>) -> Result<Option<String>, String> {
    let (runs, doubt) = invocations(view, "rsync");
    let options = || runs.iter().flat_map(|run| run.iter().take_while(|word| word.text != "--"));
    if let Some(flag) =
        options().find_map(|word| word.flags().ok().and_then(|(flag, is_sure)| flag.filter(|_| is_sure)))
    {
        return Ok(Some(flag.to_owned()));
    }
    let vague = options().find_map(|word| match word.flags() {
        Ok((None, _)) => None,
        Ok((Some(flag), _)) => Some(format!("`{}`, an argument of its rsync, may be {flag}", word.shown())),
        Err(()) => Some(format!("the value of `{}`, an argument of its rsync, is not in the spec", word.shown())),
    });
    let none = runs.is_empty().then(|| "its command shows no rsync".to_owned());
    vague.or(doubt).or(none).map_or(Ok(None), Err)
}

/// Like `delete_flag`, for cases where a mistake would cost files: a script may be misread, so mentioning a flag is an error.
/// Errors: why a flag cannot be ruled out.
pub fn strict_delete_flag(view: &View<'_>) -> Result<Option<String>, String> {
    let values = view.env.iter().filter_map(|variable| variable.value.as_ref());
    let mut texts = view.command.iter().chain(view.args).chain(values);
    match delete_flag(view)? {
        None if texts.any(|text| text.contains("--del")) => Err("its command or environment mentions --del".to_owned()),
        flag => Ok(flag),
    }
}

/// Whether the container's rsync may read its target, as with `--delete`, and so fail when a file vanishes there. `false`
/// only if its command certainly has no such flag.
pub fn may_read_target(pod: &Pod, name: &str) -> bool {
    named(pod, name).is_none_or(|view| strict_delete_flag(&view) != Ok(None))
}

impl Argument {
    fn shown(&self) -> String {
        self.text.replace(UNKNOWN, "").replace(DOLLAR, "$")
    }

    /// A delete flag among its possible values, if any, and whether it certainly is one; an error if it may be anything.
    fn flags(&self) -> Result<(Option<&str>, bool), ()> {
        let head = self.text.split(['$', UNKNOWN]).next().unwrap_or_default();
        let is_fixed =
            head.len() < self.text.len() && !head.is_empty() && (!head.starts_with('-') || head.contains('='));
        // Within a path, or after an option's `=`, no sensible value consists of several words.
        if is_fixed || self.text.ends_with('/') {
            return Ok((None, true));
        }
        let is_flag = |word: &&str| ["--del", "--delete"].contains(word) || word.starts_with("--delete-");
        let flags = self.values.as_deref().ok_or(())?.iter().map(|value| value.split_whitespace().find(is_flag));
        let flags: Vec<_> = flags.collect();
        Ok((flags.iter().flatten().next().copied(), flags.iter().all(Option::is_some)))
    }
}
