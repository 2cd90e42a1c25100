//! The pages: the lab at `/`, built beforehand and carried in the binary.
//!
//! Shape: a path becomes a file of `web/lab/dist`; anything else is 404. The build has put a compressed form beside each
//! file that is worth it, and a browser that takes it gets it. While the pages are being worked on, `web_dir` takes the
//! files from a folder instead.
//! Bound: only what the build put there; a path cannot leave the folder.
//! Failure: 404 `not_found` as a problem, like every unknown path of the gateway.
//! Source: hazards part 1 rows 23 and 33. COOP and COEP give the lab its fine clock.

use std::{borrow::Cow, path::Path};

use axum::{
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
    header::{
        ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
        ETAG, IF_NONE_MATCH, VARY,
    },
};
use rust_embed::RustEmbed;
use sha2::{Digest, Sha256};
use tidewire_protocol::Code;

use crate::{error::Refusal, gateway::Shared};

#[derive(RustEmbed)]
#[folder = "../../web/lab/dist"]
struct Lab;

/// Every path that is no route: a file of the lab, or 404.
pub(crate) async fn serve(State(gateway): State<Shared>, request: Request) -> Response {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return not_found().into_response();
    }
    let path = match request.uri().path().trim_start_matches('/') {
        "" => "index.html",
        path => path,
    };
    let bytes = match &gateway.web_dir {
        Some(folder) => from_folder(folder, path).await.map(Form::plain),
        None => Form::embedded(path, request.headers()),
    };
    match bytes {
        Some(form) => file(path, form, request.headers()),
        None => not_found().into_response(),
    }
}

/// The bytes of a file, and how they are encoded.
struct Form {
    bytes: Cow<'static, [u8]>,
    encoding: Option<&'static str>,
}

impl Form {
    fn plain(bytes: Cow<'static, [u8]>) -> Self {
        Self {
            bytes,
            encoding: None,
        }
    }

    /// The smallest form of an embedded file that the asker takes.
    fn embedded(path: &str, asked: &HeaderMap) -> Option<Self> {
        let plain = Lab::get(path)?;
        let smaller = ENCODINGS.iter().find_map(|&(encoding, ending)| {
            let form = Lab::get(&format!("{path}.{ending}")).filter(|_| takes(asked, encoding))?;
            Some(Self {
                bytes: form.data,
                encoding: Some(encoding),
            })
        });
        Some(smaller.unwrap_or(Self::plain(plain.data)))
    }
}

/// RFC 9110 section 12.5.3: named, and not with a weight of zero. Whoever sends `*` alone gets the plain form.
fn takes(asked: &HeaderMap, encoding: &str) -> bool {
    let values = asked.get_all(ACCEPT_ENCODING).iter();
    let mut named = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|one| {
            let (name, weight) = one.split_once(';').unwrap_or((one, ""));
            let is_it = name.trim().eq_ignore_ascii_case(encoding);
            is_it.then(|| {
                weight
                    .trim()
                    .trim_start_matches("q=")
                    .parse()
                    .unwrap_or(1.0)
            })
        });
    named.next().is_some_and(|weight: f32| weight > 0.0)
}

/// A file of the folder, never one outside it.
async fn from_folder(folder: &Path, path: &str) -> Option<Cow<'static, [u8]>> {
    let plain = |part: &str| {
        !part.is_empty() && !part.starts_with('.') && !part.contains(['\\', '%', '\0', ':'])
    };
    if !path.split('/').all(plain) {
        return None;
    }
    tokio::fs::read(folder.join(path))
        .await
        .ok()
        .map(Cow::Owned)
}

fn file(path: &str, form: Form, asked: &HeaderMap) -> Response {
    let Form { bytes, encoding } = form;
    // Of the encoded bytes: two encodings are two representations.
    let tag = etag(&bytes);
    let known = asked
        .get(IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok());
    let mut response = if known.is_some_and(|known| known.split(',').any(|one| one.trim() == tag)) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let body = match bytes {
            Cow::Borrowed(bytes) => Body::from(bytes),
            Cow::Owned(bytes) => Body::from(bytes),
        };
        Response::new(body)
    };
    let headers = response.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    if let Some(encoding) = encoding {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    // The build writes a hash into every name under assets/, so such a file never changes.
    let cache = if path.starts_with("assets/") {
        IMMUTABLE
    } else {
        "no-cache"
    };
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(cache));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(ETAG, tag);
    }
    let mime = mime_guess::from_path(path).first_or_octet_stream();
    let text =
        mime.type_() == mime_guess::mime::TEXT || mime.subtype() == mime_guess::mime::JAVASCRIPT;
    let mime = if text {
        format!("{mime}; charset=utf-8")
    } else {
        mime.to_string()
    };
    if let Ok(mime) = HeaderValue::from_str(&mime) {
        headers.insert(CONTENT_TYPE, mime);
    }
    for (name, value) in PAGE_HEADERS {
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}

