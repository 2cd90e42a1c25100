"""Polls behind a proxy that compresses answers and drops the headers with the cursor: each event once, then a wait.

Method: a thousand events in one array, most of them in the same millisecond; nginx in front.
Source: protocol section 3.2; behind such a proxy a peer gave the same events again without end.
"""

import threading

import pytest

from conftest import ROOMY
from gateway import Gateway
from proxies import REWRITING_NGINX, Proxy

EVENTS = 1000


@pytest.fixture
def behind(tmp_path):
    """A gateway whose sessions are this test's alone."""
    gateway = Gateway(tmp_path, "memory", ROOMY).start()
    yield gateway
    gateway.stop()


@pytest.mark.parametrize("limit", [7, 100, 1000])
def test_behind_a_proxy_that_rewrites_each_event_comes_once_and_then_it_waits(
    behind, topic, tmp_path_factory, limit
):
    begin = behind.head()
    ids = behind.publish_all([{"topic": topic, "data": number} for number in range(EVENTS)])
    folder = tmp_path_factory.mktemp("p")
    with Proxy("nginx", behind, folder, REWRITING_NGINX) as proxy, proxy.client() as client:
        received: list[dict] = []
        cursor = begin
        while len(received) < EVENTS:
            answer = ask(client, topic, cursor, limit)
            # What a client does that trusts in validators.
            client.headers["If-None-Match"] = f'"{answer["cursor"]}"'
            assert answer["events"], "nothing came, although there is more"
            received += answer["events"]
            cursor = answer["cursor"]
        assert ask(client, topic, cursor, limit, wait=0)["events"] == []

        answers = []
        held = threading.Thread(target=lambda: answers.append(ask(client, topic, cursor, limit)))
        held.start()
        behind.wait_for_sessions(1)
        live = behind.publish(topic, "live")
        held.join(timeout=60)
    assert [event["id"] for event in received] == ids
    times = [event["time"] for event in received]
    assert max(map(times.count, set(times))) > EVENTS // 10, "they are spread over time"
    assert [event["id"] for event in answers[0]["events"]] == [live]


def ask(client, topic: str, after: str, limit: int, **more) -> dict:
    """One poll; the answer is checked to be as the proxy has made it."""
    query = {"topic": topic, "after": after, "limit": limit, "wait": 55} | more
    answer = client.get("/poll", params=query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-encoding"] == "gzip"
    assert "etag" not in answer.headers and "tidewire-cursor" not in answer.headers
    return answer.json()
