package bmemc

// #include "bridge.h"
import "C"

import (
	"time"
	"unsafe"
)

// How long a caller who is alone blocks its thread at most; the library needs as much to wait in one receive.
const blockMilliseconds = 10

// An inbox is where a fetch puts its answers and their values. Whoever has the right to fetch owns it.
type inbox struct {
	box      *C.bridge_inbox
	argument *C.bridge_inbox_argument // the same
	slab     []byte                   // its slab
}

func newInbox() *inbox {
	box := C.bridge_inbox_new()
	slab := unsafe.Slice((*byte)(box.slab), C.BRIDGE_SLAB)
	return &inbox{box: box, argument: (*C.bridge_inbox_argument)(unsafe.Pointer(box)), slab: slab}
}

func (in *inbox) free() { C.bridge_inbox_free(in.box) }

// fetch takes in what has come, waiting for the first answer for so many milliseconds.
func (in *inbox) fetch(queue *C.bmemc_queue, milliseconds C.int32_t) {
	C.bridge_fetch(queue, in.argument, milliseconds)
}

// failed says why the fetch failed, if it did.
func (in *inbox) failed() *Error {
	if in.box.status == C.BMEMC_OK {
		return nil
	}
	return failure(in.box.status, &in.box.error)
}

// answers are those of the last fetch.
func (in *inbox) answers() []C.bmemc_answer {
	return unsafe.Slice(in.box.answers, int(in.box.count))
}

// placed is a value that is in the slab.
func (in *inbox) placed(from *C.bmemc_answer) []byte {
	return in.slab[from.offset : from.offset+from.item.value.len]
}

// reach is where in the slab those values end, of answers that came one behind the other, that share memory with the first.
func (in *inbox) reach(run []C.bmemc_answer) C.size_t {
	begin := run[0].offset
	end := begin
	for i := range run {
		from := &run[i]
		if from.offset == C.SIZE_MAX {
			continue
		}
		after := from.offset + from.item.value.len
		if from.offset != end || from.item.value.len > sharedValue || after-begin > sharedBytes {
			break
		}
		end = after
	}
	return end
}

// discard gives back what nobody takes.
func discard(run []C.bmemc_answer) {
	for i := range run {
		if run[i].owner != nil {
			C.bmemc_value_free(run[i].owner)
		}
	}
}

// A parcel is an answer whose bytes are the library's still.
type parcel struct {
	index int
	item  C.bmemc_item
	owner *C.bmemc_value
}

func (p *parcel) free() { C.bmemc_value_free(p.owner) }

// read fills in all of an answer but its bytes.
func (a *Answer) read(item *C.bmemc_item) {
	a.Status, a.osError = Status(item.status), int32(item.os_error)
	a.Flags, a.Type, a.Bits = uint32(item.flags), ValueType(item.value_type), Bits(item.bits)
	a.Server, a.CAS, a.Number = int(item.server), uint64(item.cas), uint64(item.number)
	a.TTL = duration(int64(item.ttl))
	a.Size, a.LastAccess, a.Fetched = int(item.size), duration(int64(item.last_access)), item.fetched != 0
}

// duration is a number of seconds, cut at what a time to live can be; negative: for ever.
func duration(seconds int64) time.Duration {
	return time.Duration(min(max(seconds, -1), maxTTL)) * time.Second
}

// bytesOf copies bytes of the library's.
func bytesOf(from C.bmemc_bytes) []byte {
	return append([]byte(nil), unsafe.Slice((*byte)(from.data), int(from.len))...)
}

func stringOf(from C.bmemc_bytes) string {
	return string(unsafe.Slice((*byte)(from.data), int(from.len)))
}
