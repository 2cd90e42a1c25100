//! What is wrong with a configuration, in one line.
//!
//! Shape: an error of the reader becomes key, value, accepted form and the place where it stands.
//! Bound: one error, the first; secrets are never shown.
//! Source: protocol section 10.

use figment::{
    Figment, Metadata, Source,
    error::Kind,
    value::{Tag, Value},
};

use crate::config::{
    Config,
    load::{COMMAND_LINE, PREFIX},
};

/// The first error as one line.
pub(crate) fn explain(figment: &Figment, error: figment::Error) -> String {
    let error = error
        .into_iter()
        .next()
        .expect("an error holds at least one");
    let root = figment.find_value("").ok();
    match &error.kind {
        Kind::UnknownField(name, expected) => {
            let path = &error.path;
            let place = place(figment, root.as_ref(), path, &error);
            let nearest = nearest(path, name, expected);
            format!(
                "unknown key {}{place}; the nearest known key is {nearest}",
                dotted(path)
            )
        }
        Kind::MissingField(name) => {
            let place = place(figment, root.as_ref(), &error.path, &error);
            format!("{} has no {name}{place}", dotted(&error.path))
        }
        kind => {
            let path = &error.path;
            let found = root.as_ref().and_then(|root| find(root, path));
            let place = place(figment, root.as_ref(), path, &error);
            let value =
                found.map_or_else(String::new, |value| format!(" = {}", shown(path, value)));
            format!(
                "{}{value}{place}: accepted is {}",
                dotted(path),
                accepted(path, kind)
            )
        }
    }
}

/// Where a key stands: the file, the variable or the command line.
fn place(
    figment: &Figment,
    root: Option<&Value>,
    path: &[String],
    error: &figment::Error,
) -> String {
    let tag: Option<Tag> = root
        .and_then(|root| find(root, path))
        .map(Value::tag)
        .filter(|tag| !tag.is_default());
    let metadata: Option<&Metadata> = match tag {
        Some(tag) => figment.get_metadata(tag),
        None => error.metadata.as_ref(),
    };
    match metadata {
        Some(metadata) => match &metadata.source {
            Some(Source::File(file)) => format!(" in {}", file.display()),
            _ if metadata.name == COMMAND_LINE => " on the command line".into(),
            _ if metadata.name.contains("environment") => {
                format!(" in the environment ({}{})", PREFIX, variable(path))
            }
            _ => String::new(),
        },
        None => String::new(),
    }
}

fn variable(path: &[String]) -> String {
    path.join("__").to_ascii_uppercase()
}

/// A path as in the file: `auth.keys[0].name`.
fn dotted(path: &[String]) -> String {
    let mut text = String::new();
    for part in path {
        if part.parse::<usize>().is_ok() {
            text.push_str(&format!("[{part}]"));
        } else {
            if !text.is_empty() {
                text.push('.');
            }
            text.push_str(part);
        }
    }
    text
}

fn find<'a>(root: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(root, |value, part| match value {
        Value::Dict(_, members) => members.get(part),
        Value::Array(_, elements) => elements.get(part.parse::<usize>().ok()?),
        _ => None,
    })
}

/// The nearest known key: of the same table by its name, of any other by its whole path.
fn nearest(path: &[String], name: &str, expected: &[&str]) -> String {
    let table = &path[..path.len().saturating_sub(1)];
    let siblings = expected.iter().map(|key| {
        let mut sibling = table.to_vec();
        sibling.push((*key).to_owned());
        (
            strsim::normalized_damerau_levenshtein(name, key),
            dotted(&sibling),
        )
    });
    let others = known().into_iter().map(|key| {
        let last = key.rsplit('.').next().unwrap_or_default();
        let by_name = strsim::normalized_damerau_levenshtein(name, last);
        let by_path = strsim::normalized_damerau_levenshtein(&dotted(path), &key);
        // The same table is more likely, if the names are equally near.
        (by_name.max(by_path) - 0.05, key)
    });
    siblings
        .chain(others)
        .max_by(|(near, _), (nearer, _)| near.total_cmp(nearer))
        .map(|(_, key)| key)
        .unwrap_or_default()
}

