//! Requests to stop: Ctrl-C, SIGTERM, and what Windows has. They are counted in a thread of their own, so that the third
//! one ends the process whatever else it is doing. Imports `error` for the exit code.

use std::future::pending;
use std::{io, process, thread};

use tokio::runtime::Builder;
use tokio::sync::watch;

use crate::error::Exit;

/// So many requests end the process at once.
const ENOUGH: u8 = 3;

pub struct Signals(watch::Receiver<u8>);

impl Signals {
    /// From now on a request to stop does not end the process by itself.
    pub fn listen() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let mut requests = runtime.block_on(async { Requests::listen() })?;
        let (sender, count) = watch::channel(0);
        let counting = async move {
            loop {
                let more = requests.next().await;
                sender.send_modify(|count: &mut u8| *count = count.saturating_add(more));
                if *sender.borrow() >= ENOUGH {
                    process::exit(Exit::Interrupted as i32);
                }
            }
        };
        thread::Builder::new().name("signals".to_owned()).spawn(move || runtime.block_on(counting))?;
        Ok(Self(count))
    }

    /// Returns when so many have come.
    pub async fn asked(&self, times: u8) {
        if self.0.clone().wait_for(|count| *count >= times).await.is_err() {
            // The thread is gone, and nobody counts any more.
            pending::<()>().await;
        }
    }

    pub fn came(&self) -> bool {
        *self.0.borrow() > 0
    }
}

#[cfg(unix)]
struct Requests {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Requests {
    fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next one; returns how many it counts for.
    async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.terminate.recv() => 1,
            _ = self.interrupt.recv() => 1,
        }
    }
}

#[cfg(windows)]
struct Requests {
    interrupt: tokio::signal::windows::CtrlC,
    stop: tokio::signal::windows::CtrlBreak,
    close: tokio::signal::windows::CtrlClose,
    logoff: tokio::signal::windows::CtrlLogoff,
    shutdown: tokio::signal::windows::CtrlShutdown,
}

#[cfg(windows)]
impl Requests {
    fn listen() -> io::Result<Self> {
        use tokio::signal::windows::{ctrl_break, ctrl_c, ctrl_close, ctrl_logoff, ctrl_shutdown};
        Ok(Self {
            interrupt: ctrl_c()?,
            stop: ctrl_break()?,
            close: ctrl_close()?,
            logoff: ctrl_logoff()?,
            shutdown: ctrl_shutdown()?,
        })
    }

    /// Waits for the next one; returns how many it counts for. After the last three Windows leaves about 5 s: enough for the
    /// reports alone.
    async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.interrupt.recv() => 1,
            _ = self.stop.recv() => 1,
            _ = self.close.recv() => 2,
            _ = self.logoff.recv() => 2,
            _ = self.shutdown.recv() => 2,
        }
    }
}
