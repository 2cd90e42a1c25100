//! Each side against bytes as the peer sends them, wherever they are cut.

use tidewire_bench::protocol::{
    Answers, Dispatch, Exchange, Fault, PublisherSeat, Publishing as _, Seat, Signals, Subscriber,
};
use tidewire_bench::websocket::{Frames, TEXT, client_frame};

use super::*;

fn seat() -> Seat {
    Seat {
        index: 0,
        topic: "bench".to_owned(),
        authority: "127.0.0.1:1".to_owned(),
        resumes: false,
    }
}

fn publisher_seat() -> PublisherSeat {
    PublisherSeat {
        index: 0,
        authority: "127.0.0.1:1".to_owned(),
    }
}

/// What a subscriber made of a stream: its payloads, what it sent, whether it stood.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    payload: String,
    sent: Vec<u8>,
    is_ready: bool,
}

fn receive(make: fn(&Seat) -> Box<dyn Subscriber>, pieces: &[&[u8]]) -> Result<Seen, Fault> {
    let (mut payload, mut sent, mut signals) = (Vec::new(), Vec::new(), Signals::default());
    let mut subscriber = make(&seat());
    subscriber.open(&mut Exchange::new(&mut payload, &mut sent, &mut signals));
    for piece in pieces {
        let mut exchange = Exchange::new(&mut payload, &mut sent, &mut signals);
        subscriber.receive(piece, &mut exchange)?;
    }
    Ok(Seen {
        payload: String::from_utf8(payload).unwrap(),
        sent,
        is_ready: signals.ready,
    })
}

/// The same for every two cuts.
fn receive_cut(make: fn(&Seat) -> Box<dyn Subscriber>, bytes: &[u8]) -> Seen {
    let whole = receive(make, &[bytes]).unwrap();
    for first in 0..=bytes.len() {
        for second in first..=bytes.len() {
            let pieces = [&bytes[..first], &bytes[first..second], &bytes[second..]];
            let seen = receive(make, &pieces).unwrap();
            assert_eq!(seen, whole, "cut at {first} and {second}");
        }
    }
    whole
}

/// A server's frame has no mask.
fn frame(opcode: u8, payload: &str) -> Vec<u8> {
    let mut bytes = vec![0x80 | opcode, payload.len() as u8];
    bytes.extend_from_slice(payload.as_bytes());
    bytes
}

fn upgraded(frames: &[Vec<u8>]) -> Vec<u8> {
    let head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";
    [&head[..], &frames.concat()].concat()
}

/// The payloads of the frames after the request for an upgrade. A client's frame has a mask, so it is taken off.
fn frames_sent(sent: &[u8]) -> Vec<String> {
    let end = sent.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
    let mut rest = &sent[end..];
    let mut found = Vec::new();
    while !rest.is_empty() {
        let length = usize::from(rest[1] & 0x7f);
        assert!(length < 126 && rest[1] & 0x80 != 0);
        let (mask, payload) = rest[2..6 + length].split_at(4);
        let bytes = payload.iter().zip(mask.iter().cycle());
        let bytes: Vec<u8> = bytes.map(|(byte, mask)| byte ^ mask).collect();
        found.push(String::from_utf8(bytes).unwrap());
        rest = &rest[6 + length..];
    }
    found
}

#[test]
fn a_websocket_hands_over_its_messages_and_answers_pings() {
    let bytes = upgraded(&[frame(1, "one"), frame(9, "p"), frame(1, "two")]);
    let seen = receive_cut(websocket::subscriber, &bytes);
    assert_eq!((seen.payload.as_str(), seen.is_ready), ("onetwo", true));
    assert_eq!(frames_sent(&seen.sent), ["p"]);
    assert!(
        seen.sent
            .starts_with(b"GET /subscribe/bench HTTP/1.1\r\nHost: 127.0.0.1:1\r\n")
    );
}

#[test]
fn a_greeted_websocket_stands_when_it_was_greeted() {
    let bytes = upgraded(&[]);
    let seen = receive_cut(websocket::greeted_subscriber, &bytes);
    assert!(!seen.is_ready);
    let bytes = upgraded(&[frame(1, "hello")]);
    assert!(receive_cut(websocket::greeted_subscriber, &bytes).is_ready);
}

#[test]
fn a_refused_and_a_closed_websocket_are_faults() {
    let refused = receive(
        websocket::subscriber,
        &[b"HTTP/1.1 503 x\r\nContent-Length: 0\r\n\r\n"],
    );
    assert!(matches!(refused, Err(Fault::Refused { status: 503, .. })));
    let closed = receive(websocket::subscriber, &[&upgraded(&[frame(8, "")])]);
    assert!(matches!(closed, Err(Fault::Ended(_))));
}

#[test]
fn a_stream_stands_with_its_first_byte() {
    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert!(!receive_cut(event_stream::subscriber, head).is_ready);
    let bytes = [&head[..], b"4\r\n: hi\r\n6\r\n\n\ndata\r\n3\r\n: a\r\n"].concat();
    let seen = receive_cut(event_stream::subscriber, &bytes);
    assert_eq!(
        (seen.payload.as_str(), seen.is_ready),
        (": hi\n\ndata: a", true)
    );
    let ended = [&bytes[..], b"0\r\n\r\n"].concat();
    let ended = receive(event_stream::subscriber, &[&ended]);
    assert!(matches!(ended, Err(Fault::Ended(_))));
}

