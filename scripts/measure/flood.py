"""How long a good client waits while another connection floods: its 99th percentile with the flood and without, turn by turn.

Run as a program with the name of a flood and a port it is the attacker: it floods one connection until it is closed, and comes
again at once, for as long as its standard input is open.
"""

import json
import os
import resource
import select
import socket
import struct
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from measure import meter
from measure.processes import Failed, await_listener, free_port, read_json_line, started
from measure.sample import LOAD_CORE, PROXY_CORE, progress
from measure.subjects import Setup

ID = "FLOOD"
# How many times as long a good client may wait.
GOAL = 2.0
# What one flood may cost until its connection is closed: processor time, and memory that stays.
CPU_GOAL, MEMORY_GOAL = 0.1, 1 << 20
FRAMES = 1000
SECONDS = 1.0
# Where others use more of a core than this, how long somebody waits is theirs.
QUIET = 0.05
# Good clients: as many requests at once, over as many connections or in one.
GOOD = [
    ("HTTP/1.1", "web", ("--connections", "10")),
    ("HTTP/2", "multiplexed", ("--connections", "1", "--http2", "10")),
]

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 2, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS, PADDED = 1, 4, 8
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
# GET, http, /, and an authority: names and values of the static table, and one literal.
ROOT = b"\x82\x86\x84\x01\x01a"
CONNECTION = b"\x00\x0aconnection\x05close"


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def again(what, first=b""):
    """The same frame, behind what has to come first."""
    return first + what * (FRAMES - bool(first))


def on_stream(what):
    return again(what, frame(HEADERS, END_HEADERS, 1, ROOT))


def streams(say):
    """Something for each of so many streams."""
    return b"".join(say(2 * n + 1) for n in range(FRAMES))


