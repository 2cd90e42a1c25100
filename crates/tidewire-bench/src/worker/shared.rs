//! Several subscribers as streams of one HTTP/2 connection.
//!
//! Shape: one task owns the connection and drives it with its streams. A stream that ends is asked for again on the same
//! connection; when the connection ends, all are asked for on a new one.
//! Unit: the bytes of the wire are counted for the whole connection. Bound: windows as large as browsers give.
//! Failure: as for a connection of one's own.
//! Source: RFC 9113; the subscriber's request and the body of its answer are the protocol's.

use std::{
    future::Future,
    io,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::future::join_all;
use h2::client::SendRequest;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::OwnedSemaphorePermit,
    time::{sleep, timeout},
};
use tokio_rustls::TlsConnector;

use super::{
    Desk, Room, add,
    subscription::{Conversation, READY_TIMEOUT},
};
use crate::{
    board::Board,
    link::{self, Owner},
    protocol::{Fault, Signals},
};

/// Connects again and again until the task is aborted.
pub(super) async fn run(room: Rc<Room>, desks: Vec<Rc<Desk>>, permit: OwnedSemaphorePermit) {
    let mut permit = Some(permit);
    let Some(first) = desks.first() else {
        return;
    };
    loop {
        let fault = once(&room, &desks, permit.take()).await;
        room.board.fault(&fault);
        add(&room.counter(first).reconnects, desks.len() as u64);
        sleep(room.pause()).await;
    }
}

async fn once(room: &Rc<Room>, desks: &[Rc<Desk>], permit: Option<OwnedSemaphorePermit>) -> Fault {
    let began = room.board.now();
    let connecting = timeout(READY_TIMEOUT, connect(room, &desks[0]));
    let (send, connection) = match connecting.await {
        Ok(Ok(connected)) => connected,
        Ok(Err(fault)) => return fault,
        Err(_elapsed) => {
            return Fault::Connection(format!("no HTTP/2 within {READY_TIMEOUT:?}"));
        }
    };
    drop(permit);
    let streams = desks
        .iter()
        .map(|desk| stream(room, desk, send.clone(), began));
    tokio::select! {
        fault = connection => fault,
        _never = join_all(streams) => Fault::Ended("all streams".into()),
    }
}

type Driver = Pin<Box<dyn Future<Output = Fault>>>;

async fn connect(room: &Rc<Room>, desk: &Desk) -> Result<(SendRequest<Bytes>, Driver), Fault> {
    let target = &desk.target;
    let Some(tls) = &target.tls else {
        return Err(Fault::Connection("HTTP/2 is offered over TLS only".into()));
    };
    let tcp = link::connect(target, target.source(desk.source)).await?;
    let counted = Counted {
        tcp,
        board: Arc::clone(&room.board),
        group: desk.group,
    };
    let connector = TlsConnector::from(tls.with_h2());
    let secured = connector.connect(tls.name.clone(), counted).await?;
    let handshake = h2::client::Builder::new()
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .handshake(secured);
    let (send, connection) = handshake.await.map_err(broken)?;
    let driver = async move {
        match connection.await {
            Ok(()) => Fault::Ended("end of the connection".into()),
            Err(error) => broken(error),
        }
    };
    Ok((send, Box::pin(driver)))
}

/// One subscriber: asks again when its stream ends while the connection lives.
async fn stream(room: &Rc<Room>, desk: &Desk, send: SendRequest<Bytes>, began: u64) {
    loop {
        let fault = match ask(room, desk, send.clone(), began).await {
            Ok(never) => match never {},
            Err(fault) => fault,
        };
        room.board.fault(&fault);
        add(&room.counter(desk).reconnects, 1);
        sleep(room.pause()).await;
    }
}

async fn ask(
    room: &Rc<Room>,
    desk: &Desk,
    send: SendRequest<Bytes>,
    began: u64,
) -> Result<std::convert::Infallible, Fault> {
    desk.intake.borrow_mut().scanner.reset();
    let request = desk.subscriber.borrow_mut().request();
    let request = request.ok_or_else(|| Fault::NotUnderstood("no request for a stream".into()))?;
    let mut send = send.ready().await.map_err(broken)?;
    let (answer, _) = send.send_request(request, true).map_err(broken)?;
    let answer = timeout(READY_TIMEOUT, answer).await;
    let answer =
        answer.map_err(|_| Fault::Connection(format!("no answer within {READY_TIMEOUT:?}")))?;
    let answer = answer.map_err(broken)?;
    if answer.status() != http::StatusCode::OK {
        return Err(Fault::Refused {
            status: answer.status().as_u16(),
            why: String::new(),
        });
    }
    let mut body = answer.into_body();
    let mut conversation = Conversation {
        room,
        desk,
        signals: Signals::default(),
    };
    let mut standing = None;
    let mut out = Vec::new();
    while let Some(bytes) = body.data().await {
        let bytes = bytes.map_err(broken)?;
        conversation.received(&bytes, &mut out)?;
        let given_back = body.flow_control().release_capacity(bytes.len());
        given_back.map_err(broken)?;
        if standing.is_none() && conversation.signals.ready {
            standing = Some(conversation.stands(began));
        }
        add(
            &room.counter(desk).gaps,
            std::mem::take(&mut conversation.signals.gaps),
        );
    }
    Err(Fault::Ended("end of the stream".into()))
}

/// A socket whose bytes are counted.
struct Counted {
    tcp: TcpStream,
    board: Arc<Board>,
    group: usize,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.tcp).poll_read(cx, buffer);
        let count = buffer.filled().len() - before;
        add(&self.board.groups[self.group].bytes_in, count as u64);
        read
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write(cx, bytes);
        if let Poll::Ready(Ok(count)) = written {
            add(&self.board.groups[self.group].bytes_out, count as u64);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

fn broken(error: impl std::fmt::Display) -> Fault {
    Fault::Connection(error.to_string())
}

/// What Chromium gives a stream and a connection.
const STREAM_WINDOW_BYTES: u32 = 6 * 1024 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 15 * 1024 * 1024;
