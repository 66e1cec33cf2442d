"""Instructions of user space and kernel, counted one by one, where the processor's own counters are not to be had.

QEMU emulates a machine with two processors, and `count.c` counts what the proxies' one does. The kernel that is named starts in
it with all it needs in memory; `guest.py` is its first process and measures there as is done here. What the kernel does
while that processor is idle is not counted, as `perf stat -p` would not, nor are ticks of the clock: the emulated machine is slow,
so that there are more of them for a unit than there ought to be.
"""

import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from dataclasses import replace
from pathlib import Path

from measure.processes import Failed, end
from measure.sample import progress

QEMU = "qemu-system-x86_64"
# A kernel whose addresses do not change, that trusts the emulated clock, and that keeps its own work off the proxies' core.
KERNEL_OPTIONS = (
    "console=ttyS0 quiet nokaslr panic=-1 clocksource=tsc tsc=reliable no_timer_check random.trust_cpu=on isolcpus=0 rcu_nocbs=0 "
    "nowatchdog"
)
# So many of our seconds are one of the guest's. By our clock a slow machine's acknowledgements would be overdue and its log's
# thread would have slept enough while hardly anything was done, again and again, and the more so the busier this machine is.
SLOWNESS = 20
# What cryptography looks for in a processor, as Linux calls it.
EXTENSIONS = ("sha_ni", "vaes", "vpclmulqdq", "avx512f")
# What is counted apart, by how the function's name begins: a name of our own, or what is left of the function's.
PLACES = {
    "do_idle": "idle", "finish_task_switch": "switch", "asm_sysvec_apic_timer_interrupt": "tick",
    "restore_regs_and_return_to_kernel": "resume", "entry_SYSCALL_64": "entry", "asm_exc_page_fault": "page_fault",
    "__x64_sys_": None,
}
NEEDED = ("idle", "switch", "tick", "resume")
NOT_THE_PROXYS = ("idle", "tick")
# Seconds that one answer may take, and that a proxy may take to listen there.
PATIENCE, LISTENING = 1800, 300
HERE = Path(__file__).resolve().parent
# Of Python's library, what nothing here imports.
SKIPPED = ("site-packages", "dist-packages", "test", "tests", "idlelib", "ensurepip", "tkinter", "lib2to3")
# What programs read that no list of libraries names.
EXTRA = ("/etc/passwd", "/etc/group", "/usr/lib/ssl/openssl.cnf", "/usr/lib/nginx/modules/ngx_stream_module.so")


def missing(kernel):
    """What is not here that this needs; nothing where all is."""
    for program, package in ((QEMU, "qemu-system-x86"), ("cc", "gcc"), ("ldd", "libc-bin")):
        if not shutil.which(program):
            return f"{program} is not installed (Debian: {package})"
    if not os.access(kernel, os.R_OK):
        return f"`{kernel}` cannot be read; expected a kernel, as vmlinuz of Debian's package linux-image-cloud-amd64"
    return None


def measure(kernel, processor, bench, measures):
    """What of `EXTENSIONS` the emulated processor has; and by measure, what each subject cost."""
    folder = bench.folder / "emulator"
    folder.mkdir()
    machine = Machine(kernel, processor, folder)
    [answer] = machine.run({"what": "places", "functions": list(PLACES)})
    machine.know_places(answer["places"])
    machine.slow_down(answer["processor"]["mhz"])
    there = replace(bench, patience=LISTENING)
    programs = [bench.load, *(subject.binary for subject in bench.subjects)]
    [told, *answers] = machine.run({"what": "measure", "bench": there, "measures": measures}, programs)
    machine.check_slowness(told["processor"]["mhz"])
    counts = read_marks(machine.marks)
    results = {measure.id: {} for measure in measures}
    for row in answers:
        if "warning" in row:
            bench.warn(f"emulated: {row['warning']}")
        elif "begun" not in row:
            results[row["measure"]][row["subject"]] = counted(row, counts)
    return [name for name in EXTENSIONS if name in told["processor"]["flags"]], results


def counted(row, counts):
    """A row whose samples have instructions in place of marks."""
    for sample in row.get("samples", []):
        few, many = (less(counts[after], counts[before]) for before, after in sample.pop("marks"))
        more = less(many, few)
        each = {place: count / sample["units"] for place, count in more.items() if place not in NOT_THE_PROXYS}
        sample["places"] = each
        sample["instructions"] = sum(each.values())
        sample["user"] = each.get("user", 0.0)
    return row


def less(counts, others):
    return {place: count - others.get(place, 0) for place, count in counts.items()}


def read_marks(path):
    """What the proxies' core had done at each mark, by place."""
    marks = {}
    for line in path.read_text().splitlines():
        first, second, *count = line.split()
        if first == "mark":
            counts = marks[int(second)] = {}
        elif first == "0":
            # Functions that begin alike are one place.
            counts[second] = counts.get(second, 0) + int(count[0])
    return marks


