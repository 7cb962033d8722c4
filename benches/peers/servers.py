"""The servers that are compared, each with its own files below one directory, on free ports of loopback.
It does not know what they are measured at."""

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path


def free_ports(count):
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def family(pid):
    """A process and all below it."""
    found = [pid]
    for one in found:
        try:
            for task in Path(f"/proc/{one}/task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
        except FileNotFoundError:
            pass
    return found


class Server:
    """Started by its subclass, which sets process, rtmp and http (ports of loopback)."""

    def cpu_seconds(self):
        """Of its processes' clocks (clock_getcpuclockid), to the nanosecond: /proc counts in ticks of 10 ms,
        which is much of what one stream costs."""
        return sum(time.clock_gettime(~pid << 3 | 2) for pid in family(self.process.pid))

    def peak_mb(self):
        """Largest resident memory of each of its processes, added up."""
        total = 0
        for pid in family(self.process.pid):
            total += int(re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())[1])
        return total * 1024 / 1e6

    def get(self, path, headers={}):
        connection = http.client.HTTPConnection("127.0.0.1", self.http, timeout=10)
        try:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def listed(self, path):
        """Segments in a playlist."""
        status, body = self.get(path)
        return body.count(b"#EXTINF") if status == 200 else 0

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)


class Cauce(Server):
    def __init__(self, binary, directory, streams, settings={}):
        self.name, self.directory, self.binary = "cauce", directory / "cauce", binary
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir()
        self.environment = {
            "PATH": os.environ["PATH"],
            "CAUCE_DATA_DIR": str(self.directory),
            "CAUCE_HTTP__LISTEN": "127.0.0.1:0",
            "CAUCE_RTMP__LISTEN": "127.0.0.1:0",
            "CAUCE_LOG__LEVEL": "warn",
            "CAUCE_SHUTDOWN_GRACE": "3s",
        } | settings
        self.streams = [self.create() for _ in range(streams)]
        self.process = subprocess.Popen(
            [binary, "serve"], env=self.environment, cwd=self.directory, stdout=subprocess.PIPE, text=True
        )
        ready = re.match(r"ready http=.+:(\d+) rtmp=.+:(\d+)", self.process.stdout.readline())
        self.http, self.rtmp = int(ready[1]), int(ready[2])

    def create(self):
        """A stream that, like nginx-rtmp's, keeps only its window. Its key and its playlist."""
        command = [self.binary, "stream", "create", "--json", "--no-record"]
        made = subprocess.run(command, env=self.environment, cwd=self.directory, check=True, capture_output=True)
        made = json.loads(made.stdout)
        return made["key"], f"/live/{made['uid']}/source/index.m3u8"


class Nginx(Server):
    """nginx with nginx-rtmp: RTMP in, HLS out of the same directory."""

    def __init__(self, directory, streams, root=None):
        """With `root` it only serves the files there."""
        self.name, self.directory = "nginx-rtmp", directory / "nginx"
        shutil.rmtree(self.directory, ignore_errors=True)
        (self.directory / "hls").mkdir(parents=True)
        self.rtmp, self.http = free_ports(2)
        self.streams = [(f"key{n}", f"/hls/key{n}.m3u8") for n in range(streams)]
        module = next(Path("/usr/lib/nginx/modules").glob("ngx_rtmp_module.so"), None)
        load = f"load_module {module};" if module else ""
        rtmp = f"""
rtmp {{
    access_log off;
    server {{
        listen 127.0.0.1:{self.rtmp};
        chunk_size 4096;
        ping 1h;
        application live {{
            live on;
            hls on;
            hls_path {self.directory}/hls;
            hls_fragment 2s;
            hls_playlist_length 12s;
        }}
    }}
}}"""
        user = "user root;" if os.geteuid() == 0 else ""
        (self.directory / "nginx.conf").write_text(f"""
{load}
{user}
daemon off;
worker_processes {1 if root is None else 'auto'};
worker_rlimit_nofile 60000;
pid {self.directory}/pid;
error_log {self.directory}/error.log warn;
events {{ worker_connections 20000; }}
{rtmp if root is None else ''}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000000;
    {'open_file_cache max=10000; open_file_cache_valid 1s;' if root else ''}
    types {{ application/vnd.apple.mpegurl m3u8; video/mp2t ts; }}
    gzip_static on;
    client_body_temp_path {self.directory}; proxy_temp_path {self.directory}; fastcgi_temp_path {self.directory};
    uwsgi_temp_path {self.directory}; scgi_temp_path {self.directory};
    server {{ listen 127.0.0.1:{self.http} backlog=4096; root {root or self.directory}; }}
}}
""")
        command = ["nginx", "-c", f"{self.directory}/nginx.conf", "-e", f"{self.directory}/error.log"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        until = time.monotonic() + 10
        while True:
            try:
                self.get("/")
                break
            except OSError:
                if self.process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError((self.directory / "error.log").read_text())
                time.sleep(0.02)
