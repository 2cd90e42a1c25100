"""One refusal as a row of a table: what is asked, and the status and code that answer it.

Shape: `Refusal(name, method, target, status, code, …)`; `check` sends it and looks at the answer as
RFC 9457 describes it. `mentions` is a word that the explanation must hold.
Source: protocol section 6.
"""

from dataclasses import dataclass, field

import httpx

# A refusal that is never stated twice: the one table of codes and statuses.
STATUS_OF = {
    "bad_request": 400,
    "bad_topic": 400,
    "bad_cursor": 400,
    "bad_json": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": 404,
    "key_reused": 409,
    "too_large": 413,
    "unsupported_media_type": 415,
    "upgrade_required": 426,
    "rate_limited": 429,
    "unavailable": 503,
}


@dataclass(frozen=True)
class Refusal:
    """A request that must be refused with this code."""

    name: str
    target: str
    code: str
    method: str = "GET"
    body: object = None
    headers: dict = field(default_factory=dict)
    mentions: str = ""


def post(name: str, target: str, body, code: str, mentions: str = "", **headers: str) -> Refusal:
    """A publish that must be refused."""
    return Refusal(name, target, code, "POST", body, named(headers), mentions)


def named(headers: dict) -> dict:
    """Keyword arguments as header names."""
    return {name.replace("_", "-"): value for name, value in headers.items()}


def check(answer: httpx.Response, code: str, mentions: str = "") -> dict:
    """Checks a refusal and returns the problem."""
    shown = f"{answer.status_code} {answer.text[:300]}"
    assert answer.status_code == STATUS_OF[code], shown
    assert answer.headers["content-type"] == "application/problem+json", shown
    problem = answer.json()
    assert problem["code"] == code, shown
    assert problem["status"] == answer.status_code, shown
    assert problem["title"], shown
    assert mentions in problem.get("detail", ""), shown
    assert answer.headers["cache-control"].startswith("no-store"), "a refusal is never cached"
    if code == "unauthorized":
        assert answer.headers["www-authenticate"].startswith("Bearer"), shown
    if code in ("rate_limited", "unavailable"):
        assert int(answer.headers["retry-after"]) >= 1, shown
    return problem


def send(client: httpx.Client, refusal: Refusal) -> httpx.Response:
    """Sends the request of a row."""
    body = refusal.body
    if callable(body):
        body = body()
    return client.request(refusal.method, refusal.target, content=body, headers=refusal.headers)


def ids(rows: list) -> list[str]:
    """The names of the rows, for the test report."""
    return [row.name for row in rows]
