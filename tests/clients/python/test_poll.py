"""`httpx` as a plain client of `/poll`, over HTTP/1.1 and HTTP/2. Source: protocol section 3.2."""

import threading
import time

import pytest


def poll(client, topic: str, headers: dict | None = None, **query) -> dict:
    """One poll; its cursor stands in the body, the ETag and the header alike."""
    answer = client.get("/poll", params={"topic": topic} | query, headers=headers)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["tidewire-cursor"] == body["cursor"]
    # RFC 9110 section 8.8.3: an entity tag is quoted.
    assert answer.headers["etag"] == f'"{body["cursor"]}"'
    return body


@pytest.mark.parametrize("query", [{}, {"after": "now"}, {"last": 0}])
def test_a_poll_without_a_cursor_answers_at_once(http, gateway, topic, query):
    gateway.publish(topic, "old")
    began = time.monotonic()
    answer = poll(http, topic, **query)
    assert time.monotonic() - began < 10, "it waited"
    assert answer == {"cursor": answer["cursor"], "events": [], "more": False}


def test_the_first_cursor_leads_to_everything_that_follows(http, gateway, topic):
    cursor = poll(http, topic)["cursor"]
    ids = [gateway.publish(topic, number) for number in range(3)]
    answer = poll(http, topic, after=cursor)
    assert [event["id"] for event in answer["events"]] == ids
    assert answer["cursor"] >= ids[-1]
    assert answer["more"] is False and "gap" not in answer


def test_interval_polling_never_waits(http, gateway, topic):
    cursor = poll(http, topic)["cursor"]
    began = time.monotonic()
    assert poll(http, topic, after=cursor, wait=0)["events"] == []
    assert time.monotonic() - began < 10, "it waited"


def test_an_empty_poll_ends_with_200_and_a_cursor(http, topic):
    cursor = poll(http, topic)["cursor"]
    began = time.monotonic()
    answer = poll(http, topic, after=cursor, wait=0.25)
    assert time.monotonic() - began >= 0.25
    assert answer["events"] == [] and answer["cursor"]


def test_a_held_poll_answers_when_an_event_comes(http, gateway, topic):
    cursor = poll(http, topic)["cursor"]
    answers = []
    held = threading.Thread(target=lambda: answers.append(poll(http, topic, after=cursor)))
    began = time.monotonic()
    held.start()
    event_id = gateway.publish(topic, "now")
    held.join(timeout=30)
    assert [event["id"] for event in answers[0]["events"]] == [event_id]
    assert time.monotonic() - began < 20, "it waited for its time limit"


def test_a_long_answer_is_cut_at_the_limit_and_says_so(http, gateway, topic):
    begin = gateway.head()
    ids = [gateway.publish(topic, number) for number in range(10)]
    first = poll(http, topic, after=begin, limit=4)
    assert [event["id"] for event in first["events"]] == ids[:4]
    assert first["more"] is True and first["cursor"] == ids[3]
    rest = poll(http, topic, after=first["cursor"], limit=6)
    assert [event["id"] for event in rest["events"]] == ids[4:]
    assert rest["more"] is False


def test_a_hundred_events_are_the_default_answer(http, gateway, topic):
    elements = [{"topic": topic, "data": number} for number in range(150)]
    ids = gateway.publish_all(elements)
    answer = poll(http, topic, after="start")
    assert [event["id"] for event in answer["events"]] == ids[:100]
    assert answer["more"] is True


def test_the_newest_events_come_first_with_last(http, gateway, topic):
    ids = [gateway.publish(topic, number) for number in range(5)]
    answer = poll(http, topic, last=2)
    assert [event["id"] for event in answer["events"]] == ids[3:]


TAGS = {
    "its own": ['"{first}"'],
    "its own, weak": ['W/"{first}"'],
    "any": ["*"],
    "a quote alone": ['"'],
    "no tag": ["garbage"],
    "a list": ['"a", "{first}"'],
    "another server's": ['"zz9-10"'],
    "empty": [""],
    "beyond ASCII": ["\xe9"],
    "8 KiB": ['"' + "x" * 8192 + '"'],
    "repeated": ['"a"', '"{first}"'],
    "repeated, the same": ['"{first}"', '"{first}"'],
}


@pytest.mark.parametrize("tags", TAGS.values(), ids=TAGS.keys())
def test_if_none_match_never_hides_an_event(http, gateway, topic, tags):
    first = gateway.publish(topic, 1)
    headers = [(b"If-None-Match", tag.replace("{first}", first).encode("latin-1")) for tag in tags]
    answer = poll(http, topic, after="start", headers=headers)
    assert [event["id"] for event in answer["events"]] == [first]
    assert poll(http, topic, after=first, wait=0, headers=headers)["events"] == []
    history = http.get(f"/topics/{topic}/events", headers=headers)
    assert history.status_code == 200
    assert [event["id"] for event in history.json()["events"]] == [first]


