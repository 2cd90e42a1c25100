use tidewire_protocol::GapReason;

use super::*;

fn state(choice: TransportChoice, start: Start) -> State {
    State::new(choice, start, Backoff::default())
}

fn event(id: &str) -> Frame {
    let text = format!(r#"{{"id":"{id}","topic":"a","time":1,"data":1}}"#);
    Frame::Event(ReceivedEvent::parse(&text).unwrap())
}

fn hello(cursor: &str, resumed: bool) -> Frame {
    Frame::Hello(Opened {
        session: None,
        cursor: Some(cursor.into()),
        resumed,
        heartbeat: Duration::from_secs(3),
    })
}

fn heartbeat(cursor: &str) -> Frame {
    Frame::Heartbeat {
        cursor: cursor.into(),
    }
}

fn gap(cursor: &str) -> Frame {
    Frame::Gap(Gap {
        topics: vec!["a".into()],
        after: "k-11".into(),
        cursor: cursor.into(),
        reason: GapReason::Evicted,
    })
}

fn lost() -> ClientError {
    ClientError::Lost("cut".into())
}

fn closed(code: u16, retry_after: Option<Duration>) -> ClientError {
    ClientError::Closed {
        code,
        reason: "…".into(),
        retry_after,
        bye: true,
    }
}

fn wait(step: Step) -> Duration {
    match step {
        Step::Again { wait, .. } => wait,
        Step::End(error) => panic!("ended: {error}"),
    }
}

#[test]
fn the_cursor_of_hello_resumes_a_session_that_saw_no_event() {
    let mut state = state(TransportChoice::Sse, Start::Now);
    assert_eq!(state.attempt(Instant::now()).start, Start::Now);
    state.receive(hello("k-15", false));
    state.ended(lost(), Instant::now(), 0.0);
    let next = state.attempt(Instant::now());
    assert_eq!(next.start, Start::After("k-15".into()));
}

#[test]
fn the_cursor_moves_with_what_is_handed_over() {
    let mut state = state(TransportChoice::Sse, Start::Oldest);
    state.attempt(Instant::now());
    state.receive(hello("k-10", false));
    assert_eq!(state.cursor(), Some("k-10"));
    state.receive(event("k-11"));
    assert_eq!(state.cursor(), Some("k-11"));
    assert!(state.receive(heartbeat("k-19")).is_none());
    assert_eq!(state.cursor(), Some("k-19"));
    state.receive(gap("k-242"));
    assert_eq!(state.cursor(), Some("k-242"));
}

#[test]
fn a_start_with_the_last_events_is_repeated_until_one_was_handed_over() {
    let mut state = state(TransportChoice::Poll, Start::Last(3));
    state.attempt(Instant::now());
    state.receive(Frame::Hello(Opened {
        session: None,
        cursor: None,
        resumed: false,
        heartbeat: Duration::from_secs(25),
    }));
    state.ended(lost(), Instant::now(), 0.0);
    assert_eq!(state.attempt(Instant::now()).start, Start::Last(3));
    state.receive(event("k-17"));
    state.ended(lost(), Instant::now(), 0.0);
    let next = state.attempt(Instant::now());
    assert_eq!(next.start, Start::After("k-17".into()));
}

#[test]
fn a_gap_that_is_owed_holds_the_cursor_back() {
    let mut state = state(TransportChoice::Sse, Start::After("k-11".into()));
    state.attempt(Instant::now());
    state.receive(hello("k-230", false));
    state.receive(heartbeat("k-230"));
    assert_eq!(
        state.cursor(),
        Some("k-11"),
        "cut here, the gap comes again"
    );
    assert!(matches!(state.receive(gap("k-230")), Some(Item::Gap(_))));
    assert_eq!(state.cursor(), Some("k-230"));
    state.receive(heartbeat("k-231"));
    assert_eq!(state.cursor(), Some("k-231"));
}

#[test]
fn a_repeated_event_is_dropped() {
    let mut state = state(TransportChoice::Sse, Start::Now);
    assert!(state.receive(event("k-11")).is_some());
    state.ended(lost(), Instant::now(), 0.0);
    assert!(state.receive(event("k-11")).is_none());
    assert!(state.receive(event("k-12")).is_some());
}

#[test]
fn a_cut_connection_comes_back_with_growing_waits() {
    let mut state = state(TransportChoice::Sse, Start::Now);
    let waits: Vec<_> = (0..3)
        .map(|_| wait(state.ended(lost(), Instant::now(), 1.0)).as_millis())
        .collect();
    assert_eq!(waits, [500, 1000, 2000]);
}

#[test]
fn a_steady_connection_makes_the_next_wait_short() {
    let mut state = state(TransportChoice::Sse, Start::Now);
    let start = Instant::now();
    for _ in 0..5 {
        state.ended(lost(), start, 1.0);
    }
    state.proved(start);
    let step = state.ended(lost(), start + STEADY, 1.0);
    assert_eq!(wait(step), Duration::from_millis(500));
}

#[test]
fn a_connection_that_opens_and_dies_does_not_shorten_the_waits() {
    let mut state = state(TransportChoice::Sse, Start::Now);
    let start = Instant::now();
    let waits: Vec<_> = (0..3)
        .map(|_| {
            state.proved(start);
            wait(state.ended(lost(), start, 1.0)).as_millis()
        })
        .collect();
    assert_eq!(waits, [500, 1000, 2000]);
}

#[test]
fn the_pauses_that_the_gateway_asks_for_are_kept() {
    let pause = Duration::from_millis(1730);
    let mut state = state(TransportChoice::Sse, Start::Now);
    let step = state.ended(closed(4203, Some(pause)), Instant::now(), 0.0);
    assert_eq!(wait(step), pause);
    state.receive(Frame::Retry(Duration::from_secs(2)));
    let step = state.ended(lost(), Instant::now(), 0.0);
    assert_eq!(wait(step), Duration::from_secs(2));
    let busy = ClientError::refused(503, b"", Some(Duration::from_secs(7)));
    assert_eq!(
        wait(state.ended(busy, Instant::now(), 0.0)),
        Duration::from_secs(7)
    );
}

#[test]
fn what_cannot_get_better_ends_the_subscription() {
    let problem =
        br#"{"type":"about:blank","title":"x","status":403,"code":"forbidden","detail":"no"}"#;
    for error in [
        closed(4001, None),
        closed(4003, None),
        ClientError::refused(403, problem, None),
        ClientError::Certificate("unknown issuer".into()),
    ] {
        let mut state = state(TransportChoice::Auto, Start::Now);
        let step = state.ended(error, Instant::now(), 0.0);
        assert!(matches!(step, Step::End(_)), "{step:?}");
    }
}

#[test]
fn a_transport_without_proof_hands_over_to_the_next_at_once() {
    let mut state = state(TransportChoice::Auto, Start::Now);
    let now = Instant::now();
    assert_eq!(state.attempt(now).limit, PROOF_LIMIT);
    let silent = ClientError::Silent(PROOF_LIMIT);
    assert_eq!(wait(state.ended(silent.clone(), now, 1.0)), Duration::ZERO);
    assert_eq!(state.attempt(now).transport, Transport::Sse);
    let proxy = ClientError::refused(404, b"<html>", None);
    assert_eq!(wait(state.ended(proxy, now, 1.0)), Duration::ZERO);
    let last = state.attempt(now);
    assert_eq!(last.transport, Transport::Poll);
    assert_eq!(last.limit, LAST_PROOF_LIMIT);
    assert_eq!(
        wait(state.ended(silent, now, 1.0)),
        Duration::from_millis(500)
    );
    assert_eq!(state.attempt(now).transport, Transport::WebSocket);
}

#[test]
fn an_address_without_a_gateway_is_not_asked_over_every_transport() {
    let mut state = state(TransportChoice::Auto, Start::Now);
    let now = Instant::now();
    let refused = ClientError::Unreachable("connection refused".into());
    assert_ne!(wait(state.ended(refused, now, 1.0)), Duration::ZERO);
    assert_eq!(state.attempt(now).transport, Transport::WebSocket);
}

#[test]
fn a_switch_keeps_the_cursor() {
    let mut state = state(TransportChoice::WebSocket, Start::Now);
    state.receive(event("k-11"));
    state.switch(TransportChoice::Poll);
    let next = state.attempt(Instant::now());
    assert_eq!(next.transport, Transport::Poll);
    assert_eq!(next.start, Start::After("k-11".into()));
}

#[test]
fn the_patience_follows_the_heartbeat_of_hello() {
    let mut state = state(TransportChoice::Sse, Start::Now);
    assert_eq!(state.patience(), HEARTBEAT * 2);
    state.receive(hello("k-10", false));
    assert_eq!(state.patience(), Duration::from_secs(6));
}
