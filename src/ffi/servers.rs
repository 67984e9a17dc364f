//! Servers of a client in use: listing them, changing them while calls go on, and dropping
//! connections.

use super::bytes::bmemc_bytes;
use super::client::bmemc_client;
use super::guard::{guard, handle, not_yet, place};
use super::results::{bmemc_results, Many};
use super::status::{bmemc_error, bmemc_status};
use crate::error::Status;
use crate::operation::{Answer, Sink, Value};
use std::mem::MaybeUninit;

/// Drops every connection; the next call opens new ones. Operations under way may fail with
/// BMEMC_E_CONNECTION. Connections of queues are kept.
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

/// Adds a server to a client in use; parameters as bmemc_options_add_server(). Keys move to it as
/// the ring says.
/// BMEMC_E_UNSUPPORTED now.
#[no_mangle]
pub extern "C" fn bmemc_client_add_server(
    client: Option<&bmemc_client>,
    address: bmemc_bytes,
    name: bmemc_bytes,
    weight: u32,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    guard(error, || {
        handle(client, "client")?;
        address.text("address")?;
        name.text("name")?;
        let _ = weight;
        Err(not_yet("bmemc_client_add_server"))
    })
}

/// Removes the server of this name from a client in use; what it was asked already is still
/// answered.
/// BMEMC_NOT_FOUND: there is none of this name. BMEMC_E_UNSUPPORTED now.
#[no_mangle]
pub extern "C" fn bmemc_client_remove_server(
    client: Option<&bmemc_client>,
    name: bmemc_bytes,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    guard(error, || {
        handle(client, "client")?;
        name.text("name")?;
        Err(not_yet("bmemc_client_remove_server"))
    })
}

/// Lists a client's servers: each item has the name as `key`, the address as `value`, the weight as
/// `number` and, as `server`, the index by which items and counters call it. On BMEMC_OK `*out` is
/// the caller's, to be freed.
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
            let answer = Answer {
                key: server.name.as_bytes(),
                value: Value::Borrowed(address.as_bytes()),
                number: server.weight.into(),
                server: *index,
                ..Answer::new(Status::Ok)
            };
            list.answer(place, answer);
        }
        *out = list.into_results();
        Ok(Status::Ok)
    })
}
