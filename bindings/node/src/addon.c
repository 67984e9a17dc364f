// addon.c: the beginning and the end of the addon in an environment, and what it exports.
#include "addon.h"
#include <stdlib.h>

addon *arguments(napi_env env, napi_callback_info info, napi_value args[MAX_ARGUMENTS]) {
    void *self = NULL;
    size_t count = MAX_ARGUMENTS;
    napi_get_cb_info(env, info, &count, args, NULL, &self); // fills up with undefined
    return self;
}

// statusText(status) -> [name, words]
static napi_value status_text(napi_env env, napi_callback_info info) {
    napi_value args[MAX_ARGUMENTS], answer;
    int32_t status = 0;
    arguments(env, info, args);
    napi_get_value_int32(env, args[0], &status);
    napi_create_array(env, &answer);
    napi_set_element(env, answer, 0, make_text(env, bmemc_status_name(status)));
    napi_set_element(env, answer, 1, make_text(env, bmemc_status_text(status)));
    return answer;
}

// --- the end -----------------------------------------------------------------

static void free_addon(addon *self) {
    napi_async_cleanup_hook_handle cleanup = self->cleanup;
    // JavaScript's memory may be gone; connections that end now have nobody to tell.
    self->counts = NULL;
    // Operations under way refer to clients by references of their own.
    bmemc_queue_free(self->queue);
    handles_free(self);
    events_free(self);
    free(self);
    if (cleanup) napi_remove_async_cleanup_hook(cleanup);
}

static void on_closed(uv_handle_t *poll) { free_addon(poll->data); }

// The environment ends: a worker was terminated, or the process exits. Nothing may be told any more.
static void on_environment_ends(napi_async_cleanup_hook_handle handle, void *data) {
    (void)handle;
    loop_stop(data, on_closed);
}

// --- the beginning -----------------------------------------------------------

typedef struct { const char *name; napi_callback function; } exported;

// What needs a queue, and what does not.
static const exported of_addon[] = {
    {"submit", loop_submit},
    {"cancel", loop_cancel},
    {"slab", loop_slab},
    {"events", events_take},
    {"close", handle_close},
    {"client", client_new},
    {"fallback", client_fallback},
    {"pool", client_pool},
    {"health", client_health},
    {"disconnectAll", client_disconnect_all},
    {"checkKey", client_check_key},
    {"servers", client_servers},
    {"serverFor", client_server_for},
    {"replaceServers", client_replace_servers},
    {"addServer", client_add_server},
    {"removeServer", client_remove_server},
    {"counters", client_counters},
    {"setCredentials", client_set_credentials},
    {"setOption", client_set_option},
    {"dump", dump_new},
    {"dumpNext", dump_next},
    {"encode", value_encode},
    {"decode", value_decode},
    {"server", server_start},
    {"serverSet", server_set},
    {"ring", ring_new},
    {"ringAdd", ring_add},
    {"ringRemove", ring_remove},
    {"ringGet", ring_get},
    {"ringSuccessors", ring_successors},
    {"ringServers", ring_servers},
};
static napi_value create(napi_env env, napi_callback_info info);
static const exported of_module[] = {
    {"create", create},
    {"options", option_list},
    {"statsItems", stats_items},
    {"keyHash", key_hash},
    {"address", address_parse},
    {"statusText", status_text},
};

static void export_all(napi_env env, napi_value object, const exported *list, size_t count, addon *self) {
    for (size_t i = 0; i < count; i++) {
        napi_value function;
        if (napi_create_function(env, list[i].name, NAPI_AUTO_LENGTH, list[i].function, self, &function) == napi_ok)
            set_property(env, object, list[i].name, function);
    }
}

static addon *addon_new(napi_env env) {
    uv_loop_t *loop;
    bmemc_error error;
    addon *self = calloc(1, sizeof *self);
    if (!self) return (void *)throw_argument(env, "there is no memory");
    self->env = env;
    self->last_event = &self->first_event;
    if (bmemc_queue_new(&self->queue, &error) != BMEMC_OK) {
        free(self);
        return (void *)throw_error(env, &error);
    }
    if (napi_get_uv_event_loop(env, &loop) != napi_ok || !loop_start(self, loop)) {
        free_addon(self);
        return (void *)throw_argument(env, "the event loop does not poll the queue's descriptor");
    }
    // From here on the hook frees it.
    if (napi_add_async_cleanup_hook(env, on_environment_ends, self, &self->cleanup) != napi_ok) abort();
    return self;
}

// create(tables, on_answers, flush) -> the functions of an addon with a queue of its own. Test runners load JavaScript anew in an
// environment that has the addon already: each gets one.
static napi_value create(napi_env env, napi_callback_info info) {
    napi_value args[MAX_ARGUMENTS], object;
    arguments(env, info, args);
    addon *self = addon_new(env);
    if (!self || !loop_attach(self, args[0], args[1], args[2])) return NULL;
    napi_create_object(env, &object);
    export_all(env, object, of_addon, sizeof of_addon / sizeof *of_addon, self);
    return object;
}

NAPI_MODULE_INIT() {
    export_all(env, exports, of_module, sizeof of_module / sizeof *of_module, NULL);
    set_property(env, exports, "constants", make_constants(env));
    set_property(env, exports, "version", make_text(env, bmemc_version()));
    return exports;
}
