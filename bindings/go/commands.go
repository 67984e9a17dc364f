package bmemc

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// ---- Reading ----

// Get reads an item. [ErrNotFound]: a miss.
func (c *Client) Get(ctx context.Context, key string) (*Item, error) {
	return c.read(ctx, &Op{Opcode: OpGet, Key: key})
}

// Gets reads an item with its CAS, for [Client.CompareAndSwap].
func (c *Client) Gets(ctx context.Context, key string) (*Item, error) {
	return c.read(ctx, &Op{Opcode: OpGet, Key: key, OpFlags: FlagWantCAS})
}

// GetOr is Get, but a miss is answered with `other`, as it is, which may be nil. A failure is still an error.
func (c *Client) GetOr(ctx context.Context, key string, other *Item) (*Item, error) {
	return orOther(c.Get, ctx, key, other)
}

// GetsOr is Gets, but a miss is answered with `other`, as it is, its CAS too; it may be nil. A failure is still an error.
func (c *Client) GetsOr(ctx context.Context, key string, other *Item) (*Item, error) {
	return orOther(c.Gets, ctx, key, other)
}

func orOther[T any](read func(context.Context, string) (T, error), ctx context.Context, key string, other T) (T, error) {
	value, err := read(ctx, key)
	if errors.Is(err, ErrNotFound) {
		return other, nil
	}
	return value, err
}

// GetAndTouch reads an item and gives it a new time to live.
func (c *Client) GetAndTouch(ctx context.Context, key string, ttl time.Duration) (*Item, error) {
	return c.read(ctx, &Op{Opcode: OpGetAndTouch, Key: key, TTL: ttl})
}

func (c *Client) read(ctx context.Context, op *Op) (*Item, error) {
	call := newCall()
	err := c.one(ctx, op, call)
	var item *Item
	if err == nil {
		item = call.one[0].item(op.Key)
	}
	call.recycle()
	return item, err
}

// GetInto reads a value into a buffer and returns its length; nothing is allocated. [ErrBuffer]: the buffer is shorter
// than the value, whose length is returned.
func (c *Client) GetInto(ctx context.Context, key string, buffer []byte) (int, error) {
	call := newCall()
	call.into, call.isInto, call.one[0].Number = buffer, true, 0
	err := c.one(ctx, &Op{Opcode: OpGet, Key: key}, call)
	length := int(call.one[0].Number)
	call.recycle()
	return length, err
}

// GetMulti reads many items in as few round trips as possible. The map has those that were found; a key that is neither
// there nor in the error is a miss. The error is nil or a [*MultiError]: what could be read is in the map even then, also
// where the context ended before all had come.
func (c *Client) GetMulti(ctx context.Context, keys []string) (map[string]*Item, error) {
	return c.getMulti(ctx, keys, 0)
}

// GetsMulti is GetMulti with the CAS of each item.
func (c *Client) GetsMulti(ctx context.Context, keys []string) (map[string]*Item, error) {
	return c.getMulti(ctx, keys, FlagWantCAS)
}

// ---- Writing ----

// Set stores an item, whatever was there before; its CAS does not count.
func (c *Client) Set(ctx context.Context, item *Item) error { return c.store(ctx, OpSet, item) }

// Add stores an item if there is none with its key, else [ErrNotStored].
func (c *Client) Add(ctx context.Context, item *Item) error { return c.store(ctx, OpAdd, item) }

// Replace stores an item if there is one with its key, else [ErrNotStored].
func (c *Client) Replace(ctx context.Context, item *Item) error { return c.store(ctx, OpReplace, item) }

// Append puts the item's value behind the one that is there, else [ErrNotStored].
func (c *Client) Append(ctx context.Context, item *Item) error { return c.store(ctx, OpAppend, item) }

// Prepend puts the item's value before the one that is there, else [ErrNotStored].
func (c *Client) Prepend(ctx context.Context, item *Item) error { return c.store(ctx, OpPrepend, item) }

