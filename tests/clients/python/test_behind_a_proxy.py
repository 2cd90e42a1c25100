"""Whose address counts behind a proxy: for rates, sessions and connections.

Method: 127.0.0.1 is the trusted proxy, any other loopback address is somebody else.
Source: RFC 7239; HAProxy's PROXY protocol; README, "Behind a proxy".
"""

import contextlib
import socket
import ssl

import httpx
import pytest

from gateway import DEADLINE_S, Gateway

PROXY = "127.0.0.1"
STRANGER = "127.0.0.2"


@pytest.fixture(scope="module")
def forwarding(start_gateway):
    """Two sessions and one publish a second for one address; three connections from one."""
    return start_gateway(
        "memory",
        """
        [http]
        trusted_proxies = ["127.0.0.1/32"]

        [limits]
        publishes_per_second = 1
        sessions_per_address = 2
        connections_per_address = 3
        """,
    )


def client(gateway: Gateway, address: str, http2: bool = False) -> httpx.Client:
    """A client at this loopback address."""
    transport = httpx.HTTPTransport(
        verify=gateway.tls(), local_address=address, http1=not http2, http2=http2
    )
    return httpx.Client(base_url=gateway.url, transport=transport, timeout=DEADLINE_S)


def statuses(client: httpx.Client, topic: str, forwarded, count: int) -> list[int]:
    """Publishes once for each of these addresses."""
    return [
        client.post(
            f"/topics/{topic}", content="1", headers={"X-Forwarded-For": next(forwarded)}
        ).status_code
        for _ in range(count)
    ]


def test_a_rate_counts_for_the_client_that_a_trusted_proxy_names(forwarding, topic):
    with client(forwarding, PROXY) as proxy:
        # What the client has put in front of it changes nothing.
        forged = (f"198.51.100.{number}, 192.0.2.1" for number in range(256))
        assert 429 in statuses(proxy, topic, forged, 30)
        assert statuses(proxy, topic, iter(["192.0.2.2"]), 1) == [201]


def test_a_rate_counts_for_the_network_of_an_ipv6_client(forwarding, topic):
    with client(forwarding, PROXY) as proxy:
        one_network = (f"2001:db8:0:7::{number:x}" for number in range(256))
        assert 429 in statuses(proxy, topic, one_network, 30)
        assert statuses(proxy, topic, iter(["2001:db8:0:8::1"]), 1) == [201]


def test_a_forged_address_changes_nothing(forwarding, topic):
    with client(forwarding, STRANGER) as stranger:
        forged = (f"192.0.2.{number}" for number in range(10, 256))
        assert 429 in statuses(stranger, topic, forged, 30)


def test_sessions_count_for_the_client_that_a_trusted_proxy_names(forwarding, topic):
    with client(forwarding, PROXY, http2=True) as proxy, contextlib.ExitStack() as open_streams:

        def first_block(address: str) -> str:
            headers = {"Accept": "text/event-stream", "X-Forwarded-For": address}
            stream = proxy.stream("GET", f"/sse?topic={topic}", headers=headers)
            answer = open_streams.enter_context(stream)
            return next(answer.iter_text())

        assert "event: hello" in first_block("192.0.2.20")
        assert "event: hello" in first_block("192.0.2.20")
        assert '"code":4100' in first_block("192.0.2.20")
        assert "event: hello" in first_block("192.0.2.21")


def test_connections_of_a_trusted_proxy_are_not_counted_as_one_clients(forwarding, topic):
    def served(address: str) -> list[int]:
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(client(forwarding, address)) for _ in range(5)]
            return [each.get(f"/topics/{topic}").status_code for each in clients]

    assert served(PROXY) == [200] * 5
    assert served("127.0.0.3") == [200] * 3 + [503] * 2


PROXY_PROTOCOL = """
[http]
trusted_proxies = ["127.0.0.1"]
proxy_protocol = true

[limits]
connections_per_address = 1
"""


@pytest.fixture(scope="module")
def speaking(start_gateway):
    return start_gateway("memory", PROXY_PROTOCOL)


def text(address: str) -> bytes:
    return f"PROXY TCP4 {address} 127.0.0.1 4711 8443\r\n".encode()


def binary(address: str) -> bytes:
    addresses = socket.inet_aton(address) + socket.inet_aton("127.0.0.1") + bytes(4)
    return b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c" + addresses


def connect(gateway: Gateway, source: str, header: bytes) -> ssl.SSLSocket:
    """A connection that begins with these bytes, then TLS."""
    plain = socket.create_connection(
        (gateway.host, gateway.port), timeout=DEADLINE_S, source_address=(source, 0)
    )
    try:
        plain.sendall(header)
        return gateway.tls("http/1.1").wrap_socket(plain, server_hostname=gateway.host)
    except OSError:
        plain.close()
        raise


def status(connection: ssl.SSLSocket, gateway: Gateway) -> int:
    request = f"GET /topics/a.b HTTP/1.1\r\nHost: {gateway.listen}\r\n\r\n"
    connection.sendall(request.encode())
    return int(connection.recv(65536).split(b" ")[1])


@pytest.mark.parametrize("header", [text, binary], ids=["version 1", "version 2"])
def test_a_connection_counts_for_the_address_in_the_proxys_header(speaking, header):
    number = {text: 30, binary: 40}[header]
    first, second = f"192.0.2.{number}", f"192.0.2.{number + 1}"
    with (
        connect(speaking, PROXY, header(first)) as one,
        connect(speaking, PROXY, header(first)) as one_more,
        connect(speaking, PROXY, header(second)) as another,
    ):
        assert status(one, speaking) == 200
        assert status(one_more, speaking) == 503
        assert status(another, speaking) == 200


def test_a_stranger_is_served_without_such_a_header_and_not_with_one(speaking):
    with connect(speaking, STRANGER, b"") as stranger:
        assert status(stranger, speaking) == 200
    with pytest.raises(OSError):
        connect(speaking, "127.0.0.4", text("192.0.2.50"))


def test_a_trusted_proxy_without_its_header_is_closed(speaking):
    with pytest.raises(OSError):
        connect(speaking, PROXY, b"")


def test_a_proxys_silence_ends_with_the_handshakes_time(start_gateway):
    gateway = start_gateway("memory", PROXY_PROTOCOL + 'handshake_timeout = "100ms"\n')
    for sent in (b"", b"PROXY TCP4 192"):
        with socket.create_connection((gateway.host, gateway.port), timeout=DEADLINE_S) as silent:
            silent.sendall(sent)
            assert silent.recv(1) == b""
