"""Builds the programs, runs the servers, and measures one process at a time: its own report, its system calls, its
instructions. Knows nothing of rows and targets. Standard library only."""

import functools
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
CARGO_TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
OUT = CARGO_TARGET / "bench"
CFLAGS = ["-std=c11", "-O2", "-Wall", "-Wextra", "-pthread"]
LIBRARIES = {
    "raw": [],
    "delay_proxy": [],
    "peer_libmemcached": ["-lmemcached", "-lmemcachedutil"],
    "bmemc": ["-I", str(ROOT / "include"), "-L", str(CARGO_TARGET / "release"), "-lbmemc",
              f"-Wl,-rpath,{CARGO_TARGET / 'release'}"],
}


class Failed(Exception):
    """A process that did not do what it was started for; the text says which and why."""


def missing_tools():
    """What is not installed, with what its absence costs."""
    needs = {"cc": "nothing can be built", "memcached": "nothing can be measured", "cargo": "bmemc cannot be built",
             "valgrind": "no instruction counts", "perf": "system calls are counted by strace, which is slow"}
    absent = [f"{tool}: {cost}" for tool, cost in needs.items() if not shutil.which(tool)]
    if not shutil.which("perf") and not shutil.which("strace"):
        absent.append("strace: no system call counts")
    return absent


def _build_go():
    """The Go clients against cargo's release library, found by pkg-config as a user's would be."""
    (OUT / "bmemc.pc").write_text(
        f"Name: bmemc\nDescription: cargo's release library\nVersion: 0\nCflags: -I{ROOT / 'include'}\n"
        f"Libs: -L{CARGO_TARGET / 'release'} -lbmemc -Wl,-rpath,{CARGO_TARGET / 'release'}\n", encoding="utf-8")
    # Go's cache does not know what pkg-config says, but it knows this: else another library might be linked.
    return _call(["go", "-C", str(HERE / "go"), "build", "-o", str(OUT / "go_clients"), "."], PKG_CONFIG_PATH=str(OUT),
                 CGO_LDFLAGS=f"-L{CARGO_TARGET / 'release'} -Wl,-rpath,{CARGO_TARGET / 'release'}")


def build(with_cargo):
    """Builds all that can be; returns {program: why it could not be built}."""
    broken = {}
    OUT.mkdir(parents=True, exist_ok=True)
    if with_cargo:
        # One kind of library alone, as README and CMake build it: beside an rlib, cargo leaves link-time optimisation out.
        done = _call(["cargo", "rustc", "--locked", "--release", "--lib", "--crate-type", "cdylib"])
        if done.returncode:
            broken["bmemc"] = "cargo rustc --release: " + _first_error(done.stderr)
    for program, libraries in LIBRARIES.items():
        if program in broken:
            continue
        done = _call(["cc", *CFLAGS, "-o", str(OUT / program), str(HERE / f"{program}.c"), *libraries])
        if done.returncode:
            broken[program] = f"{program}.c: " + _first_error(done.stderr)
    done = _build_go()
    if done.returncode:
        broken["go_clients"] = "benches/go: " + _first_error(done.stderr)
    return broken


def _call(line, **more):
    try:
        return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ, **more})
    except FileNotFoundError:
        return subprocess.CompletedProcess(line, 127, "", f"error: {line[0]} is not installed")


def _first_error(text):
    return next((line.strip() for line in text.splitlines() if "error" in line), text.strip()[:200] or "no message")


class OtherLoad:
    """How much processor time went to others while we measured. Ended children count as ours, so stop the servers first."""

    def __init__(self):
        self.from_clock, self.from_all, self.from_stolen, self.from_own = self._now()

    @staticmethod
    def _now():
        user, nice, system, _idle, _wait, irq, soft, stolen = map(int, Path("/proc/stat").read_text().split()[1:9])
        tick = os.sysconf("SC_CLK_TCK")
        own = sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        return time.monotonic(), (user + nice + system + irq + soft) / tick, stolen / tick, own

    def shares(self):
        """The others' share and the share stolen by the host, each of one processor."""
        clock, busy, stolen, own = self._now()
        seconds = clock - self.from_clock
        return max(0, busy - self.from_all - (own - self.from_own)) / seconds, (stolen - self.from_stolen) / seconds


class Service:
    """A process in the background, on a processor of its own if one is given; `stop` returns what it printed."""

    def __init__(self, line, cpu, environment=None):
        try:
            self.process = subprocess.Popen(line, preexec_fn=_pinned(cpu), stdout=subprocess.PIPE, text=True,
                                            env={**os.environ, **(environment or {})})
        except FileNotFoundError as absent:
            raise Failed(f"{line[0]} is not installed or not built") from absent

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.communicate(timeout=5)[0]
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.communicate()[0]


def _pinned(cpu):
    return None if cpu is None else lambda: os.sched_setaffinity(0, {cpu})


