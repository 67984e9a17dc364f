"""What is measured: one row a case, with its baseline, its peers and its targets. Data only: no process is started and
no result stands here; benches/run does the measuring."""

from dataclasses import dataclass, field

# Where the processes run. S: server and client on one processor, the most repeatable; X: one processor each.
S, X = "S", "X"


@dataclass(frozen=True)
class Command:
    """A program with its arguments; `label` names it in the table."""

    label: str
    program: str
    case: str
    arguments: tuple = ()
    unix: bool = False

    def line(self):
        return ["--case", self.case, *self.arguments]


@dataclass(frozen=True)
class Target:
    """`of`: base, peer (the best one), syscalls, instructions, allocations, or cpu (the processor time of an operation, in
    that of the best peer); of a MemoryRow: heap a connection, or how much more heap or resident memory there is after
    it. `least` and `most` are inclusive."""

    of: str
    least: float | None = None
    most: float | None = None
    text: str = ""


@dataclass
class Row:
    name: str
    pin: str
    base: Command
    subject: Command
    peers: list = field(default_factory=list)
    others: list = field(default_factory=list)  # measured and shown, compared with nothing
    targets: list = field(default_factory=list)
    counted: tuple | None = None  # two lengths in operations: their difference gives syscalls and instructions per operation
    counters: tuple = ("syscalls", "instructions")
    proxy: bool = False
    check: bool = False  # whether it tests the harness, and not the library


def raw(case, *arguments, label="raw", unix=False):
    return Command(label, "raw", case, tuple(map(str, arguments)), unix)


def bmemc(case, *arguments, unix=False):
    return Command("bmemc", "bmemc", case, tuple(map(str, arguments)), unix)


def libmemcached(case, *arguments):
    return [
        Command(f"libmemcached {wire}", "peer_libmemcached", case, ("--wire", wire, *map(str, arguments)))
        for wire in ("text", "binary")
    ]


def of_base(least, what):
    return Target("base", least=least, text=f"of {what}")


def of_peer(least, what):
    return Target("peer", least=least, text=f"x {what}")


def go_client(client, case, goroutines):
    return Command(client if client != "bmemc" else "bmemc for Go", "go_clients", case,
                   ("--client", client, "--goroutines", str(goroutines)))


PING = raw("get", label="raw ping-pong")
SINGLE, MANY = (2000, 6000), (20000, 60000)
TEN_KB, NINE_HUNDRED_KB = 10240, 921600


def harness(pin, least, most):
    # How far the ping-pong may be from itself before the other ratios are not to be believed; X is less repeatable.
    slack = Target("base", least=least, most=most, text="of itself: the harness")
    return Row(f"harness-{pin}", pin, PING, raw("get"), targets=[slack], counted=SINGLE if pin == S else None, check=True)


def sized(name, value):
    base = raw("get", "--value", value, label=f"raw get of {value} bytes")
    return Row(name, S, base, bmemc("get", "--value", value), libmemcached("get", "--value", value),
               targets=[of_base(0.88, "raw get of this size")])


def many(name, pin, wire, subject, peers, targets, counted=None):
    base = raw("get-many", "--wire", wire, label=f"raw get-many {wire}")
    return Row(name, pin, base, subject, peers, targets=[of_base(0.85, f"raw get-many, {wire}"), *targets], counted=counted)


def threads(count, least):
    return Row(f"threads-{count}", X, PING, bmemc("get", "--threads", count), libmemcached("get", "--threads", count),
               [raw("get", "--threads", count, label="raw, a connection each")],
               [of_peer(least, "libmemcached's pool")])


def queue(name, case, in_flight, least, batch_case, targets):
    return Row(name, X, PING, bmemc(case, "--in-flight", in_flight),
               others=[raw(batch_case, "--batch", in_flight, label=f"raw {batch_case} of {in_flight}")],
               targets=[of_base(least, "raw ping-pong"), *targets], counted=MANY)


