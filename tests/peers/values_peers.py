"""Values go from libbmemc to other clients and back, over a memcached: every type, compressed and not.
usage: values_peers.py SERVER DRIVER       (SERVER is host:port; DRIVER the compiled values_driver.c)
NODE_PATH says where memjs is. The last line is "N passed, N failed, N skipped"; any failure gives status 1."""

import json
import os
import pickle
import subprocess
import sys

import bmemcached
import pylibmc
import pymemcache
import pymemcache.client.base
from pymemcache import serde

HERE = os.path.dirname(os.path.abspath(__file__))
SERVER, DRIVER = sys.argv[1:3]
HOST, PORT = SERVER.rsplit(":", 1)
BYTES, TEXT, INTEGER, LONG, OBJECT = range(5)
PACKED = 8

passed = failed = 0


def check(name, expected, found):
    global passed, failed
    if expected == found:
        passed += 1
        return
    failed += 1
    print(f"FAILED {name}: {str(found)[:200]!r}, not {str(expected)[:200]!r}")


class Leash:
    """A program that answers each line with a line."""

    def __init__(self, *command):
        self.program = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, *words):
        self.program.stdin.write(" ".join(map(str, words)) + "\n")
        self.program.stdin.flush()
        return self.program.stdout.readline().split(None, 3)

    def close(self):
        self.program.stdin.close()
        self.program.wait()
        self.program.stdout.close()


def unhex(digits):
    return b"" if digits == "-" else bytes.fromhex(digits)


class Bmemc:
    """libbmemc with a codec."""

    def __init__(self, codec, *options):
        self.leash = Leash(DRIVER, SERVER, f"codec={codec}", *options)

    def set(self, key, value_type, value, level=0):
        """The flags that it was stored with."""
        answer = self.leash.ask("set", key, value_type, level, value.hex() or "-")
        return int(answer[1]) if answer[0] == "stored" else answer

    def get(self, key):
        """Type, flags and bytes."""
        answer = self.leash.ask("get", key)
        return (int(answer[1]), int(answer[2]), unhex(answer[3].strip())) if answer[0] == "value" else answer

    def close(self):
        self.leash.close()


class Raw:
    """Flags and bytes as they are."""

    def serialize(self, key, value):
        return value, 0

    def deserialize(self, key, value, flags):
        return flags, value


RAW = pymemcache.Client((HOST, int(PORT)), serde=Raw(), default_noreply=False)

SHORT = {
    "bytes": b"\x00\xff\x80 bytes",
    "no bytes": b"",
    "text": "text, t\u00e9xt, \u30c6\u30ad\u30b9\u30c8",
    "no text": "",
    "integer": 42,
    "zero": 0,
    "negative": -7,
    "over 64 bits": 2**70,
    "true": True,
    "none": None,
    "float": 1.5,
    "dictionary": {"a": [1, 2.5, None], "b": "\u00e9"},
}
LONG_ONES = {
    "long bytes": bytes(range(100)) * 300,
    "long text": "Some t\u00e9xt that is not all the same. " * 1000,
    # pymemcache 4.0 fails on one of more than 400 digits, which its compressor gets as text.
    "long integer": -(7**400),
    "long list": [{"key": at, "name": f"name {at % 10}"} for at in range(1000)],
}


class Bmemcached:
    """python-binary-memcached."""

    codec, over = "bmemcached", 128

    def __init__(self):
        self.client = bmemcached.Client((SERVER,))

    def set(self, key, value, compressed):
        assert self.client.set(key, value, compress_level=-1 if compressed else 0)

    def get(self, key):
        return self.client.get(key)

    def dumps(self, value):
        return pickle.dumps(value, 0)


class Pymemcache:
    """pymemcache with its compressed_serde; without compression, its pickle_serde."""

    codec, over = "pymemcache", 400

    def __init__(self):
        address = (HOST, int(PORT))
        self.compressing = pymemcache.Client(address, serde=serde.compressed_serde, default_noreply=False)
        self.plain = pymemcache.Client(address, serde=serde.pickle_serde, default_noreply=False)

    def set(self, key, value, compressed):
        assert (self.compressing if compressed else self.plain).set(key, value)

    def get(self, key):
        return self.compressing.get(key)

    def dumps(self, value):
        return pickle.dumps(value)


