//! Sequences of events for the tests of reporters.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use file_simulator_e2e::event::{
    Diagnosis, Ending, Event, Fact, Hop, Notice, Planned, Reason, SIMULATED, Section, TestId, Timeline, Verdict,
};
use file_simulator_e2e::report::console::{Console, ConsoleOptions};
use file_simulator_e2e::report::files::Files;
use file_simulator_e2e::report::model::Run;
use file_simulator_e2e::report::sanitize::sanitize;
use file_simulator_e2e::report::{Reporter, github};
use indicatif::ProgressDrawTarget;

/// Output of a hostile pod: control characters, escape sequences, markup, closing tags, workflow commands, and a secret.
pub const HOSTILE: &str = "\0\u{1}\u{8}\u{b}\u{1b}[31mred\u{1b}[0m\u{fffe}\u{ffff} ]]> <b> & \"quoted\" 'too' </pre></style>\
                           <script>alert(1)</script> {{ 7 * 7 }} | `x` ```\r\n::error::next line\npass\u{1b}[0mword=hunter2 too\n";

/// The output of all reporters by file name; the console's is `console.txt`, that for GitHub Actions `summary.md`.
pub fn outputs(events: &[Event]) -> BTreeMap<String, String> {
    let (folder, mut console, mut run) = (tempfile::tempdir().unwrap(), Vec::new(), Run::default());
    let options = ConsoleOptions { quiet: false, verbose: false, reports: "reports".into() };
    let mut files = Files::new(folder.path().to_owned());
    let mut on_console = Console::on(&mut console, ProgressDrawTarget::hidden(), options);
    for mut event in events.iter().cloned() {
        sanitize(&mut event);
        run.apply(&event);
        files.on(&event, &run).unwrap();
        on_console.on(&event, &run).unwrap();
    }
    files.flush(&run).unwrap();
    drop(on_console);
    let folders = [folder.path().to_owned(), folder.path().join("diagnostics")];
    let paths = folders.iter().flat_map(|folder| std::fs::read_dir(folder).into_iter().flatten());
    let paths = paths.map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let mut outputs: BTreeMap<_, _> =
        paths.map(|path| (name(&path), std::fs::read_to_string(&path).unwrap())).collect();
    outputs.insert("console.txt".to_owned(), String::from_utf8(console).unwrap());
    outputs.insert("summary.md".to_owned(), github::text(&run));
    outputs
}

fn id(name: &str) -> TestId {
    let mut parts = name.split("::").map(str::to_owned);
    TestId { suite: parts.next().unwrap(), slug: parts.next().unwrap(), server: parts.next() }
}

