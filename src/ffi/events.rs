//! Counters and events: what a client does, for metrics and logs.

use super::bytes::bmemc_bytes;
use super::client::bmemc_client;
use super::guard::{guard, handle, null};
use super::options::bmemc_options;
use super::status::{bmemc_error, bmemc_status};
use crate::client::{Counters, Event, Listener};
use crate::error::Status;
use std::mem::MaybeUninit;
use std::os::raw::c_void;

/// What a client has done since it was made. They only grow; read together they may be a few
/// operations apart.
#[repr(C)]
#[derive(Default)]
pub struct bmemc_counters {
    /// Operations that were begun, whatever became of them.
    pub operations: u64,
    /// Reads that the server answered with a value, even if too late for their callers.
    pub hits: u64,
    /// Reads that the server answered with none.
    pub misses: u64,
    /// Operations that failed, time-outs among them.
    pub failures: u64,
    /// Operations that failed with BMEMC_E_TIMEOUT.
    pub timeouts: u64,
    /// Operations with BMEMC_FLAG_NO_REPLY that failed after they were sent: the server said so, or
    /// their connection was lost before it had said that they were done.
    pub quiet_failures: u64,
    /// Bytes of requests, and of replies. What opening a connection takes is not in them.
    pub bytes_sent: u64,
    pub bytes_received: u64,
    /// Groups of operations that were sent together.
    pub batches: u64,
    /// Connections that were opened.
    pub connects: u64,
    /// Connections that were closed, for whatever reason.
    pub disconnects: u64,
    /// System calls that were made for all this: on connections, from socket() to close(), and of
    /// callers that wait for each other. Not in it: name lookups, and a queue's waiting.
    pub system_calls: u64,
    /// How often a server was found to be out (option failover).
    pub breaker_opened: u64,
    /// Calls that failed at once because it was.
    pub failed_fast: u64,
    /// Zero.
    pub reserved: [u64; 18],
}

impl From<Counters> for bmemc_counters {
    fn from(from: Counters) -> bmemc_counters {
        bmemc_counters {
            operations: from.operations,
            hits: from.hits,
            misses: from.misses,
            failures: from.failures,
            timeouts: from.timeouts,
            quiet_failures: from.quiet_failures,
            bytes_sent: from.bytes_sent,
            bytes_received: from.bytes_received,
            batches: from.batches,
            connects: from.connects,
            disconnects: from.disconnects,
            system_calls: from.system_calls,
            breaker_opened: from.breaker_opened,
            failed_fast: from.failed_fast,
            reserved: [0; 18],
        }
    }
}

/// Kinds of events; more may come.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(dead_code, reason = "names for C of numbers")]
pub enum bmemc_event_kind {
    /// A connection was opened.
    BMEMC_EVENT_CONNECTED = 1,
    /// A connection was closed; `status` and `message` say why.
    BMEMC_EVENT_CLOSED = 2,
    /// A call took at least as long as option slow_ms says. Operations of queues are not timed.
    BMEMC_EVENT_SLOW = 3,
    /// Operations with BMEMC_FLAG_NO_REPLY failed; `status` and `message` say of what.
    BMEMC_EVENT_QUIET_FAILURE = 4,
    /// A server is out (option failover): calls to it fail at once, until it answers a probe. `status`
    /// and `message` say why.
    BMEMC_EVENT_BREAKER_OPENED = 5,
    /// A server that was out answers again.
    BMEMC_EVENT_BREAKER_CLOSED = 6,
    /// A connection could not be opened; `status` and `message` say why.
    BMEMC_EVENT_CONNECT_FAILED = 7,
    /// Nobody could be asked which servers there are, or the answer was no use (docs/discovery.md):
    /// those that are known stay. `status` and `message` say why.
    BMEMC_EVENT_DISCOVERY_FAILED = 8,
    /// Discovery has found other servers; `message` says which came (+) and went (-).
    BMEMC_EVENT_SERVERS_CHANGED = 9,
}

/// One event, borrowed: it is gone when the callback returns.
#[repr(C)]
pub struct bmemc_event {
    /// A bmemc_event_kind.
    pub kind: i32,
    /// Index of the server that it is about; zero for what discovery tells.
    pub server: u32,
    /// A bmemc_status: why; BMEMC_OK where nothing failed.
    pub status: i32,
    /// errno of the system call that failed, else zero.
    pub os_error: i32,
    /// How long it took, in microseconds: connecting, or the call; zero for the others.
    pub elapsed_us: u64,
    /// The same in words, UTF-8.
    pub message: bmemc_bytes,
    /// Zero.
    pub reserved: [u32; 6],
}

/// Called for each event, on the thread that was inside a call with the client just then, with no
/// lock held. It must not block, call the same client, or fork. `context` is what
/// bmemc_options_on_event() was given.
pub type bmemc_event_callback = Option<unsafe extern "C" fn(event: *const bmemc_event, context: *mut c_void)>;

/// Writes what a client has done, with server `server` (as in `bmemc_item.server`) or, with -1,
/// with all of them; what its queues have done is in it. Any thread. In the child of a fork() the
/// counters begin at zero.
/// BMEMC_E_ARGUMENT: the client has no such server.
#[no_mangle]
pub extern "C" fn bmemc_client_counters(
    client: Option<&bmemc_client>,
    server: i32,
    out: Option<&mut MaybeUninit<bmemc_counters>>,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    guard(error, || {
        let out = out.ok_or_else(|| null("out"))?;
        out.write(bmemc_counters::default());
        let server = match server {
            -1 => None,
            _ => Some(usize::try_from(server).unwrap_or(usize::MAX)),
        };
        out.write(handle(client, "client")?.client.counters(server)?.into());
        Ok(Status::Ok)
    })
}

/// Has `callback(event, context)` called for the events of the clients that are made of these
/// options; NULL: none. The callback and its `context`, which may be NULL, must outlive these
/// clients and be fit for every thread that uses them.
#[no_mangle]
pub extern "C" fn bmemc_options_on_event(
    options: Option<&mut bmemc_options>,
    callback: bmemc_event_callback,
    context: *mut c_void,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    guard(error, || {
        let options = options.ok_or_else(|| null("options"))?;
        options.options.listener = callback.map_or_else(Listener::default, |function| {
            let callback = Callback { function, context };
            Listener::new(move |event| callback.call(event))
        });
        Ok(Status::Ok)
    })
}

/// A function of the caller's and what it is to be given.
struct Callback {
    function: unsafe extern "C" fn(event: *const bmemc_event, context: *mut c_void),
    context: *mut c_void,
}

// SAFETY: bmemc_options_on_event() demands that both are fit for every thread; `context` is handed on and never followed.
unsafe impl Send for Callback {}
// SAFETY: as above.
unsafe impl Sync for Callback {}

impl Callback {
    fn call(&self, event: &Event) {
        let event = bmemc_event {
            kind: event.kind as i32,
            server: event.server,
            status: event.status.code(),
            os_error: event.os_error,
            elapsed_us: event.elapsed_us,
            message: bmemc_bytes { data: event.message.as_ptr(), len: event.message.len() },
            reserved: [0; 6],
        };
        // SAFETY: bmemc_options_on_event() demands that the function and its context live as long as the client; the event
        // lives during the call.
        unsafe { (self.function)(&event, self.context) }
    }
}
