"""Python `websockets` as a plain client of `/ws`. Source: protocol section 3.3."""

import re

import pytest
from websockets.exceptions import ConnectionClosed

from blocking_websocket import BlockingWebSocket
from json_websocket import open_websocket

ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def test_the_server_says_hello_first_and_speaks_tidewire_v1(gateway):
    with open_websocket(gateway) as socket:
        assert socket.connection.subprotocol == "tidewire.v1"
        assert set(socket.hello) >= {"op", "session", "cursor", "resumed", "heartbeat_ms"}
        assert socket.hello["resumed"] is False
        assert socket.hello["heartbeat_ms"] == 15000
        assert ID.fullmatch(socket.hello["cursor"])


# RFC 6455 section 4.1: a client fails on a subprotocol that it did not offer, so none is named.
def test_a_client_that_offers_no_subprotocol_is_served_all_the_same(gateway, topic):
    with open_websocket(gateway, f"topic={topic}", subprotocols=None) as socket:
        assert socket.connection.subprotocol is None
        gateway.publish(topic, 1)
        assert socket.take()["data"] == 1


def test_a_client_that_offers_only_other_subprotocols_gets_101_without_the_header(gateway):
    with open_websocket(gateway, subprotocols=["chat", "mqtt"]) as socket:
        assert socket.connection.subprotocol is None


def test_tidewire_v1_is_chosen_among_several_subprotocols(gateway):
    with open_websocket(gateway, subprotocols=["chat", "tidewire.v1"]) as socket:
        assert socket.connection.subprotocol == "tidewire.v1"


@pytest.mark.parametrize("compression", ["deflate", None])
def test_large_events_arrive_whole_with_and_without_an_offer_of_compression(
    gateway, topic, compression
):
    data = "Gezeiten " * 6000
    with open_websocket(gateway, f"topic={topic}", compression=compression) as socket:
        gateway.publish(topic, data)
        assert socket.take()["data"] == data


def test_a_topic_in_the_query_is_subscribed_before_the_hello(gateway, topic):
    with open_websocket(gateway, f"topic={topic}") as socket:
        event_id = gateway.publish(topic, {"total": 42}, "order.paid")

        event = socket.take()

        assert list(event) == ["id", "topic", "time", "type", "data"]
        assert event["id"] == event_id and ID.fullmatch(event_id)
        assert event["topic"] == topic
        assert event["type"] == "order.paid"
        assert event["data"] == {"total": 42}
        assert event["time"] > 1_700_000_000_000


def test_a_subscribe_frame_is_answered_and_then_brings_the_events(gateway, topic):
    with open_websocket(gateway) as socket:
        answer = socket.ask({"op": "subscribe", "ref": 1, "topics": [f"{topic}.*"]})
        assert answer["op"] == "ok" and answer["ref"] == 1
        assert ID.fullmatch(answer["cursor"])
        assert answer["resumed"] is False

        ids = [gateway.publish(f"{topic}.{name}", name) for name in "abc"]

        assert [event["id"] for event in socket.take_events(3)] == ids


def test_a_reference_may_be_text_and_comes_back_as_it_was(gateway):
    with open_websocket(gateway) as socket:
        assert socket.ask({"op": "ping", "ref": "seven"}) == {"op": "pong", "ref": "seven"}
        assert socket.ask({"op": "ping", "ref": 6}) == {"op": "pong", "ref": 6}


def test_an_event_that_matches_several_patterns_comes_once(gateway, topic):
    with open_websocket(gateway) as socket:
        patterns = [topic, "orders.eu.*", "orders.>", "*.eu.*"]
        socket.ask({"op": "subscribe", "ref": 1, "topics": patterns})
        ids = [gateway.publish(topic, number) for number in range(3)]
        assert [event["id"] for event in socket.take_events(3)] == ids


def test_no_event_comes_after_the_answer_to_unsubscribe(gateway, topic):
    with open_websocket(gateway) as socket:
        socket.ask({"op": "subscribe", "ref": 1, "topics": [topic, f"{topic}.kept"]})
        gateway.publish(topic, "before")

        answer = socket.ask({"op": "unsubscribe", "ref": 2, "topics": [topic]})
        gateway.publish(topic, "after")
        kept = gateway.publish(f"{topic}.kept", "kept")

        assert answer == {"op": "ok", "ref": 2}
        assert socket.take()["id"] == kept


def test_a_publish_frame_is_answered_with_the_id_of_the_event(gateway, topic):
    with open_websocket(gateway) as socket:
        socket.ask({"op": "subscribe", "ref": 1, "topics": [topic]})
        frame = {"op": "publish", "ref": 2, "topic": topic, "type": "t", "data": [1, None]}

        answer = socket.ask(frame)
        event = (socket.events or socket.take_events(1))[0]

        assert answer["op"] == "ok" and answer["ref"] == 2
        assert event["id"] == answer["id"]
        assert (event["type"], event["data"]) == ("t", [1, None])


