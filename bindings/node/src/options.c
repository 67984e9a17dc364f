// options.c: options for clients and rings, made of what JavaScript says, and the functions of JavaScript's that the library
// calls. These run on the thread of the environment, inside a submit or a fetch of its own.
#include "addon.h"
#include <stdlib.h>

// --- functions of the user's -------------------------------------------------

// Calls one with what `args` has; NULL: there is none, or it threw.
static napi_value call_user(handle *of, user_function which, size_t count, const napi_value *args) {
    napi_env env = of->owner->env;
    napi_value function, receiver, result = NULL;
    if (!of->functions[which]) return NULL;
    napi_get_reference_value(env, of->functions[which], &function);
    napi_get_undefined(env, &receiver);
    if (napi_call_function(env, receiver, function, count, args, &result) == napi_ok) return result;
    return NULL;
}

// What a function of the user's threw, or was thrown of its result, ends here: the library is in the middle of its work.
static void forget_exception(napi_env env) {
    napi_value thrown;
    bool pending = false;
    if (napi_is_exception_pending(env, &pending) == napi_ok && pending) napi_get_and_clear_last_exception(env, &thrown);
}

// A compressor of the library's: what the function answers with is written to `output`.
static int compress_with(handle *of, user_function which, bmemc_bytes value, int32_t level, bmemc_output *output) {
    napi_env env = of->owner->env;
    napi_handle_scope scope;
    bmemc_bytes made;
    void *owned = NULL;
    int failed = 1;
    if (napi_open_handle_scope(env, &scope) != napi_ok) return 1;
    napi_value args[] = {make_buffer(env, value), make_number(env, level)};
    napi_value result = call_user(of, which, 2, args);
    if (result && get_bytes(env, result, &made, &owned)) failed = bmemc_output_write(output, made) != BMEMC_OK;
    free(owned);
    forget_exception(env);
    napi_close_handle_scope(env, scope);
    return failed;
}

static int compress(bmemc_bytes value, int32_t level, bmemc_output *output, void *context) {
    return compress_with(context, COMPRESS, value, level, output);
}

static int decompress(bmemc_bytes value, int32_t level, bmemc_output *output, void *context) {
    return compress_with(context, DECOMPRESS, value, level, output);
}

// Chooses a server for a key; what is no index of one is none.
static size_t route(bmemc_bytes key, size_t count, void *context) {
    handle *of = context;
    napi_env env = of->owner->env;
    napi_handle_scope scope;
    int64_t index = -1;
    if (napi_open_handle_scope(env, &scope) != napi_ok) return SIZE_MAX;
    napi_value args[] = {make_buffer(env, key), make_number(env, (double)count)};
    napi_value result = call_user(of, ROUTE, 2, args);
    if (result) napi_get_value_int64(env, result, &index);
    forget_exception(env);
    napi_close_handle_scope(env, scope);
    return index < 0 ? SIZE_MAX : (size_t)index;
}

// Shows a new socket; false, or an exception, refuses it.
static int32_t connected(int32_t fd, int32_t stage, bmemc_bytes address, void *context) {
    handle *of = context;
    napi_env env = of->owner->env;
    napi_handle_scope scope;
    bool allowed = true;
    if (napi_open_handle_scope(env, &scope) != napi_ok) return 0;
    const char *word = stage == BMEMC_CONNECT_OPENED ? "opened" : "connected";
    napi_value args[] = {make_number(env, fd), make_text(env, word), make_string(env, address)};
    napi_value result = call_user(of, CONNECT, 3, args);
    if (!result) allowed = false;
    else napi_get_value_bool(env, result, &allowed);
    forget_exception(env);
    napi_close_handle_scope(env, scope);
    return allowed ? 0 : 1;
}

static bool add_server(napi_env env, bmemc_options *options, napi_value server);
static bool each(napi_env env, bmemc_options *options, napi_value array,
                 bool (*act)(napi_env, bmemc_options *, napi_value));

// Asks which servers there are; an exception: it could not say.
static int32_t discover(bmemc_options *servers, void *context) {
    handle *of = context;
    napi_env env = of->owner->env;
    napi_handle_scope scope;
    if (napi_open_handle_scope(env, &scope) != napi_ok) return 1;
    napi_value result = call_user(of, DISCOVER, 0, NULL);
    bool said = result && each(env, servers, result, add_server);
    forget_exception(env);
    napi_close_handle_scope(env, scope);
    return said ? 0 : 1;
}

// Takes {compress, decompress, route, onConnect, discover}, each of which may be undefined.
static void take_functions(handle *of, bmemc_options *options, napi_value functions) {
    static const char *const names[USER_FUNCTIONS] = {"compress", "decompress", "route", "onConnect", "discover"};
    napi_env env = of->owner->env;
    for (int i = 0; i < USER_FUNCTIONS; i++) {
        napi_value function;
        napi_valuetype type = napi_undefined;
        if (napi_get_named_property(env, functions, names[i], &function) != napi_ok) continue;
        napi_typeof(env, function, &type);
        if (type == napi_function) napi_create_reference(env, function, 1, &of->functions[i]);
    }
    if (of->functions[COMPRESS] && of->functions[DECOMPRESS])
        bmemc_options_set_compressor(options, compress, decompress, of, NULL);
    if (of->functions[CONNECT]) bmemc_options_on_connect(options, connected, of, NULL);
    if (of->functions[DISCOVER]) bmemc_options_on_discover(options, discover, of, NULL);
    if (of->functions[ROUTE]) bmemc_options_on_route(options, route, of, NULL);
}

// --- servers and options -----------------------------------------------------

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

bmemc_options *make_options(addon *self, handle *of, napi_value servers, napi_value values, napi_value functions) {
    bmemc_options *options = bmemc_options_new();
    if (each(self->env, options, servers, add_server) && (!values || each(self->env, options, values, set_option))) {
        if (functions) take_functions(of, options, functions);
        return options;
    }
    bmemc_options_free(options);
    return NULL;
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
