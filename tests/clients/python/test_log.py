"""The log of the real binary at `trace`, on every transport: it holds no secret and no payload, and nobody forges a line.

Shape: each secret is a text of its own, found nowhere else; after all of them were sent, in good requests and in bad ones,
the log is searched for each.
Source: hazards part 1 rows 2 and 24; field, section 4, line 15.
"""

import base64
import hashlib
import json
import re
import secrets
from contextlib import suppress

import pytest
from websockets.exceptions import InvalidStatus

from blocking_websocket import BlockingWebSocket
from gateway import Gateway
from h2_websocket import Closed, Http2WebSocket
from raw_tls import exchange

FIELDS = [
    "key", "unknown_key", "token", "query_token", "query_other", "ticket", "cookie", "payload", "bad_payload", "binary",
    "frame_payload", "bad_frame", "frame_token", "frame_key", "idempotency_key", "header", "ping",
]  # fmt: skip

# A topic may stand in the log; what it holds may not speak there.
FORGED = "a.b%0AERROR%20forged%0D%1B%5B31m%07%7F%C2%9B2J"

# C0 but the line feed, DEL, C1.
CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f\x80-\x9f]")


@pytest.fixture(params=["text", "json"])
def written(request, tmp_path):
    """The secrets that were sent, and the lines that the log has then."""
    canaries = {name: f"canary-{name.replace('_', '-')}-{secrets.token_hex(8)}" for name in FIELDS}
    digest = hashlib.sha256(canaries["key"].encode()).hexdigest()
    config = f"""
[log]
format = "{request.param}"
[http]
allowed_origins = ["https://app.example.com"]
[auth.anonymous]
subscribe = [">"]
publish = ["open.>"]
[[auth.keys]]
name = "shop"
sha256 = "{digest}"
publish = [">"]
subscribe = [">"]
"""
    gateway = Gateway(tmp_path, "disk", config, environment={"TIDEWIRE_LOG": "trace"}).start()
    try:
        say_everything(gateway, canaries)
    finally:
        gateway.stop()
    return request.param, canaries, gateway.stderr.read_bytes().decode()


def test_the_log_has_no_secret_and_no_payload_at_any_level(written):
    _, canaries, log = written
    assert [name for name, canary in canaries.items() if canary in log] == []
    encoded = {
        name: base64.b64encode(canary.encode()).decode()[:-4] for name, canary in canaries.items()
    }
    assert [name for name, text in encoded.items() if text in log] == []


def test_the_log_says_something_at_all(written):
    _, _, log = written
    assert len(log.splitlines()) > 50
    # The libraries speak too, as far as they may.
    for said in ("DEBUG", "tidewire_server", "h2::"):
        assert said in log


def test_no_control_character_reaches_the_log(written):
    style, _, log = written
    assert CONTROL.findall(log) == []
    for line in log.splitlines():
        if style == "json":
            assert {"timestamp", "level", "target"} <= json.loads(line).keys()
        else:
            assert re.match(r"\d{4}-\d\d-\d\dT\S+ +(TRACE|DEBUG|INFO|WARN|ERROR) ", line), line


def say_everything(gateway: Gateway, canaries: dict[str, str]) -> None:
    """Every secret in its place, over every version of HTTP and on every transport."""
    for http2 in (False, True):
        with gateway.client(http2=http2) as client:
            over_http(client, canaries)
    over_raw_http(gateway, canaries)
    over_websocket(gateway, canaries)
    over_extended_connect(gateway, canaries)


