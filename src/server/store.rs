//! What memcached does with items: the rules of storing, cas, counting, expiry, flushing and eviction. It is told the
//! time and knows neither a clock nor a protocol.

use super::items::{Id, Item, Items};
use super::number;
use super::stats::Counters;
use std::rc::Rc;

/// A longer expiration time than 30 days is a date.
const LONGEST_RELATIVE: i64 = 60 * 60 * 24 * 30;

/// How a value is to be stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    Set,
    Add,
    Replace,
    Append,
    Prepend,
    /// Only over an item with the cas that is given.
    Cas,
}

/// A value on its way in.
#[derive(Debug)]
pub struct Write {
    pub mode: Mode,
    pub key: Vec<u8>,
    pub value: Vec<u8>,
    pub flags: u32,
    /// A time by the server's clock; 0 is never.
    pub expires: i64,
    /// The cas that the item must have; 0 asks for none.
    pub compare: u64,
    /// The cas that it is to get instead of the next one.
    pub new_cas: Option<u64>,
    /// Meta `I`: over an item with a higher cas it is stored too, but stale.
    pub invalidate: bool,
    /// Meta `N`: append and prepend make the item where there is none.
    pub vivify: bool,
    pub key_binary: bool,
}

/// How storing went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// With the new cas, and the length of the value now.
    Stored(u64, usize),
    NotStored,
    Exists,
    NotFound,
    NoMemory,
}

/// Why there is no room for an item.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoRoom {
    TooLarge,
    NoMemory,
}

/// How counting went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Counted {
    Value(Id, u64),
    NotFound,
    NonNumeric,
    Exists,
    NoMemory,
}

pub struct Limits {
    pub item_max: usize,
    pub memory: usize,
    pub evict: bool,
    pub cas: bool,
}

pub struct Store {
    pub items: Items,
    pub counters: Counters,
    pub limits: Limits,
    now: i64,
    started: i64,
    last_cas: u64,
    /// Items from this time or before are gone, once it has come.
    oldest_live: Option<i64>,
    /// Items with a lower cas are gone, where `oldest_live` has come.
    oldest_cas: u64,
}

impl Store {
    pub fn new(limits: Limits, now: i64) -> Store {
        let items = Items::new(limits.cas);
        let counters = Counters::default();
        // memcached counts from two seconds before its start, so that no time of its own is zero.
        Store { items, counters, limits, now, started: now - 2, last_cas: 0, oldest_live: None, oldest_cas: 0 }
    }

    pub fn now(&self) -> i64 {
        self.now
    }

    pub fn set_now(&mut self, now: i64) {
        self.now = now;
    }

    /// When an item with this expiration time ends: 0 never, up to 30 days from now, else at that date.
    pub fn expiry(&self, exptime: i64) -> i64 {
        match exptime {
            0 => 0,
            1..=LONGEST_RELATIVE => self.now.saturating_add(exptime),
            date => date.max(self.started + 1),
        }
    }

    /// The seconds that an item has left; -1 is for ever, and a time that has passed wraps as memcached's does.
    pub fn ttl(&self, id: Id) -> i64 {
        match self.items.get(id).expires {
            0 => -1,
            expires => i64::from((expires - self.now) as u32),
        }
    }

    pub fn oldest_live(&self) -> i64 {
        self.oldest_live.map_or(0, |time| time - self.started)
    }

    /// An item that lives, without a trace of the visit. One that has expired or was flushed is removed.
    pub fn peek(&mut self, key: &[u8]) -> Option<Id> {
        let id = self.items.find(key)?;
        let item = self.items.get(id);
        let expired = item.expires != 0 && item.expires <= self.now;
        if self.is_flushed(item) {
            self.counters.get_flushed += 1;
        } else if expired {
            self.counters.get_expired += 1;
        } else {
            return Some(id);
        }
        self.items.remove(id);
        None
    }

    /// Marks an item as just read.
    pub fn bump(&mut self, id: Id) {
        let now = self.now;
        let item = self.items.get_mut(id);
        item.fetched = true;
        item.time = now;
        self.items.renew(id);
    }

    pub fn get(&mut self, key: &[u8]) -> Option<Id> {
        let found = self.peek(key);
        self.counters.cmd_get += 1;
        match found {
            Some(id) => {
                self.counters.get_hits += 1;
                self.bump(id);
            }
            None => self.counters.get_misses += 1,
        }
        found
    }

