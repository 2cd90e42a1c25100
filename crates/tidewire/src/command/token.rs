//! `tidewire token SUB`: makes a token for development; `tidewire token --show TOKEN`: says what one may do with it.
//!
//! Shape: a token is one line; what it allows is a line for each right.
//! Unit: HS256, with the secret of the configuration.
//! Failure: a configuration without a secret makes no tokens; a credential that is refused says why and exits with 1.
//! Source: protocol sections 7 and 10.

use std::{fmt::Write as _, time::Duration};

use anyhow::{Context, Result};
use clap::Args;
use tidewire_protocol::Pattern;
use tidewire_server::{Access, TokenRequest, mint};

use crate::{
    command::Outcome,
    config::load::{Flags, load},
    output,
};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Whom the token is for
    #[arg(value_name = "SUB", required_unless_present = "show")]
    subject: Option<String>,
    /// Pattern that it may subscribe and read; may be repeated
    #[arg(long, value_name = "PATTERN")]
    subscribe: Vec<Pattern>,
    /// Pattern that it may publish to; may be repeated
    #[arg(long, value_name = "PATTERN")]
    publish: Vec<Pattern>,
    /// Pattern whose members it may see; may be repeated
    #[arg(long, value_name = "PATTERN")]
    presence: Vec<Pattern>,
    /// Pattern whose events it may forget; may be repeated
    #[arg(long, value_name = "PATTERN")]
    forget: Vec<Pattern>,
    /// Role that it has, by the NAME of [auth.roles.NAME]; may be repeated
    #[arg(long, value_name = "NAME")]
    role: Vec<String>,
    /// How long it is good
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = time)]
    expires: Duration,
    /// Say what one may do with this token or API key instead; "-": read it from standard input
    #[arg(long, value_name = "TOKEN", conflicts_with_all = ["subject", "subscribe", "publish", "presence", "forget", "role"])]
    show: Option<String>,
    /// The configuration file
    #[arg(long, value_name = "FILE", env = "TIDEWIRE_CONFIG")]
    config: Option<std::path::PathBuf>,
}

pub(crate) async fn run(arguments: Arguments) -> Result<Outcome> {
    let config = load(&Flags {
        config: arguments.config.clone(),
        ..Flags::default()
    })?;
    if let Some(token) = &arguments.show {
        let token = match token.as_str() {
            "-" => std::io::read_to_string(std::io::stdin())?,
            token => token.to_owned(),
        };
        let access = Access::of(&config.auth, token.trim()).await?;
        output::print(&shown(&access))?;
        return Ok(Outcome::Done);
    }
    let no_secret =
        "there is no [auth.jwt] in the configuration: give --config FILE with a hs256_secret";
    let jwt = config.auth.jwt.as_ref().context(no_secret)?;
    let token = mint(jwt, &arguments.request())?;
    output::print(&format!("{token}\n"))?;
    Ok(Outcome::Done)
}

impl Arguments {
    fn request(self) -> TokenRequest {
        TokenRequest {
            subject: self.subject.unwrap_or_default(),
            subscribe: self.subscribe,
            publish: self.publish,
            presence: self.presence,
            forget: self.forget,
            roles: self.role,
            expires_in: self.expires,
        }
    }
}

/// A line for each fact and each right.
fn shown(access: &Access) -> String {
    let mut text = format!("subject    {}\n", access.subject);
    let mut line = |name: &str, value: &str| {
        writeln!(text, "{name:<10} {value}").expect("text takes everything");
    };
    if let Some(id) = &access.token_id {
        line("id", id);
    }
    match access.expires {
        Some(seconds) => line("expires", &moment(seconds)),
        None => line("expires", "never"),
    }
    let rights = [
        ("subscribe", &access.subscribe),
        ("publish", &access.publish),
        ("presence", &access.presence),
        ("forget", &access.forget),
    ];
    for (name, patterns) in rights {
        let patterns: Vec<&str> = patterns.iter().map(Pattern::as_str).collect();
        match patterns.is_empty() {
            true => line(name, "(nothing)"),
            false => line(name, &patterns.join("  ")),
        }
    }
    text
}

/// A time of a token, in UTC; far ones as the number that they are.
fn moment(seconds: u64) -> String {
    let since = Duration::from_secs(seconds);
    match std::time::UNIX_EPOCH.checked_add(since) {
        Some(time) if seconds <= YEAR_9999 => humantime::format_rfc3339_seconds(time).to_string(),
        _ => seconds.to_string(),
    }
}

fn time(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| "accepted is a duration such as \"1h\"".to_owned())
}

/// The last second that has a date of four digits for its year.
const YEAR_9999: u64 = 253_402_300_799;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_has_a_line_for_each_right() {
        let access = Access {
            subject: "u1".into(),
            token_id: None,
            issued: None,
            expires: Some(1_795_235_658),
            subscribe: vec![Pattern::parse("a.>").unwrap(), Pattern::parse("b").unwrap()],
            publish: vec![],
            presence: vec![],
            forget: vec![],
        };
        assert_eq!(
            shown(&access),
            "subject    u1\nexpires    2026-11-21T04:34:18Z\nsubscribe  a.>  b\npublish    (nothing)\n\
             presence   (nothing)\nforget     (nothing)\n"
        );
        assert_eq!(moment(u64::MAX), u64::MAX.to_string());
    }
}
