//! A token in a cookie: what a browser sends by itself, whoever asked it to.
//!
//! Shape: [`token`] finds it; [`is_proven`] says whether the request shows that a page asked which may. Where it does not,
//! the front marks the request as [`Unproven`], and whoever asks for the identity behind the cookie gets a refusal.
//! Bound: one cookie of the name.
//! Failure: 403 for a cookie without that proof, 401 for one that proves nothing.
//! Source: protocol section 7; hazards part 1 row 11; Fetch Metadata for `Sec-Fetch-Site`, which no page can set.

use http::{HeaderMap, Method, header::COOKIE};

/// A request has the cookie, and nothing shows that a page asked for it that may.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unproven;

/// The value of the cookie; `Err` where there are two.
pub(super) fn token(headers: &HeaderMap) -> Result<Option<&str>, TwoCookies> {
    let mut values = headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().strip_prefix(NAME)?.strip_prefix('='))
        // A page that has signed out may leave an empty one.
        .filter(|value| !value.is_empty());
    let value = values.next();
    if values.next().is_some() {
        return Err(TwoCookies);
    }
    Ok(value)
}

/// Two cookies of the name: whichever was read, somebody else may have set it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TwoCookies;

/// Whether there is such a cookie at all.
pub(crate) fn is_shown(headers: &HeaderMap) -> bool {
    token(headers).map_or(true, |value| value.is_some())
}

/// Whether a page asked that may use the cookie. `is_admitted`: there was an Origin, and it is our own or listed; a foreign one
/// does not come this far.
pub(crate) fn is_proven(
    method: &Method,
    path: &str,
    headers: &HeaderMap,
    is_admitted: bool,
) -> bool {
    // A WebSocket can publish, whatever its method.
    let only_reads = matches!(*method, Method::GET | Method::HEAD) && path != "/ws";
    let site = headers.get("sec-fetch-site").map(|value| value.as_bytes());
    match (is_admitted, only_reads) {
        (true, true) => true,
        (true, false) => matches!(site, None | Some(b"same-origin" | b"same-site")),
        // Browsers send no Origin with a GET to the page's own origin; this header says then that it is.
        (false, true) => site == Some(b"same-origin"),
        (false, false) => false,
    }
}

/// The prefix makes browsers take it only over TLS, from this very host, for all of its paths (RFC 6265bis).
const NAME: &str = "__Host-tidewire";

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(cookies: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for cookie in cookies {
            headers.append(COOKIE, HeaderValue::from_static(cookie));
        }
        headers
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        for good in [
            &["__Host-tidewire=a.b.c"][..],
            &["x=1; __Host-tidewire=a.b.c; y=2"],
            &["x=1", "__Host-tidewire=a.b.c"],
            &["__Host-tidewire=; __Host-tidewire=a.b.c"],
        ] {
            assert_eq!(token(&headers(good)), Ok(Some("a.b.c")), "{good:?}");
        }
        for none in [
            &[][..],
            &["__Host-tidewire"],
            &["__Host-tidewire="],
            &["__Host-tidewire2=a"],
            &["a__Host-tidewire=a"],
            &["__host-tidewire=a"],
        ] {
            assert_eq!(token(&headers(none)), Ok(None), "{none:?}");
        }
        let two = headers(&["__Host-tidewire=a", "__Host-tidewire=b"]);
        assert_eq!(token(&two), Err(TwoCookies));
        assert!(is_shown(&two));
    }

    #[test]
    fn a_cookie_needs_an_origin_that_may_or_the_browsers_word() {
        let site = |value: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            if let Some(value) = value {
                headers.insert("sec-fetch-site", HeaderValue::from_static(value));
            }
            headers
        };
        let proven = |method: Method, path, value, is_admitted| {
            is_proven(&method, path, &site(value), is_admitted)
        };
        assert!(proven(Method::GET, "/sse", None, true));
        assert!(proven(Method::GET, "/sse", Some("cross-site"), true));
        assert!(proven(Method::GET, "/poll", Some("same-origin"), false));
        assert!(!proven(Method::GET, "/poll", Some("same-site"), false));
        assert!(!proven(Method::GET, "/poll", Some("none"), false));
        assert!(!proven(Method::GET, "/poll", None, false));
        for (method, path) in [
            (Method::POST, "/publish"),
            (Method::DELETE, "/topics/a/events"),
            (Method::GET, "/ws"),
            (Method::CONNECT, "/ws"),
        ] {
            let proven = |site, is_admitted| proven(method.clone(), path, site, is_admitted);
            assert!(proven(None, true));
            assert!(proven(Some("same-site"), true));
            assert!(!proven(Some("cross-site"), true));
            assert!(!proven(Some("none"), true));
            assert!(!proven(Some("same-origin"), false));
            assert!(!proven(None, false));
        }
    }
}
