// abi.c: what a program that was compiled with this header relies on: sizes, offsets and numbers. None may change; that
// this file compiles says that none has.
//
//   abi

#include "check.h"

#define SIZE(type, size) _Static_assert(sizeof(type) == (size), #type)
#define AT(type, field, offset) _Static_assert(offsetof(type, field) == (offset), #type "." #field)
#define IS(name, number) _Static_assert((int)(name) == (number), #name)

SIZE(bmemc_status, 4);
SIZE(bmemc_bytes, 16);
AT(bmemc_bytes, data, 0);
AT(bmemc_bytes, len, 8);

SIZE(bmemc_error, 256);
AT(bmemc_error, status, 0);
AT(bmemc_error, os_error, 4);
AT(bmemc_error, bits, 8);
AT(bmemc_error, message, 12);

SIZE(bmemc_option, 32);
AT(bmemc_option, name, 0);
AT(bmemc_option, default_value, 8);
AT(bmemc_option, accepts, 16);
AT(bmemc_option, about, 24);

SIZE(bmemc_item, 120);
AT(bmemc_item, status, 0);
AT(bmemc_item, os_error, 4);
AT(bmemc_item, flags, 8);
AT(bmemc_item, value_type, 12);
AT(bmemc_item, server, 16);
AT(bmemc_item, bits, 20);
AT(bmemc_item, cas, 24);
AT(bmemc_item, number, 32);
AT(bmemc_item, ttl, 40);
AT(bmemc_item, key, 48);
AT(bmemc_item, value, 64);
AT(bmemc_item, detail, 80);
AT(bmemc_item, size, 96);
AT(bmemc_item, last_access, 100);
AT(bmemc_item, fetched, 104);
AT(bmemc_item, reserved, 108);

SIZE(bmemc_pool, 64);
AT(bmemc_pool, used, 0);
AT(bmemc_pool, free, 8);
AT(bmemc_pool, open, 16);
AT(bmemc_pool, waiting, 24);
AT(bmemc_pool, reserved, 32);

SIZE(bmemc_health, 320);
AT(bmemc_health, state, 0);
AT(bmemc_health, failures, 4);
AT(bmemc_health, since_ms, 8);
AT(bmemc_health, probe_in_ms, 16);
AT(bmemc_health, reserved, 24);
AT(bmemc_health, why, 64);

SIZE(bmemc_address, 264);
AT(bmemc_address, kind, 0);
AT(bmemc_address, port, 4);
AT(bmemc_address, host, 8);

SIZE(bmemc_op, 160);
AT(bmemc_op, tag, 0);
AT(bmemc_op, key, 8);
AT(bmemc_op, value, 24);
AT(bmemc_op, routing_key, 40);
AT(bmemc_op, meta_flags, 56);
AT(bmemc_op, cas, 72);
AT(bmemc_op, delta, 80);
AT(bmemc_op, initial, 88);
AT(bmemc_op, ttl, 96);
AT(bmemc_op, opcode, 104);
AT(bmemc_op, flags, 108);
AT(bmemc_op, value_type, 112);
AT(bmemc_op, op_flags, 116);
AT(bmemc_op, timeout_ms, 120);
AT(bmemc_op, compress_level, 124);
AT(bmemc_op, server, 128);
AT(bmemc_op, reserved, 132);

SIZE(bmemc_answer, 160);
AT(bmemc_answer, tag, 0);
AT(bmemc_answer, item, 8);
AT(bmemc_answer, owner, 128);
AT(bmemc_answer, offset, 136);
AT(bmemc_answer, reserved, 144);

SIZE(bmemc_counters, 256);
AT(bmemc_counters, operations, 0);
AT(bmemc_counters, hits, 8);
AT(bmemc_counters, misses, 16);
AT(bmemc_counters, failures, 24);
AT(bmemc_counters, timeouts, 32);
AT(bmemc_counters, quiet_failures, 40);
AT(bmemc_counters, bytes_sent, 48);
AT(bmemc_counters, bytes_received, 56);
AT(bmemc_counters, batches, 64);
AT(bmemc_counters, connects, 72);
AT(bmemc_counters, disconnects, 80);
AT(bmemc_counters, system_calls, 88);
AT(bmemc_counters, breaker_opened, 96);
AT(bmemc_counters, failed_fast, 104);
AT(bmemc_counters, reserved, 112);

SIZE(bmemc_event, 64);
AT(bmemc_event, kind, 0);
AT(bmemc_event, server, 4);
AT(bmemc_event, status, 8);
AT(bmemc_event, os_error, 12);
AT(bmemc_event, elapsed_us, 16);
AT(bmemc_event, message, 24);
AT(bmemc_event, reserved, 40);

