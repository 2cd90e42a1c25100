mod peer;

use rustls::{
    HandshakeKind, ProtocolVersion,
    client::ClientConnection,
    crypto::cipher::{AeadKey, Iv, OutboundChunks, OutboundPlainMessage},
    version::{TLS12, TLS13},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use self::peer::{Counting, Jagged, SERVER, client_config, exchange, in_time, over, pair, shaken};
use super::*;

fn noise(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at * 31 + at / 251) as u8).collect()
}

#[tokio::test]
async fn what_is_sent_both_ways_arrives_and_ends_cleanly() {
    for version in [&TLS12, &TLS13] {
        for (room, bytes) in [
            (1, 1_000),
            (100, 40_000),
            (5_000, 400_000),
            (1 << 20, 3 << 20),
        ] {
            let (near, far) = duplex(room);
            let bytes = noise(bytes);
            for heard in exchange(client_config(version), near, far, &bytes).await {
                assert!(heard.unwrap() == bytes, "{version:?} {room}");
            }
        }
    }
}

/// Goal: no split of the bytes between the ends matters. `TIDEWIRE_SEED` gives the same splits again.
#[tokio::test]
async fn any_splits_and_refusals_of_the_socket_lose_nothing() {
    let given = std::env::var("TIDEWIRE_SEED").ok();
    let seed: u64 = given.map_or_else(rand::random, |seed| seed.parse().unwrap());
    eprintln!("TIDEWIRE_SEED={seed}");
    for round in 0..60 {
        let seed = seed ^ round;
        let version = if round % 2 == 0 { &TLS13 } else { &TLS12 };
        let mut config = client_config(version);
        if round % 3 == 0 {
            // Handshake messages in many records.
            config.max_fragment_size = Some(64);
        }
        let room = 1 << (round % 17);
        let (near, far) = duplex(room);
        let (near, far) = (Jagged::new(near, seed), Jagged::new(far, !seed));
        let bytes = noise(room.saturating_mul(500).min(1 << (round % 18)));
        for heard in exchange(config, near, far, &bytes).await {
            assert!(heard.unwrap() == bytes, "round {round}");
        }
    }
}

#[tokio::test]
async fn the_first_protocol_that_both_speak_is_chosen() {
    for (offered, chosen) in [(&["h2", "http/1.1"][..], "h2"), (&["http/1.1"], "http/1.1")] {
        let mut config = client_config(&TLS13);
        config.alpn_protocols = offered
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        let (near, far) = duplex(1 << 16);
        let (_server, client) = over(config, near, far).await;
        assert_eq!(client.get_ref().1.alpn_protocol(), Some(chosen.as_bytes()));
    }
}

#[tokio::test]
async fn only_a_handshake_that_offers_nothing_else_is_an_authoritys() {
    let mut server = ServerConfig::clone(&SERVER.0);
    server.alpn_protocols.push(b"acme-tls/1".to_vec());
    let server = Arc::new(server);
    for (offered, is_challenge) in [
        (&["acme-tls/1"][..], true),
        (&["acme-tls/1", "h2"], false),
        (&["http/1.1"], false),
        (&[], false),
    ] {
        let mut config = client_config(&TLS13);
        config.alpn_protocols = offered
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        let (near, far) = duplex(1 << 16);
        let (stream, _client) = shaken(Arc::clone(&server), config, near, far).await;
        assert_eq!(stream.is_challenge(), is_challenge, "{offered:?}");
    }
}

#[tokio::test]
async fn many_slices_are_one_write_to_the_socket() {
    let (inner, far) = duplex(1 << 20);
    let near = Counting { inner, writes: 0 };
    let (mut server, mut client) = over(client_config(&TLS13), near, far).await;
    let bytes = noise(60_000);
    let slices: Vec<IoSlice<'_>> = bytes.chunks(7).map(IoSlice::new).collect();
    server.wire.writes = 0;
    let written = server.write_vectored(&slices).await.unwrap();
    assert_eq!((written, server.wire.writes), (bytes.len(), 1));
    let mut heard = vec![0; bytes.len()];
    in_time(client.read_exact(&mut heard)).await.unwrap();
    assert!(heard == bytes);
}

