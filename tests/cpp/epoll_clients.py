"""epoll_clients.py PROGRAM [MEMCACHED]: runs examples/cpp/epoll_server and talks to it as 200 clients at once, each of which
sends all of its lines before it reads an answer; some hang up in between. Says "N answers" if all was as it should be."""
import os
import signal
import socket
import subprocess
import sys

CLIENTS, ROUNDS = 200, 30


def lines_of(client):
    """What a client sends, and what it must be answered; every third line is one that must not disturb the others."""
    sent, expected = [], []
    for i in range(ROUNDS):
        key = f"epoll:{os.getpid()}:{client}:{i}"
        sent += [f"set {key} value {client} {i}", f"nonsense {i}", f"get {key}:none", f"get {'x' * 300}"]
        expected += ["stored", "error: get KEY", "miss", "error: "]
    return sent, expected


def main():
    server = subprocess.Popen([sys.argv[1], "0", *sys.argv[2:]], stdout=subprocess.PIPE, text=True)
    try:
        port = int(server.stdout.readline().split(",")[0].rsplit(":", 1)[1])
        answers = talk(port)
        with open(f"/proc/{server.pid}/status", encoding="ascii") as status:
            threads = int(next(line for line in status if line.startswith("Threads:")).split()[1])
        allowed = 1 if len(sys.argv) > 2 else 2  # an embedded server has a thread of its own
        assert threads == allowed, f"{threads} threads"
        server.send_signal(signal.SIGTERM)
        assert server.wait(30) == 0, f"status {server.returncode}"
        print(answers, "answers")
    finally:
        server.kill()


def talk(port):
    sockets = [socket.create_connection(("127.0.0.1", port), 60) for _ in range(CLIENTS)]
    for client, sock in enumerate(sockets):
        sock.sendall("".join(line + "\n" for line in lines_of(client)[0]).encode())
        if client % 10 == 9:
            sock.close()  # and never reads an answer
    answers = 0
    for client, sock in enumerate(sockets):
        if client % 10 == 9:
            continue
        stream = sock.makefile("rw", encoding="utf-8", newline="\n")
        for wanted in lines_of(client)[1]:
            got = stream.readline().rstrip("\n")
            assert got.startswith(wanted), f"client {client}: {got!r}, not {wanted!r}"
            answers += 1
        stream.write(f"count epoll:{os.getpid()}:count:{client}\n" * 3)
        stream.flush()
        counts = [stream.readline() for _ in range(3)]
        assert counts == ["1\n", "2\n", "3\n"], f"client {client} counts {counts}"
        for i in range(ROUNDS):  # what it stored, now that all is answered
            stream.write(f"get epoll:{os.getpid()}:{client}:{i}\n")
        stream.flush()
        for i in range(ROUNDS):
            got = stream.readline().rstrip("\n")
            assert got == f"hit value {client} {i}", f"client {client}: {got!r}"
            answers += 1
        sock.close()
    return answers


main()
