package bmemc

// #include <stdlib.h>
// #include "bridge.h"
import "C"

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
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

	// Profile sets all that is not set here as a Python client has it: "bmemcached" or "pymemcache" (docs/options.md).
	Profile string `bmemc:"profile"`
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
	// KeepaliveSeconds of silence on a TCP connection are the time after which the kernel asks whether the server is still
	// there; never by default.
	KeepaliveSeconds int `bmemc:"keepalive_s"`
	// KeepaliveIntervalSeconds are those after which it asks again; 1 by default.
	KeepaliveIntervalSeconds int `bmemc:"keepalive_interval_s"`
	// KeepaliveCount is how many questions without an answer end the connection; 5 by default.
	KeepaliveCount int `bmemc:"keepalive_count"`
	// ReconnectDelay is how long after a failed attempt to connect calls fail at once instead of trying again; none by default.
	ReconnectDelay time.Duration `bmemc:"reconnect_delay_ms"`
	// Slow is from when on a call is told of by [EventSlow]; never by default, and not for calls of this binding.
	Slow time.Duration `bmemc:"slow_ms"`

	// KeyPrefix is put before every key, and taken off keys that come back.
	KeyPrefix string `bmemc:"key_prefix"`
	// LongKeys is "error", or "hash": keys of over 250 bytes are cut, with a digest behind, as dalli does.
	LongKeys string `bmemc:"long_keys"`
	// KeyBytes is what keys may have over text and meta: "ascii", "utf8" or "any" (over meta, by base64).
	KeyBytes string `bmemc:"key_bytes"`
	// NoReply: writes go without reply, but for those that need one; see [FlagNoReply]. Off by default.
	NoReply Switch `bmemc:"no_reply"`
	// CounterCreate: increment and decrement create a missing counter. Off by default.
	CounterCreate Switch `bmemc:"counter_create"`
	// CounterInitial is what such a counter begins with.
	CounterInitial uint64 `bmemc:"counter_initial"`
	// CounterTTL is how long it lives, in whole seconds; zero: until it is evicted.
	CounterTTL time.Duration `bmemc:"counter_ttl,s"`
	// FailureIsMiss: a read that failed is a miss, so that a cache that is down looks empty; not one whose arguments are bad, nor
	// one whose context has ended. Off by default.
	FailureIsMiss Switch `bmemc:"failure_is_miss"`

	// Mode says what several servers are for: "hashed", each key is on one of them; "replicated", all have all keys; "single".
	// By default "hashed" where there are several.
	Mode string `bmemc:"mode"`
	// Retries is how often an operation that failed is sent again within its time: only one that was not sent, or that harms
	// nobody when it is done twice. None by default.
	Retries int `bmemc:"retries"`
	// RetryDelay is how long to wait before that, more or less; 10 ms by default.
	RetryDelay time.Duration `bmemc:"retry_delay_ms"`
	// FallbackCopyTTL is how long what a fallback client has found in an older client lives in the first, where it is put;
	// in whole seconds; 0: it is not put there.
	FallbackCopyTTL time.Duration `bmemc:"fallback_copy_ttl,s"`
	// Distribution says which of several servers has a key: as the client of this name decides it (docs/rings.md), such as
	// "rendezvous", which is the default, or "ketama".
	Distribution string `bmemc:"distribution"`
	// KeyHash is how the ring hashes keys, where its kind has a choice.
	KeyHash string `bmemc:"key_hash"`
	// HashTag is two characters, such as "{}": the ring hashes only what stands between them, where a key has both.
	HashTag string `bmemc:"hash_tag"`
	// KeyForm says for rings of Python clients whether keys were "text" or "bytes" there.
	KeyForm string `bmemc:"key_form"`
	// HashSeed is the seed of distribution rendezvous.
	HashSeed int `bmemc:"hash_seed"`
	// WeightUnit is the weight that stands for mcrouter's 1.0, for distribution weighted_ch3.
	WeightUnit int `bmemc:"weight_unit"`

	// Username is the user that new connections log in as; empty: they do not log in.
	Username string `bmemc:"username"`
	// Password is that of Username. No error and no log shows it.
	Password string `bmemc:"password"`
	// Auth is how to log in: "auto" (SASL over binary, memcached's -Y over text and meta), "sasl", "ascii" or "memcachier".
	Auth string `bmemc:"auth"`
	// SASLMechanism is "auto" (the best one that the server offers), "SCRAM-SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-1",
	// "CRAM-MD5" or "PLAIN".
	SASLMechanism string `bmemc:"sasl_mechanism"`
	// AuthOptional: a server without authentication is used as well where there is a Username; off by default.
	AuthOptional Switch `bmemc:"auth_optional"`
	// AllowPlaintextAuth allows logins that show the password on the way to other hosts than this one; off by default.
	AllowPlaintextAuth Switch `bmemc:"allow_plaintext_auth"`

	// Discovery is how the servers are found (docs/discovery.md): "elasticache", by asking the configuration endpoint that is
	// the server; "dns", one for each address of the name that is; "none".
	Discovery string `bmemc:"discovery"`
	// DiscoveryInterval is the time between two looks of discovery, while there are calls.
	DiscoveryInterval time.Duration `bmemc:"discovery_interval_ms"`
	// DiscoveryNames is what servers that "elasticache" finds are called and connected to: "host" or "ip".
	DiscoveryNames string `bmemc:"discovery_names"`

	// TLS encrypts connections, and has servers show certificates (docs/tls.md); off by default.
	TLS Switch `bmemc:"tls"`
	// TLSCAFile is a file of the authorities that sign servers' certificates, in PEM; empty: those that the system trusts.
	TLSCAFile string `bmemc:"tls_ca_file"`
	// TLSCA is the same as text.
	TLSCA string `bmemc:"tls_ca"`
	// TLSCertFile is a file of the client's certificate, in PEM; it needs a key. Empty: the client shows none.
	TLSCertFile string `bmemc:"tls_cert_file"`
	// TLSKeyFile is a file of the key of that certificate, in PEM, without a password.
	TLSKeyFile string `bmemc:"tls_key_file"`
	// TLSCert is the client's certificate as text.
	TLSCert string `bmemc:"tls_cert"`
	// TLSKey is its key as text. No error and no log shows it.
	TLSKey string `bmemc:"tls_key"`
	// TLSServerName is the name that servers' certificates must be for; empty: the host of the server's address.
	TLSServerName string `bmemc:"tls_server_name"`
	// TLSVerify is "full", or "none": certificates are not looked at, which is unsafe.
	TLSVerify string `bmemc:"tls_verify"`
	// TLSMinVersion is "1.2" or "1.3".
	TLSMinVersion string `bmemc:"tls_min_version"`

	// Failover is what is done about a server that fails (docs/failover.md): "breaker", the default, calls to it fail at once until a
	// probe is answered; "pymemcache", the same in that client's steps; "none".
	Failover string `bmemc:"failover"`
	// Eject: with Failover "breaker" and hashed servers, the keys of one that is out go to the next one. Off by default.
	Eject Switch `bmemc:"eject"`
	// BreakerTimeouts is how many connections in a row a time-out ends before a server is out.
	BreakerTimeouts int `bmemc:"breaker_timeouts"`
	// ProbeMin is how long it takes to the first probe; each further one comes twice as late.
	ProbeMin time.Duration `bmemc:"probe_min_ms"`
	// ProbeMax is the longest time between two probes.
	ProbeMax time.Duration `bmemc:"probe_max_ms"`
	// RetryAttempts is, with Failover "pymemcache", how many probes must fail before a server is dead.
	RetryAttempts int `bmemc:"retry_attempts"`
	// RetryTimeout is how long it takes to each of these probes.
	RetryTimeout time.Duration `bmemc:"retry_timeout_ms"`
	// DeadTimeout is how long it takes to each probe of a server that is dead.
	DeadTimeout time.Duration `bmemc:"dead_timeout_ms"`

	// Codec says whose values and flags are written and read (docs/values.md), such as "bmemcached" or "pymemcache"; by
	// default "none": bytes, and the caller's flags.
	Codec string `bmemc:"codec"`
	// Compression says whether a codec compresses long values; on by default.
	Compression Switch `bmemc:"compression"`
	// CompressThreshold is how many bytes a value must exceed to be compressed; as the codec's client by default.
	CompressThreshold int `bmemc:"compress_threshold"`
	// CompressLevel is 1 (fast) to 9 (small).
	CompressLevel int `bmemc:"compress_level"`
	// MaxDecompressedBytes is to how many bytes a compressed value may unpack; 64 MiB by default.
	MaxDecompressedBytes int `bmemc:"max_decompressed_bytes"`

	// Named sets any option by the name that docs/options.md has, as "timeout_ms": "500"; it counts where a field says
	// something else.
	Named map[string]string

	// OnEvent is told what happens to the client's connections, one event at a time, on a goroutine of its own; see
	// [LogEvents]. Nil: nobody is.
	OnEvent func(Event)
	// Observe is called when a call begins, and the function that it returns, unless that is nil, when it ends. The
	// context that it returns is the call's, unless that is nil; it is told the error that the call returns, a refusal too. Nil:
	// calls are not observed.
	Observe func(ctx context.Context, call Call) (context.Context, func(error))
	// OnConnect is called with the descriptor of each new socket before it connects and once it has, and with where it
	// connects to; an error refuses it. It must not block, close the socket, or use the client.
	OnConnect func(fd int, stage ConnectStage, address string) error
	// Route chooses the server for a key, the index of one among count, instead of what Distribution says; any other
	// number: none, and the call fails. For the same key it must always give the same index, and it must not block. Nil:
	// Distribution decides.
	Route func(key string, count int) int
	// Discover says which servers there are, when the client is first used and then every DiscoveryInterval; an error, or
	// none: those that are known stay. It must not block, or use the client. Discovery must be "none" then.
	Discover func() ([]Server, error)
	// Compressor compresses and unpacks values instead of the codec's own, which must be one that compresses.
	Compressor Compressor
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
		name, unit := unitOf(name)
		written, err := written(name, unit, fields.Field(i).Interface())
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

