// A server that serves many clients from one thread: an epoll loop in which the descriptor of a bmemc::queue is one among
// those of the clients. Nothing in it ever waits for memcached.
//
//     epoll_server PORT [MEMCACHED]      PORT 0: of the system's choosing; without MEMCACHED an embedded one is started
//
// A client sends lines, and each line is answered by one line, in order:
//     set KEY VALUE   ->  stored             get KEY     ->  hit VALUE, or miss
//     count KEY       ->  how often it was counted       anything else or a failure  ->  error WHY
// SIGTERM and SIGINT end it; the status is 0 then, 1 where it could not start, 2 for wrong usage.
#include <bmemc.hpp>

#include <csignal>
#include <deque>
#include <iostream>
#include <memory>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include <unordered_map>

using bmemc::item_view;
using bmemc::op;

namespace {

constexpr std::size_t most_unanswered = 64;  // of one client: then it is not read until it has its answers
constexpr std::size_t longest_line = 1 << 16;

// One client. Callbacks hold it weakly: it may be gone when its answer comes.
struct session {
    int fd;
    std::string received, to_send;
    std::deque<std::optional<std::string>> answers; // in the order of the lines; none: memcached has not answered yet
    std::size_t first = 0;                          // the number of answers.front()

    explicit session(int descriptor) : fd(descriptor) {}
    ~session() { close(fd); }
    session(const session &) = delete;
    session &operator=(const session &) = delete;

    bool is_full() const { return answers.size() >= most_unanswered || to_send.size() > longest_line; }

    void answer(std::size_t number, std::string line) {
        answers[number - first] = std::move(line);
        for (; !answers.empty() && answers.front(); answers.pop_front(), first++) to_send += *answers.front() + "\n";
    }
};

class epoll_server {
  public:
    epoll_server(bmemc::client client, bmemc::queue queue, int listener)
        : client_(std::move(client)), queue_(std::move(queue)), listener_(listener), epoll_(epoll_create1(EPOLL_CLOEXEC)) {
        watch(EPOLL_CTL_ADD, listener_, EPOLLIN);
        watch(EPOLL_CTL_ADD, queue_.fd(), EPOLLIN);
        sigset_t ends;
        sigemptyset(&ends), sigaddset(&ends, SIGTERM), sigaddset(&ends, SIGINT);
        sigprocmask(SIG_BLOCK, &ends, nullptr);
        watch(EPOLL_CTL_ADD, signals_ = signalfd(-1, &ends, SFD_CLOEXEC), EPOLLIN);
    }

    void run() {
        epoll_event events[64];
        for (;;) {
            const int count = epoll_wait(epoll_, events, 64, -1);
            for (int i = 0; i < count; i++) {
                const int fd = events[i].data.fd;
                if (fd == signals_) return;
                if (fd == listener_) greet();
                else if (fd == queue_.fd()) fetch();
                else if (auto found = sessions_.find(fd); found != sessions_.end()) serve(found->second, events[i].events);
            }
        }
    }

  private:
    void watch(int what, int fd, std::uint32_t events) {
        epoll_event event{};
        event.events = events, event.data.fd = fd;
        epoll_ctl(epoll_, what, fd, &event);
    }

    void greet() {
        const int fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) return;
        sessions_[fd] = std::make_shared<session>(fd);
        watch(EPOLL_CTL_ADD, fd, EPOLLIN);
    }

    // One fetch for each wake-up; the callbacks have marked whose answers came.
    void fetch() {
        if (auto fetched = queue_.fetch(); !fetched) std::cerr << "fetch: " << fetched.error().message() << "\n";
        for (auto &session : std::exchange(answered_, {})) serve(session, 0);
    }

    // Answers what can be answered, then reads on; a client that has gone is forgotten.
    void serve(std::shared_ptr<session> session, std::uint32_t events) {
        bool alive = send_answers(*session);
        if (alive && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && !session->is_full()) alive = receive(session);
        alive = alive && take_lines(session) && send_answers(*session);
        if (!alive) {
            sessions_.erase(session->fd);
            return;
        }
        std::uint32_t wanted = 0;
        if (!session->is_full()) wanted |= EPOLLIN;
        if (!session->to_send.empty()) wanted |= EPOLLOUT;
        watch(EPOLL_CTL_MOD, session->fd, wanted);
    }

