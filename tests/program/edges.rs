//! The edges: outputs that fail, what is in the way of a report, variables that are empty, and input without an end.

use std::fs;
use std::io::pipe;
use std::process::{Command, Output, Stdio};

use crate::support::junit;
use crate::support::place::Place;
use crate::support::root;

/// A run that passes in a second.
const RUN: [&str; 5] = ["--simulate", "--suite", "phase2", "--exact", "phase2::release"];

/// What only prints.
const PRINTING: [&[&str]; 7] = [
    &["--list"],
    &["--list", "--verbose"],
    &["explain"],
    &["explain", "drift"],
    &["completion", "bash"],
    &["--simulate=help"],
    &["--help"],
];

/// A pipe whose reader has left.
fn left() -> Stdio {
    pipe().unwrap().1.into()
}

fn ended(mut command: Command, out: impl Into<Stdio>, err: impl Into<Stdio>) -> (i32, String) {
    let Output { status, stderr, .. } = command.stdin(Stdio::null()).stdout(out).stderr(err).output().unwrap();
    let said = String::from_utf8(stderr).unwrap();
    assert!(!said.contains("panicked"), "{said}");
    (status.code().unwrap(), said)
}

#[test]
fn a_command_that_prints_ends_quietly_when_its_reader_left() {
    let place = Place::new();
    for arguments in PRINTING {
        assert_eq!(ended(place.command(arguments), left(), Stdio::piped()), (0, String::new()), "{arguments:?}");
    }
    for (arguments, code) in
        [(&["--suite", "phase33"][..], 2), (&["--list", "--suite", "no.yaml"], 2), (&["--lsit"], 2), (&[], 3)]
    {
        assert_eq!(ended(place.command(arguments), left(), left()).0, code, "{arguments:?}");
    }
    assert_eq!(ended(place.command(&["doctor"]), left(), left()).0, 3);
}

