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

// The engine of a client: it collects what goroutines ask for, gives it to the library's queue in batches, and hands the
// answers back. A goroutine never blocks its thread, with one exception: who is alone waits for its answer inside the
// library, for a millisecond at most, since that is fastest. Else the loop waits for the queue's descriptor in Go's
// netpoller. It knows nothing of what operations mean.
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
	inVain   int  // so many more do not wait for others to join the open batch
	inFlight int  // operations without an answer, those in the open batch too
	solo     int  // calls in a row that found nobody else
	slow     bool // a round trip takes too long to block a thread meanwhile
	refs     int  // who uses the handles; one is the open client itself
	closed   *Error
	wakes    []*call // of who has the right to fetch
}

// Who has the right to fetch.
type role int

const (
	// Nobody: nothing is in flight.
	idle role = iota
	// A caller that is alone, inside the library.
	blocking
	// The loop, which is at work and will submit what is in the open batch.
	running
	// The loop, which waits in the netpoller.
	parked
)

const (
	// So many calls in a row must have found nobody else before one may block its thread.
	soloEnough = 16
	// One in so many goes through the loop all the same, so that others who want to run can, and its time is taken.
	soloSample = 32
	// One in so many lets others who can run come first.
	soloYield = 8
	// A round trip that takes longer is not worth a thread, and so much more for each operation.
	slowRoundTrip, slowOperation = 100 * time.Microsecond, time.Microsecond
	// So few operations are better off each on a connection of its own: their replies come one while another is awaited.
	few = 2
	// So often nobody waits for others to join the open batch, after one has waited in vain.
	gatherEach = 16
	// Values from this size on cross by themselves, without being copied into a batch.
	directBytes = 16 << 10
	// Operations of one crossing.
	mostOps = 1 << indexBits
)

// slot is a place for a call that is in flight.
type slot struct {
	call       *call // nil: nobody waits for the answers
	left       int   // answers that are still to come
	generation uint32
}

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
		open: newBatch(), spare: newBatch(), number: 1, refs: 1,
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
	began := e.begins()
	if len(op.Value) >= directBytes && op.RoutingKey == "" && op.MetaFlags == "" {
		e.direct(op, c.tag(0), timeout)
	} else {
		c.batch = e.number
		e.open.add(op, c.tag(0), timeout)
		if e.mayBlock() && e.isAlone(c) {
			b := e.takeOpen()
			e.block(c, b)
			e.giveBack(b)
		} else if c.batch == e.number {
			e.push()
		}
	}
	e.mu.Unlock()
	err := e.wait(ctx, c)
	if !began.IsZero() {
		e.judge(time.Since(began), slowRoundTrip)
	}
	return err
}

// doBatch runs the operations of a batch, whose tags count from zero.
func (e *engine) doBatch(ctx context.Context, c *call, b *batch) *Error {
	e.mu.Lock()
	if e.closed != nil {
		defer e.mu.Unlock()
		return e.closed
	}
	e.admit(c)
	began := e.begins()
	first := C.uint64_t(c.tag(0))
	for i := range b.ops {
		b.ops[i].tag += first
	}
	if e.mayBlock() {
		e.block(c, b)
	} else {
		start := e.claim()
		e.cross(b, nil)
		e.unclaim(start)
	}
	e.mu.Unlock()
	err := e.wait(ctx, c)
	if !began.IsZero() {
		e.judge(time.Since(began), slowRoundTrip+time.Duration(len(b.ops))*slowOperation)
	}
	return err
}

// wait waits for the call to be complete, or for its context to end.
func (e *engine) wait(ctx context.Context, c *call) *Error {
	if done := ctx.Done(); done != nil {
		select {
		case <-c.done:
		case <-done:
			return e.abandon(ctx, c)
		}
	} else {
		<-c.done
	}
	return c.failure
}

// abandon ends a call whose context has ended; its answers, which may still come, are dropped.
func (e *engine) abandon(ctx context.Context, c *call) *Error {
	e.mu.Lock()
	if c.left == 0 {
		e.mu.Unlock()
		<-c.done
		return c.failure
	}
	count, err := len(c.answers), contextError(ctx)
	e.slots[c.slot].call = nil
	if c.batch == e.number {
		err.Bits = BitNotSent
		e.open.drop(c.tag(0), uint64(count))
		e.drop(c.slot, count)
		e.mu.Unlock()
		return err
	}
	err.Bits = BitUnknownOutcome
	e.refs++
	e.mu.Unlock()
	c.discard()
	// Without this the operation would count until its own deadline.
	for i := 0; i < min(count, 16); i++ {
		C.bmemc_queue_cancel(e.queue, C.uint64_t(c.tag(i)), nil)
	}
	e.leave()
	return err
}