def test_a_loop_of_polls_misses_nothing_and_repeats_nothing(http, gateway, topic):
    cursor = poll(http, topic)["cursor"]
    ids: list[str] = []

    def publish():
        for number in range(200):
            ids.append(gateway.publish(topic, number))

    publisher = threading.Thread(target=publish)
    publisher.start()
    received: list[str] = []
    while len(received) < 200:
        answer = poll(http, topic, after=cursor, limit=7)
        assert answer["events"], "a poll timed out under a running publisher"
        received += [event["id"] for event in answer["events"]]
        cursor = answer["cursor"]
    publisher.join(timeout=30)
    assert received == ids


@pytest.mark.parametrize("kept", ["few", "all"])
def test_pollers_without_a_pause_get_everything_or_are_told(gateway_of_each_engine, topic, kept):
    gateway = gateway_of_each_engine
    topic = f"{kept}.{topic}"
    begin = gateway.head()
    ids: list[str] = []
    answers: list[list[dict]] = [[], [], []]
    is_over = threading.Event()

    def ask(mine: list[dict]):
        cursor = begin
        with gateway.client() as client:
            while not is_over.is_set() or cursor < ids[-1]:
                mine.append(poll(client, topic, after=cursor, wait=0, limit=20) | {"asked": cursor})
                cursor = mine[-1]["cursor"]

    threads = [threading.Thread(target=ask, args=(mine,)) for mine in answers]
    for thread in threads:
        thread.start()
    for _ in range(40):
        ids += gateway.publish_all([{"topic": topic, "data": 1}] * 50)
    is_over.set()
    for thread in threads:
        thread.join(timeout=60)
    for mine in answers:
        assert mine[-1]["cursor"] >= ids[-1], "a poller did not come to the end"
        for answer in mine:
            due = [each for each in ids if answer["asked"] < each <= answer["cursor"]]
            received = [event["id"] for event in answer["events"]]
            assert received == due or "gap" in answer and set(received) <= set(due)
        received = [event["id"] for answer in mine for event in answer["events"]]
        assert received == sorted(set(received))
        if kept == "all":
            assert received == ids and not [answer for answer in mine if "gap" in answer]


def test_evicted_events_are_told_as_a_gap_beside_the_rest(http, gateway, topic):
    topic = f"few.{topic}"
    ids = [gateway.publish(topic, number) for number in range(6)]
    answer = poll(http, topic, after=ids[0])
    assert answer["gap"]["reason"] == "evicted"
    assert answer["gap"]["topics"] == [topic]
    assert answer["gap"]["after"] == ids[0]
    assert [event["id"] for event in answer["events"]] == ids[3:]
    assert "gap" not in poll(http, topic, after=answer["gap"]["cursor"])
    assert "gap" not in poll(http, topic, after=answer["cursor"], wait=0)


def test_the_history_has_the_shape_of_a_poll(http, gateway, topic):
    ids = [gateway.publish(topic, number) for number in range(5)]
    page = http.get(f"/topics/{topic}/events", params={"limit": 2}).json()
    assert [event["id"] for event in page["events"]] == ids[:2] and page["more"] is True
    rest = http.get(f"/topics/{topic}/events", params={"after": page["cursor"]}).json()
    assert [event["id"] for event in rest["events"]] == ids[2:] and rest["more"] is False


def test_the_history_runs_backwards_too(http, gateway, topic):
    ids = [gateway.publish(topic, number) for number in range(5)]
    query = {"order": "desc", "limit": 2}
    page = http.get(f"/topics/{topic}/events", params=query).json()
    assert [event["id"] for event in page["events"]] == [ids[4], ids[3]]
    rest = http.get(f"/topics/{topic}/events", params=query | {"before": page["cursor"]}).json()
    assert [event["id"] for event in rest["events"]] == [ids[2], ids[1]]


def test_a_topic_that_nobody_knows_is_empty(http, topic):
    page = http.get(f"/topics/{topic}/events").json()
    assert page["events"] == [] and page["more"] is False
    about = http.get(f"/topics/{topic}")
    assert about.status_code == 200
    assert about.json()["topic"] == topic and about.json()["retained"] == 0


def test_a_topic_tells_what_it_keeps(http, gateway, topic):
    ids = [gateway.publish(topic, number) for number in range(3)]
    about = http.get(f"/topics/{topic}").json()
    expected = {"topic": topic, "retained": 3, "oldest": ids[0], "newest": ids[2], "subscribers": 0}
    assert {name: about[name] for name in expected} == expected
