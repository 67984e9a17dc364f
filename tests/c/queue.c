// queue.c: the completion queue as a C program uses it: by fetches that wait, and by an epoll loop, level- and
// edge-triggered.
//
//   queue SERVER PROTOCOL             SERVER: its address, or "embedded"

#define _GNU_SOURCE
#include "check.h"
#include <fcntl.h>
#include <stdbool.h>
#include <pthread.h>
#include <sys/epoll.h>

static bmemc_client *client;
static bmemc_queue *queue;

static bmemc_op operation(int32_t opcode, uint64_t tag, bmemc_bytes key, bmemc_bytes value) {
    bmemc_op op = {0};
    op.opcode = opcode;
    op.tag = tag;
    op.key = key;
    op.value = value;
    return op;
}

static bmemc_op get(uint64_t tag, bmemc_bytes key) { return operation(BMEMC_OP_GET, tag, key, bytes(NULL, 0)); }

static void submit(bmemc_client *to, const bmemc_op *ops, size_t count) {
    size_t accepted = 0;
    STATUS(BMEMC_OK, bmemc_queue_submit(queue, to, ops, count, &accepted, e));
    EXPECT(accepted == count);
}

// Waits for `count` answers, in the order of their tags, which begin at zero.
static void collect(bmemc_answer *answers, size_t count) {
    bmemc_answer came[16];
    for (size_t done = 0, got; done < count; done += got) {
        STATUS(BMEMC_OK, bmemc_queue_fetch(queue, came, 16, -1, &got, e));
        EXPECT(got > 0);
        if (!got) return;
        for (size_t i = 0; i < got; i++) {
            EXPECT(came[i].tag < count);
            if (came[i].tag < count) answers[came[i].tag] = came[i];
        }
    }
}

static void set_get_delete(void) {
    bmemc_op ops[] = {
        operation(BMEMC_OP_SET, 0, key("mix"), text("a value\r\nEND\r\n")),
        get(1, key("mix")),
        get(2, key("nothing")),
        operation(BMEMC_OP_DELETE, 3, key("mix"), bytes(NULL, 0)),
        operation(BMEMC_OP_VERSION, 4, bytes(NULL, 0), bytes(NULL, 0)),
    };
    bmemc_answer answers[5] = {{0}};
    ops[0].flags = 77;
    submit(client, ops, 5);
    collect(answers, 5);
    for (int i = 0; i < 5; i++) {
        EXPECT(answers[i].item.status == (i == 2 ? BMEMC_NOT_FOUND : BMEMC_OK));
        EXPECT(answers[i].offset == SIZE_MAX && answers[i].item.value.data != NULL);
    }
    EXPECT(same(answers[1].item.value, text("a value\r\nEND\r\n")) && answers[1].item.flags == 77);
    EXPECT(answers[0].owner == NULL && answers[1].owner != NULL && answers[4].item.value.len > 0);
    EXPECT(answers[1].owner && same(bmemc_value_item(answers[1].owner)->value, answers[1].item.value));
    for (int i = 0; i < 5; i++) bmemc_value_free(answers[i].owner);
}

static void keys_and_values_may_go_after_submit(void) {
    char name[64], value[64];
    bmemc_answer answers[2] = {{0}};
    snprintf(name, sizeof name, "bmemc-test:%d:gone", (int)getpid());
    snprintf(value, sizeof value, "the first");
    bmemc_op ops[] = {operation(BMEMC_OP_SET, 0, text(name), text(value)), get(1, text(name))};
    submit(client, ops, 2);
    memset(name, 'x', sizeof name);
    memset(value, 'x', sizeof value);
    memset(ops, 0xff, sizeof ops);
    collect(answers, 2);
    EXPECT(answers[1].item.status == BMEMC_OK && same(answers[1].item.value, text("the first")));
    bmemc_value_free(answers[0].owner);
    bmemc_value_free(answers[1].owner);
}

