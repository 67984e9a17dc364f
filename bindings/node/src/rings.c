// rings.c: hash rings and key hashes, without a client.
#include "addon.h"
#include <stdlib.h>

enum { MAX_SERVERS = 4096 }; // that a look-up lists

// ring(servers, options, [route]) -> number
napi_value ring_new(napi_env env, napi_callback_info info) {
    napi_value args[MAX_ARGUMENTS], number = NULL;
    addon *self = arguments(env, info, args);
    handle *new = handle_new(self);
    bmemc_ring *ring;
    bmemc_error error;
    if (!new) return NULL;
    bmemc_options *options = make_options(self, new, args[0], args[1], args[2]);
    if (!options) return NULL;
    if (bmemc_ring_new(options, &ring, &error) == BMEMC_OK) number = handle_keep(new, RING, ring);
    else throw_error(env, &error);
    bmemc_options_free(options);
    return number;
}

// ringAdd(ring, address, name, weight)
napi_value ring_add(napi_env env, napi_callback_info info) {
    napi_value args[MAX_ARGUMENTS];
    addon *self = arguments(env, info, args);
    handle *ring = handle_of(self, args[0], RING);
    bmemc_bytes address, name;
    void *first = NULL, *second = NULL;
    uint32_t weight = 1;
    bmemc_error error;
    if (!ring) return NULL;
    if (get_bytes(env, args[1], &address, &first) && get_bytes(env, args[2], &name, &second)) {
        napi_get_value_uint32(env, args[3], &weight);
        if (bmemc_ring_add(ring->pointer, address, name, weight, &error) != BMEMC_OK) throw_error(env, &error);
    }
    free(first);
    free(second);
    return NULL;
}

// ringRemove(ring, name) -> whether there was one
napi_value ring_remove(napi_env env, napi_callback_info info) {
    napi_value args[MAX_ARGUMENTS], removed = NULL;
    addon *self = arguments(env, info, args);
    handle *ring = handle_of(self, args[0], RING);
    bmemc_bytes name;
    void *owned;
    bmemc_error error;
    if (!ring || !get_bytes(env, args[1], &name, &owned)) return NULL;
    bmemc_status status = bmemc_ring_remove(ring->pointer, name, &error);
    free(owned);
    if (status < 0) return throw_error(env, &error);
    napi_get_boolean(env, status == BMEMC_OK, &removed);
    return removed;
}

// ringGet(ring, key) -> index; -1: there is no server
napi_value ring_get(napi_env env, napi_callback_info info) {
    napi_value args[MAX_ARGUMENTS];
    addon *self = arguments(env, info, args);
    handle *ring = handle_of(self, args[0], RING);
    bmemc_bytes key;
    void *owned;
    uint32_t server = 0;
    bmemc_error error;
    if (!ring || !get_bytes(env, args[1], &key, &owned)) return NULL;
    bmemc_status status = bmemc_ring_get(ring->pointer, key, &server, &error);
    free(owned);
    if (status < 0) return throw_error(env, &error);
    return make_number(env, status == BMEMC_OK ? (double)server : -1);
}

// ringSuccessors(ring, key, most) -> indices
napi_value ring_successors(napi_env env, napi_callback_info info) {
    napi_value args[MAX_ARGUMENTS], array;
    addon *self = arguments(env, info, args);
    handle *ring = handle_of(self, args[0], RING);
    bmemc_bytes key;
    void *owned;
    uint32_t servers[MAX_SERVERS], most = MAX_SERVERS;
    size_t count = 0;
    bmemc_error error;
    if (!ring || !get_bytes(env, args[1], &key, &owned)) return NULL;
    napi_get_value_uint32(env, args[2], &most);
    if (most > MAX_SERVERS) most = MAX_SERVERS;
    bmemc_status status = bmemc_ring_successors(ring->pointer, key, servers, most, &count, &error);
    free(owned);
    if (status < 0) return throw_error(env, &error);
    napi_create_array(env, &array);
    for (uint32_t i = 0; status == BMEMC_OK && i < count; i++) napi_set_element(env, array, i, make_number(env, servers[i]));
    return array;
}

// ringServers(ring) -> as servers() of a client
napi_value ring_servers(napi_env env, napi_callback_info info) {
    napi_value args[MAX_ARGUMENTS];
    addon *self = arguments(env, info, args);
    handle *ring = handle_of(self, args[0], RING);
    bmemc_results *results;
    bmemc_error error;
    if (!ring) return NULL;
    if (bmemc_ring_servers(ring->pointer, &results, &error) != BMEMC_OK) return throw_error(env, &error);
    return make_servers(env, results);
}

// keyHash(name, key) -> bigint
napi_value key_hash(napi_env env, napi_callback_info info) {
    napi_value args[MAX_ARGUMENTS], answer = NULL;
    bmemc_bytes name, key;
    void *first = NULL, *second = NULL;
    uint64_t hash;
    bmemc_error error;
    arguments(env, info, args);
    if (get_bytes(env, args[0], &name, &first) && get_bytes(env, args[1], &key, &second)) {
        if (bmemc_key_hash(name, key, &hash, &error) == BMEMC_OK) answer = make_u64(env, hash);
        else throw_error(env, &error);
    }
    free(first);
    free(second);
    return answer;
}
