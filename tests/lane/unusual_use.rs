//! A healthy release in unusual but legitimate use, on the real cluster.

use std::process::{Child, Command, Stdio};

use serde_json::json;

use crate::support::test_cluster::{KILLED_RUN_FILE, TestCluster, name, output};

use super::restore;

pub const USED: [&str; 4] = ["nas-input-1", "nas-output-1", "nas-output-2", "nas-output-3"];
/// File names that look like messages in a log.
const UNUSUAL: [&str; 3] = ["rsync error: failed (code 23)", "error.log", "Synced to Windows failed"];

impl TestCluster {
    /// Adds many files and unusual names, leftover files of a killed run, an unrelated crash loop, another time zone, and a client
    /// that writes until its pod is deleted.
    pub fn start_unusual_use(&self) -> Child {
        let many = "mkdir -p \"$1/many\" && cd \"$1/many\" && seq -f 'file %g.txt' 3000 | xargs -d '\\n' touch";
        for server in ["nas-input-1", "nas-output-1"] {
            output(Command::new("sh").args(["-c", many, "many"]).arg(self.folder.join(server)));
        }
        // The init container (after the rollout below) and the sidecar log these names.
        for name in UNUSUAL {
            std::fs::write(self.folder.join("nas-input-1").join(name), "strange").unwrap();
            self.in_export("nas-output-1", &format!("echo strange >'/data/{name}'"));
        }
        self.kubectl(&["rollout", "restart", "deployment", &name("nas-input-1")]);
        std::fs::write(self.folder.join("nas-output-2").join(KILLED_RUN_FILE), "left behind").unwrap();
        self.in_export("nas-output-2", &format!("echo left behind >/data/{KILLED_RUN_FILE}"));
        let crash = ["--image=alpine:latest", "--image-pull-policy=IfNotPresent", "--", "sh", "-c", "exit 1"];
        self.kubectl(&[&["run", "crashing"], &crash[..]].concat());
        let zone = json!([{"op": "add", "path": "/spec/template/spec/initContainers/1/env/-",
            "value": {"name": "TZ", "value": "UTC-9"}}]);
        self.kubectl(&["patch", "deployment", &name("nas-output-3"), "--type=json", "-p", &zone.to_string()]);
        let deployment = format!("deployment/{}", name("nas-output-1"));
        let write = "while :; do date >>/data/client.log; sleep 0.2; done";
        let mut client = self.command(&["exec", &deployment, "-c", "nfs-server", "--", "sh", "-c", write]);
        // kubectl prints an error when the pod is deleted.
        client.stderr(Stdio::null()).spawn().unwrap()
    }

    /// Deletes the servers too; returns whether the killed run's leftover files still existed, which the run must not remove.
    pub fn end_unusual_use(&self, mut client: Child) -> bool {
        let existed = self.folder.join("nas-output-2").join(KILLED_RUN_FILE).is_file()
            && self.in_export("nas-output-2", "ls /data").contains(KILLED_RUN_FILE);
        self.kubectl(&["delete", "pod", "crashing", "--now"]);
        // Otherwise the sidecars would restore the files that are removed here.
        self.kubectl(&["delete", "deployments", "-l", &restore::selector(&USED), "--cascade=foreground"]);
        client.wait().unwrap();
        let unusual =
            ["nas-input-1", "nas-output-1"].map(|server| UNUSUAL.map(|name| self.folder.join(server).join(name)));
        let others =
            ["nas-input-1/many", "nas-output-1/many", "nas-output-1/client.log"].map(|path| self.folder.join(path));
        let killed = self.folder.join("nas-output-2").join(KILLED_RUN_FILE);
        output(Command::new("rm").arg("-rf").args(unusual.as_flattened()).args(others).arg(killed));
        existed
    }
}
