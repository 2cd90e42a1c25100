//! Where the body of an HTTP/1.1 request ends: everybody on its way must see the same end.
//!
//! Shape: [`check`] looks at a request after its Host and before anything else.
//! Failure: a transfer coding that is not `chunked` once and alone is 400, and the connection is closed: a proxy in front
//! could have read another body, and what follows would be a request that nobody has sent.
//! Bound: what hyper has refused already does not come here: differing or odd lengths, a last coding that is not chunked,
//! folded lines, bad chunks. A length beside a transfer coding is gone by now; hyper has read the body by the coding
//! alone and closes after the answer, which RFC 9112 section 6.1 asks for where it is not refused.
//! Source: RFC 9112 sections 6.1 and 7; hazards part 1 row 12.

use http::{HeaderMap, header::TRANSFER_ENCODING};

/// Whether the end of the body is certain.
///
/// # Errors
/// A sentence for the client.
pub(crate) fn check(headers: &HeaderMap) -> Result<(), &'static str> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => Err("the only Transfer-Encoding that is taken is chunked, once"),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_chunked_once_is_taken() {
        let headers = |codings: &[&'static str]| -> HeaderMap {
            let values = codings.iter().map(|each| HeaderValue::from_static(each));
            values.map(|value| (TRANSFER_ENCODING, value)).collect()
        };
        for good in [&[][..], &["chunked"], &["Chunked"]] {
            assert!(check(&headers(good)).is_ok(), "{good:?}");
        }
        for bad in [
            &["gzip, chunked"][..],
            &["chunked, chunked"],
            &["chunked", "chunked"],
            &["identity", "chunked"],
            &[""],
        ] {
            assert!(check(&headers(bad)).is_err(), "{bad:?}");
        }
    }
}
