"""Compressed messages by hand: good ones, bad ones, and bombs.

Source: RFC 7692 sections 6, 7 and 9; hazards part 1 row 16.
"""

import zlib

import pytest

from gateway import Gateway
from hostile import VERSIONS, Hostile
from raw_tls import masked

TEXT, RSV1 = 1, 0x40
COMPRESSED = RSV1 | TEXT
PING_MESSAGE = b'{"op":"ping","ref":1}'
PONG_MESSAGE = {"op": "pong", "ref": 1}

versions = pytest.mark.parametrize("version", VERSIONS)


def deflated(payload: bytes) -> bytes:
    """RFC 7692 section 7.2.1: raw deflate, flushed, without its last four bytes."""
    squeezer = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = squeezer.compress(payload) + squeezer.flush(zlib.Z_SYNC_FLUSH)
    assert data.endswith(b"\x00\x00\xff\xff")
    return data[:-4]


BOMB = deflated(bytes(10_000_000))


def open_deflate(gateway: Gateway, version: str) -> Hostile:
    """A session with permessage-deflate."""
    socket = Hostile(gateway, version, deflate=True)
    assert socket.deflate, "permessage-deflate was offered and not agreed"
    return socket


def code_after(gateway: Gateway, version: str, sent: bytes) -> int:
    with open_deflate(gateway, version) as socket:
        socket.send(sent)
        return socket.end()[0]


def in_fragments(opcode: int, payload: bytes, size: int) -> bytes:
    """One message in fragments of this size."""
    parts = [payload[at : at + size] for at in range(0, len(payload), size)]
    opcodes = [opcode] + [0] * (len(parts) - 1)
    last = len(parts) - 1
    frames = [masked(opcodes[at], part, final=at == last) for at, part in enumerate(parts)]
    return b"".join(frames)


@versions
def test_a_compressed_message_is_read(gateway, version):
    with open_deflate(gateway, version) as socket:
        socket.send(masked(COMPRESSED, deflated(PING_MESSAGE)))
        assert socket.next_message() == PONG_MESSAGE


@versions
def test_a_message_may_stay_uncompressed(gateway, version):
    with open_deflate(gateway, version) as socket:
        socket.send(masked(TEXT, PING_MESSAGE))
        assert socket.next_message() == PONG_MESSAGE


@versions
def test_a_compressed_message_may_come_in_fragments_with_pings_between(gateway, version):
    with open_deflate(gateway, version) as socket:
        for byte in in_fragments(COMPRESSED, deflated(PING_MESSAGE), 1):
            socket.send(bytes([byte]))
        assert socket.next_message() == PONG_MESSAGE


@versions
def test_other_forms_of_deflate_are_read(gateway, version):
    # RFC 7692 sections 7.2.3.3 to 7.2.3.5: no compression, a final block, two blocks.
    stored = zlib.compressobj(0, zlib.DEFLATED, -15)
    stored = stored.compress(PING_MESSAGE) + stored.flush(zlib.Z_SYNC_FLUSH)
    final = zlib.compressobj(9, zlib.DEFLATED, -15)
    final = final.compress(PING_MESSAGE) + final.flush(zlib.Z_FINISH) + b"\x00"
    two = zlib.compressobj(9, zlib.DEFLATED, -15)
    two = two.compress(PING_MESSAGE[:9]) + two.flush(zlib.Z_SYNC_FLUSH) + (
        two.compress(PING_MESSAGE[9:]) + two.flush(zlib.Z_SYNC_FLUSH)
    )  # fmt: skip
    with open_deflate(gateway, version) as socket:
        for payload in [stored[:-4], final, two[:-4]]:
            socket.send(masked(COMPRESSED, payload))
            assert socket.next_message() == PONG_MESSAGE


ROWS = [
    ("a bomb in one frame", masked(COMPRESSED, BOMB), {1009}),
    ("a bomb in fragments", in_fragments(COMPRESSED, BOMB, 100), {1009}),
    ("a bomb in a binary frame", masked(RSV1 | 2, BOMB), {1003, 1009}),
    ("text that is not UTF-8", masked(COMPRESSED, deflated(b'{"op":"\xff"}')), {1007}),
    ("bytes that are no deflate", masked(COMPRESSED, b"\xff" * 9), {1002, 1007}),
    ("a reserved kind of block", masked(COMPRESSED, b"\x07"), {1002, 1007}),
    ("a distance beyond the beginning", masked(COMPRESSED, b"\x4a\x44\xc2\x3f\x00"), {1002, 1007}),
    (
        "RSV1 on a continuation",
        masked(COMPRESSED, b"\x00", final=False) + masked(RSV1, b"\x00"),
        {1002},
    ),
    ("RSV1 on a ping", masked(RSV1 | 9, b""), {1002}),
    ("RSV1 on a close", masked(RSV1 | 8, b"\x03\xe8"), {1002}),
    ("RSV2 beside RSV1", masked(0x60 | TEXT, deflated(b"{}")), {1002}),
]


@versions
@pytest.mark.parametrize(("sent", "codes"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_bad_compressed_frames_close_with_their_code(gateway, version, sent, codes):
    assert code_after(gateway, version, sent) in codes


@versions
def test_a_message_as_long_as_may_be_is_inflated_and_a_byte_more_is_not(gateway, version):
    longest = PING_MESSAGE + b" " * (80 * 1024 - len(PING_MESSAGE))
    with open_deflate(gateway, version) as socket:
        socket.send(masked(COMPRESSED, deflated(longest)))
        assert socket.next_message() == PONG_MESSAGE
        socket.send(masked(COMPRESSED, deflated(longest + b" ")))
        assert socket.end()[0] == 1009


def test_a_thousand_bombs_leave_the_memory_flat(start_gateway):
    gateway = start_gateway("memory")
    sent = masked(COMPRESSED, BOMB)
    for _ in range(50):
        assert code_after(gateway, "HTTP/1.1", sent) == 1009
    before = gateway.resident_bytes()
    for _ in range(1000):
        assert code_after(gateway, "HTTP/1.1", sent) == 1009
    assert gateway.resident_bytes() - before < 2 << 20
