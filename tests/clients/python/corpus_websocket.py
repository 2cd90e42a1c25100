"""Frames that RFC 6455 forbids, and the code in the Close frame that answers each.

Shape: `ROWS` of name, bytes and code; `BAD_TEXTS` of name and bytes that are no UTF-8.
Source: RFC 6455 sections 5, 7.4 and 8.1; hazards part 1 row 15, part 2 fault 20.
"""

from raw_tls import masked

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
MASK = bytes(4)

# An event of 64 KiB and 16 KiB more.
MESSAGE_MAX = 80 * 1024


def header(first: int, length: bytes) -> bytes:
    """The start of a frame whose length is written as it is told, with its mask."""
    return bytes([first]) + length + MASK


def close(code: int, reason: bytes = b"") -> bytes:
    return masked(CLOSE, code.to_bytes(2, "big") + reason)


RESERVED = [3, 4, 5, 6, 7, 11, 12, 13, 14, 15]
BAD_CODES = [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999]

ROWS = [
    ("a text frame without a mask", b"\x81\x02{}", 1002),
    ("an empty frame without a mask", b"\x81\x00", 1002),
    ("a ping without a mask", b"\x89\x00", 1002),
    ("a close without a mask", b"\x88\x02\x03\xe8", 1002),
    *[(f"RSV {bits:03b} in a text frame", masked(bits << 4 | TEXT, b"{}"), 1002) for bits in range(1, 8)],
    *[(f"RSV {bits:03b} in a ping", masked(bits << 4 | PING, b""), 1002) for bits in (1, 2, 4)],
    ("RSV 100 in a continuation", masked(TEXT, b"{", final=False) + masked(0x40, b"}"), 1002),
    *[(f"opcode {opcode}", masked(opcode, b"{}"), 1002) for opcode in RESERVED],
    *[(f"opcode {opcode}, empty", masked(opcode, b""), 1002) for opcode in RESERVED],
    ("2 bytes in the 16-bit form", header(0x81, b"\xfe\x00\x02") + b"{}", 1002),
    ("125 bytes in the 16-bit form", header(0x81, b"\xfe\x00\x7d") + b" " * 125, 1002),
    ("2 bytes in the 64-bit form", header(0x81, b"\xff" + bytes(7) + b"\x02") + b"{}", 1002),
    ("65535 bytes in the 64-bit form", header(0x81, b"\xff" + bytes(6) + b"\xff\xff"), 1002),
    ("a length with the top bit", header(0x81, b"\xff\x80" + bytes(6) + b"\x02"), 1002),
    ("a length of ones only", header(0x82, b"\xff" * 9), 1002),
    ("a ping in two fragments", masked(PING, b"a", final=False), 1002),
    ("a pong in two fragments", masked(PONG, b"a", final=False), 1002),
    ("a close in two fragments", masked(CLOSE, b"\x03", final=False), 1002),
    ("a ping of 126 bytes", masked(PING, b"a" * 126), 1002),
    ("a pong of 126 bytes", masked(PONG, b"a" * 126), 1002),
    ("a close of 126 bytes", close(1000, b"a" * 124), 1002),
    ("a ping of 64 KiB", masked(PING, b"a" * 65536), 1002),
    ("a close with one byte", masked(CLOSE, b"\x03"), 1002),
    *[(f"a close with code {code}", close(code), 1002) for code in BAD_CODES],
    ("a close whose reason is not UTF-8", close(1000, b"\xff"), 1007),
    ("a close whose reason is cut inside a character", close(1000, b"\xe2\x9c"), 1007),
    ("a continuation of nothing", masked(0, b"{}"), 1002),
    ("a fragment of nothing", masked(0, b"{}", final=False), 1002),
    ("a continuation after a whole message", masked(PONG, b"") + masked(0, b"{}"), 1002),
    ("a text inside a text", masked(TEXT, b"{", final=False) + masked(TEXT, b"{}"), 1002),
    ("a binary inside a text", masked(TEXT, b"{", final=False) + masked(BINARY, b"{}"), 1002),
    ("a fragment inside a text", masked(TEXT, b"{", final=False) + masked(TEXT, b"{", final=False), 1002),
    ("a frame that announces a byte too many", header(0x81, b"\xff" + (MESSAGE_MAX + 1).to_bytes(8, "big")), 1009),
    ("a frame that announces 2^62 bytes", header(0x81, b"\xff" + (1 << 62).to_bytes(8, "big")), 1009),
    ("a binary frame that announces 2^62 bytes", header(0x82, b"\xff" + (1 << 62).to_bytes(8, "big")), 1009),
    ("a fragment that announces 2^62 bytes", header(0x01, b"\xff" + (1 << 62).to_bytes(8, "big")), 1009),
    ("too many bytes by ten fragments", masked(TEXT, b" ", final=False) + masked(0, b" " * 9000, final=False) * 10, 1009),
    ("too many bytes, announced by the second fragment",
     masked(TEXT, b" " * 60000, final=False) + header(0x80, b"\xfe\xff\xff"), 1009),
]  # fmt: skip

# After `{"op":"`: each is bad UTF-8 at the byte that is marked by its length.
BAD_TEXTS = [
    ("a byte that never is", b"\xff"),
    ("a continuation byte alone", b"\x80"),
    ("an overlong slash", b"\xc0\xaf"),
    ("an overlong NUL in three bytes", b"\xe0\x80\x80"),
    ("a surrogate", b"\xed\xa0\x80"),
    ("a character beyond U+10FFFF", b"\xf4\x90\x80\x80"),
    ("a character that breaks off", b"\xf0\x9f\x8c"),
]
