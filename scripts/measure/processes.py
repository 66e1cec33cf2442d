"""Processes that are started here, and ended here by their own id, whatever happens."""

import json
import os
import random
import select
import signal
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

from measure.subjects import Unavailable


class Failed(Exception):
    """A run that is no measurement, and why."""


# How much the processes that are measured yield to others on the machine; below 0 only root may ask.
niceness = 0


@contextmanager
def started(command, core, stdout=None, patience=30, **options):
    """A process on one core. Its standard input is a pipe, so that it can see us go."""
    process = subprocess.Popen(
        [str(part) for part in command],
        stdin=subprocess.PIPE, stdout=stdout, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: settle(core), **options,
    )
    try:
        yield process
    finally:
        end(process, patience)


def settle(core):
    os.sched_setaffinity(0, {core})
    os.nice(niceness)


def end(process, patience, farewell=signal.SIGTERM):
    """Asks, waits, and then does not ask."""
    if process.poll() is None:
        process.send_signal(farewell)
    try:
        process.wait(timeout=patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe:
            pipe.close()


def read_json_line(process, patience):
    """The next line of a process's standard output."""
    ready, _, _ = select.select([process.stdout], [], [], patience)
    line = process.stdout.readline() if ready else ""
    if not line:
        raise Failed(f"{process.args[0]} said nothing within {patience} s{last_words(process)}")
    return json.loads(line)


def last_words(process):
    """What a process that has ended said last."""
    if process.poll() is None:
        return ""
    words = process.stderr.read().strip().splitlines()[-3:]
    return ": " + " / ".join(words) if words else f" (it ended with {process.returncode})"


def free_port():
    """A port, for TCP and UDP, below the kernel's own, so that no connection of ours takes it before the listener does."""
    for _ in range(100):
        port = random.randrange(18000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise Failed("no free port between 18000 and 32000")


def await_listener(process, port, patience, udp=False):
    """Until somebody listens on a port. It is looked up, not tried: a connection would be one more line in a log."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise Unavailable(f"it does not start{last_words(process)}")
        if is_listening(port, udp):
            return
        time.sleep(0.02)
    raise Unavailable(f"it does not listen within {patience} s")


def is_listening(port, udp):
    sockets = Path("/proc/net/udp" if udp else "/proc/net/tcp").read_text().splitlines()[1:]
    # Local address and state are the second and fourth field; 0A is LISTEN, and 07 a datagram socket without a peer.
    state = "07" if udp else "0A"
    return any(fields[1].endswith(f":{port:04X}") and fields[3] == state for fields in map(str.split, sockets))
