//! Arguments as they are, and as they are told.

use super::mask;

/// Arguments separated by `|`, and the same masked.
const CASES: &[(&str, &str)] = &[
    // Options with their value in the same argument.
    ("app|--password=hunter2", "app|--password=***"),
    ("app|--db-password=a=b", "app|--db-password=***"),
    ("app|-p=hunter2", "app|-p=***"),
    ("app|--api_key:x|y", "app|--api_key:***|y"),
    ("java|-Ddb.password=x|-jar|a.jar", "java|-Ddb.password=***|-jar|a.jar"),
    ("helm|--set|auth.rootPassword=x", "helm|--set|auth.rootPassword=***"),
    // In the next argument.
    ("app|--token|abc|--verbose", "app|--token|***|--verbose"),
    ("app|--PASSWORD|-starts-with-dash", "app|--PASSWORD|***"),
    ("app|--password-stdin|--token|abc", "app|--password-stdin|--token|***"),
    ("app|--password|--token=x", "app|--password|***"),
    ("app|--token", "app|--token"),
    // Variables.
    ("env|AWS_SECRET_ACCESS_KEY=abc|cmd", "env|AWS_SECRET_ACCESS_KEY=***|cmd"),
    ("docker|run|-e|MYSQL_PWD=x|img", "docker|run|-e|MYSQL_PWD=***|img"),
    ("psql|host=db password=x user=y", "psql|host=db password=***"),
    // Commands in one argument.
    ("sh|-c|DB_PASS=x ./run", "sh|-c|DB_PASS=***"),
    ("sh|-c|app --token abc --port 80", "sh|-c|app --token *** --port 80"),
    ("sh|-c|cd / && mysql -uroot -psecret db", "sh|-c|cd / && mysql -uroot -p*** db"),
    ("sh|-c|run --token abc; DB_PASS='a b' run", "sh|-c|run --token *** DB_PASS=***"),
    ("sh|-c|app --password 'a b' c", "sh|-c|app --password *** c"),
    ("su|-c|'app --token \"a b\" c'", "su|-c|'app --token *** c'"),
    ("sh|-c|app --token 'a b", "sh|-c|app --token ***"),
    ("bash|-c|curl\t-u me:pw http://h\nls", "bash|-c|curl -u *** http://h ls"),
    ("curl|-H|Authorization: Bearer abc", "curl|-H|Authorization:***"),
    ("curl|-d|{\"user\":\"a\",\"password\":\"b\"}", "curl|-d|{\"user\":\"a\",\"password\":***"),
    // Addresses.
    ("app|postgres://me:pw@db:5432/x?a=1", "app|postgres://me:***@db:5432/x?a=1"),
    ("app|amqp://me:p@w@mq", "app|amqp://me:***@mq"),
    ("app|http://host:80/a", "app|http://host:80/a"),
    ("app|https://h/?token=abc", "app|https://h/?token=***"),
    // Programs with options of their own.
    ("/usr/bin/mysql|-uroot|-psecret", "/usr/bin/mysql|-uroot|-p***"),
    ("sudo|mysql|-psecret", "sudo|mysql|-p***"),
    ("docker|exec|db|/usr/bin/mysqldump|-px|all", "docker|exec|db|/usr/bin/mysqldump|-p***|all"),
    ("sshpass|-p|x|ssh|-p|22|h", "sshpass|-p|***|ssh|-p|***|h"),
    ("sshpass|-px|ssh", "sshpass|-p***|ssh"),
    ("curl|-u|me:pw|http://h", "curl|-u|***|http://h"),
    ("curl|--user=me:pw|http://h", "curl|--user=***|http://h"),
    // What is no secret.
    ("ssh|-p|22|host", "ssh|-p|22|host"),
    ("nginx|-p8080:80", "nginx|-p8080:80"),
    ("ls|-l|/etc/passwd", "ls|-l|/etc/passwd"),
    ("tar|--file=a:b|x=y", "tar|--file=a:b|x=y"),
    ("app|größe=1|ключ:2", "app|größe=1|ключ:2"),
    ("", ""),
];

#[test]
fn secrets_are_masked_and_nothing_else() {
    for (given, told) in CASES {
        let mut words: Vec<_> = given.split('|').map(str::to_owned).collect();
        mask(&mut words);
        assert_eq!(words.join("|"), *told, "{given}");
    }
}

#[test]
fn no_text_is_too_strange() {
    for text in [
        "=",
        ":",
        "://",
        "://@",
        "a://:@",
        "é=é",
        "-",
        "--",
        "password=",
        "\u{fffd}:=",
        "' \"",
        "\" ",
        "a'b c",
    ] {
        let mut words = vec![text.to_owned(); 2];
        mask(&mut words);
        assert!(words.iter().all(|word| word.contains("***") || word == text), "{words:?}");
    }
}
