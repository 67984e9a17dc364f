// one_server.hpp: what tests of one server over one protocol share: its address, a client of it, and their main.
#ifndef ONE_SERVER_HPP
#define ONE_SERVER_HPP

#include "check.hpp"

inline std::string address, protocol;
inline const bmemc::client *client;

inline bmemc::client connect_to(const std::string &server, const char *name = "timeout_ms", const char *value = "30000") {
    return must(bmemc::client::connect({server}, {{"protocol", protocol}, {"connect_timeout_ms", "30000"}, {name, value}}));
}

// PROGRAM SERVER PROTOCOL
inline int run_with(int argc, char **argv, void (*tests)()) {
    if (argc != 3) return std::cerr << "usage: " << argv[0] << " SERVER PROTOCOL\n", 2;
    address = argv[1], protocol = argv[2];
    auto shared = connect_to(address);
    client = &shared;
    tests();
    return finish();
}

#endif