// ---- With the lock held ----

// admit gives a call its slot.
func (e *engine) admit(c *call) {
	if e.inFlight == 0 {
		e.solo++
	} else {
		e.solo = 0
	}
	if last := len(e.vacant) - 1; last >= 0 {
		c.slot = e.vacant[last]
		e.vacant = e.vacant[:last]
	} else {
		c.slot = uint32(len(e.slots))
		e.slots = append(e.slots, slot{})
	}
	s := &e.slots[c.slot]
	c.generation = s.generation + 1
	*s = slot{c, c.left, c.generation}
	e.inFlight += c.left
}

// drop notes that so many answers of a slot have come or will not.
func (e *engine) drop(index uint32, count int) {
	e.inFlight -= count
	s := &e.slots[index]
	if s.left -= count; s.left == 0 {
		s.call = nil
		e.vacant = append(e.vacant, index)
	}
}

// begins is now, where the call that was just admitted has its time taken.
func (e *engine) begins() (began time.Time) {
	if e.role == idle && e.solo%soloSample == 0 {
		began = time.Now()
	}
	return began
}

// isAlone lets others who can run come before a call that is about to block its thread, now and then: they might have no
// other thread. It answers whether none of them has come.
func (e *engine) isAlone(c *call) bool {
	if e.solo%soloYield == 0 {
		e.yield()
	}
	return e.role == idle && e.inFlight == c.left && c.batch == e.number && e.closed == nil
}

// yield lets other goroutines run; the lock is let go meanwhile.
func (e *engine) yield() {
	e.refs++
	e.mu.Unlock()
	runtime.Gosched()
	e.mu.Lock()
	e.release()
}

func (e *engine) mayBlock() bool {
	return e.role == idle && e.solo > soloEnough && e.solo%soloSample != 0 && !e.slow
}

func (e *engine) takeOpen() *batch {
	taken := e.open
	e.open, e.spare = e.spare, nil
	if e.open == nil {
		e.open = newBatch()
	}
	e.number++
	return taken
}

// giveBack keeps the memory of a batch for the next one.
func (e *engine) giveBack(b *batch) {
	b.reset()
	e.spare = b
}

// block runs a batch on this thread; what has no answer soon is left to the loop.
func (e *engine) block(c *call, b *batch) {
	e.role = blocking
	e.bell.mute()
	e.cross(b, e.inbox)
	for e.deliver() > 0 && c.left > 0 {
		e.refs++
		e.mu.Unlock()
		e.inbox.fetch(e.queue, blockMilliseconds)
		e.mu.Lock()
		e.release()
	}
	e.slow = c.left > 0
	e.wake()
	e.settle()
}

// settle gives the right to fetch on.
func (e *engine) settle() {
	if e.inFlight == 0 {
		e.role = idle
		return
	}
	e.role = running
	e.start()
}

func (e *engine) start() {
	if e.closed == nil {
		select {
		case e.begin <- struct{}{}:
		default:
		}
	}
}

// claim takes the right to fetch for the loop, if nobody has it, and answers whether the loop is to be started.
func (e *engine) claim() bool {
	if e.role != idle {
		return false
	}
	e.role = running
	return true
}

func (e *engine) unclaim(start bool) {
	if start {
		e.start()
	}
}

// push has the open batch submitted: by the loop if it is at work, else here.
func (e *engine) push() {
	if e.role == running {
		return
	}
	start := e.claim()
	e.flush(true)
	e.unclaim(start)
}

// gather lets others who can run add to the open batch, where that was worth it lately. Who is about to submit does it.
func (e *engine) gather() {
	if e.inVain > 0 {
		e.inVain--
		return
	}
	if e.inFlight <= few {
		return
	}
	before := len(e.open.ops)
	e.yield()
	if len(e.open.ops) <= before {
		e.inVain = gatherEach
	}
}

// flush submits the open batch, unless somebody else is about to.
func (e *engine) flush(gather bool) {
	if e.flushing {
		return
	}
	e.flushing = true
	if gather {
		e.gather()
	}
	for len(e.open.ops) > 0 && e.closed == nil {
		b := e.takeOpen()
		e.cross(b, nil)
		e.giveBack(b)
	}
	e.flushing = false
}

