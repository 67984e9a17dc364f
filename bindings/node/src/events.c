// events.c: events of clients wait in a list until JavaScript takes them, since a listener may do what a callback of the
// library's may not.
#include "addon.h"
#include <stdlib.h>
#include <string.h>

enum { MAX_EVENTS = 1000 }; // what nobody takes in time is not kept

struct event {
    event *next;
    uint32_t client;
    bmemc_event what; // its message is behind this
    char message[];
};

// Runs inside a submit or a fetch of this environment's, on its thread.
void on_event(const bmemc_event *what, void *context) {
    const handle *client = context;
    addon *self = client->owner;
    if (!self->counts || self->counts->events >= MAX_EVENTS) return;
    event *new = malloc(sizeof *new + what->message.len);
    if (!new) return;
    *new = (event){.client = client->number, .what = *what};
    memcpy(new->message, what->message.data, what->message.len);
    *self->last_event = new;
    self->last_event = &new->next;
    self->counts->events++;
}

static napi_value make_event(napi_env env, const event *from) {
    napi_value object;
    napi_create_object(env, &object);
    set_property(env, object, "client", make_number(env, from->client));
    set_property(env, object, "kind", make_number(env, from->what.kind));
    set_property(env, object, "server", make_number(env, from->what.server));
    set_property(env, object, "status", make_number(env, from->what.status));
    set_property(env, object, "osError", make_number(env, from->what.os_error));
    set_property(env, object, "elapsedUs", make_number(env, (double)from->what.elapsed_us));
    bmemc_bytes message = {(const uint8_t *)from->message, from->what.message.len};
    set_property(env, object, "message", make_string(env, message));
    return object;
}

// events() -> all that wait, the oldest first.
napi_value events_take(napi_env env, napi_callback_info info) {
    napi_value args[MAX_ARGUMENTS], array;
    addon *self = arguments(env, info, args);
    uint32_t count = 0;
    napi_create_array(env, &array);
    for (const event *at = self->first_event; at; at = at->next) napi_set_element(env, array, count++, make_event(env, at));
    events_free(self);
    return array;
}

void events_free(addon *self) {
    for (event *at = self->first_event, *next; at; at = next) {
        next = at->next;
        free(at);
    }
    self->first_event = NULL;
    self->last_event = &self->first_event;
    if (self->counts) self->counts->events = 0;
}
