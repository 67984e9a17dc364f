package bmemc

// #include <stdlib.h>
// #include "bridge.h"
import "C"

import "sync"

// EmbeddedServer is a small memcached inside the process, for tests, examples and machines that have none. It has a thread
// of its own, and any number of goroutines may use it. It runs until it is closed, even if nobody refers to it any more:
// its clients only know its address. Package bmemctest makes one for a test.
type EmbeddedServer struct {
	mu      sync.Mutex
	handle  *C.bmemc_server
	address string
}

// StartServer starts a server. listen is empty for the loopback address and a port of the system's choosing, else
// "host:port" (port 0: of the system's choosing) or "/path" of a Unix socket.
func StartServer(listen string) (*EmbeddedServer, error) {
	if err := checkVersion(); err != nil {
		return nil, err
	}
	s := &EmbeddedServer{}
	var words C.bmemc_error
	err := withBytes(listen, "", func(listen, _ C.bmemc_bytes) error {
		return asError(C.int32_t(C.bmemc_server_start(listen, &s.handle, &words)), &words)
	})
	if err != nil {
		return nil, err
	}
	s.address = C.GoString(C.bmemc_server_address(s.handle))
	return s, nil
}

// Address is where it listens, as [Server.Address] takes it.
func (s *EmbeddedServer) Address() string {
	if s == nil {
		return ""
	}
	return s.address
}

// Close stops it, closes its connections and frees all that it held. It may be called more than once.
func (s *EmbeddedServer) Close() error {
	if s == nil {
		return refused("the server is nil; StartServer makes one")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.handle != nil {
		C.bmemc_server_free(s.handle)
		s.handle = nil
	}
	return nil
}

// Set changes how it behaves from now on, by the name and value that include/bmemc.h lists for bmemc_server_set: logins
// that it demands, faults that it makes, time-outs. [ErrArgument]: there is no such setting, or not this value for it.
func (s *EmbeddedServer) Set(name, value string) error {
	if s == nil {
		return refused("the server is nil; StartServer makes one")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.handle == nil {
		return &Error{Status: ErrClosed, Bits: BitNotSent, Message: "the server was closed"}
	}
	var words C.bmemc_error
	return withBytes(name, value, func(name, value C.bmemc_bytes) error {
		return asError(C.int32_t(C.bmemc_server_set(s.handle, name, value, &words)), &words)
	})
}
