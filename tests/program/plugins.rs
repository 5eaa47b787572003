//! Credential plugins that are still running when the program ends.

use std::fs::read_to_string;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::support::speed::until;
use crate::support::stub_server::{VERSION, respond, serve};
use crate::support::workspace::{LIMIT, Workspace};

/// A kubeconfig whose plugin hangs at its `hangs`th run, after writing its process ID.
fn workspace(hangs: u32) -> Workspace {
    let server = serve(|stream| {
        respond(stream, |head| {
            if head.contains(" /version") {
                return (200, VERSION);
            }
            // Time for the plugin to run again.
            std::thread::sleep(Duration::from_secs(3));
            (403, r#"{"kind":"Status","status":"Failure","code":403}"#)
        })
    });
    let workspace = Workspace::new();
    let script = format!(
        "echo x >>runs; if [ $(grep -c x runs) = {hangs} ]; then echo $$ >pids; exec sleep 600; fi; \
         echo '{{\"status\": {{\"token\": \"secret\", \"expirationTimestamp\": \"2026-01-01T00:00:00Z\"}}}}'"
    );
    let exec = json!({"command": "sh", "args": ["-c", script], "interactiveMode": "Never"});
    workspace.configure(&json!({"server": format!("http://{server}")}), &json!({"exec": exec}));
    workspace
}

#[test]
fn a_hanging_plugin_is_killed_when_the_program_ends_or_is_interrupted() {
    // At the first token, or at its renewal.
    for (hangs, code) in [(1, 130), (2, 3)] {
        let workspace = workspace(hangs);
        let mut running = workspace.start(workspace.command(&["doctor", "--suite", "smoke"]));
        if hangs == 1 {
            let pids = workspace.path("pids");
            running.wait_for("the plugin", || read_to_string(&pids).is_ok_and(|pids| pids.ends_with('\n')));
            running.signal("INT");
        }
        assert_eq!(running.end(LIMIT).code, code);
        let pids = read_to_string(workspace.path("pids")).unwrap();
        assert_eq!(pids.lines().count(), 1, "{pids}");
        let stat = Path::new("/proc").join(pids.trim()).join("stat");
        until("the plugin's end", Duration::from_secs(5), || {
            let stat = read_to_string(&stat).unwrap_or_default();
            stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('Z'))
        });
    }
}
