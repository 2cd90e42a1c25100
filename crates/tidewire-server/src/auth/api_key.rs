//! API keys: random text that a backend shows as `Authorization: Bearer KEY`.
//!
//! Shape: the configured digests and the identity behind each.
//! Unit: SHA-256, because a key is random and long: there is nothing to guess that a slow hash would protect.
//! Bound: as many keys as are configured; each token is compared with all of them.
//! Failure: `None` for a token that is no key.
//! Source: protocol section 7; hazards part 1 row 27: constant time, over digests of equal length.

use std::collections::HashSet;

use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use super::{
    Identity,
    identity::key_subject,
    rights::{A_NAME, Grants, is_name},
};
use crate::config::{ConfigError, KeyConfig, RoleConfig};

/// The keys that are known.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    known: Vec<(DigestBytes, Identity)>,
}

type DigestBytes = [u8; 32];

impl Keys {
    pub(crate) fn new(configured: &[KeyConfig], grants: &Grants) -> Result<Self, ConfigError> {
        let mut names = HashSet::new();
        let known = configured
            .iter()
            .map(|key| {
                if !is_name(&key.name) {
                    return Err(ConfigError::new(
                        "auth.keys.name",
                        key.name.escape_debug(),
                        A_NAME,
                    ));
                }
                if !names.insert(key.name.as_str()) {
                    return Err(ConfigError::new(
                        "auth.keys.name",
                        &key.name,
                        "a name that no other key has",
                    ));
                }
                // The value is not shown: somebody may have pasted the key itself.
                let digest = read_digest(&key.sha256).ok_or_else(|| {
                    let at = format!("auth.keys.sha256 of \"{}\"", key.name);
                    ConfigError::new(
                        at,
                        "(not shown)",
                        "the SHA-256 of the key, 64 hexadecimal digits",
                    )
                })?;
                if let Some(role) = key.roles.iter().find(|role| !grants.has_role(role)) {
                    let at = format!("auth.keys.roles of \"{}\"", key.name);
                    let accepted = "names of [auth.roles.NAME] tables";
                    return Err(ConfigError::new(at, role.escape_debug(), accepted));
                }
                let own = RoleConfig {
                    subscribe: key.subscribe.clone(),
                    publish: key.publish.clone(),
                    presence: key.presence.clone(),
                    forget: key.forget.clone(),
                };
                let subject = key_subject(&key.name);
                let rights = grants.rights(&subject, own.for_subject(&subject), &key.roles);
                Ok((digest, Identity::of_key(&key.name, rights)))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { known })
    }

    /// Whose key this is. Takes the same time for every token of one length.
    pub(crate) fn find(&self, token: &str) -> Option<Identity> {
        let digest: DigestBytes = Sha256::digest(token.as_bytes()).into();
        let mut found = Choice::from(0);
        let mut place = 0_u64;
        for (index, (known, _)) in (0_u64..).zip(&self.known) {
            let same = known.ct_eq(&digest);
            place.conditional_assign(&index, same);
            found |= same;
        }
        if !bool::from(found) {
            return None;
        }
        let place = usize::try_from(place).ok()?;
        self.known.get(place).map(|(_, identity)| identity.clone())
    }
}

fn read_digest(hex: &str) -> Option<DigestBytes> {
    if hex.len() != 64 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut digest = [0; 32];
    for (index, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hex.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SHA-256 of "secret".
    const SECRET: &str = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
    /// SHA-256 of "other".
    const OTHER: &str = "D9298A10D1B0735837DC4BD85DAC641B0F3CEF27A47E5D53A54F2F3F5B2FCFFA";

    fn key(name: &str, sha256: &str) -> KeyConfig {
        KeyConfig {
            name: name.into(),
            sha256: sha256.into(),
            ..KeyConfig::default()
        }
    }

    fn keys(configured: &[KeyConfig]) -> Result<Keys, ConfigError> {
        Keys::new(configured, &Grants::default())
    }

    #[test]
    fn a_token_finds_its_own_key_only() {
        let known = keys(&[key("shop", SECRET), key("stock", OTHER)]).unwrap();
        assert_eq!(known.find("secret").unwrap().name(), "key:shop");
        assert_eq!(known.find("other").unwrap().name(), "key:stock");
        assert!(known.find("Secret").is_none());
        assert!(known.find("").is_none());
    }

    #[test]
    fn without_keys_no_token_is_one() {
        assert!(Keys::default().find("secret").is_none());
    }

    #[test]
    fn a_key_in_place_of_its_digest_is_refused_and_not_shown() {
        let error = keys(&[key("shop", "my-secret-key")])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("shop") && !error.contains("my-secret-key"),
            "{error}"
        );
    }

    #[test]
    fn a_role_that_is_not_there_is_refused() {
        let mut shop = key("shop", SECRET);
        shop.roles = vec!["editor".to_owned()];
        let error = keys(&[shop]).unwrap_err().to_string();
        assert!(error.contains("editor"), "{error}");
    }

    #[test]
    fn names_are_unique_and_plain() {
        assert!(keys(&[key("shop", SECRET), key("shop", OTHER)]).is_err());
        assert!(keys(&[key("", SECRET)]).is_err());
        assert!(keys(&[key("a b", SECRET)]).is_err());
    }
}
