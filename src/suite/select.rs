//! Selects the tests to run by FILTER, `--skip` and `--exact`, as libtest does.

use super::{PlannedTest, Suite};
use crate::error::{Refusal, suggestion};

#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Tests")]
pub struct Filter {
    /// Run only tests whose names contain this; --list shows the names
    pub filter: Option<String>,
    /// Skip tests whose names contain this; repeatable
    #[arg(long, value_name = "FILTER")]
    pub skip: Vec<String>,
    /// Match FILTER and --skip against full test names
    #[arg(long)]
    pub exact: bool,
}

impl Filter {
    fn selects(&self, name: &str) -> bool {
        let matches = |word: &String| if self.exact { name == word } else { name.contains(word) };
        self.filter.as_ref().is_none_or(matches) && !self.skip.iter().any(matches)
    }
}

/// The selected tests, in the order of the suites.
///
/// # Errors
/// No test is selected: exit code 4.
pub fn select(suites: &[Suite], filter: &Filter) -> Result<Vec<PlannedTest>, Refusal> {
    let all = || suites.iter().flat_map(|suite| &suite.tests);
    let selected: Vec<PlannedTest> = all().filter(|test| filter.selects(&test.id.to_string())).cloned().collect();
    if !selected.is_empty() {
        return Ok(selected);
    }
    let names: Vec<String> = all().map(|test| test.id.to_string()).collect();
    let suites: Vec<&str> = suites.iter().map(|suite| suite.name.as_str()).collect();
    let suites = suites.join(", ");
    let (filter, nearest) = match &filter.filter {
        Some(word) => (format!(": `{word}`"), suggestion(word, names.iter().map(String::as_str))),
        None => Default::default(),
    };
    let hint = super::join(&nearest, "list the names with --list");
    Err(Refusal::nothing(format!("the filter selects no test of {suites}{filter}"), hint))
}
