package bmemc

// #include "bridge.h"
import "C"

import (
	"context"
	"runtime"
	"time"
)

// Who fetches answers: a caller or the loop. While few calls are in flight one of their callers leads: it waits inside the
// library, on its thread, for ten milliseconds at most, since that is fastest, and asks another to lead when it leaves. Else
// the loop waits for the queue's descriptor in Go's netpoller, and no goroutine blocks its thread.

// Who has the right to fetch.
type role int

const (
	// Nobody: nothing is in flight.
	idle role = iota
	// A caller, inside the library or about to be.
	leading
	// The loop, which is at work and will submit what is in the open batch.
	running
	// The loop, which waits in the netpoller.
	parked
)

const (
	// So many calls in a row must have found few others before one may block its thread.
	calmEnough = 16
	// One in so many has its time taken, and each while a round trip seems to be slow.
	calmSample = 32
	// One in so many lets others who can run come first. (None has to go through the loop for that: with one processor the
	// runtime's monitor then wakes up all the time, which costs a call of 100 keys 1.7 system calls.)
	calmYield = 8
	// Who has met another caller lately, so many calls ago, lets others come first after it has submitted.
	companyLasts = 16
	// A round trip that takes longer is not worth a thread, and so much more for each operation.
	slowRoundTrip, slowOperation = 100 * time.Microsecond, time.Microsecond
)

// ---- Callers, with the lock held ----

// begins is now, where the call that was just admitted has its time taken.
func (e *engine) begins() (began time.Time) {
	if e.calm > 0 && (e.slow || e.doubt || e.calm%calmSample == 0) {
		e.single = runtime.GOMAXPROCS(0) == 1
		began = time.Now()
	}
	return began
}

// judge notes whether a round trip is short enough to block a thread meanwhile. One that is slow alone says nothing.
func (e *engine) judge(took, slow time.Duration) {
	e.mu.Lock()
	over := took > slow
	e.slow, e.doubt = over && (e.slow || e.doubt), over
	e.mu.Unlock()
}

// isCalm says whether a caller should lead.
func (e *engine) isCalm() bool {
	return e.calm > calmEnough && !e.slow && e.closed == nil
}

// mayLead says whether the call that was just admitted may take the lead.
func (e *engine) mayLead() bool { return e.role == idle && e.isCalm() }

// isFirst lets others who can run come before a call that is about to block its thread, now and then: they might have no
// other thread. It answers whether none of them has come.
func (e *engine) isFirst(c *call) bool {
	if e.calm%calmYield == 0 && !(e.single && e.company > 0) {
		e.yield()
	}
	return e.role == idle && e.inFlight == c.left && c.batch == e.number && e.closed == nil
}

// appoint gives the lead to a call. Who leads keeps the handles alive.
func (e *engine) appoint(c *call) {
	e.role, c.leads = leading, true
	e.refs++
}

// leadOpen takes the lead and submits the open batch; it answers whether the call is complete.
func (e *engine) leadOpen(ctx context.Context, c *call) bool {
	e.appoint(c)
	e.bell.mute()
	b := e.takeOpen()
	if e.single && e.company > 0 {
		e.cross(b, nil)
		e.giveBack(b)
		e.yield()
		return e.lead(ctx, c)
	}
	e.cross(b, e.inbox)
	e.giveBack(b)
	return e.goOn(ctx, c)
}

// leadOn leads, as the call was asked to; it answers whether the call is complete. It takes the lock itself.
func (e *engine) leadOn(ctx context.Context, c *call) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.lead(ctx, c)
}

// lead fetches until the call is complete, and answers whether it is. What has no answer soon is left to the loop.
func (e *engine) lead(ctx context.Context, c *call) bool {
	if c.left == 0 {
		e.passOn(c)
		return true
	}
	e.bell.mute()
	e.await()
	return e.goOn(ctx, c)
}

// await fetches, waiting for the first answer.
func (e *engine) await() {
	e.away(func() { e.inbox.fetch(e.queue, blockMilliseconds) })
}

// goOn does the same where something was fetched already.
func (e *engine) goOn(ctx context.Context, c *call) bool {
	for e.deliver() > 0 && c.left > 0 && ctx.Err() == nil {
		if len(e.wakes) > 0 {
			e.wake()
			e.yield() // they may have no other thread
		}
		e.await()
	}
	e.slow = e.slow || c.left > 0 && ctx.Err() == nil
	e.wake()
	e.passOn(c)
	return c.left == 0
}

// passOn gives on the lead of a call: to another one, or to the loop.
func (e *engine) passOn(c *call) {
	c.leads = false
	if e.inFlight == 0 {
		e.role = idle
	} else if !e.ask(c) {
		e.role = running
		e.start()
	}
	e.release()
}

// ask asks a call to lead instead of this one, if there is one that should. Where Go has several processors, to hand the
// lead from thread to thread costs more than the loop.
func (e *engine) ask(instead *call) bool {
	next := e.follower(instead)
	if next == nil || e.inFlight > few || !e.single || !e.isCalm() {
		return false
	}
	e.appoint(next)
	next.done <- struct{}{} // there is room: it is not complete
	return true
}

// wake wakes the calls that are complete. Who has the right to fetch does it.
func (e *engine) wake() {
	for i, woken := range e.wakes {
		woken.wake()
		e.wakes[i] = nil
	}
	e.wakes = e.wakes[:0]
}

// deliver hands out what was fetched; the calls that are complete are in e.wakes.
func (e *engine) deliver() int {
	answers := e.inbox.answers()
	for rest := answers; len(rest) > 0; {
		index, count := slotOf(uint64(rest[0].tag)), 1
		for count < len(rest) && slotOf(uint64(rest[count].tag)) == index {
			count++
		}
		if c := e.slots[index].call; c == nil {
			discard(rest[:count])
		} else if c.take(rest[:count], e.inbox); c.left == 0 && !c.leads {
			e.wakes = append(e.wakes, c)
		}
		e.drop(index, count)
		rest = rest[count:]
	}
	e.inbox.box.count = 0
	return len(answers)
}

// ---- The loop ----

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

func (e *engine) start() {
	if e.closed == nil {
		select {
		case e.begin <- struct{}{}:
		default:
		}
	}
}

func (e *engine) loop() {
	defer close(e.stopped)
	turn := e.turn
	for range e.begin {
		// It ends when nothing is in flight or a caller leads, or with an error when the file was closed.
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

// park says how the loop goes on, with the lock held: it ends where nothing is in flight, or a caller should lead.
func (e *engine) park() bool {
	if e.closed == nil && e.inFlight == 0 {
		e.role = idle
		return true
	}
	if e.ask(nil) {
		return true
	}
	e.role = parked
	return e.closed != nil
}
