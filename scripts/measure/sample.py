"""One measure, every subject: started, warmed up, and measured in turn."""

import json
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from measure import meter
from measure.measures import units_of
from measure.processes import Failed, await_listener, end, last_words, free_port, read_json_line, started
from measure.subjects import NotItsWork, Setup, Unavailable

PROXY_CORE, LOAD_CORE = 0, 1
# Wall time of one load at most, however little of a core the work takes.
LONGEST = 10.0
# A neighbour may take the core that a sample was timed for: then it is loaded again, so many times in all.
MOST_LOADS = 3
# Connections that come and go before memory is looked at, so that what is made once is there.
WARM_UP = 20


@dataclass
class Bench:
    """What all measures share."""

    load: Path
    subjects: list
    folder: Path
    rounds: int
    cpu_seconds: float
    idle: int
    counters: bool
    # Seconds until a subject has to listen.
    patience: int = 20
    origins: dict = field(default_factory=dict)
    warnings: list = field(default_factory=list)

    def origin_of(self, measure):
        """An origin that reads headers, behind what adds them."""
        return self.origins[measure.role == "tcp"][measure.door]

    def warn(self, text):
        print(f"  ! {text}", file=sys.stderr)
        self.warnings.append(text)

    @contextmanager
    def serving(self):
        """The origins, and a certificate."""
        subprocess.run([self.load, "certificate", "--out", self.folder], check=True, timeout=30)
        with ExitStack() as stack:
            processes = []
            for header in (False, True):
                command = [self.load, "origin"] + (["--header"] if header else [])
                process = stack.enter_context(started(command, LOAD_CORE, stdout=subprocess.PIPE))
                self.origins[header] = read_json_line(process, 10)
                processes.append(process)
            yield
            for process in processes:
                process.stdin.close()
                tally = read_json_line(process, 10)
                # Proxies reset kept connections as they end; a reset of an idle connection is none of these.
                if tally["failures"]:
                    self.warn(f"the origin counted failures: {tally['failures']}, first: {tally['first_failure']}")


@contextmanager
def running(bench, subject, measure, stack_folder, wrapper=()):
    """A subject, set up for a measure and listening; gives its process, its setup."""
    folder = stack_folder / subject.name.replace(" ", "-")
    folder.mkdir(parents=True)
    setup = Setup(measure.role, free_port(), bench.origin_of(measure), folder, bench.folder)
    command, logs_to_stdout = subject.command(subject, setup)
    with open(setup.log if logs_to_stdout else folder / "stdout", "ab") as out:
        patience = 120 if wrapper else bench.patience
        with started([*wrapper, *command], PROXY_CORE, stdout=out, patience=patience, cwd=folder) as process:
            await_listener(process, setup.port, patience, udp=setup.role == "udp")
            yield process, setup


def apply_load(bench, measure, setup, *until, patience=10, connections=None):
    """One run of the load; a run with a failure is no measurement."""
    command = [bench.load, *measure.load, "--target", f"127.0.0.1:{setup.port}", "--timeout", str(patience), *until]
    if setup.secure:
        command += ["--ca", bench.folder / "bench.crt"]
    if connections:
        position = command.index("--connections") + 1
        command[position] = str(min(connections, int(command[position])))
    with started(command, LOAD_CORE, stdout=subprocess.PIPE) as process:
        outcome = read_json_line(process, LONGEST + patience * 6 + 30)
    if outcome["failed"] or not outcome["units"]:
        raise Failed(f"{outcome['failed']} of {outcome['failed'] + outcome['units']} failed: {outcome['first_failure']}")
    check_connections(measure, outcome)
    return outcome


def check_connections(measure, outcome):
    """Kept connections that were closed would make it a measure of something else."""
    if "--header" in measure.load and "--close" not in measure.load:
        asked = int(measure.load[measure.load.index("--connections") + 1])
        if outcome["connections"] > asked:
            raise Failed(f"expected {asked} kept connections, found {outcome['connections']} made")


