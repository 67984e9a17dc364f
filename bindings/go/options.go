package bmemc

// #include <stdlib.h>
// #include "bridge.h"
import "C"

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"sort"
	"strconv"
	"time"
	"unsafe"
)

// Server is one server of a client.
type Server struct {
	// Address is "host", "host:port", "1.2.3.4:port", "[::1]:port", "::1" or "/path/of/socket"; the port is 11211 where
	// none is given. A host name is looked up when it is first needed.
	Address string
	// Name is what a hash ring knows the server by; empty: the address as it is written.
	Name string
	// Weight is its share of the keys; zero: 1.
	Weight int
}

// Servers makes a list of servers without names and weights.
func Servers(addresses ...string) []Server {
	servers := make([]Server, len(addresses))
	for i, address := range addresses {
		servers[i].Address = address
	}
	return servers
}

// Switch is an option that is on or off, or left at its default.
type Switch int

const (
	// Default leaves it to the library.
	Default Switch = iota
	// On sets it.
	On
	// Off clears it.
	Off
)

// Options say how a client is to be. The zero value of a field is the library's default, which docs/options.md has with
// what each option accepts; Servers must be set. [New] checks all of them.
type Options struct {
	// Servers are those of the client; at least one.
	Servers []Server

	// Protocol is "auto" (what the server understands best), "text", "meta" or "binary".
	Protocol string `bmemc:"protocol"`
	// Timeout is how long a call may take in all, from name lookup to the last byte of the answer; in whole milliseconds,
	// 1 s by default. A context's deadline counts where it is earlier.
	Timeout time.Duration `bmemc:"timeout_ms"`
	// ConnectTimeout is what opening a connection may take of that; 500 ms by default.
	ConnectTimeout time.Duration `bmemc:"connect_timeout_ms"`
	// Connections to each server at most; 2 by default, which are shared by all goroutines.
	Connections int `bmemc:"connections"`
	// ConnectionsIdle is after how long an unused connection is closed instead of used; 1 minute by default.
	ConnectionsIdle time.Duration `bmemc:"connections_idle_ms"`
	// MaxWaiting is how many operations may be under way to one server; the next one fails with [ErrBusy]. 100,000 by default.
	MaxWaiting int `bmemc:"max_waiting"`
	// MaxValueBytes is the longest value that is accepted from a server or sent to it; 128 MiB by default.
	MaxValueBytes int `bmemc:"max_value_bytes"`
	// NoDelay is TCP_NODELAY; on by default.
	NoDelay Switch `bmemc:"no_delay"`
	// Slow is from when on a call is told of by [EventSlow]; never by default, and not for calls of this binding.
	Slow time.Duration `bmemc:"slow_ms"`

	// Named sets any option by the name that docs/options.md has, as "timeout_ms": "500"; it counts where a field says
	// something else.
	Named map[string]string

	// OnEvent is told what happens to the client's connections, one event at a time, on a goroutine of its own; see
	// [LogEvents]. Nil: nobody is.
	OnEvent func(Event)
	// Observe is called when a call begins, and the function that it returns, unless that is nil, when it ends. The
	// context that it returns is the call's. Nil: calls are not observed.
	Observe func(ctx context.Context, call Call) (context.Context, func(error))
	// Marshal makes bytes of what [SetValue] stores, where it is not a string, bytes or a number; [json.Marshal] by default.
	Marshal func(any) ([]byte, error)
	// Unmarshal does the reverse for [GetValue]; [json.Unmarshal] by default.
	Unmarshal func([]byte, any) error
}

// Call is what [Options.Observe] is told of a call.
type Call struct {
	// Op is what is asked.
	Op Opcode
	// Key is the first key.
	Key string
	// Count is how many operations there are.
	Count int
}

// OptionInfo describes an option, as docs/options.md does.
type OptionInfo struct {
	// Name is what [Options.Named] calls it.
	Name string
	// Default is its value where none is set.
	Default string
	// Accepts says what values it takes.
	Accepts string
	// About says what it does, with its unit.
	About string
}

// AllOptions lists every option there is, in the order of docs/options.md.
func AllOptions() []OptionInfo {
	var all []OptionInfo
	for {
		option := C.bmemc_option_at(C.size_t(len(all)))
		if option == nil {
			return all
		}
		all = append(all, OptionInfo{
			Name: C.GoString(option.name), Default: C.GoString(option.default_value),
			Accepts: C.GoString(option.accepts), About: C.GoString(option.about),
		})
	}
}

