"""A room from outside, with a WebSocket implementation that is not ours: each function is one
scenario, named on the command line. It does not know how the server works inside."""

import json
import struct
import sys
import threading
import time

import websocket

WAIT_S = 20


class Client:
    """A member whose frames are kept in order."""

    def __init__(self, url, token=None, origin=None, query=""):
        header = [f"Authorization: Bearer {token}"] if token else []
        self.ws = websocket.create_connection(
            url + query,
            timeout=WAIT_S,
            header=header,
            origin=origin,
            suppress_origin=origin is None,
        )
        self.code = None
        self.reason = ""

    def send(self, kind, data=None, ref=None):
        frame = {"type": kind, "data": data or {}}
        if ref is not None:
            frame["ref"] = ref
        self.ws.send(json.dumps(frame))

    def frame(self):
        """The next frame; None once the server has closed."""
        while True:
            opcode, data = self.ws.recv_data(control_frame=True)
            if opcode == websocket.ABNF.OPCODE_CLOSE:
                self.code = struct.unpack("!H", data[:2])[0]
                self.reason = data[2:].decode()
                return None
            if opcode == websocket.ABNF.OPCODE_TEXT:
                return json.loads(data)

    def until(self, kind, ref=None, **data):
        """The next frame of a kind; others before it are dropped."""
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            frame = self.frame()
            assert frame is not None, f"closed with {self.code} while waiting for {kind}"
            if frame["type"] != kind or (ref is not None and frame.get("ref") != ref):
                continue
            if all(frame["data"].get(key) == value for key, value in data.items()):
                return frame["data"]
        raise AssertionError(f"no {kind}")

    def ask(self, kind, data=None):
        """What a frame is answered: ack or error."""
        ref = f"r{time.monotonic_ns()}"
        self.send(kind, data, ref)
        while True:
            frame = self.frame()
            assert frame is not None, f"closed with {self.code}"
            if frame["type"] in ("ack", "error") and frame.get("ref") == ref:
                return frame["data"]

    def closed(self):
        while self.frame() is not None:
            pass
        return self.code


def refused(url, **options):
    """The status of a handshake that is refused."""
    try:
        Client(url, **options)
    except websocket.WebSocketBadStatusException as error:
        return error.status_code
    raise AssertionError("the handshake was accepted")


def doors(url, tokens):
    other = url.replace(url.rstrip("/").rsplit("/", 1)[1], "A" * 22)
    assert refused(other) == 404
    assert refused(url, token="nonsense") == 401
    assert refused(url, origin="https://evil.example") == 403
    own = url.replace("ws://", "http://").split("/ws/")[0]
    for client in (Client(url, origin=own), Client(url), Client(url.rstrip("/"))):
        assert client.frame()["data"] == {"authenticated": False}
    assert Client(url, token=tokens["ana"]).frame()["data"]["role"] == "owner"


def chat(url, tokens):
    ana, bob, eve = Client(url, tokens["ana"]), Client(url), Client(url)
    history = eve.until("chat_history")
    assert eve.ask("chat", {"message": "hi"})["error_code"] == "auth_required"
    assert bob.ask("auth", {"token": "x"})["error_code"] == "auth_required"
    assert bob.ask("auth", {"token": tokens["bob"]})["type"] == "auth"
    ack = bob.ask("chat", {"message": "hola"})
    assert ack["seq"] == history["seq"] + 1, ack
    said = eve.until("chat")
    assert (said["user"], said["message"], said["id"]) == ("bob", "hola", ack["id"])
    bob.ask("chat", {"message": "b"})
    bob.ask("chat", {"message": "c"})
    fast = bob.ask("chat", {"message": "d"})
    assert fast["error_code"] == "rate_limited" and fast["retry_after"] > 0, fast
    back = Client(url, query=f"?since={ack['seq']}&epoch={history['epoch']}")
    missed = back.until("chat_history")["messages"]
    assert [one["message"] for one in missed] == ["b", "c"], missed
    assert ana.ask("chat_delete", {"id": ack["id"]})["id"] == ack["id"]
    assert eve.until("chat_deleted")["id"] == ack["id"]
    names = [item["username"] for item in ana_list(ana)]
    assert names == ["ana", "bob"], names
    ana.ask("chat_moderate", {"action": "ban", "user": "bob"})
    assert bob.closed() == 4503
    again = Client(url, tokens["bob"])
    assert again.ask("chat", {"message": "e"})["error_code"] == "banned"


def ana_list(ana):
    ana.send("users_list")
    return ana.until("users_list")["items"]


def pending(url, tokens):
    ana = Client(url, tokens["ana"])
    assert ana.until("status")["status"] == "pending"
    assert ana.ask("chat", {"message": "hi"})["error_code"] == "not_live"


def hostile(url, tokens):
    witness, ana = Client(url), Client(url, tokens["ana"])
    witness.until("chat_history")
    client = Client(url)
    for garbage in ("", "x", "[]", "1", "{}", '{"type":1}', '{"type":"chat","data":7}',
                    '{"type":"nothing"}', "[" * 8000, '{"type":"chat","data":' + "[" * 8000):
        client.ws.send(garbage)
        assert client.until("error")["error_code"] == "bad_message", garbage[:20]
    client.ws.send_binary(b"\x00\x01")
    assert client.until("error")["error_code"] == "bad_message"
    for _ in range(300):
        client.ws.send('{"type":"ping"}')
    client.until("error", error_code="rate_limited")
    big = Client(url)
    try:
        big.ws.send("a" * (1 << 20))
        assert big.closed() == 1009
    except (ConnectionError, websocket.WebSocketConnectionClosedException):
        pass  # Closed while the rest was still being sent.
    half = Client(url)
    half.ws.sock.sendall(b"\x81\xfe\x10\x00abcd")
    unread = Client(url)
    for _ in range(50):
        unread.ws.send('{"type":"ping"}')
    for _ in range(20):
        Client(url).ws.sock.close()
    assert ana.ask("chat", {"message": "still here"})["type"] == "chat"
    assert witness.until("chat")["message"] == "still here"


def crowd(url, tokens):
    """1,000 joins and leaves; the room ends with whom it began."""
    witness = Client(url)

    def come_and_go(count):
        for _ in range(count):
            client = Client(url)
            assert client.frame()["type"] == "auth"
            client.ws.close()

    threads = [threading.Thread(target=come_and_go, args=(125,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    witness.until("users", count=1)


def silent(url, tokens):
    """A socket that answers no ping is given up."""
    client = Client(url)
    while True:
        # `recv` and `recv_data` would answer a ping by themselves.
        frame = client.ws.recv_frame()
        if frame.opcode == websocket.ABNF.OPCODE_CLOSE:
            assert struct.unpack("!H", frame.data[:2])[0] == 4012
            return


def wait_closed(url, tokens):
    """Prints `in`, then the code and reason that it is closed with."""
    client = Client(url, tokens.get("bob"))
    client.until("chat_history")
    print("in", flush=True)
    print("closed", client.closed(), client.reason, flush=True)


if __name__ == "__main__":
    globals()[sys.argv[1]](sys.argv[2], json.loads(sys.argv[3]))
    print("done", flush=True)
