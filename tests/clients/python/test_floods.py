"""Clients that send much and read little: it costs them, not the gateway.

Memory is that of the process; processor time is compared with the same flood of a client that reads.
Source: hazards part 1 rows 14, 15 and 20; protocol section 3.3, codes 4101 and 4200.
"""

import time
from collections.abc import Callable

import pytest

from gateway import DEADLINE_S, Gateway
from hostile import VERSIONS, Hostile
from raw_tls import masked

TEXT, PING = 1, 9
MIB = 1 << 20
PINGS = 200_000
FLOOD = masked(PING, b"tide") * 1000

versions = pytest.mark.parametrize("version", VERSIONS)


@pytest.fixture(scope="module")
def patient(start_gateway) -> Gateway:
    """A gateway that limits no rate, so that nothing but its own bounds protects it."""
    config = '[limits]\nframes_per_second = 100000000\nwrite_timeout = "3s"\nheartbeat = "5s"\n'
    return start_gateway("memory", config + 'event_max_bytes = "2MiB"\nbatch_max_bytes = "2MiB"\n')


@versions
def test_a_million_fragments_of_one_byte_are_one_message_and_cost_its_length(patient, version):
    message = b'{"op":"ping","ref":1}'.ljust(1_000_000)
    frames = [masked(TEXT, message[:1], final=False)]
    frames += [masked(0, message[at : at + 1], final=False) for at in range(1, len(message))]
    frames += [masked(0, b"")]
    with Hostile(patient, version) as socket:
        before = patient.resident_bytes()
        highest = before
        for at in range(0, len(frames), 50_000):
            socket.send(b"".join(frames[at : at + 50_000]))
            highest = max(highest, patient.resident_bytes())
        assert socket.next_message() == {"op": "pong", "ref": 1}
    # The message as it grows, and once more while it is copied to a larger place.
    assert highest - before < 6 * MIB


@versions
def test_a_million_fragments_of_one_byte_end_at_the_limit(gateway, version):
    fragment = masked(0, b" ", final=False)
    with Hostile(gateway, version) as socket:
        socket.send(masked(TEXT, b" ", final=False) + fragment * 1_000_000)
        # Too long, or too many frames a second: whichever comes first.
        assert socket.end()[0] in (1009, 4101)


@versions
def test_empty_fragments_without_end_come_to_an_end(quick_heartbeat, version):
    fragment = masked(0, b"", final=False)
    with Hostile(quick_heartbeat, version) as socket:
        before = quick_heartbeat.resident_bytes()
        socket.send(masked(TEXT, b" ", final=False) + fragment * 1_000_000)
        # Too many frames a second, or no answer to a ping: whichever comes first.
        assert socket.end()[0] in (4101, 4201)
        assert quick_heartbeat.resident_bytes() - before < MIB


@versions
def test_pings_above_the_rate_close_with_4101(gateway, version):
    with Hostile(gateway, version) as socket:
        socket.send(FLOOD * 20)
        assert socket.end()[0] == 4101


@versions
def test_a_client_that_reads_gets_an_answer_to_the_last_of_its_pings(patient, version):
    # RFC 6455 section 5.5.3: only the most recent ping has to be answered.
    with Hostile(patient, version) as socket:
        for _ in range(20):
            socket.send(FLOOD)
        socket.send(masked(PING, b"the last"))
        socket.next_pong(b"the last")


def test_pings_of_a_client_that_never_reads_cost_no_more_than_of_one_that_does(patient):
    with Hostile(patient, "HTTP/1.1") as socket:
        began = patient.cpu_seconds()
        for _ in range(PINGS // 1000):
            socket.send(FLOOD)
        socket.send(masked(PING, b"done"))
        socket.next_pong(b"done")
        dearer = patient.cpu_seconds() - began
    with Hostile(patient, "HTTP/1.1") as socket:
        began, before = patient.cpu_seconds(), patient.resident_bytes()
        writes = iter(range(PINGS // 1000))
        highest = flood(patient, socket, until=lambda: next(writes, None) is None)
        socket.send(masked(PING, b"done"))
        socket.next_pong(b"done")
        cheaper = patient.cpu_seconds() - began
    assert highest - before < MIB
    # Twice is far more than it takes, and far less than a pong for each would.
    assert cheaper < 2 * dearer + 0.1


@versions
def test_pings_of_a_client_that_lets_nothing_through_cost_nothing_and_end_with_4200(
    patient, version, topic
):
    ends = patient.ends()
    with Hostile(patient, version) as socket:
        socket.pipe.is_stingy = True
        socket.send(masked(TEXT, b'{"op":"subscribe","topics":["%s"]}' % topic.encode()))
        assert socket.next_message()["op"] == "ok"
        # More than the buffers of both sockets hold: from here on no pong can leave.
        for _ in range(25):
            patient.publish_all([{"topic": topic, "data": "x" * 60_000}] * 16)
        before = patient.resident_bytes()
        highest = flood(patient, socket, until=lambda: patient.ends() != ends)
    assert highest - before < MIB
    assert patient.ends() - ends == {4200: 1}


def flood(gateway: Gateway, socket: Hostile, until: Callable[[], bool]) -> int:
    """Sends pings and reads nothing, until then or until the server takes no more; gives the most memory."""
    highest, ends = 0, time.monotonic() + DEADLINE_S
    while not until():
        assert time.monotonic() < ends, "it goes on for ever"
        highest = max(highest, gateway.resident_bytes())
        try:
            if socket.pipe.write(FLOOD) == 0:
                # The server reads no more: it is asked again.
                socket.pipe.wait(reading=False, writing=True, seconds=0.1)
        except TimeoutError:
            continue
        except OSError:
            break
    return highest
