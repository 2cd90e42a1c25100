//! The executable itself: how it starts, what it says, how it ends.
//!
//! Method: lines and ends of real processes are awaited, nothing is timed; `cli/harness.rs` runs them.
//! Source: protocol section 10.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "cli/harness.rs"]
mod harness;

use std::{
    fs,
    io::Write,
    net::{TcpListener, TcpStream},
    process::{Command, Output, Stdio},
};

use harness::{Gateway, Running, finish, refused, run, text, tidewire};
use tempfile::TempDir;

#[test]
fn help_and_version_are_there() {
    let folder = TempDir::new().unwrap();
    let help = run(folder.path(), &["--help"]);
    assert!(help.status.success());
    for command in ["serve", "publish", "subscribe", "check", "key", "token"] {
        assert!(text(&help.stdout).contains(command), "{command}");
    }
    let version = run(folder.path(), &["--version"]);
    assert_eq!(text(&version.stdout), "tidewire 0.1.0\n");
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_known_one() {
    let folder = TempDir::new().unwrap();
    fs::write(
        folder.path().join("gate.toml"),
        "[limits]\nheart_beat = \"1s\"\n",
    )
    .unwrap();
    for command in ["serve", "check"] {
        let line = refused(folder.path(), &[command, "--config", "gate.toml"]);
        assert_eq!(
            line,
            "tidewire: unknown key limits.heart_beat in gate.toml; the nearest known key is limits.heartbeat"
        );
    }
}

#[test]
fn an_unknown_variable_is_refused_too() {
    let folder = TempDir::new().unwrap();
    let mut command = tidewire(folder.path(), &["serve"]);
    command.env("TIDEWIRE_LISTNE", "127.0.0.1:0");
    let output = finish(Running::start(command));
    assert!(!output.status.success());
    let told = text(&output.stderr);
    assert!(
        told.contains("TIDEWIRE_LISTNE") && told.contains("key is listen"),
        "{told}"
    );
}

#[test]
fn a_port_in_use_is_refused_on_the_first_line() {
    let folder = TempDir::new().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let line = refused(
        folder.path(),
        &["serve", "--listen", &address, "--admin", "off"],
    );
    assert!(
        line.starts_with(&format!("tidewire: cannot listen on {address}")),
        "{line}"
    );
}

#[test]
fn an_address_that_others_reach_needs_somebody_authorized() {
    let folder = TempDir::new().unwrap();
    let line = refused(folder.path(), &["serve", "--listen", "0.0.0.0:0"]);
    assert!(
        line.contains("0.0.0.0:0") && line.contains("tidewire key NAME"),
        "{line}"
    );
}

#[test]
fn a_bad_certificate_and_a_bad_folder_are_refused_on_the_first_line() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("bad.pem"), "not a certificate").unwrap();
    let listen = ["serve", "--listen", "127.0.0.1:0", "--admin", "off"];
    let with = |more: &[&str]| refused(folder.path(), &[&listen[..], more].concat());
    let line = with(&["--tls-cert", "bad.pem", "--tls-key", "bad.pem"]);
    assert!(line.contains("bad.pem"), "{line}");
    let line = with(&["--data-dir", "bad.pem/below"]);
    assert!(line.contains("bad.pem/below"), "{line}");
}

#[test]
fn a_log_that_is_in_use_is_refused_on_the_first_line() {
    let gateway = Gateway::start(&[]);
    let listen = ["serve", "--listen", "127.0.0.1:0", "--admin", "off"];
    let line = refused(gateway.folder.path(), &listen);
    assert!(
        line.starts_with("tidewire: cannot open the log in tidewire-data"),
        "{line}"
    );
}

/// Damage that the store's library itself meets with a panic, too.
#[test]
fn a_damaged_log_is_refused_on_the_first_line_with_a_cure() {
    let gateway = Gateway::start(&[]);
    for number in 0..20 {
        let payload = format!("{number}").repeat(100);
        let published = gateway.command(&["publish", "a", &payload]);
        assert!(finish(Running::start(published)).status.success());
    }
    let folder = gateway.stop();
    let journal = folder.path().join("tidewire-data/0.jnl");
    let mark = folder.path().join("tidewire-data/head");
    let (bytes, marked) = (fs::read(&journal).unwrap(), fs::read(&mark).unwrap());
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    for place in (end / 4..end).step_by(end / 8) {
        let mut damaged = bytes.clone();
        damaged[place] ^= 0x55;
        fs::write(&journal, damaged).unwrap();
        fs::write(&mark, &marked).unwrap();
        let mut running = Running::start(tidewire(
            folder.path(),
            &["serve", "--listen", "127.0.0.1:0", "--admin", "off"],
        ));
        let first = running.stderr.recv_timeout(harness::DEADLINE).unwrap();
        if first.contains("new epoch: subscribers") {
            // Not refused: the log has lost its end, and is told to have.
            running.child.kill().unwrap();
            running.wait();
        } else {
            assert_is_told(&first);
            assert_eq!(running.wait().code(), Some(1));
        }
    }
}

