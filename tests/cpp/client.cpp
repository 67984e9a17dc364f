// client.cpp: the C++ client over one protocol to one server.
//
//   client SERVER PROTOCOL
#include "one_server.hpp"

#include <algorithm>
#include <array>
#include <iterator>
#include <map>
#include <set>
#if __has_include(<span>)
#include <span>
#endif
#include <thread>
#include <sys/wait.h>
#include <tuple>

using namespace std::chrono_literals;
using bmemc::op;
using bmemc::status;

static void set_get_remove() {
    must(client->set(key("a"), "value", 60s, 7));
    auto item = must(client->get(key("a")));
    EXPECT(item && item->value() == "value" && item->flags() == 7 && item->ok() && item->type() == bmemc::value_type::bytes);
    EXPECT(must(client->remove(key("a"))));
    EXPECT(!must(client->remove(key("a"))));
    EXPECT(!must(client->get(key("a"))));
}

static void bytes_come_from_anything() {
    const std::vector<std::uint8_t> vector{0, 13, 10, 255};
    const std::array<char, 3> array{'a', 'b', 'c'};
    const std::string zero("a\0b", 3);
    must(client->set(key("b"), vector));
    EXPECT(must(client->get(key("b")))->value() == std::string("\0\r\n\xff", 4));
    must(client->set(key("b"), array));
    EXPECT(must(client->get(key("b")))->value() == "abc");
    must(client->set(key("b"), zero));
    EXPECT(must(client->get(key("b")))->value() == zero);
    must(client->set(key("b"), ""));
    EXPECT(must(client->get(key("b")))->value().empty());
    must(client->set(key("b"), {zero.data(), 1}));
    EXPECT(must(client->get(key("b")))->value() == "a");
#if defined(__cpp_lib_span)
    must(client->set(key("b"), std::as_bytes(std::span(vector))));
    EXPECT(must(client->get(key("b")))->value().size() == 4);
    EXPECT(must(client->get(key("b")))->value_bytes()[0] == std::byte{0});
    const std::string name = key("b");
    const std::array<op, 2> both{op::get(name), op::noop()};
    EXPECT(must(client->execute(std::span(both)))[0].value().size() == 4);
#endif
    const char *null = nullptr;
    EXPECT(refused(client->get(null), status::argument, "key"));
}

static void get_into_a_buffer() {
    char buffer[8];
    std::uint32_t flags = 0;
    must(client->set(key("i"), "12345678", 60s, 3));
    EXPECT(must(client->get_into(key("i"), buffer, sizeof buffer, &flags)) == std::size_t(8) && flags == 3);
    EXPECT(std::string_view(buffer, 8) == "12345678");
    EXPECT(refused(client->get_into(key("i"), buffer, 7), status::buffer, "8"));
    EXPECT(!must(client->get_into(key("none"), buffer, sizeof buffer)));
}

static void another_value_on_a_miss_alone() {
    const std::string zero("a\0b", 3);
    must(client->set(key("o"), zero));
    EXPECT(must(client->get_or(key("o"), "other")) == zero);
    EXPECT(must(client->get_or(key("none"), "other")) == "other");
    EXPECT(must(client->gets_or(key("o"), "other", 7)) == std::pair(zero, must(client->gets(key("o")))->cas()));
    EXPECT(must(client->gets_or(key("none"), "other", 7)) == std::pair(std::string("other"), std::uint64_t(7)));
    EXPECT(must(client->gets_or(key("none"), "other")).second == 0);
    // What is no miss is told as ever.
    EXPECT(refused(client->get_or("", "other"), status::argument, "key"));
    EXPECT(refused(client->gets_or("", "other"), status::argument, "key"));
    auto dead = must(bmemc::client::connect({"127.0.0.1:1"}, {{"timeout_ms", "2000"}, {"protocol", protocol}}));
    EXPECT(refused(dead.get_or("k", "other"), status::connection, "127.0.0.1:1"));
    EXPECT(refused(dead.gets_or("k", "other"), status::connection, "127.0.0.1:1"));
}