def measure_work(bench, measure, folder):
    """Samples by subject, A B A B, after a warm-up that also says how long a sample has to be."""
    samples = {}
    with ExitStack() as stack:
        ready = []
        for subject in bench.subjects:
            try:
                process, setup = stack.enter_context(running(bench, subject, measure, folder))
                warm = sample(bench, measure, process, setup, 1.0)
                busy = max(warm["cpu"] / warm["seconds"], 0.01)
                seconds = min(max(1.0, 1.1 * bench.cpu_seconds / busy), LONGEST)
                ready.append((subject, process, setup, seconds, warm["lines"]))
            except (Unavailable, Failed) as error:
                samples[subject.name] = left_out(error)
        lines = {subject.name: warm for subject, _, _, _, warm in ready}
        for turn in range(bench.rounds):
            for subject, process, setup, seconds, _ in ready:
                mine = samples.setdefault(subject.name, {"samples": []})
                if "samples" not in mine:
                    continue
                progress(f"{measure.id}: round {turn + 1} of {bench.rounds}, {subject.name}")
                try:
                    taken = sample(bench, measure, process, setup, seconds, bench.cpu_seconds)
                except Failed as error:
                    samples[subject.name] = {"unavailable": f"no measurement: {error}{last_words(process)}"}
                    continue
                lines[subject.name] += taken["lines"]
                mine["samples"].append(taken)
        for subject, process, setup, _, _ in ready:
            if measure.lines == "connections" and "samples" in samples[subject.name]:
                await_lines(setup, lines[subject.name])
            # Ended first: a log that is written off the hot path is whole then.
            end(process, 20)
            count_lines(bench, measure, subject, setup, lines[subject.name], samples[subject.name])
    progress("")
    return samples


def left_out(error):
    """What stands for a subject that was not measured."""
    return {"unavailable": str(error), "by_nature": isinstance(error, NotItsWork)}


def sample(bench, measure, process, setup, seconds, least_cpu=0.0):
    """Load until enough CPU time was used, and what the subject's processes used meanwhile."""
    pids = meter.family(process.pid)
    busy, steal = meter.core_times(PROXY_CORE)
    before = meter.cost(pids)
    outcomes = []
    with meter.Counters(pids) if bench.counters else nullcontext() as counters:
        while not outcomes or ((meter.cost(pids) - before).cpu < least_cpu and len(outcomes) < MOST_LOADS):
            outcomes.append(apply_load(bench, measure, setup, "--seconds", f"{seconds:.2f}"))
    used = meter.cost(pids) - before
    busy_after, steal_after = meter.core_times(PROXY_CORE)
    units = sum(units_of(measure, outcome) for outcome in outcomes)
    connections = sum(outcome["connections"] for outcome in outcomes)
    took = sum(outcome["seconds"] for outcome in outcomes)
    return {
        "units": units,
        "lines": sum(outcome[measure.lines] for outcome in outcomes),
        "seconds": took,
        "cpu": used.cpu,
        "cpu_per_unit": used.cpu / units,
        # Ticks are coarse: they only say how the exact time divides.
        "user_share": used.user / max(used.user + used.system, 1e-9),
        "counters_per_unit": {event: value / units for event, value in counters.counted.items()} if counters else {},
        "others_on_core": max(busy_after - busy - used.cpu, 0.0) / took,
        "stolen_by_host": (steal_after - steal) / took,
        "connections": connections,
        "tickets_per_connection": sum(outcome["tickets"] for outcome in outcomes) / max(connections, 1),
        "latency": outcomes[-1]["latency"],
    }


def count_lines(bench, measure, subject, setup, units, result):
    """The access log has a line for each unit, or the subject did less than the others."""
    if "samples" not in result:
        return
    lines = lines_of(setup)
    result["log_lines"], result["log_lines_expected"] = lines, units
    if lines != units:
        bench.warn(f"{measure.id}, {subject.name}: expected {units} lines in the access log, found {lines}")


def lines_of(setup):
    try:
        with setup.log.open("rb") as log:
            return sum(piece.count(b"\n") for piece in iter(lambda: log.read(1 << 20), b""))
    except FileNotFoundError:
        return 0


def await_lines(setup, lines, patience=10.0):
    """A flow has its line once nothing has moved for a while. Whether all came, is looked at after."""
    deadline = time.monotonic() + patience
    while lines_of(setup) < lines and time.monotonic() < deadline:
        time.sleep(0.1)