    /// Gives an item another time to end; `expires` as from `expiry`.
    pub fn touch(&mut self, key: &[u8], expires: i64) -> Option<Id> {
        let found = self.peek(key);
        self.counters.cmd_touch += 1;
        match found {
            Some(id) => {
                self.counters.touch_hits += 1;
                self.items.get_mut(id).expires = expires;
                self.bump(id);
            }
            None => self.counters.touch_misses += 1,
        }
        found
    }

    /// Removes an item, if it has this cas or none is asked for. Ok says whether there was one.
    pub fn delete(&mut self, key: &[u8], compare: u64) -> Result<bool, ()> {
        let Some(id) = self.peek(key) else {
            self.counters.delete_misses += 1;
            return Ok(false);
        };
        if compare != 0 && self.items.get(id).cas != compare {
            return Err(());
        }
        self.counters.delete_hits += 1;
        self.items.remove(id);
        Ok(true)
    }

    /// Whether a value of this length may be sent at all.
    pub fn check_room(&mut self, key: usize, flags: u32, length: usize) -> Result<(), NoRoom> {
        let size = self.items.size(key, flags, length);
        if size > self.limits.item_max {
            self.counters.store_too_large += 1;
            return Err(NoRoom::TooLarge);
        }
        let full = !self.limits.evict && self.items.bytes() + size > self.limits.memory;
        if full || size > self.limits.memory {
            self.counters.store_no_memory += 1;
            return Err(NoRoom::NoMemory);
        }
        Ok(())
    }

    /// An old value must not outlive a new one that could not be stored.
    pub fn forget(&mut self, key: &[u8]) {
        if let Some(id) = self.items.find(key) {
            self.items.remove(id);
        }
    }

    pub fn write(&mut self, write: Write) -> Outcome {
        match self.peek(&write.key) {
            Some(old) => self.write_over(old, write),
            None => self.write_new(write),
        }
    }

    fn write_new(&mut self, write: Write) -> Outcome {
        match write.mode {
            Mode::Set | Mode::Add => self.insert(write, false, false),
            Mode::Append | Mode::Prepend if write.vivify => self.insert(write, false, false),
            Mode::Cas => {
                self.counters.cas_misses += 1;
                Outcome::NotFound
            }
            Mode::Replace | Mode::Append | Mode::Prepend => Outcome::NotStored,
        }
    }

    fn write_over(&mut self, old: Id, mut write: Write) -> Outcome {
        let item = self.items.get(old);
        let matches = write.compare == item.cas;
        match write.mode {
            Mode::Set | Mode::Replace => self.replace(old, write, false, false),
            Mode::Add => {
                self.items.renew(old);
                Outcome::NotStored
            }
            Mode::Append | Mode::Prepend if write.compare != 0 && !matches => Outcome::Exists,
            Mode::Append | Mode::Prepend => {
                let length = item.value.len() + write.value.len();
                if self.items.size(item.key.len(), item.flags, length) > self.limits.item_max {
                    return Outcome::NotStored;
                }
                write.value = match write.mode {
                    Mode::Append => [&item.value[..], &write.value].concat(),
                    _ => [&write.value[..], &item.value].concat(),
                };
                (write.flags, write.expires, write.key_binary) = (item.flags, item.expires, item.key_binary);
                self.replace(old, write, false, false)
            }
            Mode::Cas if write.compare != 0 && matches => {
                self.counters.cas_hits += 1;
                self.replace(old, write, false, false)
            }
            Mode::Cas if write.compare != 0 && write.invalidate && write.compare < item.cas => {
                self.counters.cas_hits += 1;
                let won = item.won;
                write.expires = item.expires;
                self.replace(old, write, true, won)
            }
            Mode::Cas => {
                self.counters.cas_badval += 1;
                Outcome::Exists
            }
        }
    }

    fn replace(&mut self, old: Id, write: Write, stale: bool, won: bool) -> Outcome {
        self.items.remove(old);
        self.insert(write, stale, won)
    }

    fn insert(&mut self, write: Write, stale: bool, won: bool) -> Outcome {
        if !self.make_room(self.items.size(write.key.len(), write.flags, write.value.len())) {
            self.counters.store_no_memory += 1;
            return Outcome::NoMemory;
        }
        let cas = self.next_cas(write.new_cas);
        let length = write.value.len();
        let mut value = write.value;
        value.shrink_to_fit();
        self.counters.total_items += 1;
        self.items.insert(Item {
            key: Rc::from(write.key),
            value,
            flags: write.flags,
            expires: write.expires,
            time: self.now,
            cas,
            fetched: false,
            stale,
            won,
            key_binary: write.key_binary,
        });
        Outcome::Stored(cas, length)
    }

