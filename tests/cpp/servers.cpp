// servers.cpp: the C++ client's servers: rings, routes, discovery, several servers at once and the pool.
//
//   servers SERVER PROTOCOL
#include "one_server.hpp"

#include <fstream>
#include <set>
#include <thread>
#include <tuple>

using bmemc::op;
using bmemc::status;

// The list of this name in tests/vectors/rings.json: numbers of one digit.
static std::vector<std::uint32_t> numbers_in(const std::string &json, const std::string &name) {
    std::vector<std::uint32_t> numbers;
    for (auto at = json.find('[', json.find("\"" + name + "\": [")); at < json.size() && json[at] != ']'; at++)
        if (json[at] >= '0' && json[at] <= '9') numbers.push_back(std::uint32_t(json[at] - '0'));
    return numbers;
}

// Its keys; a backslash stands before what would mean something else.
static std::vector<std::string> keys_in(const std::string &json) {
    std::vector<std::string> keys;
    for (auto at = json.find('[', json.find("\"keys\": [")); at < json.size() && json[at] != ']'; at++) {
        if (json[at] != '"') continue;
        auto &key = keys.emplace_back();
        for (at++; json.at(at) != '"'; at++) key += json[at] == '\\' ? json.at(++at) : json[at];
    }
    return keys;
}

