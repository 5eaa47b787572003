//! Requests to stop: Ctrl-C, SIGTERM, and their counterparts on Windows. A separate thread counts them, so that the third one
//! always ends the process.

use std::future::pending;
use std::{io, process, thread};

use tokio::runtime::Builder;
use tokio::sync::watch;

use crate::exit_code::Exit;

/// The number of requests that end the process at once.
const EXIT_AT: u8 = 3;

pub struct Signals(watch::Receiver<u8>);

impl Signals {
    /// Replaces the default handlers, which end the process.
    pub fn listen() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let mut requests = runtime.block_on(async { Requests::listen() })?;
        let (sender, count) = watch::channel(0);
        let counting = async move {
            loop {
                let more = requests.next().await;
                sender.send_modify(|count: &mut u8| *count = count.saturating_add(more));
                if *sender.borrow() >= EXIT_AT {
                    process::exit(Exit::Interrupted as i32);
                }
            }
        };
        thread::Builder::new().name("signals".to_owned()).spawn(move || runtime.block_on(counting))?;
        Ok(Self(count))
    }

    /// Waits until the user has requested to stop this many times.
    pub async fn requested(&self, times: u8) {
        if self.0.clone().wait_for(|count| *count >= times).await.is_err() {
            // The counting thread has ended.
            pending::<()>().await;
        }
    }

    pub fn any(&self) -> bool {
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

    /// Waits for the next signal; returns how many requests it counts for.
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

    /// Waits for the next signal; returns how many requests it counts for. After the last three, Windows ends the process
    /// within about 5 s: enough for the reports, but not for the cleanup.
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