fn run_started(suites: &[&str], names: &[(&str, &'static [Hop])]) -> Event {
    let tests = names.iter().map(|(name, hops)| Planned { id: id(name), hops }).collect();
    let at = "2026-03-01T09:30:00Z".parse().unwrap();
    Event::RunStarted { at, suites: suites.iter().copied().map(Into::into).collect(), tests }
}

fn finished(name: &str, millis: u64, verdict: Verdict) -> Event {
    Event::TestFinished { id: id(name), verdict, elapsed: Duration::from_millis(millis), seen: None }
}

fn section(title: &str, lines: &[&str]) -> Section {
    Section { title: title.into(), lines: lines.iter().copied().map(Into::into).collect() }
}

const HOSTILE_TESTS: [&str; 5] =
    ["phase9::system", "phase9::one::nas-1", "phase9::two::nas-1", "phase9::three::nas-1", "phase9::four::nas-1"];

pub fn started() -> Event {
    run_started(&["phase9"], &HOSTILE_TESTS.map(|name| (name, &[Hop::Nfs][..])))
}

/// A run in which every text is hostile and one test did not finish.
pub fn hostile() -> Vec<Event> {
    let reason = || Reason::new(HOSTILE, HOSTILE, HOSTILE).hint(HOSTILE);
    let verdicts = [
        Verdict::judged(HOSTILE, Vec::new()).notes(vec![HOSTILE.into()]),
        Verdict::judged("", vec![reason(), reason()]),
        Verdict::error(reason()),
        // Without the secret, because it stands for a test's name.
        Verdict::blocked(HOSTILE.split("pass").next().unwrap_or_default(), reason()),
    ];
    let facts = vec![Fact { name: "cluster".into(), value: HOSTILE.into() }];
    let mut events = vec![started(), Event::Connected { facts }];
    events.extend(HOSTILE_TESTS.iter().zip(verdicts).map(|(name, verdict)| finished(name, 1_234, verdict)));
    events.push(Event::Diagnosed(Diagnosis { server: "nas-1".into(), sections: vec![section(HOSTILE, &[HOSTILE])] }));
    events.push(Event::Noticed(Notice { text: HOSTILE.into(), is_error: false }));
    events.push(Event::RunFinished { ending: Ending::Interrupted, elapsed: Duration::from_secs(2) });
    events
}

/// A run on a simulated cluster with all kinds of results.
pub fn rich() -> Vec<Event> {
    let results = results();
    let names: Vec<_> = results.iter().map(|(name, hops, ..)| (*name, *hops)).collect();
    let fact = |name: &'static str, value: &str| Fact { name: name.into(), value: value.into() };
    let facts = vec![
        fact(SIMULATED, "scenario healthy, with cycles of 5 s"),
        fact("cluster", "file-simulator at https://127.0.0.1:6443, Kubernetes v1.34.1"),
        fact("namespace", "file-simulator"),
        fact("release", "file-sim, revision 4"),
        fact("run", "4f2a"),
    ];
    let pod = section(
        "pod file-sim-nas-input-1-6d4f",
        &["not Ready: ContainersNotReady", "nfs-server waits: CrashLoopBackOff"],
    );
    let log = section("nfs-server's log before it ended", &["exports: line 1: no such option <sinc>", "exit 1"]);
    let warning = section("events", &["Warning BackOff 3m ago: restarting sync-to-windows"]);
    let diagnosed = |server: &str, sections| Event::Diagnosed(Diagnosis { server: server.into(), sections });
    let notice = |text: &str, is_error| Event::Noticed(Notice { text: text.into(), is_error });
    let mut events = vec![run_started(&["phase2", "phase3"], &names), Event::Connected { facts }];
    events.extend(results.into_iter().map(|(name, _, millis, verdict)| finished(name, millis, verdict)));
    events.extend([
        diagnosed("nas-input-1", vec![pod, log]),
        diagnosed("nas-output-2", vec![warning]),
        notice("removed e2e-4f2a-3 from nas-output-1: no test wrote it there", false),
        notice(
            "left behind: e2e-4f2a-2 in nas-output-2 (no pod); after 10 minutes, remove it with `sweep --yes`",
            true,
        ),
        Event::RunFinished { ending: Ending::Completed, elapsed: Duration::from_millis(123_456) },
    ]);
    events
}

/// Tests with their hops, durations in milliseconds, and verdicts.
fn results() -> Vec<(&'static str, &'static [Hop], u64, Verdict)> {
    use Hop::{Export, Host, Init, Mount, Nfs, Sidecar};
    let timeline = |files: &[(u64, Option<u64>)]| {
        let cycles = (0..=12).map(|cycle| 3_200 + cycle * 5_000).collect();
        Some(Box::new(Timeline { limit: 60_000, files: files.to_vec(), cycles }))
    };
    let in_time = [(2_100, 3_150), (3_400, 8_160), (4_700, 8_180), (5_900, 8_200), (8_300, 13_170)];
    let in_time = timeline(&in_time.map(|(written, arrived)| (written, Some(arrived))));
    let lost = timeline(&[(2_200, Some(8_150)), (3_500, None), (4_800, Some(13_160))]);
    let pass = |summary: &str| Verdict::judged(summary, Vec::new());
    let fail = |hop, object: &str, expected: &str, seen: &str, hint: &str| {
        Verdict::judged("", vec![Reason::new(object, expected, seen).hint(hint)]).at(hop)
    };
    let blocked = || {
        let reason = Reason::new("server nas-input-1", "a pod to look into", "none that is ready");
        Verdict::blocked("pods::nas-input-1", reason)
    };
    let crash = "CrashLoopBackOff\nexit code 1, 4 restarts";
    let pods = fail(
        Nfs,
        "pod file-sim-nas-input-1-6d4f",
        "Ready within 2m",
        crash,
        "check its events: kubectl describe pod file-sim-nas-input-1-6d4f",
    );
    let (object, hint) = ("pod file-sim-nas-output-2-7c5f9, container sync-to-windows", "enable the server's sidecar");
    let sidecar = fail(Sidecar, object, "a native sidecar", "an ordinary container", hint);
    let file = "file e2e-4f2a-2 of pod file-sim-nas-output-2-7c5f9";
    let (expected, seen) = ("in /mnt/simulator-data/nas-output-2 within 1m", "in the export, and not in the folder");
    let late = fail(Sidecar, file, expected, seen, "check its rsync target");
    let late = late.notes(vec!["of 3 files written over one cycle, these arrived: 2".into()]);
    let native = pass("native, running for 3h");
    let native = native.notes(vec!["it uses --delete: your own files in nas-output-1 vanish within 5 s".into()]);
    let quick = pass("5 files: 1.1 to 4.9 s, median 3.5 s, p95 4.9 s; limit 1m");
    vec![
        ("phase2::cluster", &[], 12, pass("Kubernetes v1.34.1, 1 node is Ready")),
        ("phase2::pods::nas-input-1", &[Nfs], 120_004, pods),
        ("phase2::init::nas-input-1", &[Init], 120_005, blocked()),
        ("phase2::host-mount::nas-input-1", &[Host, Mount], 120_005, blocked()),
        ("phase2::host-mount::nas-output-1", &[Host, Mount], 214, pass("85 ms to the pod, 95 ms back")),
        ("phase2::usage::nas-output-1", &[], 3, Verdict::skip("the cluster has no metrics")),
        ("phase3::sidecar::nas-output-1", &[Sidecar], 40, native),
        ("phase3::sidecar::nas-output-2", &[Sidecar], 41, sidecar),
        ("phase3::latency::nas-output-1", &[Export, Sidecar, Host], 14_020, Verdict { timeline: in_time, ..quick }),
        ("phase3::latency::nas-output-2", &[Export, Sidecar, Host], 63_544, Verdict { timeline: lost, ..late }),
    ]
}
