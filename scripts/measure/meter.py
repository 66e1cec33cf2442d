"""What processes cost: CPU time, memory, and, where the machine counts them, instructions and cycles."""

import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")
EVENTS = ["instructions:u", "instructions:k", "cycles"]


@dataclass
class Cost:
    """CPU seconds: all of them to the nanosecond where the kernel tells, and how the ticks divide them."""

    cpu: float
    user: float
    system: float

    def __sub__(self, other):
        return Cost(self.cpu - other.cpu, self.user - other.user, self.system - other.system)


def family(root):
    """A process and all that it started, oldest first."""
    found = [root]
    for pid in found:
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            found += [int(child) for child in children.read_text().split()]
    return found


def cost(pids):
    """What they have used since they began, all threads together, those that ended included."""
    user = system = exact = 0.0
    for pid in pids:
        # The name in brackets may hold anything; what follows it begins with the state.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        user += int(fields[11]) / TICK
        system += int(fields[12]) / TICK
        exact += run_time(pid)
    return Cost(exact or user + system, user, system)


def run_time(pid):
    """Seconds on a processor, of the threads that live; 0 where the kernel keeps no such account."""
    nanoseconds = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        try:
            nanoseconds += int((thread / "schedstat").read_text().split()[0])
        except FileNotFoundError:
            return 0.0
    return nanoseconds / 1e9


def memory(pids, kind="Pss"):
    """Resident bytes, pages that are shared divided among those that share them; or those of another kind."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith(f"{kind}:"):
                total += int(line.split()[1]) * 1024
    return total


def settled_memory(pids, kind="Pss", least=1.0, most=8.0):
    """Resident bytes once they no longer move from one look to the next."""
    begun = time.monotonic()
    before = memory(pids, kind)
    while True:
        time.sleep(0.5)
        now = memory(pids, kind)
        passed = time.monotonic() - begun
        if passed >= most or (passed >= least and now == before):
            return now
        before = now


def core_times(core):
    """Seconds of a core so far: busy in all, and taken away by the host."""
    for line in Path("/proc/stat").read_text().splitlines():
        name, *fields = line.split()
        if name == f"cpu{core}":
            user, nice, system, _, _, irq, soft, steal = (int(value) / TICK for value in fields[:8])
            return user + nice + system + irq + soft, steal
    return 0.0, 0.0


def counters_supported():
    """Whether `perf` can count instructions here; a sentence that says why not otherwise."""
    try:
        told = subprocess.run(
            ["perf", "stat", "-x", ",", "-e", EVENTS[0], "true"], capture_output=True, text=True, timeout=30
        )
    except FileNotFoundError:
        return "perf is not installed"
    except subprocess.TimeoutExpired:
        return "perf stat did not answer within 30 s"
    counted = parse_counters(told.stderr)
    if told.returncode == 0 and counted.get(EVENTS[0]):
        return None
    return "the processor's counters are not to be had on this machine (perf stat: not supported)"


class Counters:
    """Instructions and cycles of processes while it is entered."""

    def __init__(self, pids):
        self.pids = pids
        self.counted = {}

    def __enter__(self):
        pids = ",".join(map(str, self.pids))
        self.perf = subprocess.Popen(
            ["perf", "stat", "-x", ",", "-e", ",".join(EVENTS), "-p", pids], stderr=subprocess.PIPE, text=True
        )
        # perf says nothing when it has attached; it does so within milliseconds, and the load takes seconds.
        time.sleep(0.2)
        return self

    def __exit__(self, *_):
        self.perf.send_signal(signal.SIGINT)
        try:
            self.counted = parse_counters(self.perf.communicate(timeout=20)[1])
        except subprocess.TimeoutExpired:
            self.perf.kill()
            self.perf.wait()


def parse_counters(text):
    """perf's lines `VALUE,UNIT,EVENT,…`; what was not counted is left out."""
    counted = {}
    for line in text.splitlines():
        fields = line.split(",")
        if len(fields) > 2 and fields[0].isdigit():
            counted[fields[2]] = int(fields[0])
    if {"instructions:u", "instructions:k"} <= counted.keys():
        # What foreword's goals are written in.
        counted["instructions"] = counted["instructions:u"] + counted["instructions:k"]
    return counted


def callgrind_total(folder):
    """Instructions in all of valgrind's files in a folder."""
    total = 0
    for path in folder.glob("callgrind.out.*"):
        with path.open() as lines:
            totals = [line.split()[1] for line in lines if line.startswith(("totals:", "summary:"))]
        # A file that is cut off has neither, and would be missing from the sum.
        if not totals:
            raise ValueError(f"{path.name} is not whole")
        total += int(totals[-1])
    return total
