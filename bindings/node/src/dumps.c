// dumps.c: dumps, piece by piece. Nothing here waits: JavaScript asks again where no piece has come yet.
#include "addon.h"
#include <stdlib.h>

// dump(client, classes, server, timeoutMs) -> number; server: one more than its index, or 0
napi_value dump_new(napi_env env, napi_callback_info info) {
    napi_value args[MAX_ARGUMENTS];
    addon *self = arguments(env, info, args);
    handle *client = handle_of(self, args[0], CLIENT), *place;
    bmemc_dump *dump = NULL;
    bmemc_op op = {.opcode = BMEMC_OP_METADUMP};
    bmemc_error error;
    void *owned;
    if (!client || !get_bytes(env, args[1], &op.key, &owned)) return NULL;
    napi_get_value_uint32(env, args[2], &op.server);
    napi_get_value_uint32(env, args[3], &op.timeout_ms);
    bmemc_status status = bmemc_dump_of(client->pointer, &op, &dump, &error);
    free(owned);
    if (status != BMEMC_OK) return throw_error(env, &error);
    if (!(place = handle_new(self))) {
        bmemc_dump_free(dump);
        return NULL;
    }
    place->client = client->number;
    return handle_keep(place, DUMP, dump);
}

// dumpNext(dump) -> [{key, ...}, ...], which is empty where none has come yet; undefined: there are no more
napi_value dump_next(napi_env env, napi_callback_info info) {
    napi_value args[MAX_ARGUMENTS], items = NULL;
    addon *self = arguments(env, info, args);
    handle *dump = handle_of(self, args[0], DUMP);
    bmemc_results *piece;
    bmemc_error error;
    if (!dump) return NULL;
    bmemc_status status = bmemc_dump_next(dump->pointer, 0, &piece, &error);
    if (status < 0) return throw_error(env, &error);
    if (status == BMEMC_OK) items = make_dumped(env, piece);
    bmemc_results_free(piece);
    return items;
}