#[tokio::test]
async fn a_reader_with_little_room_gets_every_byte() {
    let (mut server, mut client) = pair(&TLS13, 1 << 20).await;
    let bytes = noise(50_000);
    client.write_all(&bytes).await.unwrap();
    client.shutdown().await.unwrap();
    let mut heard = Vec::new();
    let mut into = [0; 13];
    loop {
        match in_time(server.read(&mut into)).await.unwrap() {
            0 => break,
            read => heard.extend_from_slice(&into[..read]),
        }
    }
    assert!(heard == bytes);
}

#[tokio::test]
async fn a_client_that_does_not_read_stops_the_writer_and_what_was_taken_arrives() {
    let (mut server, mut client) = pair(&TLS13, 4_000).await;
    let bytes = noise(3 * WRITE_BYTES);
    let mut taken = 0;
    poll_fn(|context| {
        while let Poll::Ready(written) = Pin::new(&mut server).poll_write(context, &bytes[taken..])
        {
            taken += written.unwrap();
        }
        Poll::Ready(())
    })
    .await;
    assert_eq!(taken, WRITE_BYTES);
    let mut heard = vec![0; taken];
    let (flushed, read) =
        in_time(async { tokio::join!(server.flush(), client.read_exact(&mut heard)) }).await;
    flushed.unwrap();
    read.unwrap();
    assert!(heard == bytes[..taken]);
}

#[tokio::test]
async fn an_idle_stream_holds_no_buffer() {
    let (mut server, mut client) = pair(&TLS13, 1 << 20).await;
    let bytes = noise(30_000);
    client.write_all(&bytes).await.unwrap();
    let mut heard = vec![0; bytes.len()];
    in_time(server.read_exact(&mut heard)).await.unwrap();
    server.write_all(&bytes).await.unwrap();
    server.flush().await.unwrap();
    assert_eq!(server.records.buffered(), 0);
}

#[tokio::test]
async fn keys_that_the_client_renews_are_followed_in_both_directions() {
    let (mut server, mut client) = pair(&TLS13, 4_096).await;
    for round in 0..10_u8 {
        client.get_mut().1.refresh_traffic_keys().unwrap();
        client.write_all(&[round]).await.unwrap();
        client.flush().await.unwrap();
        assert_eq!(in_time(server.read_u8()).await.unwrap(), round);
        server.write_all(&[round]).await.unwrap();
        server.flush().await.unwrap();
        assert_eq!(in_time(client.read_u8()).await.unwrap(), round);
    }
}

#[tokio::test]
async fn a_client_that_comes_again_resumes() {
    let config = client_config(&TLS13);
    for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
        let (near, far) = duplex(1 << 16);
        let (mut server, mut client) = over(config.clone(), near, far).await;
        assert_eq!(client.get_ref().1.handshake_kind(), Some(expected));
        // The tickets come with the first bytes.
        server.write_all(b"a").await.unwrap();
        assert_eq!(in_time(client.read_u8()).await.unwrap(), b'a');
    }
}

