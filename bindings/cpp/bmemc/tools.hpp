// ring and key_hash: which of several servers a key belongs to, without a client; how statistics are to be read; and an
// embedded server, for tests and examples.
#ifndef BMEMC_TOOLS_HPP
#define BMEMC_TOOLS_HPP

#include "client.hpp"

#include <charconv>
#include <locale>
#include <map>
#include <sstream>
#include <variant>
#include <vector>

namespace bmemc {
inline namespace BMEMC_HPP_NAMESPACE {

/// The hash of a key; `name` is one that option "key_hash" accepts, but "auto".
inline result<std::uint64_t> key_hash(bytes_view name, bytes_view key) {
    bmemc_error why;
    std::uint64_t hash = 0;
    if (bmemc_key_hash(name, key, &hash, &why) < 0) return failure(error(why));
    return hash;
}

/// What the host of an address is.
enum class address_kind : std::int32_t {
    /// A name that has to be looked up.
    name = BMEMC_ADDRESS_NAME,
    ipv4 = BMEMC_ADDRESS_IPV4,
    ipv6 = BMEMC_ADDRESS_IPV6,
    /// The path of a Unix socket.
    unix_socket = BMEMC_ADDRESS_UNIX,
};

/// A server string taken apart.
struct address {
    address_kind kind;
    /// The name in lower case, the address without brackets, or the path.
    std::string host;
    /// 11211 where none is given; 0 for a Unix socket.
    std::uint16_t port;
};

/// Takes a server string apart, as options::add_server() does.
inline result<address> parse_address(bytes_view text) {
    bmemc_error why;
    bmemc_address raw;
    if (bmemc_address_parse(text, &raw, &why) < 0) return failure(error(why));
    return address{static_cast<address_kind>(raw.kind), raw.host, static_cast<std::uint16_t>(raw.port)};
}

/// How a statistic's value is to be read; the numbers are those of bmemc_stat_type, and a newer library may have more.
enum class stat_type : std::int32_t {
    integer = BMEMC_STAT_INTEGER,
    text = BMEMC_STAT_TEXT,
    floating = BMEMC_STAT_FLOAT,
    duration = BMEMC_STAT_SECONDS,
    switched = BMEMC_STAT_SWITCH,
    yes_no = BMEMC_STAT_YES_NO,
    octal = BMEMC_STAT_OCTAL,
};

/// How the value of the statistic of this name is to be read.
inline stat_type stat_type_of(bytes_view name) noexcept {
    return static_cast<stat_type>(bmemc_stat_type_of(name));
}

/// A statistic's value: a whole number (unsigned where it is too large for a signed one), a number with a fraction, a truth,
/// or the text where it is none of these.
using stat_value = std::variant<std::int64_t, std::uint64_t, double, bool, std::string>;

namespace detail {

template <class Number> std::optional<stat_value> whole(std::string_view text, int base) {
    Number number{};
    auto end = text.data() + text.size();
    auto read = std::from_chars(text.data(), end, number, base);
    if (read.ec != std::errc() || read.ptr != end) return std::nullopt;
    return stat_value(number);
}

// As C writes it, whatever the program's locale is.
inline std::optional<stat_value> fraction(std::string text) {
    std::istringstream in(std::move(text));
    in.imbue(std::locale::classic());
    double number = 0;
    if (!(in >> std::noskipws >> number) || in.peek() != std::istringstream::traits_type::eof()) return std::nullopt;
    return stat_value(number);
}

inline std::optional<stat_value> stat_of(stat_type type, std::string_view text) {
    switch (type) {
    case stat_type::integer:
        if (auto number = whole<std::int64_t>(text, 10)) return number;
        return whole<std::uint64_t>(text, 10);
    case stat_type::octal: return whole<std::int64_t>(text, 8);
    case stat_type::floating: return fraction(std::string(text));
    case stat_type::duration: {
        std::string seconds(text);
        if (auto colon = seconds.find(':'); colon != std::string::npos) seconds[colon] = '.';
        return fraction(std::move(seconds));
    }
    case stat_type::switched: return stat_value(text != "0");
    case stat_type::yes_no: return stat_value(text == "yes");
    default: return std::nullopt;
    }
}

} // namespace detail

/// Reads the value of the statistic of this name, as stat_type_of() says.
inline stat_value stat_value_of(std::string_view name, std::string_view text) {
    auto value = detail::stat_of(stat_type_of(name), text);
    return value ? *std::move(value) : stat_value(std::string(text));
}

/// By the server's name, each statistic by its own.
using stats_by_server = std::map<std::string, std::map<std::string, stat_value>>;

/// Asks every server for its statistics, as client::stats() does, and reads them as stat_value_of() does.
inline result<stats_by_server> typed_stats(const client &of, bytes_view which = {}) {
    auto told = of.stats(which);
    if (!told) return failure(told.error());
    auto servers = of.servers();
    if (!servers) return failure(servers.error());
    stats_by_server all;
    for (item_view each : *told) {
        // A server that was added meanwhile has no name yet.
        if (each.server() >= servers->size()) continue;
        std::string name(each.key());
        auto value = stat_value_of(name, each.value());
        all[std::string((*servers)[each.server()].key())].insert_or_assign(std::move(name), std::move(value));
    }
    return all;
}

/// The statistics in the value of an op::stats() answer: name as key, value as value.
inline result<results> stats_items(bytes_view text) {
    bmemc_error why;
    bmemc_results *list = nullptr;
    if (bmemc_stats_items(text, &list, &why) < 0) return failure(error(why));
    return results(list);
}

/// The items in the value of an op::metadump() answer, as client::metadump() has them.
inline result<results> metadump_items(bytes_view text) {
    bmemc_error why;
    bmemc_results *list = nullptr;
    if (bmemc_metadump_items(text, &list, &why) < 0) return failure(error(why));
    return results(list);
}

/// Which of several servers a key belongs to. Any number of threads may look keys up while none of them changes it.
class ring {
  public:
    /// A ring of the servers of these options, as their "distribution" and the like say.
    static result<ring> create(const options &how) {
        bmemc_error why;
        bmemc_ring *raw = nullptr;
        if (bmemc_ring_new(how.raw(), &raw, &why) < 0) return failure(error(why));
        return ring(raw, how.callbacks());
    }

    /// Adds a server at the end of the list, as options::add_server(); with a name the address may be empty.
    result<void> add(bytes_view address, bytes_view name = {}, std::uint32_t weight = 1) {
        bmemc_error why;
        return detail::done(bmemc_ring_add(raw_.get(), address, name, weight, &why), why);
    }

    /// Removes the server of this name; false: there is none.
    result<bool> remove(bytes_view name) {
        bmemc_error why;
        auto code = bmemc_ring_remove(raw_.get(), name, &why);
        if (code < 0) return failure(error(why));
        return code == BMEMC_OK;
    }

    /// The index of the server that has the key; none: the ring has no server.
    result<std::optional<std::uint32_t>> get(bytes_view key) const {
        bmemc_error why;
        std::uint32_t server = 0;
        auto code = bmemc_ring_get(raw_.get(), key, &server, &why);
        if (code < 0) return failure(error(why));
        return code == BMEMC_OK ? std::optional<std::uint32_t>(server) : std::nullopt;
    }

    /// Up to `most` servers, the one that has the key first, then those to try when that one is out.
    result<std::vector<std::uint32_t>> successors(bytes_view key, std::size_t most) const {
        bmemc_error why;
        std::size_t count = 0;
        std::vector<std::uint32_t> servers(most);
        if (bmemc_ring_successors(raw_.get(), key, servers.data(), most, &count, &why) < 0) return failure(error(why));
        servers.resize(count);
        return servers;
    }

    /// The servers: name as key, address as value, weight as number.
    result<results> servers() const {
        bmemc_error why;
        bmemc_results *list = nullptr;
        if (bmemc_ring_servers(raw_.get(), &list, &why) < 0) return failure(error(why));
        return results(list);
    }

  private:
    struct free {
        void operator()(bmemc_ring *raw) const noexcept { bmemc_ring_free(raw); }
    };

    ring(bmemc_ring *raw, detail::keeper callbacks) noexcept : callbacks_(std::move(callbacks)), raw_(raw) {}

    detail::keeper callbacks_;
    std::unique_ptr<bmemc_ring, free> raw_;
};

/// A small memcached inside the process, with a thread of its own, which ends when it is destroyed.
class server {
  public:
    /// Starts one; `listen`: empty for the loopback address and a free port, else "host:port" or "/path" of a socket.
    static result<server> start(bytes_view listen = {}) {
        bmemc_error why;
        bmemc_server *raw = nullptr;
        if (bmemc_server_start(listen, &raw, &why) < 0) return failure(error(why));
        return server(raw);
    }

    /// Where it listens, as options::add_server() takes it.
    const char *address() const noexcept { return bmemc_server_address(raw_.get()); }

    /// Sets what a test wants of it, by name: users, its clock, faults; bmemc_server_set() lists them.
    result<void> set(bytes_view name, bytes_view value) {
        bmemc_error why;
        return detail::done(bmemc_server_set(raw_.get(), name, value, &why), why);
    }

    bmemc_server *raw() const noexcept { return raw_.get(); }

  private:
    struct free {
        void operator()(bmemc_server *raw) const noexcept { bmemc_server_free(raw); }
    };

    explicit server(bmemc_server *raw) noexcept : raw_(raw) {}

    std::unique_ptr<bmemc_server, free> raw_;
};

} // namespace BMEMC_HPP_NAMESPACE
} // namespace bmemc

#endif // BMEMC_TOOLS_HPP
