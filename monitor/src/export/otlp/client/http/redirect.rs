//! Redirects of a receiver. Those that keep method and body are followed, to the same scheme.

use hyper::{Response, StatusCode, Uri, header::LOCATION, http::uri};

use super::super::{Failure, Retry};
use crate::config::without_query;

/// Where a response redirects the request to; `None` where it is no redirect. A redirect that is not
/// followed is a failure that names its `Location`; the same request may be sent again.
pub(super) fn location<T>(from: &Uri, response: &Response<T>) -> Result<Option<Uri>, Failure> {
    let status = response.status();
    if !status.is_redirection() {
        return Ok(None);
    }
    let Some(text) = response.headers().get(LOCATION).and_then(|value| value.to_str().ok()) else {
        return Err(failure(&format!("{status} without a Location")));
    };
    let shown = without_query(text);
    let refused = |why: &str| failure(&format!("{status} to {shown}: {why}"));
    if !matches!(status, StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT) {
        return Err(refused("only 307 and 308 are followed"));
    }
    let location = resolve(from, text).ok_or_else(|| refused("not a URL"))?;
    if location.scheme() != from.scheme() {
        return Err(refused("a redirect to another scheme is not followed"));
    }
    Ok(Some(location))
}

/// A redirect that is not followed.
pub(super) fn failure(reason: &str) -> Failure {
    Failure::new("redirect", reason, Some(Retry::Later))
}

/// A `Location`, which may be relative to the address that was sent to.
fn resolve(from: &Uri, location: &str) -> Option<Uri> {
    let location = location.split('#').next()?;
    let relative = match location {
        on_host if on_host.starts_with("//") => {
            return format!("{}:{on_host}", from.scheme_str()?).parse().ok();
        }
        absolute if absolute.starts_with('/') => absolute.to_owned(),
        query if query.starts_with('?') => format!("{}{query}", from.path()),
        full if full.split(['/', '?']).next().is_some_and(|scheme| scheme.ends_with(':')) => {
            return full.parse().ok();
        }
        name => format!("{}/{name}", from.path().rsplit_once('/')?.0),
    };
    let mut parts = uri::Parts::from(from.clone());
    parts.path_and_query = Some(relative.parse().ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(status: u16, location: &str) -> Result<Option<String>, String> {
        let from = "https://receiver:4318/v1/metrics?tenant=1".parse().unwrap();
        let response = Response::builder().status(status).header(LOCATION, location);
        super::location(&from, &response.body(()).unwrap())
            .map(|to| to.map(|uri| uri.to_string()))
            .map_err(|failure| failure.reason)
    }

    #[test]
    fn redirects_that_keep_method_and_body_are_followed() {
        for (location, expected) in [
            ("https://other/v1/m?x=1#part", "https://other/v1/m?x=1"),
            ("//other:1/v1/m", "https://other:1/v1/m"),
            ("/moved?x=1", "https://receiver:4318/moved?x=1"),
            ("moved", "https://receiver:4318/v1/moved"),
            ("/moved?from=https://a/b", "https://receiver:4318/moved?from=https://a/b"),
            ("?x=1", "https://receiver:4318/v1/metrics?x=1"),
        ] {
            for status in [307, 308] {
                assert_eq!(to(status, location), Ok(Some(expected.to_owned())), "{location}");
            }
        }
        assert_eq!(to(200, "/moved"), Ok(None));
    }

    #[test]
    fn redirects_that_are_not_followed_name_their_location() {
        for (status, location) in [
            (301, "https://other/"),
            (302, "/login"),
            (303, "/done"),
            (307, "http://receiver:4318/"),
        ] {
            let reason = to(status, location).unwrap_err();
            assert!(reason.contains(location), "{reason}");
        }
        assert!(to(308, "https://[broken/").unwrap_err().contains("not a URL"));
        assert!(to(307, "ftp://other/").unwrap_err().contains("another scheme"));
    }
}
