"""Playlists and segments over HTTP: cauce beside nginx with the same files, driven by wrk. It does not know
how figures are shown."""

import gzip
import json
import subprocess
import time

from ingest import NO_THUMBNAILS, Load
from servers import Cauce, Nginx

# From the first publish to a full window.
WINDOW_S = 15
COUNT = """
done = function(summary)
    local e = summary.errors
    io.write(string.format('{"requests":%d,"bytes":%d,"us":%d,"errors":%d}\\n', summary.requests, summary.bytes,
        summary.duration, e.connect + e.read + e.write + e.status + e.timeout))
end
"""


def delivery(bench, table):
    if "wrk" not in bench.installed:
        return
    tools, publisher = {}, None
    source = Cauce(bench.cauce, bench.scratch, 1, NO_THUMBNAILS)
    try:
        # It goes on: without it a slate would take the window's place. One stream costs a thousandth of a core.
        publisher = Load(bench, source, bench.clip("720p30"), ["--seconds", 24 * 3600])
        time.sleep(WINDOW_S)
        playlist = source.streams[0][1]
        segment = newest(source, playlist)
        tools["cauce"] = source
        if "nginx" in bench.installed:
            tools["nginx"] = Nginx(bench.scratch, 0, root=mirror(bench, source, playlist, segment))
        size = len(source.get(segment)[1])
        kinds = {
            "playlist": [],
            "playlist, gzip": ["-H", "Accept-Encoding: gzip"],
            # Of a player that has the playlist, whichever that is now.
            "playlist, 304": ["-H", "If-None-Match: *"],
            f"segment of {size // 1000} KB": [],
        }
        for kind, headers in kinds.items():
            for tool, server in bench.turns(tools):
                path = playlist
                if kind.startswith("segment"):
                    # What cauce has listed now: its window has moved on.
                    path = newest(source, playlist) if tool == "cauce" else segment
                once(bench, table, kind, tool, server, path, headers)
        for tool, server in tools.items():
            table.add("delivery", "peak memory, MB", tool, server.peak_mb())
    finally:
        if publisher:
            publisher.process.kill()
            publisher.process.wait()
        for server in [source, *tools.values()]:
            if server.process.poll() is None:
                server.stop()
    for measure in ["requests/s", "requests/s of one core"]:
        table.goal("delivery, playlist", measure, "cauce", "nginx", least=1.2)
    table.goal(f"delivery, segment of {size // 1000} KB", "CPU-s/GB", "cauce", "nginx", most=0.8)


def newest(source, playlist):
    """The path of the last segment listed."""
    lines = source.get(playlist)[1].decode().splitlines()
    return playlist.rsplit("/", 1)[0] + "/" + [line for line in lines if line and not line.startswith("#")][-1]


def mirror(bench, source, *paths):
    """The files as cauce serves them, in a directory for nginx."""
    root = bench.scratch / "mirror"
    for path in paths:
        body = source.get(path)[1]
        write(root, path, body)
        if path.endswith("m3u8"):
            write(root, path + ".gz", gzip.compress(body, mtime=0))
    return root


def write(root, path, body):
    """A file that no reader sees half of."""
    file = root / path.lstrip("/")
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(file.name + ".new")
    new.write_bytes(body)
    new.rename(file)


def once(bench, table, kind, tool, server, path, headers, connections=64):
    script = bench.scratch / "count.lua"
    script.write_text(COUNT)
    # Shorter than a segment stays.
    seconds = min(6, max(2, round(bench.seconds / 4)))
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script), *headers]
    cpu = server.cpu_seconds()
    ran = subprocess.run([*command, f"http://127.0.0.1:{server.http}{path}"], check=True, capture_output=True, text=True)
    cpu = server.cpu_seconds() - cpu
    done = json.loads(ran.stdout.splitlines()[-1])
    # wrk counts a 304 as no error; anything else that is no answer ends the comparison.
    if done["errors"] or not done["requests"]:
        raise RuntimeError(f"{tool}: {done}")
    workload = f"delivery, {kind}"
    per_second = done["requests"] / (done["us"] / 1e6)
    table.add(workload, "requests/s", tool, per_second)
    # With wrk on the same cores, what the server spends says more than how many it answers.
    table.add(workload, "requests/s of one core", tool, done["requests"] / cpu)
    if kind.startswith("segment"):
        table.add(workload, "CPU-s/GB", tool, cpu / (done["bytes"] / 1e9))
    bench.say(f"{workload}: {tool} {per_second:,.0f}/s, {cpu / done['requests'] * 1e6:.1f} us a request")
    time.sleep(0.2)