def round_trip(count, targets):
    base = raw("get", "--threads", count, label="raw, a connection each")
    return Row(f"rtt-{count}", X, base, bmemc("get", "--threads", count), targets=targets, proxy=True)


def goroutines(count, pin, least, *targets, case="get"):
    """Go's own client is the peer: gomemcache, with as many idle connections as there are goroutines."""
    name = f"go-{count}" if case == "get" else "go-multi"
    return Row(name, pin, PING, go_client("bmemc", case, count), [go_client("gomemcache", case, count)],
               targets=[of_peer(least, "gomemcache"), *targets], counted=MANY, counters=("syscalls",))


ROWS = [
    harness(S, 0.97, 1.03),
    harness(X, 0.95, 1.05),
    Row("get", S, PING, bmemc("get"), libmemcached("get"), targets=[
        of_base(0.95, "raw ping-pong"), Target("syscalls", least=2, most=2), Target("instructions", most=900)], counted=SINGLE),
    Row("get-unix", S, raw("get", label="raw unix", unix=True), bmemc("get", unix=True)),
    sized("get-10k", TEN_KB),
    sized("get-900k", NINE_HUNDRED_KB),
    many("get-many", S, "text", bmemc("get-many"), libmemcached("get-many"), [
        of_peer(1.3, "libmemcached mget"), Target("instructions", most=350)], MANY),
    many("get-many-X", X, "text", bmemc("get-many"), libmemcached("get-many"), [of_peer(1.3, "libmemcached mget")]),
    many("get-many-meta", S, "meta", bmemc("get-many", "--wire", "meta"), [], [], MANY),
    many("get-many-binary", S, "binary", bmemc("get-many", "--wire", "binary"), [], [], MANY),
    threads(2, 1.05),
    threads(8, 1.55),
    threads(32, 3.3),
    queue("queue-64", "queue-get", 64, 24, "get-many", [Target("syscalls", most=0.05)]),
    queue("queue-512", "queue-get", 512, 40, "get-many", [Target("syscalls", most=0.05)]),
    queue("queue-set-64", "queue-set", 64, 12, "set-many", []),
    Row("set", S, raw("set", label="raw set"), bmemc("set"), libmemcached("set"), counted=SINGLE),
    Row("set-many", X, raw("set-many", label="raw set-many text"), bmemc("set-many"), counted=MANY),
    goroutines(1, S, 1.2, Target("allocations", most=2.05)),
    goroutines(2, X, 0.95),
    goroutines(8, X, 1.5),
    goroutines(64, X, 5.5, Target("cpu", most=1 / 6), Target("syscalls", most=0.35), Target("allocations", most=2.05)),
    goroutines(512, X, 8),
    goroutines(1, X, 1.8, case="get-multi"),
    round_trip(1, []),
    round_trip(8, [of_base(0.95, "a connection per thread")]),
    round_trip(32, []),
]


@dataclass(frozen=True)
class MemoryRow:
    """At rest: heap a connection after use. Growth: heap and resident memory before and after many operations."""

    name: str
    command: Command
    targets: tuple

    @property
    def grows(self):
        return self.targets == GROWTH


AT_REST = (Target("connection", most=65536, text="bytes of heap a connection"),)
# What the bookkeeping of the allocator and of the kernel may move: a byte lost in 1,000 operations is more in 10 million.
# (One connection: a second one that is opened on the way is no growth.)
GROWTH = (Target("heap", most=4096, text="bytes of heap more"),
          Target("resident", most=524288, text="bytes resident more"))

MEMORY = [
    MemoryRow("memory-rest", bmemc("memory"), AT_REST),
    MemoryRow("memory-rest-900k", bmemc("memory", "--value", NINE_HUNDRED_KB), AT_REST),
    MemoryRow("memory-rest-queue", bmemc("memory-queue"), AT_REST),
    *(MemoryRow(f"growth-{case}", bmemc(case, "--option", "connections=1"), GROWTH)
      for case in ("get", "get-many", "queue-get", "queue-set")),
]
