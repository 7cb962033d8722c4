"""File mode beside ffmpeg and cp, as benches/segment_files.py measures it. It does not know how figures are
shown."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import segment_files

WORKLOAD = "file mode"


def files(bench, table, megabytes=500):
    directory = bench.scratch / "files"
    directory.mkdir()
    source = segment_files.make_input(directory, megabytes)
    size = source.stat().st_size
    for tool, command in bench.turns(segment_files.commands(bench.cauce, source, directory / "out")):
        wall_s, cpu_s, peak_mb = segment_files.measure(command, size, directory / "out")
        table.add(WORKLOAD, "MB/s", tool, size / 1e6 / wall_s)
        table.add(WORKLOAD, "CPU-s/GB", tool, cpu_s / (size / 1e9))
        table.add(WORKLOAD, "peak memory, MB", tool, peak_mb)
        bench.say(f"{WORKLOAD}: {tool} {size / 1e6 / wall_s:.0f} MB/s, {cpu_s / (size / 1e9):.2f} CPU-s/GB")
    source.unlink()
    table.goal(WORKLOAD, "MB/s", "cauce segment", "cp", least=0.85)
    table.goal(WORKLOAD, "CPU-s/GB", "cauce segment", "cp", most=1.3)
