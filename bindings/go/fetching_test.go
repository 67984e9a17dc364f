package bmemc

import (
	"testing"
	"time"
)

// A caller blocks its thread while round trips are short. One that is slow alone, as a server has them now and then, does not
// end that; two in a row do, and the next short one begins it again.
func TestOneSlowRoundTripIsNotBelieved(t *testing.T) {
	e := &engine{}
	const short, long = slowRoundTrip / 2, 2 * slowRoundTrip
	for i, step := range []struct {
		took time.Duration
		slow bool
	}{{short, false}, {long, false}, {short, false}, {long, false}, {long, true}, {long, true}, {short, false}, {long, false}} {
		e.calm = 1 // no sample by itself
		if doubtful := e.doubt || e.slow; doubtful == e.begins().IsZero() {
			t.Errorf("call %d: in doubt %v, and yet its time is taken %v", i, doubtful, !doubtful)
		}
		e.judge(step.took, slowRoundTrip)
		if e.slow != step.slow {
			t.Errorf("call %d took %v: slow is %v", i, step.took, e.slow)
		}
	}
}