class Machine:
    """An emulated machine with a kernel; started anew for each task."""

    def __init__(self, kernel, processor, folder):
        self.kernel, self.processor, self.folder = kernel, processor, folder
        self.plugin, self.places, self.marks = folder / "count.so", folder / "places", folder / "marks"
        self.places.write_text("")
        self.options, self.mhz = KERNEL_OPTIONS, None
        if subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", self.plugin, HERE / "count.c"]).returncode:
            raise Failed("cc could not compile count.c")

    def know_places(self, functions):
        lines = []
        for address, function in functions:
            beginning = next(beginning for beginning in PLACES if function.startswith(beginning))
            lines.append(f"{address} {PLACES[beginning] or function.removeprefix(beginning)}\n")
        for name in NEEDED:
            if not any(line.endswith(f" {name}\n") for line in lines):
                function = next(function for function, named in PLACES.items() if named == name)
                raise Failed(f"this kernel has no function {function}, by which its time is divided")
        self.places.write_text("".join(lines))

    def slow_down(self, mhz):
        """From now on the kernel takes the counter, by which it knows the time, for a faster one than it is."""
        self.mhz = mhz * SLOWNESS
        self.options += f" tsc_early_khz={self.mhz * 1000:.0f}"

    def check_slowness(self, mhz):
        if abs(mhz / self.mhz - 1) > 0.01:
            raise Failed(f"this kernel did not let itself be slowed down: expected {self.mhz:.0f} MHz, found {mhz:.0f}")

    def run(self, task, programs=()):
        """What the guest answers. All that it has is in its memory: nothing of this machine is within its reach."""
        answers, console, image = (self.folder / name for name in ("answers", "console", "image"))
        answers.write_text("")
        with image.open("wb") as out:
            write_archive(out, files_of(programs), {"/task": pickle.dumps(task)})
        command = [
            QEMU, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-machine", "q35",
            "-cpu", self.processor, "-accel", "tcg,thread=multi,tb-size=512", "-smp", "2", "-m", "3G",
            "-kernel", self.kernel, "-initrd", image,
            "-append", f"{self.options} rdinit={os.path.realpath(sys.executable)} -- -B {HERE / 'guest.py'}",
            "-serial", f"file:{console}", "-serial", f"file:{answers}",
            "-plugin", f"file={self.plugin},places={self.places},marks={self.marks}",
        ]
        with (self.folder / "errors").open("w+") as errors:
            process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stderr=errors)
            try:
                return follow(process, answers)
            except Failed as error:
                errors.seek(0)
                said = [*errors.read().splitlines(), *console.read_text(errors="replace").splitlines()]
                raise Failed(f"{error}: " + " / ".join(said[-12:])) from None
            finally:
                end(process, 10)
                image.unlink()


def follow(process, answers):
    """All answers, once the last is there."""
    known, since = 0, time.monotonic()
    while time.monotonic() - since < PATIENCE:
        ended = process.poll() is not None
        told = [json.loads(line) for line in answers.read_text().splitlines(keepends=True) if line.endswith("\n")]
        for row in told[known:]:
            since = time.monotonic()
            if "begun" in row:
                progress(f"{row['measure']}: emulated, {row['subject']}")
            if "broken" in row:
                raise Failed(f"in the emulated machine: {row['broken']}")
            if "end" in row:
                progress("")
                return told[:-1]
        known = len(told)
        if ended:
            raise Failed(f"{QEMU} ended with {process.returncode}")
        time.sleep(0.1)
    raise Failed(f"the emulated machine said nothing for {PATIENCE} s")


def files_of(programs):
    """Every file that the guest needs: programs, Python and its library, these scripts, and libraries of all of them."""
    wanted = {str(program) for program in programs} | {os.path.realpath(sys.executable)}
    wanted |= {str(path) for path in HERE.glob("*.py")} | {path for path in EXTRA if os.path.exists(path)}
    for root, folders, files in os.walk(sysconfig.get_paths()["stdlib"]):
        folders[:] = [name for name in folders if name not in SKIPPED and not name.startswith("config-")]
        wanted |= {os.path.join(root, name) for name in files}
    for program in [path for path in wanted if is_binary(path)]:
        told = subprocess.run(["ldd", program], capture_output=True, text=True)
        wanted |= set(re.findall(r"(/\S+) \(0x", told.stdout))
    return sorted(wanted)


def is_binary(path):
    with open(path, "rb") as file:
        return file.read(4) == b"\x7fELF"


def write_archive(out, files, made):
    """What a kernel unpacks as its first file system (cpio, newc), every file where it is here."""
    folders = {str(parent) for name in [*files, *made] for parent in Path(name).parents} | {"/dev"}
    directory, program, last = 0o040755, 0o100755, "/TRAILER!!!"
    for folder in sorted(folders - {"/"}):
        write_entry(out, folder, directory, b"")
    for name in files:
        write_entry(out, name, program, Path(name).read_bytes())
    for name, content in made.items():
        write_entry(out, name, program, content)
    write_entry(out, last, 0, b"")


def write_entry(out, name, mode, content):
    # Its place stands for the number that no two files may have in common.
    number, path = out.tell() // 4, name[1:].encode() + b"\0"
    fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(path), 0)
    head = b"070701" + b"".join(b"%08X" % value for value in fields) + path
    for part in (head, content):
        out.write(part + b"\0" * (-len(part) % 4))
