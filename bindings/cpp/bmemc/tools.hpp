// An embedded server, for tests and examples.
#ifndef BMEMC_TOOLS_HPP
#define BMEMC_TOOLS_HPP

#include "result.hpp"

#include <memory>

namespace bmemc {
inline namespace BMEMC_HPP_NAMESPACE {

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