// CompareAndSwap stores an item that [Client.Gets] returned, unless it has changed since: then [ErrExists], or
// [ErrNotFound] where it is gone.
func (c *Client) CompareAndSwap(ctx context.Context, item *Item) error {
	if item != nil && item.CAS == 0 {
		return refused("item %s has no CAS; read it with Gets", quoted(item.Key)).about(OpSet, item.Key)
	}
	if item == nil {
		return c.store(ctx, OpSet, item)
	}
	op := c.storing(OpSet, item)
	op.CAS = item.CAS
	return c.run(ctx, &op)
}

func (c *Client) store(ctx context.Context, opcode Opcode, item *Item) error {
	if item == nil {
		return refused("the item is nil").about(opcode, "")
	}
	op := c.storing(opcode, item)
	return c.run(ctx, &op)
}

func (c *Client) run(ctx context.Context, op *Op) error {
	call := newCall()
	err := c.one(ctx, op, call)
	call.recycle()
	return err
}

// SetMulti stores many items in as few round trips as possible. The error is nil or a [*MultiError].
func (c *Client) SetMulti(ctx context.Context, items []*Item) error {
	for i, item := range items {
		if item == nil {
			return refused("item %d is nil", i).about(OpSet, "")
		}
	}
	var op Op
	key := func(i int) string { return items[i].Key }
	return c.many(ctx, len(items), key, func(i int) *Op { op = c.storing(OpSet, items[i]); return &op })
}

// CompareAndSwapMulti is [Client.CompareAndSwap] with many items in as few round trips as possible. The error is nil or a
// [*MultiError], in which [ErrExists] and [ErrNotFound] have the keys that were not stored for it.
func (c *Client) CompareAndSwapMulti(ctx context.Context, items []*Item) error {
	for i, item := range items {
		if item == nil {
			return refused("item %d is nil", i).about(OpSet, "")
		}
		if item.CAS == 0 {
			return refused("item %s has no CAS; read it with GetsMulti", quoted(item.Key)).about(OpSet, item.Key)
		}
	}
	var op Op
	key := func(i int) string { return items[i].Key }
	at := func(i int) *Op {
		op = c.storing(OpSet, items[i])
		op.CAS = items[i].CAS
		return &op
	}
	return c.many(ctx, len(items), key, at)
}

// Delete deletes a key. [ErrNotFound]: there was none.
func (c *Client) Delete(ctx context.Context, key string) error {
	return c.run(ctx, &Op{Opcode: OpDelete, Key: key})
}

// DeleteMulti deletes many keys in as few round trips as possible; those that are not there are no failure. The error is
// nil or a [*MultiError].
func (c *Client) DeleteMulti(ctx context.Context, keys []string) error {
	op := Op{Opcode: OpDelete}
	key := func(i int) string { return keys[i] }
	return c.many(ctx, len(keys), key, func(i int) *Op { op.Key = keys[i]; return &op })
}

// Touch gives an item a new time to live. [ErrNotFound]: there is none.
func (c *Client) Touch(ctx context.Context, key string, ttl time.Duration) error {
	return c.run(ctx, &Op{Opcode: OpTouch, Key: key, TTL: ttl})
}

// ---- Counters ----

// Increment adds to a counter, a value of decimal digits, and returns what it is then; it wraps at 64 bits.
// [ErrNotFound]: there is none.
func (c *Client) Increment(ctx context.Context, key string, delta uint64) (uint64, error) {
	return c.count(ctx, &Op{Opcode: OpIncrement, Key: key, Delta: delta})
}

// Decrement subtracts from a counter and returns what it is then; it stops at zero. [ErrNotFound]: there is none.
func (c *Client) Decrement(ctx context.Context, key string, delta uint64) (uint64, error) {
	return c.count(ctx, &Op{Opcode: OpDecrement, Key: key, Delta: delta})
}

