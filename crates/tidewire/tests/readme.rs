//! The tables of the documents say what is so.
//!
//! Method: the executable prints every key that it knows (`tidewire check`), its defaults by themselves and, from a
//! file that sets them, the keys that have none. A row of a table is a line that begins with a key in back-quotes.
//! Source: README.md and README.zh-CN.md, "Configuration"; CONTRIBUTING.md, "Dependencies".

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeSet, env, fs, path::Path, process::Command};

use tempfile::TempDir;
use toml::{Table, Value};

/// Both languages, and under which heading their tables stand.
const READMES: [(&str, &str); 2] = [
    ("README.md", "## Configuration"),
    ("README.zh-CN.md", "## 配置"),
];

/// Sets every key that is not printed by itself because it has no default.
const WITHOUT_DEFAULT: &str = r#"
    [[retention]]
    topics = "ticker.>"
    max_events = 1000
    max_bytes = "16MiB"
    max_age = "1h"
    [http]
    web_dir = "pages"
    [tls]
    cert = "cert.pem"
    key = "key.pem"
    [hooks]
    secret = "0123456789abcdef"
    ca = "backend.pem"
    [hooks.connect]
    url = "https://app.example.com/hook"
    [hooks.subscribe]
    url = "https://app.example.com/hook"
    [hooks.publish]
    url = "https://app.example.com/hook"
    [auth.anonymous]
    [auth.authenticated]
    [auth.roles.NAME]
    [[auth.keys]]
    name = "shop"
    sha256 = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"
    [auth.jwt]
    issuer = "https://id.example.com"
    audience = "tidewire"
"#;

/// One of these stands in `[auth.jwt]`.
const SOURCES: [&str; 3] = [
    "hs256_secret = \"0123456789abcdef0123456789abcdef\"",
    "public_key_file = \"id.pem\"",
    "jwks_url = \"https://id.example.com/keys\"",
];

#[test]
fn every_key_stands_in_the_tables_and_no_other() {
    // One source of keys for tokens at a time.
    let known: BTreeSet<String> = SOURCES
        .iter()
        .flat_map(|source| keys(&in_force(&format!("{WITHOUT_DEFAULT}\n{source}"))))
        .collect();
    for (name, heading) in READMES {
        let rows = rows(&section(name, heading));
        let told: BTreeSet<String> = rows.iter().map(|row| row.key.clone()).collect();
        assert_eq!(rows.len(), told.len(), "{name} has a key twice");
        let missing: Vec<_> = known.difference(&told).collect();
        let unknown: Vec<_> = told.difference(&known).collect();
        assert!(
            missing.is_empty() && unknown.is_empty(),
            "{name}: missing {missing:?}, unknown {unknown:?}"
        );
    }
}

#[test]
fn the_defaults_in_the_tables_are_those_in_force() {
    let defaults = in_force("");
    // What is a list of tables has its defaults in words.
    let with_default = keys(&defaults).len() - usize::from(defaults.contains_key("retention"));
    for (name, heading) in READMES {
        let rows = rows(&section(name, heading));
        let told: Vec<String> = rows
            .iter()
            .filter(|row| !row.key.contains("[]"))
            .filter_map(|row| Some(format!("{} = {}\n", row.key, row.default.as_ref()?)))
            .collect();
        assert_eq!(told.len(), with_default, "{name}: {told:#?}");
        assert_eq!(in_force(&told.concat()), defaults, "{name}");
    }
}

#[test]
fn the_configurations_in_the_readme_are_accepted() {
    for (name, heading) in READMES {
        let section = section(name, heading);
        let mut blocks = section.split("```toml\n").skip(1).peekable();
        assert!(blocks.peek().is_some(), "{name} shows no configuration");
        for block in blocks {
            in_force(block.split("```").next().unwrap());
        }
    }
}

#[test]
fn every_dependency_has_its_reason_and_no_other() {
    let manifest: Table = document("Cargo.toml").parse().unwrap();
    let used = manifest["workspace"]["dependencies"].as_table().unwrap();
    let used: BTreeSet<&str> = used
        .keys()
        .map(String::as_str)
        .filter(|name| !name.starts_with("tidewire-"))
        .collect();
    let section = section("CONTRIBUTING.md", "## Dependencies");
    let cells = section
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.split(" | ").next().unwrap());
    let told: BTreeSet<&str> = cells
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect();
    assert_eq!(told, used);
}

/// What `tidewire check` prints for this file.
fn in_force(file: &str) -> Table {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("gate.toml"), file).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidewire"));
    command.current_dir(folder.path());
    command.args(["check", "--config", "gate.toml"]);
    for (name, _) in env::vars().filter(|(name, _)| name.starts_with("TIDEWIRE_")) {
        command.env_remove(name);
    }
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}{file}");
    String::from_utf8(output.stdout).unwrap().parse().unwrap()
}

/// Every key by its path: `limits.heartbeat`, `auth.keys[].name`.
fn keys(table: &Table) -> BTreeSet<String> {
    fn walk(value: &Value, path: &str, keys: &mut BTreeSet<String>) {
        match value {
            Value::Table(table) => {
                for (key, value) in table {
                    walk(value, &format!("{path}.{key}"), keys);
                }
            }
            Value::Array(list) if list.iter().any(Value::is_table) => {
                for value in list {
                    walk(value, &format!("{path}[]"), keys);
                }
            }
            _ => {
                keys.insert(path.trim_start_matches('.').to_owned());
            }
        }
    }
    let mut keys = BTreeSet::new();
    walk(&Value::Table(table.clone()), "", &mut keys);
    keys
}

struct Row {
    key: String,
    /// As it would stand in a file; `None` where the cell has words.
    default: Option<String>,
}

fn rows(section: &str) -> Vec<Row> {
    let row = |line: &str| {
        let mut cells = line.strip_prefix("| `")?.split(" | ");
        let key = cells.next()?.strip_suffix('`')?.to_owned();
        let default = cells.next()?.strip_prefix('`')?.strip_suffix('`');
        Some((key, default.map(str::to_owned)))
    };
    let words = |line: &str| {
        let key = line.strip_prefix("| `")?.split('`').next()?;
        Some((key.to_owned(), None))
    };
    let rows = section.lines().filter_map(|line| row(line).or(words(line)));
    rows.map(|(key, default)| Row { key, default }).collect()
}

/// What stands below a heading, up to the next one of its rank.
fn section(name: &str, heading: &str) -> String {
    let text = document(name);
    let mut lines = text.lines().skip_while(|line| *line != heading);
    assert!(lines.next().is_some(), "{name} has no {heading:?}");
    let rest: Vec<&str> = lines.take_while(|line| !line.starts_with("## ")).collect();
    rest.join("\n")
}

fn document(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
