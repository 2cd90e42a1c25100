"""The cookie `__Host-tidewire`: it counts only where a page asked that may.

Source: protocol section 7; hazards: a publish that is forged by cookie.
"""

import json

import pytest
from websockets.exceptions import InvalidStatus

from gateway import Gateway
from json_websocket import open_websocket
from refusal import check
from tokens import SECRET, asked, bearer, signed

LISTED = "https://app.example.com"
CONFIG = f"""
[http]
allowed_origins = ["{LISTED}"]
[auth.anonymous]
subscribe = ["public.>"]
[auth.jwt]
hs256_secret = "{SECRET}"
"""


@pytest.fixture(scope="module")
def guarded(start_gateway) -> Gateway:
    return start_gateway("memory", CONFIG)


def cookie(token: str | None = None) -> dict[str, str]:
    return {"Cookie": f"a=1; __Host-tidewire={token or signed()}; b=2"}


def opened(gateway: Gateway, headers: dict) -> tuple[int, str]:
    origin = headers.get("Origin")
    rest = {name: value for name, value in headers.items() if name != "Origin"}
    try:
        with open_websocket(gateway, "topic=orders.a", origin=origin, additional_headers=rest):
            return 200, ""
    except InvalidStatus as refused:
        return refused.response.status_code, json.loads(refused.response.body)["code"]


READS = {
    "sse": asked("GET", "/sse?topic=orders.a"),
    "poll": asked("GET", "/poll?topic=orders.a"),
    "history": asked("GET", "/topics/orders.a/events"),
}
WRITES = {
    "publish": asked("POST", "/publish", json={"topic": "orders.a", "data": 1}),
    "publish to a topic": asked("POST", "/topics/orders.a", content="1"),
    "ticket": asked("POST", "/ticket"),
    "websocket": opened,
}
ALL = READS | WRITES
FORBIDDEN = (403, "forbidden")


@pytest.mark.parametrize("door", ALL)
def test_with_an_origin_that_may_the_cookie_counts(guarded, door):
    for origin in [LISTED, guarded.url]:
        assert ALL[door](guarded, cookie() | {"Origin": origin}) == (200, "")


@pytest.mark.parametrize("door", ALL)
def test_without_an_origin_or_with_a_foreign_one_the_cookie_is_refused(guarded, door):
    assert ALL[door](guarded, cookie()) == FORBIDDEN
    for origin in ["https://evil.example.com", "null", f"{LISTED}.evil.io"]:
        assert ALL[door](guarded, cookie() | {"Origin": origin}) == FORBIDDEN


@pytest.mark.parametrize("door", WRITES)
def test_a_write_by_cookie_comes_from_the_same_site(guarded, door):
    for site, answer in [
        ("same-origin", (200, "")),
        ("same-site", (200, "")),
        ("cross-site", FORBIDDEN),
        ("none", FORBIDDEN),
    ]:
        headers = cookie() | {"Origin": LISTED, "Sec-Fetch-Site": site}
        assert WRITES[door](guarded, headers) == answer, site
    # The browser's word alone is no proof for a write.
    assert WRITES[door](guarded, cookie() | {"Sec-Fetch-Site": "same-origin"}) == FORBIDDEN


@pytest.mark.parametrize("door", READS)
def test_a_read_of_the_pages_own_origin_comes_without_an_origin(guarded, door):
    """Browsers send none with a same-origin GET, but say in another header what it is."""
    assert READS[door](guarded, cookie() | {"Sec-Fetch-Site": "same-origin"}) == (200, "")
    for site in ["same-site", "cross-site", "none"]:
        assert READS[door](guarded, cookie() | {"Sec-Fetch-Site": site}) == FORBIDDEN


@pytest.mark.parametrize("door", ALL)
def test_a_bad_cookie_is_a_bad_credential(guarded, door):
    origin = {"Origin": LISTED}
    assert ALL[door](guarded, cookie(signed(exp=1)) | origin) == (401, "unauthorized")
    two = {"Cookie": f"__Host-tidewire={signed()}; __Host-tidewire={signed()}"}
    assert ALL[door](guarded, two | origin) == (401, "unauthorized")


@pytest.mark.parametrize("door", ALL)
def test_a_bearer_wins_over_the_cookie(guarded, door):
    assert ALL[door](guarded, cookie("bad") | bearer(signed())) == (200, "")


def test_the_cookie_does_not_stand_in_the_way_of_pages(guarded):
    with guarded.client() as client:
        assert client.get("/", headers=cookie()).status_code == 200


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"],
)
def test_a_form_of_another_site_stores_nothing(guarded, content_type):
    topic = "orders.form"
    with guarded.client() as client:
        for headers in [
            {"Origin": "https://evil.example.com"},
            {"Origin": "null"},
            {},
            {"Sec-Fetch-Site": "cross-site"},
        ]:
            headers = headers | cookie() | {"Content-Type": content_type}
            for path in [f"/topics/{topic}", "/publish"]:
                check(client.post(path, content=b"a=1", headers=headers), "forbidden")
        kept = client.get(f"/topics/{topic}", headers=bearer(signed())).json()
        assert kept["retained"] == 0
