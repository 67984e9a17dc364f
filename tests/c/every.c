// every.c: every function of bmemc.h meets NULL for all that it takes, every one that takes bytes meets bytes that are not
// there, and every one that takes a client meets one that is closed. tests/header.rs sees to it that none is left out.
// What is wrong in other ways is in misuse.c, and with the rest of each chapter.

#include "check.h"
#include <limits.h>

#define ARGUMENT(word, call) REFUSED(BMEMC_E_ARGUMENT, word, call)
#define NULLS(call) ARGUMENT(" is NULL", call)
#define CLOSED(call) REFUSED(BMEMC_E_CLOSED, "closed", call)

static const bmemc_bytes none = {NULL, 0}, gone = {NULL, 3};
// Where results would go: none may be left there by what fails.
static bmemc_value *value;
static bmemc_results *results;
static bmemc_client *client;
static bmemc_dump *dump;
static uint64_t number;
static uint32_t place;
static size_t count;

static void null_without_status(void) {
    EXPECT(bmemc_version() != NULL);
    EXPECT(bmemc_status_text(INT_MIN) != NULL && bmemc_status_text(INT_MAX) != NULL);
    EXPECT(bmemc_status_name(INT_MIN) != NULL && bmemc_status_name(INT_MAX) != NULL);
    EXPECT(bmemc_option_at(SIZE_MAX) == NULL);
    EXPECT(bmemc_value_item(NULL) == NULL);
    EXPECT(bmemc_results_items(NULL, NULL) == NULL);
    EXPECT(bmemc_queue_fd(NULL) == -1);
    EXPECT(bmemc_server_address(NULL) == NULL);
    EXPECT(bmemc_stat_type_of(none) == bmemc_stat_type_of(text("a name that no server has")));
    EXPECT(bmemc_output_write(NULL, none) == BMEMC_E_ARGUMENT);
    bmemc_options_free(NULL);
    bmemc_client_close(NULL);
    bmemc_client_free(NULL);
    bmemc_value_free(NULL);
    bmemc_results_free(NULL);
    bmemc_dump_free(NULL);
    bmemc_queue_free(NULL);
    bmemc_server_free(NULL);
    bmemc_ring_free(NULL);
    bmemc_options *options = bmemc_options_new();
    EXPECT(options != NULL);
    bmemc_options_free(options);
}

static void null_options_and_what_is_made_of_them(void) {
    ARGUMENT("options is NULL", bmemc_options_set(NULL, none, none, e));
    ARGUMENT("options is NULL", bmemc_options_add_server(NULL, none, none, 0, e));
    ARGUMENT("options is NULL", bmemc_options_on_event(NULL, NULL, NULL, e));
    ARGUMENT("options is NULL", bmemc_options_set_compressor(NULL, NULL, NULL, NULL, e));
    ARGUMENT("options is NULL", bmemc_options_on_route(NULL, NULL, NULL, e));
    ARGUMENT("options is NULL", bmemc_options_on_connect(NULL, NULL, NULL, e));
    ARGUMENT("options is NULL", bmemc_options_on_discover(NULL, NULL, NULL, e));
    NULLS(bmemc_client_new(NULL, NULL, e));
    NULLS(bmemc_client_new_fallback(NULL, 0, NULL, e));
    NULLS(bmemc_ring_new(NULL, NULL, e));
    NULLS(bmemc_server_start(none, NULL, e));
    ARGUMENT("server is NULL", bmemc_server_set(NULL, none, none, e));
}

static void null_calls(void) {
    NULLS(bmemc_get(NULL, none, NULL, e));
    NULLS(bmemc_gets(NULL, none, NULL, e));
    NULLS(bmemc_get_and_touch(NULL, none, 0, NULL, e));
    NULLS(bmemc_get_into(NULL, none, NULL, 0, NULL, NULL, e));
    NULLS(bmemc_get_many(NULL, NULL, 0, NULL, e));
    NULLS(bmemc_set(NULL, none, none, 0, 0, e));
    NULLS(bmemc_add(NULL, none, none, 0, 0, e));
    NULLS(bmemc_replace(NULL, none, none, 0, 0, e));
    NULLS(bmemc_cas(NULL, none, none, 0, 0, 0, e));
    NULLS(bmemc_append(NULL, none, none, e));
    NULLS(bmemc_prepend(NULL, none, none, e));
    NULLS(bmemc_set_many(NULL, NULL, NULL, 0, 0, 0, NULL, e));
    NULLS(bmemc_cas_many(NULL, NULL, NULL, NULL, 0, 0, 0, NULL, e));
    NULLS(bmemc_delete(NULL, none, e));
    NULLS(bmemc_delete_many(NULL, NULL, 0, NULL, e));
    NULLS(bmemc_touch(NULL, none, 0, e));
    NULLS(bmemc_increment(NULL, none, 0, NULL, e));
    NULLS(bmemc_decrement(NULL, none, 0, NULL, e));
    NULLS(bmemc_client_version(NULL, NULL, e));
    NULLS(bmemc_flush_all(NULL, 0, e));
    NULLS(bmemc_noop(NULL, e));
    NULLS(bmemc_call(NULL, NULL, NULL, e));
    NULLS(bmemc_execute(NULL, NULL, 0, NULL, e));
    NULLS(bmemc_execute_each(NULL, NULL, NULL, e));
    NULLS(bmemc_client_stats(NULL, none, NULL, e));
    NULLS(bmemc_metadump(NULL, none, NULL, NULL, e));
    NULLS(bmemc_dump_new(NULL, none, NULL, e));
    NULLS(bmemc_dump_of(NULL, NULL, NULL, e));
    NULLS(bmemc_dump_next(NULL, 0, NULL, e));
    NULLS(bmemc_meta(NULL, none, none, none, none, NULL, e));
    NULLS(bmemc_value_encode(NULL, NULL, NULL, e));
    NULLS(bmemc_value_decode(NULL, none, 0, NULL, e));
    NULLS(bmemc_check_key(NULL, none, e));
    NULLS(bmemc_stats_items(none, NULL, e));
    NULLS(bmemc_metadump_items(none, NULL, e));
}

