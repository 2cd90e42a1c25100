"""Bytes that RFC 6455 forbids: each ends with the right code in a Close frame, over TLS.

No client library sends them, so every frame is made by hand. Each row is sent on a session of its own,
over HTTP/1.1 and inside an HTTP/2 stream.
Source: RFC 6455 sections 5, 7.4 and 8.1; hazards part 1 row 15, part 2 fault 20.
"""

from contextlib import suppress

import pytest

from corpus_websocket import BAD_TEXTS, PING, ROWS, TEXT, close, header
from hostile import VERSIONS, Hostile
from raw_tls import masked

versions = pytest.mark.parametrize("version", VERSIONS)


def code_after(gateway, version: str, *writes: bytes) -> int:
    """The close code after these writes, on a session of their own."""
    with Hostile(gateway, version) as socket:
        for data in writes:
            socket.send(data)
        return socket.end()[0]


@versions
@pytest.mark.parametrize(("sent", "code"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_bad_frames_close_with_their_code(gateway, version, sent, code):
    assert code_after(gateway, version, sent) == code


@versions
@pytest.mark.parametrize("bad", [row[1] for row in BAD_TEXTS], ids=[row[0] for row in BAD_TEXTS])
class TestTextThatIsNotUtf8:
    """Closes with 1007, however it is cut."""

    def test_whole(self, gateway, version, bad):
        assert code_after(gateway, version, masked(TEXT, b'{"op":"' + bad + b'"}')) == 1007

    def test_at_the_end_of_the_message(self, gateway, version, bad):
        assert code_after(gateway, version, masked(TEXT, b'{"op":"' + bad)) == 1007

    def test_cut_at_every_byte_of_the_frame(self, gateway, version, bad):
        frame = masked(TEXT, b'"' + bad + b'"')
        for at in range(1, len(frame)):
            assert code_after(gateway, version, frame[:at], frame[at:]) == 1007, at

    def test_cut_into_fragments_at_every_byte(self, gateway, version, bad):
        payload = b'"' + bad + b'"'
        for at in range(len(payload) + 1):
            first = masked(TEXT, payload[:at], final=False)
            assert code_after(gateway, version, first, masked(0, payload[at:])) == 1007, at

    def test_cut_by_a_ping_between_two_fragments(self, gateway, version, bad):
        first = masked(TEXT, b'"' + bad[:1], final=False)
        rest = masked(0, bad[1:] + b'"')
        assert code_after(gateway, version, first, masked(PING, b"tide"), rest) == 1007


@versions
def test_a_bad_byte_closes_before_the_rest_of_its_frame_has_come(gateway, version):
    # RFC 6455 section 8.1 allows to wait for the whole message; a reader that fails fast holds no garbage.
    frame = header(0x81, b"\xfe\x10\x00") + b'{"op":"\xff'
    assert code_after(gateway, version, frame) == 1007


@versions
def test_a_good_message_may_be_cut_anywhere(gateway, version):
    message = '{"op":"ping","ref":"\u2693\U0001f30a"}'.encode()
    with Hostile(gateway, version) as socket:
        for at in range(1, len(message)):
            socket.send(masked(TEXT, message[:at], final=False))
            socket.send(masked(PING, b"between") + masked(0, b"", final=False))
            for byte in masked(0, message[at:]):
                socket.send(bytes([byte]))
            assert socket.next_message() == {"op": "pong", "ref": "\u2693\U0001f30a"}, at


@versions
def test_nothing_after_a_bad_frame_is_delivered(gateway, version, topic):
    publish = masked(TEXT, b'{"op":"publish","topic":"%s","data":1}' % topic.encode())
    assert code_after(gateway, version, masked(3, b"") + publish) == 1002
    with gateway.client() as client:
        answer = client.get("/poll", params={"topic": topic, "after": "start", "wait": "0"})
        assert answer.json()["events"] == []


@versions
def test_a_client_that_goes_on_sending_still_gets_the_close_frame(gateway, version):
    with Hostile(gateway, version) as socket:
        socket.send(masked(3, b"") + masked(TEXT, b" " * 60000) * 20)
        assert socket.end()[0] == 1002


@versions
def test_after_the_close_frame_the_connection_ends_in_order(gateway, version):
    by_us, by_the_server = close(1000), masked(3, b"")
    for sent, code, answer in [(by_us, 1000, b""), (by_the_server, 1002, close(1002))]:
        with Hostile(gateway, version) as socket:
            socket.send(sent)
            assert socket.end()[0] == code
            # A server that did not wait for the answer has ended already.
            with suppress(OSError):
                socket.pipe.write(answer)
            socket.ends_in_order()


@versions
def test_bad_frames_of_one_client_harm_nobody(gateway, version, topic):
    with Hostile(gateway, version) as kept:
        for _, sent, code in ROWS:
            assert code_after(gateway, version, sent) == code
        kept.send(masked(TEXT, b'{"op":"ping","ref":1}'))
        assert kept.next_message() == {"op": "pong", "ref": 1}
    assert gateway.is_alive()
