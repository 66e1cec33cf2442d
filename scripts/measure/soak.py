"""Whether anything stays behind as connections come and go by the million: memory, descriptors, threads; and whether lines, counters and
those who came agree to the unit."""

import http.client
import os
import re
import signal
import socket
import subprocess
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean

from measure import meter
from measure.processes import Failed, await_listener, free_port, read_json_line, started
from measure.sample import LOAD_CORE, PROXY_CORE, progress
from measure.subjects import Setup

ID = "SOAK"
# Bytes that a million connections may leave behind.
GOAL = 1 << 20
MILLION = 1_000_000
TURNS = 20
# So many turns make what is made once; what grows is measured from there.
WARM = 4
# How a turn's connections are made: those through the balancer come to the gateway as well. And requests that share a few.
THROUGH_BOTH, DIRECT, SHARED = 0.45, 0.10, 0.20
# Seconds in which all that was kept must be let go, and every line be written.
PATIENCE = 20.0


def measure(bench, binary, connections):
    """Turns of the same load, with a look at the process after each."""
    folder = bench.folder / ID
    folder.mkdir(parents=True)
    subprocess.run([bench.load, "certificate", "--out", folder], check=True, timeout=30)
    begun = time.monotonic()
    with ExitStack() as stack:
        origin = stack.enter_context(started([bench.load, "origin"], LOAD_CORE, stdout=subprocess.PIPE))
        setup = Setup("https", free_port(), read_json_line(origin, 10)["http"], folder, folder)
        balancer = free_port()
        command = [binary, "run", "-c", setup.write("foreword.toml", written(setup, balancer))]
        process = stack.enter_context(started(command, PROXY_CORE, cwd=folder))
        for port in (setup.port, balancer):
            await_listener(process, port, 20)
        scene = Scene(bench, process.pid, setup, balancer)
        before, rows = scene.held(), []
        for turn in range(TURNS):
            progress(f"{ID}: turn {turn + 1} of {TURNS}")
            rows.append(scene.turn(connections / TURNS, before))
    progress("")
    return {"id": ID, "work": "what connections leave behind", "goal": GOAL, "seconds": time.monotonic() - begun,
            "before": before, "slope": slope(rows[WARM:]), "rows": rows}


@dataclass
class Scene:
    """A balancer and a gateway, which are one process, and who comes to them."""

    bench: object
    pid: int
    setup: Setup
    balancer: int
    # What came so far, as those who came count it.
    came: dict = field(default_factory=lambda: {"connections": 0, "requests": 0, "lines": 0})
    # Lines of the files that are gone.
    rotated: int = 0

    def turn(self, connections, before):
        both = self.load(connections * THROUGH_BOTH, self.balancer, "--close")
        direct = self.load(connections * DIRECT, self.setup.port, "--close", "--header", "v2")
        shared = self.load(connections * SHARED, self.setup.port, "--connections", "4", "--http2", "25", "--header", "v2")
        requests = sum(outcome["units"] for outcome in (both, direct, shared))
        self.came["connections"] += 2 * both["connections"] + direct["connections"] + shared["connections"]
        self.came["requests"] += requests
        # The gateway has one for each request, the balancer for each connection.
        self.came["lines"] += both["connections"] + requests
        self.rotate()
        self.until(lambda: self.counted() == self.came)
        row = {"came": dict(self.came), "counted": self.counted()}
        self.until(lambda: self.held() == before)
        return row | {"held": self.held(), "memory": meter.settled_memory([self.pid], "Anonymous")}

    def load(self, units, port, *options):
        command = [self.bench.load, "requests", "--target", f"127.0.0.1:{port}", "--ca", self.setup.certificates / "bench.crt",
                   "--units", str(round(units)), *options]
        with started(command, LOAD_CORE, stdout=subprocess.PIPE) as process:
            outcome = read_json_line(process, 600)
        if outcome["failed"]:
            raise Failed(f"{outcome['failed']} requests failed: {outcome['first_failure']}")
        return outcome

    def rotate(self):
        """A new log, as logrotate has it. The old one is counted until the next is, and goes then."""
        if self.old.exists():
            self.rotated += lines(self.old)
        self.setup.log.rename(self.old)
        os.kill(self.pid, signal.SIGUSR1)
        self.until(self.setup.log.exists)

    @property
    def old(self):
        return self.setup.folder / "access.log.1"

    def counted(self):
        metrics = read_metrics(self.setup.folder / "admin.sock")
        return {
            "connections": metrics["foreword_connections_total"],
            "requests": metrics["foreword_requests_total"],
            "lines": self.rotated + lines(self.old) + lines(self.setup.log),
        }

    def held(self):
        """What it holds of the kernel."""
        process = Path(f"/proc/{self.pid}")
        return {"descriptors": len(os.listdir(process / "fd")), "threads": len(os.listdir(process / "task"))}

    def until(self, holds):
        """Waits for it, but not for ever: whoever asks looks at what came of it."""
        deadline = time.monotonic() + PATIENCE
        while not holds() and time.monotonic() < deadline:
            time.sleep(0.1)