    /// The next cas, or the one that is asked for; 0 where items have none.
    pub fn next_cas(&mut self, explicit: Option<u64>) -> u64 {
        if !self.limits.cas {
            return 0;
        }
        explicit.unwrap_or_else(|| {
            self.last_cas += 1;
            self.last_cas
        })
    }

    /// Adds to or takes from a counter. An addition wraps, a subtraction stops at zero; a shorter number is padded with
    /// spaces, as memcached writes it in place.
    pub fn count(&mut self, key: &[u8], up: bool, delta: u64, compare: u64, new_cas: Option<u64>) -> Counted {
        let Some(id) = self.peek(key) else { return Counted::NotFound };
        let item = self.items.get(id);
        if !item.value.is_empty() && compare != 0 && item.cas != compare {
            return Counted::Exists;
        }
        let Some(value) = number::u64(&item.value) else { return Counted::NonNumeric };
        let value = if up { value.wrapping_add(delta) } else { value.saturating_sub(delta) };
        let hits = if up { &mut self.counters.incr_hits } else { &mut self.counters.decr_hits };
        *hits += 1;
        self.write_number(id, value, new_cas)
    }

    /// Counting found nothing, and made nothing.
    pub fn count_missed(&mut self, up: bool) {
        let misses = if up { &mut self.counters.incr_misses } else { &mut self.counters.decr_misses };
        *misses += 1;
    }

    fn write_number(&mut self, id: Id, value: u64, new_cas: Option<u64>) -> Counted {
        let mut digits = value.to_string().into_bytes();
        let item = self.items.get(id);
        let longer = digits.len().saturating_sub(item.value.len());
        if longer > 0 {
            // The newest item goes last, and a counter alone always fits: it is not evicted for its own growth.
            self.items.renew(id);
            if !self.make_room(longer) {
                return Counted::NoMemory;
            }
        } else {
            digits.resize(item.value.len(), b' ');
        }
        self.items.set_value(id, digits);
        let (cas, now) = (self.next_cas(new_cas), self.now);
        let item = self.items.get_mut(id);
        (item.cas, item.time) = (cas, now);
        if longer > 0 {
            (item.fetched, item.stale, item.won) = (false, false, false);
        }
        self.items.renew(id);
        Counted::Value(id, value)
    }

    /// Everything stored until `exptime` from now is gone then; 0 is now. It takes the place of an earlier flush.
    pub fn flush(&mut self, exptime: i64) {
        self.counters.cmd_flush += 1;
        let time = if exptime > 0 { self.expiry(exptime) } else { self.now };
        if !self.limits.cas {
            self.oldest_live = Some(time);
            return;
        }
        // Within this second the cas tells what was there before the flush.
        self.oldest_live = Some(time - 1);
        if time - 1 <= self.now {
            self.oldest_cas = self.next_cas(None);
        }
    }

    fn is_flushed(&self, item: &Item) -> bool {
        match self.oldest_live {
            Some(time) if time <= self.now => {
                item.time <= time || self.oldest_cas != 0 && item.cas != 0 && item.cas < self.oldest_cas
            }
            _ => false,
        }
    }

    /// Evicts the oldest items until `size` more bytes fit.
    fn make_room(&mut self, size: usize) -> bool {
        if size > self.limits.memory {
            return false;
        }
        while self.items.bytes() + size > self.limits.memory {
            let Some(id) = self.items.oldest().filter(|_| self.limits.evict) else { return false };
            let item = self.items.get(id);
            let dead = item.expires != 0 && item.expires <= self.now || self.is_flushed(item);
            match (dead, item.fetched) {
                (true, true) => self.counters.reclaimed += 1,
                (true, false) => {
                    self.counters.reclaimed += 1;
                    self.counters.expired_unfetched += 1;
                }
                (false, true) => self.counters.evictions += 1,
                (false, false) => {
                    self.counters.evictions += 1;
                    self.counters.evicted_unfetched += 1;
                }
            }
            self.items.remove(id);
        }
        true
    }

    /// Sets the limit of memory, and evicts what is over it.
    pub fn set_memory_limit(&mut self, bytes: usize) {
        self.limits.memory = bytes;
        self.make_room(0);
    }
}
