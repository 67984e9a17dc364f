//! What the `stats` command tells, as pairs of name and value that text and binary send in their own form. There are no
//! slabs here: all items are one class, counted in bytes. What is not counted is not listed.

use super::config::Protocol;
use super::connection::Core;

/// What `stats reset` sets to zero.
#[derive(Default, Clone, Debug)]
pub struct Counters {
    pub total_connections: u64,
    pub rejected_connections: u64,
    pub cmd_get: u64,
    pub cmd_set: u64,
    pub cmd_flush: u64,
    pub cmd_touch: u64,
    pub cmd_meta: u64,
    pub get_hits: u64,
    pub get_misses: u64,
    pub get_expired: u64,
    pub get_flushed: u64,
    pub delete_misses: u64,
    pub delete_hits: u64,
    pub incr_misses: u64,
    pub incr_hits: u64,
    pub decr_misses: u64,
    pub decr_hits: u64,
    pub cas_misses: u64,
    pub cas_hits: u64,
    pub cas_badval: u64,
    pub touch_hits: u64,
    pub touch_misses: u64,
    pub store_too_large: u64,
    pub store_no_memory: u64,
    pub bytes_read: u64,
    pub bytes_written: u64,
    pub total_items: u64,
    pub expired_unfetched: u64,
    pub evicted_unfetched: u64,
    pub evictions: u64,
    pub reclaimed: u64,
}

pub type Pairs = Vec<(String, String)>;

/// `stats`.
pub fn general(core: &Core) -> Pairs {
    let (counters, store) = (&core.store.counters, &core.store);
    let mut pairs = Pairs::new();
    let mut add = |name: &str, value: &dyn ToString| pairs.push((name.to_string(), value.to_string()));
    add("pid", &std::process::id());
    add("uptime", &(store.now() - core.started));
    add("time", &store.now());
    add("version", &core.config.version);
    add("pointer_size", &usize::BITS);
    add("max_connections", &core.config.max_connections);
    add("curr_connections", &core.open_connections);
    add("total_connections", &counters.total_connections);
    add("rejected_connections", &counters.rejected_connections);
    add("cmd_get", &counters.cmd_get);
    add("cmd_set", &counters.cmd_set);
    add("cmd_flush", &counters.cmd_flush);
    add("cmd_touch", &counters.cmd_touch);
    add("cmd_meta", &counters.cmd_meta);
    add("get_hits", &counters.get_hits);
    add("get_misses", &counters.get_misses);
    add("get_expired", &counters.get_expired);
    add("get_flushed", &counters.get_flushed);
    add("delete_misses", &counters.delete_misses);
    add("delete_hits", &counters.delete_hits);
    add("incr_misses", &counters.incr_misses);
    add("incr_hits", &counters.incr_hits);
    add("decr_misses", &counters.decr_misses);
    add("decr_hits", &counters.decr_hits);
    add("cas_misses", &counters.cas_misses);
    add("cas_hits", &counters.cas_hits);
    add("cas_badval", &counters.cas_badval);
    add("touch_hits", &counters.touch_hits);
    add("touch_misses", &counters.touch_misses);
    add("store_too_large", &counters.store_too_large);
    add("store_no_memory", &counters.store_no_memory);
    add("bytes_read", &counters.bytes_read);
    add("bytes_written", &counters.bytes_written);
    add("limit_maxbytes", &store.limits.memory);
    add("accepting_conns", &1);
    add("threads", &1);
    add("bytes", &store.items.bytes());
    add("curr_items", &store.items.len());
    add("total_items", &counters.total_items);
    add("expired_unfetched", &counters.expired_unfetched);
    add("evicted_unfetched", &counters.evicted_unfetched);
    add("evictions", &counters.evictions);
    add("reclaimed", &counters.reclaimed);
    pairs
}

/// `stats settings`.
pub fn settings(core: &Core) -> Pairs {
    let config = &core.config;
    let yes = |flag: bool| if flag { "yes" } else { "no" };
    let unix = config.unix.as_ref().map_or("NULL".into(), |path| path.display().to_string());
    let protocol = match config.protocol {
        Protocol::Auto => "auto-negotiate",
        Protocol::Ascii => "ascii",
        Protocol::Binary => "binary",
    };
    let mut pairs = Pairs::new();
    let mut add = |name: &str, value: &dyn ToString| pairs.push((name.to_string(), value.to_string()));
    add("maxbytes", &core.store.limits.memory);
    add("maxconns", &config.max_connections);
    add("tcpport", &core.port);
    add("udpport", &0);
    add("inter", &config.listen);
    add("verbosity", &config.verbose);
    add("oldest", &core.store.oldest_live());
    add("evictions", &if config.evict { "on" } else { "off" });
    add("domain_socket", &unix);
    add("shutdown_command", &yes(config.shutdown));
    add("num_threads", &1);
    add("detail_enabled", &"no");
    add("cas_enabled", &yes(config.cas));
    add("binding_protocol", &protocol);
    add("auth_enabled_sasl", &"no");
    add("auth_enabled_ascii", &"no");
    add("item_size_max", &config.item_max);
    add("maxconns_fast", &"yes");
    add("flush_enabled", &yes(config.flush));
    add("dump_enabled", &"yes");
    add("idle_timeout", &0);
    add("ssl_enabled", &"no");
    pairs
}

/// `stats items`; nothing while there are none.
pub fn items(core: &Core) -> Pairs {
    let store = &core.store;
    let Some(oldest) = store.items.oldest() else { return Pairs::new() };
    let age = store.now() - store.items.get(oldest).time;
    let pair = |name: &str, value: &dyn ToString| (format!("items:1:{name}"), value.to_string());
    vec![
        pair("number", &store.items.len()),
        pair("age", &age),
        pair("mem_requested", &store.items.bytes()),
        pair("evicted", &store.counters.evictions),
        pair("reclaimed", &store.counters.reclaimed),
        pair("expired_unfetched", &store.counters.expired_unfetched),
        pair("evicted_unfetched", &store.counters.evicted_unfetched),
    ]
}

/// `stats slabs`: chunks of a byte, in pages of a MiB.
pub fn slabs(core: &Core) -> Pairs {
    const PAGE: usize = 1 << 20;
    let (store, counters) = (&core.store, &core.store.counters);
    let mut pairs = Pairs::new();
    let mut add = |name: &str, value: &dyn ToString| pairs.push((name.to_string(), value.to_string()));
    let used = store.items.bytes();
    let pages = used.div_ceil(PAGE);
    if used > 0 {
        add("1:chunk_size", &1);
        add("1:chunks_per_page", &PAGE);
        add("1:total_pages", &pages);
        add("1:total_chunks", &(pages * PAGE));
        add("1:used_chunks", &used);
        add("1:free_chunks", &(pages * PAGE - used));
        add("1:get_hits", &counters.get_hits);
        add("1:cmd_set", &counters.cmd_set);
        add("1:delete_hits", &counters.delete_hits);
        add("1:incr_hits", &counters.incr_hits);
        add("1:decr_hits", &counters.decr_hits);
        add("1:cas_hits", &counters.cas_hits);
        add("1:cas_badval", &counters.cas_badval);
        add("1:touch_hits", &counters.touch_hits);
    }
    add("active_slabs", &usize::from(used > 0));
    add("total_malloced", &(pages * PAGE));
    pairs
}

/// Sets the counters to zero.
pub fn reset(core: &mut Core) {
    core.store.counters = Counters::default();
}