#[tokio::test]
async fn an_end_without_close_notify_is_no_clean_end() {
    let (mut server, client) = pair(&TLS13, 4_096).await;
    drop(client.into_inner().0);
    let error = in_time(server.read_u8()).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn after_the_clients_end_the_last_answer_still_goes_out() {
    for version in [&TLS12, &TLS13] {
        let (mut server, mut client) = pair(version, 4_096).await;
        client.shutdown().await.unwrap();
        let mut heard = Vec::new();
        assert_eq!(in_time(server.read_to_end(&mut heard)).await.unwrap(), 0);
        server.write_all(b"goodbye").await.unwrap();
        server.shutdown().await.unwrap();
        in_time(client.read_to_end(&mut heard)).await.unwrap();
        assert_eq!(heard, b"goodbye");
        let error = server.write(b"more").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}

#[tokio::test]
async fn another_protocol_is_answered_with_an_alert() {
    let (near, mut far) = duplex(4_096);
    far.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    let accepted = in_time(TlsStream::accept(Arc::clone(&SERVER.0), near)).await;
    let error = accepted.map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    let mut heard = Vec::new();
    in_time(far.read_to_end(&mut heard)).await.unwrap();
    assert_eq!(heard[0], ALERT, "{heard:?}");
}

#[tokio::test]
async fn a_handshake_message_without_end_is_refused() {
    let (near, mut far) = duplex(4_096);
    // A ClientHello of 65,535 bytes in records of 100.
    let mut record = vec![22, 3, 1, 0, 100];
    record.resize(105, 0);
    let mut first = record.clone();
    first[5..9].copy_from_slice(&[1, 0, 0xff, 0xff]);
    let sending = async {
        far.write_all(&first).await.unwrap();
        // Until the other end is gone.
        while far.write_all(&record).await.is_ok() {}
    };
    let accepting = TlsStream::accept(Arc::clone(&SERVER.0), near);
    let (accepted, ()) = in_time(async { tokio::join!(accepting, sending) }).await;
    let error = accepted.map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
}

#[tokio::test]
async fn a_forged_record_is_answered_with_an_alert_and_ends_the_stream() {
    for version in [&TLS12, &TLS13] {
        let (mut server, mut client) = pair(version, 4_096).await;
        client.write_all(b"good").await.unwrap();
        client.flush().await.unwrap();
        let mut forged = vec![23, 3, 3, 0, 40];
        forged.resize(45, 7);
        // Twice: the second is not looked at.
        client
            .get_mut()
            .0
            .write_all(&forged.repeat(2))
            .await
            .unwrap();
        let mut heard = [0; 64];
        assert_eq!(in_time(server.read(&mut heard)).await.unwrap(), 4);
        for _ in 0..2 {
            let error = in_time(server.read(&mut heard)).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            server.write(b"more").await.unwrap_err();
        }
        server.shutdown().await.unwrap();
        let error = in_time(client.read_u8()).await.unwrap_err();
        assert!(error.to_string().contains("BadRecordMac"), "{error}");
    }
}

/// Goal: rustls keeps its place in a message of several records; writing must not disturb it. Method: a KeyUpdate in
/// two records, made by hand with the client's keys, and a write between them.
#[tokio::test]
async fn a_write_between_the_halves_of_a_message_does_no_harm() {
    let mut config = client_config(&TLS13);
    config.enable_secret_extraction = true;
    let (near, far) = duplex(1 << 16);
    let (mut server, client) = over(config, near, far).await;
    let (mut far, connection) = client.into_inner();
    let mut keys = Keys::of(connection);
    let key_update = [24, 0, 0, 1, 0];
    let (one, two) = key_update.split_at(3);

    far.write_all(&keys.seal(HANDSHAKE, one)).await.unwrap();
    let mut into = [0; 8];
    let mut into = ReadBuf::new(&mut into);
    let read = poll_fn(|context| Poll::Ready(Pin::new(&mut server).poll_read(context, &mut into)));
    assert!(read.await.is_pending());
    assert!(!server.records.rest().is_empty());
    server.write_all(b"between").await.unwrap();
    far.write_all(&keys.seal(HANDSHAKE, two)).await.unwrap();
    drop(far);
    let mut heard = Vec::new();
    // The message was taken; what follows is the end of the socket.
    let error = in_time(server.read_to_end(&mut heard)).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    assert!(server.records.rest().is_empty());
}

/// What a client encrypts with.
struct Keys {
    encrypter: Box<dyn rustls::crypto::cipher::MessageEncrypter>,
    sequence: u64,
}

impl Keys {
    fn of(connection: ClientConnection) -> Self {
        let suite = connection
            .negotiated_cipher_suite()
            .unwrap()
            .tls13()
            .unwrap();
        let (sequence, secrets) = connection.dangerous_extract_secrets().unwrap().tx;
        let (key, iv): (AeadKey, Iv) = match secrets {
            rustls::ConnectionTrafficSecrets::Aes128Gcm { key, iv }
            | rustls::ConnectionTrafficSecrets::Aes256Gcm { key, iv }
            | rustls::ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (key, iv),
            _ => unreachable!("no other suite is offered"),
        };
        Self {
            encrypter: suite.aead_alg.encrypter(key, iv),
            sequence,
        }
    }

    fn seal(&mut self, content_type: rustls::ContentType, bytes: &[u8]) -> Vec<u8> {
        let message = OutboundPlainMessage {
            typ: content_type,
            version: ProtocolVersion::TLSv1_2,
            payload: OutboundChunks::Single(bytes),
        };
        let sealed = self.encrypter.encrypt(message, self.sequence).unwrap();
        self.sequence += 1;
        sealed.encode()
    }
}

const ALERT: u8 = 21;
const HANDSHAKE: rustls::ContentType = rustls::ContentType::Handshake;
