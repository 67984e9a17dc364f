package bmemc

// #include <stdlib.h>
// #include "bridge.h"
import "C"

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"syscall"
	"time"
	"unsafe"
)

// Client talks to one or more servers. Any number of goroutines may use one at once; one client a program is usual, and
// the fastest, since what they ask for at the same time goes to the server together. Close it when it is not needed any
// more; one that is forgotten is closed when the garbage collector finds it.
type Client struct {
	engine  *engine
	codec   codec
	observe func(context.Context, Call) (context.Context, func(error))
	timeout time.Duration
	cleanup runtime.Cleanup
	// Those that a fallback client is made of: it ends with them, so they must not be collected before it.
	others []*Client
	// The library makes the flags of values; it refuses those of the caller.
	makesFlags bool
}

// New makes a client. No connection is opened until the first call. An option that is not accepted is an error that names
// it and what it accepts.
func New(options Options) (*Client, error) {
	if err := checkVersion(); err != nil {
		return nil, err
	}
	built, hooks, err := options.build()
	if err != nil {
		return nil, err
	}
	defer C.bmemc_options_free(built)
	var handle *C.bmemc_client
	var words C.bmemc_error
	if status := C.bmemc_client_new(built, &handle, &words); status != C.BMEMC_OK {
		hooks.close()
		return nil, failure(C.int32_t(status), &words)
	}
	return wrap(handle, &options, hooks)
}

// NewFallback makes a client that reads each key from the first of these clients, 1 to 16 of them, that has it, and writes
// to the first alone: for a cache that moves to other servers. A client that fails does not keep a key from being found in
// the next; where none has it and one could not say, the answer is that one's failure. All other options are the first
// one's. Closing one of them ends it for this one too; closing this one leaves them as they are.
func NewFallback(clients ...*Client) (*Client, error) {
	if len(clients) == 0 {
		return nil, refused("there is no client; a fallback client is made of 1 to 16")
	}
	handles := make([]*C.bmemc_client, len(clients))
	for i, client := range clients {
		if client == nil || client.engine == nil {
			return nil, refused("client %d is nil, or was not made by New", i)
		}
		if err := client.engine.enter(); err != nil {
			return nil, err
		}
		defer client.engine.leave()
		handles[i] = client.engine.client
	}
	var handle *C.bmemc_client
	var words C.bmemc_error
	if status := C.bmemc_client_new_fallback(unsafe.SliceData(handles), C.size_t(len(handles)), &handle, &words); status != C.BMEMC_OK {
		return nil, failure(C.int32_t(status), &words)
	}
	first := clients[0]
	made, err := wrap(handle, &Options{Timeout: first.timeout, Observe: first.observe, Marshal: first.codec.marshal, Unmarshal: first.codec.unmarshal}, shareHooks(clients))
	if err == nil {
		made.others = clients
	}
	return made, err
}

// wrap makes a client of a handle, which it takes.
func wrap(handle *C.bmemc_client, options *Options, hooks *hooks) (*Client, error) {
	engine, err := newEngine(handle, hooks)
	if err != nil {
		C.bmemc_client_free(handle)
		hooks.close()
		return nil, err
	}
	c := &Client{engine: engine, codec: options.codec(), observe: options.Observe, timeout: options.Timeout}
	if c.timeout == 0 {
		c.timeout = defaultTimeout
	}
	_, _, refused := c.Encode(Op{Flags: 1})
	c.makesFlags = errors.Is(refused, ErrArgument)
	c.cleanup = runtime.AddCleanup(c, closeEngine, engine)
	return c, nil
}

const defaultTimeout = time.Second

// Close ends the client: calls under way and calls that come later fail with [ErrClosed]. It may be called more than once,
// from any goroutine. It returns nil, or an error for a client that New did not make.
func (c *Client) Close() error {
	if c == nil || c.engine == nil {
		return noClient()
	}
	c.cleanup.Stop()
	c.engine.close()
	return nil
}

func noClient() *Error { return refused("the client is nil, or was not made by New or NewFallback") }