/// The library would abort the process while it cleans up after its panic.
#[test]
fn a_log_whose_list_of_tables_is_damaged_is_refused_on_the_first_line() {
    let folder = Gateway::start(&[]).stop();
    let lists = folder.path().join("tidewire-data/keyspaces/1");
    for entry in fs::read_dir(lists).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_str().unwrap().starts_with('v') {
            let bytes = fs::read(&path).unwrap();
            fs::write(&path, vec![0; bytes.len()]).unwrap();
        }
    }
    let listen = ["serve", "--listen", "127.0.0.1:0", "--admin", "off"];
    assert_is_told(&refused(folder.path(), &listen));
}

fn assert_is_told(first: &str) {
    let is_told =
        first.starts_with("tidewire: ") && first.contains("Put back a copy of the folder");
    assert!(is_told, "{first}");
}

#[test]
fn a_log_without_its_mark_goes_on_in_a_new_epoch_and_says_so() {
    let folder = Gateway::start(&[]).stop();
    fs::remove_file(folder.path().join("tidewire-data/head")).unwrap();
    let gateway = Running::start(tidewire(
        folder.path(),
        &["serve", "--listen", "127.0.0.1:0", "--admin", "off"],
    ));
    let told = gateway.told("new epoch");
    assert!(
        told.contains("WARN") && told.contains("mark is missing"),
        "{told}"
    );
}

#[test]
fn an_echo_that_is_left_on_is_told_in_the_log() {
    let gateway = Gateway::start(&["--conformance-echo"]);
    let told = gateway.running.told("/echo");
    assert!(told.contains("WARN"), "{told}");
}

#[test]
fn check_prints_what_is_in_force_and_hides_digests() {
    let folder = TempDir::new().unwrap();
    let digest = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    let file = format!(
        "data_dir = \"here\"\n[[auth.keys]]\nname = \"shop\"\nsha256 = \"{digest}\"\npublish = [\"orders.>\"]\n"
    );
    fs::write(folder.path().join("gate.toml"), file).unwrap();
    let mut command = tidewire(folder.path(), &["check", "--config", "gate.toml"]);
    command.env("TIDEWIRE_LIMITS__HEARTBEAT", "7s");
    let output = finish(Running::start(command));
    assert!(output.status.success());
    let shown = text(&output.stdout);
    for line in [
        "data_dir = \"here\"",
        "heartbeat = \"7s\"",
        "name = \"shop\"",
    ] {
        assert!(shown.contains(line), "{line} in {shown}");
    }
    assert!(!shown.contains(digest), "{shown}");
}

#[test]
fn a_key_is_made_with_the_entry_that_lets_it_in() {
    let folder = TempDir::new().unwrap();
    let output = run(folder.path(), &["key", "shop"]);
    let shown = text(&output.stdout);
    let (key, entry) = shown.split_once("\n\n").unwrap();
    assert!(
        key.starts_with("tw_") && entry.starts_with("[[auth.keys]]"),
        "{shown}"
    );
    let entry = entry.replace("publish = []", "publish = [\"orders.>\"]");
    let file = format!("[auth.anonymous]\n{entry}");
    fs::write(folder.path().join("gate.toml"), file).unwrap();
    let arguments = [
        "serve",
        "--config",
        "gate.toml",
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "off",
    ];
    let gateway = Running::start(tidewire(folder.path(), &arguments));
    let url = gateway.line().strip_prefix("ready ").unwrap().to_owned();
    let publish = |topic: &str, token: Option<&str>| {
        let mut command = tidewire(folder.path(), &["publish", topic, "1", "--url", &url]);
        if let Some(token) = token {
            command.env("TIDEWIRE_TOKEN", token);
        }
        finish(Running::start(command))
    };
    assert!(publish("orders.a", Some(key)).status.success());
    let told = |output: Output| text(&output.stderr).to_owned();
    assert!(told(publish("other", Some(key))).contains("forbidden"));
    assert!(told(publish("orders.a", None)).contains("give --token TOKEN"));
    assert!(told(publish("orders.a", Some("tw_wrong"))).contains("unauthorized"));
}

