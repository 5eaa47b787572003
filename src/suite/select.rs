//! Which of the suites' tests run: FILTER, `--skip` and `--exact`, as libtest takes them.

use super::{PlannedTest, Suite};
use crate::error::{Refusal, suggestion};

/// Which tests run.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Tests")]
pub struct Filter {
    /// Run only tests whose names, as --list has them, contain this
    pub filter: Option<String>,
    /// Leave out tests whose names contain this; repeatable
    #[arg(long, value_name = "FILTER")]
    pub skip: Vec<String>,
    /// FILTER and --skip name whole tests
    #[arg(long)]
    pub exact: bool,
}

impl Filter {
    fn lets(&self, name: &str) -> bool {
        let is_meant = |word: &String| if self.exact { name == word } else { name.contains(word) };
        self.filter.as_ref().is_none_or(is_meant) && !self.skip.iter().any(is_meant)
    }
}

/// The tests that are let through, in the order of the suites.
///
/// # Errors
/// Nothing is left: exit code 4.
pub fn select(suites: &[Suite], filter: &Filter) -> Result<Vec<PlannedTest>, Refusal> {
    let all = || suites.iter().flat_map(|suite| &suite.tests);
    let selected: Vec<PlannedTest> = all().filter(|test| filter.lets(&test.id.to_string())).cloned().collect();
    if !selected.is_empty() {
        return Ok(selected);
    }
    let names: Vec<String> = all().map(|test| test.id.to_string()).collect();
    let suites: Vec<&str> = suites.iter().map(|suite| suite.name.as_str()).collect();
    let suites = suites.join(", ");
    let (what, nearest) = match &filter.filter {
        Some(word) => (format!(": `{word}`"), suggestion(word, names.iter().map(String::as_str))),
        None => Default::default(),
    };
    let hint = super::join(&nearest, "--list shows the names");
    Err(Refusal::nothing(format!("no test of {suites} is selected by this filter{what}"), hint))
}
