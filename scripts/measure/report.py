"""Tables for people. Medians, what they are in proportion to ours, and how far samples lie apart."""

from statistics import median

US = "foreword"


def report_measure(measure, result):
    """Lines for one measure."""
    lines = ["", f"{measure.id}  {measure.work}"]
    if "stepped" in result:
        rows = result["stepped"]
        return lines + [f"  {name:<24} {tell(measure, row, rows.get(US), name)}" for name, row in rows.items()]
    rows = result["callgrind"] if "callgrind" in result and not result.get("subjects") else result["subjects"]
    for name, row in rows.items():
        lines.append(f"  {name:<24} {tell(measure, row, rows.get(US), name)}")
    if result.get("subjects") and "callgrind" in result:
        for name, row in result["callgrind"].items():
            lines.append(f"  {name:<24} {tell(measure, row, result['callgrind'].get(US), name)}")
    return lines


def report_emulated(measure, rows):
    """Lines for one measure whose instructions were all counted."""
    lines = ["", f"{measure.id}  {measure.work}: instructions per {measure.unit}"]
    for name, row in rows.items():
        if "unavailable" in row:
            lines.append(f"  {name:<24} not measured: {row['unavailable']}")
            continue
        summary = row["summary"]
        lines.append(f"  {name:<24} {summary['instructions']:>12,.0f}   user {summary['user']:,.0f}, kernel {summary['kernel']:,.0f}   "
                     f"spread {summary['spread']:.1%}" + ratio(rows.get(US), row, name, "instructions"))
    return lines


def tell(measure, row, ours, name):
    if "unavailable" in row:
        return f"not measured: {row['unavailable']}"
    if "user_instructions_per_unit" in row:
        value = row["user_instructions_per_unit"]
        return f"{value:>12,.0f} user instructions per {measure.unit}" + ratio(ours, row, name, "user_instructions_per_unit")
    summary = row["summary"]
    if measure.idle:
        return f"{summary['bytes']:>9,.0f} bytes per {measure.unit}   spread {summary['spread']:.0%}" + ratio(
            ours, row, name, "bytes"
        )
    parts = [
        f"{summary['cpu_us']:>9.3f} µs CPU per {measure.unit}",
        f"user {summary['user_us']:.3f}, system {summary['system_us']:.3f}",
        f"least {summary['least_us']:.3f}, spread {summary['spread']:.0%}",
    ]
    if summary["counters"]:
        parts += [f"{event} {value:,.0f}" for event, value in summary["counters"].items()]
    if row.get("log_lines") != row.get("log_lines_expected"):
        parts.append(f"{row['log_lines_expected'] - row['log_lines']:,} log lines missing")
    if summary["shortest_cpu"] < 0.5:
        parts.append(f"short: {summary['shortest_cpu']:.1f} s CPU a sample")
    return "   ".join(parts) + ratio(ours, row, name, "cpu_us")


def ratio(ours, row, name, key):
    """Ours to theirs."""
    if name == US or not ours or "unavailable" in ours:
        return ""
    mine = ours.get(key, ours.get("summary", {}).get(key))
    theirs = row.get(key, row.get("summary", {}).get(key))
    text = f"   foreword is {mine / theirs:.2f} of it" if mine and theirs and theirs > 0 else ""
    if key == "cpu_us":
        text += f" ({ours['summary']['least_us'] / row['summary']['least_us']:.2f} of the least)"
    for event, value in (row.get("summary") or {}).get("counters", {}).items():
        own = ours["summary"]["counters"].get(event)
        text += f", {own / value:.2f} of its {event}" if own and value else ""
    return text


def summarise(measure, row):
    """The medians of a subject's samples."""
    samples = row.get("samples")
    if not samples:
        return
    key = "bytes_per_unit" if measure.idle else "cpu_per_unit"
    values = [sample[key] for sample in samples]
    middle = median(values)
    spread = abs((max(values) - min(values)) / middle) if middle else 0.0
    if measure.idle:
        row["summary"] = {"bytes": middle, "spread": spread}
        return
    user = median(sample["user_share"] for sample in samples)
    events = samples[0]["counters_per_unit"]
    row["summary"] = {
        "cpu_us": middle * 1e6,
        "user_us": middle * user * 1e6,
        "system_us": middle * (1 - user) * 1e6,
        # Neighbours only ever make work dearer: where samples lie far apart, the least says more than the median.
        "least_us": min(values) * 1e6,
        "spread": spread,
        "shortest_cpu": min(sample["cpu"] for sample in samples),
        "tickets_per_connection": median(sample["tickets_per_connection"] for sample in samples),
        "others_on_core": max(sample["others_on_core"] for sample in samples),
        "stolen_by_host": max(sample["stolen_by_host"] for sample in samples),
        "counters": {
            event: median(sample["counters_per_unit"].get(event, 0) for sample in samples) for event in events
        },
    }


def summarise_emulated(row):
    """The medians of a subject's counts."""
    samples = row.get("samples")
    if not samples:
        return
    all_of_it, user = ([sample[key] for sample in samples] for key in ("instructions", "user"))
    row["summary"] = {
        "instructions": median(all_of_it), "user": median(user), "kernel": median(all_of_it) - median(user),
        "spread": (max(all_of_it) - min(all_of_it)) / median(all_of_it),
    }


def summarise_stepped(row):
    """The median of a subject's samples, under the name that valgrind's count has: it is of the same."""
    if row.get("samples"):
        row["user_instructions_per_unit"] = median(sample["instructions"] for sample in row["samples"])


def disturbance(results):
    """How much of the proxy's core others took, at worst: what to know before believing a spread."""
    rows = [row["summary"] for result in results for row in result.get("subjects", {}).values() if "summary" in row]
    rows = [row for row in rows if "others_on_core" in row]
    if not rows:
        return ""
    others, stolen = max(row["others_on_core"] for row in rows), max(row["stolen_by_host"] for row in rows)
    return f"Others used up to {others:.0%} of the proxies' core during a sample, the host took up to {stolen:.0%}."