#[test]
fn an_event_goes_from_publish_to_subscribe_over_each_transport() {
    let gateway = Gateway::start(&["--engine", "memory"]);
    for transport in ["ws", "sse", "poll", "auto"] {
        let arguments = [
            "subscribe",
            "demo.>",
            "--transport",
            transport,
            "--count",
            "2",
        ];
        let mut subscriber = Running::start(gateway.command(&arguments));
        subscriber.told("connected over");
        let topic = format!("demo.{transport}");
        let answer = gateway.publish(&[&topic, r#"{"n": 1.10}"#, "--type", "t"]);
        assert!(text(&answer.stdout).starts_with("{\"id\":\""), "{answer:?}");
        let line = subscriber.line();
        assert!(line.contains(&format!("\"topic\":\"{topic}\"")), "{line}");
        assert!(line.ends_with(r#""type":"t","data":{"n":1.10}}"#), "{line}");
        gateway.publish(&[&topic, "two words"]);
        assert!(subscriber.line().ends_with(r#""data":"two words"}"#));
        assert!(subscriber.wait().success());
    }
    let arguments = ["subscribe", "demo.*", "--last", "3", "--count", "3"];
    let retained = finish(Running::start(gateway.command(&arguments)));
    assert_eq!(text(&retained.stdout).lines().count(), 3);
}

#[test]
fn lines_of_standard_input_are_published_in_their_order() {
    let gateway = Gateway::start(&["--engine", "memory"]);
    let publish = |key: &str| {
        let mut command = gateway.command(&["publish", "lines", "-", "--key", key]);
        command.stdin(Stdio::piped());
        let mut publisher = Running::start(command);
        let mut input = publisher.stdin.take().unwrap();
        for line in 0..700 {
            writeln!(input, "{{\"line\":{line}}}").unwrap();
        }
        writeln!(input, "\nand text").unwrap();
        drop(input);
        finish(publisher)
    };
    let first = publish("k");
    assert!(first.status.success(), "{first:?}");
    assert_eq!(text(&first.stdout).lines().count(), 701);
    let again = publish("k");
    let duplicates = text(&again.stdout).matches("\"duplicate\":true").count();
    assert_eq!(duplicates, 701);
    let arguments = ["subscribe", "lines", "--after", "start", "--count", "701"];
    let retained = finish(Running::start(gateway.command(&arguments)));
    let shown = text(&retained.stdout);
    for (line, event) in shown.lines().take(700).enumerate() {
        assert!(
            event.ends_with(&format!("\"data\":{{\"line\":{line}}}}}")),
            "{event}"
        );
    }
    assert!(shown.ends_with("\"data\":\"and text\"}\n"));
}

#[test]
fn what_cannot_work_ends_a_client_command_with_one_clear_line() {
    let gateway = Gateway::start(&["--engine", "memory"]);
    let told = |arguments: &[&str]| {
        let output = finish(Running::start(gateway.command(arguments)));
        assert!(!output.status.success());
        assert_eq!(text(&output.stdout), "");
        text(&output.stderr).to_owned()
    };
    assert!(told(&["subscribe", "a..b"]).contains("400 bad_topic"));
    assert!(told(&["subscribe", "a", "--after", "nonsense"]).contains("400 bad_cursor"));
    assert!(told(&["publish", "$own", "1"]).contains("403 forbidden"));
    let foreign = TempDir::new().unwrap();
    let arguments = ["subscribe", "a", "--url", &gateway.url];
    let output = run(foreign.path(), &arguments);
    assert!(
        text(&output.stderr).contains("give --ca FILE"),
        "{output:?}"
    );
}

#[test]
fn a_subscriber_outlives_its_gateway_and_goes_on_with_the_cursor() {
    let folder = TempDir::new().unwrap();
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let address = format!("127.0.0.1:{port}");
    let serve = ["serve", "--listen", &address, "--admin", "off"];
    let start = || {
        let gateway = Running::start(tidewire(folder.path(), &serve));
        assert_eq!(gateway.line(), format!("ready https://{address}"));
        gateway
    };
    let url = format!("https://{address}");
    let publish = |data: &str| run(folder.path(), &["publish", "a", data, "--url", &url]);
    let mut first = start();
    let subscriber = Running::start(tidewire(folder.path(), &["subscribe", "a", "--url", &url]));
    subscriber.told("connected over websocket");
    assert!(publish("1").status.success());
    assert!(subscriber.line().ends_with("\"data\":1}"));
    first.signal("TERM");
    assert!(first.wait().success());
    subscriber.told("next try in");
    let _second = start();
    assert!(publish("2").status.success());
    assert!(subscriber.line().ends_with("\"data\":2}"));
    subscriber.told("resumed over websocket");
}

#[test]
fn a_signal_drains_and_ends_with_success() {
    for signal in ["TERM", "INT"] {
        let mut gateway = Gateway::start(&[]);
        let subscriber = Running::start(gateway.command(&["subscribe", "a", "--transport", "sse"]));
        subscriber.told("connected");
        gateway.running.signal(signal);
        assert!(gateway.running.wait().success());
        subscriber.told("draining");
    }
}

#[test]
fn a_second_signal_ends_a_drain_at_once() {
    let mut gateway = Gateway::start(&["--insecure-http"]);
    let address = gateway.url.strip_prefix("http://").unwrap();
    let mut held = TcpStream::connect(address).unwrap();
    // A publish whose body never comes: the drain waits for it.
    write!(
        held,
        "POST /topics/a HTTP/1.1\r\nHost: {address}\r\nContent-Length: 9\r\n\r\nx"
    )
    .unwrap();
    let answered = gateway.publish(&["a", "1"]);
    assert!(answered.status.success());
    gateway.running.signal("TERM");
    gateway.running.told("draining");
    gateway.running.signal("TERM");
    assert_eq!(gateway.running.wait().code(), Some(128 + 15));
}

#[test]
fn a_hang_up_looks_at_the_certificate_files_and_ends_nothing() {
    let elsewhere = TempDir::new().unwrap();
    let config = elsewhere.path().join("gate.toml");
    // Nothing looks at them by itself while this test lasts.
    fs::write(&config, "[tls]\nreload_interval = \"1h\"\n").unwrap();
    let mut gateway = Gateway::start(&["--config", config.to_str().unwrap()]);
    let cert = gateway.folder.path().join("tidewire-data/tls/cert.pem");
    let good = fs::read(&cert).unwrap();
    fs::write(&cert, "no certificate").unwrap();
    gateway.running.signal("HUP");
    gateway.running.told("changed certificate refused");
    fs::write(&cert, good).unwrap();
    gateway.running.signal("HUP");
    gateway.running.told("certificate taken");
    assert!(gateway.publish(&["a", "1"]).status.success());
    gateway.running.signal("TERM");
    assert!(gateway.running.wait().success());
}

#[test]
fn the_lines_to_try_work_when_pasted() {
    if Command::new("curl").arg("--version").output().is_err() {
        eprintln!("SKIPPED: there is no curl on this machine");
        return;
    }
    let gateway = Gateway::start(&["--data-dir", "its own folder"]);
    let line = |name: &str| {
        let line = gateway
            .announcement
            .iter()
            .find(|line| line.starts_with(name));
        line.unwrap()[name.len()..].trim().to_owned()
    };
    let shell = |script: &str| {
        let mut command = Command::new("sh");
        command
            .args(["-c", script])
            .current_dir(gateway.folder.path());
        Running::start(command)
    };
    let published = shell(&line("Publish:"));
    assert!(published.line().contains("\"topic\":\"demo.hello\""));
    let stream = shell(&format!("exec {}", line("Subscribe:")));
    while !stream.line().contains(r#""data":{"hello":"world"}"#) {}
    let lab = shell(&format!(
        "curl -s -o /dev/null -w '%{{http_code}}\\n' --cacert 'its own folder/tls/cert.pem' {}",
        line("Lab:")
    ));
    assert_eq!(lab.line(), "200");
}

#[test]
fn a_reader_that_leaves_ends_a_command_quietly() {
    let gateway = Gateway::start(&["--engine", "memory"]);
    for n in 0..3 {
        gateway.publish(&["a", &n.to_string()]);
    }
    let script = format!(
        "{} subscribe a --after start --url {} 2>errors | head -1",
        env!("CARGO_BIN_EXE_tidewire"),
        gateway.url
    );
    let mut command = Command::new("sh");
    command
        .args(["-c", &script])
        .current_dir(gateway.folder.path());
    let mut pipe = Running::start(command);
    assert!(pipe.line().ends_with("\"data\":0}"));
    // The command notices with its next line that nobody reads.
    while pipe.child.try_wait().unwrap().is_none() {
        gateway.publish(&["a", "more"]);
    }
    assert!(pipe.wait().success());
    let errors = fs::read_to_string(gateway.folder.path().join("errors")).unwrap();
    assert!(!errors.contains("pipe"), "{errors}");
}
