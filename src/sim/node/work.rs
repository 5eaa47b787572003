//! What the scripts of the chart's containers do and log.

use std::future::pending;
use std::sync::PoisonError;
use std::time::Duration;

use nfs3_server::tcp::NFSTcp;
use tokio::task::block_in_place;
use tokio::time::sleep;

use super::container::{Container, lock};
use super::mounts::Place;
use super::{nfs, rsync};
use crate::sim::object::name;
use crate::sim::scenario::Behaviour;
use crate::sim::world::INTERVAL;

const COPY: Duration = Duration::from_millis(20);
/// From the NFS server's start until it listens and its probe has succeeded.
const LISTEN: Duration = Duration::from_millis(180);

/// The sidecar exits after this many partial copies in a row.
const FAILURES: u32 = 3;

impl Container {
    pub async fn work(&self) -> i32 {
        // Pods of the installation start before the first request.
        let is_new = self.world.has_requests();
        match self.name.as_str() {
            _ if self.does(Behaviour::Hangs) => pending().await,
            _ if self.does(Behaviour::Exits) || self.does(Behaviour::ExitsInNewPods) && is_new => 1,
            "sync-windows-data" => self.init().await,
            "sync-to-windows" => self.sync().await,
            "nfs-server" => self.serve().await,
            _ => pending().await,
        }
    }

    /// Logs rsync's output and returns its exit code.
    async fn rsync(&self, from: &str, to: &str) -> i32 {
        self.print("sending incremental file list");
        let (lines, code) = block_in_place(|| {
            let _copies = self.world.kubelet.copies.read().unwrap_or_else(PoisonError::into_inner);
            let [Ok(from), Ok(to)] = [from, to].map(|folder| self.place(folder)) else { return (Vec::new(), 23) };
            rsync::copy(&from, &to, &self.world.kubelet.files)
        });
        sleep(COPY).await;
        for line in lines {
            self.print(line);
        }
        code
    }

    /// The chart's `files/init.sh`.
    async fn init(&self) -> i32 {
        let name = self.env("NAS_NAME");
        self.print(format!("=== NAS {name} Init Container Starting ==="));
        let code = self.rsync("/windows-data", "/data").await;
        if code == 0 {
            self.print(format!("=== NAS {name} Init Container Complete ==="));
        }
        code
    }

    /// The chart's `files/sidecar.sh`.
    async fn sync(&self) -> i32 {
        let interval = self.env("SYNC_INTERVAL").parse().unwrap_or(INTERVAL);
        self.print(format!("=== NAS {} Sync Sidecar Starting ===", self.env("NAS_NAME")));
        self.print(format!("Sync interval: {interval}s"));
        self.print("Direction: NFS export -> Windows mount");
        let mut failures = 0;
        loop {
            let start = self.world.node_now();
            let status = self.rsync("/nfs-data", "/windows-mount").await;
            let end = self.world.node_now();
            let time = end.strftime("%H:%M:%S");
            if status == 0 {
                failures = 0;
                self.print(format!("[{time}] Synced to Windows in {}s", end.as_second() - start.as_second()));
            } else {
                failures += 1;
                if status != 23 || failures == FAILURES {
                    return status;
                }
                self.print(format!("[{time}] Not all was synced to Windows: rsync exit code {status}"));
            }
            sleep(Duration::from_secs(interval)).await;
        }
    }

    /// The chart's `files/server.sh`.
    async fn serve(&self) -> i32 {
        let options = self.env("EXPORT_OPTIONS");
        let exports = format!("/data 0.0.0.0/0({options})");
        let written = self.place("/etc/exports").and_then(|file| {
            std::fs::create_dir_all(file.host.parent().unwrap_or(&file.host))?;
            std::fs::write(file.host, format!("{exports}\n"))
        });
        if written.is_ok() {
            self.print(exports);
        }
        self.print(format!("Starting NFS server (fsid={})", self.env("FSID")));
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
        sleep(LISTEN).await;
        lock(&self.world.kubelet.ports).insert(name(&self.pod).to_owned(), server.get_listen_port());
        self.listens();
        i32::from(server.handle_forever().await.is_err())
    }
}