// IncrementOrCreate is Increment, but a missing counter is created with this value and time to live.
func (c *Client) IncrementOrCreate(ctx context.Context, key string, delta, initial uint64, ttl time.Duration) (uint64, error) {
	return c.count(ctx, &Op{Opcode: OpIncrement, Key: key, Delta: delta, Initial: initial, TTL: ttl, OpFlags: FlagCreate})
}

// DecrementOrCreate is Decrement, but a missing counter is created with this value and time to live.
func (c *Client) DecrementOrCreate(ctx context.Context, key string, delta, initial uint64, ttl time.Duration) (uint64, error) {
	return c.count(ctx, &Op{Opcode: OpDecrement, Key: key, Delta: delta, Initial: initial, TTL: ttl, OpFlags: FlagCreate})
}

func (c *Client) count(ctx context.Context, op *Op) (uint64, error) {
	call := newCall()
	err := c.one(ctx, op, call)
	var number uint64
	if err == nil {
		number = call.one[0].Number
	}
	call.recycle()
	return number, err
}

// ---- Many ----

// Memory for the answers of a call of many operations.
var manyAnswers = sync.Pool{New: func() any { return new([]Answer) }}

// Answers that are kept when they are used again.
const keptAnswers = 256

// many runs operations, and sorts out the failures: one error for each server and status.
func (c *Client) many(ctx context.Context, count int, key func(int) string, at func(int) *Op) (err error) {
	if failed := c.check(ctx); failed != nil {
		return &MultiError{[]*Error{failed.aboutAll(count, key, at)}}
	}
	if count == 0 {
		return nil
	}
	if c.observe != nil {
		observed, end := c.observing(ctx, Call{at(0).Opcode, key(0), count})
		defer func() { end(err) }()
		ctx = observed
	}
	memory := manyAnswers.Get().(*[]Answer)
	answers := slices.Grow((*memory)[:0], count)[:count]
	whole := c.execute(ctx, answers, at)
	var failed failures
	for i := range answers {
		a := &answers[i]
		switch {
		case a.Status == deferred.Status:
			failed.addUnanswered(whole, at(i).Opcode, key(i))
		case a.Status < 0 || a.Status > 0 && at(i).CAS != 0: // what was not stored for its CAS has failed too
			failed.add(ctx, at(i).Opcode, key(i), a)
		}
		a.forget()
	}
	if count <= keptAnswers {
		*memory = answers
		manyAnswers.Put(memory)
	}
	return failed.err()
}

// failures collects what is wrong with a call of many keys: one error for each server and status.
type failures struct {
	known map[reason]*Error
	list  []*Error
}

type reason struct {
	server int
	status Status
}

// add adds the answer of an operation that failed.
func (f *failures) add(ctx context.Context, op Opcode, key string, a *Answer) {
	f.of(reason{a.Server, a.Status}, key, func() *Error { return a.failure(ctx, op) })
}

// addUnanswered adds an operation that has no answer, for a reason that it shares with others.
func (f *failures) addUnanswered(why *Error, op Opcode, key string) {
	f.of(reason{-1, why.Status}, key, func() *Error { return why.about(op) })
}

func (f *failures) of(why reason, key string, first func() *Error) {
	if f.known == nil {
		f.known = make(map[reason]*Error)
	}
	failed := f.known[why]
	if failed == nil {
		failed = first()
		f.known[why] = failed
		f.list = append(f.list, failed)
	}
	failed.Keys = append(failed.Keys, key)
}

// err is nil or a [*MultiError].
func (f *failures) err() error {
	if f.list == nil {
		return nil
	}
	return &MultiError{f.list}
}

func (e *Error) aboutAll(count int, key func(int) string, at func(int) *Op) *Error {
	if count == 0 {
		return e
	}
	keys := make([]string, count)
	for i := range keys {
		keys[i] = key(i)
	}
	return e.about(at(0).Opcode, keys...)
}
