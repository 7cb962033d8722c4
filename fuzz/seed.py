#!/usr/bin/env python3
"""Writes the seed corpus: fuzz/corpus/<target>/<name>. Needs nothing but Python."""

import struct
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"


def write(target, **seeds):
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in seeds.items():
        (folder / name).write_bytes(data)


# AMF0 values
def number(n):
    return b"\x00" + struct.pack(">d", n)


def text(s):
    return b"\x02" + struct.pack(">H", len(s)) + s.encode()


def properties(**pairs):
    body = b"".join(text(k)[1:] + v for k, v in pairs.items())
    return body + b"\x00\x00\x09"


def obj(**pairs):
    return b"\x03" + properties(**pairs)


NULL = b"\x05"
METADATA = text("onMetaData") + b"\x08\x00\x00\x00\x02" + properties(
    width=number(1280), encoder=text("x")
)
CONNECT = text("connect") + number(1) + obj(
    app=text("live"),
    tcUrl=text("rtmp://h/live"),
    fourCcList=b"\x0a" + struct.pack(">I", 2) + text("hvc1") + text("av01"),
)

write(
    "amf0",
    connect=CONNECT,
    metadata=METADATA,
    scalars=number(1.5) + b"\x01\x01" + NULL + b"\x06\x0d" + b"\x07\x00\x01",
    date=b"\x0b" + struct.pack(">dh", 1e12, 0),
    long_text=b"\x0c\x00\x00\x00\x02hi" + b"\x0f\x00\x00\x00\x03<a>",
    typed=b"\x10\x00\x01c" + properties(a=NULL),
    nested=b"\x0a\x00\x00\x00\x01" * 15 + NULL,
    too_deep=b"\x0a\x00\x00\x00\x01" * 40,
    too_many=NULL * 1100,
    amf3=NULL + b"\x11\x04\x01",
    truncated=CONNECT[:-5],
)


# RTMP chunks
def full(chunk_stream, kind, stream, body, ms=0, size=128):
    extended = struct.pack(">I", ms) if ms >= 0xFFFFFF else b""
    head = struct.pack(">I", min(ms, 0xFFFFFF))[1:] + struct.pack(">I", len(body))[1:]
    out = bytes([chunk_stream]) + head + bytes([kind]) + struct.pack("<I", stream) + extended
    for at in range(0, len(body), size):
        if at:
            out += bytes([0xC0 | chunk_stream]) + extended
        out += body[at : at + size]
    return out


def call(name, transaction, *values, stream=0):
    return full(3, 20, stream, text(name) + number(transaction) + b"".join(values))


START = full(3, 20, 0, CONNECT)
PUBLISH = (
    START
    + call("releaseStream", 2, NULL, text("k"))
    + call("FCPublish", 3, NULL, text("k"))
    + call("createStream", 4, NULL)
    + call("publish", 5, NULL, text("k"), text("live"), stream=1)
)
VIDEO = b"\x17\x01\x00\x00\x00" + b"\x00\x00\x00\x05\x65\x88\x84\x00\x10"
MEDIA = (
    full(4, 18, 1, text("@setDataFrame") + METADATA)
    + full(6, 9, 1, VIDEO * 20, ms=40)
    + b"\x46\x00\x00\x28\x00\x00\x0e\x09" + VIDEO
    + b"\x86\x00\x00\x28" + VIDEO
    + b"\xc6" + VIDEO
)
END = call("FCUnpublish", 6, NULL, text("k")) + call("deleteStream", 7, NULL, number(1))
BIG = bytes(range(256))
CHUNK_SIZE = full(2, 1, 0, struct.pack(">I", 4096))

write(
    "rtmp_session",
    publish=b"\x80" + PUBLISH + MEDIA + END,
    publish_twice=b"\x80" + PUBLISH + END + call("publish", 8, NULL, text("k"), stream=1),
    refused=b"\x82" + PUBLISH,
    one_byte_pieces=b"\x00" + PUBLISH + MEDIA,
    handshake=b"\xfd\x03" + bytes(3072) + START,
    wrong_app=b"\x80" + call("connect", 1, obj(app=text("vod"))),
    play=b"\x80" + START + call("play", 2, NULL, text("k"), stream=1),
    extended=b"\x80" + PUBLISH + full(6, 9, 1, BIG, ms=20_000_000) + b"\xc6\x01\x31\x2d\x00",
    interleaved=b"\x80" + PUBLISH + full(6, 9, 1, BIG)[:140] + CHUNK_SIZE
    + full(4, 8, 1, b"\xaf\x01a") + b"\xc6" + BIG[128:],
    abort=b"\x80" + full(6, 9, 1, BIG)[:140] + full(2, 2, 0, struct.pack(">I", 6)),
    window=b"\x80" + full(2, 5, 0, struct.pack(">I", 100)) + full(2, 4, 0, b"\x00\x06\x00\x00\x00\x01"),
    aggregate=b"\x80" + PUBLISH
    + full(6, 22, 1, b"\x09\x00\x00\x0e\x00\x00\x28\x00\x00\x00\x00" + VIDEO + b"\x00\x00\x00\x19"),
    nested=b"\x80" + full(3, 20, 0, text("x") + b"\x0a\x00\x00\x00\x01" * 2000),
    lying_length=b"\x80" + full(6, 9, 1, BIG)[:4] + b"\xff\xff\xff\x09\x01\x00\x00\x00",
    wide_ids=b"\x80\x00\x05" + full(0, 9, 1, b"")[1:] + b"\x01\x05\x05" + full(0, 9, 1, b"")[1:],
)