IS(BMEMC_OK, 0);
IS(BMEMC_NOT_FOUND, 1);
IS(BMEMC_NOT_STORED, 2);
IS(BMEMC_EXISTS, 3);
IS(BMEMC_E_ARGUMENT, -1);
IS(BMEMC_E_TIMEOUT, -2);
IS(BMEMC_E_DNS, -3);
IS(BMEMC_E_CONNECTION, -4);
IS(BMEMC_E_TLS, -5);
IS(BMEMC_E_AUTH, -6);
IS(BMEMC_E_PROTOCOL, -7);
IS(BMEMC_E_CLIENT_ERROR, -8);
IS(BMEMC_E_SERVER_ERROR, -9);
IS(BMEMC_E_UNKNOWN_COMMAND, -10);
IS(BMEMC_E_TOO_LARGE, -11);
IS(BMEMC_E_BUFFER, -12);
IS(BMEMC_E_BUSY, -13);
IS(BMEMC_E_DECODE, -14);
IS(BMEMC_E_CANCELLED, -15);
IS(BMEMC_E_CLOSED, -16);
IS(BMEMC_E_FORKED, -17);
IS(BMEMC_E_BUG, -18);
IS(BMEMC_E_UNSUPPORTED, -19);

IS(BMEMC_BIT_SENT, 1);
IS(BMEMC_BIT_NOT_SENT, 2);
IS(BMEMC_BIT_UNKNOWN_OUTCOME, 4);
IS(BMEMC_BIT_STALE, 8);
IS(BMEMC_BIT_WIN, 16);
IS(BMEMC_BIT_WON_BY_OTHER, 32);
IS(BMEMC_BIT_PARTLY, 64);

IS(BMEMC_OP_GET, 1);
IS(BMEMC_OP_GET_AND_TOUCH, 2);
IS(BMEMC_OP_SET, 3);
IS(BMEMC_OP_ADD, 4);
IS(BMEMC_OP_REPLACE, 5);
IS(BMEMC_OP_APPEND, 6);
IS(BMEMC_OP_PREPEND, 7);
IS(BMEMC_OP_DELETE, 8);
IS(BMEMC_OP_INCREMENT, 9);
IS(BMEMC_OP_DECREMENT, 10);
IS(BMEMC_OP_TOUCH, 11);
IS(BMEMC_OP_FLUSH_ALL, 12);
IS(BMEMC_OP_STATS, 13);
IS(BMEMC_OP_VERSION, 14);
IS(BMEMC_OP_VERBOSITY, 15);
IS(BMEMC_OP_NOOP, 16);
IS(BMEMC_OP_CACHE_MEMLIMIT, 17);
IS(BMEMC_OP_SHUTDOWN, 18);
IS(BMEMC_OP_METADUMP, 19);
IS(BMEMC_OP_META, 20);
IS(BMEMC_OP_RAW, 21);

IS(BMEMC_FLAG_NO_REPLY, 1);
IS(BMEMC_FLAG_WANT_CAS, 2);
IS(BMEMC_FLAG_CREATE, 4);
IS(BMEMC_FLAG_EXPLICIT_FLAGS, 8);

IS(BMEMC_TYPE_BYTES, 0);
IS(BMEMC_TYPE_TEXT, 1);
IS(BMEMC_TYPE_INTEGER, 2);
IS(BMEMC_TYPE_LONG, 3);
IS(BMEMC_TYPE_OBJECT, 4);

IS(BMEMC_EVENT_CONNECTED, 1);
IS(BMEMC_EVENT_CLOSED, 2);
IS(BMEMC_EVENT_SLOW, 3);
IS(BMEMC_EVENT_QUIET_FAILURE, 4);
IS(BMEMC_EVENT_BREAKER_OPENED, 5);
IS(BMEMC_EVENT_BREAKER_CLOSED, 6);
IS(BMEMC_EVENT_CONNECT_FAILED, 7);
IS(BMEMC_EVENT_DISCOVERY_FAILED, 8);
IS(BMEMC_EVENT_SERVERS_CHANGED, 9);

static void library_is_of_the_header(void) {
    char version[32];
    snprintf(version, sizeof version, "%d.%d.%d", BMEMC_VERSION_MAJOR, BMEMC_VERSION_MINOR, BMEMC_VERSION_PATCH);
    EXPECT(strcmp(bmemc_version(), version) == 0);
}

static void statuses_have_words(void) {
    for (int32_t status = BMEMC_E_UNSUPPORTED; status <= BMEMC_EXISTS; status++) {
        EXPECT(strncmp(bmemc_status_name(status), status < 0 ? "BMEMC_E_" : "BMEMC_", status < 0 ? 8 : 6) == 0);
        EXPECT(*bmemc_status_text(status) && strcmp(bmemc_status_text(status), "unknown status") != 0);
    }
    EXPECT(strcmp(bmemc_status_name(BMEMC_E_TOO_LARGE), "BMEMC_E_TOO_LARGE") == 0);
    EXPECT(strcmp(bmemc_status_text(BMEMC_NOT_FOUND), "not found") == 0);
    EXPECT(strcmp(bmemc_status_text(-99), "unknown status") == 0 && strcmp(bmemc_status_name(99), "unknown status") == 0);
}

int main(void) {
    RUN(library_is_of_the_header);
    RUN(statuses_have_words);
    return finish();
}
