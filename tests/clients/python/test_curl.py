"""`curl` as a plain client: publish with nothing but defaults, read with `-N`.

Source: protocol sections 2, 3.1, 3.2, 4 and 10.
"""

import base64
import json
import subprocess

import pytest

from gateway import DEADLINE_S, Gateway
from readers import READERS

VERSIONS = ["--http1.1", "--http2"]


@pytest.fixture(scope="module")
def as_installed(start_gateway) -> Gateway:
    """A gateway without any configuration: what a newcomer has."""
    return start_gateway("disk")


@pytest.fixture(params=VERSIONS)
def curl(request, as_installed):
    """Runs curl against the gateway and returns what it printed."""

    def run(path: str, *arguments: str, body: bytes | None = None) -> bytes:
        command = ["curl", "-sS", request.param, "--noproxy", "*"]
        command += ["--cacert", str(as_installed.ca), *arguments, as_installed.url + path]
        done = subprocess.run(command, input=body, capture_output=True, timeout=DEADLINE_S)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    return run


def event_text(curl, topic: str) -> str:
    """The newest event of a topic, as the bytes in a poll answer."""
    answer = curl(f"/poll?topic={topic}&last=1").decode()
    return answer.partition('"events":[')[2].rpartition('],"more"')[0]


# What curl sends by itself is `application/x-www-form-urlencoded`.
DEFAULT_TYPE = [
    ("an object", b'{"total": 42, "tags": [ "a b" ]}', '"data":{"total":42,"tags":["a b"]}'),
    ("a number too large for any type", b"1e400", '"data":1e400'),
    ("an integer beyond 64 bits", b"12345678901234567890123", '"data":12345678901234567890123'),
    ("a decimal with a trailing zero", b"1.10", '"data":1.10'),
    ("escapes and member order", rb'{"z":"\u00e9\/","a":1}', r'"data":{"z":"\u00e9\/","a":1}'),
    ("null", b"null", '"data":null'),
    ("plain words", b"low tide at 4", '"data":"low tide at 4"'),
    ("a form", b"a=1&b=2", '"data":"a=1&b=2"'),
    ("words of several lines", b"one\ntwo", r'"data":"one\ntwo"'),
    ("words beyond ASCII", "Ebbe ✓".encode(), '"data":"Ebbe ✓"'),
    ("bytes", b"\xff\xfe\x00\x01", '"data_base64":"//4AAQ=="'),
]


@pytest.mark.parametrize(
    ("body", "member"), [row[1:] for row in DEFAULT_TYPE], ids=[row[0] for row in DEFAULT_TYPE]
)
def test_curl_publishes_without_naming_a_type(curl, topic, body, member):
    answer = json.loads(curl(f"/topics/{topic}", "--data-binary", "@-", body=body))
    assert answer["topic"] == topic
    event = event_text(curl, topic)
    assert event.startswith(f'{{"id":"{answer["id"]}","topic":"{topic}","time":')
    assert event.endswith(f",{member}}}"), event
    assert '"content_type"' not in event


TYPED = [
    ("JSON", "application/json", b'{ "a" : 1 }', ',"data":{"a":1}}'),
    ("JSON of a vendor", "application/vnd.shop+json", b"[1 ]",
     ',"content_type":"application/vnd.shop+json","data":[1]}'),
    ("plain text that looks like JSON", "text/plain", b"42", ',"data":"42"}'),
    ("other text", "text/html", b"<b>", ',"content_type":"text/html","data":"<b>"}'),
    ("a picture", "image/png", b"\x89PNG",
     ',"content_type":"image/png","data_base64":"%s"}' % base64.b64encode(b"\x89PNG").decode()),
    ("empty text", "text/plain", b"", ',"data":""}'),
]  # fmt: skip


@pytest.mark.parametrize(
    ("content_type", "body", "ending"), [row[1:] for row in TYPED], ids=[row[0] for row in TYPED]
)
def test_a_named_type_decides_what_the_payload_becomes(curl, topic, content_type, body, ending):
    header = f"Content-Type: {content_type}"
    curl(f"/topics/{topic}?type=t", "-H", header, "--data-binary", "@-", body=body)
    event = event_text(curl, topic)
    assert event.endswith(',"type":"t"' + ending), event


def test_a_publish_prints_201_with_id_and_topic(curl, topic):
    printed = curl(f"/topics/{topic}", "-d", "1", "-w", "\n%{http_code} %{http_version}")
    body, _, status = printed.decode().rpartition("\n")
    assert set(json.loads(body)) == {"id", "topic"}
    assert status in ("201 1.1", "201 2")


def test_the_publish_route_takes_json_of_curls_default_type(curl, topic):
    request = json.dumps({"topic": topic, "type": "t", "data": {"a": 1}})
    assert json.loads(curl("/publish", "-d", request))["topic"] == topic
    assert event_text(curl, topic).endswith(',"type":"t","data":{"a":1}}')


def test_ndjson_is_published_line_by_line(curl, topic):
    lines = [{"topic": topic, "data": number} for number in range(3)]
    body = "\n".join(map(json.dumps, lines)).encode() + b"\n"
    header = "Content-Type: application/x-ndjson"
    answers = json.loads(curl("/publish", "-H", header, "--data-binary", "@-", body=body))
    events = json.loads(curl(f"/topics/{topic}/events"))["events"]
    assert [event["id"] for event in events] == [answer["id"] for answer in answers]
    assert [event["data"] for event in events] == [0, 1, 2]


@pytest.mark.parametrize("name", ["curl -N", "curl -N --http2"])
def test_curl_n_shows_events_as_they_come(as_installed, topic, name):
    reader = READERS[name](as_installed, [topic], None)
    for number in range(3):
        event_id = as_installed.publish(topic, number)
        assert reader.next()["id"] == event_id
    reader.cut()


@pytest.mark.parametrize("name", ["curl -N", "curl -N --http2"])
def test_curl_n_resumes_from_the_cursor_it_printed(as_installed, topic, name):
    reader = READERS[name](as_installed, [topic], None)
    reader.cut()
    ids = [as_installed.publish(topic, number) for number in range(3)]
    reader = READERS[name](as_installed, [topic], reader.cursor)
    assert reader.resumed is True
    assert [reader.next()["id"] for _ in range(3)] == ids
    reader.cut()


def test_the_certificate_is_good_for_localhost_too(as_installed):
    url = f"https://localhost:{as_installed.port}/poll?topic=a"
    command = ["curl", "-sS", "--noproxy", "*", "--cacert", str(as_installed.ca), url]
    done = subprocess.run(command, capture_output=True, timeout=DEADLINE_S)
    assert done.returncode == 0, done.stderr.decode()
    assert "cursor" in json.loads(done.stdout)
