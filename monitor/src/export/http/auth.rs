//! Who may read: bearer tokens, and users with passwords.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use subtle::{Choice, ConstantTimeEq};

/// A way to say who one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Bearer,
    Basic,
}

impl Scheme {
    fn name(self) -> &'static str {
        match self {
            Self::Bearer => "Bearer",
            Self::Basic => "Basic",
        }
    }
}

/// What clients must send, one of it. Without any, everybody may read.
#[derive(Default)]
pub(super) struct Auth {
    accepted: Vec<(Scheme, Vec<u8>)>,
}

impl Auth {
    /// Accepts each token of a text, one a line. Returns whether there is one.
    pub(super) fn add_tokens(&mut self, text: &str) -> bool {
        self.add(Scheme::Bearer, text, |token| Some(token.as_bytes().to_vec()))
    }

    /// Accepts each `user:password` of a text, one a line. Returns whether there is one, and nothing
    /// else.
    pub(super) fn add_users(&mut self, text: &str) -> bool {
        self.add(Scheme::Basic, text, |user| {
            user.contains(':').then(|| STANDARD.encode(user).into_bytes())
        })
    }

    fn add(&mut self, scheme: Scheme, text: &str, sent: impl Fn(&str) -> Option<Vec<u8>>) -> bool {
        let lines = text.lines().map(str::trim);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        let secrets: Option<Vec<_>> = lines.map(|line| Some((scheme, sent(line)?))).collect();
        let secrets = secrets.unwrap_or_default();
        let found = !secrets.is_empty();
        self.accepted.extend(secrets);
        found
    }

    /// Whether clients must say who they are.
    pub(super) fn is_required(&self) -> bool {
        !self.accepted.is_empty()
    }

    /// The first `Authorization` header that is accepted.
    pub(super) fn first(&self) -> Option<String> {
        let (scheme, sent) = self.accepted.first()?;
        Some(format!("{} {}", scheme.name(), String::from_utf8_lossy(sent)))
    }

    /// Whether who sends this `Authorization` header may read. It takes as long whatever is wrong with
    /// it, so that nobody can find out a secret piece by piece.
    pub(super) fn allows(&self, header: Option<&[u8]>) -> bool {
        if !self.is_required() {
            return true;
        }
        let header = header.unwrap_or_default();
        let space = header.iter().position(|byte| *byte == b' ').unwrap_or(header.len());
        let (scheme, sent) = header.split_at(space);
        let sent = sent.trim_ascii();
        let mut allowed = Choice::from(0);
        for (accepted, secret) in &self.accepted {
            let same = scheme.eq_ignore_ascii_case(accepted.name().as_bytes());
            allowed |= Choice::from(u8::from(same)) & secret.as_slice().ct_eq(sent);
        }
        allowed.into()
    }

    /// The values of `WWW-Authenticate` that tell a client how to say who it is.
    pub(super) fn challenges(&self) -> impl Iterator<Item = &'static str> {
        let of = |scheme, text| self.accepted.iter().any(|(it, _)| *it == scheme).then_some(text);
        let basic = of(Scheme::Basic, "Basic realm=\"monitor\", charset=\"UTF-8\"");
        basic.into_iter().chain(of(Scheme::Bearer, "Bearer realm=\"monitor\""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_secrets_everybody_may_read() {
        assert!(Auth::default().allows(None) && Auth::default().allows(Some(b"Bearer x")));
        assert_eq!(Auth::default().challenges().count(), 0);
    }

    #[test]
    fn one_of_the_secrets_and_nothing_else_opens() {
        let mut auth = Auth::default();
        assert!(auth.add_tokens("# of the scraper\nsecret-1\n\n  secret-2  \n"));
        assert!(auth.add_users("Aladdin:open sesame\n"));
        assert!(!auth.add_tokens("# none\n") && !auth.add_users("a:b\nno colon\n"));
        let allows = |header: &str| auth.allows(Some(header.as_bytes()));
        for header in [
            "Bearer secret-1",
            "bearer  secret-2",
            "BEARER secret-2 ",
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
        ] {
            assert!(allows(header), "{header}");
        }
        for header in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer secret",
            "Bearer secret-11",
            "Bearer # of the scraper",
            "Basic secret-1",
            "secret-1",
            "Bearer QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ",
            "Basic Aladdin:open sesame",
            "Basic YTpi",
        ] {
            assert!(!allows(header), "{header}");
        }
        assert!(!auth.allows(None) && !auth.allows(Some(b"Bearer \xff")));
        assert_eq!(auth.challenges().count(), 2);
    }
}
