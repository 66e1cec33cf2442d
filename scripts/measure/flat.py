"""Whether a request costs the same however much there is to choose from: user instructions with little and with much."""

import json
import subprocess
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace

from measure import meter
from measure.processes import Failed, await_listener, end, free_port, read_json_line, started
from measure.sample import LOAD_CORE, PROXY_CORE, progress
from measure.subjects import Setup, Unavailable

ID = "FLAT"
# With much a request may cost so many times what it costs with little.
GOAL = 1.2
UNITS = 2000
# Connections that ask, whatever else there is.
ASKING = 8
# Connections towards one address: below the ports that a kernel hands out for it.
PER_ADDRESS = 25_000
# Descriptors for what is no held connection: those upstream, logs, pipes, and what foreword keeps back for itself.
SPARE_DESCRIPTORS = 4000


@dataclass(frozen=True)
class Amounts:
    """How much there is of everything."""

    addresses: int = 10
    hosts: int = 1
    paths: int = 1
    endpoints: int = 1
    held: int = 100


LITTLE = Amounts()
MUCH = [
    ("addresses in a list", "addresses", 10_000),
    ("hosts, with a rule each", "hosts", 1000),
    ("paths, with a rule each", "paths", 1000),
    ("endpoints of a cluster", "endpoints", 1000),
    ("connections, nearly all idle", "held", 50_000),
]


def measure(bench, binary, descriptors):
    """Instructions with little, and with much of each; one thing at a time."""
    result = {"id": ID, "work": "a request, however much there is to choose from", "goal": GOAL, "rows": []}
    most = max(amount for _, field, amount in MUCH if field == "endpoints")
    command = [bench.load, "origin", "--copies", str(most)]
    with started(command, LOAD_CORE, stdout=subprocess.PIPE) as origin:
        address = read_json_line(origin, 10)["http"]
        little = instructions(bench, binary, address, LITTLE)
        result["little"] = little
        for what, field, amount in MUCH:
            if field == "held":
                amount = min(amount, descriptors - SPARE_DESCRIPTORS)
            row = {"what": what, "little": getattr(LITTLE, field), "much": amount}
            try:
                row["instructions"] = instructions(bench, binary, address, replace(LITTLE, **{field: amount}))
                row["ratio"] = row["instructions"] / little
            except (Unavailable, Failed, ValueError) as error:
                row["unavailable"] = str(error)
            result["rows"].append(row)
    progress("")
    return result


def report(result):
    lines = ["", f"{ID}  {result['work']}: {result['little']:,.0f} user instructions with little"]
    for row in result["rows"]:
        what = f"{row['what']}: {row['much']:,} for {row['little']:,}"
        if "unavailable" in row:
            lines.append(f"  {what:<48} not measured: {row['unavailable']}")
        else:
            lines.append(f"  {what:<48} {row['instructions']:>9,.0f}   {row['ratio']:.2f} times that, at most {GOAL}")
    return lines


def troubles(result):
    """What is not as promised."""
    for row in result["rows"]:
        if "unavailable" in row:
            yield f"{ID}: {row['what']}: not measured"
        elif row["ratio"] > GOAL:
            yield f"{ID}: {row['what']}: {row['ratio']:.2f} times the cost, expected at most {GOAL}"


def instructions(bench, binary, origin, amounts):
    """User instructions of a request. They are counted while requests are made, and at no other time."""
    progress(f"{ID}: {amounts}")
    folder = bench.folder / ID / "-".join(map(str, vars(amounts).values()))
    folder.mkdir(parents=True)
    setup = Setup("http", free_port(), origin, folder, bench.folder)
    command = [
        "valgrind", "--tool=callgrind", "--quiet", "--instr-atstart=no",
        f"--callgrind-out-file={folder}/callgrind.out.%p",
        binary, "run", "-c", setup.write("foreword.toml", written(setup, amounts)),
    ]
    with started(command, PROXY_CORE, patience=120, cwd=folder) as process, ExitStack() as stack:
        await_listener(process, setup.port, 120)
        for address, connections in held_at(setup, amounts.held):
            hold(bench, stack, address, connections)
        # Until every endpoint has a connection that is kept.
        ask(bench, setup, amounts, max(500, 4 * amounts.endpoints))
        have_counted(process, "on")
        ask(bench, setup, amounts, UNITS)
        have_counted(process, "off")
        stack.close()
        end(process, 120)
    return meter.callgrind_total(folder) / UNITS


