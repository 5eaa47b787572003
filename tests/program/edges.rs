//! Edge cases: failing output, obstacles in place of reports, empty variables, and endless input.

use std::fs;
use std::io::pipe;
use std::process::{Command, Output, Stdio};

use crate::support::junit;
use crate::support::workspace::Workspace;

/// A run that passes in a second.
const RUN: [&str; 5] = ["--simulate", "--suite", "phase2", "--exact", "phase2::release"];

/// Commands that only print, each with part of its output.
const PRINTING: [(&[&str], &str); 9] = [
    (&["--list"], "phase3::latency::nas-output-1: test\n"),
    (&["--list", "-v", "--exact", "phase2::cluster"], "phase2::cluster  cluster; needs nodes\n"),
    (&["--list", "-v", "--suite=restarts", "nas-backup"], "logs, deleting pods; disruptive\n"),
    (&["explain"], "file-sync "),
    (&["completion", "bash"], "data-safety"),
    (&["completion", "fish"], "-l suite"),
    (&["--simulate=help"], SCENARIO),
    (&["--help"], "Exit codes:"),
    (&["--version"], concat!("file-simulator-e2e ", env!("CARGO_PKG_VERSION"))),
];
const SCENARIO: &str =
    "nfs-files-stay: nas-output-3: the sidecar mounts another volume instead of the export; FAIL nfs::sync\n";

fn closed_pipe() -> Stdio {
    pipe().unwrap().1.into()
}

fn ended(mut command: Command, out: impl Into<Stdio>, err: impl Into<Stdio>) -> (i32, String) {
    let Output { status, stderr, .. } = command.stdin(Stdio::null()).stdout(out).stderr(err).output().unwrap();
    let text = String::from_utf8(stderr).unwrap();
    assert!(!text.contains("panicked"), "{text}");
    (status.code().unwrap(), text)
}

