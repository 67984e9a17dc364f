// consumer VERSION: stores and reads a value through an embedded server, by bmemc.hpp.
#include <bmemc.hpp>

#include <iostream>

int main(int argc, char **argv) {
    if (argc != 2 || std::string_view(argv[1]) != bmemc_version()) return std::cerr << bmemc_version() << "\n", 1;
    auto server = bmemc::server::start();
    if (!server) return std::cerr << server.error().message() << "\n", 1;
    auto client = bmemc::client::connect({server->address()});
    if (!client) return std::cerr << client.error().message() << "\n", 1;
    auto set = client->set("key", "value");
    if (!set) return std::cerr << set.error().message() << "\n", 1;
    auto item = client->get("key");
    return !(item && *item && (*item)->value() == "value");
}