static void null_servers_queues_and_rings(void) {
    NULLS(bmemc_client_set_credentials(NULL, none, none, e));
    NULLS(bmemc_client_set_option(NULL, none, none, e));
    NULLS(bmemc_disconnect_all(NULL, e));
    NULLS(bmemc_client_add_server(NULL, none, none, 0, e));
    NULLS(bmemc_client_remove_server(NULL, none, e));
    NULLS(bmemc_client_replace_servers(NULL, NULL, e));
    NULLS(bmemc_client_server_for(NULL, none, NULL, e));
    NULLS(bmemc_client_servers(NULL, NULL, e));
    NULLS(bmemc_client_counters(NULL, 0, NULL, e));
    NULLS(bmemc_client_pool(NULL, 0, NULL, e));
    NULLS(bmemc_client_health(NULL, 0, NULL, e));
    NULLS(bmemc_queue_new(NULL, e));
    NULLS(bmemc_queue_submit(NULL, NULL, NULL, 0, NULL, e));
    NULLS(bmemc_queue_fetch(NULL, NULL, 0, 0, NULL, e));
    NULLS(bmemc_queue_fetch_into(NULL, NULL, 0, NULL, 0, 0, NULL, e));
    NULLS(bmemc_queue_fetch_to(NULL, NULL, 0, NULL, NULL, 0, NULL, e));
    NULLS(bmemc_queue_cancel(NULL, 0, e));
    NULLS(bmemc_ring_add(NULL, none, none, 0, e));
    NULLS(bmemc_ring_remove(NULL, none, e));
    NULLS(bmemc_ring_get(NULL, none, NULL, e));
    NULLS(bmemc_ring_successors(NULL, none, NULL, 0, NULL, e));
    NULLS(bmemc_ring_servers(NULL, NULL, e));
    NULLS(bmemc_key_hash(none, none, NULL, e));
    NULLS(bmemc_address_parse(none, NULL, e));
}

// Nobody listens there: what is wrong is told all the same.
static void bytes_that_are_not_there(void) {
    client = client_of("127.0.0.1:1", NULL, NULL);
    bmemc_options *options = bmemc_options_new();
    bmemc_op op = {.opcode = BMEMC_OP_GET, .key = gone};
    bmemc_address parsed;
    ARGUMENT("data is NULL", bmemc_options_set(options, gone, text("5"), e));
    ARGUMENT("data is NULL", bmemc_options_add_server(options, gone, none, 1, e));
    ARGUMENT("data is NULL", bmemc_client_set_credentials(client, gone, text("p"), e));
    ARGUMENT("data is NULL", bmemc_client_set_option(client, gone, text("5"), e));
    ARGUMENT("data is NULL", bmemc_get(client, gone, &value, e));
    ARGUMENT("data is NULL", bmemc_gets(client, gone, &value, e));
    ARGUMENT("data is NULL", bmemc_get_and_touch(client, gone, 5, &value, e));
    ARGUMENT("data is NULL", bmemc_get_into(client, gone, NULL, 0, &count, NULL, e));
    ARGUMENT("data is NULL", bmemc_set(client, gone, text("v"), 0, 0, e));
    ARGUMENT("data is NULL", bmemc_add(client, text("k"), gone, 0, 0, e));
    ARGUMENT("data is NULL", bmemc_replace(client, gone, text("v"), 0, 0, e));
    ARGUMENT("data is NULL", bmemc_cas(client, gone, text("v"), 0, 0, 1, e));
    ARGUMENT("data is NULL", bmemc_append(client, text("k"), gone, e));
    ARGUMENT("data is NULL", bmemc_prepend(client, gone, text("v"), e));
    ARGUMENT("data is NULL", bmemc_delete(client, gone, e));
    ARGUMENT("data is NULL", bmemc_touch(client, gone, 5, e));
    ARGUMENT("data is NULL", bmemc_increment(client, gone, 1, &number, e));
    ARGUMENT("data is NULL", bmemc_decrement(client, gone, 1, &number, e));
    ARGUMENT("data is NULL", bmemc_call(client, &op, &value, e));
    ARGUMENT("data is NULL", bmemc_client_stats(client, gone, &results, e));
    ARGUMENT("data is NULL", bmemc_stats_items(gone, &results, e));
    ARGUMENT("data is NULL", bmemc_metadump_items(gone, &results, e));
    ARGUMENT("data is NULL", bmemc_dump_new(client, gone, &dump, e));
    op.opcode = BMEMC_OP_METADUMP;
    ARGUMENT("data is NULL", bmemc_dump_of(client, &op, &dump, e));
    ARGUMENT("data is NULL", bmemc_meta(client, text("mg"), gone, text("v"), none, &value, e));
    ARGUMENT("data is NULL", bmemc_value_decode(client, gone, 0, &value, e));
    ARGUMENT("data is NULL", bmemc_client_add_server(client, gone, none, 1, e));
    ARGUMENT("data is NULL", bmemc_client_remove_server(client, gone, e));
    ARGUMENT("data is NULL", bmemc_client_server_for(client, gone, &value, e));
    ARGUMENT("data is NULL", bmemc_check_key(client, gone, e));
    ARGUMENT("data is NULL", bmemc_key_hash(gone, text("k"), &number, e));
    ARGUMENT("data is NULL", bmemc_address_parse(gone, &parsed, e));
    EXPECT(value == NULL && results == NULL && dump == NULL);
    bmemc_options_free(options);
    bmemc_client_free(client);
}

