package bmemc

// #include "bridge.h"
import "C"

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"syscall"
)

// Status says how a call went. The positive ones are refusals: the server said no, and nothing is wrong. The negative
// ones are failures, which come as an [*Error] that wraps the status. Every status is an error that [errors.Is] finds:
//
//	errors.Is(err, bmemc.ErrNotFound)
//
// More may come; [Status.Error] has the words of the library that is running.
type Status int32

// Refusals. They are returned as they are, so == works as well as [errors.Is].
const (
	// ErrNotFound is a miss: there is no such key.
	ErrNotFound Status = C.BMEMC_NOT_FOUND
	// ErrNotStored: the condition of Add, Replace, Append or Prepend did not hold.
	ErrNotStored Status = C.BMEMC_NOT_STORED
	// ErrExists: the item has changed since its CAS was read.
	ErrExists Status = C.BMEMC_EXISTS
)

// Failures. They are wrapped by an [*Error], which has the words: use [errors.Is].
const (
	// ErrArgument: an argument or an option is missing, too long or out of range; the message names it.
	ErrArgument Status = C.BMEMC_E_ARGUMENT
	// ErrTimeout: the deadline passed; [Error.Bits] tells whether the server may have done it.
	ErrTimeout Status = C.BMEMC_E_TIMEOUT
	// ErrDNS: the server's name could not be looked up.
	ErrDNS Status = C.BMEMC_E_DNS
	// ErrConnection: no connection could be made, or it was lost.
	ErrConnection Status = C.BMEMC_E_CONNECTION
	// ErrTLS: TLS could not be agreed on, or the certificate was refused.
	ErrTLS Status = C.BMEMC_E_TLS
	// ErrAuth: the server wants authentication, or refused it.
	ErrAuth Status = C.BMEMC_E_AUTH
	// ErrProtocol: the server sent what the protocol does not allow, or an answer to another request.
	ErrProtocol Status = C.BMEMC_E_PROTOCOL
	// ErrClientError: the server answered CLIENT_ERROR: it found the request malformed.
	ErrClientError Status = C.BMEMC_E_CLIENT_ERROR
	// ErrServerError: the server answered SERVER_ERROR: it could not do it now.
	ErrServerError Status = C.BMEMC_E_SERVER_ERROR
	// ErrUnknownCommand: the server does not know the command.
	ErrUnknownCommand Status = C.BMEMC_E_UNKNOWN_COMMAND
	// ErrTooLarge: the value is larger than the server or this client takes.
	ErrTooLarge Status = C.BMEMC_E_TOO_LARGE
	// ErrBuffer: the buffer given to GetInto is smaller than the value.
	ErrBuffer Status = C.BMEMC_E_BUFFER
	// ErrBusy: too many operations are waiting already (Options.MaxWaiting).
	ErrBusy Status = C.BMEMC_E_BUSY
	// ErrDecode: the value was received but could not be decoded.
	ErrDecode Status = C.BMEMC_E_DECODE
	// ErrCancelled: the context was cancelled. The error wraps [context.Canceled] too.
	ErrCancelled Status = C.BMEMC_E_CANCELLED
	// ErrClosed: the client was closed.
	ErrClosed Status = C.BMEMC_E_CLOSED
	// ErrForked: the handle was made before a fork, in the parent.
	ErrForked Status = C.BMEMC_E_FORKED
	// ErrBug is a bug in the library. The client can only be closed.
	ErrBug Status = C.BMEMC_E_BUG
	// ErrUnsupported: the library, this kind of client or this protocol does not have it.
	ErrUnsupported Status = C.BMEMC_E_UNSUPPORTED
)

// Error returns a few words, such as "timed out".
func (s Status) Error() string {
	return "bmemc: " + C.GoString(C.bmemc_status_text(C.int32_t(s)))
}

// Name returns the status as C writes it, such as "BMEMC_E_TIMEOUT"; "unknown status" for a number that the library
// does not know.
func (s Status) Name() string {
	return C.GoString(C.bmemc_status_name(C.int32_t(s)))
}

// Bits tell more about an answer or a failure; more may come.
type Bits uint32

const (
	// BitSent: the request left this process in full. Without it, it was certainly not executed.
	BitSent Bits = C.BMEMC_BIT_SENT
	// BitNotSent: not one byte of the request was sent: sending it again is safe.
	BitNotSent Bits = C.BMEMC_BIT_NOT_SENT
	// BitUnknownOutcome: the request may or may not have been executed, or may still be.
	BitUnknownOutcome Bits = C.BMEMC_BIT_UNKNOWN_OUTCOME
	// BitPartly: several servers were asked, as with replicas, and their answers differ; this is the one that counts.
	BitPartly Bits = C.BMEMC_BIT_PARTLY
	// BitStale: meta protocol: the item is stale.
	BitStale Bits = C.BMEMC_BIT_STALE
	// BitWin: meta protocol: this caller won the right to refill the item.
	BitWin Bits = C.BMEMC_BIT_WIN
	// BitWonByOther: meta protocol: another caller has won the right to refill the item.
	BitWonByOther Bits = C.BMEMC_BIT_WON_BY_OTHER
)

