// handles.c: clients, dumps and embedded servers. JavaScript knows them by numbers, so that one that was closed can do no harm.
#include "addon.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// --- the table ---------------------------------------------------------------

handle *handle_get(addon *self, int64_t number, handle_kind kind) {
    if (number < 0 || number >= self->handle_count) return NULL;
    return self->handles[number]->kind == kind ? self->handles[number] : NULL;
}

// The functions of a client that is gone are let go once it cannot call them any more.
static handle *reused(handle *which) {
    for (int i = 0; i < USER_FUNCTIONS; i++) {
        if (which->functions[i]) napi_delete_reference(which->owner->env, which->functions[i]);
        which->functions[i] = NULL;
    }
    return which;
}

handle *handle_new(addon *self) {
    for (uint32_t i = 0; i < self->handle_count; i++) {
        handle *which = self->handles[i];
        if (which->kind == NOTHING && which->free_from <= self->fetches) return reused(which);
    }
    handle **larger = realloc(self->handles, (self->handle_count + 1) * sizeof *larger);
    if (larger) self->handles = larger;
    handle *new = larger ? calloc(1, sizeof *new) : NULL;
    if (!new) return (void *)throw_argument(self->env, "there is no memory for another handle");
    *new = (handle){.owner = self, .number = self->handle_count};
    return self->handles[self->handle_count++] = new;
}

// What a dump has to tell it tells by way of its client, which is about to go.
static void end_dumps(const handle *client) {
    for (uint32_t i = 0; i < client->owner->handle_count; i++) {
        handle *dump = client->owner->handles[i];
        if (dump->kind != DUMP || dump->client != client->number) continue;
        bmemc_dump_free(dump->pointer);
        dump->pointer = NULL;
        dump->kind = ENDED;
    }
}

static void handle_free(handle *which) {
    addon *self = which->owner;
    if (which->kind == CLIENT) end_dumps(which);
    if (which->kind == CLIENT) bmemc_client_free(which->pointer);
    if (which->kind == SERVER) bmemc_server_free(which->pointer);
    if (which->kind == RING) bmemc_ring_free(which->pointer);
    if (which->kind == DUMP) bmemc_dump_free(which->pointer);
    // The queue drops what it has of a client with its next fetch.
    which->free_from = which->submitted ? self->fetches + 2 : 0;
    which->submitted = false;
    which->kind = NOTHING;
    which->pointer = NULL;
}

void handles_free(addon *self) {
    for (uint32_t i = 0; i < self->handle_count; i++) handle_free(self->handles[i]);
    for (uint32_t i = 0; i < self->handle_count; i++) free(self->handles[i]);
    free(self->handles);
    self->handles = NULL;
    self->handle_count = 0;
}

handle *handle_of(addon *self, napi_value number, handle_kind kind) {
    static const char *const names[] = {[CLIENT] = "client", [SERVER] = "server", [RING] = "ring", [DUMP] = "dump"};
    bmemc_error closed = {.status = BMEMC_E_CLOSED, .bits = BMEMC_BIT_NOT_SENT};
    int64_t found = -1;
    napi_get_value_int64(self->env, number, &found);
    handle *which = handle_get(self, found, kind);
    if (which) return which;
    snprintf(closed.message, sizeof closed.message, "the %s is closed", names[kind]);
    throw_error(self->env, &closed);
    return NULL;
}

napi_value handle_keep(handle *which, handle_kind kind, void *pointer) {
    which->kind = kind;
    which->pointer = pointer;
    return make_number(which->owner->env, which->number);
}

// close(number): ends a client, a server with its thread, or a dump. One that is closed already is left alone.
napi_value handle_close(napi_env env, napi_callback_info info) {
    napi_value args[MAX_ARGUMENTS];
    addon *self = arguments(env, info, args);
    int64_t number = -1;
    napi_get_value_int64(env, args[0], &number);
    if (number >= 0 && number < self->handle_count && self->handles[number]->kind != NOTHING)
        handle_free(self->handles[number]);
    return NULL;
}

// --- clients -----------------------------------------------------------------

// client(servers, options, {compress, decompress, route}) -> number
napi_value client_new(napi_env env, napi_callback_info info) {
    napi_value args[MAX_ARGUMENTS], number = NULL;
    addon *self = arguments(env, info, args);
    handle *new = handle_new(self);
    bmemc_client *client = NULL;
    bmemc_error error;
    if (!new) return NULL;
    bmemc_options *options = make_options(self, new, args[0], args[1], args[2]);
    if (!options) return NULL;
    bmemc_options_on_event(options, on_event, new, NULL);
    if (bmemc_client_new(options, &client, &error) == BMEMC_OK) number = handle_keep(new, CLIENT, client);
    else throw_error(env, &error);
    bmemc_options_free(options);
    return number;
}

