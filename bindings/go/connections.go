package bmemc

// #include <stdlib.h>
// #include "bridge.h"
import "C"

import (
	"fmt"
	"runtime/cgo"
	"time"
	"unsafe"
)

// Pool is what the connections of a client do just now.
type Pool struct {
	// Used are connections with a call, or with replies to come.
	Used uint64
	// Free are connections that are open and idle.
	Free uint64
	// Open are all that are open: both.
	Open uint64
	// Waiting are calls that are under way on threads of their own; this binding makes few of them.
	Waiting uint64
}

// Pool returns what the connections to all servers do. [Client.DisconnectAll] closes them.
func (c *Client) Pool() (Pool, error) { return c.ServerPool(-1) }

// ServerPool returns what the connections to one server do, by its index; -1: those to all.
func (c *Client) ServerPool(server int) (Pool, error) {
	if server < -1 || server > 1<<31-1 {
		return Pool{}, refused("server is %d; it is -1 for all, or the index of a server", server)
	}
	var from C.bmemc_pool
	err := c.with(func(handle *C.bmemc_client, words *C.bmemc_error) error {
		return asError(C.int32_t(C.bmemc_client_pool(handle, C.int32_t(server), &from, words)), words)
	})
	return Pool{uint64(from.used), uint64(from.free), uint64(from.open), uint64(from.waiting)}, err
}

// HealthState is how a server is. More may come.
type HealthState int32

const (
	// HealthUp: it has answered since it last failed; or nothing was asked of it yet.
	HealthUp HealthState = C.BMEMC_HEALTH_UP
	// HealthSuspect: it has failed since it last answered. Calls go to it.
	HealthSuspect HealthState = C.BMEMC_HEALTH_SUSPECT
	// HealthOut: calls to it fail at once until a probe is answered.
	HealthOut HealthState = C.BMEMC_HEALTH_OUT
	// HealthDead: so they do, and its keys go to others; with failover=pymemcache.
	HealthDead HealthState = C.BMEMC_HEALTH_DEAD
)

// String is its name: up, suspect, out or dead.
func (s HealthState) String() string {
	names := [...]string{HealthUp: "up", HealthSuspect: "suspect", HealthOut: "out", HealthDead: "dead"}
	if s < 0 || int(s) >= len(names) {
		return fmt.Sprintf("HealthState(%d)", int32(s))
	}
	return names[s]
}

// Health is what a client knows of a server's health.
type Health struct {
	// State is how it is by now.
	State HealthState
	// Failures are connections that could not be made, were lost or were given up, and probes that failed, since the server
	// last answered.
	Failures int
	// Since is for how long it has been up, has been failing, or has been out; from out to dead it goes on.
	Since time.Duration
	// ProbeIn is when the next probe is due, of a server that is out or dead; 0: the next call begins it, or it is under way.
	ProbeIn time.Duration
	// Why is the last failure, an [*Error], also of a server that is up again; nil if there was none.
	Why error
}

// Health returns how a server is, by its index, as far as the calls of this client have shown. Nothing is sent.
func (c *Client) Health(server int) (Health, error) {
	if server < 0 || server > 1<<31-1 {
		return Health{}, refused("server is %d; it is the index of a server", server)
	}
	var from C.bmemc_health
	err := c.with(func(handle *C.bmemc_client, words *C.bmemc_error) error {
		return asError(C.int32_t(C.bmemc_client_health(handle, C.uint32_t(server), &from, words)), words)
	})
	if err != nil {
		return Health{}, err
	}
	const ms = time.Millisecond
	since, probe := time.Duration(from.since_ms)*ms, time.Duration(from.probe_in_ms)*ms
	why := asError(C.int32_t(from.why.status), &from.why)
	return Health{HealthState(from.state), int(from.failures), since, probe, why}, nil
}

// CheckKey tells whether a key can be used; the error is what a call with it would fail with.
func (c *Client) CheckKey(key string) error {
	return c.with(func(handle *C.bmemc_client, words *C.bmemc_error) error {
		return withBytes(key, "", func(key, _ C.bmemc_bytes) error {
			return asError(C.int32_t(C.bmemc_check_key(handle, key, words)), words)
		})
	})
}

// ConnectStage is when [Options.OnConnect] is called.
type ConnectStage int32

const (
	// ConnectOpened: the socket is there, and connects next.
	ConnectOpened ConnectStage = C.BMEMC_CONNECT_OPENED
	// ConnectConnected: it is connected, and nothing was said yet.
	ConnectConnected ConnectStage = C.BMEMC_CONNECT_CONNECTED
)

// bridgeConnect asks [Options.OnConnect]. A panic must not cross C: it refuses the socket.
//
//export bridgeConnect
func bridgeConnect(handle C.uintptr_t, fd, stage C.int32_t, address *C.uint8_t, length C.size_t) (refused C.int32_t) {
	defer func() {
		if recover() != nil {
			refused = 1
		}
	}()
	see := cgo.Handle(handle).Value().(func(int, ConnectStage, string) error)
	if see(int(fd), ConnectStage(stage), string(unsafe.Slice((*byte)(address), int(length)))) != nil {
		return 1
	}
	return 0
}

// AddressKind is what a server string names.
type AddressKind int32

const (
	// AddressName is a name that has to be looked up.
	AddressName AddressKind = C.BMEMC_ADDRESS_NAME
	// AddressIPv4 is an IPv4 address.
	AddressIPv4 AddressKind = C.BMEMC_ADDRESS_IPV4
	// AddressIPv6 is an IPv6 address.
	AddressIPv6 AddressKind = C.BMEMC_ADDRESS_IPV6
	// AddressUnix is the path of a Unix socket.
	AddressUnix AddressKind = C.BMEMC_ADDRESS_UNIX
)

// Address is a server string taken apart.
type Address struct {
	// Kind is what the string names: a host, an address or a socket.
	Kind AddressKind
	// Host is the name in lower case, the address without brackets, or the path.
	Host string
	// Port is 11211 where none is given, and 0 for a Unix socket.
	Port int
}

// ParseAddress takes a server string apart, as [Options.Servers] does; nothing is looked up.
func ParseAddress(text string) (Address, error) {
	var parsed C.bmemc_address
	var words C.bmemc_error
	err := withBytes(text, "", func(text, _ C.bmemc_bytes) error {
		return asError(C.int32_t(C.bmemc_address_parse(text, &parsed, &words)), &words)
	})
	if err != nil {
		return Address{}, err
	}
	return Address{AddressKind(parsed.kind), C.GoString(&parsed.host[0]), int(parsed.port)}, nil
}