class Pylibmc:
    """pylibmc, over the text protocol."""

    codec, over = "pylibmc", 1000

    def __init__(self):
        assert pylibmc.support_compression
        self.client = pylibmc.Client([SERVER])

    def set(self, key, value, compressed):
        assert self.client.set(key, value, min_compress_len=self.over + 1 if compressed else 0)

    def get(self, key):
        return self.client.get(key)

    def dumps(self, value):
        return pickle.dumps(value, -1)


def type_and_bytes(peer, value):
    """What a value of Python's is to libbmemc."""
    if isinstance(value, bytes):
        return BYTES, value
    if isinstance(value, str):
        return TEXT, value.encode()
    # bool is no int here, but for pylibmc.
    if isinstance(value, int) and (type(value) is int or peer.codec == "pylibmc"):
        return INTEGER, b"%d" % value
    return OBJECT, peer.dumps(value)


def same(value, value_type, stored):
    """Whether what libbmemc read is the value."""
    if value_type == OBJECT:
        return pickle.loads(stored) == value
    if value_type in (INTEGER, LONG):
        return int(stored) == value
    return (stored if value_type == BYTES else stored.decode()) == value


def matrix(peer):
    """Every value, compressed and not, written by either and read by the other."""
    ours = Bmemc(peer.codec, *([f"compress_threshold={peer.over}"] if peer.codec == "pylibmc" else []))
    for name, value in {**SHORT, **LONG_ONES}.items():
        value_type, stored = type_and_bytes(peer, value)
        for compressed in (True, False):
            what = f"{peer.codec}, {name}, {'compressed' if compressed else 'as it is'}"
            key = "values-" + peer.codec
            is_packed = compressed and len(stored) > peer.over

            peer.set(key, value, compressed)
            their_flags, _ = RAW.get(key)
            found, flags, read = ours.get(key)
            numbers = (INTEGER, LONG)
            check(f"{what}: type read", True, found == value_type or (found in numbers and value_type in numbers))
            check(f"{what}: value read", True, same(value, found, read))
            check(f"{what}: flags read", their_flags, flags)
            check(f"{what}: their compression", is_packed, bool(flags & PACKED))

            flags = ours.set(key, value_type, stored, 0 if compressed else -1)
            check(f"{what}: flags written", RAW.get(key)[0], flags)
            is_int = type(value) is int
            check(f"{what}: flags of both", their_flags & ~6 if is_int else their_flags, flags & ~6 if is_int else flags)
            check(f"{what}: our compression", is_packed, bool(flags & PACKED))
            got = peer.get(key)
            # What is an integer here is an int there, where bool is one too.
            check(f"{what}: value written", value, got)
            check(f"{what}: type written", type(value) if value_type != INTEGER else int, type(got))
    check(f"{peer.codec}, long: flags", 4, ours.set("values-long", LONG, b"-12345678901234567890"))
    check(f"{peer.codec}, long: value written", -12345678901234567890, peer.get("values-long"))
    check(f"{peer.codec}, 1099 digits: flags", 2 | PACKED, ours.set("values-long", INTEGER, b"%d" % 7**1300))
    check(f"{peer.codec}, 1099 digits: value written", 7**1300, peer.get("values-long"))
    padded(peer, ours)
    ours.close()


def padded(peer, ours):
    """memcached keeps the length of a counter that it decrements."""
    check(f"{peer.codec}, counter: flags", 2, ours.set("values-counter", INTEGER, b"10"))
    check(f"{peer.codec}, counter: decremented", 9, RAW.decr("values-counter", 1))
    check(f"{peer.codec}, counter: stored", (2, b"9 "), RAW.get("values-counter"))
    check(f"{peer.codec}, counter: theirs", 9, peer.get("values-counter"))
    check(f"{peer.codec}, counter: ours", (INTEGER, 2, b"9"), ours.get("values-counter"))


