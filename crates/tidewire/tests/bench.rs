//! `tidewire bench` against a real gateway: what it counts is what there was.
//!
//! Method: a gateway of the test's own, few subscribers, a short run; the JSON is judged by counts, never by times.
//! Source: the report's schema in `tidewire-bench`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "shared with cli.rs, which uses the rest")]
#[path = "cli/harness.rs"]
mod harness;

use std::fs;

use harness::{Gateway, Running, finish, refused, text};
use serde_json::Value;
use tempfile::TempDir;

const SHORT: [&str; 7] = [
    "bench",
    "--quiet",
    "--duration=500ms",
    "--warm-up=200ms",
    "--poll-interval=100ms",
    "--threads=2",
    "--json=report.json",
];

/// The runs of a bench against this gateway; all that was sent has come, once and in order.
fn bench(gateway: &Gateway, arguments: &[&str]) -> Vec<Value> {
    let mut command = gateway.command(&SHORT);
    command.args(arguments);
    let output = finish(Running::start(command));
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("deliveries/s"));
    let json = fs::read(gateway.folder.path().join("report.json")).unwrap();
    let report: Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(report["schema"], "tidewire-bench/1");
    let runs = report["runs"].as_array().unwrap().clone();
    for group in runs
        .iter()
        .flat_map(|run| run["groups"].as_array().unwrap())
    {
        assert!(group["expected"].as_u64().unwrap() > 0, "{group}");
        assert_eq!(group["deliveries_in_all"], group["expected"], "{group}");
        for nothing in ["lost", "repeated", "reordered", "wrong", "gaps"] {
            assert_eq!(group[nothing], 0, "{nothing}: {group}");
        }
        assert!(group["latency"]["count"].as_u64().unwrap() > 0, "{group}");
    }
    runs
}

#[test]
fn every_transport_delivers_all_that_was_published() {
    let gateway = Gateway::start(&["--engine", "memory"]);
    let load = [
        "--subscribers=12",
        "--topics=3",
        "--rate=20",
        "--publishers=2",
        "--streams=5",
    ];
    let runs = bench(&gateway, &[&load[..], &["--html=report.html"]].concat());
    let names: Vec<&str> = runs
        .iter()
        .map(|run| run["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["websocket", "sse", "sse-h2", "long-poll", "poll"]);
    for run in &runs {
        // 3 topics × 20 a second × 0.7 s, each for a third of the subscribers.
        assert_eq!(run["published"]["accepted"], 42, "{run}");
        assert_eq!(run["groups"][0]["expected"], 42 * 4, "{run}");
        assert!(
            run["server_cpu_seconds"].is_number() && run["memory"].is_object(),
            "{run}"
        );
    }
    let page = fs::read_to_string(gateway.folder.path().join("report.html")).unwrap();
    assert!(page.contains("Latency by percentile"));
}

#[test]
fn full_speed_loses_nothing() {
    let gateway = Gateway::start(&["--engine", "memory"]);
    let runs = bench(
        &gateway,
        &[
            "--transport=websocket,sse-h2",
            "--subscribers=10",
            "--outstanding=4",
            "--publish=rest",
        ],
    );
    assert!(
        runs.iter()
            .all(|run| run["outstanding"] == 4 && run["rate"].is_null())
    );
}

#[test]
fn after_a_cut_all_go_on_where_they_were() {
    let gateway = Gateway::start(&["--engine", "memory"]);
    let runs = bench(
        &gateway,
        &[
            "--scenario=storm",
            "--subscribers=10",
            "--rate=40",
            "--publish=websocket",
        ],
    );
    assert_eq!(runs.len(), 5);
    for run in &runs {
        assert_eq!(
            (&run["storm"]["cut"], &run["storm"]["caught_up"]),
            (&10.into(), &10.into()),
            "{run}"
        );
    }
}

#[test]
fn transports_share_a_gateway_in_a_mix() {
    let gateway = Gateway::start(&["--engine", "memory"]);
    let runs = bench(
        &gateway,
        &["--mix=websocket=4,sse=3,long-poll=2", "--rate=20"],
    );
    assert_eq!(runs.len(), 1);
    let subscribers = |group: &Value| group["subscribers"].as_u64().unwrap();
    let groups: Vec<u64> = runs[0]["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(subscribers)
        .collect();
    assert_eq!(groups, [4, 3, 2]);
}

#[test]
fn a_bench_can_start_its_own_gateway() {
    let folder = TempDir::new().unwrap();
    let mut command = harness::tidewire(folder.path(), &SHORT);
    command.args([
        "--start",
        "--scenario=idle",
        "--transport=sse",
        "--subscribers=5",
    ]);
    let output = finish(Running::start(command));
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(
        text(&output.stdout).contains("KiB/subscriber"),
        "{}",
        text(&output.stdout)
    );
}

#[test]
fn what_cannot_work_is_refused_with_the_accepted_form() {
    let folder = TempDir::new().unwrap();
    let bench = |arguments: &[&str]| {
        let all = [
            &[
                "bench",
                "--quiet",
                "--url=http://127.0.0.1:9",
                "--transport=sse",
            ],
            arguments,
        ]
        .concat();
        refused(folder.path(), &all)
    };
    assert!(bench(&["--payload=39"]).contains("payload = 39: accepted is a count from 40"));
    assert!(bench(&["--rate=0"]).contains("rate = 0: accepted is a number"));
    assert!(bench(&["--subscribers=2", "--topics=3"]).contains("topics = 3: accepted is"));
    let unreached = refused(
        folder.path(),
        &["bench", "--quiet", "--url=https://127.0.0.1:9"],
    );
    assert!(
        unreached.contains("--ca FILE") && unreached.contains("--insecure"),
        "{unreached}"
    );
    for wrong in [
        &["--transport=carrier-pigeon"][..],
        &["--mix=sse"],
        &["--duration=5"],
    ] {
        let all = [&["bench", "--start"], wrong].concat();
        let line = refused(folder.path(), &all);
        assert!(line.starts_with("error: invalid value"), "{line}");
    }
}
