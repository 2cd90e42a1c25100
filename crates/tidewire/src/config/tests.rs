use figment::Jail;

use super::{load::*, *};

/// A folder of its own with this file, these variables and these flags.
// The error type is the jail's.
#[allow(clippy::result_large_err)]
fn loaded(file: &str, variables: &[(&str, &str)], flags: Flags) -> Result<Config, String> {
    let mut outcome = None;
    Jail::expect_with(|jail| {
        jail.clear_env();
        jail.create_file("gate.toml", file)?;
        for (name, value) in variables {
            jail.set_env(name, value);
        }
        let config = Some(PathBuf::from("gate.toml"));
        let loaded = load(&Flags { config, ..flags });
        outcome = Some(loaded.map_err(|error| format!("{error:#}")));
        Ok(())
    });
    outcome.unwrap()
}

fn from_file(file: &str) -> Result<Config, String> {
    loaded(file, &[], Flags::default())
}

fn refused(file: &str) -> String {
    from_file(file).unwrap_err()
}

#[test]
fn an_empty_file_is_the_default() {
    assert_eq!(from_file("").unwrap(), Config::default());
    assert!(Config::default().check().is_ok());
}

#[test]
fn the_example_of_the_protocol_is_accepted() {
    let config = from_file(
        r#"
        listen = ["127.0.0.1:8443"]
        admin = "127.0.0.1:8444"
        engine = "disk"
        data_dir = "tidewire-data"
        [[retention]]
        topics = "ticker.>"
        max_events = 1000
        max_bytes = "16MiB"
        max_age = "1h"
        [http]
        allowed_origins = ["https://app.example.com"]
        [auth.anonymous]
        subscribe = ["public.>"]
        publish = []
        [[auth.keys]]
        name = "shop"
        sha256 = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
        publish = ["orders.>"]
        subscribe = []
        forget = []
        [limits]
        event_max_bytes = "64KiB"
        batch_max_bytes = "1MiB"
        topics_per_session = 64
        connections_per_address = 1000
        publishes_per_second = 1000
        handshake_timeout = "10s"
        heartbeat = "15s"
        "#,
    )
    .unwrap();
    let retention = config.retention();
    let topic = |name| tidewire_protocol::Topic::parse(name).unwrap();
    assert_eq!(retention.of(&topic("ticker.a")).max_events, Some(1000));
    assert_eq!(retention.of(&topic("ticker.a")).max_bytes, Some(16 << 20));
    assert_eq!(retention.of(&topic("other")), Retention::default());
}

#[test]
fn each_source_wins_over_the_former() {
    let file = "data_dir = \"file\"\nengine = \"disk\"\n[limits]\nheartbeat = \"3s\"\n";
    let variables = [
        ("TIDEWIRE_DATA_DIR", "environment"),
        ("TIDEWIRE_ENGINE", "memory"),
        ("TIDEWIRE_LIMITS__PUBLISHES_PER_SECOND", "7"),
    ];
    let flags = Flags {
        data_dir: Some("flag".into()),
        ..Flags::default()
    };
    let config = loaded(file, &variables, flags).unwrap();
    assert_eq!(config.data_dir, PathBuf::from("flag"));
    assert_eq!(config.engine, EngineKind::Memory);
    assert_eq!(config.limits.heartbeat, Duration::from_secs(3));
    assert_eq!(config.limits.publishes_per_second, 7);
}

#[test]
fn every_kind_of_value_can_stand_in_the_environment() {
    let variables = [
        ("TIDEWIRE_LISTEN", "127.0.0.1:0"),
        ("TIDEWIRE_ADMIN", "off"),
        ("TIDEWIRE_LIMITS__EVENT_MAX_BYTES", "128KiB"),
        ("TIDEWIRE_LIMITS__BATCH_MAX_BYTES", "262144"),
        ("TIDEWIRE_AUTH__ANONYMOUS__SUBSCRIBE", "[\"a.>\", \"b\"]"),
        ("TIDEWIRE_RETENTION", "[{topics=\">\", max_events=5}]"),
    ];
    let config = loaded("", &variables, Flags::default()).unwrap();
    assert_eq!(config.listen, ["127.0.0.1:0".parse().unwrap()]);
    assert_eq!(config.admin, None);
    assert_eq!(config.limits.event_max_bytes, ByteSize::kib(128));
    assert_eq!(config.limits.batch_max_bytes, ByteSize::kib(256));
    assert_eq!(config.auth.anonymous.unwrap().subscribe.len(), 2);
    assert_eq!(config.retention[0].max_events, Some(5));
}