def swapped():
    """Bytes of the one seed are text of the other; each reads what the other would."""
    first, second = Bmemcached(), Pymemcache()
    theirs = {Bmemcached: Bmemc("bmemcached"), Pymemcache: Bmemc("pymemcache")}
    for value in (b"swapped", "swapped", b"swapped" * 1000, "swapped" * 1000):
        for writer, reader in ((first, second), (second, first)):
            writer.set("values-swapped", value, True)
            expected = reader.get("values-swapped")
            check("swapped: the seeds disagree", True, type(expected) is not type(value))
            found, _, stored = theirs[type(reader)].get("values-swapped")
            check("swapped: type", BYTES if isinstance(expected, bytes) else TEXT, found)
            check("swapped: value", expected if isinstance(expected, bytes) else expected.encode(), stored)
    for client in theirs.values():
        client.close()


def corrupt():
    """What the Python clients fail on is a failure here too, and no miss."""
    ours = Bmemc("bmemcached")
    for name, value, flags in (("zlib", b"not zlib", 8), ("text", b"caf\xe9", 0), ("integer", b"twelve", 2)):
        RAW.set("values-corrupt", value, flags=flags)
        try:
            check(f"corrupt {name}: theirs", "an exception", Bmemcached().get("values-corrupt"))
        except Exception:  # each of its own: zlib.error, UnicodeDecodeError, ValueError
            check(f"corrupt {name}: theirs", True, True)
        check(f"corrupt {name}: ours", ["failed", "BMEMC_E_DECODE"], ours.get("values-corrupt")[:2])
    ours.close()


def memjs():
    """memjs knows bytes alone, which its users turn into text or parse; flags it leaves zero."""
    theirs, ours = Leash("node", os.path.join(HERE, "values_memjs.js"), SERVER), Bmemc("memjs", "compress_threshold=10")
    cases = {
        "bytes": (BYTES, b"\x00\xff\x80 bytes"),
        "no bytes": (BYTES, b""),
        "text": (TEXT, SHORT["text"].encode()),
        "integer": (INTEGER, b"42"),
        "long": (LONG, b"-12345678901234567890"),
        "object": (OBJECT, json.dumps(LONG_ONES["long list"][:3]).encode()),
        "long bytes": (BYTES, LONG_ONES["long bytes"]),
        "long text": (TEXT, LONG_ONES["long text"].encode()),
        "long object": (OBJECT, json.dumps(LONG_ONES["long list"]).encode()),
    }
    for name, (value_type, stored) in cases.items():
        check(f"memjs, {name}: stored", ["stored", "true"], theirs.ask("set", "values-memjs", stored.hex() or "-"))
        check(f"memjs, {name}: read", (BYTES, 0, stored), ours.get("values-memjs"))
        check(f"memjs, {name}: flags written", 0, ours.set("values-memjs", value_type, stored))
        answer = theirs.ask("get", "values-memjs")
        check(f"memjs, {name}: written", ("value", "0", stored), (answer[0], answer[1], unhex(answer[2])))
    theirs.close()
    ours.close()


def typed(kind, value):
    """A statistic read as its bmemc_stat_type says."""
    integer, text, floating, seconds, switch, yes_no, octal = range(7)
    try:
        if kind == integer:
            return int(value)
        if kind in (floating, seconds):
            return float(value.replace(b":", b".") if kind == seconds else value)
        if kind == switch:
            return int(value) != 0
        if kind == octal:
            return int(value, 8)
    except ValueError:
        return value
    return value == b"yes" if kind == yes_no else value


def statistics():
    """The types of statistics are those of pymemcache's own table, name by name, shown by what it makes of values."""
    table = pymemcache.client.base.STAT_TYPES
    ours = Bmemc("none")
    check("statistics: the table is there", True, len(table) > 10)
    for name in [*table, b"uptime", b"cmd_get", b"libevent", b"items:1:number", b"VERSION", b"version "]:
        kind = int(ours.leash.ask("stat", name.decode().strip())[1])
        for value in (b"0", b"1", b"17", b"777", b"1.5", b"0:5", b"yes", b"no", b"words", b""):
            try:
                expected = table.get(name.strip(), int)(value)
            except ValueError:
                expected = value
            check(f"statistics: {name} {value}", (type(expected), expected), (type(typed(kind, value)), typed(kind, value)))
    ours.close()


for each in (Bmemcached, Pymemcache, Pylibmc):
    matrix(each())
swapped()
corrupt()
memjs()
statistics()
print(f"{passed} passed, {failed} failed, 0 skipped")
sys.exit(failed > 0)
