// options: how a client is to be, with the callbacks that it keeps.
#ifndef BMEMC_OPTIONS_HPP
#define BMEMC_OPTIONS_HPP

#include "item.hpp"

#include <chrono>
#include <functional>

namespace bmemc {
inline namespace BMEMC_HPP_NAMESPACE {

/// What an event is about; the numbers are those of bmemc_event_kind, and a newer library may have more.
enum class event_kind : std::int32_t {
    connected = BMEMC_EVENT_CONNECTED,
    closed = BMEMC_EVENT_CLOSED,
    slow = BMEMC_EVENT_SLOW,
    quiet_failure = BMEMC_EVENT_QUIET_FAILURE,
    breaker_opened = BMEMC_EVENT_BREAKER_OPENED,
    breaker_closed = BMEMC_EVENT_BREAKER_CLOSED,
    connect_failed = BMEMC_EVENT_CONNECT_FAILED,
    discovery_failed = BMEMC_EVENT_DISCOVERY_FAILED,
    servers_changed = BMEMC_EVENT_SERVERS_CHANGED,
};

/// Looks at one event; gone when the callback returns.
class event_view {
  public:
    explicit event_view(const bmemc_event &event) noexcept : event_(&event) {}

    event_kind kind() const noexcept { return static_cast<event_kind>(event_->kind); }
    /// Index of the server that it is about; zero for what discovery tells.
    std::uint32_t server() const noexcept { return event_->server; }
    /// Why; status::ok where nothing failed.
    bmemc::status status() const noexcept { return static_cast<bmemc::status>(event_->status); }
    /// errno of the system call that failed, else zero.
    int os_error() const noexcept { return event_->os_error; }
    /// How long it took to connect, or the call; zero for the others.
    std::chrono::microseconds elapsed() const noexcept { return std::chrono::microseconds(event_->elapsed_us); }
    /// The same in words, UTF-8.
    std::string_view message() const noexcept { return view(event_->message); }
    /// Everything, as bmemc.h has it.
    const bmemc_event &raw() const noexcept { return *event_; }

  private:
    const bmemc_event *event_;
};

/// When a connect callback is called.
enum class connect_stage : std::int32_t {
    /// The socket is there, and connects next.
    opened = BMEMC_CONNECT_OPENED,
    /// It is connected, and nothing was said yet.
    connected = BMEMC_CONNECT_CONNECTED,
};

/// What a compressor writes to; gone when that returns.
class output {
  public:
    explicit output(bmemc_output *raw) noexcept : raw_(raw) {}

    /// Appends bytes, which are copied. False: there is no room for more, and the compressor should return false.
    bool write(bytes_view bytes) { return bmemc_output_write(raw_, bytes) == BMEMC_OK; }

  private:
    bmemc_output *raw_;
};

namespace detail {

/// Callbacks that clients and what is under way for them keep alive: each holds those that were set before it.
using keeper = std::shared_ptr<void>;

template <class Callback> struct kept {
    Callback call;
    keeper before;
};

} // namespace detail

/// How a client is to be; docs/options.md lists the names. One thread at a time. Callbacks live as long as a client that
/// was made of these options; they must not throw (std::terminate), and must be fit for every thread that uses the clients.
class options {
  public:
    using event_callback = std::function<void(event_view)>;
    using connect_callback = std::function<int(int fd, connect_stage stage, std::string_view address)>;
    using route_callback = std::function<std::size_t(std::string_view key, std::size_t count)>;
    using discover_callback = std::function<bool(options &servers)>;
    using compressor = std::function<bool(std::string_view value, int level, output &to)>;

    options() : raw_(bmemc_options_new()) {}

    /// Sets an option by name, with its value as in a configuration file.
    result<void> set(bytes_view name, bytes_view value) {
        bmemc_error why;
        return detail::done(bmemc_options_set(raw_.get(), name, value, &why), why);
    }

    /// Sets an option to a number, or to true or false.
    template <class Value, class = std::enable_if_t<std::is_arithmetic_v<Value>>>
    result<void> set(bytes_view name, Value value) {
        if constexpr (std::is_same_v<Value, bool>) return set(name, value ? "true" : "false");
        else return set(name, std::to_string(value));
    }

    /// Adds a server: "host", "host:port", "[::1]:port" or "/path/of/socket". `name` is what a ring knows it by; empty:
    /// the address. `weight` is its share of the keys.
    result<void> add_server(bytes_view address, bytes_view name = {}, std::uint32_t weight = 1) {
        bmemc_error why;
        return detail::done(bmemc_options_add_server(raw_.get(), address, name, weight, &why), why);
    }

    /// Has `callback(event)` called for what happens to the clients; see bmemc_event for what it may do.
    result<void> on_event(event_callback callback) {
        return keep(std::move(callback), [&](void *context, bmemc_error *why) {
            return bmemc_options_on_event(raw_.get(), [](const bmemc_event *event, void *to) noexcept {
                static_cast<detail::kept<event_callback> *>(to)->call(event_view(*event));
            }, context, why);
        });
    }

    /// Has `callback(fd, stage, address)` called with every new socket; anything but 0 refuses it. See
    /// bmemc_connect_callback for what it may do.
    result<void> on_connect(connect_callback callback) {
        return keep(std::move(callback), [&](void *context, bmemc_error *why) {
            auto see = [](std::int32_t fd, std::int32_t stage, bmemc_bytes address, void *to) noexcept -> std::int32_t {
                auto at = static_cast<connect_stage>(stage);
                return static_cast<detail::kept<connect_callback> *>(to)->call(fd, at, view(address));
            };
            return bmemc_options_on_connect(raw_.get(), see, context, why);
        });
    }

    /// Has `callback(key, count)` choose among `count` servers, instead of a ring; `count` or more: none.
    result<void> on_route(route_callback callback) {
        return keep(std::move(callback), [&](void *context, bmemc_error *why) {
            return bmemc_options_on_route(raw_.get(), [](bmemc_bytes key, std::size_t count, void *to) noexcept {
                return static_cast<detail::kept<route_callback> *>(to)->call(view(key), count);
            }, context, why);
        });
    }

    /// Has `callback(servers)` add the servers there are, with add_server(), every discovery_interval_ms; false: it could
    /// not say, and those that are known stay. See bmemc_discover_callback for what it may do.
    result<void> on_discover(discover_callback callback) {
        return keep(std::move(callback), [&](void *context, bmemc_error *why) {
            return bmemc_options_on_discover(raw_.get(), [](bmemc_options *servers, void *to) noexcept -> std::int32_t {
                options lent(servers);
                bool said = static_cast<detail::kept<discover_callback> *>(to)->call(lent);
                lent.raw_.release();
                return said ? 0 : 1;
            }, context, why);
        });
    }

    /// Has values compressed and unpacked by these instead of the codec's zlib. Each answers whether it could: a value
    /// that cannot be compressed is stored as it is, one that cannot be unpacked is status::decode.
    result<void> set_compressor(compressor compress, compressor decompress) {
        using pair = std::pair<compressor, compressor>;
        return keep(pair(std::move(compress), std::move(decompress)), [&](void *context, bmemc_error *why) {
            auto pack = [](bmemc_bytes value, std::int32_t level, bmemc_output *to, void *with) noexcept {
                output out(to);
                return static_cast<detail::kept<pair> *>(with)->call.first(view(value), level, out) ? 0 : 1;
            };
            auto unpack = [](bmemc_bytes value, std::int32_t level, bmemc_output *to, void *with) noexcept {
                output out(to);
                return static_cast<detail::kept<pair> *>(with)->call.second(view(value), level, out) ? 0 : 1;
            };
            return bmemc_options_set_compressor(raw_.get(), pack, unpack, context, why);
        });
    }

    /// Option `index` of all there are, for programs that list them; nullptr past the last one.
    static const bmemc_option *at(std::size_t index) noexcept { return bmemc_option_at(index); }

    const bmemc_options *raw() const noexcept { return raw_.get(); }
    bmemc_options *raw() noexcept { return raw_.get(); }

    /// What a client of these options keeps alive.
    const detail::keeper &callbacks() const noexcept { return callbacks_; }

  private:
    explicit options(bmemc_options *lent) noexcept : raw_(lent) {}

    struct free {
        void operator()(bmemc_options *raw) const noexcept { bmemc_options_free(raw); }
    };

    template <class Callback, class Register> result<void> keep(Callback callback, Register set) {
        auto made = std::make_shared<detail::kept<Callback>>(detail::kept<Callback>{std::move(callback), callbacks_});
        bmemc_error why;
        auto code = set(made.get(), &why);
        if (code == BMEMC_OK) callbacks_ = std::move(made);
        return detail::done(code, why);
    }

    std::unique_ptr<bmemc_options, free> raw_;
    detail::keeper callbacks_;
};

} // namespace BMEMC_HPP_NAMESPACE
} // namespace bmemc

#endif // BMEMC_OPTIONS_HPP
