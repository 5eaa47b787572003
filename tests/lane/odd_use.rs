//! A healthy release that is used as people do, and files that are found on the real cluster.

use std::process::{Child, Command, Stdio};

use serde_json::json;

use crate::support::lab::{Lab, OF_A_KILLED_RUN, name, output};

use super::faults;

pub const USED: [&str; 4] = ["nas-input-1", "nas-output-1", "nas-output-2", "nas-output-3"];
/// Names of files that look like something else in a log.
const STRANGE: [&str; 3] = ["rsync error: failed (code 23)", "error.log", "Synced to Windows failed"];

impl Lab {
    /// Uses a healthy release as people do: many files and strange names, a killed run's leftovers, somebody else's crash
    /// loop, another time zone, and a client that writes all the while, as long as its pod is there.
    pub fn use_oddly(&self) -> Child {
        let many = "mkdir -p \"$1/many\" && cd \"$1/many\" && seq -f 'file %g.txt' 3000 | xargs -d '\\n' touch";
        for server in ["nas-input-1", "nas-output-1"] {
            output(Command::new("sh").args(["-c", many, "many"]).arg(self.folder.join(server)));
        }
        // The logs list these names: of the init container after a restart, and of the sidecar.
        for name in STRANGE {
            std::fs::write(self.folder.join("nas-input-1").join(name), "strange").unwrap();
            self.in_export("nas-output-1", &format!("echo strange >'/data/{name}'"));
        }
        self.kubectl(&["rollout", "restart", "deployment", &name("nas-input-1")]);
        std::fs::write(self.folder.join("nas-output-2").join(OF_A_KILLED_RUN), "left behind").unwrap();
        self.in_export("nas-output-2", &format!("echo left behind >/data/{OF_A_KILLED_RUN}"));
        let crash = ["--image=alpine:latest", "--image-pull-policy=IfNotPresent", "--", "sh", "-c", "exit 1"];
        self.kubectl(&[&["run", "crashing"], &crash[..]].concat());
        let zone = json!([{"op": "add", "path": "/spec/template/spec/initContainers/1/env/-",
            "value": {"name": "TZ", "value": "UTC-9"}}]);
        self.kubectl(&["patch", "deployment", &name("nas-output-3"), "--type=json", "-p", &zone.to_string()]);
        let deployment = format!("deployment/{}", name("nas-output-1"));
        let write = "while :; do date >>/data/client.log; sleep 0.2; done";
        let mut client = self.command(&["exec", &deployment, "-c", "nfs-server", "--", "sh", "-c", write]);
        // That its pod ends is no news.
        client.stderr(Stdio::null()).spawn().unwrap()
    }

    /// Ends what [`Self::use_oddly`] began, with the servers; says whether the killed run's leftovers are still there, which
    /// are not ours.
    pub fn end_odd_use(&self, mut client: Child) -> bool {
        let was_there = self.folder.join("nas-output-2").join(OF_A_KILLED_RUN).is_file()
            && self.in_export("nas-output-2", "ls /data").contains(OF_A_KILLED_RUN);
        self.kubectl(&["delete", "pod", "crashing", "--now"]);
        // Otherwise the sidecars bring back what is removed here.
        self.kubectl(&["delete", "deployments", "-l", &faults::of(&USED), "--cascade=foreground"]);
        client.wait().unwrap();
        let strange =
            ["nas-input-1", "nas-output-1"].map(|server| STRANGE.map(|name| self.folder.join(server).join(name)));
        let others =
            ["nas-input-1/many", "nas-output-1/many", "nas-output-1/client.log"].map(|path| self.folder.join(path));
        let killed = self.folder.join("nas-output-2").join(OF_A_KILLED_RUN);
        output(Command::new("rm").arg("-rf").args(strange.as_flattened()).args(others).arg(killed));
        was_there
    }
}
