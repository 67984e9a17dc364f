// What every benchmark program shares: the command line, the keys and values, the measured loop, and the one line of
// JSON that comes out. It knows nothing of any client; a program brings a table of cases and calls bench_main().
#ifndef BENCH_COMMON_H
#define BENCH_COMMON_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <malloc.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { KEY_LENGTH = 20, OPTIONS_MAX = 32, STEPS_PER_CLOCK = 16 };

// What the command line asked for.
typedef struct {
    const char *name;             // of the case
    const char *server;           // host:port, or /path of a socket
    const char *wire;             // text, meta, binary; NULL: the program's default
    double seconds;               // how long, where ops is 0
    uint64_t ops;                 // how many operations in all, over all threads
    uint64_t warmup;              // operations of each thread before the measurement
    long threads, in_flight, batch, keys;
    size_t value;
    const char *options[OPTIONS_MAX]; // name=value, for the client
    int option_count;
} bench_plan;

// One case. Either `alone` does it all and calls bench_report(), or every thread runs open, step …, close.
typedef struct {
    const char *name, *about;
    void (*prepare)(void);         // once, before the threads: what they share. May be NULL
    void *(*open)(long thread);    // what one thread owns
    uint64_t (*step)(void *state); // one round trip, or what came; returns the operations that are done
    void (*close)(void *state);    // may be NULL
    void (*finish)(void);          // once, after the threads. May be NULL
    void (*alone)(void);
} bench_case;

typedef struct {
    double clock, user, sys;
    size_t heap, resident;
} bench_usage;

static bench_plan plan = {
    .server = "127.0.0.1:11211", .seconds = 1, .warmup = 200, .threads = 1, .in_flight = 64, .batch = 100, .value = 100};
static const char *bench_program;
static char (*bench_keys)[KEY_LENGTH + 1];

__attribute__((noreturn, format(printf, 1, 2))) static inline void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "%s: ", bench_program);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

static inline void *must_allocate(size_t size) {
    void *memory = calloc(1, size ? size : 1);
    if (!memory) fail("out of memory for %zu bytes", size);
    return memory;
}

static inline const char *key_at(uint64_t index) { return bench_keys[index % (uint64_t)plan.keys]; }

// A value begins with its key, so that a value under the wrong key is noticed.
static inline void value_make(uint8_t *value, const char *key) {
    for (size_t i = 0; i < plan.value; i++) value[i] = (uint8_t)('a' + i % 23);
    memcpy(value, key, plan.value < KEY_LENGTH ? plan.value : KEY_LENGTH);
}

static inline void value_check(const void *value, size_t length, const char *key) {
    if (length != plan.value) fail("key %s: a value of %zu bytes, expected %zu", key, length, plan.value);
    if (memcmp(value, key, plan.value < KEY_LENGTH ? plan.value : KEY_LENGTH) != 0)
        fail("key %s: the value is another key's", key);
}

// Every byte; for the last value only, outside of the measurement.
static inline void value_check_whole(const void *value, size_t length, const char *key) {
    uint8_t *expected = must_allocate(plan.value);
    value_make(expected, key);
    if (length != plan.value || memcmp(value, expected, length) != 0) fail("key %s: the value is not what was stored", key);
    free(expected);
}