FLOODS = {
    "PING": again(frame(PING, 0, 0, b"01234567")),
    "SETTINGS": again(frame(SETTINGS, 0, 0, b"\0\3\0\0\0\x09")),
    "empty SETTINGS": again(frame(SETTINGS, 0, 0)),
    "WINDOW_UPDATE": again(frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1")),
    "PRIORITY": streams(lambda stream: frame(PRIORITY, 0, stream, b"\0\0\0\0\1")),
    "unknown frames": again(frame(0x42, 0, 0)),
    "empty DATA": on_stream(frame(DATA, 0, 1)),
    "DATA of one byte": on_stream(frame(DATA, 0, 1, b"x")),
    "DATA of padding": on_stream(frame(DATA, PADDED, 1, b"\1\0")),
    "CONTINUATION": again(frame(CONTINUATION, 0, 1), frame(HEADERS, 0, 1, ROOT)),
    "rapid reset": streams(
        lambda stream: frame(HEADERS, END_HEADERS | END_STREAM, stream, ROOT) + frame(RST_STREAM, 0, stream, b"\0\0\0\x08")
    ),
    "requests that make us reset": streams(
        lambda stream: frame(HEADERS, END_HEADERS | END_STREAM, stream, ROOT + CONNECTION)
    ),
    "more streams than there may be": streams(lambda stream: frame(HEADERS, END_HEADERS, stream, ROOT)),
}


def measure(bench, binary):
    """Each flood alone, and then beside each kind of good client."""
    result = {"id": ID, "work": "a good client's wait while another connection floods", "goal": GOAL, "rows": []}
    result["unanswered"] = unanswered = []
    folder = bench.folder / ID
    folder.mkdir(parents=True)
    with started([bench.load, "origin"], LOAD_CORE, stdout=subprocess.PIPE) as origin:
        setup = Setup("http", free_port(), read_json_line(origin, 10)["http"], folder, bench.folder)
        ports = {"web": setup.port, "multiplexed": free_port()}
        command = [binary, "run", "-c", setup.write("foreword.toml", written(setup, ports))]
        with started(command, PROXY_CORE, cwd=folder) as process:
            for port in ports.values():
                await_listener(process, port, 20)
            scene = Scene(bench, process.pid, origin.pid, ports, unanswered)
            for flood in FLOODS:
                progress(f"{ID}: {flood}")
                row = {"flood": flood, "alone": scene.alone(flood)}
                row["beside"] = {good[0]: scene.beside(flood, good) for good in GOOD}
                result["rows"].append(row)
    progress("")
    return result


@dataclass
class Scene:
    """A gateway and an origin that run, and who comes to them."""

    bench: object
    gateway: int
    origin: int
    ports: dict
    # What is to be said of floods that were not ended as they must be.
    unanswered: list

    @contextmanager
    def attacker(self, flood):
        """Floods, while this is entered; gives what it said of itself afterwards."""
        told = {}
        command = [sys.executable, Path(__file__), flood, str(self.ports["multiplexed"])]
        with started(command, LOAD_CORE, stdout=subprocess.PIPE) as process:
            read_json_line(process, 10)
            # An attacker has a machine of its own: here it takes from good clients and the origin no more than they leave.
            os.sched_setscheduler(process.pid, os.SCHED_IDLE, os.sched_param(0))
            told["pid"] = process.pid
            yield told
            process.stdin.close()
            told.update(read_json_line(process, 30))
        if not told["floods"]:
            raise Failed(f"{flood}: nothing was flooded")
        if told["unanswered"]:
            self.unanswered.append(f"{flood}: {told['unanswered']} of {told['floods']} connections were not told to calm down")

    def alone(self, flood):
        """What a flood costs: processor time of each, and memory that all of them left behind."""
        # What is made once is there before memory is looked at.
        with self.attacker(flood):
            time.sleep(SECONDS / 4)
        memory, cost = meter.settled_memory([self.gateway]), meter.cost([self.gateway])
        with self.attacker(flood) as told:
            time.sleep(SECONDS)
        used = meter.cost([self.gateway]) - cost
        grown = meter.settled_memory([self.gateway]) - memory
        return {"floods": told["floods"], "cpu": used.cpu / told["floods"], "memory": grown}

    def beside(self, flood, good):
        """Rounds of a sample without and one with the flood."""
        rounds = []
        for _ in range(self.bench.rounds):
            quiet = self.sample(good)
            with self.attacker(flood) as told:
                flooded = self.sample(good, told["pid"])
            rounds.append({"quiet": quiet, "flooded": flooded, "ratio": flooded["p99"] / quiet["p99"]})
        return {
            "rounds": rounds,
            "ratio": median(each["ratio"] for each in rounds),
            "quiet_p99": median(each["quiet"]["p99"] for each in rounds),
            "flooded_p99": median(each["flooded"]["p99"] for each in rounds),
            "others": max(each[kind]["others"] for each in rounds for kind in ("quiet", "flooded")),
        }

    def sample(self, good, *attackers):
        """How long requests took; and how much of both cores somebody else had meanwhile."""
        _, listener, load = good
        command = [self.bench.load, "requests", "--target", f"127.0.0.1:{self.ports[listener]}", *load]
        begun, before = time.monotonic(), self.taken(attackers)
        with started([*command, "--seconds", str(SECONDS)], LOAD_CORE, stdout=subprocess.PIPE) as process:
            outcome = read_json_line(process, 60)
        if outcome["failed"] or not outcome["units"]:
            raise Failed(f"{outcome['failed']} requests failed: {outcome['first_failure']}")
        others = (self.taken(attackers) - before) / (2 * (time.monotonic() - begun))
        return {"p50": outcome["latency"]["p50"], "p99": outcome["latency"]["p99"], "units": outcome["units"],
                "others": max(others, 0.0)}

    def taken(self, attackers):
        """Seconds that others have had of the two cores so far. What has ended here was ours as well."""
        busy = sum(meter.core_times(core)[0] for core in (PROXY_CORE, LOAD_CORE))
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        own = meter.cost([self.gateway, self.origin, *attackers]).cpu + ended.ru_utime + ended.ru_stime
        return busy - own


def report(result):
    lines = ["", f"{ID}  {result['work']}: 99th percentile, in proportion to that without, at most {GOAL:g}"]
    for row in result["rows"]:
        alone = row["alone"]
        parts = [f"{alone['cpu'] * 1e3:>7.2f} ms CPU and {alone['memory'] / alone['floods']:>6,.0f} bytes a flood"]
        for name, beside in row["beside"].items():
            parts.append(f"{name} {beside['ratio']:.2f} ({beside['flooded_p99'] * 1e3:.2f} to {beside['quiet_p99'] * 1e3:.2f} ms)")
        lines.append(f"  {row['flood']:<32} " + "   ".join(parts))
    return lines


def disturbance(result):
    """The share of both cores that others had, at worst."""
    return max((beside["others"] for row in result["rows"] for beside in row["beside"].values()), default=0.0)


def troubles(result):
    """What is not as promised, whatever else the machine did meanwhile."""
    for unanswered in result["unanswered"]:
        yield f"{ID}: {unanswered}"
    for row in result["rows"]:
        alone = row["alone"]
        if alone["cpu"] > CPU_GOAL:
            yield f"{ID}: {row['flood']}: {alone['cpu'] * 1e3:.0f} ms CPU, expected at most {CPU_GOAL * 1e3:.0f}"
        if alone["memory"] / alone["floods"] > MEMORY_GOAL:
            yield f"{ID}: {row['flood']}: {alone['memory'] / alone['floods']:,.0f} bytes stay, expected at most {MEMORY_GOAL:,}"


def waits(result):
    """What is to be said of waits. They are judged where the cores were ours, by whoever reads it."""
    others = disturbance(result)
    if others > QUIET:
        yield f"{ID}: others had up to {others:.0%} of both cores, so that waits say nothing: try it again when the machine is quiet"
        return
    for row in result["rows"]:
        for name, beside in row["beside"].items():
            if beside["ratio"] > GOAL:
                yield f"{ID}: {row['flood']}: {name} waits {beside['ratio']:.2f} times as long, expected at most {GOAL:g}"


def written(setup, ports):
    """The file: both listeners on one worker, so that whoever floods one is in the way at the other too."""
    return f"""
workers = 1
[log.access]
to = "file:{setup.log}"
[listener.web]
bind = ["127.0.0.1:{ports['web']}"]
mode = "http"
cluster = "origin"
[listener.multiplexed]
bind = ["127.0.0.1:{ports['multiplexed']}"]
mode = "http"
http2 = "prior-knowledge"
cluster = "origin"
[cluster.origin]
endpoints = ["{setup.origin}"]
"""


def attack(flood, port):
    """Floods until standard input ends; says when it begins, and in the end how often it was closed, and how."""
    said = PREFACE + frame(SETTINGS, 0, 0) + FLOODS[flood]
    floods = unanswered = 0
    print(json.dumps({"begins": flood}), flush=True)
    while not select.select([sys.stdin], [], [], 0)[0]:
        floods += 1
        unanswered += not is_calmed_down(said, port)
    print(json.dumps({"floods": floods, "unanswered": unanswered}), flush=True)


def is_calmed_down(said, port):
    """Whether the other side ended it with ENHANCE_YOUR_CALM."""
    heard = b""
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        try:
            connection.sendall(said)
            while piece := connection.recv(1 << 16):
                heard += piece
        except (ConnectionError, TimeoutError):
            pass
    return GOODBYE in heard


# GOAWAY for ENHANCE_YOUR_CALM, whichever its last stream is.
GOODBYE = b"\0\0\0\x0b"

if __name__ == "__main__":
    attack(sys.argv[1], int(sys.argv[2]))
