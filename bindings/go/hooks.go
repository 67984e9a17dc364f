package bmemc

// #include <stdlib.h>
// #include "bridge.h"
import "C"

import (
	"runtime/cgo"
	"sync/atomic"
	"unsafe"
)

// Compressor compresses values in another way than the codec does. It is called by any number of goroutines at once, on
// the thread that submits or fetches, and must not use the client.
type Compressor interface {
	// Compress makes a value shorter; level is 1 (fast) to 9 (small). An error, or a result that is longer: the value is
	// stored as it is.
	Compress(value []byte, level int) ([]byte, error)
	// Decompress does the reverse. An error: the call fails with [ErrDecode].
	Decompress(value []byte) ([]byte, error)
}

// hooks are what the library was given to call, which must live as long as what it was given to.
type hooks struct {
	events  *eventPump
	handles []cgo.Handle
	// Those of the clients that a fallback client is made of.
	others []*hooks
	// How many fallback clients use them.
	shared atomic.Int32
}

// shareHooks are the hooks of a client that uses those of others.
func shareHooks(clients []*Client) *hooks {
	h := &hooks{}
	for _, client := range clients {
		client.engine.hooks.shared.Add(1)
		h.others = append(h.others, client.engine.hooks)
	}
	return h
}

// poke has the events told of that have come, if any.
func (h *hooks) poke() {
	h.events.poke()
	for _, other := range h.others {
		other.events.poke()
	}
}

func (h *hooks) set(options *C.bmemc_options, from *Options) error {
	var words C.bmemc_error
	if h.events != nil {
		if err := asError(C.bridge_options_on_event(options, h.events.waiting, &words), &words); err != nil {
			return err
		}
	}
	if from.OnConnect != nil {
		if err := asError(C.bridge_options_on_connect(options, h.handle(from.OnConnect), &words), &words); err != nil {
			return err
		}
	}
	if from.Route != nil {
		if err := asError(C.bridge_options_on_route(options, h.handle(from.Route), &words), &words); err != nil {
			return err
		}
	}
	if from.Discover != nil {
		if err := asError(C.bridge_options_on_discover(options, h.handle(from.Discover), &words), &words); err != nil {
			return err
		}
	}
	if from.Compressor != nil {
		return asError(C.bridge_options_set_compressor(options, h.handle(from.Compressor), &words), &words)
	}
	return nil
}

func (h *hooks) handle(value any) C.uintptr_t {
	handle := cgo.NewHandle(value)
	h.handles = append(h.handles, handle)
	return C.uintptr_t(handle)
}

func (h *hooks) close() {
	if h.shared.Add(-1) >= 0 {
		return
	}
	for _, other := range h.others {
		other.close()
	}
	h.events.close()
	for _, handle := range h.handles {
		handle.Delete()
	}
	h.handles = nil
}

// bridgeRoute asks [Options.Route]. A panic must not cross C: it counts as no server.
//
//export bridgeRoute
func bridgeRoute(handle C.uintptr_t, key *C.uint8_t, length, count C.size_t) (server C.size_t) {
	defer func() {
		if recover() != nil {
			server = count
		}
	}()
	route := cgo.Handle(handle).Value().(func(string, int) int)
	chosen := route(string(unsafe.Slice((*byte)(key), int(length))), int(count))
	if chosen < 0 || chosen >= int(count) {
		return count
	}
	return C.size_t(chosen)
}

// bridgeDiscover asks [Options.Discover]. A panic counts as an error.
//
//export bridgeDiscover
func bridgeDiscover(handle C.uintptr_t, servers *C.bmemc_options) (failed C.int32_t) {
	defer func() {
		if recover() != nil {
			failed = 1
		}
	}()
	found, err := cgo.Handle(handle).Value().(func() ([]Server, error))()
	if err != nil {
		return 1
	}
	for _, server := range found {
		if server.addTo(servers) != nil {
			return 1
		}
	}
	return 0
}

// bridgeCompress asks [Options.Compressor], at level zero to decompress. A panic counts as an error.
//
//export bridgeCompress
func bridgeCompress(handle C.uintptr_t, value *C.uint8_t, length C.size_t, level C.int32_t, output *C.bmemc_output) (failed C.int) {
	defer func() {
		if recover() != nil {
			failed = 1
		}
	}()
	compressor := cgo.Handle(handle).Value().(Compressor)
	in := append([]byte(nil), unsafe.Slice((*byte)(value), int(length))...)
	var out []byte
	var err error
	if level == 0 {
		out, err = compressor.Decompress(in)
	} else {
		out, err = compressor.Compress(in, int(level))
	}
	if err != nil {
		return 1
	}
	memory := C.CBytes(out)
	defer C.free(memory)
	if C.bmemc_output_write(output, C.bmemc_bytes{data: (*C.uint8_t)(memory), len: C.size_t(len(out))}) != C.BMEMC_OK {
		return 1
	}
	return 0
}