static void conditional_writes() {
    EXPECT(!must(client->replace(key("c"), "x")));
    EXPECT(!must(client->append(key("c"), "x")));
    EXPECT(must(client->add(key("c"), "b")));
    EXPECT(!must(client->add(key("c"), "x")));
    EXPECT(must(client->append(key("c"), "c")) && must(client->prepend(key("c"), "a")));
    EXPECT(must(client->get(key("c")))->value() == "abc");
    EXPECT(must(client->replace(key("c"), "new")));
    auto item = must(client->gets(key("c")));
    EXPECT(item && item->cas() != 0);
    EXPECT(must(client->compare_and_swap(key("c"), "newer", item->cas())) == status::ok);
    EXPECT(must(client->compare_and_swap(key("c"), "newest", item->cas())) == status::exists);
    EXPECT(must(client->get(key("c")))->value() == "newer");
    using triple = std::tuple<std::string, std::string, std::uint64_t>;
    auto current = must(client->gets(key("c")))->cas();
    auto many = must(client->compare_and_swap_many(std::vector<triple>{
        {key("c"), "of many", current}, {key("c"), "late", item->cas()}, {key("none"), "x", 7}, {key("c"), "x", 0}}));
    EXPECT(many[0].ok() && many[0].cas() != current);
    EXPECT(many[1].status() == status::exists);
    EXPECT(many[2].status() == status::not_found && many[3].status() == status::argument && many.size() == 4);
    EXPECT(must(client->get(key("c")))->value() == "of many");
    EXPECT(many[0].cas() == (protocol == "text" ? 0 : must(client->gets(key("c")))->cas()));
    EXPECT(must(client->compare_and_swap_many(std::vector<triple>())).empty());
    must(client->remove(key("c")));
    EXPECT(must(client->compare_and_swap(key("c"), "newest", item->cas())) == status::not_found);
}

static void counters_and_ttl() {
    EXPECT(!must(client->increment(key("n"))));
    must(client->set(key("n"), "40"));
    EXPECT(must(client->increment(key("n"), 2)) == std::uint64_t(42));
    EXPECT(must(client->decrement(key("n"), 100)) == std::uint64_t(0));
    EXPECT(must(client->touch(key("n"), 60s)));
    auto item = must(client->get_and_touch(key("n"), -1s));
    EXPECT(item && item->value().substr(0, 1) == "0");
    EXPECT(!must(client->touch(key("n"), 60s)));
    must(client->set(key("n"), "x", bmemc::until(std::chrono::system_clock::now() + 1h)));
    EXPECT(must(client->get(key("n"))));
    EXPECT(refused(client->increment(key("n")), status::client_error, "umeric"));
}

static void many() {
    std::map<std::string, std::string> pairs;
    std::vector<std::string> keys;
    for (int i = 0; i < 500; i++) {
        keys.push_back(key("m" + std::to_string(i)));
        pairs[keys.back()] = "value of " + keys.back();
    }
    EXPECT(!must(client->set_many(pairs, 60s)).first_error());
    keys.push_back(key("none"));
    keys.push_back(std::string(300, 'x'));
    auto answers = must(client->get_many(keys));
    EXPECT(answers.size() == 502 && !answers.empty());
    for (std::size_t i = 0; i < 500; i++) EXPECT(answers[i].ok() && answers[i].value() == pairs[keys[i]]);
    EXPECT(answers[500].status() == status::not_found && !answers[500].failed());
    EXPECT(answers[501].failed() && answers[501].error().not_sent());
    EXPECT(answers.first_error()->code() == status::argument);
    EXPECT(std::count_if(answers.begin(), answers.end(), [](bmemc::item_view item) { return item.ok(); }) == 500);
    EXPECT(answers.end() - answers.begin() == 502 && answers.begin()[1].value() == answers[1].value());
    keys.resize(500);
    for (auto item : must(client->remove_many(keys))) EXPECT(item.ok());
    EXPECT(must(client->get_many(std::vector<std::string>())).empty());
    EXPECT(must(client->get_many({key("m1"), "x"})).size() == 2);
    EXPECT(must(client->set_many({{key("m1"), "1"}, {key("m2"), "2"}})).size() == 2);
}

