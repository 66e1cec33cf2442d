"""What runs inside the emulator as its first and only process: sets the machine up, does its task, and switches it off.

The task lies in /task, and answers go out on the second serial line, a JSON object a line, the last one `{"end": true}`.
"""

import ctypes
import fcntl
import json
import mmap
import os
import pickle
import resource
import socket
import struct
import sys
import traceback
from pathlib import Path

LIBC = ctypes.CDLL(None, use_errno=True)
SWITCH_OFF = 0x4321FEDC
# The page whose addresses are marks for the plugin, as in count.c, and what a processor finds there: to return.
MARKS = 0x466F726577000
RETURN = 0xC3
# In memory, as everything is.
FOLDER = Path("/measured")


def main():
    mount("proc", "/proc")
    mount("devtmpfs", "/dev")
    FOLDER.mkdir()
    sys.stdout = sys.stderr = open("/dev/ttyS0", "w", buffering=1)
    with open("/dev/ttyS1", "w", buffering=1) as line:
        def answer(what):
            line.write(json.dumps(what) + "\n")

        try:
            raise_loopback()
            task = pickle.loads(Path("/task").read_bytes())
            {"places": places, "measure": measure}[task["what"]](task, answer)
        except Exception:
            answer({"broken": traceback.format_exc()})
        answer({"end": True})
    LIBC.reboot(SWITCH_OFF)


def mount(kind, where):
    os.makedirs(where, exist_ok=True)
    if LIBC.mount(kind.encode(), where.encode(), kind.encode(), 0, None):
        raise OSError(ctypes.get_errno(), f"mount {where}")


def raise_loopback():
    """As `ip link set lo up` does."""
    set_flags, up_and_running = 0x8914, 0x1 | 0x40
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, set_flags, struct.pack("16sH14x", b"lo", up_and_running))


def places(task, answer):
    """The addresses of some functions of this kernel, which are the same the next time it starts."""
    lines = [line.split() for line in Path("/proc/kallsyms").read_text().splitlines()]
    beginnings = tuple(task["functions"])
    found = [[line[0], line[2]] for line in lines if line[1] in "Tt" and line[2].startswith(beginnings)]
    answer({"places": found, "processor": processor()})


def processor():
    """What the kernel makes of the processor that it runs on."""
    lines = [line.partition(":") for line in Path("/proc/cpuinfo").read_text().splitlines()]
    told = {name.strip(): value.strip() for name, _, value in lines}
    return {"mhz": float(told["cpu MHz"]), "flags": told["flags"].split()}


def measure(task, answer):
    """Each measure through each subject, a row for both."""
    from measure import sample
    from measure.processes import Failed
    from measure.subjects import Unavailable

    # Whatever is not told otherwise shares the core of the load.
    os.sched_setaffinity(0, {sample.LOAD_CORE})
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    # HAProxy's watchdog takes a slow machine for a hanging one. It does without where it gets no timer.
    resource.setrlimit(resource.RLIMIT_SIGPENDING, (0, 0))
    bench, mark = task["bench"], marker()
    bench.folder = FOLDER
    answer({"processor": processor()})
    with bench.serving():
        for measure in task["measures"]:
            for subject in bench.subjects:
                row = {"measure": measure.id, "subject": subject.name}
                answer(row | {"begun": True})
                try:
                    row |= sample.measure_marked(bench, measure, subject, mark)
                except (Unavailable, Failed) as error:
                    row |= sample.left_out(error)
                answer(row)
    for warning in bench.warnings:
        answer({"warning": warning})


def marker():
    """A function that has the plugin write its counts down, and says under which number."""
    LIBC.mmap.restype = ctypes.c_void_p
    LIBC.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
    access, exactly_there = mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC, 0x10
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | exactly_there
    if LIBC.mmap(MARKS, mmap.PAGESIZE, access, flags, -1, 0) != MARKS:
        raise OSError(ctypes.get_errno(), "mmap of the page of marks")
    ctypes.memset(MARKS, RETURN, mmap.PAGESIZE)
    numbers = iter(range(mmap.PAGESIZE))

    def mark():
        number = next(numbers)
        ctypes.CFUNCTYPE(None)(MARKS + number)()
        return number

    return mark


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    main()
