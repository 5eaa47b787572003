//! A container's life: what it says and does, from its start to its end.

use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::mounts::{self, Place};
use super::rsync::{self, Copied};
use super::{lock, nfs, sidecar};
use crate::sim::World;
use crate::sim::logs::Log;
use crate::sim::object::{containers, items, name, server, text};
use crate::sim::scenario::Behaviour;

const COPY: Duration = Duration::from_millis(20);
/// From the server's start until it listens and a probe has found that out.
const LISTEN: Duration = Duration::from_millis(180);

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
        match (self.behaviour(), self.name.as_str()) {
            (Some(Behaviour::Hangs), _) => pending().await,
            (Some(Behaviour::Exits), _) => 1,
            // The others were there before the first request.
            (Some(Behaviour::ExitsAnew), _) if !self.world.elapsed().is_zero() => 1,
            (_, "sync-windows-data") => self.fill().await,
            (_, "sync-to-windows") => sidecar::run(&self).await,
            (_, "nfs-server") => self.serve(listens).await,
            _ => pending().await,
        }
    }

    pub fn behaviour(&self) -> Option<Behaviour> {
        self.world.scenario.behaviour(server(&self.pod), &self.name)
    }

    pub fn env(&self, key: &str) -> &str {
        let spec = containers(&self.pod).find(|spec| spec["name"] == self.name.as_str());
        let variable = spec.and_then(|spec| items(&spec["env"]).find(|variable| variable["name"] == key));
        variable.map_or("", |variable| text(&variable["value"]))
    }

    pub fn now(&self) -> Timestamp {
        self.world.node_now()
    }

    pub fn say(&self, line: impl Into<String>) {
        self.log.send_modify(|log| log.lines.push((self.now(), line.into())));
    }

    pub fn place(&self, path: &str) -> io::Result<Place> {
        mounts::place(&self.world, &self.pod, &self.name, path)
    }

    /// Runs rsync from one folder to another, of all files or of those that differ, and says what it says; those that it
    /// copied are changed afterwards as given.
    pub async fn rsync(&self, from: Place, to: Place, all: bool, then: fn(&Place, &[String])) -> i32 {
        self.say("sending incremental file list");
        let world = Arc::clone(&self.world);
        let work = move || {
            let copied = rsync::copy(&from, &to, all, &world.kubelet.files);
            then(&to, &copied.files);
            copied
        };
        let (copied, ()) = tokio::join!(tokio::task::spawn_blocking(work), tokio::time::sleep(COPY));
        let Copied { said, code, .. } = copied.unwrap_or_default();
        for line in said {
            self.say(line);
        }
        code
    }

    /// The work of files/init.sh; the export is empty before.
    async fn fill(&self) -> i32 {
        let name = self.env("NAS_NAME");
        self.say(format!("=== NAS {name} Init Container Starting ==="));
        if self.behaviour() != Some(Behaviour::CopiesNothing) {
            let (Ok(from), Ok(to)) = (self.place("/windows-data"), self.place("/data")) else { return 23 };
            let code = self.rsync(from, to, false, |_, _| ()).await;
            if code != 0 {
                return code;
            }
        }
        self.say(format!("=== NAS {name} Init Container Complete ==="));
        0
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
        if self.behaviour() == Some(Behaviour::DoesNotListen) {
            return pending().await;
        }
        let elsewhere = self.behaviour() == Some(Behaviour::ServesElsewhere);
        let served = self.place(if elsewhere { "/srv/data" } else { "/data" });
        let Ok(Place { host, read_only, .. }) = served else { return 1 };
        let read_only = read_only || options.split(',').any(|option| option == "ro");
        if std::fs::create_dir_all(&host).is_err() {
            return 1;
        }
        let Ok(listener) = TcpListener::bind("127.0.0.1:0").await else { return 1 };
        let Ok(address) = listener.local_addr() else { return 1 };
        tokio::time::sleep(LISTEN).await;
        lock(&self.world.kubelet.listeners).insert(name(&self.pod).to_owned(), address);
        listens();
        i32::from(nfs::serve(listener, host, read_only).await.is_err())
    }
}
