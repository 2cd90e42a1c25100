//! What a connection asks for: topics, and where to start.
//!
//! Shape: plain values that become the query parameters of every transport. Nothing is judged here: the gateway does.
//! Source: protocol section 3.

use url::Url;

/// Where a subscription starts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Start {
    /// With what comes from now on.
    #[default]
    Now,
    /// With the oldest retained event.
    Oldest,
    /// After this cursor. It is opaque: kept as it was received.
    After(String),
    /// With the newest so many retained events.
    Last(u32),
}

impl From<&str> for Start {
    /// As the `after` parameter is written: `now`, `start` or a cursor.
    fn from(text: &str) -> Start {
        match text {
            "now" => Start::Now,
            "start" => Start::Oldest,
            cursor => Start::After(cursor.into()),
        }
    }
}

/// What one connection asks for.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Topics and patterns. The gateway judges them.
    pub topics: Vec<String>,
    /// Where to start.
    pub start: Start,
}

impl Request {
    /// The address with the query parameters that all transports share.
    pub(crate) fn url(&self, mut url: Url) -> Url {
        let mut query = url.query_pairs_mut();
        for topic in &self.topics {
            query.append_pair("topic", topic);
        }
        match &self.start {
            Start::Now => {}
            Start::Oldest => {
                query.append_pair("after", "start");
            }
            Start::After(cursor) => {
                query.append_pair("after", cursor);
            }
            Start::Last(count) => {
                query.append_pair("last", &count.to_string());
            }
        }
        drop(query);
        url
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(start: Start) -> String {
        let topics = vec!["a.*".into(), "b&c>".into()];
        let url = Url::parse("https://localhost/sse").unwrap();
        Request { topics, start }.url(url).query().unwrap().into()
    }

    #[test]
    fn a_request_becomes_query_parameters() {
        assert_eq!(query(Start::Now), "topic=a.*&topic=b%26c%3E");
        assert_eq!(
            query(Start::After("k3f9-41042".into())),
            "topic=a.*&topic=b%26c%3E&after=k3f9-41042"
        );
        assert!(query(Start::Oldest).ends_with("&after=start"));
        assert!(query(Start::Last(7)).ends_with("&last=7"));
    }

    #[test]
    fn a_start_is_read_as_the_parameter_is_written() {
        assert_eq!(Start::from("now"), Start::Now);
        assert_eq!(Start::from("start"), Start::Oldest);
        assert_eq!(Start::from("k-10"), Start::After("k-10".into()));
    }
}
