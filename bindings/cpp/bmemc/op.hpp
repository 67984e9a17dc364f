// One operation with everything that it can be told: what client::call(), client::execute() and queue::submit() take.
#ifndef BMEMC_OP_HPP
#define BMEMC_OP_HPP

#include "item.hpp"

#include <chrono>

namespace bmemc {
inline namespace BMEMC_HPP_NAMESPACE {

/// A ttl: zero until evicted, negative gone at once, up to 999,999,999 from now on, and from there a Unix time: until().
using seconds = std::chrono::seconds;

/// The ttl of an item that is to live until `when`.
inline seconds until(std::chrono::system_clock::time_point when) noexcept {
    return std::chrono::duration_cast<seconds>(when.time_since_epoch());
}

/// One operation. It looks at its key and value and does not keep them: they must live until the call returns (the queue
/// copies them). Named constructors say what is asked; what follows in a chain says how:
/// `op::set("k", "v").expires(60s).with_cas(cas).want_cas()`.
class op {
  public:
    static op get(bytes_view key) noexcept { return op(BMEMC_OP_GET, key); }
    static op get_and_touch(bytes_view key, seconds ttl) noexcept { return op(BMEMC_OP_GET_AND_TOUCH, key).expires(ttl); }
    static op set(bytes_view key, bytes_view value) noexcept { return op(BMEMC_OP_SET, key).with_value(value); }
    static op add(bytes_view key, bytes_view value) noexcept { return op(BMEMC_OP_ADD, key).with_value(value); }
    static op replace(bytes_view key, bytes_view value) noexcept { return op(BMEMC_OP_REPLACE, key).with_value(value); }
    static op append(bytes_view key, bytes_view value) noexcept { return op(BMEMC_OP_APPEND, key).with_value(value); }
    static op prepend(bytes_view key, bytes_view value) noexcept { return op(BMEMC_OP_PREPEND, key).with_value(value); }
    static op remove(bytes_view key) noexcept { return op(BMEMC_OP_DELETE, key); }
    static op increment(bytes_view key, std::uint64_t delta) noexcept { return op(BMEMC_OP_INCREMENT, key).by(delta); }
    static op decrement(bytes_view key, std::uint64_t delta) noexcept { return op(BMEMC_OP_DECREMENT, key).by(delta); }
    static op touch(bytes_view key, seconds ttl) noexcept { return op(BMEMC_OP_TOUCH, key).expires(ttl); }
    static op flush_all(seconds delay = {}) noexcept { return op(BMEMC_OP_FLUSH_ALL, {}).expires(delay); }
    static op stats(bytes_view which = {}) noexcept { return op(BMEMC_OP_STATS, which); }
    static op version() noexcept { return op(BMEMC_OP_VERSION, {}); }
    static op verbosity(std::uint64_t level) noexcept { return op(BMEMC_OP_VERBOSITY, {}).by(level); }
    static op noop() noexcept { return op(BMEMC_OP_NOOP, {}); }
    static op cache_memlimit(std::uint64_t megabytes) noexcept { return op(BMEMC_OP_CACHE_MEMLIMIT, {}).by(megabytes); }
    static op shutdown() noexcept { return op(BMEMC_OP_SHUTDOWN, {}); }
    static op metadump(bytes_view classes = {}) noexcept { return op(BMEMC_OP_METADUMP, classes); }
    /// A meta command: `flags` begins with the command's word, as in "mg t v".
    static op meta(bytes_view key, bytes_view flags, bytes_view value = {}) noexcept {
        return op(BMEMC_OP_META, key).with_meta_flags(flags).with_value(value);
    }
    /// A line of the caller's own.
    static op raw_command(bytes_view line) noexcept { return op(BMEMC_OP_RAW, {}).with_value(line); }

    op &with_value(bytes_view value) noexcept { return raw_.value = value, *this; }
    /// The item's flags.
    op &with_flags(std::uint32_t flags) noexcept { return raw_.flags = flags, *this; }
    /// What the value is, for the client's codec.
    op &with_type(value_type type) noexcept { return raw_.value_type = static_cast<std::uint32_t>(type), *this; }
    op &expires(seconds ttl) noexcept { return raw_.ttl = ttl.count(), *this; }
    /// The item must still have this version, else status::exists.
    op &with_cas(std::uint64_t cas) noexcept { return raw_.cas = cas, *this; }
    /// By how much a counter changes.
    op &by(std::uint64_t delta) noexcept { return raw_.delta = delta, *this; }
    /// A missing counter is made, with this value.
    op &create(std::uint64_t initial) noexcept { return raw_.initial = initial, flag(BMEMC_FLAG_CREATE); }
    /// Hashed instead of the key to choose the server.
    op &routed_by(bytes_view key) noexcept { return raw_.routing_key = key, *this; }
    /// Asks the server of this index, whatever the key: item::server(), or that of client::servers().
    op &at_server(std::uint32_t index) noexcept { return raw_.server = index + 1, *this; }
    /// Raw flags of the meta protocol, separated by spaces.
    op &with_meta_flags(bytes_view flags) noexcept { return raw_.meta_flags = flags, *this; }
    /// The answer has the item's cas.
    op &want_cas() noexcept { return flag(BMEMC_FLAG_WANT_CAS); }
    /// Do not wait for the server's answer.
    op &no_reply() noexcept { return flag(BMEMC_FLAG_NO_REPLY); }
    /// Wait for it although the client's option no_reply says otherwise.
    op &want_reply() noexcept { return flag(BMEMC_FLAG_WANT_REPLY); }
    /// Store the flags as they are, whatever the codec makes of the type.
    op &explicit_flags() noexcept { return flag(BMEMC_FLAG_EXPLICIT_FLAGS); }
    /// How long it may take; without it, option timeout_ms. Less than a millisecond counts as one.
    op &within(std::chrono::milliseconds timeout) noexcept {
        constexpr std::chrono::milliseconds::rep most = UINT32_MAX;
        auto count = timeout.count() < 1 ? 1 : timeout.count() > most ? most : timeout.count();
        return raw_.timeout_ms = static_cast<std::uint32_t>(count), *this;
    }
    /// 1 (fast) to 9 (small); -1: do not compress.
    op &compress(std::int32_t level) noexcept { return raw_.compress_level = level, *this; }
    op &flag(std::uint32_t bits) noexcept { return raw_.op_flags |= bits, *this; }

    /// Everything, as bmemc.h has it.
    bmemc_op &raw() noexcept { return raw_; }
    const bmemc_op &raw() const noexcept { return raw_; }

  private:
    op(bmemc_opcode opcode, bytes_view key) noexcept {
        raw_.opcode = opcode;
        raw_.key = key;
    }

    bmemc_op raw_{};
};

// An array of operations is handed to the library as it is.
static_assert(sizeof(op) == sizeof(bmemc_op) && std::is_standard_layout_v<op>, "op must be a bmemc_op and nothing else");

} // namespace BMEMC_HPP_NAMESPACE
} // namespace bmemc

#endif // BMEMC_OP_HPP
