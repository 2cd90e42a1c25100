"""The hostile corpus: every row gets its answer, and nothing of it is left behind.

The rows are the tables of `corpus_http1.py`, `corpus_http2.py` and `corpus_websocket.py`; the last one is sent row by row
in `test_bad_frames.py`. Memory and descriptors are those of the process, from /proc.
Bound: every answer comes before `DEADLINE_S`.
Source: hazards part 1 rows 1, 5, 12, 15, 16, 18 and 20; field, section 4.
"""

import pytest

import corpus_http1
import corpus_http2
from corpus_websocket import ROWS as FRAMES
from gateway import DEADLINE_S, Gateway
from hostile import VERSIONS, Hostile
from raw_http2 import RawHttp2
from raw_tls import exchange
from waiting import at_rest

MIB = 1 << 20
STREAMS = corpus_http2.rows("")


@pytest.fixture(scope="module")
def besieged(start_gateway) -> Gateway:
    """A gateway of its own, whose memory nobody else uses."""
    return start_gateway("memory")


def http1_answer(gateway: Gateway, row: corpus_http1.Row) -> tuple[int, bool]:
    answer = exchange(gateway, row.sent.replace(b"{listen}", gateway.listen.encode()))
    return answer.status, answer.closed


def http2_answer(gateway: Gateway, row: corpus_http2.Row) -> str:
    with RawHttp2(gateway) as connection:
        connection.send(row.sent)
        # What is meant for the connection may come behind an answer to the stream.
        return connection.ends() if row.answer.startswith("GOAWAY") else connection.outcome()


def frame_answer(gateway: Gateway, version: str, sent: bytes) -> int:
    with Hostile(gateway, version) as socket:
        socket.send(sent)
        return socket.end()[0]


@pytest.mark.parametrize("row", corpus_http1.ROWS, ids=lambda row: row.name)
def test_hostile_http1_gets_its_answer(besieged, row):
    assert http1_answer(besieged, row) == (row.status, row.ends)


@pytest.mark.parametrize("number", range(len(STREAMS)), ids=[row.name for row in STREAMS])
def test_hostile_http2_gets_its_answer(besieged, number):
    row = corpus_http2.rows(besieged.listen)[number]
    assert http2_answer(besieged, row) in row.answer.split(" or ")


def test_a_request_behind_an_uncertain_body_is_never_read(besieged, topic):
    # RFC 9112 section 6.1: the coding counts, not the length; and the connection ends with the answer.
    hidden = (
        f"POST /topics/{topic} HTTP/1.1\r\nHost: {besieged.listen}\r\nContent-Length: 1\r\n\r\n1"
    )
    for fields in [
        "Content-Length: 3\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 3",
        "Transfer-Encoding: gzip, chunked",
    ]:
        start = f"POST /topics/other.a HTTP/1.1\r\nHost: {besieged.listen}\r\n{fields}\r\n\r\n"
        answer = exchange(besieged, (start + "1\r\n1\r\n0\r\n\r\n" + hidden).encode())
        assert answer.closed
    with besieged.client() as client:
        assert client.get(f"/topics/{topic}").json()["retained"] == 0


def test_the_corpus_is_large_enough_to_mean_something():
    tables = [
        [row.name for row in corpus_http1.ROWS],
        [row.name for row in STREAMS],
        [row[0] for row in FRAMES],
    ]
    assert sum(map(len, tables)) >= 300
    for names in tables:
        assert len(set(names)) == len(names)


def test_the_whole_corpus_leaves_no_memory_and_no_descriptor(besieged):
    # The first round fills what is kept for good: the allocator's arenas, the window, the rates.
    attack(besieged)
    descriptors, memory = at_rest(besieged)
    for _ in range(3):
        attack(besieged)
    after, more = at_rest(besieged, descriptors)
    assert after <= descriptors
    # A thousand connections went through: a kibibyte for each would show.
    assert more - memory < MIB


def attack(gateway: Gateway) -> None:
    """Every row once."""
    for row in corpus_http1.ROWS:
        http1_answer(gateway, row)
    for row in corpus_http2.rows(gateway.listen):
        http2_answer(gateway, row)
    for _, sent, _ in FRAMES:
        for version in VERSIONS:
            frame_answer(gateway, version, sent)