// unitOf takes apart what a field's tag says: the option's name, and of what its number is one, a millisecond or ("name,s") a
// second.
func unitOf(tag string) (string, time.Duration) {
	if name, ok := strings.CutSuffix(tag, ",s"); ok {
		return name, time.Second
	}
	return tag, time.Millisecond
}

// written is an option's value as in a configuration file.
func written(name string, unit time.Duration, value any) (string, error) {
	switch value := value.(type) {
	case string:
		return value, nil
	case int:
		return strconv.Itoa(value), nil
	case uint64:
		return strconv.FormatUint(value, 10), nil
	case time.Duration:
		if value%unit != 0 {
			return "", refused("option %s: %v is not a whole number of %v", name, value, unit)
		}
		return strconv.FormatInt(int64(value/unit), 10), nil
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

// build makes the library's options. What they refer to must be closed once nothing that was made of them is left.
func (o *Options) build() (*C.bmemc_options, *hooks, error) {
	options, hooks := C.bmemc_options_new(), &hooks{events: newEventPump(o.OnEvent)}
	if err := o.fill(options, hooks); err != nil {
		C.bmemc_options_free(options)
		hooks.close()
		return nil, nil, err
	}
	return options, hooks, nil
}

func (o *Options) fill(options *C.bmemc_options, hooks *hooks) error {
	set, err := o.values()
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if err := setOption(options, name, set[name]); err != nil {
			return err
		}
	}
	for _, server := range o.Servers {
		if err := server.addTo(options); err != nil {
			return err
		}
	}
	return hooks.set(options, o)
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
		return 0, refused("server %q: weight %d; a weight is 1 to 1000000, or 0 for 1", s.Address, s.Weight)
	}
	return C.uint32_t(max(s.Weight, 1)), nil
}

// withBytes calls `use` with two strings as the library takes them, in memory of C's, which is wiped: one may be a secret.
func withBytes(first, second string, use func(first, second C.bmemc_bytes) error) error {
	length := len(first) + len(second)
	memory := C.malloc(C.size_t(length + 1))
	bytes := unsafe.Slice((*byte)(memory), length)
	copy(bytes[copy(bytes, first):], second)
	defer func() {
		clear(bytes)
		C.free(memory)
	}()
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
func checkVersion() error { return checkVersionOf(Version()) }

func checkVersionOf(found string) error {
	wanted := fmt.Sprintf("%d.%d.", C.BMEMC_VERSION_MAJOR, C.BMEMC_VERSION_MINOR)
	if !strings.HasPrefix(found, wanted) {
		return &Error{Status: ErrUnsupported, Message: fmt.Sprintf("libbmemc is version %s; this was built for %sx", found, wanted)}
	}
	return nil
}
