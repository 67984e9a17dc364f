// client: a method for each command.
#ifndef BMEMC_CLIENT_HPP
#define BMEMC_CLIENT_HPP

#include "op.hpp"
#include "options.hpp"

#include <functional>
#include <initializer_list>
#include <vector>

namespace bmemc {
inline namespace BMEMC_HPP_NAMESPACE {

/// A dump that is taken piece by piece, of client::dump(); it ends with this object. One thread at a time may use one.
class dump {
  public:
    /// The items that have come, after waiting for some for up to `timeout_ms` if there are none (negative: as long as it
    /// takes); no item: none came in time. No results: there are no more.
    result<std::optional<results>> next(std::int32_t timeout_ms = -1) {
        bmemc_error why;
        bmemc_results *list = nullptr;
        auto code = bmemc_dump_next(raw_.get(), timeout_ms, &list, &why);
        if (code < 0) return failure(error(why));
        if (code == BMEMC_NOT_FOUND) return std::optional<results>();
        return std::optional<results>(results(list));
    }

  private:
    friend class client;
    struct free {
        void operator()(bmemc_dump *raw) const noexcept { bmemc_dump_free(raw); }
    };
    dump(bmemc_dump *raw, detail::keeper callbacks) noexcept : callbacks_(std::move(callbacks)), raw_(raw) {}

    detail::keeper callbacks_; // which the client calls for as long as it is there
    std::unique_ptr<bmemc_dump, free> raw_;
};

/// How a server is; the numbers are those of bmemc_health_state, and a newer library may have more.
enum class health_state : std::int32_t {
    up = BMEMC_HEALTH_UP,
    suspect = BMEMC_HEALTH_SUSPECT,
    out = BMEMC_HEALTH_OUT,
    dead = BMEMC_HEALTH_DEAD,
};

/// What a client knows of a server's health; bmemc_health says more of each.
struct server_health {
    health_state state;
    /// Since it last answered.
    std::uint32_t failures;
    /// For how long it has been up, has been failing, or has been out.
    std::chrono::milliseconds since;
    /// Out or dead: in how long the next probe is due.
    std::chrono::milliseconds probe_in;
    /// The last failure, also of a server that is up again.
    std::optional<error> why;
};

/// A client of one or more servers. Any number of threads may use one at once; one a program is usual.
class client {
  public:
    /// A client of the servers and options as they are now. No connection is opened until the first call.
    static result<client> create(const options &how) {
        bmemc_error why;
        bmemc_client *raw = nullptr;
        if (bmemc_client_new(how.raw(), &raw, &why) < 0) return failure(error(why));
        return client(raw, how.callbacks());
    }

    client(client &&) noexcept = default;
    client &operator=(client &&other) noexcept {
        // The client that was here is freed before the callbacks that it tells of its end.
        std::swap(callbacks_, other.callbacks_);
        raw_ = std::move(other.raw_);
        return *this;
    }

    /// A client of these servers, with options by name: `connect({"a:11211", "b:11211"}, {{"timeout_ms", "200"}})`.
    static result<client> connect(std::initializer_list<bytes_view> servers,
                                  std::initializer_list<std::pair<bytes_view, bytes_view>> named = {}) {
        options how;
        for (const auto &[name, value] : named)
            if (auto set = how.set(name, value); !set) return failure(set.error());
        for (bytes_view server : servers)
            if (auto added = how.add_server(server); !added) return failure(added.error());
        return create(how);
    }

    /// A client that reads each key from the first of `clients` that has it, and writes to the first alone. It holds
    /// references of its own to them.
    static result<client> fallback(std::initializer_list<std::reference_wrapper<const client>> clients) {
        std::vector<const bmemc_client *> all;
        detail::keeper callbacks;
        for (const client &one : clients) {
            all.push_back(one.raw());
            using both = std::pair<detail::keeper, detail::keeper>;
            callbacks = std::make_shared<both>(one.callbacks_, callbacks);
        }
        bmemc_error why;
        bmemc_client *raw = nullptr;
        if (bmemc_client_new_fallback(all.data(), all.size(), &raw, &why) < 0) return failure(error(why));
        return client(raw, std::move(callbacks));
    }

    // ---- Reading ----

    /// Reads a value; no item is a miss, never a failure.
    result<std::optional<item>> get(bytes_view key) const { return found(op::get(key)); }

    /// Reads a value together with its cas.
    result<std::optional<item>> gets(bytes_view key) const { return found(op::get(key).want_cas()); }

    /// The value of a key; `other` on a miss, and on a miss alone: a failure is still one, which value_or() of a result
    /// would hide.
    result<std::string> get_or(bytes_view key, std::string other) const {
        auto found = get(key);
        if (!found) return failure(found.error());
        if (*found) other.assign((*found)->value());
        return other;
    }

    /// A value with its cas; `other` and `other_cas` on a miss, and on a miss alone.
    result<std::pair<std::string, std::uint64_t>> gets_or(bytes_view key, std::string other, std::uint64_t other_cas = 0) const {
        auto found = gets(key);
        if (!found) return failure(found.error());
        if (*found) other.assign((*found)->value()), other_cas = (*found)->cas();
        return std::pair(std::move(other), other_cas);
    }

    /// Reads a value and gives it a new ttl.
    result<std::optional<item>> get_and_touch(bytes_view key, seconds ttl) const { return found(op::get_and_touch(key, ttl)); }

    /// Reads a value into `buffer`, of `capacity` bytes, and answers with its length: nothing is allocated. No length is
    /// a miss; status::buffer: the value is longer, and the message tells by how much.
    result<std::optional<std::size_t>> get_into(bytes_view key, void *buffer, std::size_t capacity,
                                                std::uint32_t *flags = nullptr) const {
        bmemc_error why;
        std::size_t len = 0;
        auto code = bmemc_get_into(raw(), key, static_cast<std::uint8_t *>(buffer), capacity, &len, flags, &why);
        if (code < 0) return failure(error(why));
        if (code != BMEMC_OK) return std::optional<std::size_t>();
        return std::optional<std::size_t>(len);
    }

    /// Reads many keys in as few round trips as possible: answer i is that of key i, misses and failures too.
    template <class Keys> result<results> get_many(const Keys &keys) const { return many(keys, &op::get); }
    result<results> get_many(std::initializer_list<bytes_view> keys) const { return many(keys, &op::get); }

    // ---- Writing ----

    /// Stores a value, whatever was there before.
    result<void> set(bytes_view key, bytes_view value, seconds ttl = {}, std::uint32_t flags = 0) const {
        bmemc_error why;
        return detail::done(bmemc_set(raw(), key, value, flags, ttl.count(), &why), why);
    }

    /// Stores a value if there is none; false: there was one.
    result<bool> add(bytes_view key, bytes_view value, seconds ttl = {}, std::uint32_t flags = 0) const {
        return happened(op::add(key, value).expires(ttl).with_flags(flags));
    }

    /// Stores a value if there is one; false: there was none.
    result<bool> replace(bytes_view key, bytes_view value, seconds ttl = {}, std::uint32_t flags = 0) const {
        return happened(op::replace(key, value).expires(ttl).with_flags(flags));
    }

    /// Puts bytes behind a value; false: there was none.
    result<bool> append(bytes_view key, bytes_view value) const { return happened(op::append(key, value)); }

    /// Puts bytes before a value; false: there was none.
    result<bool> prepend(bytes_view key, bytes_view value) const { return happened(op::prepend(key, value)); }

    /// Stores a value if the item is still the one that was read with this `cas`: status::ok, status::exists (it has
    /// changed) or status::not_found (it is gone).
    result<status> compare_and_swap(bytes_view key, bytes_view value, std::uint64_t cas, seconds ttl = {},
                                    std::uint32_t flags = 0) const {
        return status_of(op::set(key, value).with_cas(cas).expires(ttl).with_flags(flags));
    }

    /// Deletes a key; false: there was none.
    result<bool> remove(bytes_view key) const { return happened(op::remove(key)); }

    /// Gives an item a new ttl; false: there was none.
    result<bool> touch(bytes_view key, seconds ttl) const { return happened(op::touch(key, ttl)); }

    /// Adds to a counter and answers with what it is now; none: there is no such key. It wraps at 64 bits.
    result<std::optional<std::uint64_t>> increment(bytes_view key, std::uint64_t delta = 1) const {
        return counter(op::increment(key, delta));
    }

    /// Subtracts from a counter, as increment(); it stops at zero.
    result<std::optional<std::uint64_t>> decrement(bytes_view key, std::uint64_t delta = 1) const {
        return counter(op::decrement(key, delta));
    }

    /// Stores value i under key i in as few round trips as possible; answers as those of get_many().
    template <class Pairs> result<results> set_many(const Pairs &pairs, seconds ttl = {}, std::uint32_t flags = 0) const {
        std::vector<op> ops;
        for (const auto &[key, value] : pairs) ops.push_back(op::set(key, value).expires(ttl).with_flags(flags));
        return execute(ops);
    }
    result<results> set_many(std::initializer_list<std::pair<bytes_view, bytes_view>> pairs, seconds ttl = {},
                             std::uint32_t flags = 0) const {
        return set_many<std::initializer_list<std::pair<bytes_view, bytes_view>>>(pairs, ttl, flags);
    }

    /// Stores many values if their items still have the cas that each was read with: `items` are (key, value, cas), and
    /// answer i is as compare_and_swap()'s status, with the new cas (0 over text, which does not tell it).
    template <class Items> result<results> compare_and_swap_many(const Items &items, seconds ttl = {}, std::uint32_t flags = 0) const {
        std::vector<bmemc_bytes> keys, values;
        std::vector<std::uint64_t> all;
        for (const auto &[key, value, cas] : items) {
            keys.push_back(bytes_view(key));
            values.push_back(bytes_view(value));
            all.push_back(cas);
        }
        bmemc_error why;
        bmemc_results *answers = nullptr;
        auto code = bmemc_cas_many(raw(), keys.data(), values.data(), all.data(), all.size(), flags, ttl.count(), &answers, &why);
        if (code < 0) return failure(error(why));
        return results(answers);
    }

    /// Deletes many keys; answers as those of get_many().
    template <class Keys> result<results> remove_many(const Keys &keys) const { return many(keys, &op::remove); }
    result<results> remove_many(std::initializer_list<bytes_view> keys) const { return many(keys, &op::remove); }

    // ---- Servers ----

    /// Drops every item of the server, in so many seconds.
    result<void> flush_all(seconds delay = {}) const { return plain(op::flush_all(delay)); }

    /// The server's version, such as "1.6.18".
    result<std::string> version() const {
        auto answer = call(op::version());
        if (!answer) return failure(answer.error());
        return std::string(answer->value());
    }

    /// Does nothing, in one round trip: whether the server answers.
    result<void> noop() const { return plain(op::noop()); }

    /// Every server's statistics: name as key, value as value. `which`: "settings", "items" and so on; empty: the
    /// general ones. typed_stats() has them by server, as numbers, truths and text.
    result<results> stats(bytes_view which = {}) const {
        bmemc_error why;
        bmemc_results *list = nullptr;
        if (bmemc_client_stats(raw(), which, &list, &why) < 0) return failure(error(why));
        return results(list);
    }

    /// Lists what the servers hold, without values: calls `each(item)` as they come, until it answers false. It must not
    /// throw. `classes` as bmemc_metadump() has it. With a key_prefix: its own keys alone, without it. An item that several
    /// servers hold (mode=replicated) comes from each of them.
    template <class Each> result<void> metadump(Each each, bytes_view classes = {}) const {
        bmemc_error why;
        auto call = [](const bmemc_item *item, void *to) -> std::int32_t {
            return (*static_cast<Each *>(to))(item_view(*item)) ? 0 : 1;
        };
        return detail::done(bmemc_metadump(raw(), classes, call, &each, &why), why);
    }

    /// The same for loops of the caller's own: ask next() until it has nothing, or has failed. Nothing is sent before the
    /// first piece is asked for.
    result<class dump> dump(bytes_view classes = {}) const {
        bmemc_error why;
        bmemc_dump *made = nullptr;
        if (bmemc_dump_new(raw(), classes, &made, &why) < 0) return failure(error(why));
        return bmemc::dump(made, callbacks_);
    }

    /// The same of one server, or with a time-out of its own for each piece: `dump(op::metadump().at_server(1).within(2s))`.
    result<class dump> dump(const op &what) const {
        bmemc_error why;
        bmemc_dump *made = nullptr;
        if (bmemc_dump_of(raw(), &what.raw(), &made, &why) < 0) return failure(error(why));
        return bmemc::dump(made, callbacks_);
    }

    // ---- Everything ----

    /// Runs a meta command, "mg" for one, with its flags as they are written; no item: EN or NF.
    result<std::optional<item>> meta(bytes_view command, bytes_view key, bytes_view flags = {}, bytes_view value = {}) const {
        bmemc_error why;
        bmemc_value *answer = nullptr;
        auto code = bmemc_meta(raw(), command, key, flags, value, &answer, &why);
        return taken(code, answer, why);
    }

    /// What it would store for this value, type and flags, without a server: the bytes as value, and the flags.
    result<item> encode(bytes_view value, value_type type, std::int32_t compress_level = 0) const {
        bmemc_error why;
        bmemc_value *made = nullptr;
        const op what = op::set("", value).with_type(type).compress(compress_level);
        if (bmemc_value_encode(raw(), &what.raw(), &made, &why) < 0) return failure(error(why));
        return item(made);
    }

    /// What it would read where these bytes and flags are stored, without a server.
    result<item> decode(bytes_view value, std::uint32_t flags) const {
        bmemc_error why;
        bmemc_value *made = nullptr;
        if (bmemc_value_decode(raw(), value, flags, &made, &why) < 0) return failure(error(why));
        return item(made);
    }

    /// Runs one operation. A positive status is an answer, not an error: look at item::status().
    result<item> call(const op &what) const {
        bmemc_error why;
        bmemc_results *answers = nullptr;
        if (bmemc_execute(raw(), &what.raw(), 1, &answers, &why) < 0) return failure(error(why));
        item answer(answers);
        if (answer.failed()) return failure(answer.error());
        return answer;
    }

    /// Runs any mix of operations in as few round trips as possible: answer i is that of operation i.
    result<results> execute(const std::vector<op> &ops) const { return execute(ops.data(), ops.size()); }
    result<results> execute(std::initializer_list<op> ops) const { return execute(ops.begin(), ops.size()); }
#if defined(__cpp_lib_span)
    result<results> execute(std::span<const op> ops) const { return execute(ops.data(), ops.size()); }
#endif
    result<results> execute(const op *ops, std::size_t count) const {
        bmemc_error why;
        bmemc_results *answers = nullptr;
        const bmemc_op *first = count ? &ops->raw() : nullptr;
        if (bmemc_execute(raw(), first, count, &answers, &why) < 0) return failure(error(why));
        return results(answers);
    }

    /// Runs one operation on each server at once, whatever its key: an answer for each, in the order of servers().
    result<results> execute_each(const op &what) const {
        bmemc_error why;
        bmemc_results *answers = nullptr;
        if (bmemc_execute_each(raw(), &what.raw(), &answers, &why) < 0) return failure(error(why));
        return results(answers);
    }

    /// What it has done with server `server`, or with all of them.
    result<bmemc_counters> counters(std::int32_t server = -1) const {
        bmemc_error why;
        bmemc_counters counters;
        if (bmemc_client_counters(raw(), server, &counters, &why) < 0) return failure(error(why));
        return counters;
    }

    /// What the connections to server `server` do, or those to all of them.
    result<bmemc_pool> pool(std::int32_t server = -1) const {
        bmemc_error why;
        bmemc_pool pool;
        if (bmemc_client_pool(raw(), server, &pool, &why) < 0) return failure(error(why));
        return pool;
    }

    /// How server `server` is, as far as calls have shown.
    result<server_health> health(std::uint32_t server) const {
        bmemc_error why;
        bmemc_health raw_health;
        if (bmemc_client_health(raw(), server, &raw_health, &why) < 0) return failure(error(why));
        using ms = std::chrono::milliseconds;
        return server_health{
            static_cast<health_state>(raw_health.state), raw_health.failures, ms(raw_health.since_ms), ms(raw_health.probe_in_ms),
            raw_health.why.status == BMEMC_OK ? std::nullopt : std::optional<error>(error(raw_health.why))};
    }

    /// Whether a key can be used, and if not, the words that a call with it would fail with.
    result<void> check_key(bytes_view key) const {
        bmemc_error why;
        return detail::done(bmemc_check_key(raw(), key, &why), why);
    }

    /// The servers: name as key, address as value, weight as number.
    result<results> servers() const {
        bmemc_error why;
        bmemc_results *list = nullptr;
        if (bmemc_client_servers(raw(), &list, &why) < 0) return failure(error(why));
        return results(list);
    }

    /// Adds a server to a client in use.
    result<void> add_server(bytes_view address, bytes_view name = {}, std::uint32_t weight = 1) const {
        bmemc_error why;
        return detail::done(bmemc_client_add_server(raw(), address, name, weight, &why), why);
    }

    /// Makes the servers of `options` those of this client, in one step; nothing else of the options counts.
    result<void> replace_servers(const options &now) const {
        bmemc_error why;
        return detail::done(bmemc_client_replace_servers(raw(), now.raw(), &why), why);
    }

    /// The server that has a key: name as key, address as value.
    result<item> server_for(bytes_view key) const {
        bmemc_error why;
        bmemc_value *found = nullptr;
        if (bmemc_client_server_for(raw(), key, &found, &why) < 0) return failure(error(why));
        return item(found);
    }

    /// Removes the server of this name; false: there is none.
    result<bool> remove_server(bytes_view name) const {
        bmemc_error why;
        auto code = bmemc_client_remove_server(raw(), name, &why);
        if (code < 0) return failure(error(why));
        return code == BMEMC_OK;
    }

    /// Other credentials, for connections that are opened from now on.
    result<void> set_credentials(bytes_view username, bytes_view password) const {
        bmemc_error why;
        return detail::done(bmemc_client_set_credentials(raw(), username, password, &why), why);
    }

    /// Changes an option of a client in use: reconnect_delay_ms; the others are fixed.
    result<void> set_option(bytes_view name, bytes_view value) const {
        bmemc_error why;
        return detail::done(bmemc_client_set_option(raw(), name, value, &why), why);
    }

    /// Drops every connection; the next call opens new ones. A queue closes its own at its next fetch.
    result<void> disconnect_all() const {
        bmemc_error why;
        return detail::done(bmemc_disconnect_all(raw(), &why), why);
    }

    /// Ends it: calls that wait and calls that come later fail with status::closed. Any thread, any number of times.
    void close() const noexcept { bmemc_client_close(raw()); }

    const bmemc_client *raw() const noexcept { return raw_.get(); }

  private:
    struct free {
        void operator()(bmemc_client *raw) const noexcept { bmemc_client_free(raw); }
    };

    friend class queue;

    client(bmemc_client *raw, detail::keeper callbacks) noexcept
        : callbacks_(std::move(callbacks)), raw_(raw) {}

    result<status> status_of(const op &what) const {
        bmemc_error why;
        bmemc_value *answer = nullptr;
        auto code = bmemc_call(raw(), &what.raw(), &answer, &why);
        bmemc_value_free(answer);
        if (code < 0) return failure(error(why));
        return static_cast<status>(code);
    }

    result<void> plain(const op &what) const {
        auto code = status_of(what);
        if (!code) return failure(code.error());
        return {};
    }

    result<bool> happened(const op &what) const {
        auto code = status_of(what);
        if (!code) return failure(code.error());
        return *code == status::ok;
    }

    result<std::optional<item>> found(const op &what) const {
        bmemc_error why;
        bmemc_value *answer = nullptr;
        auto code = bmemc_call(raw(), &what.raw(), &answer, &why);
        return taken(code, answer, why);
    }

    static result<std::optional<item>> taken(bmemc_status code, bmemc_value *answer, const bmemc_error &why) {
        if (code < 0) return failure(error(why));
        if (code == BMEMC_OK) return std::optional<item>(item(answer));
        bmemc_value_free(answer);
        return std::optional<item>();
    }

    result<std::optional<std::uint64_t>> counter(const op &what) const {
        auto answer = found(what);
        if (!answer) return failure(answer.error());
        if (!*answer) return std::optional<std::uint64_t>();
        return std::optional<std::uint64_t>((*answer)->number());
    }

    template <class Keys> result<results> many(const Keys &keys, op (*ask)(bytes_view) noexcept) const {
        std::vector<op> ops;
        for (const auto &key : keys) ops.push_back(ask(key));
        return execute(ops);
    }

    // Declared first, so that it outlives the client.
    detail::keeper callbacks_;
    std::unique_ptr<bmemc_client, free> raw_;
};

} // namespace BMEMC_HPP_NAMESPACE
} // namespace bmemc

#endif // BMEMC_CLIENT_HPP
