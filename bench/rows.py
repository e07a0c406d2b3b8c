"""A section's rows: medians with their range, and ratios of medians."""

import statistics


def row(what, values, unit):
    spread = f"{min(values):.3f} to {max(values):.3f}, n={len(values)}"
    return {"what": what, "value": statistics.median(values), "unit": unit, "note": spread, "values": values}


def ratio(what, ours, base):
    return {"what": what, "value": statistics.median(ours) / statistics.median(base), "unit": "×"}