static void values_go_into_a_slab(void) {
    enum { LARGE = 50000 };
    static uint8_t large[LARGE], slab[1000];
    bmemc_answer answers[4] = {{0}};
    size_t count = 0;
    memset(large, 'l', sizeof large);
    bmemc_op sets[] = {
        operation(BMEMC_OP_SET, 0, key("small"), text("small")),
        operation(BMEMC_OP_SET, 1, key("large"), bytes(large, LARGE)),
    };
    submit(client, sets, 2);
    collect(answers, 2);
    bmemc_op gets[] = {get(0, key("small")), get(1, key("large")), get(2, key("small")), get(3, key("nothing"))};
    submit(client, gets, 4);
    for (size_t done = 0; done < 4; done += count) {
        STATUS(BMEMC_OK, bmemc_queue_fetch_into(queue, answers, 4, slab, sizeof slab, -1, &count, e));
        EXPECT(count > 0);
        if (!count) return;
        for (size_t i = 0; i < count; i++) {
            const bmemc_item *item = &answers[i].item;
            if (answers[i].tag == 1) {
                EXPECT(answers[i].offset == SIZE_MAX && same(item->value, bytes(large, LARGE)) && answers[i].owner);
            } else if (answers[i].tag == 3) {
                EXPECT(item->status == BMEMC_NOT_FOUND && item->value.len == 0);
            } else {
                EXPECT(answers[i].owner == NULL && item->value.data == NULL && answers[i].offset < sizeof slab);
                EXPECT(same(bytes(slab + answers[i].offset, item->value.len), text("small")));
            }
            bmemc_value_free(answers[i].owner);
        }
    }
}

// Pieces of memory of the caller's; there is one for values of up to eight bytes.
typedef struct {
    uint8_t bytes[8];
    size_t asked, used;
} piece;

static uint8_t *place(size_t len, void *context) {
    piece *to = context;
    to->asked++;
    if (len > sizeof to->bytes - to->used) return NULL;
    to->used += len;
    return to->bytes + to->used - len;
}

static void values_go_where_the_caller_says(void) {
    enum { LARGE = 50000 };
    static uint8_t large[LARGE];
    bmemc_answer answers[6] = {{0}};
    piece to = {0};
    size_t count = 0;
    memset(large, 'l', sizeof large);
    bmemc_op sets[] = {
        operation(BMEMC_OP_SET, 0, key("small"), text("small")),
        operation(BMEMC_OP_SET, 1, key("large"), bytes(large, LARGE)),
        operation(BMEMC_OP_SET, 2, key("empty"), text("")),
    };
    submit(client, sets, 3);
    collect(answers, 3);
    bmemc_op gets[] = {get(0, key("small")), get(1, key("large")), get(2, key("empty")), get(3, key("nothing")), get(4, key("small"))};
    submit(client, gets, 5);
    for (size_t done = 0, placed = 0; done < 5; done += count) {
        STATUS(BMEMC_OK, bmemc_queue_fetch_to(queue, answers, 6, place, &to, -1, &count, e));
        EXPECT(count > 0);
        if (!count) return;
        for (size_t i = 0; i < count; i++) {
            const bmemc_item *item = &answers[i].item;
            EXPECT(answers[i].offset == SIZE_MAX);
            if (answers[i].tag == 1) {
                EXPECT(same(item->value, bytes(large, LARGE)) && answers[i].owner);
            } else if (answers[i].tag == 2 || answers[i].tag == 3) {
                EXPECT(item->value.len == 0 && item->status == (answers[i].tag == 2 ? BMEMC_OK : BMEMC_NOT_FOUND));
            } else {
                bool is_placed = placed++ == 0;
                EXPECT(same(item->value, text("small")) && (item->value.data == to.bytes) == is_placed);
                EXPECT(!answers[i].owner == is_placed);
            }
            bmemc_value_free(answers[i].owner);
        }
    }
    EXPECT(to.asked == 3 && to.used == 5);
}

