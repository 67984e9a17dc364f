package bmemc

// #include "bridge.h"
import "C"

// How operations get to the library. What goroutines ask for while others are at it collects in the open batch. All of it
// with the lock held, which is let go while a batch crosses.

// So often nobody waits for others to join the open batch, after one has waited in vain.
const gatherEach = 16

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

// cross submits a batch, and with an inbox fetches what comes of it.
func (e *engine) cross(b *batch, in *inbox) {
	var refused []refusal
	e.away(func() {
		b.submit(e.queue, e.client, in, func(tag uint64, why *Error) { refused = append(refused, refusal{tag, why}) })
		e.hooks.poke()
	})
	e.refuse(refused)
}

// crossKeys submits many gets of one call, and returns how many the queue has taken.
func (e *engine) crossKeys(c *call, list *keyList) (taken int) {
	count := c.left
	e.away(func() {
		taken = list.submit(c.tag(0), e.queue, e.client)
		e.hooks.poke()
	})
	if left := count - taken; left > 0 {
		e.refuseRest(c, left)
	}
	return taken
}

// refuseRest notes that so many operations of a call, which waits for them, were not taken.
func (e *engine) refuseRest(c *call, left int) {
	waits := e.slots[c.slot].call == c
	e.drop(c.slot, left)
	if !waits {
		return
	}
	if c.left -= left; c.left == 0 {
		c.wake()
	}
}

// direct submits one operation without copying its bytes first.
func (e *engine) direct(op *Op, tag uint64, timeout C.uint32_t) {
	start := e.claim()
	var refused *Error
	e.away(func() {
		b := batches.Get().(*batch)
		refused = b.submitDirect(op, tag, timeout, e.queue, e.client)
		b.recycle()
		e.hooks.poke()
	})
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
			c.wake()
		}
	}
}
