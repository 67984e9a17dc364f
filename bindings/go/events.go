package bmemc

// #include "bridge.h"
import "C"

import (
	"context"
	"fmt"
	"log/slog"
	"syscall"
	"time"
	"unsafe"
)

// EventKind says what happened; more may come.
type EventKind int32

const (
	// EventConnected: a connection was opened.
	EventConnected EventKind = C.BMEMC_EVENT_CONNECTED
	// EventClosed: a connection was closed; Err says why.
	EventClosed EventKind = C.BMEMC_EVENT_CLOSED
	// EventSlow: a call took long. Calls of this binding are not timed by the library: see [Options.Observe].
	EventSlow EventKind = C.BMEMC_EVENT_SLOW
	// EventQuietFailure: an operation with [FlagNoReply] failed.
	EventQuietFailure EventKind = C.BMEMC_EVENT_QUIET_FAILURE
	// EventBreakerOpened: a server failed so often that calls to it fail at once, but for a probe now and then.
	EventBreakerOpened EventKind = C.BMEMC_EVENT_BREAKER_OPENED
	// EventBreakerClosed: a server answers again.
	EventBreakerClosed EventKind = C.BMEMC_EVENT_BREAKER_CLOSED
	// EventConnectFailed: a connection could not be opened; Err says why.
	EventConnectFailed EventKind = C.BMEMC_EVENT_CONNECT_FAILED
	// EventDiscoveryFailed: nobody could be asked which servers there are, or the answer was no use; Err says why.
	EventDiscoveryFailed EventKind = C.BMEMC_EVENT_DISCOVERY_FAILED
	// EventServersChanged: discovery has found other servers; Message says which came (+) and went (-).
	EventServersChanged EventKind = C.BMEMC_EVENT_SERVERS_CHANGED
)

var eventNames = map[EventKind]string{
	EventConnected: "connected", EventClosed: "closed", EventSlow: "slow", EventQuietFailure: "quiet failure",
	EventBreakerOpened: "breaker opened", EventBreakerClosed: "breaker closed", EventConnectFailed: "connect failed",
	EventDiscoveryFailed: "discovery failed", EventServersChanged: "servers changed",
}

// String returns a few words, such as "connect failed".
func (k EventKind) String() string {
	if name, ok := eventNames[k]; ok {
		return name
	}
	return fmt.Sprintf("event %d", int32(k))
}

// Event is something that happened to a client.
type Event struct {
	// Kind says what.
	Kind EventKind
	// Server is the index of the server that it is about.
	Server int
	// Err says why; nil where nothing failed.
	Err error
	// Elapsed is how long it took, where it is about something that takes time.
	Elapsed time.Duration
	// Message says it in words.
	Message string
	// Lost is how many events before it were dropped because there were too many at once.
	Lost int
}

// LogEvents returns a function for [Options.OnEvent] that writes events to a log: failures as warnings, all others as
// debugging information. A nil logger is [slog.Default].
func LogEvents(logger *slog.Logger) func(Event) {
	return func(event Event) {
		to, level := logger, slog.LevelDebug
		if to == nil {
			to = slog.Default()
		}
		if event.Err != nil && event.Kind != EventClosed || event.Lost > 0 {
			level = slog.LevelWarn
		}
		attributes := []slog.Attr{slog.String("event", event.Kind.String()), slog.Int("server", event.Server)}
		if event.Elapsed > 0 {
			attributes = append(attributes, slog.Duration("elapsed", event.Elapsed))
		}
		if event.Err != nil {
			attributes = append(attributes, slog.Any("error", event.Err))
		}
		if event.Lost > 0 {
			attributes = append(attributes, slog.Int("lost", event.Lost))
		}
		to.LogAttrs(context.Background(), level, "bmemc: "+event.Message, attributes...)
	}
}

// An eventPump takes events from the library's threads to the user's function, which runs on a goroutine of its own and
// may do what it likes. A nil one does nothing.
type eventPump struct {
	waiting *C.bridge_events
	tell    func(Event)
	wake    chan struct{}
}

func newEventPump(tell func(Event)) *eventPump {
	if tell == nil {
		return nil
	}
	p := &eventPump{waiting: C.bridge_events_new(), tell: tell, wake: make(chan struct{}, 1)}
	go p.run()
	return p
}

// poke has the events told of that have come, if any.
func (p *eventPump) poke() {
	if p == nil || !bool(C.bridge_events_waiting(p.waiting)) {
		return
	}
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// close tells of the last events and ends the goroutine. Nobody may poke any more.
func (p *eventPump) close() {
	if p != nil {
		close(p.wake)
	}
}

func (p *eventPump) run() {
	defer C.bridge_events_free(p.waiting)
	for range p.wake {
		p.drain()
	}
	p.drain()
}

func (p *eventPump) drain() {
	var from C.bridge_event
	var lost C.uint64_t
	for C.bridge_events_take(p.waiting, &from, &lost) {
		event := Event{
			Kind: EventKind(from.kind), Server: int(from.server), Lost: int(lost),
			Elapsed: time.Duration(from.elapsed_us) * time.Microsecond,
			Message: string(unsafe.Slice((*byte)(&from.message[0]), int(from.message_len))),
		}
		if from.status < 0 {
			event.Err = &Error{Status: Status(from.status), OSError: syscall.Errno(from.os_error), Server: event.Server, Message: event.Message}
		}
		lost = 0
		p.tell(event)
	}
}
