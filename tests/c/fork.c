// fork.c: children of a process whose threads are busy. Each side goes on with the same client, on connections of its
// own, and disturbs no other.
//
//   fork SERVER PROTOCOL              SERVER: its address, or "embedded"

#define _GNU_SOURCE
#include "check.h"
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#if __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
#else
#define RUNNING_ON_VALGRIND 0
#define VALGRIND_COUNT_ERRORS 0
#endif

// Few threads may share one connection for as long as they like; so many are spread over both.
enum { THREADS = 40, CHILD_THREADS = 4, CHILDREN = 6 };

static bmemc_client *client;
// The server is in this process, and its sockets are among those that are counted here.
static int is_embedded;
static atomic_int stop;
static atomic_long operations, wrong;

// Writes and reads keys of this process and thread, whose values name both: another's value is a wrong one.
static int once(int thread, int round) {
    char name[64], value[64];
    uint8_t room[64];
    size_t len = 0;
    snprintf(name, sizeof name, "bmemc-fork:%d:%d:%d", (int)getpid(), thread, round % 4);
    snprintf(value, sizeof value, "process %d, thread %d, round %d", (int)getpid(), thread, round);
    bmemc_error why;
    if (bmemc_set(client, text(name), text(value), 0, 60, &why) != BMEMC_OK) return printf("  set: %s\n", why.message), 1;
    if (bmemc_get_into(client, text(name), room, sizeof room, &len, NULL, &why) != BMEMC_OK)
        return printf("  get: %s\n", why.message), 1;
    operations += 2;
    if (same(bytes(room, len), text(value))) return 0;
    printf("  %s is \"%.*s\", not \"%s\"\n", name, (int)len, (char *)room, value);
    return 1;
}

struct job {
    int thread, rounds; // so many rounds, or until `stop` where it is 0
};

static void *work(void *argument) {
    struct job job = *(struct job *)argument;
    for (int round = 0; job.rounds ? round < job.rounds : !stop; round++) wrong += once(job.thread, round);
    return NULL;
}

static void start(pthread_t *threads, struct job *jobs, int count, int rounds) {
    for (int i = 0; i < count; i++) {
        jobs[i] = (struct job){i, rounds};
        EXPECT(pthread_create(&threads[i], NULL, work, &jobs[i]) == 0);
    }
}

static void join(pthread_t *threads, int count) {
    for (int i = 0; i < count; i++) pthread_join(threads[i], NULL);
}

static void pause_ms(long ms) {
    struct timespec time = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&time, NULL);
}

// The sockets of this process, as a sorted list of their inodes.
static int compare(const void *a, const void *b) {
    ino_t left = *(const ino_t *)a, right = *(const ino_t *)b;
    return (left > right) - (left < right);
}

static size_t sockets(ino_t *inodes, size_t most) {
    size_t count = 0;
    for (int fd = 3; fd < 256 && count < most; fd++) {
        struct stat data;
        if (fstat(fd, &data) == 0 && S_ISSOCK(data.st_mode)) inodes[count++] = data.st_ino;
    }
    qsort(inodes, count, sizeof *inodes, compare);
    return count;
}

// A connection of this test's own to the server.
static int dial(void) {
    struct sockaddr_storage to = {0};
    socklen_t len;
    const char *colon = strrchr(address, ':');
    if (*address == '/') {
        struct sockaddr_un *path = (struct sockaddr_un *)&to;
        path->sun_family = AF_UNIX;
        strncpy(path->sun_path, address, sizeof path->sun_path - 1);
        len = sizeof *path;
    } else if (*address == '[') {
        struct sockaddr_in6 *ip = (struct sockaddr_in6 *)&to;
        char host[64] = "";
        memcpy(host, address + 1, (size_t)(colon - address - 2));
        ip->sin6_family = AF_INET6;
        ip->sin6_port = htons((uint16_t)atoi(colon + 1));
        inet_pton(AF_INET6, host, &ip->sin6_addr);
        len = sizeof *ip;
    } else {
        struct sockaddr_in *ip = (struct sockaddr_in *)&to;
        char host[64] = "";
        memcpy(host, address, (size_t)(colon - address));
        ip->sin_family = AF_INET;
        ip->sin_port = htons((uint16_t)atoi(colon + 1));
        inet_pton(AF_INET, host, &ip->sin_addr);
        len = sizeof *ip;
    }
    int fd = socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&to, len) != 0) return close(fd), -1;
    return fd;
}

// How many connections the server has, by its own count; -1 where it does not say.
static int connections(void) {
    char room[8192];
    size_t used = 0;
    int fd = dial();
    if (fd < 0 || send(fd, "stats\r\n", 7, MSG_NOSIGNAL) != 7) return -1;
    while (used < sizeof room - 1) {
        ssize_t came = recv(fd, room + used, sizeof room - 1 - used, 0);
        if (came <= 0) break;
        used += (size_t)came;
        room[used] = 0;
        if (strstr(room, "END\r\n")) break;
    }
    close(fd);
    room[used] = 0;
    const char *line = strstr(room, "STAT curr_connections ");
    return line ? atoi(line + strlen("STAT curr_connections ")) : -1;
}

