//! What an HTTP/2 stream has to write, and a client that does not let it.
//!
//! Over HTTP/1.1 a client that takes nothing stops its connection, and `write_timeout` ends that. Over HTTP/2 it can take
//! everything else and give one stream no room: by RFC 9113 section 6.9 the answer then waits, for ever. So each stream is
//! looked at by itself.
//! Shape: [`Outflow`] is the body of an answer, in pieces; [`Streams`] runs the task of each stream. The body notes how it
//! was left when the task was polled last: with nothing to write, or with a piece that did not go out.
//! Unit: bytes; one timer, and only while a piece waits.
//! Bound: `write_timeout` without a piece taken; [`PIECE_BYTES`]; [`LAST_BYTES`] for each of the connection's streams, which
//! may be left in the library's buffer.
//! Failure: the stream is reset and what it held is freed; the other streams go on.
//! Source: hazards part 1 rows 14 and 18; CVE-2019-9511 and 9517.

use std::{
    cell::Cell,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::rt::Executor;
use tokio::time::{Instant, Sleep, sleep_until};

/// The body of an answer over HTTP/2.
pub(super) struct Outflow {
    body: Body,
    /// What of a chunk is still to be given.
    rest: Bytes,
}

impl Outflow {
    pub(super) fn new(body: Body) -> Self {
        Self {
            body,
            rest: Bytes::new(),
        }
    }

    fn piece(&mut self, mut chunk: Bytes) -> Frame<Bytes> {
        let size = match chunk.len() {
            more if more > PIECE_BYTES => PIECE_BYTES,
            more if more > LAST_BYTES && self.body.is_end_stream() => more - LAST_BYTES,
            last => last,
        };
        self.rest = chunk.split_off(size);
        LEFT.set(Left::WithPiece);
        Frame::data(chunk)
    }
}

impl HttpBody for Outflow {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if !self.rest.is_empty() {
            let rest = std::mem::take(&mut self.rest);
            return Poll::Ready(Some(Ok(self.piece(rest))));
        }
        LEFT.set(Left::Idle);
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        Poll::Ready(frame.map(|frame| {
            let chunk = frame?.into_data();
            Ok(chunk.map_or_else(|other| other, |chunk| self.piece(chunk)))
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        let body = self.body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(body.lower() + rest);
        if let Some(upper) = body.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

/// Runs the streams of HTTP/2 connections.
#[derive(Clone, Copy)]
pub(super) struct Streams {
    pub(super) write_timeout: Duration,
}

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, run: F) {
        tokio::spawn(Watched {
            run: Some(Box::pin(run)),
            write_timeout: self.write_timeout,
            stalled: None,
        });
    }
}

/// Whether what this thread drops now is a stream that was given up because its client took nothing.
pub(super) fn is_giving_up() -> bool {
    matches!(LEFT.get(), Left::GivenUp)
}

/// The task of one stream, which ends when a piece was not taken in time.
struct Watched<F> {
    /// `None` once it was given up.
    run: Option<Pin<Box<F>>>,
    write_timeout: Duration,
    /// Runs while a piece waits; boxed because that is rare.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<F: Future> Future for Watched<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        LEFT.set(Left::Alone);
        let Some(run) = &mut self.run else {
            return Poll::Ready(());
        };
        if run.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        match LEFT.get() {
            Left::Alone | Left::GivenUp => {}
            Left::Idle => self.stalled = None,
            Left::WithPiece => {
                let deadline = Instant::now() + self.write_timeout;
                self.stalled = Some(Box::pin(sleep_until(deadline)));
            }
        }
        match &mut self.stalled {
            Some(timer) => {
                ready!(timer.as_mut().poll(context));
                LEFT.set(Left::GivenUp);
                self.run = None;
                LEFT.set(Left::Alone);
                tracing::debug!("stream reset: the peer took nothing");
                Poll::Ready(())
            }
            None => Poll::Pending,
        }
    }
}

/// How a body was left when its task was polled.
#[derive(Clone, Copy)]
enum Left {
    /// It was not asked: whatever was, still is.
    Alone,
    /// It has nothing to write.
    Idle,
    /// It gave a piece, and was not asked for another.
    WithPiece,
    /// Its piece was not taken in time: it is being dropped.
    GivenUp,
}

thread_local! {
    /// Of the task that this thread polls; read as soon as the poll is over.
    static LEFT: Cell<Left> = const { Cell::new(Left::Alone) };
}

/// One frame.
const PIECE_BYTES: usize = 16 * 1024;
/// The end of an answer, by itself: with it the task of the stream is over, and what the client does not take stays with
/// the library, where nobody looks at it, until the connection ends.
const LAST_BYTES: usize = 1024;

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt as _, StreamExt as _, stream};
    use http_body_util::BodyExt as _;
    use tokio::time::{advance, pause};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    fn watched(run: impl Future + Send + 'static) -> Watched<impl Future> {
        Watched {
            run: Some(Box::pin(run)),
            write_timeout: LIMIT,
            stalled: None,
        }
    }

    #[tokio::test]
    async fn a_body_comes_whole_and_in_pieces() {
        let chunks = [3, PIECE_BYTES, 5 * PIECE_BYTES + 1, 0];
        let bytes: Vec<Bytes> = chunks.map(|size| Bytes::from(vec![7; size])).to_vec();
        let sent = stream::iter(bytes.into_iter().map(Ok::<_, axum::Error>));
        let mut body = Outflow::new(Body::from_stream(sent));
        let mut total = 0;
        while let Some(frame) = body.frame().await {
            let piece = frame.unwrap().into_data().unwrap();
            assert!(piece.len() <= PIECE_BYTES);
            total += piece.len();
        }
        assert_eq!(total, chunks.iter().sum::<usize>());
        for size in [0, 1, LAST_BYTES + 1, PIECE_BYTES + 1, 3 * PIECE_BYTES] {
            let mut known = Outflow::new(Body::from(vec![7; size]));
            assert_eq!(known.size_hint().exact(), Some(size as u64));
            let (mut total, mut last) = (0, 0);
            while let Some(frame) = known.frame().await {
                last = frame.unwrap().into_data().unwrap().len();
                total += last;
                assert_eq!(known.size_hint().exact(), Some((size - total) as u64));
            }
            assert!(
                total == size && last <= LAST_BYTES,
                "{size}: {total}, {last}"
            );
        }
    }

    #[tokio::test]
    async fn a_piece_that_is_not_taken_ends_the_stream() {
        pause();
        let mut body = Outflow::new(Body::from(vec![7; 2 * PIECE_BYTES]));
        let mut task = watched(async move {
            let _held = body.frame().await;
            std::future::pending::<()>().await;
        });
        assert_eq!((&mut task).now_or_never(), None);
        advance(LIMIT - Duration::from_secs(1)).await;
        assert_eq!((&mut task).now_or_never(), None);
        advance(Duration::from_secs(2)).await;
        assert_eq!((&mut task).now_or_never(), Some(()));
    }

    #[tokio::test]
    async fn each_piece_that_is_taken_begins_the_time_anew() {
        pause();
        let mut body = Outflow::new(Body::from(vec![7; 8 * PIECE_BYTES + LAST_BYTES]));
        let (taken, mut take) = tokio::sync::mpsc::channel(9);
        let mut task = watched(async move {
            while body.frame().await.is_some() {
                take.recv().await;
            }
        });
        for _ in 0..9 {
            assert_eq!((&mut task).now_or_never(), None);
            advance(LIMIT - Duration::from_secs(1)).await;
            taken.send(()).await.unwrap();
        }
        assert_eq!((&mut task).now_or_never(), Some(()));
    }

    #[tokio::test]
    async fn an_answer_that_has_nothing_to_say_waits_as_long_as_it_likes() {
        pause();
        let hello = stream::iter([Ok::<_, axum::Error>("hello")]);
        let mut body = Outflow::new(Body::from_stream(hello.chain(stream::pending())));
        let mut task = watched(async move { while body.frame().await.is_some() {} });
        for _ in 0..3 {
            assert_eq!((&mut task).now_or_never(), None);
            advance(LIMIT * 2).await;
        }
        // One that was not even begun, too.
        let mut held = watched(std::future::pending::<()>());
        assert_eq!((&mut held).now_or_never(), None);
        advance(LIMIT * 2).await;
        assert_eq!((&mut held).now_or_never(), None);
    }
}