static napi_value make_server(napi_env env, const bmemc_item *item) {
    napi_value server;
    napi_create_object(env, &server);
    set_property(env, server, "name", make_string(env, item->key));
    set_property(env, server, "address", make_string(env, item->value));
    set_property(env, server, "weight", make_number(env, (double)item->number));
    set_property(env, server, "server", make_number(env, item->server));
    return server;
}

napi_value make_servers(napi_env env, bmemc_results *results) {
    napi_value array;
    size_t count = 0;
    const bmemc_item *items = bmemc_results_items(results, &count);
    napi_create_array(env, &array);
    for (size_t i = 0; i < count; i++) napi_set_element(env, array, (uint32_t)i, make_server(env, &items[i]));
    bmemc_results_free(results);
    return array;
}

// servers(client) -> [{name, address, weight, server}, ...]
napi_value client_servers(napi_env env, napi_callback_info info) {
    napi_value args[MAX_ARGUMENTS];
    addon *self = arguments(env, info, args);
    handle *client = handle_of(self, args[0], CLIENT);
    bmemc_results *results;
    bmemc_error error;
    if (!client) return NULL;
    if (bmemc_client_servers(client->pointer, &results, &error) != BMEMC_OK) return throw_error(env, &error);
    return make_servers(env, results);
}

// The clients that an array has the numbers of, to be freed; NULL: it was thrown why not.
static const bmemc_client **clients_of(addon *self, napi_value numbers, uint32_t *count) {
    napi_get_array_length(self->env, numbers, count);
    const bmemc_client **clients = calloc(*count + 1u, sizeof *clients);
    if (!clients) return (void *)throw_argument(self->env, "there is no memory for so many clients");
    for (uint32_t i = 0; i < *count; i++) {
        napi_value number = NULL;
        napi_get_element(self->env, numbers, i, &number);
        handle *client = handle_of(self, number, CLIENT);
        if (!client) {
            free(clients);
            return NULL;
        }
        clients[i] = client->pointer;
    }
    return clients;
}

// fallback([client, ...]) -> number
napi_value client_fallback(napi_env env, napi_callback_info info) {
    napi_value args[MAX_ARGUMENTS];
    addon *self = arguments(env, info, args);
    bmemc_client *made;
    bmemc_error error;
    uint32_t count = 0;
    handle *new = handle_new(self);
    const bmemc_client **clients = new ? clients_of(self, args[0], &count) : NULL;
    if (!clients) return NULL;
    bmemc_status status = bmemc_client_new_fallback(clients, count, &made, &error);
    free(clients);
    return status == BMEMC_OK ? handle_keep(new, CLIENT, made) : throw_error(env, &error);
}

// replaceServers(client, servers)
napi_value client_replace_servers(napi_env env, napi_callback_info info) {
    napi_value args[MAX_ARGUMENTS];
    addon *self = arguments(env, info, args);
    handle *client = handle_of(self, args[0], CLIENT);
    bmemc_error error;
    if (!client) return NULL;
    bmemc_options *options = make_options(self, client, args[1], NULL, NULL);
    if (!options) return NULL;
    if (bmemc_client_replace_servers(client->pointer, options, &error) != BMEMC_OK) throw_error(env, &error);
    bmemc_options_free(options);
    return NULL;
}

// serverFor(client, key) -> {name, address, weight, server}
napi_value client_server_for(napi_env env, napi_callback_info info) {
    napi_value args[MAX_ARGUMENTS];
    addon *self = arguments(env, info, args);
    handle *client = handle_of(self, args[0], CLIENT);
    bmemc_bytes key;
    bmemc_value *found;
    bmemc_error error;
    void *owned;
    if (!client || !get_bytes(env, args[1], &key, &owned)) return NULL;
    bmemc_status status = bmemc_client_server_for(client->pointer, key, &found, &error);
    free(owned);
    if (status < 0) return throw_error(env, &error);
    if (status != BMEMC_OK) return NULL;
    napi_value server = make_server(env, bmemc_value_item(found));
    bmemc_value_free(found);
    return server;
}

// setCredentials(client, username, password)
napi_value client_set_credentials(napi_env env, napi_callback_info info) {
    napi_value args[MAX_ARGUMENTS];
    addon *self = arguments(env, info, args);
    handle *client = handle_of(self, args[0], CLIENT);
    bmemc_bytes username, password;
    void *first = NULL, *second = NULL;
    bmemc_error error;
    if (!client) return NULL;
    if (get_bytes(env, args[1], &username, &first) && get_bytes(env, args[2], &password, &second) &&
        bmemc_client_set_credentials(client->pointer, username, password, &error) != BMEMC_OK)
        throw_error(env, &error);
    free(first);
    free(second);
    return NULL;
}

