package bmemc

import "runtime"

// The engine's calls in flight, each in a slot that the tags of its operations name. All of it with the lock held.

// slot is a place for a call that is in flight.
type slot struct {
	call       *call // nil: nobody waits for the answers
	left       int   // answers that are still to come
	generation uint32
}

// admit gives a call its slot, and keeps the handles alive until release.
func (e *engine) admit(c *call) {
	e.refs++
	if e.inFlight > 0 {
		e.company = companyLasts
	} else if e.company > 0 {
		e.company--
	}
	if e.inFlight == 0 || e.single && e.inFlight < few {
		e.calm++
		e.note(nil, c)
	} else {
		e.calm = 0
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
		if s.call != nil {
			e.forget(s.call)
		}
		e.vacant = append(e.vacant, index)
	}
}

// forget has the answers of a call that are still to come dropped.
func (e *engine) forget(c *call) {
	e.slots[c.slot].call = nil
	e.note(c, nil)
}

// note puts a call among the few that could lead, in the place of another; nil: in one that is free.
func (e *engine) note(instead, c *call) {
	for i, near := range e.near {
		if near == instead {
			e.near[i] = c
			return
		}
	}
}

// follower is a call in flight that could lead instead of this one, if there is one.
func (e *engine) follower(of *call) *call {
	for _, near := range e.near {
		if near != nil && near != of {
			return near
		}
	}
	return nil
}

// away lets the lock go while it does something. Who calls it keeps the handles alive: a call does from when it is admitted,
// whoever leads, and the loop.
func (e *engine) away(do func()) {
	e.mu.Unlock()
	do()
	e.mu.Lock()
}

// yield lets other goroutines run.
func (e *engine) yield() { e.away(runtime.Gosched) }
