// A loopback TCP proxy that hands every byte on after a fixed delay, each way, without limiting the throughput: the
// network of the round-trip cases. One thread: ppoll to just before the next chunk is due, then a short spin, since a
// sleep alone is late by more than is allowed here. It reports how late it was.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PIPES_MAX = 2048, READ_MAX = 1 << 18, QUEUE_MAX = 1 << 26, LATE_MAX_US = 2000 };

typedef struct chunk {
    struct chunk *next;
    int64_t due;
    size_t length, sent;
    uint8_t bytes[];
} chunk;

// One direction of a connection.
typedef struct {
    int from, to;
    bool ended, blocked; // no more comes; `to` takes no more for now
    chunk *first, **last;
    size_t queued;
} pipe_end;

static pipe_end *pipes[PIPES_MAX]; // a pair each: 2n and 2n + 1
static int pipe_count;
static int64_t delay_ns = 250000, spin_ns = 60000;
static uint64_t late_us[LATE_MAX_US + 1], late_count;
static volatile sig_atomic_t stopping;

static void die(const char *what) {
    fprintf(stderr, "delay_proxy: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int64_t clock_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static struct sockaddr_in resolve(const char *server) {
    char host[256];
    const char *colon = strrchr(server, ':');
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found;
    if (colon) snprintf(host, sizeof host, "%.*s", (int)(colon - server), server);
    if (!colon || getaddrinfo(host, colon + 1, &hints, &found)) {
        fprintf(stderr, "delay_proxy: \"%s\" is not an IPv4 host:port\n", server);
        exit(1);
    }
    struct sockaddr_in address;
    memcpy(&address, found->ai_addr, sizeof address);
    freeaddrinfo(found);
    return address;
}

static int listen_at(const char *server) {
    struct sockaddr_in address = resolve(server);
    socklen_t length = sizeof address;
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&address, length) || listen(fd, 256)) die(server);
    if (getsockname(fd, (struct sockaddr *)&address, &length)) die("getsockname");
    printf("{\"program\": \"delay_proxy\", \"listen\": %d}\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

static pipe_end *new_pipe(int from, int to) {
    pipe_end *made = calloc(1, sizeof *made);
    if (!made) die("calloc");
    *made = (pipe_end){.from = from, .to = to};
    made->last = &made->first;
    return made;
}

static void accept_one(int listener, const struct sockaddr_in *upstream) {
    int on = 1, client = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    if (client < 0) return;
    int server = socket(AF_INET, SOCK_STREAM, 0);
    if (pipe_count + 2 > PIPES_MAX || connect(server, (const struct sockaddr *)upstream, sizeof *upstream)) {
        close(client);
        close(server);
        return;
    }
    fcntl(server, F_SETFL, O_NONBLOCK);
    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    pipes[pipe_count++] = new_pipe(client, server);
    pipes[pipe_count++] = new_pipe(server, client);
}

static void take_in(pipe_end *self) {
    static uint8_t buffer[READ_MAX];
    ssize_t got = recv(self->from, buffer, sizeof buffer, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    chunk *made = malloc(sizeof *made + (got > 0 ? (size_t)got : 0));
    if (!made) die("malloc");
    *made = (chunk){.due = clock_ns() + delay_ns, .length = got > 0 ? (size_t)got : 0};
    if (got > 0) memcpy(made->bytes, buffer, (size_t)got);
    else self->ended = true; // an empty chunk is the end, and it is delayed too
    *self->last = made;
    self->last = &made->next;
    self->queued += made->length;
}

static void drop_first(pipe_end *self) {
    chunk *gone = self->first;
    self->first = gone->next;
    if (!self->first) self->last = &self->first;
    self->queued -= gone->length;
    free(gone);
}

static void note_lateness(int64_t late) {
    int64_t us = late / 1000;
    late_us[us < 0 ? 0 : us > LATE_MAX_US ? LATE_MAX_US : us]++;
    late_count++;
}

static void hand_on(pipe_end *self, int64_t now) {
    while (self->first && self->first->due <= now && !self->blocked) {
        chunk *head = self->first;
        if (head->length == 0) {
            shutdown(self->to, SHUT_WR);
            drop_first(self);
            return;
        }
        if (head->sent == 0) note_lateness(now - head->due);
        ssize_t sent = send(self->to, head->bytes + head->sent, head->length - head->sent, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) self->blocked = true;
        else if (sent < 0) head->sent = head->length; // nobody is there: the bytes are lost, as on a network
        else head->sent += (size_t)sent;
        if (head->sent == head->length) drop_first(self);
        now = clock_ns();
    }
}

static void close_finished_pairs(void) {
    for (int i = 0; i < pipe_count; i += 2) {
        pipe_end *there = pipes[i], *back = pipes[i + 1];
        if (!there->ended || !back->ended || there->first || back->first) continue;
        close(there->from);
        close(there->to);
        free(there);
        free(back);
        pipe_count -= 2;
        pipes[i] = pipes[pipe_count];
        pipes[i + 1] = pipes[pipe_count + 1];
        i -= 2;
    }
}

// How long ppoll may sleep; -1: until something comes.
static int64_t sleep_ns(void) {
    int64_t next = INT64_MAX;
    for (int i = 0; i < pipe_count; i++)
        if (pipes[i]->first && !pipes[i]->blocked && pipes[i]->first->due < next) next = pipes[i]->first->due;
    if (next == INT64_MAX) return -1;
    int64_t left = next - clock_ns() - spin_ns;
    return left > 0 ? left : 0;
}

static void turn(int listener, const struct sockaddr_in *upstream) {
    static struct pollfd polled[2 * PIPES_MAX + 1];
    int count = pipe_count;
    polled[2 * count] = (struct pollfd){.fd = listener, .events = POLLIN};
    for (int i = 0; i < count; i++) {
        bool open = !pipes[i]->ended && pipes[i]->queued < QUEUE_MAX;
        polled[2 * i] = (struct pollfd){.fd = open ? pipes[i]->from : -1, .events = POLLIN};
        polled[2 * i + 1] = (struct pollfd){.fd = pipes[i]->blocked ? pipes[i]->to : -1, .events = POLLOUT};
    }
    int64_t left = sleep_ns();
    if (left == 0) sched_yield(); // the server may share this processor
    struct timespec timeout = {.tv_sec = left / 1000000000, .tv_nsec = left % 1000000000};
    if (ppoll(polled, (nfds_t)(2 * count + 1), left < 0 ? NULL : &timeout, NULL) < 0 && errno != EINTR) die("ppoll");
    for (int i = 0; i < count; i++) {
        if (polled[2 * i].revents) take_in(pipes[i]);
        if (polled[2 * i + 1].revents) pipes[i]->blocked = false;
    }
    for (int i = 0; i < count; i++) hand_on(pipes[i], clock_ns());
    if (polled[2 * count].revents) accept_one(listener, upstream);
    close_finished_pairs();
}

static int late_at(double share) {
    uint64_t below = 0;
    for (int us = 0; us < LATE_MAX_US; us++)
        if ((double)(below += late_us[us]) >= share * (double)late_count) return us;
    return LATE_MAX_US;
}

static void stop(int number) {
    (void)number;
    stopping = 1;
}

static void help(void) {
    printf("usage: delay_proxy --server HOST:PORT [--listen 127.0.0.1:0] [--delay-us 250] [--spin-us 60]\n\n"
           "Hands every byte on after --delay-us, each way. Prints {\"listen\": port} at once, and on SIGTERM how late it was:\n"
           "the median and the 99th percentile, in whole microseconds, of a chunk's sending against the time it was due.\n");
    exit(0);
}

int main(int count, char **arguments) {
    const char *server = NULL, *at = "127.0.0.1:0";
    for (int i = 1; i < count; i += 2) {
        const char *name = arguments[i], *value = arguments[i + 1];
        if (!strcmp(name, "--help")) help();
        if (value && !strcmp(name, "--server")) server = value;
        else if (value && !strcmp(name, "--listen")) at = value;
        else if (value && !strcmp(name, "--delay-us")) delay_ns = atoll(value) * 1000;
        else if (value && !strcmp(name, "--spin-us")) spin_ns = atoll(value) * 1000;
        else return fprintf(stderr, "delay_proxy: %s: unknown, or without a value; --help names the options\n", name), 1;
    }
    if (!server) return fprintf(stderr, "delay_proxy: --server is missing\n"), 1;
    prctl(PR_SET_TIMERSLACK, 1UL);
    struct sigaction action = {.sa_handler = stop};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    struct sockaddr_in upstream = resolve(server);
    int listener = listen_at(at);
    while (!stopping) turn(listener, &upstream);
    printf("{\"program\": \"delay_proxy\", \"chunks\": %llu, \"late_us_median\": %d, \"late_us_p99\": %d}\n",
           (unsigned long long)late_count, late_at(0.5), late_at(0.99));
    return 0;
}
