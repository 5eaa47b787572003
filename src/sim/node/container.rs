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
use super::rsync::{self, Copied, Flags};
use super::{lock, network, nfs, sidecar};
use crate::sim::World;
use crate::sim::logs::Log;
use crate::sim::object::{containers, items, name, server, text};
use crate::sim::scenario::Behaviour;

/// How long rsync takes at least.
const COPY: Duration = Duration::from_millis(20);
/// From the server's start until it listens and a probe has found that out.
const LISTEN: Duration = Duration::from_millis(180);

/// One life of a container.
pub(super) struct Container {
    /// The cluster.
    pub world: Arc<World>,
    /// Its pod.
    pub pod: Arc<Value>,
    /// Its name.
    pub name: String,
    /// When it began, if it has been running for long when the cluster is started.
    pub past: Option<Timestamp>,
    /// What it says.
    pub log: watch::Sender<Log>,
}

impl Container {
    /// Does its work; `listens` is called when a server has a port. Returns its exit code.
    pub async fn work(mut self, listens: impl Fn() + Send) -> i32 {
        match (self.behaviour(), self.name.as_str()) {
            (Some(Behaviour::Hangs), _) => pending().await,
            (Some(Behaviour::Exits), _) => 1,
            (Some(Behaviour::ExitsAnew), _) if self.past.is_none() => 1,
            (_, "sync-windows-data") => self.fill().await,
            (_, "sync-to-windows") => sidecar::run(&mut self).await,
            (_, "nfs-server") => self.serve(listens).await,
            _ => pending().await,
        }
    }

    /// What it does instead of its work.
    pub fn behaviour(&self) -> Option<Behaviour> {
        self.world.scenario.behaviour(server(&self.pod), &self.name)
    }

    /// A variable of its environment.
    pub fn env(&self, key: &str) -> &str {
        let spec = containers(&self.pod).find(|spec| spec["name"] == self.name.as_str());
        let variable = spec.and_then(|spec| items(&spec["env"]).find(|variable| variable["name"] == key));
        variable.map_or("", |variable| text(&variable["value"]))
    }

    /// The time in it.
    pub fn now(&self) -> Timestamp {
        self.past.unwrap_or_else(|| self.world.node_now())
    }

    /// Says a line.
    pub fn say(&self, line: impl Into<String>) {
        self.say_at(self.now(), line);
    }

    /// Says a line at a time.
    pub fn say_at(&self, at: Timestamp, line: impl Into<String>) {
        self.log.send_modify(|log| log.lines.push((at, line.into())));
    }

    /// A file or folder in it.
    pub fn place(&self, path: &str) -> io::Result<Place> {
        mounts::place(&self.world, &self.pod, &self.name, path)
    }

    /// Runs rsync from one folder to another and says what it says; files are touched afterwards as given.
    pub async fn rsync(&self, from: Place, to: Place, flags: Flags, then: fn(&Place, &[String])) -> i32 {
        self.say("sending incremental file list");
        let world = Arc::clone(&self.world);
        let work = move || {
            let copied = rsync::copy(&from, &to, flags, &world.kubelet.files);
            then(&to, &copied.files);
            copied
        };
        let (copied, ()) = tokio::join!(tokio::task::spawn_blocking(work), self.pause(COPY));
        let Copied { said, code, .. } = copied.unwrap_or_default();
        for line in said {
            self.say(line);
        }
        code
    }

    /// Sleeps, but not in the past.
    pub async fn pause(&self, time: Duration) {
        if self.past.is_none() {
            tokio::time::sleep(time).await;
        }
    }

    /// The work of files/init.sh.
    async fn fill(&self) -> i32 {
        let name = self.env("NAS_NAME");
        self.say(format!("=== NAS {name} Init Container Starting ==="));
        if self.behaviour() != Some(Behaviour::CopiesNothing) {
            let (Ok(from), Ok(to)) = (self.place("/windows-data"), self.place("/data")) else { return 23 };
            let flags = self.env("RSYNC_FLAGS");
            let has = |flag: &str| flags.split_whitespace().any(|word| word == flag);
            let flags = Flags { delete: has("--delete"), update: has("--update"), ..Flags::default() };
            let code = self.rsync(from, to, flags, |_, _| ()).await;
            if code != 0 {
                return code;
            }
        }
        self.say(format!("=== NAS {name} Init Container Complete ==="));
        0
    }

    /// The work of files/server.sh.
    async fn serve(&self, listens: impl Fn() + Send) -> i32 {
        let exports = format!("/data 0.0.0.0/0({})", self.env("EXPORT_OPTIONS"));
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
        let Ok(listener) = TcpListener::bind("127.0.0.1:0").await else { return 1 };
        let Ok(address) = listener.local_addr() else { return 1 };
        self.pause(LISTEN).await;
        lock(&self.world.kubelet.listeners).insert(name(&self.pod).to_owned(), address);
        listens();
        let options = self.env("EXPORT_OPTIONS");
        let has = |option: &str| options.split(',').any(|own| own == option);
        let elsewhere = self.behaviour() == Some(Behaviour::ServesElsewhere);
        let served = self.place(if elsewhere { "/srv/data" } else { "/data" });
        let service = match served.and_then(|place| std::fs::create_dir_all(&place.host).map(|()| place)) {
            _ if self.behaviour() == Some(Behaviour::Wedged) => nfs::Service::Silent,
            Ok(Place { host: folder, read_only, .. }) => nfs::Service::Folder {
                folder,
                export: "data".to_owned(),
                read_only: read_only || has("ro"),
                secure: !has("insecure"),
                ends: match self.behaviour() {
                    Some(Behaviour::EndsAfterMount) => Some(nfs::Ends::Connection),
                    Some(Behaviour::EndsAtRequest) => Some(nfs::Ends::Server),
                    _ => None,
                },
            },
            Err(_) => return 1,
        };
        let world = Arc::clone(&self.world);
        let is_privileged = move |from| network::is_privileged(&world, from);
        let Err(error) = nfs::serve(listener, service, is_privileged).await else { return 0 };
        self.say(error.to_string());
        1
    }
}