static inline double bench_clock(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static inline size_t heap_in_use(void) {
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

static inline size_t resident_bytes(void) {
    FILE *file = fopen("/proc/self/statm", "r");
    size_t size = 0, resident = 0;
    if (file && fscanf(file, "%zu %zu", &size, &resident) != 2) resident = 0;
    if (file) fclose(file);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

static inline long open_sockets(void) {
    DIR *directory = opendir("/proc/self/fd");
    long count = 0;
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        char target[32];
        ssize_t length = readlinkat(dirfd(directory), entry->d_name, target, sizeof target);
        count += length > 7 && memcmp(target, "socket:", 7) == 0;
    }
    if (directory) closedir(directory);
    return count;
}

static inline bench_usage bench_usage_now(void) {
    bench_usage now = {.heap = heap_in_use(), .resident = resident_bytes()};
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    now.user = (double)usage.ru_utime.tv_sec + (double)usage.ru_utime.tv_usec * 1e-6;
    now.sys = (double)usage.ru_stime.tv_sec + (double)usage.ru_stime.tv_usec * 1e-6;
    now.clock = bench_clock();
    return now;
}

// The one line that a program prints.
static inline void bench_report(uint64_t ops, const bench_usage *from, const bench_usage *to, long sockets) {
    double seconds = to->clock - from->clock, count = ops ? (double)ops : 1;
    printf("{\"program\": \"%s\", \"case\": \"%s\", \"threads\": %ld, \"value\": %zu, \"ops\": %llu, \"seconds\": %.6f, "
           "\"ops_per_s\": %.1f, \"user_us_per_op\": %.4f, \"sys_us_per_op\": %.4f, \"heap_before\": %zu, "
           "\"heap_after\": %zu, \"resident_before\": %zu, \"resident_after\": %zu, \"sockets\": %ld}\n",
           bench_program, plan.name, plan.threads, plan.value, (unsigned long long)ops, seconds, count / seconds,
           (to->user - from->user) * 1e6 / count, (to->sys - from->sys) * 1e6 / count, from->heap, to->heap,
           from->resident, to->resident, sockets);
}

typedef struct {
    const bench_case *chosen;
    long index;
    uint64_t limit, done; // limit 0: by the clock
    pthread_barrier_t *warm, *go;
} bench_thread;

static inline uint64_t bench_loop(const bench_case *chosen, void *state, uint64_t limit) {
    uint64_t done = 0;
    if (limit) {
        while (done < limit) done += chosen->step(state);
        return done;
    }
    double end = bench_clock() + plan.seconds;
    do
        for (int i = 0; i < STEPS_PER_CLOCK; i++) done += chosen->step(state);
    while (bench_clock() < end);
    return done;
}

static void *bench_thread_run(void *argument) {
    bench_thread *self = argument;
    void *state = self->chosen->open(self->index);
    for (uint64_t done = 0; done < plan.warmup;) done += self->chosen->step(state);
    pthread_barrier_wait(self->warm);
    pthread_barrier_wait(self->go);
    self->done = bench_loop(self->chosen, state, self->limit);
    pthread_barrier_wait(self->warm); // nobody closes before the end is measured
    pthread_barrier_wait(self->go);
    if (self->chosen->close) self->chosen->close(state);
    return NULL;
}

static inline void bench_run_threads(const bench_case *chosen) {
    bench_thread *threads = must_allocate((size_t)plan.threads * sizeof *threads);
    pthread_t *ids = must_allocate((size_t)plan.threads * sizeof *ids);
    pthread_barrier_t warm, go;
    pthread_barrier_init(&warm, NULL, (unsigned)plan.threads + 1);
    pthread_barrier_init(&go, NULL, (unsigned)plan.threads + 1);
    for (long i = 0; i < plan.threads; i++) {
        uint64_t share = plan.ops / (uint64_t)plan.threads + (plan.ops % (uint64_t)plan.threads > (uint64_t)i);
        threads[i] = (bench_thread){.chosen = chosen, .index = i, .limit = share, .warm = &warm, .go = &go};
        if (pthread_create(&ids[i], NULL, bench_thread_run, &threads[i])) fail("no thread %ld", i);
    }
    pthread_barrier_wait(&warm);
    bench_usage from = bench_usage_now();
    pthread_barrier_wait(&go);
    pthread_barrier_wait(&warm);
    bench_usage to = bench_usage_now();
    long sockets = open_sockets();
    pthread_barrier_wait(&go);
    uint64_t done = 0;
    for (long i = 0; i < plan.threads; i++) {
        pthread_join(ids[i], NULL);
        done += threads[i].done;
    }
    bench_report(done, &from, &to, sockets);
    free(threads);
    free(ids);
}

// One thread is the main one, so that a process without threads is measured as such.
static inline void bench_run_alone(const bench_case *chosen) {
    void *state = chosen->open(0);
    for (uint64_t done = 0; done < plan.warmup;) done += chosen->step(state);
    bench_usage from = bench_usage_now();
    uint64_t done = bench_loop(chosen, state, plan.ops);
    bench_usage to = bench_usage_now();
    long sockets = open_sockets();
    if (chosen->close) chosen->close(state);
    bench_report(done, &from, &to, sockets);
}

static void bench_help(const bench_case *cases, const char *options_help) {
    printf("usage: %s --case NAME [options]\n\ncases\n", bench_program);
    for (const bench_case *each = cases; each->name; each++) printf("  %-12s %s\n", each->name, each->about);
    printf("\noptions\n"
           "  --server S      host:port, or /path of a socket (%s)\n"
           "  --seconds S     how long to measure (1)\n"
           "  --ops N         how many operations to measure, instead of a time\n"
           "  --warmup N      operations of each thread before that (200)\n"
           "  --threads N     threads (1)\n"
           "  --in-flight N   operations under way at once, where the case has a queue (64)\n"
           "  --batch N       keys in one call, where the case has many (100)\n"
           "  --value N       bytes of a value (100)\n"
           "  --keys N        different keys (as many as fit into 4 MB, from 4 to 1000)\n"
           "  --wire W        text, meta or binary\n"
           "  --option N=V    an option of the client; may be repeated\n%s"
           "\nPrints one line of JSON. Keys must have been stored by `raw --case fill` with the same --value and --keys.\n",
           plan.server, options_help);
    exit(0);
}

static inline double bench_number(const char *name, const char *text, double least) {
    char *end = NULL;
    double number = text ? strtod(text, &end) : 0;
    if (!text || end == text || *end || number < least) fail("%s: \"%s\" is not a number from %g up", name, text ? text : "", least);
    return number;
}

static inline void bench_argument(const char *name, const char *value) {
    struct { const char *name; long *place; } counts[] = {{"--threads", &plan.threads}, {"--in-flight", &plan.in_flight},
                                                          {"--batch", &plan.batch}, {"--keys", &plan.keys}};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        if (!strcmp(name, counts[i].name)) { *counts[i].place = (long)bench_number(name, value, 1); return; }
    if (!value) fail("%s needs a value", name);
    if (!strcmp(name, "--case")) plan.name = value;
    else if (!strcmp(name, "--server")) plan.server = value;
    else if (!strcmp(name, "--wire")) plan.wire = value;
    else if (!strcmp(name, "--seconds")) plan.seconds = bench_number(name, value, 0.001);
    else if (!strcmp(name, "--ops")) plan.ops = (uint64_t)bench_number(name, value, 1);
    else if (!strcmp(name, "--warmup")) plan.warmup = (uint64_t)bench_number(name, value, 0);
    else if (!strcmp(name, "--value")) plan.value = (size_t)bench_number(name, value, 0);
    else if (strcmp(name, "--option")) fail("unknown option %s; --help names them", name);
    else if (plan.option_count == OPTIONS_MAX) fail("more than %d --option", OPTIONS_MAX);
    else if (!strchr(value, '=')) fail("--option \"%s\" is not name=value", value);
    else plan.options[plan.option_count++] = value;
}

static inline void bench_make_keys(void) {
    if (!plan.keys) {
        size_t fit = 4000000 / (plan.value ? plan.value : 1);
        plan.keys = fit < 4 ? 4 : fit > 1000 ? 1000 : (long)fit;
    }
    bench_keys = must_allocate((size_t)plan.keys * sizeof *bench_keys);
    for (long i = 0; i < plan.keys; i++)
        snprintf(bench_keys[i], sizeof *bench_keys, "bench%07zu:%07ld", plan.value % 10000000, i % 10000000);
}

// `options_help` describes what --option takes here, one line each; may be "".
static inline int bench_main(int count, char **arguments, const bench_case *cases, const char *options_help) {
    const char *slash = strrchr(arguments[0], '/');
    bench_program = slash ? slash + 1 : arguments[0];
    for (int i = 1; i < count; i += 2) {
        if (!strcmp(arguments[i], "--help")) bench_help(cases, options_help);
        bench_argument(arguments[i], arguments[i + 1]);
    }
    if (!plan.name) fail("--case is missing; --help names the cases");
    if (plan.wire && strcmp(plan.wire, "text") && strcmp(plan.wire, "meta") && strcmp(plan.wire, "binary"))
        fail("--wire \"%s\" is not text, meta or binary", plan.wire);
    const bench_case *chosen = cases;
    while (chosen->name && strcmp(chosen->name, plan.name)) chosen++;
    if (!chosen->name) fail("no case \"%s\"; --help names them", plan.name);
    bench_make_keys();
    bench_usage_now(); // what measuring allocates itself is there before it is measured
    if (chosen->prepare) chosen->prepare();
    if (chosen->alone) chosen->alone();
    else if (plan.threads == 1) bench_run_alone(chosen);
    else bench_run_threads(chosen);
    if (chosen->finish) chosen->finish();
    free(bench_keys);
    return 0;
}

#endif
