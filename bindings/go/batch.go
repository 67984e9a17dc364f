package bmemc

// #include "bridge.h"
import "C"

import (
	"slices"
	"sync"
	"unsafe"
)

// A batch of operations on their way to the library: records without pointers, and their bytes one behind the other. It
// knows of no call and no lock. All that C is given is on the heap: a Compressor may be called back, and Go moves stacks.
type batch struct {
	ops      []C.bridge_op
	bytes    []byte
	ordered  bool
	writes   bool // some operation is no read
	accepted C.size_t
	words    C.bmemc_error
}

// Memory that a batch may keep when it is used again.
const keptBytes = 1 << 18

func newBatch() *batch {
	return &batch{ops: make([]C.bridge_op, 0, 64), bytes: make([]byte, 0, 4096)}
}

// add puts an operation, which must be fine in itself, into the batch.
func (b *batch) add(op *Op, tag uint64, timeout C.uint32_t) {
	to := b.put(op, tag, timeout)
	to.at = C.size_t(len(b.bytes))
	b.bytes = append(b.bytes, op.Key...)
	if to.more {
		b.bytes = append(b.bytes, op.Value...)
		b.bytes = append(b.bytes, op.RoutingKey...)
		b.bytes = append(b.bytes, op.MetaFlags...)
	}
}

// put does the same without the operation's bytes.
func (b *batch) put(op *Op, tag uint64, timeout C.uint32_t) *C.bridge_op {
	last := len(b.ops)
	if last == cap(b.ops) {
		b.ops = slices.Grow(b.ops, 1)
	}
	b.ops = b.ops[:last+1]
	to := &b.ops[last]
	b.writes = b.writes || op.Opcode != OpGet
	// All that counts is written: it may have been another's.
	to.tag, to.at, to.timeout_ms = C.uint64_t(tag), 0, timeout
	to.key_len, to.opcode, to.op_flags = C.uint32_t(len(op.Key)), C.int32_t(op.Opcode), C.uint32_t(op.OpFlags)
	to.more = C.bool(!op.isPlainGet())
	if !to.more {
		return to
	}
	to.cas, to.delta, to.initial = C.uint64_t(op.CAS), C.uint64_t(op.Delta), C.uint64_t(op.Initial)
	to.ttl, to.value_len = C.int64_t(seconds(op.TTL)), C.size_t(len(op.Value))
	to.routing_len, to.meta_len = C.uint32_t(len(op.RoutingKey)), C.uint32_t(len(op.MetaFlags))
	to.flags, to.value_type, to.compress_level = C.uint32_t(op.Flags), C.uint32_t(op.Type), C.int32_t(op.CompressLevel)
	to.server = C.uint32_t(op.Server)
	return to
}

// count is how many operations there are.
func (b *batch) count() int { return len(b.ops) }

// shift adds to the tags of all operations.
func (b *batch) shift(by uint64) {
	for i := range b.ops {
		b.ops[i].tag += C.uint64_t(by)
	}
}

// drop takes operations with these tags out again.
func (b *batch) drop(first, count uint64) {
	b.ops = slices.DeleteFunc(b.ops, func(op C.bridge_op) bool { return uint64(op.tag)-first < count })
}

// batches are those of calls of many operations.
var batches = sync.Pool{New: func() any { return newBatch() }}

func (b *batch) recycle() {
	b.reset()
	batches.Put(b)
}

func (b *batch) reset() {
	if cap(b.bytes) > keptBytes {
		*b = *newBatch()
	}
	b.ops, b.bytes, b.ordered, b.writes = b.ops[:0], b.bytes[:0], false, false
}

// submit gives the operations to the queue; those that it refuses are handed to `refuse` with the reason. If the inbox is
// given it then waits for the first answers, on this thread. In an ordered batch what stands behind a refused operation
// is refused as `deferred`: it must not overtake what was accepted.
func (b *batch) submit(queue *C.bmemc_queue, client *C.bmemc_client, in *inbox, refuse func(tag uint64, why *Error)) {
	for rest := b.ops; len(rest) > 0; {
		status := b.cross(rest, queue, client, in)
		if status == C.BMEMC_OK {
			return
		}
		rest = rest[b.accepted:]
		if !b.ordered || b.accepted == 0 || status != C.BMEMC_E_BUSY {
			refuse(uint64(rest[0].tag), failure(status, &b.words))
			rest = rest[1:]
		}
		if b.ordered {
			for i := range rest {
				refuse(uint64(rest[i].tag), deferred)
			}
			return
		}
	}
}

// deferred is no failure: the operation can be submitted once those before it are answered.
var deferred = &Error{Status: 1 << 30}

func (b *batch) cross(ops []C.bridge_op, queue *C.bmemc_queue, client *C.bmemc_client, in *inbox) C.int32_t {
	first, count, bytes := unsafe.SliceData(ops), C.size_t(len(ops)), (*C.uint8_t)(unsafe.SliceData(b.bytes))
	// Reads may overtake each other.
	ordered := C.bool(b.ordered && b.writes)
	if in == nil {
		return C.bridge_submit(queue, client, first, count, bytes, ordered, &b.accepted, &b.words)
	}
	return C.bridge_submit_fetch(queue, client, first, count, bytes, ordered, &b.accepted, &b.words, in.argument, blockMilliseconds)
}

// submitDirect submits one operation with a key and a value alone, which are not copied before.
func (b *batch) submitDirect(op *Op, tag uint64, timeout C.uint32_t, queue *C.bmemc_queue, client *C.bmemc_client) *Error {
	to := b.put(op, tag, timeout)
	key, value := (*C.uint8_t)(unsafe.StringData(op.Key)), (*C.uint8_t)(unsafe.SliceData(op.Value))
	status := C.bridge_submit_one(queue, client, to, key, value, &b.accepted, &b.words)
	if status != C.BMEMC_OK {
		return failure(status, &b.words)
	}
	return nil
}
