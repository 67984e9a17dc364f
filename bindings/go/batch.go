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
	accepted C.size_t
	words    C.bmemc_error
}

// Memory that a batch may keep when it is used again.
const keptBytes = 1 << 18

// request is one operation that is not in a batch yet.
type request struct {
	op            C.bridge_op
	key           string
	value         []byte
	routing, meta string
}

func newBatch() *batch {
	return &batch{ops: make([]C.bridge_op, 0, 64), bytes: make([]byte, 0, 4096)}
}

func (b *batch) add(r *request) {
	r.op.at, r.op.value_len = C.size_t(len(b.bytes)), C.size_t(len(r.value))
	r.op.key_len, r.op.routing_len, r.op.meta_len = C.uint32_t(len(r.key)), C.uint32_t(len(r.routing)), C.uint32_t(len(r.meta))
	b.bytes = append(b.bytes, r.key...)
	b.bytes = append(b.bytes, r.value...)
	b.bytes = append(b.bytes, r.routing...)
	b.bytes = append(b.bytes, r.meta...)
	b.ops = append(b.ops, r.op)
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
	b.ops, b.bytes, b.ordered = b.ops[:0], b.bytes[:0], false
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
	if in == nil {
		return C.bridge_submit(queue, client, first, count, bytes, &b.accepted, &b.words)
	}
	return C.bridge_submit_fetch(queue, client, first, count, bytes, &b.accepted, &b.words,
		in.box, in.slabStart(), C.size_t(len(in.slab)), blockMilliseconds)
}

// submitDirect does the same for one operation with a key and a value alone, which are not copied before.
func (b *batch) submitDirect(r *request, queue *C.bmemc_queue, client *C.bmemc_client) *Error {
	r.op.key_len, r.op.value_len = C.uint32_t(len(r.key)), C.size_t(len(r.value))
	b.ops = append(b.ops[:0], r.op)
	key, value := (*C.uint8_t)(unsafe.StringData(r.key)), (*C.uint8_t)(unsafe.SliceData(r.value))
	status := C.bridge_submit_one(queue, client, &b.ops[0], key, value, &b.accepted, &b.words)
	if status != C.BMEMC_OK {
		return failure(status, &b.words)
	}
	return nil
}