def over_http(client, canaries: dict[str, str]) -> None:
    good = {
        "Authorization": f"Bearer {canaries['key']}",
        "Cookie": f"__Host-tidewire={canaries['cookie']}; other={canaries['cookie']}",
        "Idempotency-Key": canaries["idempotency_key"],
        "X-Tide": canaries["header"],
        "Referer": f"https://app.example.com/{canaries['header']}",
    }
    query = f"token={canaries['query_token']}&other={canaries['query_other']}"
    for content in (f'"{canaries["payload"]}"', canaries["payload"]):
        client.post(f"/topics/open.a?{query}", content=content, headers=good)
    packed = {**good, "Content-Type": "application/octet-stream", "Idempotency-Key": ""}
    client.post("/topics/open.a", content=canaries["binary"], headers=packed)
    bad = '{"topic":"open.a","data":"%s' % canaries["bad_payload"]
    for headers in ({"Content-Type": "application/json"}, {"Content-Type": "application/x-ndjson"}):
        client.post("/publish", content=bad, headers=headers)
        client.post("/topics/open.a", content=bad, headers=headers)
    element = {"topic": "open.a", "data": canaries["payload"], "key": canaries["idempotency_key"]}
    client.post("/publish", json=[element, element | {"topic": "a..b"}], headers=good)
    client.post("/topics/open.a", content="1", headers={"Content-Encoding": canaries["header"]})
    for path in (f"/poll?topic=open.a&after=start&{query}", f"/topics/open.a/events?{query}"):
        assert canaries["payload"] in client.get(path, headers=good).text
    for path in ("/poll?topic=open.a", "/sse?topic=open.a", "/topics/open.a", "/ws", "/nothing"):
        separator = "&" if "?" in path else "?"
        client.get(f"{path}{separator}ticket={canaries['ticket']}&{query}")
        for token in (canaries["unknown_key"], f"eyJhbGciOiJub25lIn0.{canaries['token']}."):
            client.get(path, headers={"Authorization": f"Bearer {token}"})
        client.get(path, headers={"Authorization": f"Basic {canaries['unknown_key']}"})
        client.get(path, headers={"Origin": f"https://{canaries['header']}.example"})
    with client.stream("GET", f"/sse?topic=open.a&after=start&{query}", headers=good) as answer:
        said = answer.iter_text()
        text = ""
        while canaries["payload"] not in text:
            text += next(said)
    for path in (
        f"/topics/{FORGED}",
        f"/poll?topic={FORGED}",
        f"/sse?topic={FORGED}",
        f"/ws?topic={FORGED}",
        f"/{FORGED}",
    ):
        client.get(path)
    client.post(f"/topics/{FORGED}", content="1")


def over_raw_http(gateway: Gateway, canaries: dict[str, str]) -> None:
    start = f"GET /poll?topic=open.a&{canaries['query_other']} HTTP/1.1\r\n"
    for rest in ("", f"X-Tide : {canaries['header']}\r\n", f"Host: me:{canaries['header']}@a\r\n"):
        exchange(
            gateway,
            f"{start}{rest}Authorization: Bearer {canaries['unknown_key']}\r\n\r\n".encode(),
        )


def over_websocket(gateway: Gateway, canaries: dict[str, str]) -> None:
    query = f"token={canaries['query_token']}&other={canaries['query_other']}"
    cookie = {"Cookie": f"__Host-tidewire={canaries['cookie']}"}
    for more in (f"ticket={canaries['ticket']}", "topic=a..b", f"topic={FORGED}"):
        with pytest.raises(InvalidStatus):
            BlockingWebSocket(gateway, f"/ws?{query}&{more}", additional_headers=cookie)
    with BlockingWebSocket(
        gateway,
        f"/ws?topic=open.%3E&after=start&{query}",
        additional_headers=cookie,
        compression="deflate",
    ) as socket:
        for frame in frames(canaries):
            socket.send(frame)
        socket.ping(canaries["ping"].encode())
        while canaries["frame_payload"] not in str(socket.recv()):
            pass
    for bad in ('{"op":"%s' % canaries["bad_frame"], '["%s"]' % canaries["bad_frame"]):
        socket = BlockingWebSocket(gateway, f"/ws?{query}")
        socket.send(bad)
        with suppress(Exception):
            while True:
                socket.recv()
        socket.close()


def over_extended_connect(gateway: Gateway, canaries: dict[str, str]) -> None:
    headers = (("cookie", canaries["cookie"]), ("authorization", f"Bearer {canaries['key']}"))
    socket = Http2WebSocket(gateway, "/ws?topic=open.%3E&after=start", headers)
    for frame in frames(canaries):
        socket.send(frame)
    while canaries["frame_payload"] not in socket.recv():
        pass
    socket.send('{"op":"%s' % canaries["bad_frame"])
    with suppress(Closed):
        while True:
            socket.recv()
    socket.cut()


def frames(canaries: dict[str, str]) -> list[str]:
    """Frames that are served or answered with an error, and keep the connection."""
    return [
        json.dumps(frame)
        for frame in (
            {"op": "auth", "ref": 1, "token": canaries["frame_token"]},
            {"op": "auth", "ref": 2, "token": canaries["key"]},
            {"op": "subscribe", "ref": 3, "topics": ["a\nERROR forged\x1b[31m"]},
            {
                "op": "publish",
                "ref": 4,
                "topic": "open.a",
                "data": 1,
                "key": canaries["frame_key"] + "\n",
            },
            {"op": canaries["bad_frame"], "ref": 5},
            {
                "op": "publish",
                "ref": 6,
                "topic": "open.b",
                "data": canaries["frame_payload"],
                "key": canaries["frame_key"],
            },
        )
    ]
