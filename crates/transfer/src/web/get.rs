use std::ops::Range;

use futures::StreamExt as _;
use hyper::{
    HeaderMap, Method, StatusCode,
    header::{self, HeaderValue},
};

use super::Web;
use crate::{Body, Error, ErrorKind, Name};

impl Web {
    /// See [`crate::Destination::get`].
    pub(crate) async fn get(
        &self,
        target: &str,
        name: &Name,
        range: Option<Range<u64>>,
    ) -> Result<Body, Error> {
        let range = range.unwrap_or(0..u64::MAX);
        // HTTP has no range without bytes: one is asked for, and none is taken.
        let most = range.end.saturating_sub(range.start);
        let last = range.end.max(range.start.saturating_add(1)) - 1;
        let mut headers = HeaderMap::new();
        if range != (0..u64::MAX) {
            let last = if range.end == u64::MAX { String::new() } else { last.to_string() };
            let value = HeaderValue::try_from(format!("bytes={}-{last}", range.start));
            headers.insert(header::RANGE, value.unwrap_or_else(|_| unreachable!("digits")));
        }
        let answer = self.ask(Method::GET, target, headers, "").await?;
        match answer.status() {
            // Some serve no ranges.
            StatusCode::OK => Ok(answer.body(range.start, most)),
            StatusCode::PARTIAL_CONTENT => {
                let begins = answer.text(header::CONTENT_RANGE).and_then(begin);
                if begins == Some(range.start) {
                    return Ok(answer.body(0, most));
                }
                let message = format!(
                    "destination `{}`: {} sends another part of `{name}` than it was asked for",
                    self.name,
                    self.server()
                );
                Err(Error::new(ErrorKind::Other, format!("{message}; have the server looked at")))
            }
            StatusCode::RANGE_NOT_SATISFIABLE => {
                answer.done().await;
                Ok(futures::stream::empty().boxed())
            }
            _ => Err(self.refused("read", name, answer.done().await)),
        }
    }
}

/// `bytes 5-9/10`
fn begin(content_range: &str) -> Option<u64> {
    content_range.trim().strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok()
}
