use super::*;

/// A report whose figures are made up and fit each other.
fn report() -> Report {
    let mut histogram = crate::tally::histogram();
    for time in 1..=1000 {
        histogram.saturating_record(time * 10);
    }
    let latency = Latency::of(&histogram);
    let group = |transport: &str| GroupRun {
        server: "Tidewire".into(),
        transport: transport.into(),
        subscribers: 500,
        deliveries: 75_000,
        deliveries_in_all: 100_000,
        expected: 100_000,
        lost: 0,
        repeated: 0,
        reordered: 0,
        wrong: 0,
        gaps: 0,
        reconnects: 0,
        latency: latency.clone(),
        wire_bytes_per_delivery: Some(251.4),
        connect: latency.clone(),
        connects_per_second: 812.3,
    };
    let run = |name: &str, warnings: &[&str]| Run {
        name: name.into(),
        scenario: "fan-out".into(),
        began_unix_seconds: 1_795_235_358,
        measured_seconds: 3.0,
        tls: true,
        subscribers: 500,
        topics: 1,
        payload_bytes: 128,
        rate: Some(50.0),
        outstanding: None,
        publishing: "POST, acknowledged one at a time".into(),
        publishers: 1,
        groups: vec![group(name)],
        deliveries: 75_000,
        deliveries_per_second: 25_000.0,
        server_cpu_seconds: Some(0.75),
        server_cpu_seconds_per_million: Some(10.0),
        memory: Some(Memory {
            before_bytes: 20_000_000,
            connected_bytes: 25_120_000,
            per_subscriber_bytes: 10_240.0,
            peak_bytes: 26_000_000,
            end_bytes: 25_500_000,
            settled_seconds: None,
        }),
        published: PublishedRun {
            sent: 200,
            accepted: 200,
            refused: 0,
            late: None,
            answered: None,
        },
        storm: None,
        tool: Tool {
            threads: 2,
            cpu_seconds: 1.2,
            busiest_thread: Some(0.3),
            machine_busy: Some(0.6),
        },
        samples: vec![
            Sample {
                at_seconds: 0.0,
                connected: 0,
                deliveries: 0,
                sent: 0,
                resident_bytes: Some(20_000_000),
                server_cpu_seconds: Some(0.1),
            },
            Sample {
                at_seconds: 4.0,
                connected: 500,
                deliveries: 100_000,
                sent: 200,
                resident_bytes: Some(25_500_000),
                server_cpu_seconds: Some(1.1),
            },
        ],
        faults: Vec::new(),
        warnings: warnings.iter().map(|text| (*text).to_owned()).collect(),
    };
    let mut idle = run("idle", &[]);
    idle.scenario = "idle".into();
    idle.groups[0].latency = None;
    idle.deliveries = 0;
    Report {
        schema: SCHEMA.into(),
        tool: "tidewire-bench 0.1.0".into(),
        machine: "2 cores, test".into(),
        runs: vec![
            run("websocket", &[]),
            run("sse", &["all cores were busy"]),
            idle,
        ],
    }
}

/// The table and the JSON are what people and programs build on: a change here is meant.
#[test]
fn the_table_is_this_one() {
    assert_eq!(table(&report()), include_str!("tests/table.txt"));
}

#[test]
fn the_json_is_this_one_and_is_read_again() {
    let mut report = report();
    report.runs.truncate(1);
    let json = serde_json::to_string_pretty(&report).unwrap() + "\n";
    assert_eq!(json, include_str!("tests/report.json"));
    assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
}

#[test]
fn the_page_refers_to_nothing_and_runs_nothing() {
    let page = page(&report());
    for part in ["<script", "href=", "src=", "url(", "@import"] {
        assert!(!page.contains(part), "{part}");
    }
    assert_eq!(
        page.matches("http").count(),
        page.matches("http://www.w3.org/2000/svg").count()
    );
    for part in [
        "Latency by percentile",
        "Deliveries a second",
        "all cores were busy",
        "10.0 KiB",
    ] {
        assert!(page.contains(part), "{part}");
    }
}

#[test]
fn figures_have_the_unit_that_fits() {
    let times = [999, 1_000, 9_949, 10_000, 999_999, 1_500_000, 100_000_000].map(microseconds);
    assert_eq!(
        times,
        [
            "999 µs", "1.0 ms", "9.9 ms", "10 ms", "999 ms", "1.5 s", "100 s"
        ]
    );
    assert_eq!(
        [0, 999, 1_000, 1_234_567].map(count),
        ["0", "999", "1,000", "1,234,567"]
    );
}
