// queue: many operations under way from one thread, each with a callback; for event loops and whoever must not block.
#ifndef BMEMC_QUEUE_HPP
#define BMEMC_QUEUE_HPP

#include "client.hpp"

#include <algorithm>
#include <mutex>

namespace bmemc {
inline namespace BMEMC_HPP_NAMESPACE {

/// Operations in, callbacks out. Poll fd() for readability, and call fetch() once for each wake-up: it receives, and calls
/// the callback of each operation that was answered, on the thread that fetches. Any number of threads may submit and
/// cancel; one at a time fetches. A callback may submit, cancel and fetch. If one throws, fetch() throws on, and the next
/// fetch() goes on behind it. Destroying the queue drops what is under way, with its callbacks.
class queue {
  public:
    /// Gets the answer, failures too; what it looks at is gone when it returns.
    using callback = std::function<void(item_view)>;

    /// Names an operation under way, for cancel().
    using token = std::uint64_t;

    static result<queue> create() {
        bmemc_error why;
        bmemc_queue *raw = nullptr;
        if (bmemc_queue_new(&raw, &why) < 0) return failure(error(why));
        return queue(raw);
    }

    /// Submits an operation without blocking; its key and value are copied. `then` is called exactly once if there is a
    /// token, never if it failed: status::busy says to fetch first.
    result<token> submit(const client &whose, const op &what, callback then) {
        const token tag = state_->add(std::move(then), whose.callbacks_);
        bmemc_op raw = what.raw();
        raw.tag = tag;
        bmemc_error why;
        std::size_t accepted = 0;
        bmemc_queue_submit(raw_.get(), whose.raw(), &raw, 1, &accepted, &why);
        if (accepted == 1) return tag;
        state_->take(tag);
        return failure(error(why));
    }

    /// Submits operations, which reach the server in their order; `then(i, answer)` is called once for each that was
    /// taken. Answers with how many were: the rest may be submitted again after a fetch. Fails where none could be.
    result<std::size_t> submit(const client &whose, const std::vector<op> &ops,
                               std::function<void(std::size_t, item_view)> then) {
        return submit(whose, ops.data(), ops.size(), std::move(then));
    }
#if defined(__cpp_lib_span)
    result<std::size_t> submit(const client &whose, std::span<const op> ops, std::function<void(std::size_t, item_view)> then) {
        return submit(whose, ops.data(), ops.size(), std::move(then));
    }
#endif
    result<std::size_t> submit(const client &whose, const op *ops, std::size_t count,
                               std::function<void(std::size_t, item_view)> then) {
        auto shared = std::make_shared<std::function<void(std::size_t, item_view)>>(std::move(then));
        std::vector<bmemc_op> raw;
        raw.reserve(count);
        for (std::size_t i = 0; i < count; i++) {
            raw.push_back(ops[i].raw());
            raw.back().tag = state_->add([shared, i](item_view answer) { (*shared)(i, answer); }, whose.callbacks_);
        }
        bmemc_error why;
        std::size_t accepted = 0;
        auto code = bmemc_queue_submit(raw_.get(), whose.raw(), raw.data(), raw.size(), &accepted, &why);
        for (std::size_t i = accepted; i < raw.size(); i++) state_->take(raw[i].tag);
        if (code < 0 && accepted == 0) return failure(error(why));
        return accepted;
    }

    /// Receives what has come and calls the callbacks; answers with how many it called. It waits for the first one for up
    /// to `timeout` (zero: not at all; negative: as long as something is under way).
    result<std::size_t> fetch(std::chrono::milliseconds timeout = {}) {
        if (state_->next == state_->fetched.size()) {
            if (auto received = receive(timeout); !received) return failure(received.error());
        }
        return state_->deliver();
    }

    /// Fetches until nothing is under way.
    result<void> drain() {
        for (;;) {
            auto called = fetch(std::chrono::milliseconds(-1));
            if (!called) return failure(called.error());
            if (*called == 0) return {};
        }
    }

    /// Ends an operation: its callback is still called, with status::cancelled, or with its answer if that was there
    /// already. False: it has been answered.
    result<bool> cancel(token which) {
        bmemc_error why;
        auto code = bmemc_queue_cancel(raw_.get(), which, &why);
        if (code < 0) return failure(error(why));
        return code == BMEMC_OK;
    }

    /// Readable when fetch() has something to do; the queue's, not to be read or closed.
    int fd() const noexcept { return bmemc_queue_fd(raw_.get()); }

    bmemc_queue *raw() const noexcept { return raw_.get(); }

  private:
    static constexpr std::size_t most_at_once = 256;

    struct free {
        void operator()(bmemc_queue *raw) const noexcept { bmemc_queue_free(raw); }
    };

    struct slot {
        callback then;
        std::uint32_t generation = 0;
    };

    /// What is known of the operations under way. A token is the place of its slot and how often that was used before, so
    /// that the token of an operation that has ended names no other.
    struct state {
        std::mutex lock;
        std::vector<slot> slots;
        std::vector<std::uint32_t> free_slots;
        std::vector<detail::keeper> keepers;
        // Of the thread that fetches alone: answers that were received, those before `next` delivered.
        std::vector<bmemc_answer> fetched;
        std::size_t next = 0;

        ~state() {
            for (; next < fetched.size(); next++) bmemc_value_free(fetched[next].owner);
        }

        token add(callback then, const detail::keeper &callbacks) {
            std::lock_guard<std::mutex> held(lock);
            // Operations under way keep their client, and so its callbacks.
            if (callbacks && std::find(keepers.begin(), keepers.end(), callbacks) == keepers.end()) keepers.push_back(callbacks);
            if (free_slots.empty()) {
                free_slots.reserve(slots.size() + 1);
                slots.emplace_back();
                free_slots.push_back(static_cast<std::uint32_t>(slots.size() - 1));
            }
            const std::uint32_t index = free_slots.back();
            free_slots.pop_back();
            slots[index].then = std::move(then);
            return static_cast<token>(slots[index].generation) << 32 | index;
        }

        callback take(token tag) {
            std::lock_guard<std::mutex> held(lock);
            const auto index = static_cast<std::uint32_t>(tag);
            callback then = std::move(slots[index].then);
            slots[index].then = nullptr;
            slots[index].generation++;
            free_slots.push_back(index);
            return then;
        }

        std::size_t deliver() {
            std::size_t called = 0;
            while (next < fetched.size()) {
                const bmemc_answer answer = fetched[next++];
                std::unique_ptr<bmemc_value, detail::free_value> owner(answer.owner);
                called++;
                if (callback then = take(answer.tag)) then(item_view(answer.item));
            }
            return called;
        }
    };

    explicit queue(bmemc_queue *raw) : state_(std::make_unique<state>()), raw_(raw) {}

    result<void> receive(std::chrono::milliseconds timeout) {
        constexpr std::chrono::milliseconds::rep most = INT32_MAX;
        const auto wait = static_cast<std::int32_t>(std::clamp<std::chrono::milliseconds::rep>(timeout.count(), -1, most));
        std::vector<bmemc_answer> answers(most_at_once);
        bmemc_error why;
        std::size_t count = 0;
        auto code = bmemc_queue_fetch(raw_.get(), answers.data(), answers.size(), wait, &count, &why);
        if (code < 0) return failure(error(why));
        answers.resize(count);
        state_->fetched = std::move(answers);
        state_->next = 0;
        return {};
    }

    // Declared first, so that callbacks of clients outlive the operations that hold them.
    std::unique_ptr<state> state_;
    std::unique_ptr<bmemc_queue, free> raw_;
};

} // namespace BMEMC_HPP_NAMESPACE
} // namespace bmemc

#endif // BMEMC_QUEUE_HPP
