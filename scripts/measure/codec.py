"""M9: headers parsed by foreword and by the other crates that do so, in the same process, on the same headers."""

import json
import re
import shutil
import subprocess

from .processes import Failed

ID = "M9"
# Rounds over a group under valgrind: nothing disturbs the count, so a few are enough.
ROUNDS = 20
# Whoever does not do the work of a group is shown and not compared.
LACKS = {
    ("proxy-protocol", "v2 TLVs"): "it reads no TLVs",
    ("proxy-protocol", "v2 SSL"): "it reads no TLVs",
    ("proxy-protocol", "v2 CRC32C"): "it reads no TLVs",
    ("proxy-header", "v2 UNIX"): "it reads no paths",
}


def measure(root, folder):
    """Every group of headers, by foreword and by each of the others."""
    manifest = root / "bench/Cargo.toml"
    build = ["cargo", "build", "--release", "--locked", "--quiet", "--manifest-path", str(manifest)]
    if subprocess.run(build).returncode:
        raise Failed("the build of bench/ failed")
    binary = root / "bench/target/release/foreword-bench"
    rows = run([binary])
    counts = instructions(binary, folder)
    for row in rows:
        for side in ("foreword", "other"):
            row[side]["instructions"] = next(counts) / row["headers"] / ROUNDS if counts and row["headers"] else None
        row["lacks"] = LACKS.get((row["crate"], row["group"]))
        row["compared"] = bool(row["headers"]) and row["lacks"] is None
    return {"id": ID, "work": "a header parsed, group by group", "unit": "header", "goal": 1.0, "parsed": rows}


def run(command):
    """The lines that the program prints."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"{command[0]} ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def instructions(binary, folder):
    """The instructions of each call of `measured`, in order; nothing without valgrind."""
    if not shutil.which("valgrind"):
        return None
    out = folder / "parse"
    rows = run([
        "valgrind", "--tool=callgrind", "--quiet", f"--callgrind-out-file={out}",
        "--zero-before=*::measured", "--dump-after=*::measured", binary, "--rounds", str(ROUNDS),
    ])
    dumps = sorted(folder.glob("parse.*"), key=lambda path: int(path.suffix[1:]))
    counts = []
    for text in (path.read_text() for path in dumps):
        total = re.search(r"^(?:totals|summary): (\d+)", text, re.M)
        if "Trigger: --dump-after" in text and total:
            counts.append(int(total[1]))
    expected = 2 * sum(1 for row in rows if row["headers"])
    if len(counts) != expected:
        raise Failed(f"expected {expected} calls of `measured` in the profile, found {len(counts)}")
    return iter(counts)


def report(result):
    """A table for people."""
    lines = ["", f"{ID}  {result['work']}: foreword, the other, in proportion; least time of many samples",
             f"  {'group':<11} {'beside':<18} {'headers':>7} {'ns':>7} {'ns':>7} {'':>5} {'instr.':>7} {'instr.':>7} {'':>5} allocations"]
    for row in result["parsed"]:
        if not row["headers"]:
            lines.append(f"  {row['group']:<11} {row['crate']:<18} takes none of these headers")
            continue
        ours, theirs = row["foreword"], row["other"]
        cells = []
        for key, digits in (("nanoseconds", 1), ("instructions", 0)):
            if ours[key] and theirs[key]:
                cells.append(f"{ours[key]:>7.{digits}f} {theirs[key]:>7.{digits}f} {ours[key] / theirs[key]:>5.2f}")
            else:
                cells.append(f"{'–':>7} {'–':>7} {'–':>5}")
        note = f"   {row['lacks']}" if row["lacks"] else ""
        lines.append(f"  {row['group']:<11} {row['crate']:<18} {row['headers']:>7} {' '.join(cells)} "
                     f"{ours['allocations']:.2f}, {theirs['allocations']:.2f}{note}")
    return lines + ["", verdict(result["parsed"])]


def verdict(rows):
    """Whether foreword is faster everywhere, and allocates nowhere."""
    compared = [row for row in rows if row["compared"]]
    slower = [
        f"{row['group']} beside {row['crate']} by {what}"
        for row in compared for what in ("instructions", "nanoseconds")
        if row["foreword"][what] and row["foreword"][what] >= row["other"][what]
    ]
    allocates = any(row["foreword"]["allocations"] for row in rows)
    told = f"foreword is not the faster one: {', '.join(slower)}" if slower else "foreword is the faster one everywhere"
    return f"  {told}; it allocates {'somewhere' if allocates else 'nothing'}"