static void an_operation_that_is_wrong_ends_a_submit(void) {
    bmemc_op ops[] = {get(0, key("k")), get(1, key("k")), get(2, key("k"))};
    bmemc_answer answers[1] = {{0}};
    size_t accepted = 7;
    ops[1].opcode = 99;
    STATUS(BMEMC_E_ARGUMENT, bmemc_queue_submit(queue, client, ops, 3, &accepted, e));
    EXPECT(accepted == 1 && strstr(error.message, "opcode is 99") && error.bits == BMEMC_BIT_NOT_SENT);
    collect(answers, 1);
    EXPECT(answers[0].item.status == BMEMC_NOT_FOUND);
    bmemc_value_free(answers[0].owner);
}

static void a_key_that_is_wrong_is_answered(void) {
    char name[251];
    memset(name, 'k', sizeof name);
    bmemc_op op = get(0, bytes(name, sizeof name));
    bmemc_answer answer = {0};
    submit(client, &op, 1);
    collect(&answer, 1);
    EXPECT(answer.item.status == BMEMC_E_ARGUMENT && contains(answer.item.detail, "251 bytes"));
    EXPECT(answer.item.bits == BMEMC_BIT_NOT_SENT && answer.owner);
    bmemc_value_free(answer.owner);
}

static void nothing_under_way(void) {
    size_t count = 7;
    bmemc_answer answer;
    STATUS(BMEMC_OK, bmemc_queue_fetch(queue, &answer, 1, -1, &count, e));
    EXPECT(count == 0);
    STATUS(BMEMC_OK, bmemc_queue_submit(queue, client, NULL, 0, &count, e));
    STATUS(BMEMC_NOT_FOUND, bmemc_queue_cancel(queue, 5, e));
    EXPECT(fcntl(bmemc_queue_fd(queue), F_GETFL) & O_NONBLOCK);
    EXPECT(fcntl(bmemc_queue_fd(queue), F_GETFD) & FD_CLOEXEC);
}

static void a_closed_client_answers_closed(void) {
    bmemc_client *brief = client_of(address, NULL, NULL);
    bmemc_op op = get(0, key("k"));
    bmemc_answer answer = {0};
    size_t accepted = 7;
    submit(brief, &op, 1);
    bmemc_client_close(brief);
    STATUS(BMEMC_E_CLOSED, bmemc_queue_submit(queue, brief, &op, 1, &accepted, e));
    EXPECT(accepted == 0);
    bmemc_client_free(brief);
    collect(&answer, 1);
    // The answer may have been there before.
    EXPECT(answer.item.status == BMEMC_E_CLOSED || answer.item.status == BMEMC_NOT_FOUND);
    bmemc_value_free(answer.owner);
}

// An event loop that takes one event at a time and fetches once for it, a few answers only: every operation must be
// answered, with as many under way as there are.
static void event_loop(uint32_t edge, size_t at_once, size_t total, size_t room) {
    int loop = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN | edge};
    bmemc_answer answers[16];
    uint8_t slab[4096];
    size_t next = 0, done = 0, count;
    EXPECT(epoll_ctl(loop, EPOLL_CTL_ADD, bmemc_queue_fd(queue), &event) == 0);
    bmemc_op set = operation(BMEMC_OP_SET, 0, key("loop"), text("looped"));
    bmemc_answer stored = {0};
    submit(client, &set, 1);
    collect(&stored, 1);
    bmemc_value_free(stored.owner);
    while (done < total) {
        while (next < total && next - done < at_once) {
            bmemc_op op = get(next++, key("loop"));
            submit(client, &op, 1);
        }
        int ready = epoll_wait(loop, &event, 1, 5000);
        EXPECT(ready == 1);
        if (ready != 1) break;
        STATUS(BMEMC_OK, bmemc_queue_fetch_into(queue, answers, room, slab, sizeof slab, 0, &count, e));
        for (size_t i = 0; i < count; i++) {
            EXPECT(answers[i].item.status == BMEMC_OK && answers[i].tag < next);
            EXPECT(same(bytes(slab + answers[i].offset, answers[i].item.value.len), text("looped")));
        }
        done += count;
    }
    EXPECT(done == total);
    close(loop);
}