fn etag(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    let hex: String = digest
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("\"{hex}\"")
}

fn not_found() -> Refusal {
    Refusal::new(Code::NotFound, "there is nothing at this path")
}

/// Encodings, the best first, and the ending of the file that the build made.
const ENCODINGS: [(&str, &str); 2] = [("br", "br"), ("gzip", "gz")];
const IMMUTABLE: &str = "public, max-age=31536000, immutable";
const POLICY: &str = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; object-src 'none'";
const PAGE_HEADERS: [(&str, &str); 3] = [
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-embedder-policy", "require-corp"),
    ("cross-origin-resource-policy", "same-origin"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_path_cannot_leave_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        std::fs::create_dir(folder.join("inside")).unwrap();
        std::fs::write(folder.join("page.html"), "hello").unwrap();
        assert!(from_folder(folder, "page.html").await.is_some());
        let inside = folder.join("inside");
        for path in [
            "../page.html",
            "..",
            ".hidden",
            "a//b",
            "/etc/passwd",
            "%2e%2e/page.html",
            "",
        ] {
            assert!(from_folder(&inside, path).await.is_none(), "{path}");
        }
    }

    #[test]
    fn a_known_file_is_not_sent_again() {
        let first = file(
            "assets/a-1.js",
            Form::plain(Cow::Borrowed(b"x")),
            &HeaderMap::new(),
        );
        assert_eq!(first.status(), StatusCode::OK);
        assert_eq!(first.headers()[CACHE_CONTROL], IMMUTABLE);
        assert!(
            first.headers()[CONTENT_TYPE]
                .to_str()
                .unwrap()
                .starts_with("text/javascript")
        );
        let mut asked = HeaderMap::new();
        asked.insert(IF_NONE_MATCH, first.headers()[ETAG].clone());
        let second = file("assets/a-1.js", Form::plain(Cow::Borrowed(b"x")), &asked);
        assert_eq!(second.status(), StatusCode::NOT_MODIFIED);
    }

    #[test]
    fn a_page_comes_in_the_best_encoding_that_the_asker_takes() {
        let page = Lab::iter().find(|path| path.ends_with(".css")).unwrap();
        let encoding = |accepts: &'static str| {
            let mut asked = HeaderMap::new();
            asked.insert(ACCEPT_ENCODING, HeaderValue::from_static(accepts));
            let response = file(&page, Form::embedded(&page, &asked).unwrap(), &asked);
            assert_eq!(response.headers()[VARY], "accept-encoding");
            let encoding = response.headers().get(CONTENT_ENCODING);
            let encoding = encoding.map(|value| value.to_str().unwrap().to_owned());
            (encoding, response.headers()[ETAG].clone())
        };
        let (best, tag) = encoding("gzip, deflate, br, zstd");
        assert_eq!(best.as_deref(), Some("br"));
        assert_eq!(encoding("GZIP;q=0.5").0.as_deref(), Some("gzip"));
        assert_eq!(encoding("br;q=0, gzip").0.as_deref(), Some("gzip"));
        for none in ["", "identity", "br;q=0", "brotli", "*"] {
            assert_eq!(encoding(none).0, None, "{none}");
        }
        assert_ne!(encoding("gzip").1, tag);
    }

    #[test]
    fn a_page_may_load_nothing_from_elsewhere() {
        let page = file(
            "index.html",
            Form::plain(Cow::Borrowed(b"<!doctype html>")),
            &HeaderMap::new(),
        );
        assert_eq!(page.headers()[CACHE_CONTROL], "no-cache");
        assert!(
            page.headers()[CONTENT_SECURITY_POLICY]
                .to_str()
                .unwrap()
                .contains("default-src 'self'")
        );
    }
}
