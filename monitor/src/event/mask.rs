//! Finding secrets in arguments.

/// What stands for a secret.
const MASK: &str = "***";

/// What the name of a secret contains, without case and punctuation.
const SECRET: [&str; 14] = [
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "privatekey",
    "credential",
    "authorization",
    "bearer",
    "cookie",
    "signature",
];
/// What it ends with.
const SECRET_END: [&str; 3] = ["pass", "pwd", "pw"];
/// What it is as a whole.
const SECRET_WHOLE: [&str; 2] = ["auth", "p"];

/// Programs whose `-p` takes a password, in the same argument.
const DASH_P: [&str; 5] = ["mysql", "mysqldump", "mysqladmin", "mariadb", "mariadb-dump"];
/// Programs with an option whose value, in the same argument or the next, is or has a password.
const OPTIONS: [(&str, &str); 4] =
    [("sshpass", "-p"), ("curl", "-u"), ("curl", "--user"), ("curl", "-U")];

/// Replaces what looks like a secret.
pub(super) fn mask(words: &mut [String]) {
    let mut program = "";
    let mut is_value = false;
    for word in words.iter_mut() {
        // It may be started by another, such as `env` or `sudo`.
        let name = word.rsplit('/').next().unwrap_or(word);
        let mut known = OPTIONS.iter().map(|(of, _)| *of).chain(DASH_P);
        program = known.find(|known| *known == name).unwrap_or(program);
        let was_value = std::mem::take(&mut is_value);
        match option(program, word) {
            Option::Value(kept) => {
                word.truncate(kept);
                word.push_str(MASK);
            }
            Option::Next => is_value = true,
            // A value may begin with a dash. Should it have been an option, little is lost.
            Option::None if was_value => MASK.clone_into(word),
            Option::None => *word = mask_text(word),
        }
    }
}

/// What an argument is.
enum Option {
    /// It has a secret behind this many bytes.
    Value(usize),
    /// The next argument is a secret.
    Next,
    /// Nothing of the kind.
    None,
}

/// Whether an argument is an option with a secret.
fn option(program: &str, word: &str) -> Option {
    if DASH_P.contains(&program) && word.starts_with("-p") && word.len() > 2 {
        return Option::Value(2);
    }
    for (_, option) in OPTIONS.iter().filter(|(of, _)| *of == program) {
        match word.strip_prefix(option) {
            Some("") => return Option::Next,
            Some(_) if !option.starts_with("--") => return Option::Value(option.len()),
            Some(rest) if rest.starts_with('=') => return Option::Value(option.len() + 1),
            _ => {}
        }
    }
    // `-p` alone is a port as often.
    let is_secret = word.starts_with('-') && !word.contains(['=', ':', ' ']) && word != "-p";
    if is_secret && is_secret_name(word) { Option::Next } else { Option::None }
}

/// Replaces what follows the name of a secret and a sign of assignment, to the end of the text: what
/// ends a secret is known to its reader alone. What comes before is masked as the command that it may be.
fn mask_text(text: &str) -> String {
    for (at, sign) in text.char_indices().filter(|(_, c)| ['=', ':'].contains(c)) {
        let before = text[..at].trim_end_matches(['"', '\'', ' ']);
        let name = before.rsplit(|c: char| !c.is_alphanumeric() && !"-_.".contains(c)).next();
        let is_value = text.len() > at + 1 && !text[at..].starts_with("://");
        if is_value && name.is_some_and(is_secret_name) {
            return format!("{}{sign}{MASK}", mask_words(&text[..at]));
        }
    }
    mask_words(text)
}

/// Masks a text of several words as the command that it may be; one word for the addresses in it.
fn mask_words(text: &str) -> String {
    if !text.contains(char::is_whitespace) {
        return mask_addresses(text);
    }
    let mut words = split(text);
    if words.len() == 1 {
        // All of it is in quotes: the command is within.
        let mut within = text.chars();
        if let Some(quote) = within.next().filter(|c| QUOTES.contains(c)) {
            let within = within.as_str();
            let end = if within.ends_with(quote) { quote.len_utf8() } else { 0 };
            let (within, end) = within.split_at(within.len() - end);
            return format!("{quote}{}{end}", mask_words(within));
        }
        words = text.split(char::is_whitespace).map(str::to_owned).collect();
    }
    mask(&mut words);
    words.join(" ")
}

/// What holds words together.
const QUOTES: [char; 2] = ['"', '\''];

/// The words of a command. A quote that has no end goes on to the end of the text.
fn split(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for c in text.chars() {
        if quote.is_none() && c.is_whitespace() {
            words.push(String::new());
            continue;
        }
        if quote == Some(c) {
            quote = None;
        } else if quote.is_none() && QUOTES.contains(&c) {
            quote = Some(c);
        }
        if let Some(word) = words.last_mut() {
            word.push(c);
        }
    }
    words
}

/// Replaces the password in every `scheme://user:password@host`.
fn mask_addresses(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let end = rest.find(['/', ' ', '?', '#', '"', '\'']).unwrap_or(rest.len());
    let (authority, after) = rest.split_at(end);
    // A password may have an `@` in it.
    let authority = match authority.rsplit_once('@') {
        Some((user, host)) => match user.split_once(':') {
            Some((user, _)) => format!("{user}:{MASK}@{host}"),
            None => format!("{user}@{host}"),
        },
        None => authority.to_owned(),
    };
    format!("{scheme}://{authority}{}", mask_addresses(after))
}

/// Whether a name is that of a secret.
fn is_secret_name(name: &str) -> bool {
    let name: String = name.chars().filter(|c| c.is_alphanumeric()).collect();
    let name = name.to_lowercase();
    SECRET.iter().any(|part| name.contains(part))
        || SECRET_END.iter().any(|end| name.ends_with(end))
        || SECRET_WHOLE.contains(&name.as_str())
}

#[cfg(test)]
mod tests;
