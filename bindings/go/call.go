package bmemc

// #include "bridge.h"
import "C"

import (
	"slices"
	"sync"
	"unsafe"
)

// A call is one caller's request under way, of one operation or many. Until it is complete it belongs to the engine, under
// whose lock answers are put into it; then it is the caller's again.
type call struct {
	answers []Answer
	one     [1]Answer
	// Memory for the value of a single get, where it is small.
	scratch []byte
	// Where the value of a single get goes, if not into memory of its own.
	into []byte
	// GetInto was called: `into` counts even where it is empty.
	isInto bool
	// Answers that are still to come.
	left int
	// Why all of it failed at once.
	failure *Error
	// Gets one element when the call is complete, or when it is asked to lead.
	done chan struct{}
	// It is the one that fetches, or was asked to be.
	leads bool
	// Its place among those of the engine, and how often that was used before.
	slot, generation uint32
	// The number of the open batch that it was put into; zero: none.
	batch uint64
	// Answers that the caller has to unpack.
	parcels []parcel
}

var calls = sync.Pool{New: func() any { return &call{done: make(chan struct{}, 1)} }}

// newCall is a call that is about to be made, of one operation.
func newCall() *call {
	c := calls.Get().(*call)
	c.answers, c.left = c.one[:], 1
	return c
}

// recycle ends the call: nothing of it may be used any more.
func (c *call) recycle() {
	c.discard()
	c.one[0].forget()
	c.answers, c.into, c.isInto, c.failure, c.batch = nil, nil, false, nil, 0
	calls.Put(c)
}

// tag is what the answer to an operation carries: the place of its call, and which of its operations it is. The generation
// tells it from an earlier call in the same place, which may still be about to cancel.
func (c *call) tag(index int) uint64 {
	return uint64(c.generation)<<(slotBits+indexBits) | uint64(c.slot)<<indexBits | uint64(index)
}

const (
	// Values that a call keeps memory for.
	keptValue = 440
	// Values of many answers share memory up to this size, and so much memory at most.
	sharedValue, sharedBytes = 1 << 10, 16 << 10
)

const (
	indexBits = 12
	slotBits  = 32
)

func slotOf(tag uint64) uint32 { return uint32(tag >> indexBits) }
func indexOf(tag uint64) int   { return int(tag & (1<<indexBits - 1)) }

// wake tells its caller that the call is complete. Who leads sees that by itself.
func (c *call) wake() {
	if !c.leads {
		c.done <- struct{}{} // there is room, and nobody else sends: it never blocks
	}
}

// take puts answers that have come one behind the other into the call, with the engine's lock held.
func (c *call) take(run []C.bmemc_answer, in *inbox) {
	shared := []byte{}
	var begin, end C.size_t // of what is shared, in the slab
	for i := range run {
		from := &run[i]
		index := indexOf(uint64(from.tag))
		answer := &c.answers[index]
		answer.read(&from.item)
		if from.offset != C.SIZE_MAX {
			switch size := from.item.value.len; {
			case c.isInto:
				c.put(answer, in.placed(from))
			case len(c.answers) == 1:
				answer.Value = c.keep(in.placed(from))
			case size > sharedValue:
				answer.Value = slices.Clone(in.placed(from))
			default:
				if from.offset+size > end {
					begin, end = from.offset, in.reach(run[i:])
					shared = append([]byte(nil), in.slab[begin:end]...) // unlike Clone it leaves no room, and clears none
				}
				at := from.offset - begin
				answer.Value = shared[at : at+size : at+size]
			}
		}
		// Keys and words always come with an owner, whose value may be in the slab all the same.
		if from.owner != nil {
			c.parcels = append(c.parcels, parcel{index, from.item, from.owner})
		}
	}
	c.left -= len(run)
}

// keep copies the value of a single answer out of the slab: a small one into the call's own memory, for the caller to copy.
func (c *call) keep(value []byte) []byte {
	if len(value) <= keptValue {
		c.scratch = append(c.scratch[:0], value...)
		return c.scratch
	}
	return append(make([]byte, 0, len(value)), value...)
}

// put copies the value of a single get into the caller's buffer.
func (c *call) put(answer *Answer, value []byte) {
	if answer.Status != 0 {
		return
	}
	answer.Number = uint64(len(value))
	if len(value) > len(c.into) {
		answer.Status = ErrBuffer
		return
	}
	answer.Value = c.into[:copy(c.into, value)]
}

// unpack copies what is the library's still, and gives it back. It is the caller who does it, without a lock.
func (c *call) unpack() {
	for i := range c.parcels {
		p := &c.parcels[i]
		answer := &c.answers[p.index]
		if p.item.value.data != nil && c.isInto {
			c.put(answer, unsafe.Slice((*byte)(p.item.value.data), int(p.item.value.len)))
		} else if p.item.value.data != nil {
			answer.Value = bytesOf(p.item.value)
		}
		answer.Key, answer.Detail = stringOf(p.item.key), stringOf(p.item.detail)
		p.free()
	}
	c.parcels = nil
}

// discard gives back what nobody will unpack.
func (c *call) discard() {
	if c.parcels == nil {
		return
	}
	for i := range c.parcels {
		c.parcels[i].free()
	}
	c.parcels = nil
}
