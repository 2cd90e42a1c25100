//! Answers that never came: the event is stored, nobody knows, and whoever repeats gets the first answer.

use std::net::SocketAddr;
use std::process::Stdio;

use rand::Rng;
use tidewire_client::{Client, NewEvent, PublishElement, Transport};
use tidewire_tests::{Engine, Executable, Flow, Proxy, Subscriber, rounds, seeded, within};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Command;

/// Goal: a publish whose answer was lost is repeated by the client and stored once, also where the gateway
/// was killed in between. Method: a proxy holds the answer back; once a subscriber has the event, the
/// connection is cut, or the gateway is killed and started again.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_lost_is_given_again() {
    for is_killed in [false, true] {
        let folder = Executable::folder();
        let mut gateway = Executable::start(folder.path(), Engine::Disk, "127.0.0.1:0").await;
        let address = gateway.address().to_owned();
        let proxy = proxy(&address).await;
        let client = Client::builder(url(&proxy)).ca_pem(gateway.certificate());
        let client = client.build().unwrap();
        let single = |data: i64| NewEvent::json("n", &data).unwrap();
        // Its connection is open before an answer is lost.
        client.publish(&single(0)).await.unwrap();
        let mut cursor = "start".to_owned();
        let mut expected = vec![0];
        for (round, count) in [1_i64, 1, 3].into_iter().enumerate() {
            let data: Vec<i64> = (1..=count)
                .map(|n| n + 10 * i64::try_from(round).unwrap())
                .collect();
            expected.extend(&data);
            let events: Vec<_> = data.iter().map(|data| single(*data)).collect();
            proxy.flow(Flow::Pass, Flow::Stall);
            let publishing = {
                let client = client.clone();
                tokio::spawn(async move {
                    if let [event] = &events[..] {
                        let answer = client.publish(event).await.unwrap();
                        return vec![(answer.id, answer.duplicate)];
                    }
                    let answers = client.publish_all(&events).await.unwrap();
                    let answers = answers.into_iter().map(|answer| match answer {
                        PublishElement::Answer(answer) => (answer.id, answer.duplicate),
                        PublishElement::Problem(problem) => panic!("{problem:?}"),
                    });
                    answers.collect()
                })
            };
            let transport = Transport::ALL[round];
            let mut subscriber =
                Subscriber::open(&gateway.client(), transport, &["n"], &cursor).await;
            let mut stored = Vec::new();
            let seen = if round == 0 {
                expected.len()
            } else {
                data.len()
            };
            for _ in 0..seen {
                stored.push(subscriber.event().await.id);
            }
            assert!(!publishing.is_finished(), "the answer came through");
            cursor = subscriber.cursor().to_owned();
            drop(subscriber);
            if is_killed {
                gateway.kill().await;
                gateway = Executable::start(folder.path(), Engine::Disk, &address).await;
            }
            cut(&proxy);
            let answers = within(publishing).await.unwrap();
            let stored = &stored[seen - data.len()..];
            assert!(
                answers.iter().all(|(_, duplicate)| *duplicate),
                "{answers:?}"
            );
            assert!(
                answers.iter().map(|(id, _)| id).eq(stored),
                "{answers:?} {stored:?}"
            );
        }
        let mut subscriber =
            Subscriber::open(&gateway.client(), Transport::Sse, &["n"], "start").await;
        gateway.client().publish(&single(99)).await.unwrap();
        expected.push(99);
        assert_eq!(subscriber.data(expected.len()).await, expected, "each once");
    }
}

/// Goal: `tidewire publish` sends a key by itself, the same for every attempt. Method: lines of standard
/// input over that proxy; the answer of the second one is lost.
#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_repeats_with_a_key_of_its_own() {
    let folder = Executable::folder();
    let gateway = Executable::start(folder.path(), Engine::Disk, "127.0.0.1:0").await;
    let proxy = proxy(gateway.address()).await;
    let mut command = Command::new(Executable::binary())
        .args(["publish", "n", "-", "--url", &url(&proxy), "--ca"])
        .arg(folder.path().join("tls/cert.pem"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut input = command.stdin.take().unwrap();
    let mut output = BufReader::new(command.stdout.take().unwrap()).lines();
    let mut subscriber =
        Subscriber::open(&gateway.client(), Transport::WebSocket, &["n"], "now").await;

    input.write_all(b"1\n").await.unwrap();
    let answer = within(output.next_line()).await.unwrap().unwrap();
    assert!(!answer.contains("duplicate"), "{answer}");
    subscriber.event().await;
    proxy.flow(Flow::Pass, Flow::Stall);
    input.write_all(b"2\n").await.unwrap();
    let id = subscriber.event().await.id;
    cut(&proxy);
    let answer = within(output.next_line()).await.unwrap().unwrap();
    assert!(
        answer.contains("\"duplicate\":true") && answer.contains(&id),
        "{answer}"
    );
    drop(input);
    assert!(within(command.wait()).await.unwrap().success());

    gateway
        .client()
        .publish(&NewEvent::json("n", &3).unwrap())
        .await
        .unwrap();
    assert_eq!(subscriber.data(1).await, [3], "each once");
}

/// Goal: whatever a kill interrupts, a client that repeats by itself ends with each event stored once.
/// Method: publishers without a pause over a gateway that is killed after a random number of answers and
/// started again at its address.
#[tokio::test(flavor = "multi_thread")]
async fn publishers_outlive_kills_and_store_each_event_once() {
    let mut random = seeded();
    let folder = Executable::folder();
    let mut gateway = Executable::start(folder.path(), Engine::Disk, "127.0.0.1:0").await;
    let address = gateway.address().to_owned();
    let (answered, mut answers) = tokio::sync::mpsc::unbounded_channel();
    let stop = tokio_util::sync::CancellationToken::new();
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|publisher| {
            let (client, answered, stop) = (gateway.client(), answered.clone(), stop.clone());
            tokio::spawn(async move {
                let mut data = publisher;
                while !stop.is_cancelled() {
                    let event = NewEvent::json("n", &data).unwrap();
                    let answer = client.publish(&event).await.unwrap();
                    answered.send((answer.id, data, answer.duplicate)).unwrap();
                    data += PUBLISHERS;
                }
            })
        })
        .collect();
    drop(answered);
    let mut all = Vec::new();
    for _ in 0..rounds(12, 3) {
        for _ in 0..random.random_range(1..100) {
            all.push(within(answers.recv()).await.unwrap());
        }
        gateway.kill().await;
        gateway = Executable::start(folder.path(), Engine::Disk, &address).await;
    }
    stop.cancel();
    for publisher in publishers {
        within(publisher).await.unwrap();
    }
    while let Some(answer) = within(answers.recv()).await {
        all.push(answer);
    }
    let again = all.iter().filter(|(_, _, duplicate)| *duplicate).count();
    eprintln!("{} events, {again} of them answered by a repeat", all.len());
    all.sort();
    let mut subscriber = Subscriber::open(&gateway.client(), Transport::Sse, &["n"], "start").await;
    for (id, data, _) in &all {
        let event = subscriber.event().await;
        assert_eq!(
            (&event.id, event.data.unwrap().get()),
            (id, &*data.to_string())
        );
    }
}

async fn proxy(gateway: &str) -> Proxy {
    Proxy::start(gateway.parse::<SocketAddr>().unwrap(), None)
        .await
        .unwrap()
}

fn url(proxy: &Proxy) -> String {
    format!("https://{}", proxy.address())
}

/// What was held back is lost with its connection; new ones work.
fn cut(proxy: &Proxy) {
    proxy.cut();
    proxy.heal();
}

const PUBLISHERS: u64 = 4;
