//! Client: what talks to the servers.

use super::bytes::bmemc_bytes;
use super::guard::{array, guard, handle, place, quietly};
use super::options::bmemc_options;
use super::status::{bmemc_error, bmemc_status};
use crate::client::Client;
use crate::error::Status;
use crate::secret::Secret;
use std::mem::MaybeUninit;
use std::sync::Arc;

/// A client of one or more servers. Any number of threads may use one at once, which is why it is
/// `const` everywhere: one client a program is usual, and the fastest. After a fork() the child may
/// use it too: it opens connections of its own.
pub struct bmemc_client {
    pub(super) client: Arc<Client>,
}

/// Makes a client of the servers and options as they are now. No connection is opened until the
/// first call.
/// On BMEMC_OK `*out` is the caller's, to be freed. BMEMC_E_ARGUMENT: the options have no server, two of
/// one name, a weight that the distribution does not take, or do not go together; the message says what.
#[no_mangle]
pub extern "C" fn bmemc_client_new(
    options: Option<&bmemc_options>,
    out: Option<&mut MaybeUninit<*mut bmemc_client>>,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    guard(error, || {
        let out = place(out, "out")?;
        let options = handle(options, "options")?.options.clone();
        *out = Box::into_raw(Box::new(bmemc_client { client: Arc::new(Client::new(options)?) }));
        Ok(Status::Ok)
    })
}

/// Makes a client that reads each key from the first of `clients`, 1 to 16 of them, that has it, and
/// writes to the first alone. A client that fails does not keep a key from being found in the next;
/// where none has it and one could not say, the answer is that one's failure. Commands without a key
/// go to the first. With option fallback_copy_ttl of the first client, what an older one had is put
/// into the first (as BMEMC_OP_ADD does, for so many seconds). Its other options and its codec are
/// the first one's; an answer's `server` is the index that the server has in its own client.
/// On BMEMC_OK `*out` is the caller's, to be freed; it holds references of its own to the others,
/// which may be freed before or after. Closing one of them ends it for calls of this one too, though
/// not for a queue's connections; closing this one leaves them as they are.
/// BMEMC_E_ARGUMENT: `count` is 0 or more than 16, or one is NULL.
#[no_mangle]
pub extern "C" fn bmemc_client_new_fallback(
    clients: *const *const bmemc_client,
    count: usize,
    out: Option<&mut MaybeUninit<*mut bmemc_client>>,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    guard(error, || {
        let out = place(out, "out")?;
        // SAFETY: the function's contract: NULL or `count` pointers, each NULL or to a client that is not freed meanwhile;
        // a reference in an Option is such a pointer.
        let clients = unsafe { array(clients.cast::<Option<&bmemc_client>>(), count, "clients") }?;
        let mut list = Vec::new();
        for (index, client) in clients.iter().enumerate() {
            list.push((*handle(*client, &format!("clients[{index}]"))?.client).clone());
        }
        *out = Box::into_raw(Box::new(bmemc_client { client: Arc::new(Client::new_fallback(&list)?) }));
        Ok(Status::Ok)
    })
}

/// Changes whom new connections log in as, those of queues too, and lets credentials that a server
/// has refused be tried again; both empty: new connections do not log in. Connections that are open
/// stay as they are: bmemc_disconnect_all() ends them. Any thread. The password is kept in memory
/// that is wiped when it is given back, and is shown in no message.
/// BMEMC_E_ARGUMENT: only one of the two is empty, or one is too long or has a zero byte.
#[no_mangle]
pub extern "C" fn bmemc_client_set_credentials(
    client: Option<&bmemc_client>,
    username: bmemc_bytes,
    password: bmemc_bytes,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    guard(error, || {
        let client = handle(client, "client")?;
        let (username, password) = (username.text("username")?, Secret::new(password.secret("password")?));
        client.client.set_credentials(username, &password)?;
        Ok(Status::Ok)
    })
}

/// Changes an option of a client in use, its queues too: reconnect_delay_ms, which then counts for
/// attempts to connect that have failed already as well, so that 0 ends a wait. Of a fallback client
/// it is the first one's. Any thread.
/// BMEMC_E_ARGUMENT: as bmemc_options_set(). BMEMC_E_UNSUPPORTED: the option is fixed when the client
/// is made, or has a function of its own; the message says which.
#[no_mangle]
pub extern "C" fn bmemc_client_set_option(
    client: Option<&bmemc_client>,
    name: bmemc_bytes,
    value: bmemc_bytes,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    guard(error, || {
        let client = handle(client, "client")?;
        client.client.set_option(name.text("name")?, value.text("value")?)?;
        Ok(Status::Ok)
    })
}

/// Ends a client: calls that wait and calls that come later answer BMEMC_E_CLOSED. From any thread,
/// also while others are inside a call; any number of times. It must still be freed. Of a fallback
/// client, calls that come later do; those that wait share connections with its clients, and are answered
/// or time out, unless these are closed too. NULL is ignored.
#[no_mangle]
pub extern "C" fn bmemc_client_close(client: Option<&bmemc_client>) {
    quietly((), || client.map_or((), |client| client.client.close()));
}

/// Closes a client and gives the caller's reference back. No other thread may be inside a call with
/// it, nor begin one: close it and join them first. Operations on a queue hold a reference of their
/// own, so queues may be freed before or after; a client that a fallback client reads from ends
/// with that one.
#[no_mangle]
pub extern "C" fn bmemc_client_free(client: Option<Box<bmemc_client>>) {
    quietly((), || client.map_or((), |client| client.client.let_go()));
}