def held_at(setup, held):
    """Where how many are held: the addresses of this machine that the listener has."""
    for number, begun in enumerate(range(0, held, PER_ADDRESS)):
        yield f"127.0.0.{number + 1}:{setup.port}", min(PER_ADDRESS, held - begun)


def hold(bench, stack, address, connections):
    command = [bench.load, "hold", "--header", "v2", "--target", address, "--connections", str(connections)]
    process = stack.enter_context(started([*command, "--timeout", "60"], LOAD_CORE, stdout=subprocess.PIPE))
    outcome = read_json_line(process, 300)
    if outcome["failed"]:
        raise Failed(f"{outcome['failed']} of {connections} could not be held: {outcome['first_failure']}")


def ask(bench, setup, amounts, units):
    """Requests for the last host and the last path, so that nothing is found early."""
    command = [
        bench.load, "requests", "--header", "v2", "--connections", str(ASKING), "--units", str(units), "--timeout", "60",
        "--target", f"127.0.0.1:{setup.port}", "--name", host(amounts.hosts - 1), "--path", f"{path(amounts.paths - 1)}/x",
    ]
    with started(command, LOAD_CORE, stdout=subprocess.PIPE) as process:
        outcome = read_json_line(process, 300)
    if outcome["failed"]:
        raise Failed(f"{outcome['failed']} of {units} failed: {outcome['first_failure']}")


def have_counted(process, switch):
    """Has valgrind begin or end to count."""
    told = subprocess.run(
        ["callgrind_control", "-i", switch, str(process.pid)], capture_output=True, text=True, timeout=120
    )
    if told.returncode or "Error" in told.stdout + told.stderr:
        raise Failed(f"callgrind_control: {(told.stdout + told.stderr).strip()}")


def written(setup, amounts):
    """The file: rules that hold for nobody here, and then the ones that do."""
    networks = [f"10.{n >> 8 & 255}.{n & 255}.0/28" for n in range(amounts.addresses)]
    first, port = setup.origin.rsplit(":", 1)
    prefix = first.rsplit(".", 2)[0]
    endpoints = [f"{prefix}.{n + 1 >> 8}.{n + 1 & 255}:{port}" for n in range(amounts.endpoints)]
    rules = [("client.ip in @networks", "{ deny = 403 }")]
    rules += [(f'host == "{host(n)}" && method == "PUT"', "{ deny = 405 }") for n in range(amounts.hosts)]
    rules += [(f'path.under("{path(n)}") && method == "PUT"', "{ deny = 405 }") for n in range(amounts.paths)]
    rules.append((f'host == "{host(amounts.hosts - 1)}"', '{ forward = "origin" }'))
    told = "".join(f"[[listener.web.rule]]\nwhen = '{when}'\nthen = {then}\n" for when, then in rules)
    return f"""
workers = 1
[log.access]
to = "file:{setup.log}"
[trust.loopback]
from = ["127.0.0.0/8"]
header = "require"
[list]
networks = {json.dumps(networks)}
[listener.web]
bind = ["127.0.0.1:{setup.port}", "127.0.0.2:{setup.port}"]
mode = "http"
trust = ["loopback"]
timeout = {{ idle = "10m" }}
{told}
[[listener.web.rule]]
then = {{ forward = "origin" }}
[cluster.origin]
endpoints = {json.dumps(endpoints)}
timeout = {{ idle = "10m" }}
"""


def host(number):
    return f"h{number}.example.com"


def path(number):
    return f"/p{number}"
