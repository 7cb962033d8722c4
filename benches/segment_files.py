#!/usr/bin/env python3
"""Compares `cauce segment` with `ffmpeg -c copy -f hls` and `cp` on one large FLV file in memory.

The tools run in turn, so that a disturbance of the machine meets all of them. What is reported is
the median of each tool's runs, as a Markdown table. Everything made is removed in the end.
"""

import argparse
import math
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5, help="runs of each tool [5]")
    parser.add_argument("--megabytes", type=int, default=1000, help="size of the input [1000]")
    parser.add_argument("--dir", default="/dev/shm", help="a tmpfs with room for twice that [/dev/shm]")
    parser.add_argument("--cauce", type=Path, default=ROOT / "target/release/cauce", help="binary to measure")
    return parser.parse_args()


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def make_input(directory: Path, megabytes: int) -> Path:
    """A 720p30 H.264/AAC clip of 10 s and about 4 Mbit/s, repeated without encoding it again."""
    clip, big = directory / "clip.flv", directory / "in.flv"
    ffmpeg = ["ffmpeg", "-v", "error", "-nostdin", "-y"]
    say("making the clip")
    picture = "testsrc2=size=1280x720:rate=30:duration=10,noise=alls=12:allf=t"
    subprocess.run(
        ffmpeg
        + ["-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=44100:duration=10"]
        + ["-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-g", "60", "-keyint_min", "60"]
        + ["-sc_threshold", "0", "-b:v", "4M", "-maxrate", "4M", "-bufsize", "4M"]
        + ["-c:a", "aac", "-b:a", "128k", "-ac", "2", str(clip)],
        check=True,
    )
    repeats = math.ceil(megabytes * 1e6 / clip.stat().st_size)
    say(f"repeating it {repeats} times")
    subprocess.run(
        ffmpeg + ["-stream_loop", str(repeats - 1), "-i", str(clip), "-c", "copy", str(big)],
        check=True,
    )
    clip.unlink()
    return big


def commands(cauce: Path, source: Path, out: Path) -> dict[str, list[str]]:
    ffmpeg = ["ffmpeg", "-v", "error", "-nostdin", "-i", str(source), "-c", "copy", "-f", "hls", "-hls_time", "2"]
    ffmpeg += ["-hls_playlist_type", "vod", "-hls_segment_filename", f"{out}/%d.ts", f"{out}/index.m3u8"]
    return {
        "cauce segment": [str(cauce), "segment", str(source), str(out)],
        "ffmpeg -c copy -f hls": ffmpeg,
        "cp": ["cp", str(source), f"{out}/copy"],
    }


def measure(command: list[str], size: int, out: Path) -> tuple[float, float, float]:
    """Wall and CPU seconds and peak memory in MB of one run, which must succeed and write about `size` bytes."""
    out.mkdir()
    started = time.monotonic()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    wall_s = time.monotonic() - started
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        sys.exit(f"{command[0]} ended with {child.returncode}")
    written = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    if written < 0.9 * size:
        sys.exit(f"{command[0]} wrote only {written} bytes")
    shutil.rmtree(out)
    return wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e6


def report(size: int, results: dict[str, list[tuple[float, float, float]]]) -> None:
    rows = {
        name: (
            size / 1e6 / statistics.median(wall_s for wall_s, _, _ in runs),
            statistics.median(cpu_s for _, cpu_s, _ in runs) / (size / 1e9),
            statistics.median(peak_mb for _, _, peak_mb in runs),
        )
        for name, runs in results.items()
    }
    base_speed, base_cpu, _ = rows["ffmpeg -c copy -f hls"]
    count = len(next(iter(results.values())))
    print(f"{size / 1e6:.0f} MB of FLV in tmpfs, {os.cpu_count()} cores ({platform.machine()}), medians of {count} interleaved runs\n")
    print("| tool | MB/s | x ffmpeg | CPU-s/GB | x ffmpeg | peak memory, MB |")
    print("|---|---|---|---|---|---|")
    for name, (speed, cpu, peak_mb) in rows.items():
        print(f"| {name} | {speed:.0f} | {speed / base_speed:.2f} | {cpu:.2f} | {cpu / base_cpu:.2f} | {peak_mb:.0f} |")


def main() -> None:
    options = arguments()
    if not options.cauce.exists():
        sys.exit(f"{options.cauce} is absent: cargo build --release")
    with tempfile.TemporaryDirectory(prefix="cauce-bench-", dir=options.dir) as name:
        directory = Path(name)
        source = make_input(directory, options.megabytes)
        out = directory / "out"
        size = source.stat().st_size
        results: dict[str, list[tuple[float, float]]] = {}
        for run in range(options.runs):
            say(f"run {run + 1} of {options.runs}")
            for tool, command in commands(options.cauce, source, out).items():
                results.setdefault(tool, []).append(measure(command, size, out))
        report(size, results)


if __name__ == "__main__":
    main()