# Sequence headers by x264: baseline 640x360, main 426x240, high 1920x1080
AVC = {
    "baseline": bytes.fromhex(
        "0142c01effe100196742c01eda0280bfe5c044000003000400000300c83c58ba8001000468ce0fc8"
    ),
    "main": bytes.fromhex(
        "014d4015ffe1001c674d4015eca0d8ff2780b501020240000003004000000f03c58b658001000568"
        "ebe3cb20"
    ),
    "high": bytes.fromhex(
        "0164002affe1001e6764002aacd940780227e5c05a80810120000003002000000f01e30632c00100"
        "0668ebe3cb22c0fdf8f800"
    ),
}
write(
    "avc_config",
    **AVC,
    no_sps=b"\x01\x64\x00\x1f\xff\xe0\x00",
    short_sps=b"\x01\x64\x00\x1f\xff\xe1\x00\x04\x67\x64\x00\x1f\x00",
    truncated=AVC["high"][:20],
)


# Tags as the flv_tag target reads them
def tag(kind, step_ms, body):
    return bytes([kind]) + struct.pack(">I", step_ms)[1:] + struct.pack(">H", len(body)) + body


def picture(key, unit, cts=0):
    head = (b"\x17" if key else b"\x27") + b"\x01" + struct.pack(">i", cts)[1:]
    return tag(1, 40, head + struct.pack(">I", len(unit)) + unit)


def video_header(name):
    return tag(1, 0, b"\x17\x00\x00\x00\x00" + AVC[name])


AAC_HEADER = tag(0, 0, b"\xaf\x00\x12\x10")
AAC_FRAME = tag(0, 23, b"\xaf\x01\x21\x10\x04\x60\x8c\x1c")
IDR, P = picture(True, b"\x65\x88\x84\x00"), picture(False, b"\x41\x9a\x24\x6c", 80)
GOP = IDR + (P + AAC_FRAME) * 50
write(
    "flv_tag",
    both=video_header("main") + AAC_HEADER + GOP * 3,
    video=video_header("high") + (IDR + P * 60) * 3,
    audio=AAC_HEADER + AAC_FRAME * 300,
    changed=video_header("main") + GOP + video_header("high") + GOP,
    late_audio=video_header("main") + GOP + AAC_HEADER + GOP,
    jump=video_header("main") + GOP + tag(0x81, 0xFF0000, b"\x27\x01\x00\x00\x00") + GOP,
    annex_b=video_header("main") + tag(1, 40, b"\x17\x01\x00\x00\x00\x00\x00\x00\x01\x65\x88\x84"),
    hevc=tag(1, 0, b"\x1c\x00\x00\x00\x00"),
    enhanced=tag(1, 0, b"\x90hvc1"),
    mp3=tag(0, 0, b"\x2f\xff\xfb"),
    before_headers=GOP,
    empty=tag(0, 0, b"") + tag(1, 0, b"") + tag(3, 0, b""),
    script=tag(3, 0, METADATA),
)


# A byte that tells which, then an access unit with start codes or tags as the slate target reads them
def unit(*nals):
    return b"\x00" + b"".join(b"\x00\x00\x00\x01" + nal for nal in nals)


def film_tag(kind, step_ms, body):
    return bytes([kind, step_ms]) + struct.pack(">H", len(body)) + body


def film(key, data, cts=0):
    head = (b"\x17" if key else b"\x27") + b"\x01" + struct.pack(">i", cts)[1:]
    return film_tag(1, 40, head + struct.pack(">I", len(data)) + data)


HIGH_SETS = [AVC["high"][8:38], AVC["high"][41:47]]
HIGH_IDR = bytes.fromhex("65888400 17fffef5db 000003 00 1122334455 0000030000 03".replace(" ", ""))
SEI = bytes.fromhex("060503010203930112800000")[:10]
FILM = film_tag(1, 0, b"\x17\x00\x00\x00\x00" + AVC["main"]) + film_tag(0, 0, b"\xaf\x00\x12\x10")
ROUND = film(True, b"\x65\x88\x84\x00", 80) + (film(False, b"\x41\x9a\x24", 80) + film_tag(0, 0, b"\xaf\x01\x21")) * 20
CARD = Path(__file__).parent.parent / "src/live/slate/paused-360.h264"
write(
    "slate",
    card=b"\x00" + CARD.read_bytes(),
    high=unit(*HIGH_SETS, HIGH_IDR),
    high_sei=unit(*HIGH_SETS, SEI, HIGH_IDR),
    two_slices=unit(*HIGH_SETS, HIGH_IDR, HIGH_IDR),
    film=b"\x01" + FILM + ROUND * 3,
    late_sound=b"\x01" + FILM + ROUND[: ROUND.index(b"\xaf\x01\x21") - 4]
    + film(False, b"\x41\x9a\x24", 80) * 30 + film_tag(0, 0, b"\xaf\x01\x21") * 20,
    film_of_one=b"\x01" + FILM + ROUND[:20],
)

UID = "AAAAAAAAAAAAAAAAAAAAAA"
write(
    "route",
    multivariant=f"GET /live/{UID}/index.m3u8".encode(),
    media=f"HEAD /live/{UID}/source/index.m3u8".encode(),
    segment=f"GET /live/{UID}/source/a1b2-17.ts".encode(),
    thumbnail=f"GET /live/{UID}/thumbnail.jpg".encode(),
    preflight=f"OPTIONS /live/{UID}/index.m3u8".encode(),
    watch=f"GET /watch/{UID}".encode(),
    health=b"GET /healthz",
    encoded=b"GET /live/%2e%2e/index.m3u8",
    dots=b"GET /live/../../etc/passwd",
    post=b"POST /readyz",
)
