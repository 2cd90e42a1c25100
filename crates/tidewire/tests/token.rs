//! `tidewire token`, and the configuration of tokens: what is made opens a door, what is shown is what it opens.
//!
//! Method: the real executable; a gateway of the test's own for the doors.
//! Source: protocol sections 7 and 10.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "shared with cli.rs, which uses the rest")]
#[path = "cli/harness.rs"]
mod harness;

use std::fs;

use harness::{Running, finish, refused, run, text, tidewire};
use tempfile::TempDir;

const CONFIG: &str = r#"
    [auth.anonymous]
    [auth.authenticated]
    subscribe = ["inbox.{sub}.>"]
    [auth.roles.editor]
    publish = ["drafts.>"]
    [auth.jwt]
    hs256_secret = "0123456789abcdef0123456789abcdef"
    issuer = "https://id.example.com"
    audience = "tidewire"
    [[auth.keys]]
    name = "shop"
    sha256 = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"
    publish = ["orders.>"]
"#;

fn configured(config: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("gate.toml"), config).unwrap();
    folder
}

/// The one line of a token that was made.
fn made(folder: &TempDir, arguments: &[&str]) -> String {
    let arguments = [&["token", "--config", "gate.toml"], arguments].concat();
    let output = run(folder.path(), &arguments);
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout).trim_end().to_owned()
}

#[test]
fn a_token_that_is_made_is_shown_with_all_that_it_gives() {
    let folder = configured(CONFIG);
    let token = made(
        &folder,
        &["u1", "--subscribe", "orders.u1.>", "--role", "editor"],
    );
    let shown = made(&folder, &["--show", &token]);
    for line in [
        "subject    u1\n",
        "subscribe  orders.u1.>  inbox.u1.>\n",
        "publish    drafts.>\n",
        "presence   (nothing)\n",
    ] {
        assert!(shown.contains(line), "{line} in {shown}");
    }
    let shown = made(&folder, &["--show", "secret"]);
    assert!(
        shown.contains("subject    key:shop\nexpires    never\n"),
        "{shown}"
    );
}

#[test]
fn a_token_that_is_made_opens_a_running_gateway() {
    let folder = configured(CONFIG);
    let serve = ["serve", "--config", "gate.toml", "--listen", "127.0.0.1:0"];
    let serve = [&serve[..], &["--admin", "off"]].concat();
    let gateway = Running::start(tidewire(folder.path(), &serve));
    let url = gateway.line().strip_prefix("ready ").unwrap().to_owned();
    let publish = |topic: &str, token: &str| {
        let arguments = ["publish", topic, "1", "--url", &url, "--token", token];
        finish(Running::start(tidewire(folder.path(), &arguments)))
    };
    let token = made(&folder, &["u1", "--publish", "orders.*"]);
    assert!(publish("orders.a", &token).status.success());
    let told = publish("drafts.a", &token);
    assert!(text(&told.stderr).contains("forbidden"));
}

#[test]
fn a_refused_token_says_why_and_does_not_show_itself() {
    let folder = configured(CONFIG);
    let over = made(&folder, &["u1", "--expires", "0s"]);
    let other = configured(&CONFIG.replace("0123456789abcdef0123456789abcdef", "fedcba9876543210"));
    let foreign = made(&other, &["u1"]);
    for (token, why) in [
        (foreign.as_str(), "signature"),
        ("nonsense", "no token"),
        ("", "no token"),
    ] {
        let told = refused(
            folder.path(),
            &["token", "--config", "gate.toml", "--show", token],
        );
        assert!(told.contains(why), "{told}");
        assert!(token.is_empty() || !told.contains(token), "{told}");
    }
    // Within the leeway it is still good.
    made(&folder, &["--show", &over]);
}

#[test]
fn without_a_secret_no_token_is_made() {
    let folder = configured("");
    let told = refused(folder.path(), &["token", "u1", "--config", "gate.toml"]);
    assert!(told.contains("[auth.jwt]"), "{told}");
    let by_url = "[auth.jwt]\njwks_url = \"https://id.example.com/keys\"\n";
    let folder = configured(by_url);
    let told = refused(folder.path(), &["token", "u1", "--config", "gate.toml"]);
    assert!(told.contains("hs256_secret"), "{told}");
}

#[test]
fn a_configuration_that_cannot_work_is_refused_with_its_key_and_without_its_secret() {
    let secret = "opensesame";
    for (table, key) in [
        ("", "auth.jwt"),
        ("hs256_secret = \"opensesame\"", "auth.jwt.hs256_secret"),
        ("hs256_secret = 7", "auth.jwt.hs256_secret"),
        ("jwks_url = \"http://id.example.com/\"", "auth.jwt.jwks_url"),
        (
            "hs256_secret = \"opensesame-opensesame\"\njwks_url = \"https://a/\"",
            "auth.jwt",
        ),
        (
            "public_key_file = \"nowhere.pem\"",
            "auth.jwt.public_key_file",
        ),
        (
            "hs256_secret = \"opensesame-opensesame\"\nleeway = \"2m\"",
            "auth.jwt.leeway",
        ),
        ("secret = \"opensesame\"", "unknown key auth.jwt.secret"),
    ] {
        let folder = configured(&format!("[auth.jwt]\n{table}\n"));
        let told = refused(
            folder.path(),
            &[
                "serve",
                "--config",
                "gate.toml",
                "--listen",
                "127.0.0.1:0",
                "--admin",
                "off",
            ],
        );
        assert!(told.contains(key), "{told}");
        assert!(!told.contains(secret), "{told}");
    }
}

#[test]
fn the_secret_is_not_printed_by_check() {
    let folder = configured(CONFIG);
    let output = run(folder.path(), &["check", "--config", "gate.toml"]);
    let shown = text(&output.stdout);
    assert!(shown.contains("hs256_secret = \"(hidden)\""), "{shown}");
    assert!(!shown.contains("0123456789abcdef"), "{shown}");
}
