package bmemc

// #include <stdlib.h>
// #include "bridge.h"
import "C"

import (
	"context"
	"errors"
	"iter"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
	"unsafe"
)

// What is about servers rather than one key.

// FlushAll drops every item of the servers, after this delay; zero: now.
func (c *Client) FlushAll(ctx context.Context, delay time.Duration) error {
	return c.run(ctx, &Op{Opcode: OpFlushAll, TTL: delay})
}

// Ping makes a round trip to the servers.
func (c *Client) Ping(ctx context.Context) error { return c.run(ctx, &Op{Opcode: OpNoop}) }

// Version asks for the version of the server, such as "1.6.18".
func (c *Client) Version(ctx context.Context) (string, error) {
	answer, err := c.Do(ctx, Op{Opcode: OpVersion})
	return string(answer.Value), err
}

// Verbosity sets how much the servers log. Not over the binary protocol.
func (c *Client) Verbosity(ctx context.Context, level uint64) error {
	return c.run(ctx, &Op{Opcode: OpVerbosity, Delta: level})
}

// CacheMemlimit sets the servers' memory limit. Not over the binary protocol.
func (c *Client) CacheMemlimit(ctx context.Context, megabytes uint64) error {
	return c.run(ctx, &Op{Opcode: OpCacheMemlimit, Delta: megabytes})
}

// Shutdown shuts the servers down, where they allow that (memcached's -A). Not over the binary protocol.
func (c *Client) Shutdown(ctx context.Context, graceful bool) error {
	op := Op{Opcode: OpShutdown}
	if graceful {
		op.Key = "graceful"
	}
	return c.run(ctx, &op)
}

// Raw sends a line of the caller's own and returns what comes back up to `end`, which is not in it; empty: up to the end of
// the first line. Not over the binary protocol.
func (c *Client) Raw(ctx context.Context, line, end string) ([]byte, error) {
	answer, err := c.Do(ctx, Op{Opcode: OpRaw, Value: []byte(line), Key: end})
	return answer.Value, err
}

// Meta runs a meta command: command is "mg", "ms", "md", "ma", "me" or "mn", flags are its flags as they are written,
// separated by spaces; "ms" stores value. The answer has what the flags asked for.
func (c *Client) Meta(ctx context.Context, command, key, flags string, value []byte) (Answer, error) {
	if flags != "" {
		command += " " + flags
	}
	return c.Do(ctx, Op{Opcode: OpMeta, Key: key, MetaFlags: command, Value: value})
}

// Stats asks every server for its statistics: by the server's name, each by its own, as [StatValue] reads it. argument says
// which ("settings", "items", "slabs"); empty: the general ones; "reset" sets them back. It holds a thread while it waits.
func (c *Client) Stats(ctx context.Context, argument string) (map[string]map[string]any, error) {
	var stats []map[string]any
	err := c.aside(ctx, OpStats, func(handle *C.bmemc_client, words *C.bmemc_error) error {
		var results *C.bmemc_results
		err := withBytes(argument, "", func(argument, _ C.bmemc_bytes) error {
			return asError(C.int32_t(C.bmemc_client_stats(handle, argument, &results, words)), words)
		})
		defer C.bmemc_results_free(results)
		stats = statsOf(results)
		return err
	})
	if err != nil {
		return nil, err
	}
	servers, err := c.Servers()
	if err != nil {
		return nil, err
	}
	named := make(map[string]map[string]any, len(stats))
	for _, server := range servers {
		if server.Index < len(stats) && stats[server.Index] != nil {
			named[server.Name] = stats[server.Index]
		}
	}
	return named, nil
}

// ParseStats takes the value of an answer to [OpStats] apart.
func ParseStats(text []byte) (map[string]any, error) {
	var results *C.bmemc_results
	var words C.bmemc_error
	err := withBytes(string(text), "", func(text, _ C.bmemc_bytes) error {
		return asError(C.int32_t(C.bmemc_stats_items(text, &results, &words)), &words)
	})
	defer C.bmemc_results_free(results)
	if stats := statsOf(results); len(stats) > 0 {
		return stats[0], err
	}
	return map[string]any{}, err
}

// statsOf has what each server told, by its index.
func statsOf(results *C.bmemc_results) []map[string]any {
	var stats []map[string]any
	for _, item := range itemsOf(results) {
		for int(item.server) >= len(stats) {
			stats = append(stats, nil)
		}
		if stats[item.server] == nil {
			stats[item.server] = make(map[string]any)
		}
		name := stringOf(item.key)
		stats[item.server][name] = StatValue(name, stringOf(item.value))
	}
	return stats
}