static void level_triggered(void) { event_loop(0, 1, 500, 16), event_loop(0, 100, 5000, 16), event_loop(0, 100, 3000, 1); }
static void edge_triggered(void) { event_loop(EPOLLET, 1, 500, 16), event_loop(EPOLLET, 100, 5000, 16), event_loop(EPOLLET, 100, 3000, 1); }

enum { THREADS = 4, EACH = 5000 };

static void *submitter(void *argument) {
    uint64_t first = *(uint64_t *)argument;
    long wrong = 0;
    for (uint64_t tag = first; tag < first + EACH; tag++) {
        char name[32];
        size_t accepted = 0;
        snprintf(name, sizeof name, "bmemc-thread-%d", (int)(tag % 100));
        bmemc_op op = tag % 2 ? get(tag, text(name)) : operation(BMEMC_OP_SET, tag, text(name), text(name));
        wrong += bmemc_queue_submit(queue, client, &op, 1, &accepted, NULL) != BMEMC_OK || accepted != 1;
    }
    return (void *)wrong;
}

static void threads_submit_while_one_fetches(void) {
    static bool came[THREADS * EACH];
    pthread_t threads[THREADS];
    uint64_t first[THREADS];
    size_t done = 0, count;
    memset(came, 0, sizeof came);
    for (int i = 0; i < THREADS; i++) {
        first[i] = (uint64_t)i * EACH;
        EXPECT(pthread_create(&threads[i], NULL, submitter, &first[i]) == 0);
    }
    for (int idle = 0; done < THREADS * EACH && idle < 10000; idle++) {
        bmemc_answer answers[32];
        STATUS(BMEMC_OK, bmemc_queue_fetch(queue, answers, 32, 100, &count, e));
        if (!count) usleep(1000); // nothing was under way: those who submit may not have had their turn
        for (size_t i = 0; i < count; i++, idle = 0) {
            EXPECT(answers[i].tag < THREADS * EACH && !came[answers[i].tag]);
            EXPECT(answers[i].item.status == BMEMC_OK || answers[i].item.status == BMEMC_NOT_FOUND);
            came[answers[i].tag] = true;
            bmemc_value_free(answers[i].owner);
        }
        done += count;
    }
    EXPECT(done == THREADS * EACH);
    for (int i = 0; i < THREADS; i++) {
        void *wrong = NULL;
        pthread_join(threads[i], &wrong);
        EXPECT(wrong == NULL);
    }
}

static void freed_with_work_in_flight(void) {
    bmemc_queue *kept = queue;
    bmemc_client *brief = client_of(address, NULL, NULL);
    bmemc_op op = get(0, key("k"));
    for (int queue_first = 0; queue_first < 2; queue_first++) {
        STATUS(BMEMC_OK, bmemc_queue_new(&queue, e));
        submit(queue_first ? client : brief, &op, 1);
        if (!queue_first) bmemc_client_free(brief);
        bmemc_queue_free(queue);
    }
    queue = kept;
}

int main(int argc, char **argv) {
    if (argc != 3) return fprintf(stderr, "usage: queue SERVER PROTOCOL\n"), 2;
    bmemc_server *server = server_of(argv[1]);
    protocol = argv[2];
    // Enough for a run under valgrind.
    client = client_of(address, "timeout_ms", "60000");
    if (bmemc_queue_new(&queue, &error) != BMEMC_OK) return printf("no queue: %s\n", error.message), 1;
    RUN(set_get_delete);
    RUN(keys_and_values_may_go_after_submit);
    RUN(values_go_into_a_slab);
    RUN(values_go_where_the_caller_says);
    RUN(an_operation_that_is_wrong_ends_a_submit);
    RUN(a_key_that_is_wrong_is_answered);
    RUN(nothing_under_way);
    RUN(a_closed_client_answers_closed);
    RUN(level_triggered);
    RUN(edge_triggered);
    RUN(threads_submit_while_one_fetches);
    RUN(freed_with_work_in_flight);
    bmemc_queue_free(queue);
    bmemc_client_free(client);
    bmemc_server_free(server);
    return finish();
}
