//! A container's life: what it says and does, from its start to its end.

use std::fs::OpenOptions;
use std::future::pending;
use std::io::{self, Read, Seek, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::mounts::{self, Place};
use super::rsync::{self, Copied};
use super::{lock, nfs};
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

    /// Runs rsync from one folder to another, of all files or of those that differ, and says what it says; those that it
    /// copied are changed afterwards as given.
    async fn rsync(&self, from: Place, to: Place, all: bool, then: fn(&Place, &[String])) -> i32 {
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
        if !self.does(Behaviour::CopiesNothing) {
            let (Ok(from), Ok(to)) = (self.place("/windows-data"), self.place("/data")) else { return 23 };
            let code = self.rsync(from, to, false, |_, _| ()).await;
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
            let status = self.cycle().await;
            let end = self.now();
            let time = end.strftime("%H:%M:%S");
            if matches!(status, 0 | 24) {
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

    async fn cycle(&self) -> i32 {
        let (Ok(export), Ok(folder)) = (self.place("/nfs-data"), self.place("/windows-mount")) else { return 23 };
        let then = if self.does(Behaviour::Corrupts) { spoil } else { |_: &Place, _: &[String]| () };
        self.rsync(export, folder, self.does(Behaviour::CopiesAgain), then).await
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
        let served = self.place(if self.does(Behaviour::ServesElsewhere) { "/srv/data" } else { "/data" });
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

fn spoil(folder: &Place, files: &[String]) {
    for file in files {
        // One that is gone again is not changed.
        let _ = change(&folder.host.join(file));
    }
}

/// Changes the first byte, but not the time.
fn change(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    let modified = file.metadata()?.modified()?;
    let mut first = [0];
    file.read_exact(&mut first)?;
    file.rewind()?;
    file.write_all(&[!first[0]])?;
    file.set_modified(modified)
}