#[test]
fn variables_that_are_no_keys_are_left_alone() {
    let variables = [
        ("TIDEWIRE_LOG", "debug"),
        ("TIDEWIRE_TOKEN", "tw_secret"),
        ("TIDEWIRE_SERVICE_HOST", "10.0.0.1"),
        ("TIDEWIRE_PORT", "tcp://10.0.0.1:8443"),
        ("TIDEWIRE_PORT_8443_TCP_ADDR", "10.0.0.1"),
    ];
    assert_eq!(
        loaded("", &variables, Flags::default()).unwrap(),
        Config::default()
    );
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_known_one() {
    assert_eq!(
        refused("[limits]\nheart_beat = \"3s\"\n"),
        "unknown key limits.heart_beat in gate.toml; the nearest known key is limits.heartbeat"
    );
    assert_eq!(
        refused("lisen = [\"127.0.0.1:1\"]\n"),
        "unknown key lisen in gate.toml; the nearest known key is listen"
    );
    assert_eq!(
        refused("heartbeat = \"3s\"\n"),
        "unknown key heartbeat in gate.toml; the nearest known key is limits.heartbeat"
    );
    assert_eq!(
        refused("[[auth.keys]]\nname = \"a\"\nsha = \"00\"\n"),
        "unknown key auth.keys[0].sha in gate.toml; the nearest known key is auth.keys[0].sha256"
    );
    let variables = [("TIDEWIRE_LIMITS__HEARTBEATS", "3s")];
    assert_eq!(
        loaded("", &variables, Flags::default()).unwrap_err(),
        "unknown key limits.heartbeats in the environment (TIDEWIRE_LIMITS__HEARTBEATS); \
         the nearest known key is limits.heartbeat"
    );
}

#[test]
fn a_bad_value_is_refused_with_the_accepted_form() {
    for (file, message) in [
        (
            "[limits]\nheartbeat = \"3 parsecs\"\n",
            "limits.heartbeat = \"3 parsecs\" in gate.toml: accepted is a duration such as \"15s\"",
        ),
        (
            "[limits]\nevent_max_bytes = \"big\"\n",
            "limits.event_max_bytes = \"big\" in gate.toml: accepted is a size such as \"64KiB\"",
        ),
        (
            "engine = \"nats\"\n",
            "engine = \"nats\" in gate.toml: accepted is \"disk\" or \"memory\" in this release",
        ),
        (
            "[[retention]]\ntopics = \"a..b\"\n",
            "retention[0].topics = \"a..b\" in gate.toml: accepted is a topic or pattern such as \"ticker.>\"",
        ),
        (
            "admin = \"localhost\"\n",
            "admin = \"localhost\" in gate.toml: accepted is an address with its port such as \"127.0.0.1:8444\", or \"off\"",
        ),
        (
            "[limits]\ntopics_per_session = -1\n",
            "limits.topics_per_session = -1 in gate.toml: accepted is ",
        ),
    ] {
        let told = refused(file);
        assert!(told.starts_with(message), "{told}");
    }
    let variables = [("TIDEWIRE_LISTEN", "localhost")];
    let told = loaded("", &variables, Flags::default()).unwrap_err();
    assert!(
        told.starts_with(
            "listen = \"localhost\" in the environment (TIDEWIRE_LISTEN): accepted is an address"
        ),
        "{told}"
    );
}

#[test]
fn a_flush_interval_is_at_most_a_second() {
    let set = |interval| format!("[bus]\nflush_interval = \"{interval}\"\n");
    let config = loaded(&set("1s"), &[], Flags::default()).unwrap();
    assert_eq!(config.bus().flush_interval, Duration::from_secs(1));
    let told = refused(&set("1001ms"));
    assert!(
        told.starts_with("bus.flush_interval: accepted is a duration of at most 1s"),
        "{told}"
    );
    let told = refused(&set("soon"));
    assert!(
        told.contains("accepted is a duration such as \"15s\""),
        "{told}"
    );
}

#[test]
fn a_digest_is_never_shown() {
    let told = refused("[[auth.keys]]\nname = \"a\"\nsha256 = [\"canary\"]\n");
    assert!(!told.contains("canary"), "{told}");
}

#[test]
fn a_file_that_is_missing_or_no_toml_is_refused() {
    let flags = Flags {
        config: Some("/nowhere/gate.toml".into()),
        ..Flags::default()
    };
    let told = format!("{:#}", load(&flags).unwrap_err());
    assert!(
        told.starts_with("cannot read the configuration file /nowhere/gate.toml"),
        "{told}"
    );
    let told = refused("engine = \"disk\"\nlisten = [\n");
    assert!(told.starts_with("gate.toml line "), "{told}");
    assert!(!told.contains('\n'), "{told}");
}

#[test]
fn an_address_that_others_reach_needs_somebody_authorized() {
    let open = "listen = [\"127.0.0.1:1\", \"0.0.0.0:2\"]\n";
    let told = refused(open);
    assert!(
        told.starts_with("0.0.0.0:2 can be reached from other machines"),
        "{told}"
    );
    assert!(told.contains("[auth.anonymous]"), "{told}");
    let anonymous = format!("{open}[auth.anonymous]\nsubscribe = [\"public.>\"]\n");
    assert!(from_file(&anonymous).is_ok());
}

#[test]
fn what_only_makes_sense_together_is_checked() {
    let told = refused("[tls]\ncert = \"c.pem\"\n");
    assert!(told.contains("tls.cert and tls.key"), "{told}");
    let told = refused("[limits]\ntopics_per_session = 0\n");
    assert!(told.contains("limits.topics_per_session"), "{told}");
    assert!(refused("listen = []\n").starts_with("listen = []"));
}
