//! The keys that tokens are signed with, each with its one algorithm.
//!
//! Shape: a [`Key`] is read from the secret, from a PEM file or from a JWK; [`Keys`] finds the one that a token needs.
//! Bound: RSA from 2048 to 8192 bits (the cryptography's own), P-256, Ed25519; nothing else.
//! Failure: what is no such key is `None`; its source says what is accepted.
//! Source: RFC 8725 section 3.1: the algorithm is the key's, never the token's; RFC 5280 section 4.1.2.7 for the PEM.

use jsonwebtoken::{
    Algorithm, DecodingKey, Validation,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse},
};
use rustls::pki_types::{SubjectPublicKeyInfoDer, pem::PemObject};

use super::{TokenError, claims::Checks};

/// A key, its algorithm, and what its tokens must have.
#[derive(Debug)]
pub(crate) struct Key {
    kid: Option<String>,
    algorithm: Algorithm,
    decoding: DecodingKey,
    validation: Validation,
}

impl Key {
    pub(super) fn new(algorithm: Algorithm, decoding: DecodingKey, checks: &Checks) -> Self {
        Self {
            kid: None,
            algorithm,
            decoding,
            validation: checks.validation(algorithm),
        }
    }

    /// A key of a set; `None` where it is not for signatures of one of our algorithms.
    pub(super) fn from_jwk(jwk: &Jwk, checks: &Checks) -> Option<Self> {
        let algorithm = algorithm_of(jwk)?;
        let decoding = DecodingKey::from_jwk(jwk).ok()?;
        Some(Self {
            kid: jwk.common.key_id.clone(),
            ..Self::new(algorithm, decoding, checks)
        })
    }

    pub(super) fn decoding(&self) -> &DecodingKey {
        &self.decoding
    }

    pub(super) fn validation(&self) -> &Validation {
        &self.validation
    }
}

/// The keys of one source.
#[derive(Debug)]
pub(crate) struct Keys {
    known: Vec<Key>,
    /// Whether a `kid` chooses among them. A key that is configured by itself has none.
    are_named: bool,
}

impl Keys {
    /// The one key that is configured.
    pub(super) fn one(key: Key) -> Self {
        Self {
            known: vec![key],
            are_named: false,
        }
    }

    /// The keys of a set.
    pub(super) fn of_set(known: Vec<Key>) -> Self {
        Self {
            known,
            are_named: true,
        }
    }

    pub(super) fn has(&self, kid: &str) -> bool {
        let is_it = |key: &Key| key.kid.as_deref() == Some(kid);
        !self.are_named || self.known.iter().any(is_it)
    }

    /// The key for a token with this header.
    pub(super) fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Result<&Key, TokenError> {
        let mut named: Vec<&Key> = match kid {
            Some(kid) if self.are_named => {
                let is_it = |key: &&Key| key.kid.as_deref() == Some(kid);
                self.known.iter().filter(is_it).collect()
            }
            _ => self.known.iter().collect(),
        };
        if named.is_empty() {
            return Err(TokenError::UnknownKey);
        }
        named.retain(|key| key.algorithm == algorithm);
        match named.as_slice() {
            [key] => Ok(key),
            [] => Err(TokenError::WrongAlgorithm),
            // Without a name, or with one that several have, it could be any: nothing is tried out.
            [..] => Err(TokenError::UnknownKey),
        }
    }
}

/// The algorithm of a JWK: that of its kind, unless it says that it is for something else.
fn algorithm_of(jwk: &Jwk) -> Option<Algorithm> {
    let common = &jwk.common;
    if !matches!(common.public_key_use, None | Some(PublicKeyUse::Signature)) {
        return None;
    }
    let operations = common.key_operations.as_deref();
    if operations.is_some_and(|all| !all.contains(&KeyOperations::Verify)) {
        return None;
    }
    let (algorithm, name) = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
            (Algorithm::ES256, KeyAlgorithm::ES256)
        }
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
        }
        // A secret in a public set is no secret.
        AlgorithmParameters::EllipticCurve(_)
        | AlgorithmParameters::OctetKeyPair(_)
        | AlgorithmParameters::OctetKey(_) => return None,
    };
    let agrees = common.key_algorithm.is_none_or(|said| said == name);
    agrees.then_some(algorithm)
}

/// The public key in a PEM text (`BEGIN PUBLIC KEY`); its kind decides the algorithm.
///
/// The three forms have a fixed beginning each, and what follows it is the key as the cryptography takes it.
pub(super) fn from_pem(pem: &[u8]) -> Option<(Algorithm, DecodingKey)> {
    let der = SubjectPublicKeyInfoDer::from_pem_slice(pem).ok()?;
    let der: &[u8] = der.as_ref();
    if let Some(point) = der.strip_prefix(P256) {
        return (point.len() == P256_POINT_BYTES)
            .then(|| (Algorithm::ES256, DecodingKey::from_ec_der(point)));
    }
    if let Some(key) = der.strip_prefix(ED25519) {
        return (key.len() == ED25519_BYTES)
            .then(|| (Algorithm::EdDSA, DecodingKey::from_ed_der(key)));
    }
    // Lengths of two bytes: every key from 2048 bits on has them, and no shorter one is taken.
    let rest = der.strip_prefix(LONG_SEQUENCE)?.get(2..)?;
    let rest = rest.strip_prefix(RSA)?.strip_prefix(LONG_BIT_STRING)?;
    let key = rest.get(2..)?.strip_prefix(&[0])?;
    key.starts_with(LONG_SEQUENCE)
        .then(|| (Algorithm::RS256, DecodingKey::from_rsa_der(key)))
}

/// The accepted form of a key file.
pub(super) const A_PUBLIC_KEY: &str = "a PEM file with one \"BEGIN PUBLIC KEY\": RSA from 2048 bits (RS256), P-256 (ES256) or Ed25519 (EdDSA)";

/// SEQUENCE { SEQUENCE { ecPublicKey, prime256v1 }, BIT STRING of 65 bytes }: RFC 5480 section 2.
const P256: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
const P256_POINT_BYTES: usize = 65;
/// SEQUENCE { SEQUENCE { Ed25519 }, BIT STRING of 32 bytes }: RFC 8410 section 4.
const ED25519: &[u8] = &[
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];
const ED25519_BYTES: usize = 32;
/// SEQUENCE { rsaEncryption, NULL }: RFC 3279 section 2.3.1.
const RSA: &[u8] = &[
    0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
];
/// A SEQUENCE whose length has two bytes.
const LONG_SEQUENCE: &[u8] = &[0x30, 0x82];
/// A BIT STRING whose length has two bytes.
const LONG_BIT_STRING: &[u8] = &[0x03, 0x82];