def measure_idle(bench, measure, folder):
    """What a held connection adds to the memory of a subject that has already worked."""
    samples = {}
    for turn in range(bench.rounds):
        for subject in bench.subjects:
            mine = samples.setdefault(subject.name, {"samples": []})
            if "samples" not in mine:
                continue
            progress(f"{measure.id}: round {turn + 1} of {bench.rounds}, {subject.name}")
            try:
                mine["samples"].append(hold(bench, measure, subject, folder / str(turn)))
            except (Unavailable, Failed) as error:
                samples[subject.name] = left_out(error)
    progress("")
    return samples


def hold(bench, measure, subject, folder):
    with running(bench, subject, measure, folder) as (process, setup):
        # Few: what an allocator keeps of them would be missing from what the held ones cost.
        with held(bench, measure, setup, WARM_UP):
            pass
        pids = meter.family(process.pid)
        before = meter.settled_memory(pids)
        with held(bench, measure, setup, bench.idle) as count:
            after = meter.settled_memory(pids)
    return {"units": count, "before": before, "bytes_per_unit": (after - before) / count}


@contextmanager
def held(bench, measure, setup, connections):
    """So many connections, open and idle; that all stayed so is checked at the end."""
    command = [bench.load, *measure.load, "--target", f"127.0.0.1:{setup.port}", "--connections", str(connections)]
    if setup.secure:
        command += ["--ca", bench.folder / "bench.crt"]
    with started(command, LOAD_CORE, stdout=subprocess.PIPE) as process:
        outcome = read_json_line(process, 120)
        if outcome["failed"]:
            raise Failed(f"{outcome['failed']} of {connections} could not be held: {outcome['first_failure']}")
        yield outcome["units"]
        process.stdin.close()
        told = read_json_line(process, 30)
        if told["lost"]:
            raise Failed(f"{told['lost']} of {told['held']} did not stay idle")


def measure_callgrind(bench, measure, folder):
    """User instructions of a unit: two runs under valgrind that differ by a number of units only."""
    samples = {}
    for subject in bench.subjects:
        progress(f"{measure.id}: valgrind, {subject.name}")
        try:
            base = folder / subject.name.replace(" ", "-")
            few, many = (callgrind(bench, measure, subject, base / str(units), units) for units in measure.callgrind)
            instructions = (many[1] - few[1]) / (many[0] - few[0])
            samples[subject.name] = {"user_instructions_per_unit": instructions}
        except (Unavailable, Failed, ValueError) as error:
            samples[subject.name] = left_out(error)
    progress("")
    return samples


def callgrind(bench, measure, subject, folder, units):
    """Units done, and instructions of the whole life of a subject."""
    folder.mkdir(parents=True)
    wrapper = ("valgrind", "--tool=callgrind", "--quiet", f"--callgrind-out-file={folder}/callgrind.out.%p")
    with running(bench, subject, measure, folder, wrapper) as (process, setup):
        outcome = apply_load(bench, measure, setup, "--units", str(units), patience=60, connections=8)
        pids = meter.family(process.pid)
        end(process, 60, subject.farewell)
    silent = [pid for pid in pids if not (folder / f"callgrind.out.{pid}").exists()]
    if silent:
        raise Failed(f"{len(silent)} of {len(pids)} processes ended before valgrind wrote what it had counted")
    return units_of(measure, outcome), meter.callgrind_total(folder)


def measure_marked(bench, measure, subject, mark):
    """Samples between marks, at which somebody else counts: two loads each, which differ by a number of units only."""
    samples, lines = [], 0
    with running(bench, subject, measure, bench.folder / measure.id) as (process, setup):
        def load(units):
            nonlocal lines
            outcome = apply_load(bench, measure, setup, "--units", str(units), patience=bench.patience)
            lines += outcome[measure.lines]
            return units_of(measure, outcome)

        load(measure.callgrind[0])
        for _ in range(bench.rounds):
            marks, units = [], []
            for asked in measure.callgrind:
                # A flow that comes from the port of one that has not ended yet would have no line of its own.
                if measure.lines == "connections":
                    await_lines(setup, lines)
                before = mark()
                units.append(load(asked))
                marks.append((before, mark()))
            samples.append({"marks": marks, "units": units[1] - units[0]})
        if measure.lines == "connections":
            await_lines(setup, lines)
        end(process, bench.patience)
        result = {"samples": samples}
        count_lines(bench, measure, subject, setup, lines, result)
    return result


def progress(text):
    """One line that is written over, where somebody watches."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
    elif text:
        print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)