static void every_operation() {
    auto set = must(client->call(op::set(key("o"), "1").expires(60s).want_cas()));
    EXPECT(set.status() == status::ok);
    auto read = must(client->call(op::get(key("o")).want_cas().within(20s)));
    EXPECT(read.value() == "1" && read.cas() != 0);
    EXPECT(must(client->call(op::get(key("none")))).status() == status::not_found);
    EXPECT(refused(client->call(op::get("")), status::argument, "key"));
    auto answers = must(client->execute({op::increment(key("o"), 5), op::get(key("o")), op::remove(key("o")), op::get(key("o")), op::noop()}));
    EXPECT(answers[0].number() == 6 && answers[1].value() == "6" && answers[2].ok());
    EXPECT(answers[3].status() == status::not_found && answers[4].ok());
    EXPECT(!must(client->version()).empty());
    must(client->noop());
    EXPECT(must(client->servers())[0].value() == address);
    EXPECT(must(client->counters()).operations > 10);
    EXPECT(refused(client->counters(5), status::argument, "5"));
    EXPECT(must(client->health(0)).state == bmemc::health_state::up && !must(client->health(0)).why);
    EXPECT(refused(client->health(5), status::argument, "5"));
    auto nobody = must(bmemc::client::connect({"127.0.0.1:1"}));
    EXPECT(refused(nobody.get("k"), status::connection, "127.0.0.1:1"));
    auto health = must(nobody.health(0));
    EXPECT(health.state == bmemc::health_state::out && health.failures == 1 && health.since.count() >= 0);
    EXPECT(health.probe_in.count() > 0 && health.why->code() == status::connection);
}