// check finds what is wrong with a call before anything is done for it.
func (c *Client) check(ctx context.Context) *Error {
	if c == nil || c.engine == nil {
		return noClient()
	}
	if ctx == nil {
		return refused("the context is nil; context.Background() is one that never ends")
	}
	if ctx.Err() != nil {
		err := contextError(ctx)
		err.Bits = BitNotSent
		return err
	}
	return nil
}

// milliseconds is what is left of a context's deadline, if that is earlier than the client's own; else zero.
func (c *Client) milliseconds(ctx context.Context) C.uint32_t {
	deadline, ok := ctx.Deadline()
	if !ok {
		return 0
	}
	left := time.Until(deadline)
	if left >= c.timeout {
		return 0
	}
	return C.uint32_t(max((left+time.Millisecond-1)/time.Millisecond, 1))
}

// one runs an operation in a call, whose answer is there where the error is nil or a refusal.
func (c *Client) one(ctx context.Context, op *Op, call *call) error {
	if failed := c.check(ctx); failed != nil {
		return failed.about(op.Opcode, op.Key)
	}
	if c.observe != nil {
		return c.observed(ctx, op, call)
	}
	return c.unobserved(ctx, op, call)
}

// observed does the same, observed.
func (c *Client) observed(ctx context.Context, op *Op, call *call) (err error) {
	observed, end := c.observing(ctx, Call{op.Opcode, op.Key, 1})
	defer func() { end(err) }()
	return c.unobserved(observed, op, call)
}

// observing begins to observe a call: it goes on with this context, and its error is for the function.
func (c *Client) observing(ctx context.Context, call Call) (context.Context, func(error)) {
	observed, end := c.observe(ctx, call)
	if observed == nil {
		observed = ctx
	}
	if end == nil {
		end = func(error) {}
	}
	return observed, end
}

func (c *Client) unobserved(ctx context.Context, op *Op, call *call) error {
	if failed := op.check(); failed != nil {
		return failed.about(op.Opcode, op.Key)
	}
	failed := c.engine.do(ctx, call, op, c.milliseconds(ctx))
	runtime.KeepAlive(c)
	if failed != nil {
		return failed.about(op.Opcode, op.Key)
	}
	if call.parcels != nil {
		call.unpack()
	}
	if answer := &call.answers[0]; answer.Status != 0 {
		return answer.err(ctx, op.Opcode, op.Key)
	}
	return nil
}

// Do runs one operation, with everything that it can be told. The answer is there where the error is nil or a refusal.
func (c *Client) Do(ctx context.Context, op Op) (Answer, error) {
	call := newCall()
	call.one[0] = Answer{}
	err := c.one(ctx, &op, call)
	answer := call.one[0]
	if len(answer.Value) <= keptValue {
		answer.Value = slices.Clone(answer.Value)
	}
	call.recycle()
	return answer, err
}

// Execute runs any mix of operations in as few round trips as possible: answer i is that of operation i, with a status of
// its own, and operations on one key keep their order. The error is about all of them.
func (c *Client) Execute(ctx context.Context, ops []Op) (_ []Answer, err error) {
	if failed := c.check(ctx); failed != nil {
		return nil, failed
	}
	answers := make([]Answer, len(ops))
	if len(ops) == 0 {
		return answers, nil
	}
	if c.observe != nil {
		observed, end := c.observing(ctx, Call{ops[0].Opcode, ops[0].Key, len(ops)})
		defer func() { end(err) }()
		ctx = observed
	}
	if failed := c.execute(ctx, answers, func(i int) *Op { return &ops[i] }); failed != nil {
		return nil, failed
	}
	return answers, nil
}

// execute runs as many operations as there is room for answers; `at` may give the same memory each time. If it fails, those
// that have no answer have the status of `deferred`.
func (c *Client) execute(ctx context.Context, answers []Answer, at func(int) *Op) *Error {
	for i := range answers {
		answers[i].Status = deferred.Status
	}
	for from := 0; from < len(answers); from += mostOps {
		to := min(from+mostOps, len(answers))
		if failed := c.executeSome(ctx, answers[from:to], from, at); failed != nil {
			return failed
		}
	}
	return nil
}

