"""Workloads that publish: in real time, flat out, and from a key frame to its segment in the playlist. It
does not know how figures are shown."""

import json
import statistics
import subprocess
import sys
import time

from servers import Cauce, Nginx

# Before anything is counted: connections, first segments, first thumbnails. These are made one by one, of each
# stream.
WARM_UP_S = 6
WARM_UP_EACH_S = 0.05
BUDGET = {"CAUCE_LIMITS__MEMORY_BUDGET": "64MiB"}
# The picture of a stream costs a decoded key frame each time; nginx-rtmp makes none.
NO_THUMBNAILS = BUDGET | {"CAUCE_THUMBNAIL__INTERVAL": "1h"}
CLIPS = {
    "720p30": ("1280x720", "2850k", "128k"),
    "360p30": ("640x360", "830k", "64k"),
}


def make_clip(directory, name):
    """10 s of H.264 and AAC at a constant rate with a key frame each 2 s."""
    size, video, audio = CLIPS[name]
    path = directory / f"{name}.flv"
    picture = f"testsrc2=size={size}:rate=30:duration=10,noise=alls=20:allf=t"
    command = ["ffmpeg", "-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i", picture]
    command += ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=44100:duration=10"]
    command += ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p"]
    command += ["-g", "60", "-keyint_min", "60", "-sc_threshold", "0", "-b:v", video, "-maxrate", video]
    command += ["-bufsize", video, "-c:a", "aac", "-b:a", audio, "-ac", "2", str(path)]
    subprocess.run(command, check=True)
    rate = path.stat().st_size * 8 / 10e6
    print(f"{path.name}: {rate:.2f} Mb/s", file=sys.stderr)
    return path


class Load:
    """The load program, publishing to a server since it printed `started`."""

    def __init__(self, bench, server, clip, arguments):
        streams = bench.scratch / "streams"
        streams.write_text("".join(f"{key} {playlist}\n" for key, playlist in server.streams))
        command = [bench.load, "--rtmp", f"127.0.0.1:{server.rtmp}", "--http", f"127.0.0.1:{server.http}"]
        command += ["--clip", clip, "--streams", streams, *arguments]
        self.process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline() != "started\n":
            raise RuntimeError(f"{server.name}: the load did not start")

    def end(self):
        line = self.process.stdout.readline()
        if self.process.wait() != 0 or not line:
            raise RuntimeError("the load failed")
        return json.loads(line)


# What else cauce is measured with, to show what it costs.
VARIANTS = {
    "cauce, thumbnails": BUDGET,
    "cauce, receive_mark 1": NO_THUMBNAILS | {"CAUCE_RTMP__RECEIVE_MARK": "1"},
}


def servers(bench, count, with_variants=False):
    """The tools of one workload, each as a function that starts it."""
    tools = {}
    if bench.nginx_rtmp:
        tools["nginx-rtmp"] = lambda: Nginx(bench.scratch, count)
    for name, settings in ({"cauce": NO_THUMBNAILS} | (VARIANTS if with_variants else {})).items():
        tools[name] = lambda settings=settings: Cauce(bench.cauce, bench.scratch, count, settings)
    return tools


def realtime(bench, table, count, clip, with_variants=False):
    """CPU seconds of each server for a minute of one stream, and its peak memory."""
    workload = f"realtime, {count} x {clip}"
    warm_up_s = WARM_UP_S + WARM_UP_EACH_S * count
    for tool, start in bench.turns(servers(bench, count, with_variants)):
        server = start()
        try:
            load = Load(bench, server, bench.clip(clip), ["--seconds", warm_up_s + bench.seconds + 1])
            time.sleep(warm_up_s)
            cpu, begin = server.cpu_seconds(), time.monotonic()
            time.sleep(bench.seconds)
            cpu, took = server.cpu_seconds() - cpu, time.monotonic() - begin
            peak = server.peak_mb()
            short = [path for _, path in server.streams if server.listed(path) < 3]
            sent = load.end()
        finally:
            server.stop()
        if short:
            raise RuntimeError(f"{tool}: {len(short)} of {count} streams list no 3 segments")
        table.add(workload, "CPU-s a stream-minute", tool, cpu / (count * took / 60))
        table.add(workload, "peak memory, MB", tool, peak)
        bench.say(f"{workload}: {tool} {cpu / (count * took / 60):.4f}, {peak:.0f} MB, sent late by {sent['late_ms_p99']:.1f} ms (p99)")


def latency(bench, table, count, clip, watched=8):
    """From a key frame's due time to the playlist that lists the segment which it ends."""
    workload = f"latency, {count} x {clip}"
    for tool, start in bench.turns(servers(bench, count)):
        server = start()
        try:
            arguments = ["--seconds", WARM_UP_S + bench.seconds, "--watch", min(watched, count)]
            listed = Load(bench, server, bench.clip(clip), arguments).end()["listed_ms"]
        finally:
            server.stop()
        table.add(workload, "key frame due to listed, median ms", tool, statistics.median(listed))
        table.add(workload, "key frame due to listed, p99 ms", tool, statistics.quantiles(listed, n=100)[98])
        bench.say(f"{workload}: {tool} median {statistics.median(listed):.1f} ms, longest {max(listed):.1f} ms of {len(listed)}")


def first(bench, table, count, clip):
    """From a publisher's first byte until its first segment is listed: mostly the first GOP itself."""
    workload = f"first byte to playable, {count} x {clip}"
    for tool, start in bench.turns(servers(bench, count)):
        server = start()
        try:
            cpu = server.cpu_seconds()
            listed = Load(bench, server, bench.clip(clip), ["--first"]).end()["listed_ms"]
            cpu = server.cpu_seconds() - cpu
            peak = server.peak_mb()
        finally:
            server.stop()
        table.add(workload, "median ms", tool, statistics.median(listed))
        table.add(workload, "longest ms", tool, max(listed))
        table.add(workload, "CPU-s of all", tool, cpu)
        table.add(workload, "peak memory, MB", tool, peak)
        bench.say(f"{workload}: {tool} median {statistics.median(listed):.0f} ms, longest {max(listed):.0f} ms")


def growth(bench, table, counts, clip):
    """What a stream costs as streams become more; of the last to the one in the middle of them."""
    for count in counts:
        realtime(bench, table, count, clip)
    few, many = counts[1], counts[-1]
    table.growth(f"realtime, {{}} x {clip}", "CPU-s a stream-minute", few, many)


def flat_out(bench, table, count, clip, megabytes):
    """MB/s and CPU seconds a GB when publishers send as fast as they are read."""
    workload = f"flat out, {count} x {clip}"
    for tool, start in bench.turns(servers(bench, count)):
        server = start()
        try:
            cpu = server.cpu_seconds()
            sent = Load(bench, server, bench.clip(clip), ["--flat-out", megabytes * 10**6 // count]).end()
            cpu = server.cpu_seconds() - cpu
            peak = server.peak_mb()
        finally:
            server.stop()
        table.add(workload, "MB/s", tool, sent["bytes"] / 1e6 / sent["seconds"])
        table.add(workload, "CPU-s/GB", tool, cpu / (sent["bytes"] / 1e9))
        table.add(workload, "peak memory, MB", tool, peak)
        bench.say(f"{workload}: {tool} {sent['bytes'] / 1e6 / sent['seconds']:.0f} MB/s, {cpu / (sent['bytes'] / 1e9):.2f} CPU-s/GB")
