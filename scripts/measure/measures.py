"""What is measured. A measure is an entry here and nothing else."""

from dataclasses import dataclass

KB = 1024
STREAM = 64 * KB * KB


@dataclass(frozen=True)
class Measure:
    """One kind of work, done the same way through every subject."""

    id: str
    work: str
    # What one of it is called, and what of the load's answer counts them: "units", or "kilobytes" of what was carried.
    unit: str
    counts: str
    # How the subject is set up: "tcp" adds a header towards the origin, "http" reads one and asks a rule, "https" and "h2" do
    # the same under TLS, the latter in HTTP/2; "udp" carries datagrams, each with a header towards the origin.
    role: str
    # Which door of the origin stands behind it.
    door: str
    # The command of foreword-load and its arguments. `hold` makes it a measure of memory, all others of work.
    load: tuple
    # Units for two runs under callgrind; what lies between them is free of start-up.
    callgrind: tuple = ()
    # What foreword promises: a ratio to HAProxy 3.4, or bytes for a measure of memory.
    goal: float = 0.0
    # What of the load's answer counts the lines that the access log ought to have: "units", or "connections".
    lines: str = "units"
    # Units for two runs that are stepped, one instruction after another.
    stepped: tuple = ()

    @property
    def idle(self):
        return self.load[0] == "hold"


MEASURES = [
    Measure(
        "M1", "TCP mode, adds v2, one short connection", "connection", "units", "tcp", "http",
        ("requests", "--close", "--connections", "16"), (200, 1200), 0.85,
    ),
    Measure(
        "M2-down", "TCP bulk, from the origin", "KB", "kilobytes", "tcp", "source",
        ("streams", "--way", "down", "--bytes", str(STREAM), "--connections", "4"), (2, 6), 0.55,
    ),
    Measure(
        "M2-up", "TCP bulk, to the origin", "KB", "kilobytes", "tcp", "sink",
        ("streams", "--way", "up", "--bytes", str(STREAM), "--connections", "4"), (2, 6), 0.55,
    ),
    Measure(
        "M3", "an idle TCP tunnel", "tunnel", "units", "tcp", "http",
        ("hold",), goal=2048,
    ),
    Measure(
        "M4", "HTTP/1.1 keep-alive request, header on the connection, one rule", "request", "units", "http", "http",
        ("requests", "--header", "v2", "--connections", "50"), (500, 3500), 0.55, stepped=(5, 25),
    ),
    Measure(
        "M5", "the same under TLS 1.3", "request", "units", "https", "http",
        ("requests", "--header", "v2", "--connections", "50"), (500, 3500), 0.50, stepped=(5, 25),
    ),
    Measure(
        "M6", "full TLS 1.3 handshake, header, one request", "connection", "units", "https", "http",
        ("requests", "--close", "--header", "v2", "--connections", "16"), (50, 250), 0.36, stepped=(1, 3),
    ),
    Measure(
        "M7", "1 MB answers under TLS 1.3", "KB", "kilobytes", "https", "http",
        ("requests", "--header", "v2", "--connections", "8", "--path", f"/bytes/{KB * KB}", "--len", str(KB * KB)),
        (16, 144), 0.60, stepped=(1, 2),
    ),
    Measure(
        "M8", "HTTP/2 request under TLS 1.3, 100 at once on each of 4 connections", "request", "units", "h2", "http",
        ("requests", "--http2", "100", "--header", "v2", "--connections", "4"), (1000, 5000), 0.72,
    ),
    Measure(
        "UDP", "UDP mode, adds v2 to each datagram, 128 bytes there and back, 32 flows", "exchange", "units", "udp", "datagrams",
        ("datagrams", "--connections", "32", "--at-once", "4"), (500, 3500), lines="connections",
    ),
    Measure(
        "M10-plain", "an idle HTTP keep-alive connection", "connection", "units", "http", "http",
        ("hold", "--header", "v2"), goal=2048,
    ),
    Measure(
        "M10-tls", "an idle HTTP keep-alive connection under TLS 1.3", "connection", "units", "https", "http",
        ("hold", "--header", "v2"), goal=10_000,
    ),
]


def units_of(measure, outcome):
    """How many units a load's answer amounts to."""
    return outcome["units"] if measure.counts == "units" else outcome["bytes"] / KB