// Error is a failure, in words that name the value at fault and what is accepted. It wraps its Status, the system's
// error where there was one, and the context's where that ended the call.
type Error struct {
	// Status is what kind of failure it is.
	Status Status
	// Op is the operation that failed; zero where it is not about one.
	Op Opcode
	// Keys are those that it failed for; none where it is not about any.
	Keys []string
	// Server is the index of the server that answered or failed, as [Client.Servers] counts them.
	Server int
	// OSError is the errno of the system call that failed, else zero.
	OSError syscall.Errno
	// Bits tell whether the request was sent: [BitNotSent], or [BitUnknownOutcome].
	Bits Bits
	// Message says it in words.
	Message string

	cause error
}

const shownKey = 40

// Error returns the operation, its key and the message.
func (e *Error) Error() string {
	var words strings.Builder
	words.WriteString("bmemc: ")
	says := len(e.Keys) == 1 && strings.Contains(e.Message, quoted(e.Keys[0])) || strings.HasPrefix(e.Message, e.Op.String()+" ")
	if e.Op != 0 && !says {
		words.WriteString(e.Op.String())
		if len(e.Keys) == 1 {
			words.WriteString(" " + quoted(e.Keys[0]))
		} else if len(e.Keys) > 1 {
			fmt.Fprintf(&words, " of %d keys, the first %s", len(e.Keys), quoted(e.Keys[0]))
		}
		words.WriteString(": ")
	}
	if e.Message == "" {
		return words.String() + strings.TrimPrefix(e.Status.Error(), "bmemc: ")
	}
	return words.String() + e.Message
}

// Unwrap returns what [errors.Is] and [errors.As] look at.
func (e *Error) Unwrap() []error {
	wrapped := []error{e.Status}
	if e.OSError != 0 {
		wrapped = append(wrapped, e.OSError)
	}
	if e.cause != nil {
		wrapped = append(wrapped, e.cause)
	}
	return wrapped
}

// Timeout says whether the deadline passed, as [net.Error] has it.
func (e *Error) Timeout() bool { return e.Status == ErrTimeout }

// NotSent says whether the request certainly did not reach the server, so that sending it again is safe.
func (e *Error) NotSent() bool { return e.Bits&BitNotSent != 0 }

// MultiError is what is wrong with a call of many keys: one [*Error] for each server and reason, with the keys that it is
// about. What is not named in it was answered.
type MultiError struct {
	// Failed has at least one element.
	Failed []*Error
}

// Error returns the first failure, and how many more there are.
func (e *MultiError) Error() string {
	if len(e.Failed) == 1 {
		return e.Failed[0].Error()
	}
	return fmt.Sprintf("%v (and %d more failures)", e.Failed[0], len(e.Failed)-1)
}

// Unwrap returns all failures.
func (e *MultiError) Unwrap() []error {
	all := make([]error, len(e.Failed))
	for i, failed := range e.Failed {
		all[i] = failed
	}
	return all
}

// IsRefusal says whether err is a refusal (a miss, not stored, exists) and not a failure.
func IsRefusal(err error) bool {
	var status Status
	return errors.As(err, &status) && status > 0
}

func quoted(key string) string {
	if len(key) > shownKey {
		return strconv.Quote(key[:shownKey]) + "..."
	}
	return strconv.Quote(key)
}

// refused is a failure that was found before anything was sent.
func refused(format string, arguments ...any) *Error {
	return &Error{Status: ErrArgument, Bits: BitNotSent, Message: fmt.Sprintf(format, arguments...)}
}

// failure is what the library wrote into its error.
func failure(status C.int32_t, from *C.bmemc_error) *Error {
	err := &Error{Status: Status(status)}
	if status < 0 {
		err.OSError, err.Bits = syscall.Errno(from.os_error), Bits(from.bits)
		err.Message = C.GoString(&from.message[0])
	}
	return err
}

// asError is the error of a call that returned this status: nil, a refusal or a failure.
func asError(status C.int32_t, from *C.bmemc_error) error {
	switch {
	case status == C.BMEMC_OK:
		return nil
	case status > 0:
		return Status(status)
	}
	return failure(status, from)
}
