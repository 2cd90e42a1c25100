//! `tidewire check`: reads the configuration as `serve` would and prints what is in force.
//!
//! Shape: TOML, every key with its value, so that the output is a configuration again.
//! Unit: sizes are shown to a tenth of their unit.
//! Failure: the first mistake, as `serve` words it. Digests of keys are not shown.

use anyhow::Result;

use crate::{
    command::Outcome,
    config::{
        Config,
        load::{Flags, load},
    },
    output,
};

pub(crate) fn run(flags: &Flags) -> Result<Outcome> {
    let config = load(flags)?;
    output::print(&in_force(&config)?)?;
    Ok(Outcome::Done)
}

fn in_force(config: &Config) -> Result<String> {
    let mut config = config.clone();
    for key in &mut config.auth.keys {
        key.sha256 = "(hidden)".into();
    }
    Ok(toml::to_string(&config)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_force_is_a_configuration_again() {
        let text = in_force(&Config::default()).unwrap();
        assert!(text.contains("listen = [\"127.0.0.1:8443\"]"), "{text}");
        assert!(text.contains("event_max_bytes = \"64.0 KiB\""), "{text}");
        assert_eq!(toml::from_str::<Config>(&text).unwrap(), Config::default());
    }

    #[test]
    fn the_digest_of_a_key_is_not_shown() {
        let canary = "c0ffee".repeat(10);
        let text = format!(
            "[[auth.keys]]\nname = \"shop\"\nsha256 = \"{canary}\"\npublish = [\"orders.>\"]\n"
        );
        let config: Config = toml::from_str(&text).unwrap();
        let shown = in_force(&config).unwrap();
        assert!(
            shown.contains("shop") && !shown.contains(&canary),
            "{shown}"
        );
    }
}
