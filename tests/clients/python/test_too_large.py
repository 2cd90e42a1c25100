"""Bodies above the bound, with and without a length, over HTTP/1.1 and HTTP/2.

Source: protocol sections 4 and 6; `batch_max_bytes` is 1 MiB by default.
"""

import json
import subprocess

import pytest

from gateway import DEADLINE_S
from h2_exchange import exchange

TOO_LARGE = b'["' + b"x" * (2 << 20) + b'"]'
JSON = {"content-type": "application/json"}

lengths = pytest.mark.parametrize("length", ["with its length", "without a length"])


@pytest.fixture(params=["curl over HTTP/1.1", "HTTP/2 by hand"])
def send(request, gateway):
    """Publishes a body; gives the status and the answer."""

    def over_curl(path: str, body: bytes, length: str) -> tuple[int, dict]:
        command = ["curl", "-sS", "--http1.1", "--noproxy", "*", "--cacert", str(gateway.ca)]
        command += ["-H", "Content-Type: application/json", "--data-binary", "@-"]
        if length == "without a length":
            command += ["-H", "Transfer-Encoding: chunked"]
        command += ["-w", "\n%{http_code}", gateway.url + path]
        done = subprocess.run(command, input=body, capture_output=True, timeout=DEADLINE_S)
        assert done.returncode == 0, done.stderr.decode()
        answer, _, status = done.stdout.decode().rpartition("\n")
        return int(status), json.loads(answer)

    def by_hand(path: str, body: bytes, length: str) -> tuple[int, dict]:
        known = {"content-length": str(len(body))} if length == "with its length" else {}
        answer = exchange(gateway, path, JSON | known, body)
        # What is not read any more is stopped without blame.
        assert answer.reset in (None, 0)
        return answer.status, json.loads(answer.body)

    return over_curl if request.param.startswith("curl") else by_hand


@lengths
@pytest.mark.parametrize("path", ["/publish", "/topics/a.b"])
def test_a_body_above_the_bound_is_413(gateway, send, path, length):
    status, problem = send(path, TOO_LARGE, length)
    assert (status, problem["code"]) == (413, "too_large")
    assert gateway.is_alive()


@lengths
def test_a_body_as_large_as_the_bound_is_taken(send, topic, length):
    body = json.dumps([{"topic": topic, "data": "x" * 60000}] * 17).encode()
    body += b" " * ((1 << 20) - len(body))
    status, answers = send("/publish", body, length)
    assert status == 200
    assert all("id" in answer for answer in answers)


@lengths
def test_twenty_bodies_above_the_bound_harm_nobody(gateway, send, topic, length):
    for _ in range(20):
        assert send(f"/topics/{topic}", TOO_LARGE, length)[0] == 413
    gateway.publish(topic, "still here")
