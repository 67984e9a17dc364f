"""pymemcache and python-binary-memcached against a server: server_peers.py ADDRESS (127.0.0.1:11211 or /path).

The server is flushed. The first mismatch ends it with status 1; the last line is "N passed, N failed, N skipped".
"""

import sys

import bmemcached
import pymemcache

passed = 0


def check(name, got, expected):
    global passed
    if got != expected:
        print(f"FAIL {name}: got {got!r}, expected {expected!r}")
        print(f"{passed} passed, 1 failed, 0 skipped")
        sys.exit(1)
    print(f"ok   {name}")
    passed += 1


def check_pymemcache(address):
    server = address if address.startswith("/") else tuple_of(address)
    client = pymemcache.Client(server, default_noreply=False, timeout=10)
    name = "pymemcache"
    check(f"{name} flush_all", client.flush_all(), True)
    check(f"{name} get of a miss", client.get("a"), None)
    check(f"{name} set", client.set("a", b"1\r\n\x00\xff", expire=100, flags=7), True)
    check(f"{name} get", client.get("a"), b"1\r\n\x00\xff")
    check(f"{name} add", client.add("a", b"2"), False)
    check(f"{name} replace", client.replace("b", b"2"), False)
    check(f"{name} append", client.append("a", b">"), True)
    check(f"{name} prepend", client.prepend("a", b"<"), True)
    value, cas = client.gets("a")
    check(f"{name} gets", value, b"<1\r\n\x00\xff>")
    check(f"{name} cas", client.cas("a", b"3", cas), True)
    check(f"{name} cas with an old cas", client.cas("a", b"4", cas), False)
    check(f"{name} cas of a miss", client.cas("b", b"4", cas), None)
    check(f"{name} incr", client.incr("a", 7), 10)
    check(f"{name} decr", client.decr("a", 1), 9)
    check(f"{name} incr of a miss", client.incr("b", 1), None)
    check(f"{name} touch", client.touch("a", 100), True)
    check(f"{name} touch of a miss", client.touch("b", 100), False)
    many = {f"many{number}": b"%d" % number for number in range(100)}
    check(f"{name} set_many", client.set_many(many), [])
    check(f"{name} get_many", client.get_many([*many, "missing"]), many)
    check(f"{name} gets_many", {key: hit[0] for key, hit in client.gets_many([*many]).items()}, many)
    check(f"{name} delete_many", client.delete_many([*many]), True)
    check(f"{name} get_many of misses", client.get_many([*many]), {})
    check(f"{name} large value", (client.set("large", b"x" * 1000000), client.get("large")), (True, b"x" * 1000000))
    check(f"{name} too large a value", failure(client.set, "large", b"x" * 2000000), "MemcacheServerError")
    check(f"{name} value that was too large", client.get("large"), None)
    check(f"{name} set without reply", (client.set("a", b"q", noreply=True), client.get("a")), (True, b"q"))
    check(f"{name} delete", client.delete("a"), True)
    check(f"{name} delete of a miss", client.delete("a"), False)
    check(f"{name} stats", client.stats()[b"curr_items"], 0)
    check(f"{name} version", client.version().count(b"."), 2)
    check(f"{name} raw_command", client.raw_command(b"mn"), b"MN")
    client.quit()


def check_bmemcached(address):
    client = bmemcached.Client([address], socket_timeout=10)
    name = "bmemcached"
    check(f"{name} flush_all", client.flush_all(), True)
    check(f"{name} get of a miss", client.get("a"), None)
    check(f"{name} set", client.set("a", "text", time=100), True)
    check(f"{name} get", client.get("a"), "text")
    check(f"{name} get of an object", (client.set("o", {"x": [1, 2.5]}), client.get("o")), (True, {"x": [1, 2.5]}))
    check(f"{name} get of what is compressed", (client.set("z", "z" * 10000), client.get("z")), (True, "z" * 10000))
    check(f"{name} add", client.add("a", "other"), False)
    check(f"{name} replace", client.replace("b", "other"), False)
    value, cas = client.gets("a")
    check(f"{name} gets", value, "text")
    check(f"{name} cas", client.cas("a", "new", cas), True)
    check(f"{name} cas with an old cas", client.cas("a", "newer", cas), False)
    check(f"{name} incr that creates", client.incr("n", 5, default=40), 40)
    check(f"{name} incr", client.incr("n", 5), 45)
    check(f"{name} decr", client.decr("n", 100), 0)
    many = {f"many{number}": number for number in range(100)}
    check(f"{name} set_multi", client.set_multi(many), [])
    check(f"{name} get_multi", client.get_multi([*many, "missing"]), many)
    check(f"{name} delete_multi", client.delete_multi([*many]), True)
    check(f"{name} get_multi of misses", client.get_multi([*many]), {})
    check(f"{name} delete", client.delete("a"), True)
    check(f"{name} delete of a miss", client.delete("a"), True)
    (stats,) = client.stats().values()
    check(f"{name} stats", stats["curr_items"], b"3")
    client.disconnect_all()


def tuple_of(address):
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def failure(call, *arguments):
    try:
        return call(*arguments)
    except Exception as error:
        return type(error).__name__


if len(sys.argv) != 2:
    sys.exit("usage: server_peers.py ADDRESS, as in 127.0.0.1:11211 or /path/of/socket")
check_pymemcache(sys.argv[1])
check_bmemcached(sys.argv[1])
print(f"{passed} passed, 0 failed, 0 skipped")