static void dumps_are_taken_piece_by_piece() {
    auto own = must(bmemc::client::connect({address}, {{"protocol", protocol}, {"timeout_ms", "30000"}, {"key_prefix", key("")}}));
    std::vector<std::string> names;
    for (int i = 0; i < 500; i++) names.push_back("piece" + std::to_string(i));
    for (auto &name : names) must(own.set(name, "x", 60s));
    std::set<std::string> found;
    for (int tries = 0; found.size() < names.size() && tries < 100; tries++) {
        auto dump = must(own.dump("all"));
        found.clear();
        for (auto piece = dump.next(); piece && *piece; piece = dump.next())
            for (auto item : **piece)
                if (item.key().substr(0, 5) == "piece") found.emplace(item.key());
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    EXPECT(found == std::set<std::string>(names.begin(), names.end()));
    EXPECT(refused(must(own.dump("a b")).next(), status::argument, "a b"));
    EXPECT(refused(must(own.dump(op::metadump("all").at_server(7).within(20s))).next(), status::argument, "server 7"));
    EXPECT(refused(own.dump(op::get("all")), status::argument, "a dump of get"));
    EXPECT(must(own.call(op::version().at_server(0))).ok());
    EXPECT(refused(own.call(op::get("all").at_server(1)), status::argument, "server 1"));
}

static void with_and_without_reply() {
    bmemc::options options;
    must(options.add_server(address));
    must(options.set("protocol", protocol));
    must(options.set("connections", 1));
    must(options.set("no_reply", "true"));
    auto quiet = must(bmemc::client::create(options));
    must(quiet.call(op::set(key("q"), "quiet").expires(60s)));
    EXPECT(must(quiet.get(key("q")))->value() == "quiet"); // behind it on the same connection
    EXPECT(must(quiet.call(op::add(key("q"), "x").want_reply())).status() == status::not_stored);
    EXPECT(must(quiet.call(op::add(key("q"), "x"))).status() == status::ok); // nobody waits to hear that it was not
}

// A second reader of a stale item hears that the first has won the right to refill it.
static void stale_items() {
    if (protocol != "meta") return;
    must(client->set(key("stale"), "old", 60s));
    must(client->meta("md", key("stale"), "I T60"));
    auto first = must(client->meta("mg", key("stale"), "v"));
    EXPECT(first && first->stale() && first->won() && !first->won_by_other() && !first->partly());
    auto second = must(client->meta("mg", key("stale"), "v"));
    EXPECT(second && second->stale() && !second->won() && second->won_by_other());
}

static void statistics_and_dumps() {
    must(client->set(key("dumped"), "x", 60s));
    auto all = must(client->stats());
    auto pid = std::find_if(all.begin(), all.end(), [](bmemc::item_view item) { return item.key() == "pid"; });
    EXPECT(all.size() > 10 && pid != all.end() && !(*pid).value().empty());
    EXPECT(bmemc::stat_type_of("rusage_user") == bmemc::stat_type::duration && bmemc::stat_type_of("pid") == bmemc::stat_type::integer);
    using bmemc::stat_value_of;
    EXPECT(stat_value_of("curr_items", "12") == bmemc::stat_value(std::int64_t{12}));
    EXPECT(stat_value_of("bytes", "-1") == bmemc::stat_value(std::int64_t{-1}));
    EXPECT(stat_value_of("limit", "18446744073709551615") == bmemc::stat_value(UINT64_MAX));
    EXPECT(stat_value_of("curr_items", "many") == bmemc::stat_value(std::string("many")));
    EXPECT(stat_value_of("version", "1") == bmemc::stat_value(std::string("1")));
    EXPECT(stat_value_of("growth_factor", "1.25") == bmemc::stat_value(1.25));
    EXPECT(stat_value_of("growth_factor", "1.25x") == bmemc::stat_value(std::string("1.25x")));
    EXPECT(stat_value_of("rusage_system", "1:25") == bmemc::stat_value(1.25));
    EXPECT(stat_value_of("cas_enabled", "1") == bmemc::stat_value(true) && stat_value_of("detail_enabled", "0") == bmemc::stat_value(false));
    EXPECT(stat_value_of("auth_enabled_sasl", "no") == bmemc::stat_value(false));
    EXPECT(stat_value_of("umask", "700") == bmemc::stat_value(std::int64_t{0700}));
    auto typed = must(bmemc::typed_stats(*client));
    auto name = std::string(must(client->servers())[0].key());
    EXPECT(typed.size() == 1 && typed.count(name) == 1 && std::holds_alternative<std::int64_t>(typed[name]["pid"]));
    EXPECT(std::holds_alternative<std::string>(typed[name]["version"]));
    EXPECT(refused(bmemc::typed_stats(*client, "bogus"), status::unknown_command, "bogus"));
    EXPECT(refused(client->stats("bogus"), status::unknown_command, "bogus"));
    EXPECT(must(bmemc::stats_items("a 1\nb two words\n"))[1].value() == "two words");
    bool found = false;
    auto dump = [&] { return client->metadump([&](bmemc::item_view item) { return !(found = found || item.key() == key("dumped")); }); };
    auto dumped = dump();
    // memcached leaves out an item that somebody else holds at that moment, and dumps for one at a time.
    for (int tries = 0; protocol != "binary" && !found && tries < 100; tries++) {
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
        dumped = dump();
    }
    EXPECT(protocol == "binary" ? refused(dumped, status::unsupported, "binary") : dumped && found);
    if (protocol == "binary") EXPECT(refused(must(client->dump()).next(), status::unsupported, "binary"));
    else dumps_are_taken_piece_by_piece();
    auto meta = client->meta("mg", key("dumped"), "v t s");
    if (protocol == "meta") EXPECT(meta && *meta && (*meta)->value() == "x" && (*meta)->ttl() > 50 && (*meta)->size() == 1);
    if (protocol == "binary") EXPECT(refused(meta, status::unsupported, "binary"));
}

static void codecs_and_compressors() {
    bmemc::options options;
    must(options.add_server(address));
    must(options.set("protocol", protocol));
    must(options.set("codec", "pymemcache"));
    int packed = 0, unpacked = 0;
    // Runs of one byte, as their length and the byte.
    must(options.set_compressor(
        [&](std::string_view value, int, bmemc::output &to) { return packed++, to.write(std::to_string(value.size()) + value[0]); },
        [&](std::string_view value, int, bmemc::output &to) {
            return unpacked++, to.write(std::string(std::stoul(std::string(value)), value.back()));
        }));
    auto own = must(bmemc::client::create(options));
    const std::string run(5000, 'z');
    must(own.call(op::set(key("packed"), run).with_type(bmemc::value_type::text)));
    auto item = must(own.get(key("packed")));
    EXPECT(item && item->value() == run && item->type() == bmemc::value_type::text && packed == 1 && unpacked == 1);
    auto stored = must(own.encode(run, bmemc::value_type::text));
    EXPECT(stored.value() == "5000z" && must(own.decode(stored.value(), stored.flags())).value() == run);
    EXPECT(refused(own.encode("no number", bmemc::value_type::integer), status::argument, "decimal digits"));
}

static void results_without_a_value() {
    auto options = bmemc::options();
    EXPECT(!std::string_view(bmemc::options::at(0)->name).empty() && !bmemc::options::at(10000));
    EXPECT(std::string_view(bmemc::library_version()).size() >= 5);
    EXPECT(refused(options.set("timeout_ms", "soon"), status::argument, "soon"));
    EXPECT(refused(options.set("no_such", 1), status::argument, "no_such"));
    must(options.set("timeout_ms", 1000));
    must(options.set("no_delay", true));
    EXPECT(refused(options.add_server("host:99999"), status::argument, "host:99999"));
    EXPECT(refused(bmemc::client::create(options), status::argument, "server"));
    EXPECT(refused(bmemc::client::connect({"h"}, {{"protocol", "morse"}}), status::argument, "morse"));
#if defined(__cpp_exceptions)
    bool thrown = false;
    try {
        (void)bmemc::client::create(options).value();
    } catch (const std::exception &) {
        thrown = true;
    }
    EXPECT(thrown);
#endif
    EXPECT(client->get("").value_or(std::nullopt) == std::nullopt);
}

static void dead_and_closed() {
    auto dead = must(bmemc::client::connect({"127.0.0.1:1"}, {{"timeout_ms", "2000"}}));
    auto got = dead.get("k");
    EXPECT(refused(got, status::connection, "127.0.0.1:1") && got.error().not_sent() && got.error().os_error() != 0);
    EXPECT(refused(dead.set("k", "v"), status::connection, ""));
    EXPECT(must(dead.get_many({"a", "b"}))[1].failed());
    auto closed = connect_to(address);
    closed.close();
    closed.close();
    EXPECT(refused(closed.get("k"), status::closed, "closed"));
    must(client->disconnect_all());
    EXPECT(client->get("k").has_value());
}

// What is wrong in itself is told whatever the server does: this one is not there.
static void bad_arguments_at_a_dead_server() {
    auto dead = must(bmemc::client::connect({"127.0.0.1:1"}, {{"timeout_ms", "2000"}, {"protocol", protocol}}));
    std::vector<std::string> keys{"", std::string(251, 'k')};
    if (protocol != "binary") keys.insert(keys.end(), {"a b", "a\r\nflush_all", std::string(1, 0), "\x7f"}); // binary takes any
    for (const auto &bad : keys) {
        EXPECT(refused(dead.get(bad), status::argument, ""));
        EXPECT(refused(dead.gets(bad), status::argument, ""));
        EXPECT(refused(dead.get_and_touch(bad, 60s), status::argument, ""));
        EXPECT(refused(dead.get_into(bad, nullptr, 0), status::argument, ""));
        EXPECT(refused(dead.set(bad, "v"), status::argument, ""));
        EXPECT(refused(dead.add(bad, "v"), status::argument, ""));
        EXPECT(refused(dead.replace(bad, "v"), status::argument, ""));
        EXPECT(refused(dead.append(bad, "v"), status::argument, ""));
        EXPECT(refused(dead.prepend(bad, "v"), status::argument, ""));
        EXPECT(refused(dead.compare_and_swap(bad, "v", 1), status::argument, ""));
        EXPECT(refused(dead.remove(bad), status::argument, ""));
        EXPECT(refused(dead.touch(bad, 60s), status::argument, ""));
        EXPECT(refused(dead.increment(bad), status::argument, ""));
        EXPECT(refused(dead.decrement(bad), status::argument, ""));
        EXPECT(refused(dead.check_key(bad), status::argument, ""));
        EXPECT(must(dead.get_many({bad, "good"}))[0].status() == status::argument);
        EXPECT(must(dead.get_many({bad, "good"}))[1].status() == status::connection);
        EXPECT(must(dead.set_many({{bad, "v"}}))[0].status() == status::argument);
        EXPECT(must(dead.remove_many({bad}))[0].status() == status::argument);
        std::vector<std::tuple<std::string, std::string, std::uint64_t>> items{{bad, "v", 1}, {"good", "v", 0}, {"good", "v", 1}};
        auto many = must(dead.compare_and_swap_many(items));
        EXPECT(many[0].status() == status::argument && many[1].status() == status::argument && many[2].status() == status::connection);
    }
    EXPECT(refused(dead.call(op::get("good").at_server(1)), status::argument, "server 1"));
    EXPECT(refused(dead.call(op::set("good", "v").compress(10)), status::argument, "compress_level"));
    EXPECT(refused(dead.set("good", "v"), status::connection, "127.0.0.1:1"));
    if (protocol == "binary") return; // which has none of these
    EXPECT(refused(must(dead.dump("a b")).next(), status::argument, "a b"));
    EXPECT(refused(dead.stats("a\r\nb"), status::argument, ""));
    EXPECT(refused(dead.call(op::raw_command("a\r\nb")), status::argument, ""));
}

// Failures that the embedded server is told to make.
static void faults_and_credentials() {
    auto server = must(bmemc::server::start());
    auto own = connect_to(server.address());
    must(own.set("k", "v"));
    must(server.set("fault", "count=1 error=SERVER_ERROR out of luck"));
    EXPECT(refused(own.set("k", "w"), status::server_error, "out of luck"));
    must(own.get("k"));
    EXPECT(refused(server.set("faults", "close"), status::argument, "faults"));
    must(own.set_credentials("", ""));
    EXPECT(refused(own.set_credentials("user", ""), status::argument, ""));
    must(own.set_option("reconnect_delay_ms", "5000"));
    EXPECT(refused(own.set_option("timeout_ms", "1"), status::unsupported, "timeout_ms"));
}

// One owner of each handle, which is passed on and never copied.
template <class... Handles> constexpr bool move_alone() {
    return ((std::is_nothrow_move_constructible_v<Handles> && std::is_nothrow_move_assignable_v<Handles> &&
             !std::is_copy_constructible_v<Handles> && !std::is_copy_assignable_v<Handles>) && ...);
}
static_assert(move_alone<bmemc::client, bmemc::queue, bmemc::server, bmemc::ring, bmemc::options, bmemc::dump, bmemc::item, bmemc::results>());

static void handles_move() {
    auto one = connect_to(address);
    auto two = std::move(one);
    must(two.set(key("v"), "moved", 60s));
    auto item = must(two.get(key("v")));
    auto kept = std::move(item);
    two = connect_to(address);
    EXPECT(kept->value() == "moved"); // it does not need its client
    // What was moved from is a handle of nothing: every call says so, and it can be given another.
    EXPECT(refused(one.get(key("v")), status::argument, "client"));
    one.close();
    one = std::move(two);
    EXPECT(must(one.get(key("v")))->value() == "moved");
    auto answers = must(one.get_many({key("v"), key("none")}));
    auto taken = std::move(answers);
    EXPECT(answers.empty() && answers.begin() == answers.end() && !answers.first_error() && taken.size() == 2);
    taken = must(one.get_many({key("v")}));
    EXPECT(taken.size() == 1 && taken[0].value() == "moved");
}

static void iterators_go_over_any_result() {
    auto none = must(client->get_many(std::vector<std::string>()));
    int seen = 0;
    for (auto item : none) seen += item.ok() ? 1 : 100;
    EXPECT(seen == 0 && none.begin() == none.end() && none.end() - none.begin() == 0 && !none.first_error());
    must(client->set_many({{key("it1"), "1"}, {key("it3"), "3"}}));
    const std::vector<std::string> keys{key("it1"), "", key("it3"), key("none"), std::string(251, 'x')};
    auto answers = must(client->get_many(keys));
    std::string kinds;
    for (auto item : answers) kinds += item.failed() ? 'f' : item.ok() ? item.value()[0] : 'm';
    EXPECT(kinds == "1f3mf" && answers.first_error()->code() == status::argument);
    const auto begin = answers.begin(), end = answers.end();
    EXPECT(std::all_of(begin, end, [](bmemc::item_view item) { return item.failed() == (item.status() == status::argument); }));
    EXPECT(std::distance(begin, end) == 5 && begin < end && end > begin && begin <= begin && end >= end && begin != end);
    auto at = begin;
    EXPECT((*at++).value() == "1" && (*at--).failed() && (*at).value() == "1" && (*(++at + 1)).value() == "3" && (*--at).ok());
    EXPECT((at += 4) + 1 == end && (*(at -= 2)).value() == "3" && (*(1 + at)).status() == status::not_found && at[2].failed());
    std::string backwards;
    for (auto last = std::make_reverse_iterator(end); last != std::make_reverse_iterator(begin); ++last) backwards += (*last).failed() ? 'f' : '.';
    EXPECT(backwards == "f..f.");
    auto dead = must(bmemc::client::connect({"127.0.0.1:1"}, {{"timeout_ms", "2000"}, {"protocol", protocol}}));
    auto unanswered = must(dead.get_many({"a", "b"}));
    EXPECT(std::count_if(unanswered.begin(), unanswered.end(), [](bmemc::item_view item) { return item.failed() && item.value().empty(); }) == 2);
#if defined(__cpp_lib_ranges)
    static_assert(std::random_access_iterator<bmemc::results::iterator> && std::ranges::random_access_range<bmemc::results>);
    EXPECT(std::ranges::count_if(answers, &bmemc::item_view::failed) == 2);
#endif
}

// std::expected and std::span where the compiler has them, which gcc in C++23 has.
static void types_are_those_of_the_standard_where_it_has_them() {
#if defined(__cpp_lib_expected)
    static_assert(std::is_same_v<bmemc::result<int>, std::expected<int, bmemc::error>>);
    const std::expected<std::optional<bmemc::item>, bmemc::error> missed = client->get(key("none")), wrong = client->get("");
    EXPECT(missed && !*missed && !wrong && wrong.error().code() == status::argument);
#else
    static_assert(std::is_class_v<bmemc::result<int>>);
#endif
#if defined(__GNUC__) && !defined(__clang__) && __cplusplus > 202002L
    static_assert(__cpp_lib_expected && __cpp_lib_span, "this compiler has both");
#endif
#if defined(__cpp_lib_span)
    static_assert(std::is_same_v<decltype(std::declval<bmemc::item_view>().value_bytes()), std::span<const std::byte>>);
#endif
}

#if defined(__cpp_exceptions)
// An exception cannot pass through the library: std::terminate, as the header says, and nothing worse.
static void an_exception_of_a_callback_of_options_ends_the_process() {
    std::cout.flush();
    const pid_t child = fork();
    if (child == 0) {
        std::set_terminate([] { _exit(42); });
        bmemc::options options;
        must(options.add_server(address));
        must(options.on_connect([](int, bmemc::connect_stage, std::string_view) -> int { throw 1; }));
        (void)must(bmemc::client::create(options)).noop();
        _exit(0);
    }
    int ended = 0;
    EXPECT(child > 0 && waitpid(child, &ended, 0) == child && WIFEXITED(ended) && WEXITSTATUS(ended) == 42);
}
#endif

static void addresses_and_new_sockets() {
    using bmemc::address_kind;
    auto six = must(bmemc::parse_address("[::1]:5000"));
    EXPECT(six.kind == address_kind::ipv6 && six.host == "::1" && six.port == 5000);
    EXPECT(must(bmemc::parse_address("Example.COM")).host == "example.com");
    EXPECT(must(bmemc::parse_address("Example.COM")).kind == address_kind::name && must(bmemc::parse_address("h")).port == 11211);
    EXPECT(must(bmemc::parse_address("10.0.0.1")).kind == address_kind::ipv4);
    EXPECT(must(bmemc::parse_address("/a/socket")).kind == address_kind::unix_socket && must(bmemc::parse_address("/s")).port == 0);
    EXPECT(refused(bmemc::parse_address("h:99999"), status::argument, "99999"));
    std::vector<bmemc::connect_stage> stages;
    bool refuses = false;
    bmemc::options options;
    must(options.add_server(address));
    must(options.on_connect([&](int fd, bmemc::connect_stage stage, std::string_view) {
        stages.push_back(fd < 0 ? bmemc::connect_stage{} : stage);
        return refuses;
    }));
    auto own = must(bmemc::client::create(options));
    must(own.noop());
    EXPECT(stages.size() >= 2 && stages[0] == bmemc::connect_stage::opened && stages[1] == bmemc::connect_stage::connected);
    refuses = true;
    must(own.disconnect_all());
    EXPECT(refused(own.noop(), status::connection, "callback"));
}

static void events_and_threads() {
    int connected = 0, closed = 0;
    {
        bmemc::options options;
        must(options.add_server(address));
        must(options.set("protocol", protocol));
        must(options.set("connections", 1));
        must(options.on_event([&](bmemc::event_view event) {
            if (event.kind() == bmemc::event_kind::connected)
                connected += event.server() == 0 && event.status() == status::ok && event.os_error() == 0 && event.elapsed().count() > 0;
            closed += event.kind() == bmemc::event_kind::closed && !event.message().empty();
        }));
        auto own = must(bmemc::client::create(options));
        options = bmemc::options(); // the client keeps its callback
        must(own.noop());
    }
    EXPECT(connected >= 1 && closed == connected);
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; t++)
        threads.emplace_back([t] {
            for (int i = 0; i < 200; i++) {
                auto name = key("t" + std::to_string(t) + "." + std::to_string(i % 7));
                must(client->set(name, name));
                if (must(client->get(name))->value() != name) std::abort();
            }
        });
    for (auto &thread : threads) thread.join();
}

int main(int argc, char **argv) {
    return run_with(argc, argv, [] {
        RUN(set_get_remove);
        RUN(bytes_come_from_anything);
        RUN(get_into_a_buffer);
        RUN(another_value_on_a_miss_alone);
        RUN(conditional_writes);
        RUN(counters_and_ttl);
        RUN(many);
        RUN(every_operation);
        RUN(with_and_without_reply);
        RUN(stale_items);
        RUN(statistics_and_dumps);
        RUN(codecs_and_compressors);
        RUN(results_without_a_value);
        RUN(dead_and_closed);
        RUN(bad_arguments_at_a_dead_server);
        RUN(faults_and_credentials);
        RUN(handles_move);
        RUN(iterators_go_over_any_result);
        RUN(types_are_those_of_the_standard_where_it_has_them);
#if defined(__cpp_exceptions)
        RUN(an_exception_of_a_callback_of_options_ends_the_process);
#endif
        RUN(addresses_and_new_sockets);
        RUN(events_and_threads);
    });
}
