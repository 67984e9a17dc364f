// queue.cpp: the C++ queue over one protocol to one server.
//
//   queue SERVER PROTOCOL
#include "one_server.hpp"

#include <atomic>
#include <poll.h>
#include <set>
#include <stdexcept>
#include <thread>

using namespace std::chrono_literals;
using bmemc::item_view;
using bmemc::op;
using bmemc::status;

static void callbacks_get_their_own_answers() {
    auto queue = must(bmemc::queue::create());
    std::set<int> answered;
    for (int i = 0; i < 1000; i++) {
        auto name = key("q" + std::to_string(i)), value = "value " + std::to_string(i);
        // One call, so that the server gets them in this order.
        must(queue.submit(*client, {op::set(name, value).expires(60s), op::get(name)}, [&answered, i, value](std::size_t which, item_view item) {
            EXPECT(item.ok());
            if (which == 1) EXPECT(item.value() == value && answered.insert(i).second);
        }));
    }
    must(queue.drain());
    EXPECT(answered.size() == 1000);
    EXPECT(must(queue.fetch()) == 0 && must(queue.fetch(-1ms)) == 0);
}

static void submitting_many_at_once() {
    auto queue = must(bmemc::queue::create());
    std::vector<std::string> keys;
    std::vector<op> ops;
    for (int i = 0; i < 300; i++) keys.push_back(key("s" + std::to_string(i)));
    for (const auto &name : keys) ops.push_back(op::set(name, name).expires(60s));
    std::vector<int> answers(ops.size());
    EXPECT(must(queue.submit(*client, ops, [&](std::size_t i, item_view item) { answers[i] += item.ok(); })) == 300);
    must(queue.drain());
    EXPECT(answers == std::vector<int>(ops.size(), 1));
    auto none = must(queue.submit(*client, std::vector<op>(), [](std::size_t, item_view) {}));
    EXPECT(none == 0);
#if defined(__cpp_lib_span)
    int spanned = 0;
    EXPECT(must(queue.submit(*client, std::span<const op>(ops).first(3), [&](std::size_t, item_view item) { spanned += item.ok(); })) == 3);
    must(queue.drain());
    EXPECT(spanned == 3);
#endif
}

// As an event loop does it: one fetch for each wake-up of the descriptor.
static void by_poll() {
    auto queue = must(bmemc::queue::create());
    int under_way = 0, done = 0;
    std::function<void(item_view)> again = [&](item_view item) {
        EXPECT(!item.failed());
        under_way--;
        if (++done + under_way < 2000) {
            must(queue.submit(*client, op::get(key("p")), again));
            under_way++;
        }
    };
    for (; under_way < 50; under_way++) must(queue.submit(*client, op::get(key("p")), again));
    while (under_way > 0) {
        pollfd wait{queue.fd(), POLLIN, 0};
        const bool readable = poll(&wait, 1, 30000) == 1;
        EXPECT(readable);
        if (!readable) return;
        must(queue.fetch());
    }
    EXPECT(done == 2000);
}

static void cancelled_operations_answer_once() {
    auto queue = must(bmemc::queue::create());
    int calls = 0;
    auto token = must(queue.submit(*client, op::get(key("c")), [&](item_view item) {
        calls++;
        EXPECT(item.status() == status::cancelled || item.status() == status::not_found);
    }));
    (void)must(queue.cancel(token));
    must(queue.drain());
    EXPECT(calls == 1);
    EXPECT(!must(queue.cancel(token))); // it has ended
    auto other = must(queue.submit(*client, op::get(key("c")), [&](item_view item) {
        calls++;
        EXPECT(item.status() == status::not_found);
    }));
    EXPECT(other != token && !must(queue.cancel(token)));
    must(queue.drain());
    EXPECT(calls == 2);
}

static void a_callback_that_throws_loses_no_answer() {
#if defined(__cpp_exceptions)
    auto queue = must(bmemc::queue::create());
    int calls = 0, thrown = 0;
    for (int i = 0; i < 20; i++)
        must(queue.submit(*client, op::noop(), [&](item_view) {
            if (++calls % 5 == 0) throw std::runtime_error("of the callback");
        }));
    while (calls < 20) {
        try {
            must(queue.fetch(30s));
        } catch (const std::runtime_error &) {
            thrown++;
        }
    }
    EXPECT(thrown == 4 && must(queue.fetch()) == 0);
#endif
}

static void failures_come_as_answers() {
    auto queue = must(bmemc::queue::create());
    auto dead = connect_to("127.0.0.1:1");
    int refusals = 0;
    must(queue.submit(dead, op::get("k"), [&](item_view item) { refusals += item.status() == status::connection; }));
    must(queue.submit(*client, op::get(std::string(300, 'x')), [&](item_view item) { refusals += item.status() == status::argument; }));
    must(queue.drain());
    EXPECT(refusals == 2);
    auto busy = connect_to(address, "max_waiting", "1");
    int answered = 0;
    must(queue.submit(busy, op::noop(), [&](item_view) { answered++; }));
    EXPECT(refused(queue.submit(busy, op::noop(), [&](item_view) { answered += 100; }), status::busy, "max_waiting"));
    must(queue.drain());
    EXPECT(answered == 1);
    auto closed = connect_to(address);
    closed.close();
    EXPECT(refused(queue.submit(closed, op::noop(), [&](item_view) { answered += 100; }), status::closed, "closed"));
    EXPECT(refused(queue.submit(closed, {op::noop(), op::noop()}, [&](std::size_t, item_view) { answered += 100; }), status::closed, "closed"));
    must(queue.drain());
    EXPECT(answered == 1);
}

static void freed_in_any_order() {
    auto alive = std::make_shared<int>(0);
    int told = 0;
    {
        auto queue = must(bmemc::queue::create());
        bmemc::options options;
        must(options.add_server(address));
        must(options.on_event([&told](bmemc::event_view) { told++; }));
        auto own = std::make_optional(must(bmemc::client::create(options)));
        options = bmemc::options();
        for (int i = 0; i < 10; i++) must(queue.submit(*own, op::noop(), [alive](item_view) {}));
        own.reset(); // the operations keep what they need
        EXPECT(alive.use_count() > 1);
    }
    EXPECT(alive.use_count() == 1 && told >= 0);
}

static void many_threads_submit() {
    auto queue = must(bmemc::queue::create());
    std::atomic<int> done{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; t++)
        threads.emplace_back([&] {
            for (int i = 0; i < 500; i++) must(queue.submit(*client, op::get(key("t")), [&](item_view item) { done += !item.failed(); }));
        });
    while (done < 2000) must(queue.fetch(10ms));
    for (auto &thread : threads) thread.join();
    EXPECT(done == 2000);
}

int main(int argc, char **argv) {
    return run_with(argc, argv, [] {
        RUN(callbacks_get_their_own_answers);
        RUN(submitting_many_at_once);
        RUN(by_poll);
        RUN(cancelled_operations_answer_once);
        RUN(a_callback_that_throws_loses_no_answer);
        RUN(failures_come_as_answers);
        RUN(freed_in_any_order);
        RUN(many_threads_submit);
    });
}
