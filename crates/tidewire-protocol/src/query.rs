//! Query strings: `application/x-www-form-urlencoded`, decoded once and strictly.
//!
//! Shape: a lazy list of names, each with a value that is decoded only when it is known and asked for.
//! Bound: the request line's own; nothing here grows faster than the query.
//! Failure: [`QueryError`] names the parameter. What the WHATWG's parser would repair (a `%` without two
//! hex digits, bytes that are not UTF-8) is refused, since a repaired topic is another topic.
//! Source: protocol sections 3 and 5; WHATWG URL section 5.1.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use crate::{Code, Cursor, Problem, TopicError};

/// Why a query does not fit: the client's mistake, not to be repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// A topic or pattern does not fit.
    #[error("{parameter}: {source}")]
    BadTopic {
        /// Which parameter.
        parameter: &'static str,
        /// What is wrong.
        source: TopicError,
    },
    /// A cursor is not well-formed.
    #[error("{parameter}: {accepted}")]
    BadCursor {
        /// Which parameter.
        parameter: &'static str,
        /// What is taken there.
        accepted: &'static str,
    },
    /// Any other bad, empty, doubled or missing value.
    #[error("{parameter}: {message}")]
    Bad {
        /// Which parameter.
        parameter: &'static str,
        /// What is wrong, and what is taken there.
        message: String,
    },
}

impl QueryError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::BadTopic { .. } => Code::BadTopic,
            Self::BadCursor { .. } => Code::BadCursor,
            Self::Bad { .. } => Code::BadRequest,
        }
    }

    pub(crate) fn bad(parameter: &'static str, message: impl Into<String>) -> Self {
        Self::Bad {
            parameter,
            message: message.into(),
        }
    }
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

/// The known parameters of a query, each decoded; a name that may stand only once is checked for it.
pub(crate) struct Parameters<'a> {
    rest: std::str::Split<'a, char>,
    known: &'static [&'static str],
    repeatable: &'static str,
    /// At most one entry for each known name.
    seen: Vec<&'static str>,
}

impl<'a> Parameters<'a> {
    /// `repeatable` is the one name that may stand more than once; empty for none.
    pub(crate) fn new(
        query: &'a str,
        known: &'static [&'static str],
        repeatable: &'static str,
    ) -> Self {
        Self {
            rest: query.split('&'),
            known,
            repeatable,
            seen: Vec::new(),
        }
    }

    fn read(&mut self, pair: &'a str) -> Option<Result<(&'static str, Cow<'a, str>), QueryError>> {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = decode(name)?;
        // Unknown parameters are ignored, also when their values are broken.
        let name = *self.known.iter().find(|known| **known == name)?;
        if name != self.repeatable {
            if self.seen.contains(&name) {
                return Some(Err(QueryError::bad(name, "stands more than once")));
            }
            self.seen.push(name);
        }
        let Some(value) = decode(value) else {
            let message = "is not percent-encoded UTF-8";
            return Some(Err(QueryError::bad(name, message)));
        };
        Some(Ok((name, value)))
    }
}

impl<'a> Iterator for Parameters<'a> {
    type Item = Result<(&'static str, Cow<'a, str>), QueryError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let pair = self.rest.next()?;
            if let Some(item) = self.read(pair) {
                return Some(item);
            }
        }
    }
}

/// One decoding, `+` as a space; `None` when an escape is cut or the bytes are not UTF-8.
fn decode(text: &str) -> Option<Cow<'_, str>> {
    let mut escapes = text.split('%');
    escapes.next();
    let whole = |rest: &str| {
        let digits = rest.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    if !escapes.all(whole) {
        return None;
    }
    if text.contains('+') {
        let spaced = text.replace('+', " ");
        let decoded = percent_decode_str(&spaced).decode_utf8().ok()?;
        return Some(Cow::Owned(decoded.into_owned()));
    }
    percent_decode_str(text).decode_utf8().ok()
}

/// A whole number within bounds, digits only.
pub(crate) fn number(
    parameter: &'static str,
    value: &str,
    least: u32,
    most: u32,
) -> Result<u32, QueryError> {
    let digits = value.bytes().all(|byte| byte.is_ascii_digit());
    let number = value.parse().ok().filter(|_| digits);
    number
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| {
            QueryError::bad(
                parameter,
                format!("takes a whole number from {least} to {most}"),
            )
        })
}

/// One of a few words.
pub(crate) fn word<T: Copy>(
    parameter: &'static str,
    value: &str,
    words: &[(&str, T)],
) -> Result<T, QueryError> {
    let found = words.iter().find(|(word, _)| *word == value);
    found.map(|(_, meaning)| *meaning).ok_or_else(|| {
        let words: Vec<_> = words
            .iter()
            .map(|(word, _)| format!("\"{word}\""))
            .collect();
        QueryError::bad(parameter, format!("takes {}", words.join(" or ")))
    })
}

/// A cursor and nothing else.
pub(crate) fn cursor(
    parameter: &'static str,
    value: &str,
    accepted: &'static str,
) -> Result<Cursor, QueryError> {
    Cursor::parse(value).map_err(|_| QueryError::BadCursor {
        parameter,
        accepted,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<Vec<(&'static str, String)>, QueryError> {
        Parameters::new(query, &["topic", "after"], "topic")
            .map(|item| item.map(|(name, value)| (name, value.into_owned())))
            .collect()
    }

    #[test]
    fn values_are_decoded_once() {
        let wanted = vec![
            ("topic", "a.b".into()),
            ("topic", "%2e".into()),
            ("after", "a b".into()),
        ];
        assert_eq!(
            read("topic=a%2Eb&&x=%zz&topic=%252e&%61fter=a+b&X=1"),
            Ok(wanted)
        );
        assert_eq!(read(""), Ok(vec![]));
    }

    #[test]
    fn broken_escapes_are_refused_where_they_matter() {
        for query in [
            "topic=%",
            "topic=a%2",
            "topic=%zz",
            "topic=%ff",
            "topic=%c3",
            "topic=%+1",
            "after=1&after=1",
        ] {
            assert!(read(query).is_err(), "{query}");
        }
        assert_eq!(read("topik=%zz&%zz=1&tick=%ff"), Ok(vec![]));
    }

    #[test]
    fn numbers_are_digits_within_bounds() {
        assert_eq!(number("limit", "1000", 1, 1000), Ok(1000));
        for bad in [
            "0",
            "1001",
            "-1",
            "+1",
            " 1",
            "1.0",
            "99999999999",
            "\u{661}",
        ] {
            assert!(number("limit", bad, 1, 1000).is_err(), "{bad}");
        }
    }
}