def lines(log):
    with open(log, "rb") as file:
        return sum(piece.count(b"\n") for piece in iter(lambda: file.read(1 << 20), b""))


def read_metrics(path):
    """Each metric, all of its labels together."""
    connection = http.client.HTTPConnection("admin", timeout=10)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(path))
    connection.request("GET", "/metrics", headers={"Connection": "close"})
    sums = Counter()
    for line in connection.getresponse().read().decode().splitlines():
        if not line.startswith("#"):
            name, _, value = re.sub(r"\{.*\}", "", line).partition(" ")
            sums[name] += float(value.split()[0])
    connection.close()
    return sums


def slope(rows):
    """Bytes that a million connections leave behind, by the straight line that fits the turns best."""
    millions = [row["came"]["connections"] / MILLION for row in rows]
    memory = [row["memory"] for row in rows]
    middle, level = mean(millions), mean(memory)
    spread = sum((at - middle) ** 2 for at in millions)
    return sum((at - middle) * (bytes_ - level) for at, bytes_ in zip(millions, memory)) / spread


def report(result):
    first, last = result["rows"][WARM], result["rows"][-1]
    came = last["came"]
    return [
        "",
        f"{ID}  {result['work']}: {came['connections']:,} connections, {came['requests']:,} requests, {came['lines']:,} lines"
        f" in {result['seconds']:,.0f} s",
        f"  memory       {result['slope'] / 1024:>8,.0f} KiB for a million connections, at most {GOAL // 1024:,};"
        f" {first['memory'] / 1024:,.0f} KiB after {first['came']['connections']:,}, {last['memory'] / 1024:,.0f} at the end",
        f"  descriptors  {last['held']['descriptors']:>8,} at the end, {result['before']['descriptors']:,} at the beginning",
        f"  threads      {last['held']['threads']:>8,} at the end, {result['before']['threads']:,} at the beginning",
    ]


def troubles(result):
    """What is not as promised."""
    if result["slope"] > GOAL:
        yield f"{ID}: a million connections leave {result['slope']:,.0f} bytes behind, expected at most {GOAL:,}"
    for turn, row in enumerate(result["rows"], 1):
        for what, came in row["came"].items():
            if row["counted"][what] != came:
                yield f"{ID}: turn {turn}: {came:,} {what} came, {row['counted'][what]:,.0f} were counted"
        if row["held"] != result["before"]:
            yield f"{ID}: turn {turn}: {row['held']} are held, expected {result['before']} as at the beginning"


def written(setup, balancer):
    """The file: a balancer that introduces its clients to the gateway next door."""
    return f"""
workers = 1
[admin]
bind = "unix:{setup.folder}/admin.sock"
[log.access]
to = "file:{setup.log}"
[trust.loopback]
from = ["127.0.0.0/8"]
header = "require"
[listener.balancer]
bind = ["127.0.0.1:{balancer}"]
mode = "tcp"
cluster = "gateway"
[cluster.gateway]
endpoints = ["127.0.0.1:{setup.port}"]
send_header = "v2"
[listener.gateway]
bind = ["127.0.0.1:{setup.port}"]
mode = "http"
trust = ["loopback"]
tls = {{ certificates = [{{ certificate = "{setup.certificates}/bench.crt", key = "{setup.certificates}/bench.key" }}] }}
cluster = "origin"
[cluster.origin]
endpoints = ["{setup.origin}"]
timeout = {{ idle = "1s" }}
"""
