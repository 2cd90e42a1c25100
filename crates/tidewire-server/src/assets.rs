//! The pages: the lab at `/`, built beforehand and carried in the binary.
//!
//! Shape: a path becomes a file of `web/lab/dist`; anything else is 404. While the pages are being worked on, `web_dir`
//! takes the files from a folder instead.
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
    header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH},
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
        Some(folder) => from_folder(folder, path).await,
        None => Lab::get(path).map(|file| file.data),
    };
    match bytes {
        Some(bytes) => file(path, bytes, request.headers()),
        None => not_found().into_response(),
    }
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

fn file(path: &str, bytes: Cow<'static, [u8]>, asked: &HeaderMap) -> Response {
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

const IMMUTABLE: &str = "public, max-age=31536000, immutable";
const POLICY: &str =
    "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; object-src 'none'";
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
        let first = file("assets/a-1.js", Cow::Borrowed(b"x"), &HeaderMap::new());
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
        let second = file("assets/a-1.js", Cow::Borrowed(b"x"), &asked);
        assert_eq!(second.status(), StatusCode::NOT_MODIFIED);
    }

    #[test]
    fn a_page_may_load_nothing_from_elsewhere() {
        let page = file(
            "index.html",
            Cow::Borrowed(b"<!doctype html>"),
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
