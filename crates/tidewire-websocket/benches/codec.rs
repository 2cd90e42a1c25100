//! What the codec costs, without sockets and TLS.
//!
//! The numbers count decoding into owned messages, encoding, masking and (de)compressing; they leave out every system call.
//! Rates are payload bytes. A name such as `512 to 240` says what a payload of 512 bytes was compressed to.

use std::{
    hint::black_box,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use tidewire_websocket::{
    Codec, Connection, Message, Role, Settings,
    deflate::{self, Agreed, Offer},
    frame::{self, Header, Opcode},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

criterion_group!(benches, read, write, text, compression);
criterion_main!(benches);

fn read(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("read");
    for count in [1, 16] {
        let wire = masked(Opcode::Text, false, &event(128)).repeat(count);
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(format!("{count} masked texts of 128 bytes"), |bench| {
            let mut codec = Codec::new(settings(Role::Server, None));
            bench.iter_batched_ref(
                || wire.clone(),
                |wire| decode_all(&mut codec, wire),
                BatchSize::SmallInput,
            );
        });
        group.bench_function(
            format!("{count} masked texts of 128 bytes through a connection"),
            |bench| {
                let mut connection = over(wire.clone());
                let mut cx = Context::from_waker(Waker::noop());
                bench.iter(|| {
                    for _ in 0..count {
                        assert!(connection.poll_receive(&mut cx).is_ready());
                    }
                });
            },
        );
    }
    let wire = masked(Opcode::Binary, false, &[7; 16 * 1024]);
    group.throughput(Throughput::Bytes(16 * 1024));
    group.bench_function("a masked binary of 16 KiB", |bench| {
        let mut codec = Codec::new(settings(Role::Server, None));
        bench.iter_batched_ref(
            || wire.clone(),
            |wire| decode_all(&mut codec, wire),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

fn write(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("write");
    let payload = event(128);
    let shared = frame::text(&payload);
    group.throughput(Throughput::Elements(1));
    group.bench_function("encode a text of 128 bytes", |bench| {
        bench.iter(|| frame::text(black_box(&payload)));
    });
    for count in [1, 16] {
        group.throughput(Throughput::Elements(count));
        group.bench_function(format!("feed {count} shared frames and flush"), |bench| {
            let mut connection = over(Vec::new());
            let mut cx = Context::from_waker(Waker::noop());
            bench.iter(|| {
                for _ in 0..count {
                    connection.feed(shared.clone());
                }
                assert!(connection.poll_flush(&mut cx).is_ready());
            });
        });
    }
    group.bench_function("feed a text of 128 bytes and flush", |bench| {
        let mut connection = over(Vec::new());
        let mut cx = Context::from_waker(Waker::noop());
        bench.iter(|| {
            connection.feed_text(&payload);
            assert!(connection.poll_flush(&mut cx).is_ready());
        });
    });
    group.finish();
}

fn text(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("text of 16 KiB");
    group.throughput(Throughput::Bytes(16 * 1024));
    let ascii = "a".repeat(16 * 1024);
    let chinese = "中".repeat(16 * 1024 / 3 + 1);
    for (name, payload) in [
        ("ASCII", ascii.as_bytes()),
        ("Chinese", &chinese.as_bytes()[..16 * 1024 - 1]),
    ] {
        let wire = frame::text(payload).to_vec();
        group.bench_function(name, |bench| {
            let mut codec = Codec::new(settings(Role::Client, None));
            bench.iter_batched_ref(
                || wire.clone(),
                |wire| decode_all(&mut codec, wire),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

fn compression(bench: &mut Criterion) {
    for size in [96, 128, 192, 256, 512, 1024, 4096] {
        let payload = event(size);
        let Some(deflated) = deflate::compress(&payload) else {
            continue;
        };
        let name = format!("{size} to {}", deflated.len());
        let mut group = bench.benchmark_group("deflate");
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(&name, |bench| {
            bench.iter(|| deflate::text(black_box(&payload)))
        });
        group.finish();
        let wire = masked(Opcode::Text, true, &deflated);
        let mut group = bench.benchmark_group("inflate");
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(&name, |bench| {
            let mut codec =
                Codec::new(settings(Role::Server, deflate::choose(&[Offer::default()])));
            bench.iter_batched_ref(
                || wire.clone(),
                |wire| decode_all(&mut codec, wire),
                BatchSize::SmallInput,
            );
        });
        group.finish();
    }
}

fn decode_all(codec: &mut Codec, wire: &mut [u8]) -> Option<Message> {
    let mut last = None;
    let mut used = 0;
    while used < wire.len() {
        let decoded = codec.decode(&mut wire[used..]).expect("valid frames");
        used += decoded.used;
        last = decoded.message;
    }
    last
}

/// Each read brings the same bytes, each write takes everything.
struct Endless(Vec<u8>);

fn over(wire: Vec<u8>) -> Connection<Endless> {
    Connection::new(Endless(wire), Bytes::new(), settings(Role::Server, None))
}

impl AsyncRead for Endless {
    fn poll_read(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        buffer.put_slice(&self.0);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Endless {
    fn poll_write(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Poll::Ready(Ok(black_box(bytes).len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn settings(role: Role, deflate: Option<Agreed>) -> Settings {
    Settings {
        role,
        message_max_bytes: 64 * 1024,
        deflate,
    }
}

fn masked(opcode: Opcode, rsv1: bool, payload: &[u8]) -> Vec<u8> {
    let key = [0x37, 0xfa, 0x21, 0x3d];
    let header = Header {
        fin: true,
        rsv1,
        opcode,
        mask: Some(key),
        len: payload.len() as u64,
    };
    let mut wire = header.encode().to_vec();
    wire.extend(
        payload
            .iter()
            .zip(key.iter().cycle())
            .map(|(byte, key)| byte ^ key),
    );
    wire
}

/// An event of so many bytes: a head as every event has it, then rows whose keys come again and whose values do not.
fn event(bytes: usize) -> Vec<u8> {
    let mut json = String::from(
        r#"{"id":"k3x9.184467","topic":"orders.eu.4711","time":1763700000123,"data":{"#,
    );
    for n in 0_u64.. {
        if json.len() >= bytes {
            break;
        }
        let noise = n.wrapping_add(3).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 24;
        json.push_str(&format!(
            r#""price":{},"amount":{},"buyer":"u{noise:x}","#,
            noise % 100_000,
            noise % 97
        ));
    }
    json.truncate(bytes);
    json.into_bytes()
}
