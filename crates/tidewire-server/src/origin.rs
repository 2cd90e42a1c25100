//! Which pages may use the gateway, and what their browsers are told.
//!
//! Shape: [`Origins`] judges the `Origin` header of every request before anything else happens; the answer carries the
//! CORS headers, also when it is an error. A preflight is answered here.
//! Bound: the exact list `allowed_origins`; same-origin always passes. No prefix, suffix or substring, no `*`, no `null`.
//! Failure: a foreign Origin is 403 `forbidden` before any upgrade, stream, publish or read.
//! Source: protocol section 7; hazards part 1 rows 1 and 10. A missing Origin passes; a cookie then does not count.

use axum::response::{IntoResponse, Response};
use http::{
    HeaderMap, HeaderValue, Method, Request, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS,
        ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS,
        ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
    },
    uri::Scheme,
};
use tidewire_protocol::Code;

use crate::{config::ConfigError, error::Refusal, host::HostName};

/// The origins that may use the gateway beside its own.
#[derive(Debug, Clone, Default)]
pub(crate) struct Origins {
    allowed: Vec<Site>,
}

/// An origin as it is compared: scheme, host, port.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Site {
    scheme: Scheme,
    name: String,
    port: u16,
}

/// What an `Origin` header comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// There is none: no page sent this.
    Absent,
    /// The page may; the value is echoed to its browser.
    Allowed(HeaderValue),
    /// The page may not.
    Foreign,
}

impl Origins {
    /// Reads the configured list.
    pub(crate) fn new(configured: &[String]) -> Result<Self, ConfigError> {
        let allowed = configured
            .iter()
            .map(|text| {
                let accepted =
                    "an exact origin such as \"https://app.example.com\" (no path, no *, not null)";
                Site::parse(text)
                    .ok_or_else(|| ConfigError::new("http.allowed_origins", text, accepted))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { allowed })
    }

    /// Judges a request that was sent to `host`.
    pub(crate) fn judge(&self, headers: &HeaderMap, host: &HostName, secure: bool) -> Verdict {
        let mut values = headers.get_all(ORIGIN).iter();
        let Some(value) = values.next() else {
            return Verdict::Absent;
        };
        let site = value.to_str().ok().and_then(Site::parse);
        match site {
            Some(site)
                if values.next().is_none()
                    && (site.is(host, secure) || self.allowed.contains(&site)) =>
            {
                Verdict::Allowed(value.clone())
            }
            _ => Verdict::Foreign,
        }
    }
}

impl Site {
    /// Reads `scheme://host` or `scheme://host:port`, and nothing else.
    fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let scheme = match scheme {
            "https" => Scheme::HTTPS,
            "http" => Scheme::HTTP,
            _ => return None,
        };
        let host = HostName::parse(rest)?;
        Some(Self {
            port: host.port_for(&scheme),
            name: host.name,
            scheme,
        })
    }

    fn is(&self, host: &HostName, secure: bool) -> bool {
        let scheme = if secure { Scheme::HTTPS } else { Scheme::HTTP };
        self.scheme == scheme && self.name == host.name && self.port == host.port_for(&scheme)
    }
}

/// What a request may ask for that came from nowhere, or from a page that may.
pub(crate) struct Admitted(Option<HeaderValue>);

/// Lets a request in, or gives the answer to it: a foreign page is refused, a preflight is answered.
pub(crate) fn admit<B>(
    origins: &Origins,
    request: &Request<B>,
    host: &HostName,
    secure: bool,
) -> Result<Admitted, Box<Response>> {
    let admitted = match origins.judge(request.headers(), host, secure) {
        Verdict::Absent => Admitted(None),
        Verdict::Allowed(origin) => Admitted(Some(origin)),
        Verdict::Foreign => {
            let mut response = Refusal::new(Code::Forbidden, FOREIGN).into_response();
            Admitted(None).allow(response.headers_mut());
            return Err(Box::new(response));
        }
    };
    if admitted.0.is_some() && is_preflight(request) {
        let mut response = preflight();
        admitted.allow(response.headers_mut());
        return Err(Box::new(response));
    }
    Ok(admitted)
}