#[test]
fn a_poll_goes_on_from_the_place_that_it_was_given() {
    let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nLast-Modified: Sat\r\nEtag: 7\r\n\r\none";
    let seen = receive_cut(long_poll::subscriber, bytes);
    assert_eq!(seen.payload, "one");
    let request = "GET /subscribe/bench HTTP/1.1\r\nHost: 127.0.0.1:1\r\n";
    let place = "If-Modified-Since: Sat\r\nIf-None-Match: 7\r\n";
    let sent = format!("{request}\r\n{request}{place}\r\n");
    assert_eq!(String::from_utf8(seen.sent).unwrap(), sent);
}

#[test]
fn socketio_joins_takes_events_and_answers_pings() {
    let packets = [
        "0{\"sid\":\"a\"}",
        "40{\"sid\":\"b\"}",
        "42[\"event\",\"x\"]",
        "2",
    ];
    let bytes = upgraded(&packets.map(|packet| frame(1, packet)));
    let seen = receive_cut(socketio::subscriber, &bytes);
    assert_eq!(
        (seen.payload.as_str(), seen.is_ready),
        ("42[\"event\",\"x\"]", true)
    );
    assert_eq!(frames_sent(&seen.sent), ["40{\"topic\":\"bench\"}", "3"]);
    for (packet, is_end) in [("41", true), ("44{}", true), ("5", false)] {
        let fault = receive(socketio::subscriber, &[&upgraded(&[frame(1, packet)])]);
        let ended = matches!(fault, Err(Fault::Ended(_)));
        assert_eq!((fault.is_err(), ended), (true, is_end), "{packet}");
    }
}

#[test]
fn nats_lines_and_payloads_do_not_keep_to_frames() {
    let frames = [
        frame(2, "INFO {\"a\":1} \r\n"),
        frame(2, "PO"),
        frame(2, "NG\r\nMSG bench 1 4\r\nPING\r\nMSG bench 1 3\r"),
        frame(2, "\nab"),
        frame(2, "c\r\nPING\r\n"),
    ];
    let seen = receive_cut(nats::subscriber, &upgraded(&frames));
    assert_eq!(
        (seen.payload.as_str(), seen.is_ready),
        ("PING\r\nabc\r\n", true)
    );
    let sent = frames_sent(&seen.sent);
    assert!(sent[0].starts_with("CONNECT {") && sent[0].ends_with("}\r\nSUB bench 1\r\nPING\r\n"));
    assert_eq!(sent[1..], ["PONG\r\n"]);
    let refused = receive(nats::subscriber, &[&upgraded(&[frame(2, "-ERR 'no'\r\n")])]);
    assert_eq!(refused, Err(Fault::Ended("-ERR 'no'".to_owned())));
}

#[test]
fn a_nats_publisher_counts_each_pong_after_the_first_as_taken() {
    let mut publisher = nats::Stream.publisher(&publisher_seat());
    let (mut sent, mut answers) = (Vec::new(), Answers::default());
    publisher.open(&mut Dispatch::new(&mut sent, &mut answers));
    let head = upgraded(&[frame(2, "PONG\r\n")]);
    let mut take = |bytes: &[u8], answers: &mut Answers, sent: &mut Vec<u8>| {
        publisher
            .receive(bytes, &mut Dispatch::new(sent, answers))
            .unwrap();
    };
    take(&head, &mut answers, &mut sent);
    assert!(answers.ready && answers.outcomes.is_empty());
    take(&frame(2, "PONG\r\nPONG\r\n"), &mut answers, &mut sent);
    assert_eq!(answers.outcomes, [(true, 2)]);
    sent.truncate(sent.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4);
    publisher.publish("bench", b"abc", &mut Dispatch::new(&mut sent, &mut answers));
    assert_eq!(frames_sent(&sent), ["PUB bench 3\r\nabc\r\nPING\r\n"]);
}

#[test]
fn posts_are_answered_one_at_a_time() {
    let (mut sent, mut answers) = (Vec::new(), Answers::default());
    let mut publisher = post::Post.publisher(&publisher_seat());
    publisher.open(&mut Dispatch::new(&mut sent, &mut answers));
    assert!(answers.ready);
    publisher.publish("bench", b"abc", &mut Dispatch::new(&mut sent, &mut answers));
    let text = String::from_utf8(sent.clone()).unwrap();
    assert!(
        text.starts_with("POST /publish/bench HTTP/1.1\r\n"),
        "{text}"
    );
    assert!(text.ends_with("\r\nContent-Length: 3\r\n\r\nabc"), "{text}");
    let answer = b"HTTP/1.1 201 x\r\nContent-Length: 2\r\n\r\nok\
        HTTP/1.1 507 x\r\nContent-Length: 0\r\n\r\n";
    for byte in answer {
        let mut dispatch = Dispatch::new(&mut sent, &mut answers);
        publisher.receive(&[*byte], &mut dispatch).unwrap();
    }
    assert_eq!(answers.outcomes, [(true, 1), (false, 1)]);
}

#[test]
fn frames_sent_reads_what_client_frame_writes() {
    let mut sent = b"\r\n\r\n".to_vec();
    client_frame(&mut sent, TEXT, b"abc", 5);
    assert_eq!(frames_sent(&sent), ["abc"]);
    let masked = Frames::default().walk(&sent[4..], |_| Ok(()));
    assert!(masked.is_err());
}
