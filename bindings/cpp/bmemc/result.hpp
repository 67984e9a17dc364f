// What every call of bmemc.hpp answers with: a status, an error with words, result<T>, and views of bytes that go in.
#ifndef BMEMC_RESULT_HPP
#define BMEMC_RESULT_HPP

#include <bmemc.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#if __cplusplus > 202002L && defined(__has_include)
#if __has_include(<expected>)
#include <expected>
#endif
#endif
#if __cplusplus >= 202002L && defined(__has_include)
#if __has_include(<span>)
#include <span>
#endif
#endif

// result<T> is another type where std::expected is there, and some classes have more members where std::span is: everything
// has another mangled name then, so that translation units of different standards may be linked together.
#if defined(__cpp_lib_expected)
#define BMEMC_HPP_NAMESPACE with_expected
#elif defined(__cpp_lib_span)
#define BMEMC_HPP_NAMESPACE with_span
#else
#define BMEMC_HPP_NAMESPACE with_neither
#endif

#if defined(__cpp_exceptions)
#define BMEMC_HPP_THROW(exception) throw exception
#else
#define BMEMC_HPP_THROW(exception) std::abort()
#endif

namespace bmemc {
inline namespace BMEMC_HPP_NAMESPACE {

/// How a call went; the numbers are those of bmemc_status, and a newer library may have more.
enum class status : std::int32_t {
    ok = BMEMC_OK,
    not_found = BMEMC_NOT_FOUND,
    not_stored = BMEMC_NOT_STORED,
    exists = BMEMC_EXISTS,
    argument = BMEMC_E_ARGUMENT,
    timeout = BMEMC_E_TIMEOUT,
    dns = BMEMC_E_DNS,
    connection = BMEMC_E_CONNECTION,
    tls = BMEMC_E_TLS,
    auth = BMEMC_E_AUTH,
    protocol = BMEMC_E_PROTOCOL,
    client_error = BMEMC_E_CLIENT_ERROR,
    server_error = BMEMC_E_SERVER_ERROR,
    unknown_command = BMEMC_E_UNKNOWN_COMMAND,
    too_large = BMEMC_E_TOO_LARGE,
    buffer = BMEMC_E_BUFFER,
    busy = BMEMC_E_BUSY,
    decode = BMEMC_E_DECODE,
    cancelled = BMEMC_E_CANCELLED,
    closed = BMEMC_E_CLOSED,
    forked = BMEMC_E_FORKED,
    bug = BMEMC_E_BUG,
    unsupported = BMEMC_E_UNSUPPORTED,
};

/// A few words for a status, such as "timed out". Never freed.
inline const char *to_string(status code) noexcept {
    return bmemc_status_text(static_cast<std::int32_t>(code));
}

/// The version of the library that is running, as "1.2.3". Never freed.
inline const char *library_version() noexcept {
    return bmemc_version();
}

/// What went wrong, in words that name the value at fault.
class error {
  public:
    /// An error of a call of bmemc.h.
    explicit error(const bmemc_error &raw)
        : code_(static_cast<bmemc::status>(raw.status)), os_error_(raw.os_error), bits_(raw.bits),
          message_(raw.message) {}

    error(bmemc::status code, int os_error, std::uint32_t bits, std::string message)
        : code_(code), os_error_(os_error), bits_(bits), message_(std::move(message)) {}

    /// The status, always a failure.
    bmemc::status code() const noexcept { return code_; }

    /// errno of the system call that failed, else zero.
    int os_error() const noexcept { return os_error_; }

    /// Of bmemc_bit.
    std::uint32_t bits() const noexcept { return bits_; }

    /// Nothing of the request was sent: sending it again is safe.
    bool not_sent() const noexcept { return (bits_ & BMEMC_BIT_NOT_SENT) != 0; }

    /// The request left in full.
    bool sent() const noexcept { return (bits_ & BMEMC_BIT_SENT) != 0; }

    /// The server may or may not have executed it.
    bool unknown_outcome() const noexcept { return (bits_ & BMEMC_BIT_UNKNOWN_OUTCOME) != 0; }

    /// UTF-8.
    const std::string &message() const noexcept { return message_; }

  private:
    bmemc::status code_;
    int os_error_;
    std::uint32_t bits_;
    std::string message_;
};

/// Thrown by value() of a result that has none, where std::expected does not throw its own.
class bad_result_access : public std::exception {
  public:
    explicit bad_result_access(std::string words) : words_(std::move(words)) {}
    const char *what() const noexcept override { return words_.c_str(); }

  private:
    std::string words_;
};

#if defined(__cpp_lib_expected)
/// A value, or why there is none.
template <class T> using result = std::expected<T, error>;
/// What a function that answers with a result returns where it failed.
using failure = std::unexpected<error>;
#else
/// What a function that answers with a result returns where it failed.
class failure {
  public:
    explicit failure(bmemc::error why) : why_(std::move(why)) {}
    bmemc::error &error() noexcept { return why_; }

  private:
    bmemc::error why_;
};

/// A value, or why there is none: as much of std::expected as a caller needs.
template <class T> class [[nodiscard]] result {
  public:
    result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
    result(failure why) : state_(std::in_place_index<1>, std::move(why.error())) {}

    bool has_value() const noexcept { return state_.index() == 0; }
    explicit operator bool() const noexcept { return has_value(); }

    /// The value; throws bad_result_access where there is none.
    T &value() & { return check(), *std::get_if<0>(&state_); }
    const T &value() const & { return check(), *std::get_if<0>(&state_); }
    T &&value() && { return check(), std::move(*std::get_if<0>(&state_)); }

    /// The value of a result that has one; anything else is undefined.
    T &operator*() & noexcept { return *std::get_if<0>(&state_); }
    const T &operator*() const & noexcept { return *std::get_if<0>(&state_); }
    T &&operator*() && noexcept { return std::move(*std::get_if<0>(&state_)); }
    T *operator->() noexcept { return std::get_if<0>(&state_); }
    const T *operator->() const noexcept { return std::get_if<0>(&state_); }

    /// The error of a result that has no value; anything else is undefined.
    const bmemc::error &error() const noexcept { return *std::get_if<1>(&state_); }

    /// The value, or `other` where there is none, whatever the reason: it hides failures. On a miss alone:
    /// client::get_or().
    template <class U> T value_or(U &&other) const & {
        return has_value() ? **this : static_cast<T>(std::forward<U>(other));
    }
    template <class U> T value_or(U &&other) && {
        return has_value() ? std::move(**this) : static_cast<T>(std::forward<U>(other));
    }

  private:
    void check() const {
        if (!has_value()) BMEMC_HPP_THROW(bad_result_access(error().message()));
    }

    std::variant<T, bmemc::error> state_;
};

/// Done, or why not.
template <> class [[nodiscard]] result<void> {
  public:
    result() = default;
    result(failure why) : error_(std::move(why.error())) {}

    bool has_value() const noexcept { return !error_; }
    explicit operator bool() const noexcept { return has_value(); }

    void value() const {
        if (error_) BMEMC_HPP_THROW(bad_result_access(error_->message()));
    }

    const bmemc::error &error() const noexcept { return *error_; }

  private:
    std::optional<bmemc::error> error_;
};
#endif

/// Bytes that are only looked at: made from a string, a string_view, a literal, a vector, an array or a span of bytes.
/// It does not keep them alive.
class bytes_view {
  public:
    constexpr bytes_view() noexcept = default;
    bytes_view(const char *text) noexcept : bytes_view(text, text ? std::strlen(text) : 0) {}
    bytes_view(const void *data, std::size_t size) noexcept : data_(static_cast<const std::uint8_t *>(data)), size_(size) {}

    template <class Bytes, class = std::enable_if_t<!std::is_array_v<Bytes> && sizeof(*std::data(std::declval<const Bytes &>())) == 1>>
    bytes_view(const Bytes &bytes) noexcept : bytes_view(std::data(bytes), std::size(bytes)) {}

    const std::uint8_t *data() const noexcept { return data_; }
    std::size_t size() const noexcept { return size_; }
    operator bmemc_bytes() const noexcept { return {data_, size_}; }

  private:
    const std::uint8_t *data_ = nullptr;
    std::size_t size_ = 0;
};

/// Bytes of a result, as text; they live as long as what they came from.
inline std::string_view view(bmemc_bytes bytes) noexcept {
    return {reinterpret_cast<const char *>(bytes.data), bytes.data ? bytes.len : 0};
}

namespace detail {

/// The result of a call whose positive answers are handled elsewhere: a failure, or nothing.
inline result<void> done(bmemc_status code, const bmemc_error &why) {
    if (code < 0) return failure(error(why));
    return {};
}

} // namespace detail
} // namespace BMEMC_HPP_NAMESPACE
} // namespace bmemc

#endif // BMEMC_RESULT_HPP
