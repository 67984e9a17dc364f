package bmemc

import (
	"os"
	"syscall"
)

// A bell tells Go's netpoller that the queue has something to fetch. It can be muted: while somebody waits inside the
// library, the netpoller's thread would be woken by each answer, and find nothing to do. It is an epoll set with nothing
// in it but the queue's descriptor, since that of the netpoller itself cannot be changed.
type bell struct {
	file  *os.File
	poll  syscall.RawConn
	queue int
	muted bool
	// What the queue's descriptor is to be watched for, and what has it so: made once, since it is used often.
	event  syscall.EpollEvent
	change func(set uintptr)
}

func newBell(queue int) (*bell, error) {
	set, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err == nil {
		_ = syscall.SetNonblock(set, true) // else os.File would not ask the netpoller
		err = syscall.EpollCtl(set, syscall.EPOLL_CTL_ADD, queue, &syscall.EpollEvent{Events: syscall.EPOLLIN})
		if err != nil {
			syscall.Close(set)
		}
	}
	if err != nil {
		return nil, &Error{Status: ErrConnection, OSError: err.(syscall.Errno), Message: "making the descriptor that the queue is watched by: " + err.Error()}
	}
	file := os.NewFile(uintptr(set), "bmemc queue")
	poll, err := file.SyscallConn()
	if err != nil {
		file.Close()
		return nil, &Error{Status: ErrBug, Message: err.Error()}
	}
	b := &bell{file: file, poll: poll, queue: queue}
	b.change = func(set uintptr) {
		_ = syscall.EpollCtl(int(set), syscall.EPOLL_CTL_MOD, b.queue, &b.event)
	}
	return b, nil
}

// mute keeps the bell from ringing. What there is to fetch at unmute may not ring it: it is to be fetched then. Both are
// called by who has the right to fetch.
func (b *bell) mute() { b.set(true) }

func (b *bell) unmute() { b.set(false) }

func (b *bell) set(muted bool) {
	if b.muted == muted {
		return
	}
	b.muted, b.event.Events = muted, syscall.EPOLLIN
	if muted {
		b.event.Events = 0
	}
	_ = b.poll.Control(b.change) // it fails only once the file is closed, when nobody listens
}
