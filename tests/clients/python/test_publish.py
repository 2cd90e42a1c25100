"""Publishing over REST with `httpx`: answers, batches, repeats. Source: protocol section 4."""

import json
import threading

import pytest

from json_websocket import open_websocket

NDJSON = {"Content-Type": "application/x-ndjson"}


def retained(client, topic: str) -> list:
    """The data of all events that a topic keeps."""
    page = client.get(f"/topics/{topic}/events", params={"limit": 1000}).json()
    return [event["data"] for event in page["events"]]


def test_one_event_is_answered_with_201(http, topic):
    answer = http.post("/publish", json={"topic": topic, "data": 1})
    assert answer.status_code == 201
    assert answer.json() == {"id": answer.json()["id"], "topic": topic}


def test_an_array_is_answered_element_by_element(http, topic):
    elements = [{"topic": f"{topic}.{name}", "data": name} for name in "abc"]
    answer = http.post("/publish", json=elements)
    assert answer.status_code == 200
    assert [each["topic"] for each in answer.json()] == [f"{topic}.{name}" for name in "abc"]
    ids = [each["id"] for each in answer.json()]
    assert ids == sorted(ids), "ids of one epoch sort in log order"


def test_several_topics_get_one_event_each(http, topic):
    topics = [f"{topic}.a", f"{topic}.b"]
    answer = http.post("/publish", json={"topics": topics, "type": "t", "data": {"x": 1}})
    assert answer.status_code == 200
    assert [each["topic"] for each in answer.json()] == topics
    assert [retained(http, each) for each in topics] == [[{"x": 1}], [{"x": 1}]]


def test_base64_in_a_request_stays_base64_in_the_event(http, topic):
    element = {"topic": topic, "data_base64": "//4A", "content_type": "image/png"}
    assert http.post("/publish", json=element).status_code == 201
    (event,) = http.get(f"/topics/{topic}/events").json()["events"]
    assert event["data_base64"] == "//4A" and event["content_type"] == "image/png"


BAD_ELEMENTS = [
    ("a bad topic", {"topic": "a..b", "data": 1}, 400, "bad_topic"),
    ("a topic of the gateway", {"topic": "$presence.a", "data": 1}, 403, "forbidden"),
    ("no topic", {"data": 1}, 400, "bad_request"),
    ("no data", {"topic": "a.b"}, 400, "bad_request"),
    ("no object", 42, 400, "bad_request"),
    ("a type that is too long", {"topic": "a.b", "type": "t" * 101, "data": 1}, 400, "bad_request"),
    ("an event that is too large", {"topic": "a.b", "data": "x" * 65537}, 413, "too_large"),
]


@pytest.mark.parametrize("form", ["array", "NDJSON"])
@pytest.mark.parametrize(
    ("bad", "status", "code"),
    [row[1:] for row in BAD_ELEMENTS],
    ids=[row[0] for row in BAD_ELEMENTS],
)
def test_a_bad_element_loses_none_of_the_others(http, topic, form, bad, status, code):
    elements = [{"topic": topic, "data": 1}, bad, {"topic": topic, "data": 2}]
    if form == "array":
        answer = http.post("/publish", json=elements)
    else:
        body = "\n".join(map(json.dumps, elements))
        answer = http.post("/publish", content=body, headers=NDJSON)
    assert answer.status_code == 200
    first, problem, last = answer.json()
    assert (problem["status"], problem["code"]) == (status, code)
    assert first["id"] < last["id"]
    assert retained(http, topic) == [1, 2]


def test_a_line_that_is_not_json_loses_none_of_the_others(http, topic):
    line = json.dumps({"topic": topic, "data": 1})
    body = f'{line}\n{{"topic":\n\n{line}\n'
    answers = http.post("/publish", content=body, headers=NDJSON).json()
    assert [each.get("code") for each in answers] == [None, "bad_json", None]
    assert retained(http, topic) == [1, 1]


def test_the_largest_batch_is_taken(http, topic):
    elements = [{"topic": topic, "data": number} for number in range(1000)]
    assert http.post("/publish", json=elements).status_code == 200
    assert retained(http, topic) == list(range(1000))


def test_a_repeat_with_its_key_is_answered_200_with_the_first_id(http, topic):
    headers = {"Idempotency-Key": "order-1"}
    first = http.post(f"/topics/{topic}", content="1", headers=headers)
    again = http.post(f"/topics/{topic}", content="1", headers=headers)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json() | {"duplicate": True}
    assert retained(http, topic) == [1]


def test_a_key_in_the_json_and_a_key_in_the_header_are_the_same_key(http, topic):
    element = {"topic": topic, "data": 1}
    first = http.post("/publish", json=element | {"key": "order-1"})
    again = http.post("/publish", json=element, headers={"Idempotency-Key": "order-1"})
    assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])


def test_a_key_counts_for_its_topic_alone(http, topic):
    headers = {"Idempotency-Key": "order-1"}
    for name in "ab":
        answer = http.post(f"/topics/{topic}.{name}", content="1", headers=headers)
        assert answer.status_code == 201


def test_the_elements_of_an_array_under_one_key_are_repeated_one_by_one(http, topic):
    elements = [{"topic": topic, "data": 7}, {"topic": topic, "data": 7}]
    headers = {"Idempotency-Key": "batch-1"}
    first = http.post("/publish", json=elements, headers=headers).json()
    again = http.post("/publish", json=elements, headers=headers).json()
    assert first[0]["id"] != first[1]["id"]
    assert again == [each | {"duplicate": True} for each in first]
    assert retained(http, topic) == [7, 7]


def test_fifty_publishes_at_once_with_one_key_are_one_event(gateway_of_each_engine, topic):
    answers = []
    # A connection for each: httpx gives up connections that its threads open at once for one of HTTP/2.
    with gateway_of_each_engine.client() as client:

        def publish():
            headers = {"Idempotency-Key": "once"}
            answers.append(client.post(f"/topics/{topic}", content="1", headers=headers))

        threads = [threading.Thread(target=publish) for _ in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=60)
        assert sorted(answer.status_code for answer in answers) == [200] * 49 + [201]
        assert len({answer.json()["id"] for answer in answers}) == 1
        assert retained(client, topic) == [1]


def test_one_event_is_the_same_bytes_on_every_path(http, gateway, topic):
    body = b'{"n":12345678901234567890,"f":1.10,"s":"\\u00e9 \xe2\x9c\x93"}'
    headers = {"Content-Type": "application/json"}
    answer = http.post(f"/topics/{topic}?type=t", content=body, headers=headers)
    event_id = answer.json()["id"]

    polled = http.get("/poll", params={"topic": topic, "last": 1}).text
    paged = http.get(f"/topics/{topic}/events").text
    with http.stream("GET", "/sse", params={"topic": topic, "after": "start"}) as stream:
        lines = stream.iter_lines()
        streamed = next(line for line in lines if line.startswith('data: {"id"'))[6:]
    with open_websocket(gateway, f"topic={topic}&after=start") as socket:
        framed = socket.take_text()

    assert framed.startswith(f'{{"id":"{event_id}","topic":"{topic}","time":')
    assert framed.endswith(',"type":"t","data":' + body.decode() + "}")
    assert streamed == framed
    assert f'"events":[{framed}]' in polled
    assert f'"events":[{framed}]' in paged