// executeSome runs at most as many operations as cross at once, in rounds: what the queue could not take behind an
// operation that it refused is left for the next one. The first of them is operation `first`.
func (c *Client) executeSome(ctx context.Context, answers []Answer, first int, at func(int) *Op) *Error {
	for {
		more, failed := c.executeRound(ctx, answers, first, at)
		if !more || failed != nil {
			return failed
		}
	}
}

func (c *Client) executeRound(ctx context.Context, answers []Answer, first int, at func(int) *Op) (bool, *Error) {
	b := batches.Get().(*batch)
	defer b.recycle()
	b.ordered = true
	timeout := c.milliseconds(ctx)
	for i := range answers {
		if answers[i].Status != deferred.Status {
			continue
		}
		op := at(first + i)
		if failed := op.check(); failed != nil {
			answers[i] = failed.answer()
			continue
		}
		b.add(op, uint64(i), timeout)
	}
	if len(b.ops) == 0 {
		return false, nil
	}
	call := newCall()
	call.of(len(b.ops)).answers = answers
	failed := c.engine.doBatch(ctx, call, b)
	runtime.KeepAlive(c)
	call.unpack()
	call.recycle()
	return anyDeferred(answers), failed
}

// anyDeferred says whether some operation was not submitted yet.
func anyDeferred(answers []Answer) bool {
	for i := range answers {
		if answers[i].Status == deferred.Status {
			return true
		}
	}
	return false
}

// answer is a failure in the place of an answer.
func (e *Error) answer() Answer {
	return Answer{Status: e.Status, Bits: e.Bits, Detail: e.Message, osError: int32(e.OSError)}
}

// about is the same failure, of this operation.
func (e *Error) about(op Opcode, keys ...string) *Error {
	failed := *e
	failed.Op = op
	if len(keys) > 1 || len(keys) == 1 && keys[0] != "" {
		failed.Keys = keys
	}
	return &failed
}

// Err is the answer's error: nil where it was done, a refusal, or an [*Error].
func (a *Answer) Err() error {
	if a.Status == 0 {
		return nil
	}
	return a.err(context.Background(), 0, "")
}

func (a *Answer) err(ctx context.Context, op Opcode, key string) error {
	if a.Status > 0 {
		return a.Status
	}
	failed := a.failure(ctx, op)
	if key != "" {
		failed.Keys = []string{key}
	}
	return failed
}

func (a *Answer) failure(ctx context.Context, op Opcode) *Error {
	failed := &Error{Status: a.Status, Op: op, Server: a.Server, OSError: syscall.Errno(a.osError), Bits: a.Bits, Message: a.Detail}
	// The library was told of the context's deadline: whose clock was first does not matter.
	if deadline, ok := ctx.Deadline(); ok && a.Status == ErrTimeout && time.Until(deadline) <= time.Millisecond {
		failed.cause = context.DeadlineExceeded
	}
	return failed
}

// SetCredentials changes the user and password that new connections log in with; those that are open stay as they are.
func (c *Client) SetCredentials(username, password string) error {
	return c.with(func(handle *C.bmemc_client, words *C.bmemc_error) error {
		return withBytes(username, password, func(username, password C.bmemc_bytes) error {
			return asError(C.int32_t(C.bmemc_client_set_credentials(handle, username, password, words)), words)
		})
	})
}

// SetOption changes an option of a client in use, by its name in docs/options.md: reconnect_delay_ms, in milliseconds. The
// others are fixed when the client is made, and are [ErrUnsupported].
func (c *Client) SetOption(name, value string) error {
	return c.with(func(handle *C.bmemc_client, words *C.bmemc_error) error {
		return withBytes(name, value, func(name, value C.bmemc_bytes) error {
			return asError(C.int32_t(C.bmemc_client_set_option(handle, name, value, words)), words)
		})
	})
}

// with calls `use` with the handle, which is not freed meanwhile.
func (c *Client) with(use func(*C.bmemc_client, *C.bmemc_error) error) error {
	if c == nil || c.engine == nil {
		return noClient()
	}
	if err := c.engine.enter(); err != nil {
		return err
	}
	defer runtime.KeepAlive(c)
	defer c.engine.leave()
	var words C.bmemc_error
	return use(c.engine.client, &words)
}

func closeEngine(e *engine) { e.close() }
