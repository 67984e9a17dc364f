//! Single: the commonest call of all, a text `get` of one key by a caller that is alone on its connection, without the
//! bookkeeping that only sharing needs: no batch, no accounting, just bytes out and a whole reply back. Whatever else
//! happens — others come, the reply is not all there, or is no plain hit — the call goes on as any other does.

use super::link::{Owner, Role};
use super::turn::{Guard, Stop, Turn};
use crate::connection::Broken;
use crate::error::Status;
use crate::net::Wait;
use crate::operation::{op_flags, Command};
use crate::protocol::{check_key, text, Dialect};

impl<'a> Turn<'a> {
    /// The key, if this call is such a `get`.
    pub(super) fn single_key(&self) -> Option<&'a [u8]> {
        let [operation] = self.operations else { return None };
        let plain = operation.command == Command::Get
            && operation.op_flags & op_flags::WANT_CAS == 0
            && operation.meta_flags.is_empty();
        let text = matches!(self.dialect, Dialect::Text | Dialect::TextMeta);
        let short = plain && text && self.limit.usual;
        (short && check_key(self.dialect, operation.key).is_ok()).then_some(operation.key)
    }

    /// Runs the call. The connection is free.
    pub(super) fn single(&mut self, mut state: Guard<'a>, key: &[u8]) {
        let Some(link) = state.link.as_mut() else { return };
        let Some(mut role) = link.role.take() else { return };
        link.writing = true;
        drop(state);
        let sent = self.send_get(&mut role, key);
        let mut state = self.line.lock();
        let Some(link) = state.link_of(self.generation) else { return };
        if sent != Sent::All {
            self.role = Some(role);
            return match sent {
                Sent::Torn => self.stop(torn(state)),
                _ => self.go_on_alone(state),
            };
        }
        if !link.open.is_empty() || self.line.has_writers() {
            drop(state);
            return self.go_on_sent(role, true);
        }
        link.writing = false;
        link.begin_flight(self.limit.begun);
        drop(state);
        self.hands.counted.system_calls += 1;
        let came = role.reader.receive_some(|buffer| role.socket.receive(buffer, &mut [], Wait::Some));
        self.at_once = false;
        let Ok(came) = came else { return self.go_on_sent(role, false) };
        role.received_at = self.limit.begun;
        self.hands.counted.bytes_received += came as u64;
        let sink = &mut *self.hands.sink;
        if !role.reader.take_hit(key, |hit| sink.hit(0, hit.flags, hit.cas, hit.value)) {
            return self.go_on_sent(role, false);
        }
        self.next = 1;
        self.put_back(role);
    }

    fn send_get(&mut self, role: &mut Role, key: &[u8]) -> Sent {
        let request = &mut role.request;
        request.clear();
        text::begin_get(request, false);
        text::push_key(request, key);
        text::end_line(request);
        self.hands.counted.system_calls += 1;
        match role.socket.send(request) {
            Ok(sent) if sent == request.len() => {
                self.hands.counted.bytes_sent += sent as u64;
                Sent::All
            }
            // What is wrong shows when it is tried again.
            Ok(0) | Err(_) => Sent::Nothing,
            Ok(_) => Sent::Torn,
        }
    }

    /// Gives the role back, the one reply that was awaited having come.
    fn put_back(&mut self, role: Box<Role>) {
        let mut state = self.line.lock();
        state.counters.add_hit(&mut self.hands.counted);
        let Some(link) = state.link_of(self.generation) else { return };
        link.end_flight(1);
        if link.in_flight == 0 && link.open.is_empty() && link.doomed.is_none() && !role.reader.has_bytes() {
            link.last_used = self.limit.begun;
            link.role = Some(role);
            return;
        }
        drop(state);
        self.role = Some(role);
        if let Err(stop) = self.hand_back() {
            self.stop(stop);
        }
    }

    /// The request is sent; from here on it is a batch like any other, which this caller reads for. `writing` says that
    /// this caller is still the one that writes.
    #[cold]
    fn go_on_sent(&mut self, role: Box<Role>, writing: bool) {
        let mut state = self.line.lock();
        let sequence = state.next_sequence();
        let Some(link) = state.link_of(self.generation) else { return };
        let mut batch = link.fresh_batch(sequence);
        if writing {
            link.begin_flight(self.limit.begun);
        }
        drop(state);
        self.role = Some(role);
        self.fill(&mut batch, usize::MAX, usize::MAX);
        batch.assign(Owner::Own);
        batch.seal(self.dialect);
        self.hands.own_batches += 1;
        self.hands.counted.batches += 1;
        if let Some(role) = &mut self.role {
            role.reader.push(batch);
        }
        let released = if writing { self.release_writer() } else { Ok(()) };
        if let Err(stop) = released.and_then(|()| self.lead()) {
            self.stop(stop);
        }
    }
}

/// How much of a request went out.
#[derive(PartialEq, Eq)]
enum Sent {
    All,
    Nothing,
    /// Some of it: the stream is broken in the middle of a command.
    Torn,
}

#[cold]
fn torn(state: Guard<'_>) -> Stop {
    drop(state);
    Stop::Broken(Broken { status: Status::Connection, message: "a request was sent in part".into() })
}
