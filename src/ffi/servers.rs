//! Servers of a client in use: listing them, changing them while calls go on, and dropping
//! connections.

use super::bytes::bmemc_bytes;
use super::client::bmemc_client;
use super::guard::{guard, handle, place};
use super::options::bmemc_options;
use super::results::{bmemc_results, bmemc_value, Many, One};
use super::status::{bmemc_error, bmemc_status};
use crate::client::Server;
use crate::error::Status;
use crate::operation::{Answer, Sink, Value};
use std::mem::MaybeUninit;

/// Drops every connection, those of queues too, and forgets which servers have failed: the next call
/// opens new ones, also where calls fail at once (an open breaker, reconnect_delay_ms). Operations under
/// way may fail with BMEMC_E_CONNECTION. Nothing is said to the servers (no "quit"): the end of a
/// connection says it all. A queue closes its connections at its next fetch, for which
/// bmemc_queue_fd() becomes readable: until then they are open, and counted.
#[no_mangle]
pub extern "C" fn bmemc_disconnect_all(
    client: Option<&bmemc_client>,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    guard(error, || {
        handle(client, "client")?.client.disconnect_all();
        Ok(Status::Ok)
    })
}

/// Adds a server to a client in use, with mode=hashed or mode=replicated; parameters as
/// bmemc_options_add_server(). Keys move to it as the ring says; calls that have begun do not know
/// of it.
/// BMEMC_E_ARGUMENT: the address is none, the name is there already, or the ring does not take it.
/// BMEMC_E_UNSUPPORTED: the client has one server (mode=single), or is a fallback client.
#[no_mangle]
pub extern "C" fn bmemc_client_add_server(
    client: Option<&bmemc_client>,
    address: bmemc_bytes,
    name: bmemc_bytes,
    weight: u32,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    guard(error, || {
        let client = handle(client, "client")?;
        client.client.add_server(address.text("address")?, name.text("name")?, weight)?;
        Ok(Status::Ok)
    })
}

/// Removes the server of this name from a client in use; what it was asked already is still
/// answered, and then its connections are closed. Its keys move as the ring says.
/// BMEMC_NOT_FOUND: there is none of this name. BMEMC_E_UNSUPPORTED: as bmemc_client_add_server().
#[no_mangle]
pub extern "C" fn bmemc_client_remove_server(
    client: Option<&bmemc_client>,
    name: bmemc_bytes,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    guard(error, || {
        let client = handle(client, "client")?;
        match client.client.remove_server(name.text("name")?)? {
            true => Ok(Status::Ok),
            false => Ok(Status::NotFound),
        }
    })
}

/// Makes the servers of `options` those of a client in use, in one step; nothing else of the options
/// counts. Servers whose name and address are there already keep their index and their connections.
/// Errors as those of bmemc_client_add_server(); the servers are as before then.
#[no_mangle]
pub extern "C" fn bmemc_client_replace_servers(
    client: Option<&bmemc_client>,
    options: Option<&bmemc_options>,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    guard(error, || {
        let client = handle(client, "client")?;
        client.client.replace_servers(&handle(options, "options")?.options.servers)?;
        Ok(Status::Ok)
    })
}

/// The server that has a key, as bmemc_client_servers() lists it: the one that the ring gives it to;
/// of replicas, and of a fallback client, the first. On BMEMC_OK `*out` is the caller's, to be
/// freed.
#[no_mangle]
pub extern "C" fn bmemc_client_server_for(
    client: Option<&bmemc_client>,
    key: bmemc_bytes,
    out: Option<&mut MaybeUninit<*mut bmemc_value>>,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    guard(error, || {
        let out = place(out, "out")?;
        let (index, server) = handle(client, "client")?.client.server_for(key.slice("key")?)?;
        let address = server.address.to_string();
        let mut one = One::default();
        one.answer(0, listed(index, &server, &address));
        *out = one.finish()?.1;
        Ok(Status::Ok)
    })
}

/// Lists a client's servers: each item has the name as `key`, the address as `value`, the weight as
/// `number` and, as `server`, the index by which items, events and counters call it. A server keeps
/// its index as long as it is there; one that is added later may get that of one that was removed.
/// On BMEMC_OK `*out` is the caller's, to be freed.
#[no_mangle]
pub extern "C" fn bmemc_client_servers(
    client: Option<&bmemc_client>,
    out: Option<&mut MaybeUninit<*mut bmemc_results>>,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    guard(error, || {
        let out = place(out, "out")?;
        let servers = handle(client, "client")?.client.servers();
        let mut list = Many::new(servers.len());
        for (place, (index, server)) in servers.iter().enumerate() {
            list.accept(place);
            let address = server.address.to_string();
            list.answer(place, listed(*index, server, &address));
        }
        *out = list.into_results();
        Ok(Status::Ok)
    })
}

/// A server as an item.
fn listed<'a>(index: u32, server: &'a Server, address: &'a str) -> Answer<'a> {
    Answer {
        key: server.name.as_bytes(),
        value: Value::Borrowed(address.as_bytes()),
        number: server.weight.into(),
        server: index,
        ..Answer::new(Status::Ok)
    }
}
