"""Instructions of the hot functions against what they took when that was last looked at. A machine's noise
does not change them; it does not know how long anything takes."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

EXPECTED = Path(__file__).with_name("instructions.json")
TOLERANCE = 0.03
# What is counted, and how often it is done in the shorter and in the longer run.
WORK = {"mux": (2, 6), "chunks": (10, 30), "playlist": (20, 60)}


def instructions(program, work, times):
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", str(program), work, str(times)]
    ran = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(re.search(r"Collected : (\d+)", ran.stderr)[1])


def guard(table, program, accept):
    """Adds each count as a ratio to the expected one; the faults. With `accept` the counts become what is
    expected."""
    if not shutil.which("valgrind"):
        table.absent("instructions are not counted: valgrind could not be installed")
        return []
    expected, counted, faults = json.loads(EXPECTED.read_text()) if EXPECTED.exists() else {}, {}, []
    for work, (few, many) in WORK.items():
        each = (instructions(program, work, many) - instructions(program, work, few)) / (many - few)
        counted[work] = round(each)
        table.add("instructions", "thousands for one time", work, each / 1000)
        before = expected.get(work)
        print(f"instructions: {work} {each:,.0f}, expected {before or 0:,}", file=sys.stderr)
        if not accept and (before is None or abs(each / before - 1) > TOLERANCE):
            faults.append(f"{work} takes {each:,.0f} instructions, expected {before}, tolerance {TOLERANCE:.0%}")
    if accept:
        EXPECTED.write_text(json.dumps(counted, indent=2) + "\n")
    return faults
