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
	// Where they go instead, of many gets; and the index of the first one.
	gets  *gets
	first int
	// Memory for the value of a single get, where it is small.
	scratch []byte
	// Where the value of a single get goes, if not into memory of its own.
	into []byte
	// GetInto was called: `into` counts even where it is empty.
	isInto bool
	// Operations, and answers that are still to come.
	count, left int
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
	c.answers = c.one[:]
	return c.of(1)
}

// of says how many operations it has.
func (c *call) of(count int) *call {
	c.count, c.left = count, count
	return c
}

// recycle ends the call: nothing of it may be used any more.
func (c *call) recycle() {
	c.discard()
	c.one[0].forget()
	c.answers, c.gets, c.into, c.isInto, c.failure, c.batch = nil, nil, nil, false, nil, 0
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
	if c.gets != nil {
		c.takeGets(run, in)
		return
	}
	var memory shared
	for i := range run {
		from := &run[i]
		index := indexOf(uint64(from.tag))
		answer := &c.answers[index]
		answer.read(&from.item)
		if from.offset != C.SIZE_MAX {
			switch {
			case c.isInto:
				c.put(answer, in.placed(from))
			case len(c.answers) == 1:
				answer.Value = c.keep(in.placed(from))
			default:
				answer.Value = memory.value(run[i:], in)
			}
		}
		// Keys and words always come with an owner, whose value may be in the slab all the same.
		if from.owner != nil {
			c.parcels = append(c.parcels, parcel{index, from.item, from.owner})
		}
	}
	c.left -= len(run)
}

// takeGets does the same with the answers of many gets.
func (c *call) takeGets(run []C.bmemc_answer, in *inbox) {
	var memory shared
	g := c.gets
	g.makePlaces()
	for i := range run {
		from := &run[i]
		index := c.first + indexOf(uint64(from.tag))
		var value []byte
		if from.offset != C.SIZE_MAX {
			if value = memory.part(from); value == nil {
				value = memory.next(run[i:], in)
			}
		}
		switch {
		case from.item.status == C.BMEMC_OK && from.owner == nil: // most are this
			g.takeHit(index, &from.item, value)
		case from.owner == nil:
			g.take(index, &from.item, value)
		case len(value) == 0: // a long value, or words
			c.parcels = append(c.parcels, parcel{index, from.item, from.owner})
		default:
			g.take(index, &from.item, value)
			C.bmemc_value_free(from.owner)
		}
	}
	c.left -= len(run)
}

// shared is memory of Go's that the values of answers share which came one behind the other.
type shared struct {
	bytes []byte
	begin C.size_t // of them, in the slab
}

// part is the value of an answer where there is a copy of it already, else nil.
func (s *shared) part(from *C.bmemc_answer) []byte {
	// Where the value begins before them, `at` is larger than any of them.
	at, size := from.offset-s.begin, from.item.value.len
	if end := at + size; size <= sharedValue && at <= end && end <= C.size_t(len(s.bytes)) {
		return s.bytes[at:end:end]
	}
	return nil
}

// value copies the value of the first of these answers, which is in the slab, and with it what may share memory with it.
func (s *shared) value(run []C.bmemc_answer, in *inbox) []byte {
	if value := s.part(&run[0]); value != nil {
		return value
	}
	return s.next(run, in)
}

// next does the same where there is no copy of it yet.
func (s *shared) next(run []C.bmemc_answer, in *inbox) []byte {
	size := run[0].item.value.len
	if size > sharedValue {
		return slices.Clone(in.placed(&run[0]))
	}
	s.begin = run[0].offset
	s.bytes = append([]byte(nil), in.slab[s.begin:in.reach(run)]...) // unlike Clone it leaves no room, and clears none
	return s.bytes[:size:size]
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
		if c.gets != nil {
			c.gets.unpack(p)
			continue
		}
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