#[test]
fn a_closed_output_pipe_does_not_change_the_exit_code() {
    let workspace = Workspace::new();
    for (arguments, words) in PRINTING {
        workspace.expect(arguments, 0, &[words]);
        assert_eq!(
            ended(workspace.command(arguments), closed_pipe(), Stdio::piped()),
            (0, String::new()),
            "{arguments:?}"
        );
    }
    for (arguments, code) in [
        (&["--suite", "phase33"][..], 2),
        (&["--list", "--suite", "no.yaml"], 2),
        (&["--lsit"], 2),
        (&[], 3),
        (&["doctor"], 3),
        (&RUN, 0),
    ] {
        let mut command = workspace.command(arguments);
        command.env("GITHUB_ACTIONS", "true").env("GITHUB_STEP_SUMMARY", workspace.path("summary.md"));
        assert_eq!(ended(command, closed_pipe(), closed_pipe()).0, code, "{arguments:?}");
    }
    assert_eq!(junit::all(&workspace.path("reports"))["phase2::release"].0, "PASS");
    assert!(fs::read_to_string(workspace.path("summary.md")).unwrap().contains("1 PASS"));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_reported_and_fails() {
    let workspace = Workspace::new();
    let printing = PRINTING.map(|(arguments, _)| arguments);
    for arguments in printing.into_iter().chain([&RUN[..], &["sweep", "--simulate"], &["doctor", "--simulate"]]) {
        let full = fs::File::create("/dev/full").unwrap();
        let (code, text) = ended(workspace.command(arguments), full, Stdio::piped());
        assert_eq!(code, 3, "{arguments:?}: {text}");
        let words = "error: cannot write all of the output: No space left on device";
        assert_eq!(text.matches(words).count(), 1, "{arguments:?}: {text}");
    }
    assert_eq!(junit::all(&workspace.path("reports"))["phase2::release"].0, "PASS");
}

#[test]
fn empty_variables_count_as_unset_and_invalid_ones_are_named() {
    let workspace = Workspace::new();
    let names =
        ["CONTEXT", "NAMESPACE", "RELEASE", "VALUES", "NODE_ADDRESS", "HOST_DATA", "TIMEOUT", "REPORT_DIR", "RECORD"];
    for arguments in [&["--list"][..], &RUN, &["doctor", "--simulate"], &["sweep", "--simulate"]] {
        let mut command = workspace.command(arguments);
        command.envs(names.map(|name| (format!("FILE_SIMULATOR_{name}"), "")));
        command.env("GITHUB_ACTIONS", "true").env("GITHUB_STEP_SUMMARY", "");
        workspace.finish(command).expect(0, &[]);
    }
    assert!(workspace.path("reports/phase2.xml").is_file(), "the default");
    let mut command = workspace.command(&["--list"]);
    command.env("FILE_SIMULATOR_TIMEOUT", "soon");
    workspace.finish(command).expect(2, &["90s or 5m (from FILE_SIMULATOR_TIMEOUT)"]);
}

#[cfg(unix)]
mod unix {
    use std::os::unix::fs::{FileTypeExt, symlink};

    use super::*;
    use crate::support::workspace::LIMIT;

    fn fifo(workspace: &Workspace, name: &str) -> String {
        let path = workspace.path(name);
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        path.to_str().unwrap().to_owned()
    }

    #[test]
    fn only_regular_files_are_replaced_and_links_are_followed() {
        let workspace = Workspace::new();
        let pipe = fifo(&workspace, "pipe");
        fs::create_dir(workspace.path("folder")).unwrap();
        for path in [pipe.as_str(), "folder"] {
            let words = format!("cannot write the recording {path}: not a regular file");
            workspace.expect(&[&RUN[..], &["--record", path]].concat(), 2, &[&words]);
        }
        assert!(fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo());
        // As in a CI job that keeps its results elsewhere.
        fs::remove_dir_all(workspace.path("reports")).unwrap();
        fs::create_dir_all(workspace.path("reports/diagnostics")).unwrap();
        for (link, to) in [("run.json.gz", "kept.json.gz"), ("reports/phase2.xml", "../kept.xml")] {
            symlink(to, workspace.path(link)).unwrap();
        }
        fs::write(workspace.path("kept.xml"), "of yesterday").unwrap();
        fifo(&workspace, "reports/diagnostics/pipe.txt");
        let run = workspace.expect(&[&RUN[..], &["--record", "run.json.gz"]].concat(), 0, &[]);
        assert_eq!(run.results.len(), 1, "through the link");
        for (link, kept) in [("run.json.gz", "kept.json.gz"), ("reports/phase2.xml", "kept.xml")] {
            assert!(fs::symlink_metadata(workspace.path(link)).unwrap().is_symlink(), "{link}");
            assert!(fs::symlink_metadata(workspace.path(kept)).unwrap().len() > 200, "{kept}");
        }
    }

    #[test]
    fn values_and_suites_can_be_fifos_and_have_a_maximum_size() {
        let workspace = Workspace::new();
        for (option, text, code, words) in [
            ("--values", "nasServers: [{name: a}]", 3, "no kubeconfig found"),
            ("--suite", "suite: x", 2, "pipe--suite:1:"),
        ] {
            let path = fifo(&workspace, &format!("pipe{option}"));
            let pipe = path.clone();
            std::thread::spawn(move || fs::write(pipe, text));
            workspace.expect(&[option, &path], code, &[words]);
        }
        for (option, most) in [("--values", "16384"), ("--suite", "1024")] {
            workspace.expect(&[option, "/dev/zero"], 2, &[&format!("larger than {most} KiB")]);
        }
    }

    #[test]
    fn a_run_that_waits_for_its_values_can_be_interrupted() {
        let workspace = Workspace::new();
        let values = fifo(&workspace, "values.yaml");
        let mut run = workspace.start(workspace.command(&["--values", &values, "--suite", "smoke"]));
        let report = workspace.path("reports/smoke.xml");
        run.wait_for("its first report", || report.is_file());
        run.signal("INT");
        assert_eq!(run.end(LIMIT).code, 130);
    }
}
