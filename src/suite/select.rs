//! Which of the suites' tests run: libtest's FILTER, `--skip` and `--exact`.

use libtest_mimic::{Arguments, Trial};

use super::{PlannedCase, Suite};
use crate::error::{Refusal, suggestion};

/// The tests that the arguments let through, in the order of the suites.
///
/// # Errors
/// Nothing is left: exit code 4.
pub fn select(suites: &[Suite], arguments: &Arguments) -> Result<Vec<PlannedCase>, Refusal> {
    let all = || suites.iter().flat_map(|suite| &suite.cases);
    let selected: Vec<PlannedCase> = all().filter(|case| is_selected(case, arguments)).cloned().collect();
    if !selected.is_empty() {
        return Ok(selected);
    }
    let filter = arguments.filter.as_deref().unwrap_or_default();
    let names: Vec<String> = all().map(|case| case.id.to_string()).collect();
    let suites: Vec<&str> = suites.iter().map(|suite| suite.name.as_str()).collect();
    let nearest = if filter.is_empty() { String::new() } else { suggestion(filter, names.iter().map(String::as_str)) };
    Err(Refusal::nothing(
        format!(
            "no test of {} is selected by this filter{}",
            suites.join(", "),
            if filter.is_empty() { String::new() } else { format!(": `{filter}`") }
        ),
        format!("{nearest}{}--list shows the names", if nearest.is_empty() { "" } else { " " }),
    ))
}

/// libtest's own rules, asked of a test that does nothing.
fn is_selected(case: &PlannedCase, arguments: &Arguments) -> bool {
    let trial = Trial::test(case.id.to_string(), || Ok(()));
    !arguments.is_filtered_out(&trial) && (!arguments.ignored || arguments.include_ignored)
}
