#!/usr/bin/env python3
"""Measures the REST API of a release build: reads with many streams in the database, durable writes,
and what logins cost the others. Prints a table; needs nothing beyond Python.

    cargo build --release && benches/rest.py [--streams 10000] [--seconds 5] [BINARY]

Reads are counted against the server's own processor time, so that a slow client does not hide what
the server can do: requests a second of one core that does nothing else.
"""

import argparse
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import tempfile
import threading
import time
from pathlib import Path

PASSWORD = "correct-horse-battery-7"
COMING = json.dumps({"title": "bench", "program_date_time": "2099-01-01T00:00:00Z"})


class Client:
    """A connection that is kept open."""

    def __init__(self, address, token=""):
        self.socket = socket.create_connection(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reader = self.socket.makefile("rb")
        self.token = token

    def request(self, method, path, body=""):
        auth = f"Authorization: Bearer {self.token}\r\n" if self.token else ""
        kind = "Content-Type: application/json\r\n" if body else ""
        head = f"{method} {path} HTTP/1.1\r\nHost: b\r\n{auth}{kind}Content-Length: {len(body)}\r\n\r\n"
        return (head + body).encode()

    def answer(self):
        status = int(self.reader.readline().split()[1])
        length = 0
        while (line := self.reader.readline()) != b"\r\n":
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        return status, self.reader.read(length)

    def call(self, method, path, body=""):
        self.socket.sendall(self.request(method, path, body))
        return self.answer()


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def in_threads(count, work):
    threads = [threading.Thread(target=work, args=(n,)) for n in range(count)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.monotonic() - began


def create(address, token, total, connections=64, depth=16):
    """POST /streams/, `depth` requests ahead on each connection; streams a second."""
    uids, faults = [], []

    def work(_):
        client = Client(address, token)
        one = client.request("POST", "/streams/", COMING)
        left = total // connections
        while left > 0:
            batch = min(depth, left)
            client.socket.sendall(one * batch)
            for _ in range(batch):
                status, body = client.answer()
                (uids if status == 201 else faults).append(body)
            left -= batch

    took = in_threads(connections, work)
    assert not faults, faults[0]
    return [json.loads(body)["uid"] for body in uids], len(uids) / took


def reads(address, pid, uids, seconds, depth=64):
    """GET /streams/{uid}/; requests a second of server processor time."""
    client, count = Client(address), 0
    batch = b"".join(client.request("GET", f"/streams/{uid}/") for uid in uids[:depth])
    began, until = cpu_seconds(pid), time.monotonic() + seconds
    while time.monotonic() < until:
        client.socket.sendall(batch)
        for _ in range(depth):
            assert client.answer()[0] == 200
        count += depth
    return count / max(cpu_seconds(pid) - began, 0.01)


def p99_ms(address, seconds):
    """p99 of GET /streams/, one request after the other."""
    client, times = Client(address), []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        began = time.perf_counter()
        assert client.call("GET", "/streams/")[0] == 200
        times.append((time.perf_counter() - began) * 1000)
    return statistics.quantiles(times, n=100)[98]


def under_logins(address, seconds, parallel=20):
    """The same p99 while `parallel` clients log in all the time; and logins a second."""
    body = json.dumps({"username": "bench", "password": PASSWORD})
    done, stop = [], threading.Event()

    def work(_):
        client = Client(address)
        while not stop.is_set():
            done.append(client.call("POST", "/token/", body)[0])

    threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(parallel)]
    for thread in threads:
        thread.start()
    p99 = p99_ms(address, seconds)
    stop.set()
    for thread in threads:
        thread.join()
    assert set(done) == {200}, set(done)
    return p99, len(done) / seconds


def main():
    options = argparse.ArgumentParser()
    options.add_argument("binary", nargs="?", default="target/release/cauce")
    options.add_argument("--streams", type=int, default=10_000)
    options.add_argument("--seconds", type=float, default=5)
    options = options.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        settings = {
            "CAUCE_DATA_DIR": scratch,
            "CAUCE_HTTP__LISTEN": "127.0.0.1:0",
            "CAUCE_RTMP__LISTEN": "127.0.0.1:0",
            "CAUCE_LOG__LEVEL": "warn",
        }
        server = subprocess.Popen(
            [Path(options.binary).resolve(), "serve"], env=settings, cwd=scratch, stdout=subprocess.PIPE
        )
        try:
            host, port = re.match(rb"ready http=(.+):(\d+) ", server.stdout.readline()).groups()
            address = (host.decode(), int(port))
            first = Client(address)
            person = {"username": "bench", "email": "bench@example.org", "password": PASSWORD}
            assert first.call("POST", "/token/?create=true", json.dumps(person))[0] == 200
            login = json.dumps({"username": "bench", "password": PASSWORD})
            token = json.loads(first.call("POST", "/token/", login)[1])["data"]["token"]
            uids, writes = create(address, token, options.streams)
            per_core = reads(address, server.pid, uids, options.seconds)
            idle = p99_ms(address, options.seconds)
            busy, logins = under_logins(address, options.seconds)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(20)
    print("| what | figure | goal |\n|---|---|---|")
    print(f"| POST /streams/, durable, 64 connections | {writes:,.0f}/s | 2,000/s |")
    print(f"| GET /streams/{{uid}}/, {len(uids):,} streams | {per_core:,.0f}/s a core | 20,000/s |")
    print(f"| p99 of GET /streams/, idle | {idle:.2f} ms | |")
    print(f"| p99 of GET /streams/ under 20 logins ({logins:.1f}/s) | {busy:.2f} ms, x {busy / idle:.1f} | x 3 |")


main()