/// Every key that has a default, by its path.
fn known() -> Vec<String> {
    fn walk(table: &toml::Table, prefix: &str, keys: &mut Vec<String>) {
        for (key, value) in table {
            let path = match prefix {
                "" => key.clone(),
                prefix => format!("{prefix}.{key}"),
            };
            if let toml::Value::Table(table) = value {
                walk(table, &path, keys);
            }
            keys.push(path);
        }
    }
    let mut keys = Vec::new();
    if let Ok(table) = toml::Table::try_from(Config::default()) {
        walk(&table, "", &mut keys);
    }
    keys
}

fn shown(path: &[String], value: &Value) -> String {
    let table = path.first().map_or("", String::as_str);
    let is_secret =
        |key: &String| ["keys", "hs256_secret", "secret", "url"].contains(&key.as_str());
    if ["auth", "hooks"].contains(&table) && path.iter().any(is_secret) {
        return "(hidden)".into();
    }
    toml::Value::try_from(value).map_or_else(|_| "(unreadable)".into(), |value| value.to_string())
}

/// The accepted form: by the key where it is known, else what the reader expected.
fn accepted(path: &[String], kind: &Kind) -> String {
    let key = path
        .iter()
        .rev()
        .find(|part| part.parse::<usize>().is_err())
        .map_or("", String::as_str);
    if let Some((_, form)) = FORMS.iter().find(|(name, _)| *name == key) {
        return (*form).into();
    }
    match kind {
        _ if key.ends_with("_bytes") => "a size such as \"64KiB\"".into(),
        _ if key.ends_with("_timeout") => A_DURATION.into(),
        Kind::InvalidType(_, expected) | Kind::InvalidValue(_, expected) => expected.clone(),
        Kind::UnknownVariant(_, names) => names
            .iter()
            .map(|name| format!("{name:?}"))
            .collect::<Vec<_>>()
            .join(" or "),
        other => other.to_string(),
    }
}

const A_DURATION: &str = "a duration such as \"15s\"";
const SOME_PATTERNS: &str = "a list of topics and patterns such as [\"orders.>\"]";

/// Keys whose form the reader would not word well.
const FORMS: [(&str, &str); 34] = [
    (
        "listen",
        "an address with its port such as \"127.0.0.1:8443\", or a list of them",
    ),
    (
        "admin",
        "an address with its port such as \"127.0.0.1:8444\", or \"off\"",
    ),
    ("engine", "\"disk\" or \"memory\" in this release"),
    ("topics", "a topic or pattern such as \"ticker.>\""),
    ("subscribe", SOME_PATTERNS),
    ("publish", SOME_PATTERNS),
    ("presence", SOME_PATTERNS),
    ("forget", SOME_PATTERNS),
    (
        "roles",
        "tables [auth.roles.NAME], and in a key a list of such names",
    ),
    ("hs256_secret", "a text of at least 16 bytes"),
    ("public_key_file", "a path such as \"/etc/tidewire/id.pem\""),
    (
        "jwks_url",
        "an address such as \"https://id.example.com/keys\"",
    ),
    ("leeway", A_DURATION),
    ("jwks_refresh", A_DURATION),
    ("jwks_pause", A_DURATION),
    ("ticket_ttl", A_DURATION),
    ("retry_pause", A_DURATION),
    ("breaker_pause", A_DURATION),
    ("poll_cache", A_DURATION),
    ("keep", A_DURATION),
    ("timeout", A_DURATION),
    ("max_age", A_DURATION),
    ("heartbeat", A_DURATION),
    ("hsts", A_DURATION),
    ("reload_interval", A_DURATION),
    (
        "redirect_listen",
        "an address with its port such as \"0.0.0.0:80\"",
    ),
    (
        "trusted_proxies",
        "a list of networks and addresses such as [\"10.0.0.0/8\"]",
    ),
    ("idempotency_window", A_DURATION),
    ("flush_interval", A_DURATION),
    ("commit_max_wait", A_DURATION),
    ("sync_interval", A_DURATION),
    ("durability", "\"always\", \"interval\" or \"none\""),
    ("data_dir", "a path such as \"/var/lib/tidewire\""),
    ("insecure_http", "true or false"),
];
