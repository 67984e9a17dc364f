package bmemc

// #include "bridge.h"
import "C"

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"unsafe"
)

// gets are many gets of one call. Their keys cross one behind the other, and what comes goes straight into the items that the
// caller gets: there is a place for each key, which is in the map before it is known what there is.
type gets struct {
	keys   []string
	places []Item
	items  map[string]*Item
	// What each key was answered, and how many were found.
	statuses []Status
	hits     int
	// The answers of those that failed.
	failed []failedGet
	list   keyList
}

// failedGet is the answer of a key that could not be read.
type failedGet struct {
	index  int
	answer Answer
}

// A keyList is keys on their way to the library. All that C is given is on the heap, as that of a batch, or its own.
type keyList struct {
	room     *C.bridge_room // for the operations of one crossing
	bytes    []byte
	lengths  []C.uint32_t
	like     C.bridge_op // what is asked of each
	accepted C.size_t
	words    C.bmemc_error
}

var manyGets = sync.Pool{New: func() any {
	g := &gets{list: keyList{room: C.bridge_room_new()}}
	runtime.AddCleanup(g, func(room *C.bridge_room) { C.bridge_room_free(room) }, g.list.room)
	return g
}}

const (
	// The memory of so many keys is kept when it is used again.
	keptKeys = 4096
	// Longer keys, which no server takes, go the usual way.
	longestKey = 1 << 10
)

func (c *Client) getMulti(ctx context.Context, keys []string, flags OpFlags) (items map[string]*Item, err error) {
	if failed := c.check(ctx); failed != nil {
		return map[string]*Item{}, &MultiError{[]*Error{failed.about(OpGet, keys...)}}
	}
	if len(keys) == 0 {
		return map[string]*Item{}, nil
	}
	if c.observe != nil {
		observed, end := c.observing(ctx, Call{OpGet, keys[0], len(keys)})
		defer func() { end(err) }()
		ctx = observed
	}
	g := newGets(keys)
	whole := c.getAll(ctx, g, flags)
	items, err = g.settle(), g.err(ctx, whole)
	g.recycle()
	return items, err
}

// getAll asks for all keys; if that fails at once for those that have no answer, it returns why.
func (c *Client) getAll(ctx context.Context, g *gets, flags OpFlags) *Error {
	for from := 0; from < len(g.keys); from += mostOps {
		if failed := c.getSome(ctx, g, from, min(from+mostOps, len(g.keys)), flags); failed != nil {
			return failed
		}
	}
	return nil
}

// getSome asks for at most as many keys as cross at once.
func (c *Client) getSome(ctx context.Context, g *gets, from, to int, flags OpFlags) *Error {
	taken := 0
	if g.list.set(g.keys[from:to], flags, c.milliseconds(ctx)) {
		call := newCall()
		call.of(to-from).gets, call.first = g, from
		var failed *Error
		taken, failed = c.engine.doKeys(ctx, call, &g.list)
		runtime.KeepAlive(c)
		call.unpack()
		call.recycle()
		if failed != nil {
			return failed
		}
	}
	if from += taken; from == to {
		return nil
	}
	return c.getRest(ctx, g, from, to, flags)
}

// getRest asks the usual way for keys that the queue had no room for, or that are too long.
func (c *Client) getRest(ctx context.Context, g *gets, from, to int, flags OpFlags) *Error {
	answers, op := make([]Answer, to-from), Op{Opcode: OpGet, OpFlags: flags}
	failed := c.execute(ctx, answers, func(i int) *Op { op.Key = g.keys[from+i]; return &op })
	for i := range answers {
		g.put(from+i, &answers[i], answers[i].Value)
	}
	return failed
}

func newGets(keys []string) *gets {
	g := manyGets.Get().(*gets)
	g.keys = keys
	g.statuses = slices.Grow(g.statuses[:0], len(keys))[:len(keys)]
	for i := range g.statuses {
		g.statuses[i] = deferred.Status
	}
	return g
}

// recycle forgets all but the memory that can be used again.
func (g *gets) recycle() {
	if cap(g.list.bytes) > keptBytes || cap(g.statuses) > keptKeys {
		return
	}
	*g = gets{statuses: g.statuses, list: keyList{room: g.list.room, bytes: g.list.bytes, lengths: g.list.lengths}}
	manyGets.Put(g)
}

