"""twemproxy's choices: keys are set through nutcracker, before a real memcached for each server, and looked for in all of them.
The servers have names, so that their ports, which are any that are free, do not count."""

import socket
import subprocess
import tempfile
import time


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def started(command, port):
    """A process that listens on the port."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(500):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return process
        if process.poll() is not None:
            break
        time.sleep(0.02)
    process.kill()
    raise SystemExit(f"{command[0]} does not listen on port {port}")


def talk(port, request, end):
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(request)
        reply = b""
        while not reply.endswith(end):
            piece = connection.recv(1 << 16)
            if not piece:
                raise SystemExit(f"port {port} closed after {reply!r}")
            reply += piece
        return reply


def config(port, hash_name, names, weights, ports, tag):
    servers = "".join(f"    - 127.0.0.1:{p}:{w} {n}\n" for n, w, p in zip(names, weights, ports))
    tag = f'  hash_tag: "{tag}"\n' if tag else ""
    return f"pool:\n  listen: 127.0.0.1:{port}\n  hash: {hash_name}\n  distribution: ketama\n{tag}  servers:\n{servers}"


def chosen(hash_name, names, weights, keys, tag=""):
    """The index of the server that each key went to."""
    processes = []
    try:
        ports = [free_port() for _ in names]
        for port in ports:
            command = ["memcached", "-u", "nobody", "-l", "127.0.0.1", "-U", "0", "-p", str(port)]
            processes.append(started(command, port))
        proxy = free_port()
        with tempfile.NamedTemporaryFile("w", suffix=".yml") as file, tempfile.NamedTemporaryFile() as log:
            file.write(config(proxy, hash_name, names, weights, ports, tag))
            file.flush()
            command = ["nutcracker", "-c", file.name, "-o", log.name, "-s", str(free_port())]
            processes.append(started(command, proxy))
            for key in keys:
                talk(proxy, b"set %s 0 0 1\r\n1\r\n" % key, b"STORED\r\n")
            found = [talk(port, b"get " + b" ".join(keys) + b"\r\n", b"END\r\n") for port in ports]
        holders = [[at for at, text in enumerate(found) if b"VALUE %s 0" % key in text] for key in keys]
        if any(len(holder) != 1 for holder in holders):
            raise SystemExit("a key is on no server, or on several")
        return [holder[0] for holder in holders]
    finally:
        for process in processes:
            process.kill()
            process.wait()
