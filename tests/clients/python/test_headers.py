"""The headers that protect an answer, on every route and every status.

Source: hazards part 1 rows 2, 17, 23 and 33; HTML, "Content Security Policy".
"""

import re

import httpx
import pytest

from gateway import DEADLINE_S, Gateway

ANSWERS = [
    (200, "GET", "/poll?topic=a.b&after=start&wait=0"),
    (200, "GET", "/topics/a.b"),
    (200, "GET", "/topics/a.b/events"),
    (200, "GET", "/openapi.json"),
    (201, "POST", "/topics/a.b"),
    (400, "GET", "/poll?topic=a..b"),
    (400, "POST", "/publish"),
    (401, "GET", "/sse?topic=a.b&ticket=none"),
    (401, "DELETE", "/topics/a.b/events"),
    (404, "GET", "/nothing"),
    (404, "GET", "/healthz"),
    (404, "GET", "/readyz"),
    (404, "GET", "/metrics"),
    (404, "GET", "/admin/sessions"),
    (404, "GET", "/echo"),
    (405, "PUT", "/publish"),
    (405, "DELETE", "/sse"),
]

POLICY = {
    "default-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
    "object-src": "'none'",
}


@pytest.mark.parametrize(
    ("status", "method", "target"), ANSWERS, ids=[" ".join(map(str, row)) for row in ANSWERS]
)
def test_every_answer_is_protected(http, status, method, target):
    answer = http.request(
        method, target, content=b"1" if method == "POST" and status == 201 else None
    )
    assert answer.status_code == status, answer.text
    check_protected(answer)
    assert answer.headers["cache-control"].startswith("no-store")


def check_protected(answer: httpx.Response) -> None:
    """What stands on each answer over TLS, once."""
    assert answer.headers.get_list("strict-transport-security") == ["max-age=31536000"]
    assert answer.headers.get_list("x-content-type-options") == ["nosniff"]
    assert answer.headers.get_list("referrer-policy") == ["no-referrer"]
    assert "server" not in answer.headers, "nothing tells which version has which holes"


def test_an_event_stream_is_protected_and_is_kept_by_nobody(http):
    with http.stream("GET", "/sse?topic=a.b") as answer:
        assert answer.status_code == 200
        check_protected(answer)
        assert "no-store" in answer.headers["cache-control"]


@pytest.mark.parametrize(
    "target",
    ["/sse?topic={}&last=1", "/poll?topic={}&last=1", "/topics/{}/events", "/topics/{}"],
)
def test_what_holds_events_is_never_compressed(http, gateway, topic, target):
    """The length of a compressed answer tells what stands beside a secret."""
    gateway.publish(topic, "a" * 10_000)
    asked = {"Accept-Encoding": "gzip, br, zstd"}
    with http.stream("GET", target.format(topic), headers=asked) as answer:
        assert answer.status_code == 200
        assert "content-encoding" not in answer.headers


def test_every_file_of_the_page_has_a_strict_policy(http):
    page = http.get("/")
    files = ["/", "/index.html", *re.findall(r'(?:src|href)="\.(/assets/[^"]+)"', page.text)]
    assert len(files) > 2
    for path in files:
        answer = http.get(path)
        assert answer.status_code == 200, path
        check_protected(answer)
        policy = dict(
            part.strip().split(" ", 1)
            for part in answer.headers["content-security-policy"].split(";")
        )
        assert policy == POLICY
        assert answer.headers["cross-origin-opener-policy"] == "same-origin"
        assert answer.headers["cross-origin-embedder-policy"] == "require-corp"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"


def test_the_admin_port_is_for_no_page(gateway):
    with httpx.Client(base_url=gateway.admin, timeout=DEADLINE_S, trust_env=False) as admin:
        for host in ("gateway.example", "127.0.0.1.nip.io", "localhost.evil.example"):
            assert admin.get("/metrics", headers={"Host": host}).status_code == 403
        for origin in ("https://evil.example", "null", gateway.url):
            assert admin.get("/metrics", headers={"Origin": origin}).status_code == 403
        answer = admin.get("/metrics")
        assert answer.status_code == 200
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"].startswith("no-store")
        assert "strict-transport-security" not in answer.headers, "never without TLS"


def test_the_number_of_series_does_not_grow_with_topics(gateway: Gateway, topic):
    def series() -> set[str]:
        return {
            line.rpartition(" ")[0] for line in gateway.metrics().splitlines() if line[0] != "#"
        }

    gateway.publish(topic, 1)
    before = series()
    gateway.publish_all([{"topic": f"{topic}.{number}", "data": 1} for number in range(10_000)])
    assert series() == before
