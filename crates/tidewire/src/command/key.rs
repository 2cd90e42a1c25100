//! `tidewire key NAME`: makes an API key and the entry of the configuration that lets it in.
//!
//! Shape: the key on the first line, then the entry. The key is shown here and kept nowhere.
//! Unit: 192 random bits, as hexadecimal digits.
//! Failure: a name that the configuration would refuse is refused here.
//! Source: protocol section 10; the configuration holds the SHA-256 of the key.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use clap::Args;
use sha2::{Digest, Sha256};
use tidewire_server::{KeyConfig, ServerConfig, Tls};

use crate::{command::Outcome, output};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Who will hold the key
    name: String,
}

// Commands take their arguments as they come from the command line.
#[allow(clippy::needless_pass_by_value)]
pub(crate) fn run(arguments: Arguments) -> Result<Outcome> {
    let mut bits = [0; 24];
    getrandom::fill(&mut bits).context("the system gives no random numbers")?;
    let key = format!("tw_{}", hex(&bits));
    output::print(&format!("{key}\n\n{}", entry(&arguments.name, &key)?))?;
    Ok(Outcome::Done)
}

fn entry(name: &str, key: &str) -> Result<String> {
    let digest = hex(&Sha256::digest(key.as_bytes()));
    let mut config = ServerConfig::new(Tls::None);
    config.auth.keys.push(KeyConfig {
        name: name.into(),
        sha256: digest.clone(),
        ..KeyConfig::default()
    });
    config.check()?;
    Ok(format!(
        "[[auth.keys]]\nname = \"{name}\"\nsha256 = \"{digest}\"\n\
         publish = []    # patterns, such as \"orders.>\"\nsubscribe = []\nforget = []\n"
    ))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("text takes everything");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn the_entry_is_configuration_and_holds_the_digest_only() {
        let entry = entry("shop", "tw_secret").unwrap();
        let config: Config = toml::from_str(&entry).unwrap();
        assert_eq!(config.auth.keys[0].name, "shop");
        assert_eq!(
            config.auth.keys[0].sha256,
            hex(&Sha256::digest(b"tw_secret"))
        );
        assert!(!entry.contains("tw_secret"));
    }

    #[test]
    fn a_name_that_the_configuration_refuses_is_refused() {
        for name in ["", "two words", "a\"b", "a\nb"] {
            assert!(entry(name, "tw_secret").is_err(), "{name:?}");
        }
    }
}