// setOption(client, name, value)
napi_value client_set_option(napi_env env, napi_callback_info info) {
    napi_value args[MAX_ARGUMENTS];
    addon *self = arguments(env, info, args);
    handle *client = handle_of(self, args[0], CLIENT);
    bmemc_bytes name, value;
    void *first = NULL, *second = NULL;
    bmemc_error error;
    if (!client) return NULL;
    if (get_bytes(env, args[1], &name, &first) && get_bytes(env, args[2], &value, &second) &&
        bmemc_client_set_option(client->pointer, name, value, &error) != BMEMC_OK)
        throw_error(env, &error);
    free(first);
    free(second);
    return NULL;
}

// addServer(client, address, name, weight)
napi_value client_add_server(napi_env env, napi_callback_info info) {
    napi_value args[MAX_ARGUMENTS];
    addon *self = arguments(env, info, args);
    handle *client = handle_of(self, args[0], CLIENT);
    bmemc_bytes address, name;
    void *first = NULL, *second = NULL;
    uint32_t weight = 1;
    bmemc_error error;
    if (!client) return NULL;
    if (get_bytes(env, args[1], &address, &first) && get_bytes(env, args[2], &name, &second)) {
        napi_get_value_uint32(env, args[3], &weight);
        if (bmemc_client_add_server(client->pointer, address, name, weight, &error) != BMEMC_OK) throw_error(env, &error);
    }
    free(first);
    free(second);
    return NULL;
}

// removeServer(client, name) -> whether there was one
napi_value client_remove_server(napi_env env, napi_callback_info info) {
    napi_value args[MAX_ARGUMENTS], removed = NULL;
    addon *self = arguments(env, info, args);
    handle *client = handle_of(self, args[0], CLIENT);
    bmemc_bytes name;
    void *owned;
    bmemc_error error;
    if (!client || !get_bytes(env, args[1], &name, &owned)) return NULL;
    bmemc_status status = bmemc_client_remove_server(client->pointer, name, &error);
    free(owned);
    if (status < 0) return throw_error(env, &error);
    napi_get_boolean(env, status == BMEMC_OK, &removed);
    return removed;
}

// counters(client, server) -> {operations, ...}
napi_value client_counters(napi_env env, napi_callback_info info) {
    napi_value args[MAX_ARGUMENTS], object;
    addon *self = arguments(env, info, args);
    handle *client = handle_of(self, args[0], CLIENT);
    bmemc_counters found;
    bmemc_error error;
    int32_t server = -1;
    if (!client) return NULL;
    napi_get_value_int32(env, args[1], &server);
    if (bmemc_client_counters(client->pointer, server, &found, &error) != BMEMC_OK) return throw_error(env, &error);
    const struct { const char *name; uint64_t value; } counted[] = {
        {"operations", found.operations},
        {"hits", found.hits},
        {"misses", found.misses},
        {"failures", found.failures},
        {"timeouts", found.timeouts},
        {"quietFailures", found.quiet_failures},
        {"bytesSent", found.bytes_sent},
        {"bytesReceived", found.bytes_received},
        {"batches", found.batches},
        {"connects", found.connects},
        {"disconnects", found.disconnects},
        {"systemCalls", found.system_calls},
        {"breakerOpened", found.breaker_opened},
        {"failedFast", found.failed_fast},
    };
    napi_create_object(env, &object);
    for (size_t i = 0; i < sizeof counted / sizeof *counted; i++)
        set_property(env, object, counted[i].name, make_number(env, (double)counted[i].value));
    return object;
}

// --- embedded servers --------------------------------------------------------

// server(listen) -> [number, address]
napi_value server_start(napi_env env, napi_callback_info info) {
    napi_value args[MAX_ARGUMENTS], answer;
    addon *self = arguments(env, info, args);
    handle *new = handle_new(self);
    bmemc_bytes listen;
    void *owned;
    bmemc_server *server;
    bmemc_error error;
    if (!new || !get_bytes(env, args[0], &listen, &owned)) return NULL;
    bmemc_status status = bmemc_server_start(listen, &server, &error);
    free(owned);
    if (status != BMEMC_OK) return throw_error(env, &error);
    napi_create_array(env, &answer);
    napi_set_element(env, answer, 0, handle_keep(new, SERVER, server));
    napi_set_element(env, answer, 1, make_text(env, bmemc_server_address(server)));
    return answer;
}

// serverSet(server, name, value)
napi_value server_set(napi_env env, napi_callback_info info) {
    napi_value args[MAX_ARGUMENTS];
    addon *self = arguments(env, info, args);
    handle *server = handle_of(self, args[0], SERVER);
    bmemc_bytes name, value;
    void *first = NULL, *second = NULL;
    bmemc_error error;
    if (!server) return NULL;
    if (get_bytes(env, args[1], &name, &first) && get_bytes(env, args[2], &value, &second) &&
        bmemc_server_set(server->pointer, name, value, &error) != BMEMC_OK)
        throw_error(env, &error);
    free(first);
    free(second);
    return NULL;
}
