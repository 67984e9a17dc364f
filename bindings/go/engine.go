package bmemc

// #include <stdlib.h>
// #include "bridge.h"
import "C"

import (
	"context"
	"runtime"
	"sync"
	"time"
)

// The engine of a client: it collects what goroutines ask for, gives it to the library's queue in batches (submitting.go),
// and hands the answers back (fetching.go). It knows nothing of what operations mean.
type engine struct {
	client *C.bmemc_client
	queue  *C.bmemc_queue
	inbox  *inbox
	hooks  *hooks
	bell   *bell
	// Starts the loop; closed at the end.
	begin chan struct{}
	// Closed when the loop has ended.
	stopped chan struct{}

	mu       sync.Mutex
	role     role
	slots    []slot
	vacant   []uint32
	open     *batch // operations that wait for their crossing
	spare    *batch
	number   uint64 // of the open batch
	flushing bool
	inVain   int        // so many more do not wait for others to join the open batch
	inFlight int        // operations without an answer, those in the open batch too
	calm     int        // calls in a row that found few others, or none
	company  int        // so many more calls take it that others are about to ask, as they did lately
	single   bool       // Go has one processor, so that who blocks its thread keeps all others from running
	slow     bool       // a round trip takes too long to block a thread meanwhile
	doubt    bool       // the last one that had its time taken did
	near     [few]*call // calls in flight that could lead, where they are few
	refs     int        // who uses the handles; one is the open client itself
	closed   *Error
	wakes    []*call // of who has the right to fetch
}

const (
	// So few operations are better off each on a connection of its own: their replies come one while another is awaited.
	few = 2
	// Values from this size on cross by themselves, without being copied into a batch.
	directBytes = 16 << 10
	// Operations of one crossing.
	mostOps = 1 << indexBits
)

func newEngine(client *C.bmemc_client, hooks *hooks) (*engine, error) {
	var queue *C.bmemc_queue
	var words C.bmemc_error
	if status := C.bmemc_queue_new(&queue, &words); status != C.BMEMC_OK {
		return nil, failure(C.int32_t(status), &words)
	}
	bell, err := newBell(int(C.bmemc_queue_fd(queue)))
	if err != nil {
		C.bmemc_queue_free(queue)
		return nil, err
	}
	e := &engine{
		client: client, queue: queue, inbox: newInbox(), hooks: hooks, bell: bell,
		begin: make(chan struct{}, 1), stopped: make(chan struct{}),
		open: newBatch(), spare: newBatch(), number: 1, refs: 1, single: runtime.GOMAXPROCS(0) == 1,
	}
	go e.loop()
	return e, nil
}

// ---- Calls ----

// do runs one operation.
func (e *engine) do(ctx context.Context, c *call, op *Op, timeout C.uint32_t) *Error {
	e.mu.Lock()
	if e.closed != nil {
		defer e.mu.Unlock()
		return e.closed
	}
	e.admit(c)
	began, done := e.begins(), false
	if len(op.Value) >= directBytes && op.RoutingKey == "" && op.MetaFlags == "" {
		e.direct(op, c.tag(0), timeout)
	} else {
		c.batch = e.number
		e.open.add(op, c.tag(0), timeout)
		if e.mayLead() && e.isFirst(c) {
			done = e.leadOpen(ctx, c)
		} else if c.batch == e.number {
			e.push()
		}
	}
	e.release()
	e.mu.Unlock()
	if !done {
		e.wait(ctx, c)
	}
	if !began.IsZero() {
		e.judge(time.Since(began), slowRoundTrip)
	}
	return c.failure
}

// doBatch runs the operations of a batch, whose tags count from zero.
func (e *engine) doBatch(ctx context.Context, c *call, b *batch) *Error {
	return e.doMany(ctx, c, func() {
		b.shift(c.tag(0))
		e.cross(b, nil)
	})
}

// doKeys runs many gets; it returns how many of them the queue has taken.
func (e *engine) doKeys(ctx context.Context, c *call, list *keyList) (taken int, failed *Error) {
	failed = e.doMany(ctx, c, func() { taken = e.crossKeys(c, list) })
	return taken, failed
}

