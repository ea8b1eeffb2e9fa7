//! Errors in one line.

use std::error::Error;

/// An error with its causes. Some errors name their cause themselves and some, those of libraries
/// above all, do not; each cause is said once.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Example {
        #[error("cannot open: {0}; try again")]
        Names(#[source] std::io::Error),
        #[error("cannot open")]
        Hides(#[source] std::io::Error),
        #[error("map error: {0}")]
        Wraps(#[source] Box<Self>),
    }

    #[test]
    fn every_cause_is_said_once() {
        let cause = || std::io::Error::from_raw_os_error(libc::EPERM);
        let named = Example::Names(cause());
        assert_eq!(chain(&named), format!("cannot open: {}; try again", cause()));
        let hidden = Example::Wraps(Box::new(Example::Hides(cause())));
        assert_eq!(chain(&hidden), format!("map error: cannot open: {}", cause()));
    }
}
