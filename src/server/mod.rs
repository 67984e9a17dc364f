//! An embedded memcached for tests and examples: real sockets, the text, meta and binary protocols, the answers and the
//! quirks of memcached 1.6.18, and a clock that a test can move. It parses requests with code of its own, so that it can
//! contradict this library's client; it knows `net`, and nothing of the client.
//!
//! ```no_run
//! use bmemc::server::{Config, Server};
//! # fn main() -> bmemc::Result<()> {
//! let server = Server::start(Config::default())?;
//! println!("listening on {}", server.address());
//! # Ok(())
//! # }
//! ```

mod admin;
mod base64;
mod binary;
mod clock;
mod config;
mod connection;
mod event_loop;
mod items;
mod meta;
mod number;
mod stats;
mod store;
mod text;

pub use config::{Config, Protocol};

#[cfg(all(test, bmemc_model))]
pub(crate) use {
    clock::Clock as ModelClock,
    connection::{Connection, Core},
};

use crate::error::Result;
use crate::net::fork::OfProcess;
use crate::net::sys::thread::spawn_without_signals;
use clock::Clock;
use event_loop::{EventLoop, Remote};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// A running server: one thread, which ends when `stop` is called or this handle is dropped.
pub struct Server {
    address: String,
    remote: Arc<Remote>,
    clock: Arc<Clock>,
    thread: Option<OfProcess<JoinHandle<()>>>,
}

impl Server {
    /// Binds, and serves from now on. Fails if `config` is wrong or the address cannot be bound.
    pub fn start(config: Config) -> Result<Server> {
        config.check()?;
        let clock = Arc::new(Clock::new());
        let bound = EventLoop::bind(config, clock.clone())?;
        let (address, remote) = (bound.address(), bound.remote());
        let thread = spawn_without_signals("bmemc-server", move || bound.run());
        let thread = thread.map_err(|error| event_loop::failed("cannot start the server's thread", &error))?;
        Ok(Server { address, remote, clock, thread: Some(OfProcess::new(thread)) })
    }

    /// Where it listens, as a server string for a client: `127.0.0.1:34567`, `[::1]:34567` or `/path`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Moves the server's clock forward, in whole seconds: what would have expired by then has. Requests that arrive after
    /// this call see the new time.
    pub fn advance(&self, time: Duration) {
        self.clock.advance(time.as_secs());
    }

    /// Whether it still serves; the `shutdown` command ends it too. Never in the child of a fork.
    pub fn is_running(&self) -> bool {
        self.thread.as_ref().and_then(OfProcess::get).is_some_and(|thread| !thread.is_finished())
    }

    /// Closes every connection and waits for the thread to end. Calling it again does nothing, nor does calling it in the
    /// child of a fork: the thread and the connections are the parent's.
    pub fn stop(&mut self) {
        if let Some(thread) = self.thread.take().and_then(OfProcess::into_inner) {
            self.remote.stop();
            // The thread's panic has been reported on stderr already, and there is nothing left to stop.
            let _ = thread.join();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}
