"""Sends what docs/websocket.md shows through wsdump, line by line, and waits for what it promises.
It does not know what the frames mean."""

import json
import queue
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

WAIT_S = 20
WORD = re.compile(r"[A-Z]{2,}")


class Tool:
    """A running wsdump."""

    def __init__(self, url, token):
        login = ["--headers", f"Authorization: Bearer {token}"] if token else []
        wsdump = Path(sys.executable).parent / "wsdump"
        command = [wsdump, "--raw", *login, url] if wsdump.exists() else [
            sys.executable, "-m", "websocket._wsdump", "--raw", *login, url]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self.frames = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.frames.put(line)

    def send(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def until(self, wanted, words):
        deadline, passed = time.monotonic() + WAIT_S, []
        while (left := deadline - time.monotonic()) > 0:
            try:
                line = self.frames.get(timeout=left)
            except queue.Empty:
                break
            try:
                frame = json.loads(line)
            except ValueError:
                continue
            found = {}
            if matches(wanted, frame, words, found):
                words.update(found)
                return
            passed.append(line.strip()[:300])
        raise AssertionError(f"no {wanted} with {words} in:\n" + "\n".join(passed))


def matches(wanted, actual, words, found):
    """Whether `actual` has all of `wanted`; words in capitals stand for anything, once."""
    if isinstance(wanted, str) and WORD.fullmatch(wanted):
        return words.get(wanted, found.setdefault(wanted, actual)) == actual
    if isinstance(wanted, dict) and isinstance(actual, dict):
        return all(key in actual and matches(value, actual[key], words, found)
                   for key, value in wanted.items())
    if isinstance(wanted, list) and isinstance(actual, list):
        return len(wanted) <= len(actual) and all(
            matches(*pair, words, found) for pair in zip(wanted, actual))
    return wanted == actual


def main(url, tokens, page):
    who = {"owner": tokens["ana"], "viewer": tokens["bob"], "anyone": None}
    words, tools, sent = {"TOKEN": tokens["cleo"]}, {}, set()
    for name, block in re.findall(r"```(\w+)\n(.*?)```", Path(page).read_text(), re.S):
        if name not in who:
            continue
        if name not in tools:
            tools[name] = Tool(url, who[name])
        for line in block.splitlines():
            direction, frame = line.split(" ", 1)
            if direction == "<":
                tools[name].until(json.loads(frame), words)
                continue
            sent.add(json.loads(frame)["type"])
            tools[name].send(re.sub(r'"([A-Z]{2,})"', lambda m: f'"{words[m[1]]}"', frame))
    for tool in tools.values():
        tool.process.kill()
    print("sent", *sorted(sent))
    print("done", flush=True)


main(sys.argv[1], json.loads(sys.argv[2]), sys.argv[3])