impl Admitted {
    /// Whether a page that may asked, and said so.
    pub(crate) fn has_origin(&self) -> bool {
        self.0.is_some()
    }

    /// The CORS headers of an answer, errors too.
    pub(crate) fn allow(self, headers: &mut HeaderMap) {
        if let Some(origin) = self.0 {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(
                ACCESS_CONTROL_ALLOW_CREDENTIALS,
                HeaderValue::from_static("true"),
            );
            headers.insert(
                ACCESS_CONTROL_EXPOSE_HEADERS,
                HeaderValue::from_static(EXPOSED),
            );
        }
        headers.append(VARY, HeaderValue::from_static("Origin"));
    }
}

fn is_preflight<B>(request: &Request<B>) -> bool {
    request.method() == Method::OPTIONS
        && request
            .headers()
            .contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

fn preflight() -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert(
        ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("GET, POST, DELETE"),
    );
    headers.insert(
        ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static(ACCEPTED),
    );
    headers.insert(
        ACCESS_CONTROL_MAX_AGE,
        HeaderValue::from_static(PREFLIGHT_SECONDS),
    );
    response
}

const FOREIGN: &str =
    "pages of this Origin may not use this gateway; [http] allowed_origins lists those that may";
const ACCEPTED: &str = "Authorization, Content-Type, Last-Event-ID, Idempotency-Key";
const EXPOSED: &str = "Tidewire-Cursor, ETag, Retry-After";
/// How long a browser may keep the answer to a preflight.
const PREFLIGHT_SECONDS: &str = "600";

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(origin: &str, host: &str, secure: bool) -> Verdict {
        let origins = Origins::new(&["https://app.example.com".to_owned()]).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(ORIGIN, origin.parse().unwrap());
        origins.judge(&headers, &HostName::parse(host).unwrap(), secure)
    }

    fn passes(origin: &str, host: &str, secure: bool) -> bool {
        judge(origin, host, secure) == Verdict::Allowed(origin.parse().unwrap())
    }

    #[test]
    fn the_own_origin_and_the_listed_one_pass() {
        assert!(passes("https://localhost:8443", "localhost:8443", true));
        assert!(passes("https://localhost", "localhost", true));
        assert!(passes("https://localhost", "localhost:443", true));
        assert!(passes("http://[::1]:80", "[::1]", false));
        assert!(passes("https://app.example.com", "localhost:8443", true));
        assert!(passes(
            "https://app.example.com:443",
            "localhost:8443",
            true
        ));
    }

    #[test]
    fn everything_that_only_looks_like_it_is_foreign() {
        for origin in [
            "null",
            "https://app.example.com.evil.io",
            "https://evilapp.example.com",
            "http://app.example.com",
            "https://app.example.com:8443",
            "https://app.example.com/",
            "https://user@app.example.com",
            "https://",
            "*",
            "",
            "https://localhost:8444",
            "http://localhost:8443",
            "https://127.0.0.1:8443",
        ] {
            assert_eq!(
                judge(origin, "localhost:8443", true),
                Verdict::Foreign,
                "{origin}"
            );
        }
    }

    #[test]
    fn a_doubled_origin_is_foreign_and_a_missing_one_passes() {
        let host = HostName::parse("a").unwrap();
        let mut headers = HeaderMap::new();
        assert_eq!(
            Origins::default().judge(&headers, &host, true),
            Verdict::Absent
        );
        headers.append(ORIGIN, HeaderValue::from_static("https://a"));
        headers.append(ORIGIN, HeaderValue::from_static("https://a"));
        assert_eq!(
            Origins::default().judge(&headers, &host, true),
            Verdict::Foreign
        );
    }

    #[test]
    fn a_configured_origin_is_exact() {
        for bad in [
            "null",
            "*",
            "https://*.example.com/",
            "app.example.com",
            "https://a/b",
        ] {
            assert!(Origins::new(&[bad.to_owned()]).is_err(), "{bad}");
        }
    }
}