class Servers:
    """memcached on a free TCP port and on a socket, and delay proxies before the first; all on one processor."""

    def __init__(self, cpu):
        self.folder = tempfile.TemporaryDirectory(prefix="bmemc-bench-")
        self.cpu, self.services, self.proxies = cpu, [], {}
        socket, ports = Path(self.folder.name, "socket"), Path(self.folder.name, "ports")
        line = ["memcached", "-t", "1", "-m", "1024", "-U", "0", *(["-u", "root"] if os.getuid() == 0 else [])]
        self.services.append(Service([*line, "-l", "127.0.0.1", "-p", "-1"], cpu, {"MEMCACHED_PORT_FILENAME": str(ports)}))
        self.services.append(Service([*line, "-s", str(socket)], cpu))
        self.unix = str(socket)
        self.tcp = "127.0.0.1:" + _eventually(lambda: re.search(r"TCP INET: (\d+)", ports.read_text()).group(1), "memcached")
        _eventually(lambda: socket.exists() or 1 / 0, "memcached's socket")

    def delayed(self, name, delay_us):
        """Where the proxy of this name listens; it is started when it is first asked for."""
        if name not in self.proxies:
            line = [str(OUT / "delay_proxy"), "--server", self.tcp, "--delay-us", str(delay_us)]
            service = Service(line, self.cpu)
            self.proxies[name] = service, json.loads(service.process.stdout.readline())["listen"]
        return f"127.0.0.1:{self.proxies[name][1]}"

    def stop_proxies(self):
        """Returns what each proxy says of its lateness."""
        reports = {name: json.loads(service.stop()) for name, (service, _) in self.proxies.items()}
        self.proxies = {}
        return reports

    def stop(self):
        self.stop_proxies()
        for service in self.services:
            service.stop()
        self.folder.cleanup()


def _eventually(attempt, what):
    for _ in range(100):
        try:
            return attempt()
        except (OSError, AttributeError, ZeroDivisionError):
            time.sleep(0.05)
    raise Failed(f"{what} did not start within 5 s")


def run(program, arguments, cpu, under=(), limit_s=120):
    """Runs one program to its end; returns its report, and what the tool that it ran under said on stderr."""
    line = [*under, str(OUT / program), *arguments]
    try:
        done = subprocess.run(line, preexec_fn=_pinned(cpu), capture_output=True, text=True, timeout=limit_s, check=False)
    except FileNotFoundError as absent:
        raise Failed(f"{absent.filename} is not installed or not built") from absent
    except subprocess.TimeoutExpired as expired:
        raise Failed(f"{program} did not end within {limit_s} s") from expired
    if done.returncode:
        why = [text for text in done.stderr.strip().splitlines() if not text.startswith("==")]
        raise Failed(why[-1] if why else f"{program} ended with {done.returncode}")
    try:
        return json.loads(done.stdout.splitlines()[-1]), done.stderr
    except (IndexError, ValueError) as unread:  # perf may end with 0 where its program did not
        raise Failed(f"{program} printed no report: {done.stderr.strip()[-200:]}") from unread


def per_operation(count, lengths):
    """The difference of two lengths: what one operation costs, without the start and the end."""
    (short_ops, short), (long_ops, long) = (count(length) for length in lengths)
    if long_ops <= short_ops:
        raise Failed(f"{long_ops} operations are not more than {short_ops}")
    return (long - short) / (long_ops - short_ops)


@functools.lru_cache
def _perf_counts():
    """Whether perf is there and may count system calls; else strace has to, which slows the program down."""
    line = ["perf", "stat", "-x,", "-e", "raw_syscalls:sys_enter", "true"]
    done = _call(line)
    return done.returncode == 0 and re.search(r"^\d+,", done.stderr, re.MULTILINE) is not None


def _read_perf(text):
    return next(int(line.split(",")[0]) for line in text.splitlines() if "sys_enter" in line)


def _read_strace(text):
    return next(int(line.split()[3]) for line in text.splitlines() if line.endswith("total"))


def system_calls(program, arguments, cpu, lengths):
    under, read = (["perf", "stat", "-x,", "-e", "raw_syscalls:sys_enter"], _read_perf) if _perf_counts() else \
        (["strace", "-f", "-c"], _read_strace)

    def count(length):
        with tempfile.NamedTemporaryFile(prefix="bmemc-bench-") as file:
            report, _ = run(program, [*arguments, "--ops", str(length)], cpu, [*under, "-o", file.name])
            try:
                return report["ops"], read(Path(file.name).read_text())
            except (StopIteration, ValueError, IndexError) as unread:
                raise Failed(f"{under[0]} counted no system calls") from unread

    return per_operation(count, lengths)


def instructions(program, arguments, cpu, lengths):
    def count(length):
        under = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
        report, said = run(program, [*arguments, "--ops", str(length)], cpu, under)
        found = re.search(r"Collected : (\d+)", said)
        if not found:
            raise Failed("callgrind collected nothing")
        return report["ops"], int(found.group(1))

    return per_operation(count, lengths)
