package bmemc

// #include "bridge.h"
import "C"

import (
	"fmt"
	"math"
	"time"
)

// Opcode says what is asked of the server.
type Opcode int32

// In brackets the fields of [Op] that an operation uses beside Key.
const (
	// OpGet reads a value.
	OpGet Opcode = C.BMEMC_OP_GET
	// OpGetAndTouch reads a value and gives it a new time to live. [TTL]
	OpGetAndTouch Opcode = C.BMEMC_OP_GET_AND_TOUCH
	// OpSet stores a value, whatever was there; with a CAS, only if the item still has it. [Value, Flags, TTL, CAS]
	OpSet Opcode = C.BMEMC_OP_SET
	// OpAdd stores a value if there is none. [Value, Flags, TTL]
	OpAdd Opcode = C.BMEMC_OP_ADD
	// OpReplace stores a value if there is one. [Value, Flags, TTL, CAS]
	OpReplace Opcode = C.BMEMC_OP_REPLACE
	// OpAppend puts bytes behind a value. [Value, CAS]
	OpAppend Opcode = C.BMEMC_OP_APPEND
	// OpPrepend puts bytes before a value. [Value, CAS]
	OpPrepend Opcode = C.BMEMC_OP_PREPEND
	// OpDelete deletes a key. [CAS]
	OpDelete Opcode = C.BMEMC_OP_DELETE
	// OpIncrement adds to a counter, a value of decimal digits; it wraps at 64 bits. [Delta, CAS; Initial and TTL with
	// FlagCreate]
	OpIncrement Opcode = C.BMEMC_OP_INCREMENT
	// OpDecrement subtracts from a counter; it stops at zero. [as OpIncrement]
	OpDecrement Opcode = C.BMEMC_OP_DECREMENT
	// OpTouch gives an item a new time to live. [TTL]
	OpTouch Opcode = C.BMEMC_OP_TOUCH
	// OpFlushAll drops every item of the server. No key. [TTL: when]
	OpFlushAll Opcode = C.BMEMC_OP_FLUSH_ALL
	// OpStats asks for statistics. [Key: which; empty: the general ones]
	OpStats Opcode = C.BMEMC_OP_STATS
	// OpVersion asks for the server's version. No key.
	OpVersion Opcode = C.BMEMC_OP_VERSION
	// OpVerbosity sets how much the server logs. No key. [Delta: the level]
	OpVerbosity Opcode = C.BMEMC_OP_VERBOSITY
	// OpNoop does nothing, in one round trip. No key.
	OpNoop Opcode = C.BMEMC_OP_NOOP
	// OpCacheMemlimit sets the server's memory limit. No key. [Delta: megabytes]
	OpCacheMemlimit Opcode = C.BMEMC_OP_CACHE_MEMLIMIT
	// OpShutdown shuts the server down, where it allows that. No key.
	OpShutdown Opcode = C.BMEMC_OP_SHUTDOWN
	// OpMetadump lists the keys of the server. No key.
	OpMetadump Opcode = C.BMEMC_OP_METADUMP
	// OpMeta is a meta command. [Value, MetaFlags]
	OpMeta Opcode = C.BMEMC_OP_META
	// OpRaw sends a line of the caller's own. [Value]
	OpRaw Opcode = C.BMEMC_OP_RAW
)

var opNames = map[Opcode]string{
	OpGet: "get", OpGetAndTouch: "gat", OpSet: "set", OpAdd: "add", OpReplace: "replace", OpAppend: "append",
	OpPrepend: "prepend", OpDelete: "delete", OpIncrement: "incr", OpDecrement: "decr", OpTouch: "touch",
	OpFlushAll: "flush_all", OpStats: "stats", OpVersion: "version", OpVerbosity: "verbosity", OpNoop: "noop",
	OpCacheMemlimit: "cache_memlimit", OpShutdown: "shutdown", OpMetadump: "metadump", OpMeta: "meta", OpRaw: "raw",
}

// String returns memcached's own name of the operation, such as "flush_all".
func (o Opcode) String() string {
	if name, ok := opNames[o]; ok {
		return name
	}
	return fmt.Sprintf("opcode %d", int32(o))
}

// OpFlags are flags of an operation.
type OpFlags uint32

const (
	// FlagNoReply: return once the kernel has the request: success says no more than that. Failures are counted
	// ([Counters.QuietFailures]) and go to [Options.OnEvent].
	FlagNoReply OpFlags = C.BMEMC_FLAG_NO_REPLY
	// FlagWantCAS: answer with the item's CAS.
	FlagWantCAS OpFlags = C.BMEMC_FLAG_WANT_CAS
	// FlagCreate: increment and decrement create a missing counter with Initial and TTL.
	FlagCreate OpFlags = C.BMEMC_FLAG_CREATE
	// FlagWantReply: wait for the reply although Options.NoReply says otherwise.
	FlagWantReply OpFlags = C.BMEMC_FLAG_WANT_REPLY
	// FlagExplicitFlags: store Flags as they are, whatever the codec makes of Type.
	FlagExplicitFlags OpFlags = C.BMEMC_FLAG_EXPLICIT_FLAGS
)

// ValueType says what a value is, for the client's codec (Options.Codec).
type ValueType uint32