def test_a_publish_frame_repeated_with_its_key_is_one_event(gateway, topic):
    with open_websocket(gateway) as socket:
        frame = {"op": "publish", "ref": 1, "topic": topic, "data": 1, "key": "order-1"}
        first = socket.ask(frame)
        again = socket.ask(frame)
        assert again["id"] == first["id"]
        assert again["duplicate"] is True


def test_resuming_by_query_gives_what_came_after_the_cursor(gateway, topic):
    ids = [gateway.publish(topic, number) for number in range(5)]
    with open_websocket(gateway, f"topic={topic}&after={ids[1]}") as socket:
        assert socket.hello["resumed"] is True
        assert socket.hello["cursor"] == ids[1]
        assert [event["id"] for event in socket.take_events(3)] == ids[2:]


def test_resuming_by_a_subscribe_frame_gives_what_came_after_the_cursor(gateway, topic):
    ids = [gateway.publish(topic, number) for number in range(5)]
    with open_websocket(gateway) as socket:
        answer = socket.ask({"op": "subscribe", "ref": 1, "topics": [topic], "after": ids[1]})
        assert answer["op"] == "ok" and answer["resumed"] is True
        ids.append(gateway.publish(topic, "live"))
        assert [event["id"] for event in socket.take_events(4)] == ids[2:]


def test_a_cut_after_the_hello_and_before_any_event_loses_nothing(gateway, topic):
    with open_websocket(gateway, f"topic={topic}") as socket:
        cursor = socket.hello["cursor"]
    event_id = gateway.publish(topic, "between")
    with open_websocket(gateway, f"topic={topic}&after={cursor}") as socket:
        assert socket.hello["resumed"] is True
        assert socket.take()["id"] == event_id


@pytest.mark.parametrize(
    ("start", "first"), [("after=start", 0), ("last=2", 3), ("last=0", 5), ("after=now", 5)]
)
def test_a_session_starts_where_it_asks_to(gateway, topic, start, first):
    ids = [gateway.publish(topic, number) for number in range(5)]
    with open_websocket(gateway, f"topic={topic}&{start}") as socket:
        ids.append(gateway.publish(topic, "live"))
        assert [event["id"] for event in socket.take_events(6 - first)] == ids[first:]


def test_an_added_pattern_is_caught_up_without_repeating_what_was_had(gateway, topic):
    begin = gateway.head()
    first = [gateway.publish(f"{topic}.a", 1), gateway.publish(f"{topic}.b", 2)]
    with open_websocket(gateway, f"topic={topic}.a&after={begin}") as socket:
        assert socket.take()["id"] == first[0]
        frame = {"op": "subscribe", "ref": 1, "topics": [f"{topic}.*"], "after": begin}

        answer = socket.ask(frame)
        live = gateway.publish(f"{topic}.a", 3)

        assert answer["op"] == "ok"
        assert [event["id"] for event in socket.take_events(2)] == [first[1], live]


def test_evicted_events_are_told_as_a_gap_before_the_rest(gateway, topic):
    topic = f"few.{topic}"
    ids = [gateway.publish(topic, number) for number in range(6)]
    with open_websocket(gateway, f"topic={topic}&after={ids[0]}") as socket:
        assert socket.hello["resumed"] is False
        gap = socket.take()
        assert gap["op"] == "gap" and gap["reason"] == "evicted"
        assert gap["topics"] == [topic]
        assert gap["after"] == ids[0]
        assert [event["id"] for event in socket.take_events(3)] == ids[3:]


def test_silence_is_broken_by_heartbeats_with_the_cursor(quick_heartbeat, topic):
    with open_websocket(quick_heartbeat, f"topic={topic}") as socket:
        event_id = quick_heartbeat.publish(topic, 1)
        assert socket.take()["id"] == event_id
        while True:
            text = socket.connection.recv()
            # The first may have been on its way before the event.
            if text == '{"op":"hb","cursor":"%s"}' % event_id:
                break
            assert text.startswith('{"op":"hb","cursor":"'), text


def test_a_close_by_the_client_is_answered_in_kind(gateway):
    with open_websocket(gateway) as socket:
        socket.connection.close(1000)
        assert socket.connection.close_code == 1000


def test_a_protocol_ping_is_answered_with_its_payload(gateway):
    with open_websocket(gateway) as socket:
        socket.connection.ping(b"tide")


def test_a_second_client_is_not_touched_by_the_end_of_the_first(gateway, topic):
    with open_websocket(gateway, f"topic={topic}") as kept:
        with BlockingWebSocket(gateway) as bad:
            bad.send("[]")
            with pytest.raises(ConnectionClosed):
                while True:
                    bad.recv()
        gateway.publish(topic, "still here")
        assert kept.take()["data"] == "still here"