    static bool send_answers(session &session) {
        while (!session.to_send.empty()) {
            const ssize_t sent = send(session.fd, session.to_send.data(), session.to_send.size(), MSG_NOSIGNAL);
            if (sent < 0) return errno == EAGAIN;
            session.to_send.erase(0, static_cast<std::size_t>(sent));
        }
        return true;
    }

    static bool receive(const std::shared_ptr<session> &session) {
        char buffer[4096];
        const ssize_t got = recv(session->fd, buffer, sizeof buffer, 0);
        if (got > 0) session->received.append(buffer, static_cast<std::size_t>(got));
        return got > 0 || (got < 0 && errno == EAGAIN);
    }

    bool take_lines(const std::shared_ptr<session> &session) {
        std::size_t end;
        while (!session->is_full() && (end = session->received.find('\n')) != std::string::npos) {
            const std::string line = session->received.substr(0, end);
            session->received.erase(0, end + 1);
            session->answers.emplace_back();
            ask(session, session->first + session->answers.size() - 1, line);
        }
        return session->received.size() <= longest_line;
    }

    void ask(const std::shared_ptr<session> &session, std::size_t number, const std::string &line) {
        const auto space = line.find(' '), next = line.find(' ', space + 1);
        const std::string word = line.substr(0, space);
        const bool has_key = space != std::string::npos;
        const std::string key = has_key ? line.substr(space + 1, word == "set" ? next - space - 1 : std::string::npos) : "";
        const std::string value = has_key && next != std::string::npos ? line.substr(next + 1) : "";
        if (word == "get")
            submit(session, number, op::get(key), [](item_view item) { return item.ok() ? "hit " + std::string(item.value()) : "miss"; });
        else if (word == "set")
            submit(session, number, op::set(key, value), [](item_view) { return std::string("stored"); });
        else if (word == "count")
            submit(session, number, op::increment(key, 1).create(1), [](item_view item) { return std::to_string(item.number()); });
        else
            session->answer(number, "error: get KEY, set KEY VALUE or count KEY is what I know");
    }

    template <class Words>
    void submit(const std::shared_ptr<session> &whose, std::size_t number, const op &what, Words words) {
        auto submitted = queue_.submit(client_, what, [this, weak = std::weak_ptr<session>(whose), number, words](item_view item) {
            auto session = weak.lock();
            if (!session) return; // it hung up
            session->answer(number, item.failed() ? "error: " + std::string(item.detail()) : words(item));
            answered_.push_back(std::move(session));
        });
        if (!submitted) whose->answer(number, "error: " + submitted.error().message());
    }

    bmemc::client client_;
    bmemc::queue queue_;
    int listener_, epoll_, signals_ = -1;
    std::unordered_map<int, std::shared_ptr<session>> sessions_;
    std::vector<std::shared_ptr<session>> answered_;
};

int listen_on(const char *port, unsigned short &chosen) {
    sockaddr_in address{};
    socklen_t size = sizeof address;
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<unsigned short>(std::atoi(port)));
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, reinterpret_cast<sockaddr *>(&address), size) != 0 || listen(fd, 1024) != 0) return -1;
    getsockname(fd, reinterpret_cast<sockaddr *>(&address), &size);
    chosen = ntohs(address.sin_port);
    return fd;
}

int fail(const char *what, const std::string &why) {
    std::cerr << "epoll_server: " << what << ": " << why << "\n";
    return 1;
}

} // namespace

int main(int argc, char **argv) {
    if (argc < 2 || argc > 3) return std::cerr << "usage: epoll_server PORT [MEMCACHED]\n", 2;
    std::optional<bmemc::server> embedded;
    if (argc == 2) {
        auto started = bmemc::server::start();
        if (!started) return fail("server", started.error().message());
        embedded = std::move(*started);
    }
    const char *memcached = embedded ? embedded->address() : argv[2];
    // Over one connection, so that what a client sends without waiting is done in the order of its lines.
    auto client = bmemc::client::connect({memcached}, {{"connections", "1"}});
    if (!client) return fail(memcached, client.error().message());
    auto queue = bmemc::queue::create();
    if (!queue) return fail("queue", queue.error().message());
    unsigned short port = 0;
    const int listener = listen_on(argv[1], port);
    if (listener < 0) return fail(argv[1], std::strerror(errno));
    std::cout << "listening on 127.0.0.1:" << port << ", memcached at " << memcached << std::endl;
    epoll_server(std::move(*client), std::move(*queue), listener).run();
}