static void closed_client(void) {
    client = client_of("127.0.0.1:1", NULL, NULL);
    bmemc_client_close(client);
    bmemc_bytes key = text("k"), word = text("v");
    bmemc_op op = {.opcode = BMEMC_OP_GET, .key = key}, each = {.opcode = BMEMC_OP_NOOP};
    CLOSED(bmemc_get(client, key, &value, e));
    CLOSED(bmemc_gets(client, key, &value, e));
    CLOSED(bmemc_get_and_touch(client, key, 5, &value, e));
    CLOSED(bmemc_get_into(client, key, NULL, 0, &count, NULL, e));
    CLOSED(bmemc_set(client, key, word, 0, 0, e));
    CLOSED(bmemc_add(client, key, word, 0, 0, e));
    CLOSED(bmemc_replace(client, key, word, 0, 0, e));
    CLOSED(bmemc_cas(client, key, word, 0, 0, 1, e));
    CLOSED(bmemc_append(client, key, word, e));
    CLOSED(bmemc_prepend(client, key, word, e));
    CLOSED(bmemc_delete(client, key, e));
    CLOSED(bmemc_touch(client, key, 5, e));
    CLOSED(bmemc_increment(client, key, 1, &number, e));
    CLOSED(bmemc_decrement(client, key, 1, &number, e));
    CLOSED(bmemc_client_version(client, &value, e));
    CLOSED(bmemc_flush_all(client, 0, e));
    CLOSED(bmemc_noop(client, e));
    CLOSED(bmemc_call(client, &op, &value, e));
    CLOSED(bmemc_client_stats(client, none, &results, e));
    CLOSED(bmemc_meta(client, text("mg"), key, text("v"), none, &value, e));
    STATUS(BMEMC_OK, bmemc_disconnect_all(client, e));
    EXPECT(value == NULL && results == NULL);
    // What has items tells it of each.
    const bmemc_item *items;
    STATUS(BMEMC_OK, bmemc_get_many(client, &key, 1, &results, e));
    items = bmemc_results_items(results, &count);
    EXPECT(count == 1 && items[0].status == BMEMC_E_CLOSED);
    bmemc_results_free(results);
    STATUS(BMEMC_OK, bmemc_execute_each(client, &each, &results, e));
    items = bmemc_results_items(results, &count);
    EXPECT(count == 1 && items[0].status == BMEMC_E_CLOSED);
    bmemc_results_free(results);
    results = NULL;
    bmemc_client_free(client);
}

static void ring_that_is_asked_for_nothing(void) {
    bmemc_options *options = bmemc_options_new();
    bmemc_ring *ring = NULL;
    STATUS(BMEMC_OK, bmemc_ring_new(options, &ring, e));
    ARGUMENT("data is NULL", bmemc_ring_add(ring, gone, none, 1, e));
    ARGUMENT("data is NULL", bmemc_ring_remove(ring, gone, e));
    ARGUMENT("data is NULL", bmemc_ring_get(ring, gone, &place, e));
    ARGUMENT("data is NULL", bmemc_ring_successors(ring, gone, &place, 1, &count, e));
    ARGUMENT("server is NULL", bmemc_ring_get(ring, text("k"), NULL, e));
    NULLS(bmemc_ring_servers(ring, NULL, e));
    bmemc_ring_free(ring);
    bmemc_options_free(options);
}

int main(void) {
    RUN(null_without_status);
    RUN(null_options_and_what_is_made_of_them);
    RUN(null_calls);
    RUN(null_servers_queues_and_rings);
    RUN(bytes_that_are_not_there);
    RUN(closed_client);
    RUN(ring_that_is_asked_for_nothing);
    return finish();
}