static void rings_choose_as_other_clients_do() {
    std::ifstream file("tests/vectors/rings.json");
    std::string json((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    auto keys = keys_in(json);
    EXPECT(keys.size() == 50);
    for (auto [name, distribution, weighted] : {std::tuple("pymemcache_rendezvous", "rendezvous", false),
             std::tuple("libmemcached_ketama_weighted", "ketama", true), std::tuple("dalli_weighted", "dalli", true)}) {
        bmemc::options options;
        must(options.set("distribution", distribution));
        auto ring = must(bmemc::ring::create(options));
        std::uint32_t weights[] = {1, 3, 7, 100}, *weight = weights;
        for (auto server : {"10.0.0.1:11211", "10.0.0.2:11212", "cache-3.example:11211", "10.0.0.4:11213"})
            must(ring.add(server, {}, weighted ? *weight++ : 1));
        auto chosen = numbers_in(json, name);
        EXPECT(chosen.size() == keys.size());
        for (std::size_t i = 0; i < chosen.size(); i++) EXPECT(must(ring.get(keys.at(i))) == chosen[i]);
    }
}

// A client asks the function of the caller's for each key.
static void routes_of_a_client() {
    auto first = must(bmemc::server::start()), second = must(bmemc::server::start());
    bmemc::options options;
    must(options.add_server(first.address(), "first"));
    must(options.add_server(second.address(), "second"));
    must(options.on_route([](std::string_view key, std::size_t count) { return key == "none" ? count : key.size() % 2; }));
    auto routed = must(bmemc::client::create(options));
    options = bmemc::options();
    for (auto key : {"even", "odd"}) {
        must(routed.set(key, key));
        auto item = must(routed.get(key));
        EXPECT(item && item->value() == key && item->server() == std::strlen(key) % 2);
    }
    EXPECT(refused(routed.get("none"), status::connection, "chose none"));
    EXPECT(must(must(bmemc::client::connect({first.address()})).get("even")) && !must(must(bmemc::client::connect({first.address()})).get("odd")));
}

static void rings_and_routes() {
    bmemc::options options;
    must(options.set("distribution", "ketama"));
    auto ring = must(bmemc::ring::create(options));
    EXPECT(!must(ring.get("k")));
    for (auto name : {"a:1", "b:2", "c:3"}) must(ring.add(name));
    EXPECT(refused(ring.add("a:1"), status::argument, "a:1"));
    auto order = must(ring.successors("k", 10));
    EXPECT(order.size() == 3 && must(ring.get("k")) == order[0]);
    EXPECT(must(ring.remove("b:2")) && !must(ring.remove("b:2")) && must(ring.servers()).size() == 2);
    EXPECT(must(bmemc::key_hash("fnv1a_32", "a")) == 0xe40c292cu);
    EXPECT(refused(bmemc::key_hash("none", "a"), status::argument, "none"));
    int asked = 0;
    must(options.on_route([&](std::string_view, std::size_t count) { return asked++, count - 1; }));
    for (auto name : {"a:1", "b:2"}) must(options.add_server(name));
    auto routed = must(bmemc::ring::create(options));
    options = bmemc::options();
    EXPECT(must(routed.get("k")) == 1u && asked > 0);
}

static void servers_that_a_function_finds() {
    auto one = must(bmemc::server::start());
    auto options = bmemc::options();
    int asked = 0;
    must(options.on_discover([&](bmemc::options &servers) {
        return asked++ > 0 && servers.add_server(one.address(), "one");
    }));
    must(options.set("discovery_interval_ms", 10));
    auto found = must(bmemc::client::create(options));
    EXPECT(refused(found.get("k"), status::connection, "the discovery callback"));
    options = bmemc::options();
    while (!found.set("k", "v")) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    EXPECT(must(found.servers()).size() == 1 && asked > 1);
}

static void several_servers() {
    auto one = must(bmemc::server::start()), two = must(bmemc::server::start());
    auto own = must(bmemc::client::connect({one.address(), two.address()}, {{"protocol", protocol}}));
    std::set<std::string> used;
    for (int i = 0; i < 50; i++) {
        const auto name = std::to_string(i);
        must(own.set(name, name));
        used.insert(std::string(must(own.server_for(name)).value()));
        EXPECT(must(own.get(name))->value() == name);
    }
    EXPECT(used.size() == 2 && must(own.servers()).size() == 2);
    auto typed = must(bmemc::typed_stats(own));
    auto items = [&](const bmemc::server &at) { return std::get<std::int64_t>(typed.at(std::string(at.address())).at("curr_items")); };
    EXPECT(typed.size() == 2 && items(one) > 0 && items(two) > 0 && items(one) + items(two) == 50);
    auto versions = must(own.execute_each(op::version()));
    EXPECT(versions.size() == 2 && versions[0].ok() && versions[1].ok() && versions[1].server() == 1);
    bmemc::options less;
    must(less.add_server(one.address()));
    must(own.replace_servers(less));
    EXPECT(must(own.servers()).size() == 1 && must(own.server_for("7")).value() == one.address());
    auto former = must(bmemc::client::connect({two.address()})), current = must(bmemc::client::connect({one.address()}));
    must(former.set("only-there", "x"));
    auto both = must(bmemc::client::fallback({current, former}));
    EXPECT(must(both.get("only-there"))->value() == "x" && !must(both.get("nowhere")));
    EXPECT(refused(bmemc::client::fallback({}), status::argument, "needs a client"));
    auto dump = must(bmemc::metadump_items("key=a%20b exp=-1 la=1 cas=2 fetch=no cls=1 size=63\n"));
    EXPECT(dump.size() == 1 && dump[0].key() == "a b" && dump[0].cas() == 2);
}

static void the_pool_and_its_servers() {
    auto one = must(bmemc::server::start()), two = must(bmemc::server::start());
    auto own = must(bmemc::client::connect({one.address(), two.address()}, {{"protocol", protocol}, {"connections", "1"}}));
    EXPECT(must(own.pool()).open == 0);
    for (int i = 0; i < 50; i++) must(own.set(std::to_string(i), "x"));
    EXPECT(must(own.pool()).free == 2 && must(own.pool()).used == 0 && must(own.pool()).open == 2 && must(own.pool(1)).open == 1);
    EXPECT(refused(own.pool(2), status::argument, "server 2"));
    // A call that is never answered has its connection until its time is up.
    must(one.set("fault", "stall"));
    std::thread caller([&] { EXPECT(refused(own.call(op::version().within(std::chrono::milliseconds(1000))), status::timeout, "")); });
    bool busy = false;
    for (int i = 0; i < 500 && !busy; i++) {
        busy = must(own.pool(0)).used == 1 && must(own.pool(0)).free == 0;
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    EXPECT(busy);
    caller.join();
    must(one.set("fault", ""));
    must(own.disconnect_all());
    EXPECT(must(own.pool()).open == 0);
    must(own.flush_all());
    for (int i = 0; i < 50; i++) EXPECT(!must(own.get(std::to_string(i))));
    EXPECT(must(own.remove_server(two.address())) && !must(own.remove_server(two.address())));
    EXPECT(must(own.servers()).size() == 1 && must(own.server_for("7")).value() == one.address());
}

int main(int argc, char **argv) {
    return run_with(argc, argv, [] {
        RUN(rings_choose_as_other_clients_do);
        RUN(routes_of_a_client);
        RUN(rings_and_routes);
        RUN(servers_that_a_function_finds);
        RUN(several_servers);
        RUN(the_pool_and_its_servers);
    });
}
