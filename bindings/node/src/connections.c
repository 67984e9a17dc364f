// connections.c: what a client has open, and checks of addresses and keys as the client itself makes them.
#include "addon.h"
#include <stdlib.h>

// pool(client, server) -> {used, free, open, waiting}
napi_value client_pool(napi_env env, napi_callback_info info) {
    napi_value args[MAX_ARGUMENTS], object;
    addon *self = arguments(env, info, args);
    handle *client = handle_of(self, args[0], CLIENT);
    bmemc_pool pool;
    bmemc_error error;
    int32_t server = -1;
    if (!client) return NULL;
    napi_get_value_int32(env, args[1], &server);
    if (bmemc_client_pool(client->pointer, server, &pool, &error) != BMEMC_OK) return throw_error(env, &error);
    napi_create_object(env, &object);
    set_property(env, object, "used", make_number(env, (double)pool.used));
    set_property(env, object, "free", make_number(env, (double)pool.free));
    set_property(env, object, "open", make_number(env, (double)pool.open));
    set_property(env, object, "waiting", make_number(env, (double)pool.waiting));
    return object;
}

// health(client, server) -> {state, failures, sinceMs, probeInMs, why: {status, osError, message}}
napi_value client_health(napi_env env, napi_callback_info info) {
    napi_value args[MAX_ARGUMENTS], object, why;
    addon *self = arguments(env, info, args);
    handle *client = handle_of(self, args[0], CLIENT);
    bmemc_health health;
    bmemc_error error;
    uint32_t server = 0;
    if (!client) return NULL;
    napi_get_value_uint32(env, args[1], &server);
    if (bmemc_client_health(client->pointer, server, &health, &error) != BMEMC_OK) return throw_error(env, &error);
    napi_create_object(env, &object);
    napi_create_object(env, &why);
    set_property(env, object, "state", make_number(env, health.state));
    set_property(env, object, "failures", make_number(env, health.failures));
    set_property(env, object, "sinceMs", make_number(env, (double)health.since_ms));
    set_property(env, object, "probeInMs", make_number(env, (double)health.probe_in_ms));
    set_property(env, why, "status", make_number(env, health.why.status));
    set_property(env, why, "osError", make_number(env, health.why.os_error));
    set_property(env, why, "message", make_text(env, health.why.message));
    set_property(env, object, "why", why);
    return object;
}

// disconnectAll(client)
napi_value client_disconnect_all(napi_env env, napi_callback_info info) {
    napi_value args[MAX_ARGUMENTS];
    addon *self = arguments(env, info, args);
    handle *client = handle_of(self, args[0], CLIENT);
    bmemc_error error;
    if (client && bmemc_disconnect_all(client->pointer, &error) != BMEMC_OK) throw_error(env, &error);
    return NULL;
}

// checkKey(client, key): throws what a call with it would fail with
napi_value client_check_key(napi_env env, napi_callback_info info) {
    napi_value args[MAX_ARGUMENTS];
    addon *self = arguments(env, info, args);
    handle *client = handle_of(self, args[0], CLIENT);
    bmemc_bytes key;
    bmemc_error error;
    void *owned;
    if (!client || !get_bytes(env, args[1], &key, &owned)) return NULL;
    if (bmemc_check_key(client->pointer, key, &error) != BMEMC_OK) throw_error(env, &error);
    free(owned);
    return NULL;
}

// address(text) -> {kind, port, host}
napi_value address_parse(napi_env env, napi_callback_info info) {
    static const char *const kinds[] = {"name", "ipv4", "ipv6", "unix"};
    napi_value args[MAX_ARGUMENTS], object;
    bmemc_bytes text;
    bmemc_address address;
    bmemc_error error;
    void *owned;
    arguments(env, info, args);
    if (!get_bytes(env, args[0], &text, &owned)) return NULL;
    bmemc_status status = bmemc_address_parse(text, &address, &error);
    free(owned);
    if (status != BMEMC_OK) return throw_error(env, &error);
    bool known = address.kind >= BMEMC_ADDRESS_NAME && address.kind <= BMEMC_ADDRESS_UNIX;
    napi_create_object(env, &object);
    set_property(env, object, "kind", make_text(env, known ? kinds[address.kind] : ""));
    set_property(env, object, "port", make_number(env, address.port));
    set_property(env, object, "host", make_text(env, address.host));
    return object;
}