// doMany runs the operations of a call, which `cross` submits.
func (e *engine) doMany(ctx context.Context, c *call, cross func()) *Error {
	e.mu.Lock()
	if e.closed != nil {
		defer e.mu.Unlock()
		return e.closed
	}
	e.admit(c)
	began, done, count, start := e.begins(), false, c.left, false
	if e.mayLead() && e.calm%calmYield == 0 {
		e.yield() // as isFirst does
	}
	leads := e.mayLead()
	if leads {
		e.appoint(c)
	} else {
		start = e.claim()
	}
	cross()
	e.unclaim(start)
	if c.gets != nil {
		c.gets.makePlaces()
		e.away(c.gets.prepare) // while the server is at work
	}
	if leads {
		done = e.lead(ctx, c)
	}
	e.release()
	e.mu.Unlock()
	if !done {
		e.wait(ctx, c)
	}
	if !began.IsZero() {
		e.judge(time.Since(began), slowRoundTrip+time.Duration(count)*slowOperation)
	}
	return c.failure
}

// wait waits for the call to be complete, or for its context to end; it leads if it is asked to.
func (e *engine) wait(ctx context.Context, c *call) {
	over := ctx.Done()
	for {
		if over == nil {
			<-c.done // the same in less time
		} else {
			select {
			case <-c.done:
			case <-over:
				e.abandon(ctx, c)
				return
			}
		}
		if !c.leads || e.leadOn(ctx, c) {
			return
		}
	}
}

// abandon ends a call whose context has ended; its answers, which may still come, are dropped.
func (e *engine) abandon(ctx context.Context, c *call) {
	e.mu.Lock()
	if c.leads {
		<-c.done
		e.passOn(c)
	} else if c.left == 0 {
		<-c.done
	}
	if c.left == 0 {
		e.mu.Unlock()
		return
	}
	count, err := c.count, contextError(ctx)
	c.failure = err
	e.forget(c)
	if c.batch == e.number {
		err.Bits = BitNotSent
		e.open.drop(c.tag(0), uint64(count))
		e.drop(c.slot, count)
		e.mu.Unlock()
		return
	}
	err.Bits = BitUnknownOutcome
	e.refs++
	e.mu.Unlock()
	// Without this the operation would count until its own deadline.
	for i := 0; i < min(count, 16); i++ {
		C.bmemc_queue_cancel(e.queue, C.uint64_t(c.tag(i)), nil)
	}
	e.leave()
}

// ---- The end ----

// enter keeps the handles alive until leave.
func (e *engine) enter() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed != nil {
		return e.closed
	}
	e.refs++
	return nil
}

// release is leave with the lock held.
func (e *engine) release() {
	if e.refs--; e.refs == 0 {
		go e.free()
	}
}

func (e *engine) leave() {
	e.mu.Lock()
	e.refs--
	last := e.refs == 0
	e.mu.Unlock()
	if last {
		e.free()
	}
}

func (e *engine) close() {
	e.shut(&Error{Status: ErrClosed, Message: "the client was closed"})
	<-e.stopped
}

// shut fails all calls, those to come too. Only the first reason counts.
func (e *engine) shut(why *Error) {
	e.mu.Lock()
	if e.closed != nil {
		e.mu.Unlock()
		return
	}
	after := *why
	after.Bits = BitNotSent
	e.closed = &after
	for i := range e.slots {
		c := e.slots[i].call
		if c == nil || c.left == 0 {
			continue
		}
		failed := *why
		failed.Bits = BitUnknownOutcome
		if c.batch == e.number {
			failed.Bits = BitNotSent
		}
		c.failure, c.left = &failed, 0
		e.forget(c)
		c.wake()
	}
	close(e.begin)
	e.mu.Unlock()
	C.bmemc_client_close(e.client)
	go func() {
		e.bell.file.Close() // waits for the loop, which may be here
		<-e.stopped
		e.leave()
	}()
}

func (e *engine) free() {
	C.bmemc_queue_free(e.queue)
	C.bmemc_client_free(e.client)
	e.inbox.free()
	e.hooks.close()
}

// contextError is the failure of a call whose context has ended.
func contextError(ctx context.Context) *Error {
	err := &Error{Status: ErrCancelled, Message: "the context was cancelled", cause: context.Cause(ctx)}
	if ctx.Err() == context.DeadlineExceeded {
		err.Status, err.Message, err.cause = ErrTimeout, "the context's deadline passed", context.DeadlineExceeded
	}
	return err
}
