// values.c: bytes, strings, numbers and errors, between C and JavaScript.
#include "addon.h"
#include <stdlib.h>
#include <string.h>

// From here on a value is handed over as it is; below it is copied into memory of JavaScript's, which can be transferred.
enum { HAND_OVER_BYTES = 1 << 20 };

napi_value throw_error(napi_env env, const bmemc_error *error) {
    napi_value thrown, code = make_text(env, bmemc_status_name(error->status));
    if (napi_create_error(env, code, make_text(env, error->message), &thrown) != napi_ok) return NULL;
    set_property(env, thrown, "status", make_number(env, error->status));
    set_property(env, thrown, "osError", make_number(env, error->os_error));
    set_property(env, thrown, "bits", make_number(env, error->bits));
    napi_throw(env, thrown);
    return NULL;
}

napi_value throw_argument(napi_env env, const char *message) {
    bmemc_error error = {.status = BMEMC_E_ARGUMENT, .bits = BMEMC_BIT_NOT_SENT};
    strncpy(error.message, message, sizeof error.message - 1);
    return throw_error(env, &error);
}

static bool get_string(napi_env env, napi_value value, bmemc_bytes *bytes, void **owned) {
    size_t len = 0;
    napi_get_value_string_utf8(env, value, NULL, 0, &len);
    char *text = malloc(len + 1);
    if (!text || napi_get_value_string_utf8(env, value, text, len + 1, &len) != napi_ok) {
        free(text);
        throw_argument(env, "a string could not be read");
        return false;
    }
    *bytes = (bmemc_bytes){(const uint8_t *)text, len};
    *owned = text;
    return true;
}

bool get_bytes(napi_env env, napi_value value, bmemc_bytes *bytes, void **owned) {
    napi_valuetype type = napi_undefined;
    bool is_buffer = false;
    void *data = NULL;
    *bytes = (bmemc_bytes){NULL, 0};
    *owned = NULL;
    napi_typeof(env, value, &type);
    if (type == napi_undefined) return true;
    if (type == napi_string) return get_string(env, value, bytes, owned);
    napi_is_buffer(env, value, &is_buffer);
    if (is_buffer && napi_get_buffer_info(env, value, &data, &bytes->len) == napi_ok) {
        bytes->data = data;
        return true;
    }
    throw_argument(env, "neither a string nor a Buffer");
    return false;
}

napi_value make_string(napi_env env, bmemc_bytes text) {
    napi_value value = NULL;
    napi_create_string_utf8(env, text.data ? (const char *)text.data : "", text.len, &value);
    return value;
}

napi_value make_text(napi_env env, const char *text) {
    return make_string(env, (bmemc_bytes){(const uint8_t *)text, strlen(text)});
}

napi_value make_number(napi_env env, double number) {
    napi_value value = NULL;
    napi_create_double(env, number, &value);
    return value;
}

napi_value make_u64(napi_env env, uint64_t number) {
    napi_value value = NULL;
    napi_create_bigint_uint64(env, number, &value);
    return value;
}

napi_value make_buffer(napi_env env, bmemc_bytes bytes) {
    napi_value value = NULL;
    napi_create_buffer_copy(env, bytes.len, bytes.len ? (const void *)bytes.data : "", NULL, &value);
    return value;
}

void set_property(napi_env env, napi_value object, const char *name, napi_value value) {
    if (value) napi_set_named_property(env, object, name, value);
}

static void free_owner(napi_env env, void *data, void *owner) {
    (void)env, (void)data;
    bmemc_value_free(owner);
}

napi_value make_owned(napi_env env, const bmemc_item *item, bmemc_value *owner) {
    napi_value object = NULL, value = NULL;
    bool handed_over = false;
    napi_create_object(env, &object);
    if (item->key.len) set_property(env, object, "key", make_buffer(env, item->key));
    if (item->detail.len) set_property(env, object, "detail", make_string(env, item->detail));
    if (item->value.len >= HAND_OVER_BYTES) {
        // Runtimes with a memory cage refuse this; there it is copied.
        void *data = (void *)(uintptr_t)item->value.data;
        handed_over = napi_create_external_buffer(env, item->value.len, data, free_owner, owner, &value) == napi_ok;
    }
    if (!handed_over && item->value.data) value = make_buffer(env, item->value);
    set_property(env, object, "value", value);
    if (!handed_over) bmemc_value_free(owner);
    return object;
}