// As many as there are once those of programs that have ended are gone.
static int settled(void) {
    int seen = connections();
    for (int try = 0, same = 0; try < 500 && same < 5; try++) {
        pause_ms(20);
        int now = connections();
        same = now == seen ? same + 1 : 0;
        seen = now;
    }
    return seen;
}

// Waits until the server has so many connections.
static int comes_to(int wanted) {
    for (int try = 0; try < 200; try++) {
        if (connections() == wanted) return 1;
        pause_ms(20);
    }
    return 0;
}

// Ends a child: valgrind would count what the parent's other threads held as lost, and is left without that.
static void end(int status) {
    if (!RUNNING_ON_VALGRIND) exit(status);
    if (VALGRIND_COUNT_ERRORS) status = 99;
    fflush(stdout);
    execlp(status ? "false" : "true", status ? "false" : "true", (char *)NULL);
    _exit(98);
}

static void child_works(void) {
    pthread_t threads[CHILD_THREADS];
    struct job jobs[CHILD_THREADS];
    wrong = 0;
    operations = 0;
    wrong += once(99, 0);
    start(threads, jobs, CHILD_THREADS, RUNNING_ON_VALGRIND ? 30 : 500);
    join(threads, CHILD_THREADS);
    EXPECT(wrong == 0);
    EXPECT(operations > 200);
}

static int ends_well(pid_t child) {
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {}
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void children_of_a_busy_parent(void) {
    pthread_t threads[THREADS];
    struct job jobs[THREADS];
    pid_t children[CHILDREN];
    ino_t before[256], after[256];
    bmemc_counters counters;
    stop = 0;
    wrong = 0;
    start(threads, jobs, THREADS, 0);
    // Until every connection is open.
    for (int try = 0; try < 500 && sockets(before, 256) < 2; try++) pause_ms(10);
    pause_ms(50);
    size_t had = sockets(before, 256);
    int known = settled();
    EXPECT(had >= 2 && known > 0);
    for (int i = 0; i < CHILDREN; i++) {
        fflush(stdout);
        children[i] = fork();
        if (children[i] == 0) {
            complaints = 0;
            child_works();
            bmemc_client_free(client);
            end(complaints != 0);
        }
        pause_ms(7);
    }
    for (int i = 0; i < CHILDREN; i++) EXPECT(ends_well(children[i]));
    size_t has = sockets(after, 256);
    EXPECT(is_embedded || (has == had && memcmp(before, after, had * sizeof *before) == 0));
    STATUS(BMEMC_OK, bmemc_client_counters(client, -1, &counters, e));
    EXPECT(counters.connects == 2 && counters.disconnects == 0 && counters.failures == 0);
    EXPECT(comes_to(known));
    stop = 1;
    join(threads, THREADS);
    EXPECT(wrong == 0);
    EXPECT(operations > 200);
}

// The child's connections are other ones: its copies of the parent's are closed when it first uses the client.
static void a_child_has_sockets_of_its_own(void) {
    ino_t before[256], mine[256];
    wrong = once(0, 0);
    EXPECT(wrong == 0);
    size_t had = sockets(before, 256);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        complaints = 0;
        EXPECT(once(0, 0) == 0);
        size_t has = sockets(mine, 256);
        EXPECT(has == 1 || is_embedded);
        for (size_t i = 0; i < has && !is_embedded; i++) EXPECT(bsearch(&mine[i], before, had, sizeof *before, compare) == NULL);
        end(complaints != 0);
    }
    EXPECT(ends_well(child));
    EXPECT(once(0, 1) == 0);
}

static void grandchildren_too(void) {
    EXPECT(once(0, 0) == 0);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        complaints = 0;
        EXPECT(once(0, 0) == 0);
        fflush(stdout);
        pid_t grandchild = fork();
        if (grandchild == 0) {
            complaints = 0;
            EXPECT(once(0, 0) == 0);
            bmemc_client_free(client);
            end(complaints != 0);
        }
        EXPECT(ends_well(grandchild));
        EXPECT(once(0, 1) == 0);
        bmemc_client_close(client);
        EXPECT(bmemc_set(client, text("k"), text("v"), 0, 0, NULL) == BMEMC_E_CLOSED);
        end(complaints != 0);
    }
    EXPECT(ends_well(child));
    EXPECT(once(0, 1) == 0);
}

// A child that frees the client at once, or just ends, says nothing to the server.
static void a_child_that_does_nothing(void) {
    EXPECT(once(0, 0) == 0);
    ino_t before[256], after[256];
    size_t had = sockets(before, 256);
    for (int how = 0; how < 3; how++) {
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            ino_t left[256];
            if (how > 0) bmemc_client_free(client);
            if (how == 1 && sockets(left, 256) != 0 && !is_embedded) end(1);
            end(0);
        }
        EXPECT(ends_well(child));
        EXPECT(once(0, how) == 0);
    }
    size_t has = sockets(after, 256);
    EXPECT(is_embedded || (has == had && memcmp(before, after, had * sizeof *before) == 0));
}

