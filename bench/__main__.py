"""`make bench`: measure this checkout on this machine. Every section compares with a baseline in the same run.

python -m bench [SECTION…] [--json FILE]
"""

import argparse
import json
import os
import platform
from pathlib import Path

from bench import history, ledger, prompts, sandbox

SECTIONS = {
    "ledger": ledger.measure,
    "history": history.measure,
    "sandbox": sandbox.measure,
    "prompts": prompts.measure,
}


def main():
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("sections", nargs="*", help=f"of {', '.join(SECTIONS)}; all if none is named")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    asked = parser.parse_args()
    if unknown := set(asked.sections) - set(SECTIONS):
        parser.error(f"unknown section {', '.join(sorted(unknown))}; known are: {', '.join(SECTIONS)}")
    found = {"machine": machine()}
    print("  ".join(f"{name} {value}" for name, value in found["machine"].items()))
    for name in asked.sections or SECTIONS:
        rows = SECTIONS[name]()
        found[name] = rows
        print(f"\n{name}")
        for row in rows:
            print(f"  {row['what']:<44} {row['value']:>9.3f} {row['unit']:<6} {row.get('note', '')}")
    found["machine"]["load_after"] = round(os.getloadavg()[0], 1)
    print(f"\nload {found['machine']['load']} before, {found['machine']['load_after']} after")
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=2) + "\n")


def machine():
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20
    return {
        "cpus": os.cpu_count(),
        "memory_mb": memory,
        "kernel": platform.release(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 1),
    }


if __name__ == "__main__":
    main()
