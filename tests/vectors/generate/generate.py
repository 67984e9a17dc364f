"""Asks each peer which server it chooses for each key, and writes all answers to one file: generate.py PROGRAMS OUT, where
PROGRAMS is the folder that `run` filled."""

import json
import os
import subprocess
import sys

import spookyhash
import twemproxy

here = os.path.dirname(os.path.abspath(__file__))
programs, out = sys.argv[1:]
jar = "/usr/share/java/spymemcached.jar"


def addresses(count):
    return [f"10.{index % 7}.0.{index + 1}:{11211 + index % 3}" for index in range(count)]


# Weights at which libmemcached's rounding shows, and some that are far apart.
SERVERS = {
    "two": (addresses(2), [1] * 2),
    "three": (addresses(3), [1] * 3),
    "ten": (addresses(10), [1] * 10),
    "fifty": (addresses(50), [1] * 50),
    "weighted": (addresses(5), [1, 3, 7, 2, 100]),
    "mixed": (["10.0.0.1:11211", "/tmp/memcached.sock", "10.0.0.2:11311"], [1] * 3),
}
KEYS = ["a", "foo", "user:1", "{tag}:1", "{tag}:2", "a{}b", "x{y", "caf\u00e9", "\u65e5\u672c\u8a9e", "\U0001f600:smile", "it's", 'say"it', "back\\slash"]
KEYS += [f"key:{index}" for index in range(60)] + [f"session_{index * 7919:08x}" for index in range(30)]
KEYS += ["x" * length for length in (16, 31, 64, 127, 191, 192, 193, 249, 250)]


def commands(servers, keys):
    """Each peer with its command, and the lists of servers that it is asked about."""
    plain = ["two", "three", "ten", "fifty"]
    java = ["java", "-cp", jar, f"{here}/Spymemcached.java", servers, keys]
    yield "libmemcached", [f"{programs}/libmemcached", servers, keys], plain + ["weighted", "mixed"]
    yield "gomemcache", [f"{programs}/gomemcache", servers, keys], plain + ["weighted"]
    yield "memjs", ["node", f"{programs}/memjs.js", servers, keys], plain
    yield "dalli", ["ruby", f"{here}/dalli.rb", servers, keys], plain + ["weighted", "mixed"]
    yield "spymemcached", java, plain + ["weighted"]
    yield "python", [sys.executable, f"{here}/clients.py", servers, keys], plain + ["mixed"]


def write_servers(path, name):
    with open(path, "w", encoding="utf-8") as file:
        for address, weight in zip(*SERVERS[name]):
            host, port = (address, 0) if address.startswith("/") else address.split(":")
            file.write(f"{host} {port} {weight}\n")


def asked():
    servers, keys = f"{programs}/servers.txt", f"{programs}/keys.txt"
    with open(keys, "w", encoding="utf-8") as file:
        file.write("\n".join(KEYS) + "\n")
    for peer, command, lists in commands(servers, keys):
        for name in lists:
            write_servers(servers, name)
            text = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            for line in text.splitlines():
                options, numbers = line.split("\t")
                if options.startswith("key_hash=") and name != "two":
                    continue
                yield {"peer": peer, "options": options, "servers": name, "chosen": [int(n) for n in numbers.split()]}


def asked_twemproxy():
    keys = [key.encode() for key in KEYS]
    for hash_name in ["fnv1a_64", "md5", "one_at_a_time", "murmur"]:
        for name in ["three", "weighted"]:
            places, weights = SERVERS[name]
            tags = ["", "{}"] if hash_name == "md5" else [""]
            for tag in tags:
                options = f"distribution=twemproxy key_hash={hash_name}" + (f" hash_tag={tag}" if tag else "")
                chosen = twemproxy.chosen(hash_name, places, weights, keys, tag)
                yield {"peer": "twemproxy", "options": options, "servers": name, "named": True, "chosen": chosen}


lists = {name: {"addresses": places, "weights": weights} for name, (places, weights) in SERVERS.items()}
cases = list(asked()) + list(asked_twemproxy())
spooky = [spookyhash.hash32(key.encode(), seed=0xFACE2014) for key in KEYS]
with open(out, "w", encoding="utf-8") as file:
    file.write('{"keys": ' + json.dumps(KEYS) + ',\n "servers": ' + json.dumps(lists) + ',\n "spooky": ' + json.dumps(spooky))
    file.write(',\n "cases": [\n' + ",\n".join(json.dumps(case) for case in cases) + "\n]}\n")
