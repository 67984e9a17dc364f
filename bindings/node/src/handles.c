// handles.c: clients and embedded servers. JavaScript knows them by numbers, so that one that was closed can do no harm.
#include "addon.h"
#include <stdlib.h>
#include <string.h>

// --- the table ---------------------------------------------------------------

handle *handle_get(addon *self, int64_t number, handle_kind kind) {
    if (number < 0 || number >= self->handle_count) return NULL;
    return self->handles[number]->kind == kind ? self->handles[number] : NULL;
}

static handle *handle_new(addon *self) {
    for (uint32_t i = 0; i < self->handle_count; i++)
        if (self->handles[i]->kind == NOTHING && self->handles[i]->free_from <= self->fetches) return self->handles[i];
    handle **larger = realloc(self->handles, (self->handle_count + 1) * sizeof *larger);
    if (!larger) return NULL;
    self->handles = larger;
    handle *new = calloc(1, sizeof *new);
    if (!new) return NULL;
    *new = (handle){.owner = self, .number = self->handle_count};
    return self->handles[self->handle_count++] = new;
}

static void handle_free(handle *which) {
    if (which->kind == CLIENT) bmemc_client_free(which->pointer);
    if (which->kind == SERVER) bmemc_server_free(which->pointer);
    // The queue drops what it has of a client with its next fetch.
    which->free_from = which->submitted ? which->owner->fetches + 2 : 0;
    which->submitted = false;
    which->kind = NOTHING;
    which->pointer = NULL;
}

void handles_free(addon *self) {
    for (uint32_t i = 0; i < self->handle_count; i++) {
        handle_free(self->handles[i]);
        free(self->handles[i]);
    }
    free(self->handles);
    self->handles = NULL;
    self->handle_count = 0;
}

// The handle that an argument names; NULL: it was thrown that there is none.
static handle *handle_of(addon *self, napi_value number, handle_kind kind) {
    static const bmemc_error closed = {
        .status = BMEMC_E_CLOSED, .bits = BMEMC_BIT_NOT_SENT, .message = "it is closed"};
    int64_t found = -1;
    napi_get_value_int64(self->env, number, &found);
    handle *which = handle_get(self, found, kind);
    if (!which) throw_error(self->env, &closed);
    return which;
}

// A handle's number for JavaScript; what could not be kept is freed.
static napi_value keep(addon *self, handle *which, handle_kind kind, void *pointer) {
    which->kind = kind;
    which->pointer = pointer;
    return make_number(self->env, which->number);
}

static napi_value no_memory(napi_env env) { return throw_argument(env, "there is no memory for another handle"); }

// close(number): ends a client, or a server with its thread. One that is closed already is left alone.
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

// Element `i` of an array as bytes.
static bool element(napi_env env, napi_value array, uint32_t i, bmemc_bytes *bytes, void **owned) {
    napi_value value;
    *owned = NULL;
    return napi_get_element(env, array, i, &value) == napi_ok && get_bytes(env, value, bytes, owned);
}

// One of [[address, name, weight], ...].
static bool add_server(napi_env env, bmemc_options *options, napi_value server) {
    bmemc_bytes address, name;
    void *first = NULL, *second = NULL;
    napi_value number;
    uint32_t weight = 1;
    bmemc_error error;
    bool done = element(env, server, 0, &address, &first) && element(env, server, 1, &name, &second);
    if (done) {
        napi_get_element(env, server, 2, &number);
        napi_get_value_uint32(env, number, &weight);
        done = bmemc_options_add_server(options, address, name, weight, &error) == BMEMC_OK;
        if (!done) throw_error(env, &error);
    }
    free(first);
    free(second);
    return done;
}

// One of [[name, value], ...].
static bool set_option(napi_env env, bmemc_options *options, napi_value option) {
    bmemc_bytes name, value;
    void *first = NULL, *second = NULL;
    bmemc_error error;
    bool done = element(env, option, 0, &name, &first) && element(env, option, 1, &value, &second);
    if (done && bmemc_options_set(options, name, value, &error) != BMEMC_OK) {
        throw_error(env, &error);
        done = false;
    }
    free(first);
    free(second);
    return done;
}

