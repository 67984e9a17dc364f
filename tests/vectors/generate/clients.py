"""The choices of Python's clients and libraries: clients.py SERVERS KEYS; see libmemcached.c for what is read and printed."""

import sys

import bmemcached
import jump
import xxhash
from pymemcache.client.hash import HashClient
from pymemcache.client.murmur3 import murmur3_32


def lines(path):
    with open(path, encoding="utf-8") as file:
        return file.read().rstrip("\n").split("\n")


def show(options, numbers):
    print(options + "\t" + " ".join(map(str, numbers)))


servers = [line.split() for line in lines(sys.argv[1])]
keys = lines(sys.argv[2])
addresses = [host if host.startswith("/") else (host, int(port)) for host, port, _ in servers]

client = HashClient(addresses)
nodes = [address if isinstance(address, str) else "%s:%s" % address for address in addresses]
show("distribution=rendezvous", [nodes.index(client.hasher.get_node(key)) for key in keys])
show("distribution=rendezvous key_form=bytes", [nodes.index(client.hasher.get_node(key.encode())) for key in keys])
show("key_hash=murmur3_32", [murmur3_32(key.encode().decode("latin-1")) for key in keys])
show("key_hash=xxh3", [xxhash.xxh3_64_intdigest(key.encode()) for key in keys])
show("distribution=jump", [jump.hash(xxhash.xxh3_64_intdigest(key.encode()), len(servers)) for key in keys])
show("distribution=jump key_hash=murmur3_32",
     [jump.hash(murmur3_32(key.encode().decode("latin-1")), len(servers)) for key in keys])

texts = [address if isinstance(address, str) else "%s:%d" % address for address in addresses]
for options, user, password in [("", None, None), (" username=user password=secret", "user", "secret")]:
    client = bmemcached.DistributedClient(texts, user, password)
    places = {id(server): index for index, server in enumerate(client._servers)}
    chosen = lambda key: places[id(client._get_server(key))]
    show("distribution=bmemcached" + options, map(chosen, keys))
    show("distribution=bmemcached key_form=bytes" + options, [chosen(key.encode()) for key in keys])