// values are the options that are set, by name.
func (o *Options) values() (map[string]string, error) {
	set := make(map[string]string)
	fields := reflect.ValueOf(o).Elem()
	for i := range fields.NumField() {
		name, ok := fields.Type().Field(i).Tag.Lookup("bmemc")
		if !ok || fields.Field(i).IsZero() {
			continue
		}
		written, err := written(name, fields.Field(i).Interface())
		if err != nil {
			return nil, err
		}
		set[name] = written
	}
	for name, value := range o.Named {
		set[name] = value
	}
	return set, nil
}

// written is an option's value as in a configuration file.
func written(name string, value any) (string, error) {
	switch value := value.(type) {
	case string:
		return value, nil
	case int:
		return strconv.Itoa(value), nil
	case time.Duration:
		if value%time.Millisecond != 0 {
			return "", refused("option %s: %v is not a whole number of milliseconds", name, value)
		}
		return strconv.FormatInt(value.Milliseconds(), 10), nil
	case Switch:
		switch value {
		case On:
			return "true", nil
		case Off:
			return "false", nil
		}
	}
	return "", refused("option %s: %v is none of Default, On and Off", name, value)
}

// build makes the library's options.
func (o *Options) build(events *eventPump) (*C.bmemc_options, error) {
	options := C.bmemc_options_new()
	if err := o.fill(options, events); err != nil {
		C.bmemc_options_free(options)
		return nil, err
	}
	return options, nil
}

func (o *Options) fill(options *C.bmemc_options, events *eventPump) error {
	set, err := o.values()
	if err != nil {
		return err
	}
	names := make([]string, 0, len(set))
	for name := range set {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		if err := setOption(options, name, set[name]); err != nil {
			return err
		}
	}
	for _, server := range o.Servers {
		if err := server.addTo(options); err != nil {
			return err
		}
	}
	if events != nil {
		var words C.bmemc_error
		return asError(C.bridge_options_on_event(options, events.waiting, &words), &words)
	}
	return nil
}

func setOption(options *C.bmemc_options, name, value string) error {
	var words C.bmemc_error
	return withBytes(name, value, func(name, value C.bmemc_bytes) error {
		return asError(C.int32_t(C.bmemc_options_set(options, name, value, &words)), &words)
	})
}

func (s Server) addTo(options *C.bmemc_options) error {
	weight, err := s.weight()
	if err != nil {
		return err
	}
	var words C.bmemc_error
	return withBytes(s.Address, s.Name, func(address, name C.bmemc_bytes) error {
		return asError(C.int32_t(C.bmemc_options_add_server(options, address, name, weight, &words)), &words)
	})
}

func (s Server) weight() (C.uint32_t, error) {
	if s.Weight < 0 || s.Weight > 1<<31-1 {
		return 0, refused("server %q: weight %d; a weight is 1 or more", s.Address, s.Weight)
	}
	return C.uint32_t(max(s.Weight, 1)), nil
}

// withBytes calls `use` with two strings as the library takes them, in memory of C's.
func withBytes(first, second string, use func(first, second C.bmemc_bytes) error) error {
	memory := C.CBytes([]byte(first + second + "\x00"))
	defer C.free(memory)
	return use(
		C.bmemc_bytes{data: (*C.uint8_t)(memory), len: C.size_t(len(first))},
		C.bmemc_bytes{data: (*C.uint8_t)(unsafe.Add(memory, len(first))), len: C.size_t(len(second))})
}

func (o *Options) codec() codec {
	c := codec{o.Marshal, o.Unmarshal}
	if c.marshal == nil {
		c.marshal = json.Marshal
	}
	if c.unmarshal == nil {
		c.unmarshal = json.Unmarshal
	}
	return c
}

// Version returns the version of the library that is running, as "1.2.3".
func Version() string { return C.GoString(C.bmemc_version()) }

// checkVersion refuses a library that is not of the header that this was compiled with.
func checkVersion() error {
	wanted := fmt.Sprintf("%d.%d.", C.BMEMC_VERSION_MAJOR, C.BMEMC_VERSION_MINOR)
	if found := Version(); len(found) < len(wanted) || found[:len(wanted)] != wanted {
		return &Error{Status: ErrUnsupported, Message: fmt.Sprintf("libbmemc is version %s; this was built for %sx", found, wanted)}
	}
	return nil
}
