// items.c: what answers are made of, taken apart without a server: values by a client's codec, statistics, dumps.
#include "addon.h"
#include <stdlib.h>

// statsItems(text) -> [[name, value, type], ...] of the text that statistics are answered with
napi_value stats_items(napi_env env, napi_callback_info info) {
    napi_value args[MAX_ARGUMENTS], array;
    bmemc_bytes text;
    bmemc_results *results;
    bmemc_error error;
    void *owned;
    size_t count = 0;
    arguments(env, info, args);
    if (!get_bytes(env, args[0], &text, &owned)) return NULL;
    bmemc_status status = bmemc_stats_items(text, &results, &error);
    free(owned);
    if (status != BMEMC_OK) return throw_error(env, &error);
    const bmemc_item *items = bmemc_results_items(results, &count);
    napi_create_array(env, &array);
    for (size_t i = 0; i < count; i++) {
        napi_value item;
        napi_create_array(env, &item);
        napi_set_element(env, item, 0, make_string(env, items[i].key));
        napi_set_element(env, item, 1, make_string(env, items[i].value));
        napi_set_element(env, item, 2, make_number(env, bmemc_stat_type_of(items[i].key)));
        napi_set_element(env, array, (uint32_t)i, item);
    }
    bmemc_results_free(results);
    return array;
}

napi_value make_dumped(napi_env env, const bmemc_results *results) {
    napi_value array;
    size_t count = 0;
    const bmemc_item *items = bmemc_results_items(results, &count);
    napi_create_array(env, &array);
    for (size_t i = 0; i < count; i++) {
        napi_value item, fetched;
        napi_create_object(env, &item);
        napi_get_boolean(env, items[i].fetched != 0, &fetched);
        set_property(env, item, "key", make_buffer(env, items[i].key));
        set_property(env, item, "ttl", make_number(env, (double)items[i].ttl));
        set_property(env, item, "lastAccess", make_number(env, items[i].last_access));
        set_property(env, item, "cas", make_u64(env, items[i].cas));
        set_property(env, item, "fetched", fetched);
        set_property(env, item, "size", make_number(env, items[i].size));
        set_property(env, item, "flags", make_number(env, items[i].flags));
        set_property(env, item, "slabClass", make_number(env, (double)items[i].number));
        set_property(env, item, "server", make_number(env, items[i].server));
        napi_set_element(env, array, (uint32_t)i, item);
    }
    return array;
}

// {value, type, flags} of an item, which is freed.
static napi_value make_parts(napi_env env, bmemc_value *from) {
    const bmemc_item *item = bmemc_value_item(from);
    napi_value object;
    napi_create_object(env, &object);
    set_property(env, object, "value", make_buffer(env, item->value));
    set_property(env, object, "type", make_number(env, item->value_type));
    set_property(env, object, "flags", make_number(env, item->flags));
    bmemc_value_free(from);
    return object;
}

// encode(client, value, type, level) -> {value, flags}: what the client would store
napi_value value_encode(napi_env env, napi_callback_info info) {
    napi_value args[MAX_ARGUMENTS];
    addon *self = arguments(env, info, args);
    handle *client = handle_of(self, args[0], CLIENT);
    bmemc_op op = {.opcode = BMEMC_OP_SET};
    bmemc_value *made;
    bmemc_error error;
    void *owned;
    if (!client || !get_bytes(env, args[1], &op.value, &owned)) return NULL;
    napi_get_value_uint32(env, args[2], &op.value_type);
    napi_get_value_int32(env, args[3], &op.compress_level);
    bmemc_status status = bmemc_value_encode(client->pointer, &op, &made, &error);
    free(owned);
    return status == BMEMC_OK ? make_parts(env, made) : throw_error(env, &error);
}

// decode(client, value, flags) -> {value, type, flags}: what the client would read
napi_value value_decode(napi_env env, napi_callback_info info) {
    napi_value args[MAX_ARGUMENTS];
    addon *self = arguments(env, info, args);
    handle *client = handle_of(self, args[0], CLIENT);
    bmemc_bytes value;
    bmemc_value *made;
    bmemc_error error;
    uint32_t flags = 0;
    void *owned;
    if (!client || !get_bytes(env, args[1], &value, &owned)) return NULL;
    napi_get_value_uint32(env, args[2], &flags);
    bmemc_status status = bmemc_value_decode(client->pointer, value, flags, &made, &error);
    free(owned);
    return status == BMEMC_OK ? make_parts(env, made) : throw_error(env, &error);
}