// StatValue reads the value of the statistic of this name, as [StatTypeOf] says: an int64 (a uint64 if it is larger), a
// float64, a bool, or the text where it is none of these.
func StatValue(name, text string) any {
	var value any
	var err error
	switch StatTypeOf(name) {
	case StatInteger:
		value, err = strconv.ParseInt(text, 10, 64)
		if errors.Is(err, strconv.ErrRange) {
			value, err = strconv.ParseUint(text, 10, 64)
		}
	case StatFloat:
		value, err = strconv.ParseFloat(text, 64)
	case StatSeconds:
		value, err = strconv.ParseFloat(strings.Replace(text, ":", ".", 1), 64)
	case StatSwitch:
		value = text != "0"
	case StatYesNo:
		value = text == "yes"
	case StatOctal:
		value, err = strconv.ParseInt(text, 8, 64)
	default:
		value = text
	}
	if err != nil {
		return text
	}
	return value
}

// StatType says how the value of a statistic is to be read; more may come.
type StatType int32

const (
	// StatInteger is a whole number in decimal digits, or text where it is none.
	StatInteger StatType = C.BMEMC_STAT_INTEGER
	// StatText is text, whatever it looks like.
	StatText StatType = C.BMEMC_STAT_TEXT
	// StatFloat is a number with a fraction.
	StatFloat StatType = C.BMEMC_STAT_FLOAT
	// StatSeconds are seconds with a fraction, in which old servers write a colon for the point.
	StatSeconds StatType = C.BMEMC_STAT_SECONDS
	// StatSwitch is a whole number that is a truth: zero is false.
	StatSwitch StatType = C.BMEMC_STAT_SWITCH
	// StatYesNo: the word "yes" is true; anything else is false.
	StatYesNo StatType = C.BMEMC_STAT_YES_NO
	// StatOctal is a whole number in octal digits.
	StatOctal StatType = C.BMEMC_STAT_OCTAL
)

// StatTypeOf says how the value of the statistic of this name is to be read.
func StatTypeOf(name string) StatType {
	found := StatInteger
	_ = withBytes(name, "", func(name, _ C.bmemc_bytes) error {
		found = StatType(C.bmemc_stat_type_of(name))
		return nil
	})
	return found
}

// Dumped is an item as [Client.Metadump] lists it.
type Dumped struct {
	// Key is the item's.
	Key string
	// TTL is the time that it has left; negative: for ever.
	TTL time.Duration
	// LastAccess is how long ago it was read.
	LastAccess time.Duration
	// CAS is its version.
	CAS uint64
	// Fetched says whether it was read before.
	Fetched bool
	// Size is what the server takes to store it, in bytes.
	Size int
	// Flags are what it was stored with, where the server tells them.
	Flags uint32
	// Class is its slab class.
	Class int
	// Server is the index of its server.
	Server int
	// Line is the server's own, without the client's key prefix.
	Line string
}

// dump is a Metadump under way. A piece may still be awaited when its caller has left.
type dump struct {
	mutex  sync.Mutex
	handle *C.bmemc_dump // nil: it has ended
}

// Metadump lists what the servers hold, without values, as it comes: a loop over it ends early where it likes, and an error
// is the last element. A client with a key prefix sees its own keys, without it. classes is "all" or empty, "hash", or numbers
// of slab classes such as "1,2". Options.Timeout is for each piece that comes, not for the whole. An item that several servers
// hold (Mode "replicated") comes from each of them. It holds a thread while it waits. Not over the binary protocol.
func (c *Client) Metadump(ctx context.Context, classes string) iter.Seq2[Dumped, error] {
	return c.MetadumpOf(ctx, Op{Opcode: OpMetadump, Key: classes})
}

// MetadumpOf is Metadump as an operation says it: an [OpMetadump], of which Key (the classes) and Server count.
func (c *Client) MetadumpOf(ctx context.Context, op Op) iter.Seq2[Dumped, error] {
	return func(yield func(Dumped, error) bool) {
		d := &dump{}
		defer d.free()
		err := c.begin(d, op)
		for err == nil {
			var items []Dumped
			if items, err = c.piece(ctx, d); err == nil && len(items) == 0 {
				return
			}
			for _, item := range items {
				if !yield(item, nil) {
					return
				}
			}
		}
		yield(Dumped{}, err)
	}
}

func (c *Client) begin(d *dump, op Op) error {
	if failed := op.check(); failed != nil {
		return failed.about(OpMetadump, "")
	}
	b := newBatch()
	b.add(&op, 0, 0)
	return aboutOp(c.with(func(client *C.bmemc_client, words *C.bmemc_error) error {
		status := C.bridge_dump(client, &b.ops[0], (*C.uint8_t)(unsafe.SliceData(b.bytes)), &d.handle, words)
		return asError(status, words)
	}), OpMetadump)
}