// makePlaces makes room for what comes, with the engine's lock held.
func (g *gets) makePlaces() {
	if g.places == nil {
		g.places = make([]Item, len(g.keys))
	}
}

// prepare does what else can be done while the server is at work.
func (g *gets) prepare() {
	if g.items != nil {
		return
	}
	g.items = make(map[string]*Item, len(g.keys))
	for i, key := range g.keys {
		g.places[i].Key = key
		g.items[key] = &g.places[i]
	}
}

// take puts an answer of the library's in its place, with the engine's lock held.
func (g *gets) take(index int, from *C.bmemc_item, value []byte) {
	if from.status != C.BMEMC_OK {
		var answer Answer
		answer.read(from)
		g.put(index, &answer, nil)
		return
	}
	g.takeHit(index, from, value)
}

// takeHit does the same where it was found.
func (g *gets) takeHit(index int, from *C.bmemc_item, value []byte) {
	g.statuses[index] = 0
	g.hits++
	place := &g.places[index]
	place.Value, place.Flags, place.Type = value, uint32(from.flags), ValueType(from.value_type)
	place.CAS, place.Bits = uint64(from.cas), Bits(from.bits)
}

// unpack puts an answer in its place whose bytes are the library's still.
func (g *gets) unpack(p *parcel) {
	var answer Answer
	answer.read(&p.item)
	answer.Detail = stringOf(p.item.detail)
	g.put(p.index, &answer, bytesOf(p.item.value))
	p.free()
}

// put puts an answer in its place.
func (g *gets) put(index int, answer *Answer, value []byte) {
	g.makePlaces()
	g.statuses[index] = answer.Status
	switch {
	case answer.Status == 0:
		g.hits++
		answer.fill(&g.places[index], g.keys[index], value)
	case answer.Status < 0:
		g.failed = append(g.failed, failedGet{index, *answer})
	}
}

// settle makes the map what it is to be when no more answers come.
func (g *gets) settle() map[string]*Item {
	g.makePlaces()
	g.prepare()
	if g.hits == len(g.keys) {
		return g.items
	}
	missing := 0
	for i, status := range g.statuses {
		if status != 0 {
			delete(g.items, g.keys[i])
			missing++
		}
	}
	if len(g.items)+missing == len(g.keys) {
		return g.items
	}
	// A key that was asked for more than once is there if it was found once.
	for i, status := range g.statuses {
		if status == 0 {
			g.items[g.keys[i]] = &g.places[i]
		}
	}
	return g.items
}

// err is what could not be read; `whole` is why there is no answer for those that have none.
func (g *gets) err(ctx context.Context, whole *Error) error {
	var failed failures
	for i := range g.failed {
		each := &g.failed[i]
		failed.add(ctx, OpGet, g.keys[each.index], &each.answer)
	}
	if whole != nil {
		for i, status := range g.statuses {
			if status == deferred.Status {
				failed.addUnanswered(whole, OpGet, g.keys[i])
			}
		}
	}
	return failed.err()
}

// set makes it a list of these keys; false: one is too long.
func (l *keyList) set(keys []string, flags OpFlags, timeout C.uint32_t) bool {
	bytes, lengths := l.bytes[:0], slices.Grow(l.lengths[:0], len(keys))[:len(keys)]
	for i, key := range keys {
		if len(key) > longestKey {
			return false
		}
		bytes = append(bytes, key...)
		lengths[i] = C.uint32_t(len(key))
	}
	l.bytes, l.lengths = bytes, lengths
	l.like = C.bridge_op{opcode: C.BMEMC_OP_GET, op_flags: C.uint32_t(flags), timeout_ms: timeout}
	return true
}

// submit has them asked for; the answers are tagged from this number on. It returns how many the queue has taken.
func (l *keyList) submit(first uint64, queue *C.bmemc_queue, client *C.bmemc_client) int {
	l.like.tag = C.uint64_t(first)
	bytes, lengths, count := (*C.uint8_t)(unsafe.SliceData(l.bytes)), unsafe.SliceData(l.lengths), C.size_t(len(l.lengths))
	C.bridge_submit_keys(queue, client, &l.like, bytes, lengths, count, l.room, &l.accepted, &l.words)
	return int(l.accepted)
}
