//! Poll: one attempt to find out which servers there are, on a connection of its own or by name lookups, as far as it goes
//! without waiting.

use super::cluster::{self, Cluster, Reply};
use super::{Plan, Source};
use crate::error::{Error, Result, Status};
use crate::net::{Address, Connecting, Deadline, Lookup, Socket, SocketSettings};
use crate::pool::exchange;
use crate::route::Server;

/// What was found.
pub(super) struct Found {
    /// Where what was asked has versions.
    pub version: Option<u64>,
    pub servers: Vec<Server>,
}

/// See the module.
pub(super) struct Poll {
    stage: Stage,
    deadline: Deadline,
}

enum Stage {
    Connecting(Box<Connecting>),
    Asking(Asking),
    Looking(Vec<Lookup>),
    /// The function has answered.
    Told(Option<Vec<Server>>),
}

/// A connection to an endpoint.
struct Asking {
    socket: Socket,
    /// What is to be sent next.
    question: &'static [u8],
    received: Vec<u8>,
    /// It does not know the new question.
    old: bool,
}

impl Poll {
    /// Asks `endpoints`: a cluster's is the first of them, names are all looked up.
    pub fn begin(plan: &Plan, endpoints: &[&Server], settings: &SocketSettings, deadline: Deadline) -> Result<Poll> {
        let stage = match &plan.source {
            Source::Cluster => {
                let endpoint = endpoints.first().ok_or_else(|| Error::argument("there is no endpoint"))?;
                Stage::Connecting(Box::new(Connecting::begin(&endpoint.address, settings, deadline, None)?))
            }
            Source::Names => {
                let lookups = endpoints.iter().filter_map(|endpoint| match &endpoint.address {
                    Address::Name(name, port) => Some(Lookup::begin(name, *port, None)),
                    _ => None,
                });
                Stage::Looking(lookups.collect::<Result<_>>()?)
            }
            Source::Function(finder) => Stage::Told(Some(finder.find()?)),
        };
        Ok(Poll { stage, deadline })
    }

    /// Goes on as far as it can; `None`: there is no answer yet.
    pub fn advance(&mut self, plan: &Plan) -> Result<Option<Found>> {
        loop {
            match &mut self.stage {
                Stage::Connecting(connecting) => {
                    let Some(socket) = connecting.advance()? else { return Ok(None) };
                    let asking = Asking { socket, question: cluster::QUESTION, received: Vec::new(), old: false };
                    self.stage = Stage::Asking(asking);
                }
                Stage::Asking(asking) => {
                    let answer = asking.advance(plan)?.map(Found::from);
                    return self.unless_over(answer);
                }
                Stage::Looking(lookups) => {
                    let answer = looked_up(lookups)?.map(|servers| Found { version: None, servers });
                    return self.unless_over(answer);
                }
                Stage::Told(servers) => {
                    return Ok(Some(Found { version: None, servers: servers.take().unwrap_or_default() }))
                }
            }
        }
    }

    /// What has come counts even if nobody has looked for it in time.
    fn unless_over(&self, answer: Option<Found>) -> Result<Option<Found>> {
        match answer.is_none() && self.deadline.is_over() {
            true => Err(Error::new(Status::Timeout, "no answer in time")),
            false => Ok(answer),
        }
    }
}

impl Asking {
    fn advance(&mut self, plan: &Plan) -> Result<Option<Cluster>> {
        while let Some(bytes) = exchange(&self.socket, std::mem::take(&mut self.question))? {
            self.received.extend_from_slice(&bytes);
            match cluster::read(&self.received, plan.by_ip)? {
                Some(Reply::Cluster(cluster)) => return Ok(Some(cluster)),
                Some(Reply::Unknown) if self.old => {
                    return Err(Error::new(Status::Protocol, "it knows no cluster configuration"));
                }
                Some(Reply::Unknown) => {
                    self.old = true;
                    self.received.clear();
                    self.question = cluster::OLD_QUESTION;
                }
                None => {}
            }
        }
        Ok(None)
    }
}

impl From<Cluster> for Found {
    fn from(from: Cluster) -> Found {
        Found { version: Some(from.version), servers: from.servers }
    }
}

/// A server for each address of the names, in the order of the addresses, so that each look-up gives the same list.
fn looked_up(lookups: &[Lookup]) -> Result<Option<Vec<Server>>> {
    let mut addresses = Vec::new();
    for lookup in lookups {
        match lookup.found() {
            Some(found) => addresses.extend(found?),
            None => return Ok(None),
        }
    }
    addresses.sort_unstable();
    addresses.dedup();
    addresses.iter().map(|address| Server::parse(&address.to_string(), "", 1)).collect::<Result<_>>().map(Some)
}
