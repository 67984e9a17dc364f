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
mod auth;
mod base64;
mod binary;
mod clock;
mod config;
mod connection;
mod control;
mod event_loop;
mod fault;
mod items;
mod meta;
mod number;
mod sasl;
mod stats;
mod store;
mod text;

pub use config::{Auth, Config, Protocol, User};

#[cfg(all(test, bmemc_model))]
pub(crate) use {
    clock::Clock as ModelClock,
    connection::{Connection, Core},
};

use crate::error::{Error, Result, Status};
use crate::net::fork::OfProcess;
use crate::net::sys::thread::spawn_without_signals;
use clock::Clock;
use control::Control;
use event_loop::{EventLoop, Remote};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// A running server: one thread, which ends when `stop` is called or this handle is dropped.
pub struct Server {
    address: String,
    remote: Arc<Remote>,
    clock: Arc<Clock>,
    control: Arc<Control>,
    thread: Option<OfProcess<JoinHandle<()>>>,
}

impl Server {
    /// Binds, and serves from now on. Fails if `config` is wrong or the address cannot be bound.
    pub fn start(config: Config) -> Result<Server> {
        config.check()?;
        let clock = Arc::new(Clock::new());
        let control = Arc::new(Control::default());
        let bound = EventLoop::bind(config, clock.clone(), control.clone())?;
        let (address, remote) = (bound.address(), bound.remote());
        let thread = spawn_without_signals("bmemc-server", move || bound.run());
        let thread = thread.map_err(|error| event_loop::failed("cannot start the server's thread", &error))?;
        Ok(Server { address, remote, clock, control, thread: Some(OfProcess::new(thread)) })
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

    /// Changes something of a running server, by name; requests that arrive after this call meet it.
    ///
    /// | name | value |
    /// |---|---|
    /// | `advance_seconds` | moves the clock forward by so many seconds |
    /// | `auth` | `none`, `sasl`, `ascii` or `memcachier`: who may use it; connections that are logged in stay so |
    /// | `cluster` | what `config get cluster` answers: a version, a new line, nodes `host\|ip\|port`; empty: there is no such command |
    /// | `users` | a line `name:password` for each |
    /// | `mechanisms` | the SASL mechanisms that are offered, with spaces between |
    /// | `idle_timeout` | seconds of the clock after which an idle connection is closed; 0: never |
    /// | `max_connections` | the most connections at a time |
    /// | `version` | what the `version` command says |
    /// | `fault` | what goes wrong with the replies to commands from now on; empty: nothing |
    ///
    /// A fault is `[command=NAME] [skip=N] [count=N] HARM`: it hits commands of this name (as in text and meta; binary ones
    /// go by the same names), lets N of them be first, and then hits N, without these: all. `HARM` is `delay=MILLISECONDS`,
    /// `close` (the connection ends), `stall` (the connection never answers again), `garbage`, or `error=LINE`, a line of
    /// text up to the end of the value, which in binary becomes a frame of status 0x84.
    pub fn set(&self, name: &str, value: &str) -> Result<()> {
        if self.thread.as_ref().is_some_and(|thread| thread.get().is_none()) {
            return Err(Error::new(Status::Forked, "the server was started before a fork(), in the parent"));
        }
        if name == "advance_seconds" {
            let seconds = value.parse().map_err(|_| {
                Error::argument(format!("advance_seconds: {value:?} is not a number of seconds from 0 on"))
            })?;
            self.advance(Duration::from_secs(seconds));
        } else {
            self.control.set(name, value)?;
        }
        self.remote.wake();
        Ok(())
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
