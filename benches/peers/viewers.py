"""Many viewers of one live stream: the playlist each second, with its tag and gzip, and a segment each two.
cauce is the origin, nginx serves the same files as soon as cauce lists them. It does not know how figures are
shown."""

import gzip
import threading
import time

from delivery import write
from ingest import NO_THUMBNAILS, Load
from servers import Cauce, Nginx

CLIP = "360p30"
# The window is full.
WINDOW_S = 13
# Of viewers, before anything is counted: each is connected and has a playlist and a segment.
WARM_UP_S = 5
MIRROR_EVERY_S = 0.2
# All viewers have one address here.
SETTINGS = NO_THUMBNAILS | {"CAUCE_LIMITS__SOCKETS_PER_ADDRESS": "20000"}


class Mirror:
    """Copies what cauce lists to where nginx finds it, while nginx is asked."""

    def __init__(self, source, root):
        self.source, self.root = source, root
        self.playlist = source.streams[0][1]
        self.last, self.has_stopped = b"", threading.Event()
        self.copy()

    def __enter__(self):
        self.has_stopped.clear()
        self.copy()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def __exit__(self, *_):
        self.has_stopped.set()
        self.thread.join()

    def run(self):
        while not self.has_stopped.wait(MIRROR_EVERY_S):
            self.copy()

    def copy(self):
        """Segments before the playlist that lists them."""
        text = self.source.get(self.playlist)[1]
        if text == self.last:
            return
        folder = self.playlist.rsplit("/", 1)[0]
        for line in text.decode().splitlines():
            if line and not line.startswith("#"):
                path = f"{folder}/{line}"
                if not (self.root / path.lstrip("/")).exists():
                    write(self.root, path, self.source.get(path)[1])
        write(self.root, self.playlist + ".gz", gzip.compress(text, mtime=0))
        write(self.root, self.playlist, text)
        self.last = text


def viewers(bench, table, counts):
    source = Cauce(bench.cauce, bench.scratch, 1, SETTINGS)
    tools, publisher = {"cauce": source}, None
    try:
        # Until everything is measured; it is ended then.
        publisher = Load(bench, source, bench.clip(CLIP), ["--seconds", 24 * 3600])
        time.sleep(WINDOW_S)
        mirror = Mirror(source, bench.scratch / "mirror")
        if "nginx" in bench.installed:
            tools["nginx"] = Nginx(bench.scratch, 0, root=mirror.root)
        for count in counts:
            for tool, server in bench.turns(tools):
                if tool == "nginx":
                    with mirror:
                        once(bench, table, tool, server, mirror.playlist, count)
                else:
                    once(bench, table, tool, server, mirror.playlist, count)
    finally:
        if publisher:
            publisher.process.kill()
            publisher.process.wait()
        for server in tools.values():
            server.stop()
    table.growth("{} viewers of " + CLIP, "CPU-s a viewer-minute", counts[0], counts[-1])


def once(bench, table, tool, server, playlist, count):
    workload = f"{count} viewers of {CLIP}"
    # What it does without viewers is not theirs.
    alone = spent(server, bench.seconds / 2)
    server.streams = [("-", playlist)]
    load = Load(bench, server, bench.clip(CLIP), ["--viewers", count, "--seconds", WARM_UP_S + bench.seconds + 1])
    time.sleep(WARM_UP_S)
    cpu = (spent(server, bench.seconds) - alone) / (count / 60)
    seen = load.end()
    table.add(workload, "CPU-s a viewer-minute", tool, cpu)
    table.add(workload, "playlist, p99 ms", tool, seen["took_ms_p99"])
    table.add(workload, "share of 304", tool, seen["unchanged"] / seen["playlists"])
    table.add(workload, "peak memory, MB", tool, server.peak_mb())
    bench.say(
        f"{workload}: {tool} {cpu:.5f} CPU-s a viewer-minute, p99 {seen['took_ms_p99']:.1f} ms, "
        f"{seen['playlists']} playlists, {seen['unchanged']} of them 304, {seen['segments']} segments"
    )


def spent(server, seconds):
    """CPU seconds a second."""
    cpu, begin = server.cpu_seconds(), time.monotonic()
    time.sleep(seconds)
    return (server.cpu_seconds() - cpu) / (time.monotonic() - begin)