const (
	// TypeBytes are bytes as they are; the only type where the client has no codec.
	TypeBytes ValueType = C.BMEMC_TYPE_BYTES
	// TypeText is UTF-8.
	TypeText ValueType = C.BMEMC_TYPE_TEXT
	// TypeInteger is a whole number, in decimal digits.
	TypeInteger ValueType = C.BMEMC_TYPE_INTEGER
	// TypeLong is a long of Python 2, in decimal digits.
	TypeLong ValueType = C.BMEMC_TYPE_LONG
	// TypeObject is something that the language serialised.
	TypeObject ValueType = C.BMEMC_TYPE_OBJECT
)

// Op is everything that an operation can be told. The zero value of a field is its default; Opcode must be set.
type Op struct {
	// Opcode says what is asked.
	Opcode Opcode
	// Key has 1 to 250 bytes; over the text and meta protocols without spaces and control characters.
	Key string
	// Value is read while the call lasts and not kept.
	Value []byte
	// Flags are the item's flags, as other clients see them.
	Flags uint32
	// Type is what the value is, for the codec.
	Type ValueType
	// TTL is how long the item lives: zero until it is evicted, negative not at all; rounded up to whole seconds.
	TTL time.Duration
	// CAS is what the item must still have; zero: any.
	CAS uint64
	// Delta is by how much a counter changes.
	Delta uint64
	// Initial is what a counter starts with, with FlagCreate.
	Initial uint64
	// OpFlags are more wishes.
	OpFlags OpFlags
	// RoutingKey chooses the server instead of the key; empty: the key.
	RoutingKey string
	// Server asks one server, whatever the key: one more than its index, which answers and [Client.Servers] tell; zero: the one
	// that has the key. Where there are several, OpShutdown, OpMetadump and OpRaw need it.
	Server int
	// MetaFlags are raw flags of a meta command, separated by spaces.
	MetaFlags string
	// CompressLevel: 0 as the client's option says, 1 (fast) to 9 (small), -1 not at all.
	CompressLevel int
}

// Answer is everything that an operation can be answered; what it was not is zero or empty.
type Answer struct {
	// Status is zero where it was done, else one of the errors of this package.
	Status Status
	// Flags are what the item was stored with.
	Flags uint32
	// Type is what the codec found the value to be.
	Type ValueType
	// Server is the index of the server that answered, as [Client.Servers] counts them.
	Server int
	// Bits tell more, such as [BitStale].
	Bits Bits
	// CAS is the item's version, for compare-and-swap; zero unless it was asked for ([FlagWantCAS]).
	CAS uint64
	// Number is the counter after increment or decrement.
	Number uint64
	// TTL is the time that the item has left, where it was asked for; negative: for ever.
	TTL time.Duration
	// Size is the length of the value where meta flag s asked for it.
	Size int
	// LastAccess is how long ago the item was read, where meta flag l asked for it; in whole seconds.
	LastAccess time.Duration
	// Fetched says that the item was read before, where meta flag h asked for it.
	Fetched bool
	// Key is there where the answer is about one that the operation did not name.
	Key string
	// Value is the caller's.
	Value []byte
	// Detail has the server's own words; the library's where it failed.
	Detail string

	osError int32
}

// forget drops the bytes of an answer whose memory is used again; all else is written before it is read.
func (a *Answer) forget() { a.Key, a.Value, a.Detail = "", nil, "" }

// isPlainGet says whether an operation is a get that is told nothing but its key and OpFlags.
func (op *Op) isPlainGet() bool {
	return op.Opcode == OpGet && len(op.Value)+len(op.RoutingKey)+len(op.MetaFlags) == 0 &&
		op.CAS|op.Delta|op.Initial|uint64(op.Flags)|uint64(op.Type)|uint64(op.TTL) == 0 && op.CompressLevel|op.Server == 0
}

// check finds what is wrong with an operation in itself.
func (op *Op) check() *Error {
	if seconds(op.TTL) > maxTTL {
		return refused("ttl is %v; it is at most %v", op.TTL, maxTTL*time.Second)
	}
	if max(len(op.Key), len(op.RoutingKey), len(op.MetaFlags)) > mostBytes {
		return op.tooLong()
	}
	if op.CompressLevel < -1 || op.CompressLevel > 9 {
		return refused("compress_level is %d; it is -1 to 9", op.CompressLevel)
	}
	if op.Server < 0 || op.Server > math.MaxInt32 {
		return refused("server is %d; it is 0, or one more than the index of a server", op.Server)
	}
	return nil
}

// Bytes of a key, routing key or meta flags that cross at all; what fewer of them may be is the library's to say.
const mostBytes = 1 << 20

// tooLong says which of these it is.
func (op *Op) tooLong() *Error {
	switch {
	case len(op.Key) > mostBytes:
		return refused("the key has %d bytes; a key has 1 to 250", len(op.Key))
	case len(op.RoutingKey) > mostBytes:
		return refused("the routing key has %d bytes; it has at most %d", len(op.RoutingKey), mostBytes)
	}
	return refused("meta_flags has %d bytes; it has at most %d", len(op.MetaFlags), mostBytes)
}

// seconds is a time to live as the library wants it.
func seconds(ttl time.Duration) int64 {
	switch {
	case ttl == 0:
		return 0
	case ttl < 0:
		return -1
	}
	return int64((ttl-1)/time.Second) + 1
}

// From one second more on, the library takes it for a Unix time.
const maxTTL = 999_999_999