static bmemc_queue *queue;

static bmemc_op get_op(const char *name) {
    bmemc_op op;
    memset(&op, 0, sizeof op);
    op.opcode = BMEMC_OP_GET;
    op.key = text(name);
    op.tag = 7;
    return op;
}

static void *submit_and_fetch(void *argument) {
    (void)argument;
    bmemc_op op = get_op("bmemc-fork:queue");
    bmemc_answer answers[8];
    while (!stop) {
        size_t count = 0;
        wrong += bmemc_queue_submit(queue, client, &op, 1, &count, NULL) != BMEMC_OK;
        wrong += bmemc_queue_fetch(queue, answers, 8, 1000, &count, NULL) != BMEMC_OK;
        for (size_t i = 0; i < count; i++) {
            wrong += answers[i].item.status < 0;
            bmemc_value_free(answers[i].owner);
        }
    }
    return NULL;
}

static void a_queue_stays_with_its_process(void) {
    pthread_t thread;
    stop = 0;
    wrong = 0;
    STATUS(BMEMC_OK, bmemc_queue_new(&queue, e));
    EXPECT(pthread_create(&thread, NULL, submit_and_fetch, NULL) == 0);
    for (int i = 0; i < (RUNNING_ON_VALGRIND ? 3 : 20); i++) {
        pause_ms(3);
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            complaints = 0;
            bmemc_op op = get_op("bmemc-fork:queue");
            bmemc_answer answer;
            size_t count = 7;
            REFUSED(BMEMC_E_FORKED, "fork", bmemc_queue_submit(queue, client, &op, 1, &count, e));
            EXPECT(count == 0);
            REFUSED(BMEMC_E_FORKED, "fork", bmemc_queue_fetch(queue, &answer, 1, 0, &count, e));
            REFUSED(BMEMC_E_FORKED, "fork", bmemc_queue_cancel(queue, 7, e));
            EXPECT(bmemc_queue_fd(queue) == -1);
            bmemc_queue_free(queue);
            EXPECT(once(0, 0) == 0);
            // A queue of its own works.
            STATUS(BMEMC_OK, bmemc_queue_new(&queue, e));
            STATUS(BMEMC_OK, bmemc_queue_submit(queue, client, &op, 1, &count, e));
            STATUS(BMEMC_OK, bmemc_queue_fetch(queue, &answer, 1, 2000, &count, e));
            EXPECT(count == 1 && answer.tag == 7);
            if (count == 1) bmemc_value_free(answer.owner);
            bmemc_queue_free(queue);
            end(complaints != 0);
        }
        EXPECT(ends_well(child));
    }
    stop = 1;
    pthread_join(thread, NULL);
    EXPECT(wrong == 0);
    bmemc_queue_free(queue);
}

static void an_embedded_server_stays_with_its_process(void) {
    bmemc_server *server = NULL;
    STATUS(BMEMC_OK, bmemc_server_start(text(""), &server, e));
    bmemc_client *own = client_of(bmemc_server_address(server), NULL, NULL);
    STATUS(BMEMC_OK, bmemc_set(own, text("k"), text("v"), 0, 0, e));
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        complaints = 0;
        EXPECT(bmemc_server_address(server) != NULL);
        // It serves the child as any other.
        STATUS(BMEMC_OK, bmemc_set(own, text("k"), text("from the child"), 0, 0, e));
        bmemc_server_free(server);
        STATUS(BMEMC_OK, bmemc_set(own, text("k"), text("from the child"), 0, 0, e));
        end(complaints != 0);
    }
    EXPECT(ends_well(child));
    uint8_t room[64];
    size_t len = 0;
    STATUS(BMEMC_OK, bmemc_get_into(own, text("k"), room, sizeof room, &len, NULL, e));
    EXPECT(same(bytes(room, len), text("from the child")));
    bmemc_client_free(own);
    bmemc_server_free(server);
}

int main(int argc, char **argv) {
    if (argc != 3) return fprintf(stderr, "usage: fork SERVER PROTOCOL\n"), 2;
    bmemc_server *server = server_of(argv[1]);
    protocol = argv[2];
    is_embedded = server != NULL;
    // A child that hangs is a failure, not a wait without end.
    alarm(RUNNING_ON_VALGRIND ? 300 : 60);
    client = client_of(address, "timeout_ms", "10000");
    RUN(children_of_a_busy_parent);
    bmemc_client_free(client);
    client = client_of(address, NULL, NULL);
    RUN(a_child_has_sockets_of_its_own);
    RUN(grandchildren_too);
    RUN(a_child_that_does_nothing);
    RUN(a_queue_stays_with_its_process);
    RUN(an_embedded_server_stays_with_its_process);
    bmemc_client_free(client);
    bmemc_server_free(server);
    return finish();
}
