"""The admin port as the tests use it: sessions, kick, revocations.

Source: protocol, "The admin port".
"""

import time

import httpx

from gateway import DEADLINE_S, Gateway


def ask(gateway: Gateway, method: str, path: str, **more) -> httpx.Response:
    """One call; JSON is sent as such."""
    with httpx.Client(base_url=gateway.admin, timeout=DEADLINE_S, trust_env=False) as client:
        return client.request(method, path, **more)


def sessions(gateway: Gateway, **filters) -> list[dict]:
    """Everybody who fits, page by page."""
    found: list[dict] = []
    while True:
        answer = ask(gateway, "GET", "/admin/sessions", params=filters)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found += page["sessions"]
        if "next" not in page:
            return found
        filters["after"] = page["next"]


def wait_for_sessions(gateway: Gateway, count: int, topic: str = "", **filters) -> list[dict]:
    """Waits until so many are in the list; with `topic` only those count that read it, or topics below it.

    Sessions of an earlier test may still be on their way out.
    """
    ends = time.monotonic() + DEADLINE_S
    while True:
        found = sessions(gateway, **filters)
        if topic:
            found = [row for row in found if is_below(topic, row)]
        if len(found) == count:
            return found
        assert time.monotonic() < ends, found


def is_below(topic: str, row: dict) -> bool:
    """Whether a session reads this topic or one below it."""
    return any(each == topic or each.startswith(f"{topic}.") for each in row["topics"])


def kick(gateway: Gateway, **whom) -> dict:
    """Sends somebody away; `for_` stands for `for`."""
    body = {name.rstrip("_"): value for name, value in whom.items()}
    answer = ask(gateway, "POST", "/admin/kick", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()