// cross submits a batch, and with an inbox fetches what comes of it; the lock is let go meanwhile.
func (e *engine) cross(b *batch, in *inbox) {
	var refused []refusal
	e.refs++
	e.mu.Unlock()
	b.submit(e.queue, e.client, in, func(tag uint64, why *Error) { refused = append(refused, refusal{tag, why}) })
	e.hooks.poke()
	e.mu.Lock()
	e.release()
	e.refuse(refused)
}

// direct submits one operation without copying its bytes first; the lock is let go meanwhile.
func (e *engine) direct(op *Op, tag uint64, timeout C.uint32_t) {
	start := e.claim()
	e.refs++
	e.mu.Unlock()
	b := batches.Get().(*batch)
	refused := b.submitDirect(op, tag, timeout, e.queue, e.client)
	b.recycle()
	e.hooks.poke()
	e.mu.Lock()
	e.release()
	if refused != nil {
		e.refuse([]refusal{{tag, refused}})
	}
	e.unclaim(start)
}

// refusal is an operation that the queue did not take.
type refusal struct {
	tag uint64
	why *Error
}

func (e *engine) refuse(refused []refusal) {
	for _, r := range refused {
		c := e.slots[slotOf(r.tag)].call
		e.drop(slotOf(r.tag), 1)
		if c == nil {
			continue
		}
		c.answers[indexOf(r.tag)] = r.why.answer()
		if c.left--; c.left == 0 {
			c.done <- struct{}{} // there is room, and nobody else sends
		}
	}
}

// deliver hands out what was fetched; the calls that are complete are in e.wakes.
func (e *engine) deliver() int {
	answers := e.inbox.answers()
	for i := range answers {
		answer := &answers[i]
		index := slotOf(uint64(answer.tag))
		c := e.slots[index].call
		if c == nil {
			if answer.owner != nil {
				C.bmemc_value_free(answer.owner)
			}
			e.drop(index, 1)
			continue
		}
		c.take(indexOf(uint64(answer.tag)), answer, e.inbox)
		if c.left == 0 {
			e.wakes = append(e.wakes, c)
		}
		e.drop(index, 1)
	}
	e.inbox.box.count = 0
	return len(answers)
}

// ---- The loop ----

func (e *engine) loop() {
	defer close(e.stopped)
	turn := e.turn
	for range e.begin {
		// It ends when nothing is in flight, or with an error when the file was closed.
		_ = e.bell.poll.Read(turn)
	}
}

// turn does what there is to do; false: wait for the queue's descriptor, and come back. All of the waiting is inside one
// Read, since the beginning of another would forget a wake-up that has come meanwhile.
func (e *engine) turn(uintptr) bool {
	e.bell.unmute()
	e.inbox.fetch(e.queue, 0)
	e.hooks.poke()
	e.mu.Lock()
	e.role = running
	if failed := e.inbox.failed(); failed != nil {
		e.mu.Unlock()
		e.shut(failed)
		return true
	}
	alone := e.inFlight <= few && len(e.open.ops) == 0
	e.deliver()
	if alone {
		// Each asks again for itself, and at once.
		defer e.mu.Unlock()
		e.wake()
		return e.park()
	}
	wakes := len(e.wakes)
	e.mu.Unlock()
	e.wake()
	if wakes > 1 {
		// They are likely to ask again: what they ask for then goes together.
		runtime.Gosched()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.flush(false)
	return e.park()
}

// wake wakes the calls that are complete. Who has the right to fetch does it.
func (e *engine) wake() {
	for i, woken := range e.wakes {
		woken.done <- struct{}{} // there is room: it never blocks
		e.wakes[i] = nil
	}
	e.wakes = e.wakes[:0]
}

// park says how the loop goes on, with the lock held: it ends where nothing is in flight.
func (e *engine) park() bool {
	e.role = parked
	if e.closed == nil && e.inFlight == 0 {
		e.role = idle
	}
	return e.closed != nil || e.inFlight == 0
}

// judge notes whether a round trip is short enough to block a thread meanwhile.
func (e *engine) judge(took, slow time.Duration) {
	e.mu.Lock()
	e.slow = took > slow
	e.mu.Unlock()
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
	var wakes []*call
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
		e.slots[i].call = nil
		wakes = append(wakes, c)
	}
	close(e.begin)
	e.mu.Unlock()
	for _, woken := range wakes {
		woken.done <- struct{}{}
	}
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
