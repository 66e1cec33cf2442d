"""Instructions of user space on this very processor, where it has no counters: the thread that works stops after each (`step.c`).

It shows what no emulator does, such as AVX-512, and takes minutes for what takes a processor a moment; so few units are done, one at a
time, twice with different numbers of them: the difference is free of what a connection takes that is kept.
"""

import os
import resource
import shutil
import signal
import subprocess
import time
from pathlib import Path

from measure import meter
from measure.measures import units_of
from measure.processes import Failed, read_json_line, started
from measure.sample import PROXY_CORE, apply_load, left_out, progress, running
from measure.subjects import Unavailable

# Seconds that one answer may take, and that nothing may be done for until all is done.
PATIENCE, STILL = 900, 0.5
WARM_UP = 50
HERE = Path(__file__).resolve().parent


def missing():
    """What is not here that this needs; nothing where all is."""
    return None if shutil.which("cc") else "cc is not installed (Debian: gcc)"


def measure(bench, measure, folder):
    """By subject, what a unit costs."""
    folder.mkdir(parents=True)
    stepper = folder / "step"
    if subprocess.run(["cc", "-O2", "-o", stepper, HERE / "step.c"]).returncode:
        raise Failed("cc could not compile step.c")
    # HAProxy's watchdog takes so slow a process for a hanging one. It does without where it gets no timer.
    _, most = resource.getrlimit(resource.RLIMIT_SIGPENDING)
    resource.setrlimit(resource.RLIMIT_SIGPENDING, (0, most))
    results = {}
    for subject in bench.subjects:
        progress(f"{measure.id}: stepped, {subject.name}")
        try:
            results[subject.name] = {"samples": step(bench, measure, subject, folder, stepper)}
        except (Unavailable, Failed) as error:
            results[subject.name] = left_out(error)
    progress("")
    return results


def step(bench, measure, subject, folder, stepper):
    samples = []
    with running(bench, subject, measure, folder) as (process, setup):
        def load(units):
            return units_of(measure, apply_load(bench, measure, setup, "--units", str(units), patience=PATIENCE, connections=1))

        before = work_of(process)
        load(WARM_UP)
        after = work_of(process)
        # One thread works; what others do by the clock would be done again and again while it is stepped.
        worker = max(after, key=lambda thread: after[thread] - before.get(thread, 0))
        # On the same core, a step needs no other one to be woken.
        with started([stepper, worker], PROXY_CORE, stdout=subprocess.PIPE) as follower:
            read_json_line(follower, 30)
            for _ in range(bench.rounds):
                counts = [count(follower)]
                units = []
                for asked in measure.stepped:
                    units.append(load(asked))
                    counts.append(count(follower))
                few, many = counts[1] - counts[0], counts[2] - counts[1]
                samples.append({"units": units[1] - units[0], "instructions": (many - few) / (units[1] - units[0])})
            # Who is followed is ended while it is: a step that nobody waits for would end it otherwise.
            for pid in meter.family(process.pid):
                os.kill(pid, signal.SIGKILL)
            process.wait()
    return samples


def work_of(process):
    """What each thread of it has used of a core so far."""
    threads = [thread for pid in meter.family(process.pid) for thread in Path(f"/proc/{pid}/task").iterdir()]
    return {thread.name: int((thread / "schedstat").read_text().split()[0]) for thread in threads}


def count(follower):
    """How many instructions it has been, once no more come."""
    seen, since = None, time.monotonic()
    while time.monotonic() - since < PATIENCE:
        follower.send_signal(signal.SIGUSR1)
        now = read_json_line(follower, 30)["instructions"]
        if now == seen:
            return now
        seen = now
        time.sleep(STILL)
    raise Failed("it does not come to rest")
