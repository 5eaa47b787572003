//! A container's life: what it says and does, from its start to its end.

use std::future::pending;
use std::io;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use nfs3_server::tcp::NFSTcp;
use serde_json::Value;
use tokio::sync::watch;

use super::mounts::{self, Place};
use super::{lock, nfs, rsync};
use crate::sim::logs::Log;
use crate::sim::object::{containers, items, name, server, text};
use crate::sim::scenario::Behaviour;
use crate::sim::{INTERVAL, World};

const COPY: Duration = Duration::from_millis(20);
/// From the server's start until it listens and a probe has found that out.
const LISTEN: Duration = Duration::from_millis(180);

/// So many times in a row not all may be copied.
const FAILURES: u32 = 3;

/// One life of a container.
pub(super) struct Container {
    pub world: Arc<World>,
    pub pod: Arc<Value>,
    pub name: String,
    pub log: watch::Sender<Log>,
}

impl Container {
    /// Does its work; `listens` is called when a server has a port. Returns its exit code.
    pub async fn work(self, listens: impl Fn() + Send) -> i32 {
        // The others were there before the first request.
        let is_new = !self.world.elapsed().is_zero();
        match self.name.as_str() {
            _ if self.does(Behaviour::Hangs) => pending().await,
            _ if self.does(Behaviour::Exits) || self.does(Behaviour::ExitsAnew) && is_new => 1,
            "sync-windows-data" => self.fill().await,
            "sync-to-windows" => self.copy().await,
            "nfs-server" => self.serve(listens).await,
            _ => pending().await,
        }
    }

    /// Whether it does this instead of its work.
    fn does(&self, behaviour: Behaviour) -> bool {
        self.world.scenario.behaviour(server(&self.pod), &self.name) == Some(behaviour)
    }

    fn env(&self, key: &str) -> &str {
        let spec = containers(&self.pod).find(|spec| spec["name"] == self.name.as_str());
        let variable = spec.and_then(|spec| items(&spec["env"]).find(|variable| variable["name"] == key));
        variable.map_or("", |variable| text(&variable["value"]))
    }

    fn now(&self) -> Timestamp {
        self.world.node_now()
    }

    fn say(&self, line: impl Into<String>) {
        self.log.send_modify(|log| log.lines.push((self.now(), line.into())));
    }

    fn place(&self, path: &str) -> io::Result<Place> {
        mounts::place(&self.world, &self.pod, &self.name, path)
    }

    /// Runs rsync from one folder to another, and says what it says.
    async fn rsync(&self, from: &str, to: &str) -> i32 {
        self.say("sending incremental file list");
        let (world, pod, name) = (Arc::clone(&self.world), self.pod.clone(), self.name.clone());
        let folders = [from, to].map(str::to_owned);
        let work = tokio::task::spawn_blocking(move || {
            let _copies = world.kubelet.copies.read().unwrap_or_else(PoisonError::into_inner);
            let places = folders.each_ref().map(|folder| mounts::place(&world, &pod, &name, folder));
            let [Ok(from), Ok(to)] = &places else { return (Vec::new(), 23) };
            rsync::copy(from, to, &world.kubelet.files)
        });
        let (copied, ()) = tokio::join!(work, tokio::time::sleep(COPY));
        let (said, code) = copied.unwrap_or_default();
        for line in said {
            self.say(line);
        }
        code
    }

    /// The work of files/init.sh.
    async fn fill(&self) -> i32 {
        let name = self.env("NAS_NAME");
        self.say(format!("=== NAS {name} Init Container Starting ==="));
        if !self.does(Behaviour::CopiesNothing) {
            let code = self.rsync("/windows-data", "/data").await;
            if code != 0 {
                return code;
            }
        }
        self.say(format!("=== NAS {name} Init Container Complete ==="));
        0
    }

    /// The work of files/sidecar.sh.
    async fn copy(&self) -> i32 {
        let interval = self.env("SYNC_INTERVAL").parse().unwrap_or(INTERVAL);
        self.say(format!("=== NAS {} Sync Sidecar Starting ===", self.env("NAS_NAME")));
        self.say(format!("Sync interval: {interval}s"));
        self.say("Direction: NFS export -> Windows mount");
        let mut failures = 0;
        loop {
            let start = self.now();
            let status = self.rsync("/nfs-data", "/windows-mount").await;
            let end = self.now();
            let time = end.strftime("%H:%M:%S");
            if status == 0 {
                failures = 0;
                self.say(format!("[{time}] Synced to Windows in {}s", end.as_second() - start.as_second()));
            } else {
                failures += 1;
                if status != 23 || failures == FAILURES {
                    return status;
                }
                self.say(format!("[{time}] Not all was synced to Windows: rsync exit code {status}"));
            }
            tokio::time::sleep(Duration::from_secs(interval)).await;
        }
    }

    /// The work of files/server.sh.
    async fn serve(&self, listens: impl Fn() + Send) -> i32 {
        let options = self.env("EXPORT_OPTIONS");
        let exports = format!("/data 0.0.0.0/0({options})");
        let written = self.place("/etc/exports").and_then(|file| {
            std::fs::create_dir_all(file.host.parent().unwrap_or(&file.host))?;
            std::fs::write(file.host, format!("{exports}\n"))
        });
        if written.is_ok() {
            self.say(exports);
        }
        self.say(format!("Starting NFS server (fsid={})", self.env("FSID")));
        if self.does(Behaviour::DoesNotListen) {
            return pending().await;
        }
        let folder = self.place(if self.does(Behaviour::ServesElsewhere) { "/srv/data" } else { "/data" });
        let Ok(Place { host, read_only, .. }) = folder else { return 1 };
        let read_only = read_only || options.split(',').any(|option| option == "ro");
        if std::fs::create_dir_all(&host).is_err() {
            return 1;
        }
        let Ok(server) = nfs::listen(host, read_only).await else { return 1 };
        tokio::time::sleep(LISTEN).await;
        lock(&self.world.kubelet.ports).insert(name(&self.pod).to_owned(), server.get_listen_port());
        listens();
        i32::from(server.handle_forever().await.is_err())
    }
}