#[test]
fn a_run_whose_reader_left_ends_by_its_verdicts_and_writes_its_reports() {
    let place = Place::new();
    let mut command = place.command(&RUN);
    command.env("GITHUB_ACTIONS", "true").env("GITHUB_STEP_SUMMARY", place.path("summary.md"));
    assert_eq!(ended(command, left(), left()).0, 0);
    assert_eq!(junit::results(&place.junit("phase2"))["phase2::release"].0, "PASS");
    assert!(fs::read_to_string(place.path("summary.md")).unwrap().contains("1 PASS"));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_no_success_and_is_said() {
    let place = Place::new();
    for arguments in PRINTING.into_iter().chain([&RUN[..], &["sweep", "--simulate"], &["doctor", "--simulate"]]) {
        let full = fs::File::create("/dev/full").unwrap();
        let (code, said) = ended(place.command(arguments), full, Stdio::piped());
        assert_eq!(code, 3, "{arguments:?}: {said}");
        let words = "error: cannot write all of the output: No space left on device";
        assert_eq!(said.matches(words).count(), 1, "{arguments:?}: {said}");
    }
    assert_eq!(junit::results(&place.junit("phase2"))["phase2::release"].0, "PASS");
}

#[test]
fn a_variable_that_is_empty_is_not_set() {
    let place = Place::new();
    let names =
        ["CONTEXT", "NAMESPACE", "RELEASE", "VALUES", "NODE_ADDRESS", "HOST_DATA", "TIMEOUT", "REPORT_DIR", "RECORD"];
    let with_empty = |arguments: &[&str]| {
        let mut command = place.command(arguments);
        command.envs(names.map(|name| (format!("FILE_SIMULATOR_{name}"), "")));
        command.env("GITHUB_ACTIONS", "true").env("GITHUB_STEP_SUMMARY", "");
        place.finish(command)
    };
    for arguments in [&["--list"][..], &RUN, &["doctor", "--simulate"], &["sweep", "--simulate"]] {
        with_empty(arguments).says(0, &[]);
    }
    assert!(place.path("reports/phase2.xml").is_file(), "the default");
}

#[test]
fn a_duration_that_nobody_means_is_refused_with_the_bound() {
    let place = Place::new();
    for arguments in [&["--timeout", "9999999999h"][..], &["sweep", "--older-than", "9999999999h"]] {
        place.says(arguments, 2, &["it is at most 1000h"]);
    }
    let mut command = place.command(&["--list"]);
    command.env("FILE_SIMULATOR_TIMEOUT", "soon");
    place.finish(command).says(2, &["90s or 5m"]);
    let suite = place.suite("phase3", &[("restart-window: 10m", "restart-window: 1001h")]);
    place.says(&["--list", "--suite", &suite], 2, &["a duration is at most 1000h"]);
}

#[test]
fn what_powershell_writes_is_read() {
    let place = Place::new();
    let utf16 = |text: &str| -> Vec<u8> {
        ["\u{feff}", text].concat().replace('\n', "\r\n").encode_utf16().flat_map(u16::to_le_bytes).collect()
    };
    place.suite("phase2", &[]);
    let suite = fs::read_to_string(place.path("phase2.yaml")).unwrap();
    fs::write(place.path("phase2.yaml"), utf16(&suite)).unwrap();
    place.says(&["--list", "--suite", "phase2.yaml", "phase2::cluster"], 0, &["phase2::cluster: test"]);
    let values = fs::read_to_string(root("fixtures/helm-chart/file-simulator/values-multi-nas.yaml")).unwrap();
    // As somebody might write it who overrides it, by hand or with a tool that knows fractions only.
    let values = values.replace("fsid: 4", "fsid: 5\n    fsid: 4.0");
    fs::write(place.path("values.yaml"), utf16(&values)).unwrap();
    place.says(&["--simulate", "--values", "values.yaml", "--exact", "phase2::fsid::nas-backup"], 0, &[]);
}

#[test]
fn a_recording_is_replayed_only_if_it_is_whole() {
    let place = Place::new();
    place.says(&[&RUN[..], &["--record", "run.json.gz"]].concat(), 0, &[]);
    let bytes = fs::read(place.path("run.json.gz")).unwrap();
    for wrong in [&bytes[..bytes.len() / 2], b"{}", b""] {
        fs::write(place.path("cut.json.gz"), wrong).unwrap();
        let words = ["is no recording: it is no gzipped JSON, or damaged, or its end"];
        place.says(&["replay", "cut.json.gz"], 2, &words);
    }
}

#[cfg(unix)]
mod unix {
    use std::os::unix::fs::{FileTypeExt, symlink};

    use super::*;
    use crate::support::place::LIMIT;

    fn fifo(place: &Place, name: &str) -> String {
        let path = place.path(name);
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        path.to_str().unwrap().to_owned()
    }

    /// Writes a text into a FIFO, for whoever reads it.
    fn feed(path: &str, text: &str) {
        let (path, text) = (path.to_owned(), text.to_owned());
        std::thread::spawn(move || fs::write(path, text));
    }

    #[test]
    fn what_is_no_file_is_not_replaced_and_links_are_followed() {
        let place = Place::new();
        let pipe = fifo(&place, "pipe");
        fs::create_dir(place.path("folder")).unwrap();
        for path in [pipe.as_str(), "folder"] {
            let words = format!("cannot write the recording {path}: it is a folder, device or FIFO");
            place.says(&[&RUN[..], &["--record", path]].concat(), 2, &[&words]);
        }
        assert!(fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo());
        // As a job would that keeps its results elsewhere.
        fs::remove_dir_all(place.path("reports")).unwrap();
        fs::create_dir_all(place.path("reports/diagnostics")).unwrap();
        for (link, to) in [("run.json.gz", "kept.json.gz"), ("reports/phase2.xml", "../kept.xml")] {
            symlink(to, place.path(link)).unwrap();
        }
        fs::write(place.path("kept.xml"), "of yesterday").unwrap();
        fifo(&place, "reports/diagnostics/pipe.txt");
        place.says(&[&RUN[..], &["--record", "run.json.gz"]].concat(), 0, &[]);
        for (link, kept) in [("run.json.gz", "kept.json.gz"), ("reports/phase2.xml", "kept.xml")] {
            assert!(fs::symlink_metadata(place.path(link)).unwrap().is_symlink(), "{link}");
            assert!(fs::symlink_metadata(place.path(kept)).unwrap().len() > 200, "{kept}");
        }
        assert_eq!(junit::results(&place.path("kept.xml")).len(), 1);
        fs::create_dir(place.path("others")).unwrap();
        fifo(&place, "others/phase2.xml");
        let words = ["phase2.xml: it is a folder, device or FIFO"];
        place.says(&[&RUN[..], &["--report-dir", "others"]].concat(), 3, &words);
    }

    #[test]
    fn values_and_suites_come_through_a_fifo_and_end_at_their_bound() {
        let place = Place::new();
        let (values, suite) = (fifo(&place, "values.yaml"), fifo(&place, "suite.yaml"));
        feed(&values, "nasServers: [{name: a}]");
        place.says(&["--values", &values], 3, &["cannot read the kubeconfig"]);
        feed(&suite, "suite: x");
        place.says(&["--list", "--suite", &suite], 2, &["suite.yaml:1:"]);
        for (option, most) in [("--values", "16384"), ("--suite", "1024")] {
            place.says(&[option, "/dev/zero"], 2, &[&format!("it has more than {most} KiB")]);
        }
    }

    #[test]
    fn a_run_that_waits_for_its_values_can_be_stopped() {
        let place = Place::new();
        let values = fifo(&place, "values.yaml");
        let mut run = place.start(place.command(&["--values", &values, "--suite", "smoke"]));
        let report = place.junit("smoke");
        run.wait_for("its first report", || report.is_file());
        run.signal("INT");
        assert_eq!(run.end(LIMIT).code, 130);
    }
}
