//! The JUnit XML of a suite, in the form that Jenkins, GitLab and GitHub tools agree on: one flat test suite, a unique classname
//! and name, a short message with details in the body, and system-out.

use junit_report::{OffsetDateTime, ReportBuilder, TestCase, TestCaseBuilder, TestSuite};

use super::diagnostics;
use super::model::{Conclusion, Run, Test};
use super::text::{count, details, seconds};
use crate::event::{Diagnosis, Outcome};

pub fn text(run: &Run) -> anyhow::Result<String> {
    let mut suite = TestSuite::new(&run.suites.join(" "));
    suite.set_timestamp(OffsetDateTime::from_unix_timestamp(run.started.as_second())?);
    // Jenkins would prepend it to the suite's name.
    suite.package.clear();
    let mut pending: Vec<&Diagnosis> = run.diagnosed.iter().collect();
    for test in &run.tests {
        // The first failure of a server carries its diagnosis.
        let its = |diagnosis: &&Diagnosis| test.is_wrong() && Some(&diagnosis.server) == test.server.as_ref();
        let diagnosis = pending.iter().position(its).map(|index| pending.remove(index));
        suite.add_testcase(testcase(test, diagnosis));
    }
    suite.set_system_out(&cdata(&of_run(run).join("\n")));
    let mut text = Vec::new();
    ReportBuilder::new().add_testsuite(suite).build().write_xml(&mut text)?;
    // The library omits this count; without it, tools count skipped tests as passed. No attribute value before it has a quote.
    let (count, next) = (run.counts.skip, " failures=\"");
    Ok(String::from_utf8(text)?.replacen(next, &format!(" skipped=\"{count}\"{next}"), 1))
}

fn testcase(test: &Test, diagnosis: Option<&Diagnosis>) -> TestCase {
    let time = junit_report::Duration::milliseconds(i64::try_from(test.millis).unwrap_or(i64::MAX));
    let (name, kind, message) = (&test.name, &test.outcome.to_string(), &test.headline);
    let details = details(test).join("\n");
    let mut case = match test.outcome {
        Outcome::Pass => TestCaseBuilder::success(name, time),
        Outcome::Fail => TestCaseBuilder::failure(name, time, kind, message),
        Outcome::Error => TestCaseBuilder::error(name, time, kind, message),
        Outcome::Skip => TestCaseBuilder::skipped_with_cause(name, kind, message),
    };
    case.set_classname(&test.suite);
    let mut out = Vec::new();
    if let Some(diagnosis) = diagnosis {
        out.push(format!("diagnosis of {}", diagnosis.server));
        out.extend(diagnostics::lines(diagnosis));
    }
    if test.is_wrong() {
        if !details.is_empty() {
            case.set_trace(&cdata(&details));
        }
    } else {
        out.extend([test.summary.clone(), details]);
    }
    let out = out.join("\n");
    if !out.trim().is_empty() {
        case.set_system_out(&cdata(out.trim_end()));
    }
    // The builder drops the time of a skipped test.
    TestCase { time, ..case.build() }
}

fn of_run(run: &Run) -> Vec<String> {
    let mut lines: Vec<String> = run.facts.iter().map(|fact| format!("{}: {}", fact.name, fact.value)).collect();
    lines.extend(run.notices.iter().map(|notice| notice.text.clone()));
    lines.extend(run.refusal.clone());
    let elapsed = seconds(run.millis);
    match run.conclusion {
        Conclusion::NotFinished | Conclusion::Refused => {}
        Conclusion::Interrupted => lines.push(format!("interrupted after {elapsed}")),
        _ => lines.push(format!("{} in {elapsed}", count(run.counts.tests, "test"))),
    }
    lines
}

fn cdata(text: &str) -> String {
    text.replace("]]>", "]] >")
}