// piece waits for the items that come next; none: there are no more.
func (c *Client) piece(ctx context.Context, d *dump) ([]Dumped, error) {
	pieces := make(chan []Dumped, 1)
	err := c.aside(ctx, OpMetadump, func(_ *C.bmemc_client, words *C.bmemc_error) error {
		d.mutex.Lock()
		defer d.mutex.Unlock()
		var results *C.bmemc_results
		err := asError(C.int32_t(C.bmemc_dump_next(d.handle, -1, &results, words)), words)
		defer C.bmemc_results_free(results)
		pieces <- dumpedOf(results)
		return err
	})
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return <-pieces, nil
}

// free ends the dump, once nobody waits for a piece of it any more.
func (d *dump) free() {
	end := func() {
		defer d.mutex.Unlock()
		C.bmemc_dump_free(d.handle)
		d.handle = nil
	}
	if d.mutex.TryLock() {
		end()
		return
	}
	go func() {
		d.mutex.Lock()
		end()
	}()
}

// ParseMetadump takes the value of an answer to [OpMetadump] apart.
func ParseMetadump(text []byte) ([]Dumped, error) {
	var results *C.bmemc_results
	var words C.bmemc_error
	err := withBytes(string(text), "", func(text, _ C.bmemc_bytes) error {
		return asError(C.int32_t(C.bmemc_metadump_items(text, &results, &words)), &words)
	})
	defer C.bmemc_results_free(results)
	return dumpedOf(results), err
}

func dumpedOf(results *C.bmemc_results) []Dumped {
	items := itemsOf(results)
	dumped := make([]Dumped, len(items))
	for i := range items {
		item := &items[i]
		dumped[i] = Dumped{
			Key: stringOf(item.key), TTL: duration(int64(item.ttl)), LastAccess: duration(int64(item.last_access)),
			CAS: uint64(item.cas), Fetched: item.fetched != 0, Size: int(item.size), Flags: uint32(item.flags),
			Class: int(item.number), Server: int(item.server), Line: stringOf(item.detail),
		}
	}
	return dumped
}

// So many calls that block a thread may go on at once in the process.
var asides = make(chan struct{}, 8)

// aside runs a call that blocks on a goroutine of its own, which is left to itself when the context ends.
func (c *Client) aside(ctx context.Context, op Opcode, use func(*C.bmemc_client, *C.bmemc_error) error) error {
	if failed := c.check(ctx); failed != nil {
		return failed.about(op, "")
	}
	select {
	case asides <- struct{}{}:
	case <-ctx.Done():
		return contextError(ctx).about(op, "")
	}
	result := make(chan error, 1)
	go func() {
		defer func() { <-asides }()
		result <- c.with(use)
	}()
	select {
	case err := <-result:
		return aboutOp(err, op)
	case <-ctx.Done():
		return contextError(ctx).about(op, "")
	}
}

func aboutOp(err error, op Opcode) error {
	if failed, ok := err.(*Error); ok {
		return failed.about(op, "")
	}
	return err
}

// Encode makes of an operation what the client would store, without a server. Of op the value, Type, Flags, OpFlags and
// CompressLevel count.
func (c *Client) Encode(op Op) (value []byte, flags uint32, err error) {
	storing := C.bridge_op{
		value_len: C.size_t(len(op.Value)), flags: C.uint32_t(op.Flags), value_type: C.uint32_t(op.Type),
		op_flags: C.uint32_t(op.OpFlags), compress_level: C.int32_t(op.CompressLevel), opcode: C.BMEMC_OP_SET, more: true,
	}
	err = c.with(func(handle *C.bmemc_client, words *C.bmemc_error) error {
		return withBytes(string(op.Value), "", func(bytes, _ C.bmemc_bytes) error {
			var out *C.bmemc_value
			status := C.bridge_encode(handle, &storing, bytes.data, &out, words)
			defer C.bmemc_value_free(out)
			if status == C.BMEMC_OK {
				item := C.bmemc_value_item(out)
				value, flags = bytesOf(item.value), uint32(item.flags)
			}
			return asError(status, words)
		})
	})
	return value, flags, err
}

// Decode makes of bytes and flags that are stored what the client would read, without a server: an item without a key.
func (c *Client) Decode(value []byte, flags uint32) (*Item, error) {
	item := &Item{}
	err := c.with(func(handle *C.bmemc_client, words *C.bmemc_error) error {
		return withBytes(string(value), "", func(bytes, _ C.bmemc_bytes) error {
			var out *C.bmemc_value
			status := C.bmemc_value_decode(handle, bytes, C.uint32_t(flags), &out, words)
			defer C.bmemc_value_free(out)
			if status == C.BMEMC_OK {
				from := C.bmemc_value_item(out)
				item.Value, item.Flags, item.Type = bytesOf(from.value), uint32(from.flags), ValueType(from.value_type)
			}
			return asError(C.int32_t(status), words)
		})
	})
	if err != nil {
		return nil, err
	}
	runtime.KeepAlive(c)
	return item, nil
}