// Does something with each element of an array; false: an exception waits.
static bool each(napi_env env, bmemc_options *options, napi_value array,
                 bool (*act)(napi_env, bmemc_options *, napi_value)) {
    uint32_t count = 0;
    napi_get_array_length(env, array, &count);
    for (uint32_t i = 0; i < count; i++) {
        napi_value value;
        if (napi_get_element(env, array, i, &value) != napi_ok || !act(env, options, value)) return false;
    }
    return true;
}

// client(servers, options) -> number
napi_value client_new(napi_env env, napi_callback_info info) {
    napi_value args[MAX_ARGUMENTS], number = NULL;
    addon *self = arguments(env, info, args);
    handle *new = handle_new(self);
    bmemc_options *options = bmemc_options_new();
    bmemc_client *client = NULL;
    bmemc_error error;
    if (!new) {
        no_memory(env);
    } else if (each(env, options, args[0], add_server) && each(env, options, args[1], set_option)) {
        bmemc_options_on_event(options, on_event, new, NULL);
        if (bmemc_client_new(options, &client, &error) == BMEMC_OK) number = keep(self, new, CLIENT, client);
        else throw_error(env, &error);
    }
    bmemc_options_free(options);
    return number;
}

// servers(client) -> [{name, address, weight, server}, ...]
napi_value client_servers(napi_env env, napi_callback_info info) {
    napi_value args[MAX_ARGUMENTS], array;
    addon *self = arguments(env, info, args);
    handle *client = handle_of(self, args[0], CLIENT);
    bmemc_results *results;
    bmemc_error error;
    size_t count = 0;
    if (!client) return NULL;
    if (bmemc_client_servers(client->pointer, &results, &error) != BMEMC_OK) return throw_error(env, &error);
    const bmemc_item *items = bmemc_results_items(results, &count);
    napi_create_array(env, &array);
    for (size_t i = 0; i < count; i++) {
        napi_value server;
        napi_create_object(env, &server);
        set_property(env, server, "name", make_string(env, items[i].key));
        set_property(env, server, "address", make_string(env, items[i].value));
        set_property(env, server, "weight", make_number(env, (double)items[i].number));
        set_property(env, server, "server", make_number(env, items[i].server));
        napi_set_element(env, array, (uint32_t)i, server);
    }
    bmemc_results_free(results);
    return array;
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
    };
    napi_create_object(env, &object);
    for (size_t i = 0; i < sizeof counted / sizeof *counted; i++)
        set_property(env, object, counted[i].name, make_number(env, (double)counted[i].value));
    return object;
}

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

// options() -> [{name, default, accepts, about}, ...]
napi_value option_list(napi_env env, napi_callback_info info) {
    napi_value array;
    const bmemc_option *option;
    (void)info;
    napi_create_array(env, &array);
    for (uint32_t i = 0; (option = bmemc_option_at(i)); i++) {
        napi_value object;
        napi_create_object(env, &object);
        set_property(env, object, "name", make_text(env, option->name));
        set_property(env, object, "default", make_text(env, option->default_value));
        set_property(env, object, "accepts", make_text(env, option->accepts));
        set_property(env, object, "about", make_text(env, option->about));
        napi_set_element(env, array, i, object);
    }
    return array;
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
    if (!new) return no_memory(env);
    if (!get_bytes(env, args[0], &listen, &owned)) return NULL;
    bmemc_status status = bmemc_server_start(listen, &server, &error);
    free(owned);
    if (status != BMEMC_OK) return throw_error(env, &error);
    napi_create_array(env, &answer);
    napi_set_element(env, answer, 0, keep(self, new, SERVER, server));
    napi_set_element(env, answer, 1, make_text(env, bmemc_server_address(server)));
    return answer;
}
