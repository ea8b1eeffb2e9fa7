//! Environment variables in place of flags: `MONITOR_LISTEN` for `--listen`.
//!
//! clap reads variables too, but takes an empty one for a value, as Compose, Helm and `EnvironmentFile`
//! write what is not set, and names the flag where the variable is wrong.

use std::ffi::{OsStr, OsString};

use clap::{
    Arg, ArgMatches, CommandFactory, Error,
    error::{ContextKind, ContextValue},
    parser::ValueSource,
};

use super::Cli;
use crate::config::{Origin, Origins};

/// Prefix of the variables.
const PREFIX: &str = "MONITOR_";

/// A variable of a command.
struct Variable {
    /// The argument that it stands for.
    id: String,
    flag: String,
    name: OsString,
}

/// Parses a command line, with the variables of an environment for the flags that it does not have.
/// Returns the origins of the settings as well.
pub(super) fn parse(
    line: &[OsString],
    environment: impl Fn(&OsStr) -> Option<OsString>,
) -> Result<(ArgMatches, Origins), Error> {
    let mut variables = Vec::new();
    let command = Cli::command().mut_subcommands(|subcommand| {
        let name = subcommand.get_name().to_owned();
        subcommand.mut_args(|arg| {
            let variable = Variable::of(&arg);
            let arg = match &variable {
                Some(variable) => without_variable(arg, &variable.name),
                None => arg,
            };
            variables.extend(variable.map(|variable| (name.clone(), variable)));
            arg
        })
    });
    let said = command.clone().try_get_matches_from(line)?;
    let (mut whole, mut origins) = (line.to_vec(), Origins::default());
    // Right behind the command: what follows may end in `--`.
    let place = line.iter().position(|word| word.to_str() == said.subcommand_name());
    for (subcommand, Variable { id, flag, name }) in variables {
        let Some(said) = said.subcommand_matches(&subcommand) else { continue };
        if said.value_source(&id) == Some(ValueSource::CommandLine) {
            origins.set(key(&id), Origin::Flag(flag));
            continue;
        }
        let value = environment(&name).filter(|value| !value.is_empty());
        let Some(value) = value else { continue };
        let argument: OsString = [OsStr::new(&flag), OsStr::new("="), &value].into_iter().collect();
        let with = |mut line: Vec<OsString>| {
            line.insert(place.map_or(line.len(), |place| place + 1), argument.clone());
            line
        };
        let alone = with(line.to_vec());
        command.clone().try_get_matches_from(alone).map_err(|error| blame(error, &name))?;
        whole = with(whole);
        origins.set(key(&id), Origin::Variable(name.to_string_lossy().into_owned()));
    }
    Ok((command.try_get_matches_from(whole)?, origins))
}

/// The variables that begin like ours, are none, and look like one of them: name and likely meaning.
/// Others, such as those of a Kubernetes service called monitor, are not for us.
pub(super) fn misspelt(names: impl Iterator<Item = String>) -> Vec<(String, String)> {
    let command = Cli::command();
    let known: Vec<_> = command
        .get_subcommands()
        .flat_map(|subcommand| subcommand.get_arguments().filter_map(Variable::of))
        .map(|variable| variable.name.to_string_lossy().into_owned())
        .collect();
    let unknown = names.filter(|name| name.starts_with(PREFIX) && !known.contains(name));
    let nearest = |name: &str| {
        let likeness = |other: &&String| {
            strsim::normalized_levenshtein(&name[PREFIX.len()..], &other[PREFIX.len()..])
        };
        let nearest = known.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
        (likeness(&nearest) > 0.7).then(|| nearest.clone())
    };
    unknown.filter_map(|name| nearest(&name).map(|nearest| (name, nearest))).collect()
}

impl Variable {
    fn of(arg: &Arg) -> Option<Self> {
        let name = arg.get_env()?.to_owned();
        Some(Self { id: arg.get_id().to_string(), flag: format!("--{}", arg.get_long()?), name })
    }
}

/// An argument that clap reads from no variable, though its help names it.
fn without_variable(arg: Arg, name: &OsStr) -> Arg {
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    arg.env(None::<&'static str>).help(format!("{help} [env: {}]", name.to_string_lossy()))
}

/// The error of a value that is a variable's.
fn blame(mut error: Error, name: &OsStr) -> Error {
    let name = ContextValue::String(name.to_string_lossy().into_owned());
    error.insert(ContextKind::InvalidArg, name);
    error
}

/// The key of a setting in the configuration file.
fn key(id: &str) -> String {
    match id {
        "group_by" => "groups.by".to_owned(),
        "top" => "groups.top".to_owned(),
        id => id.replacen('_', ".", 1),
    }
}

#[cfg(test)]
mod tests {
    use clap::FromArgMatches;

    use super::{super::Command, *};

    fn parsed(line: &[&str], variables: &[(&str, &str)]) -> Result<(Cli, Origins), String> {
        let line: Vec<_> = ["monitor"].iter().chain(line).map(OsString::from).collect();
        let environment = |name: &OsStr| {
            let found = variables.iter().find(|(known, _)| name == *known);
            found.map(|(_, value)| OsString::from(value))
        };
        let (matches, origins) = parse(&line, environment).map_err(|error| error.to_string())?;
        Ok((Cli::from_arg_matches(&matches).unwrap(), origins))
    }

    /// The configuration, or what is wrong with it.
    fn config(line: &[&str], variables: &[(&str, &str)]) -> Result<String, String> {
        let (cli, origins) = parsed(line, variables)?;
        let Command::Config(mut settings) = cli.command else { panic!("another command") };
        settings.origins = origins;
        let config = settings.resolve().map_err(|error| error.to_string())?;
        Ok(config.origins.annotate(&toml::to_string(&config).unwrap()))
    }

    /// Of each variable a valid value and one that is not, if there are such.
    const VALUES: [(&str, &str, &str); 19] = [
        ("MONITOR_AUTH_TOKENS", "/tokens", ""),
        ("MONITOR_AUTH_USERS", "/users", ""),
        ("MONITOR_CONFIG", "/dev/null", "/nonexistent"),
        ("MONITOR_EVENTS_ARGV", "off", "nonsense"),
        ("MONITOR_EVENTS_EXPORT", "exec,oom_kill", "nonsense"),
        ("MONITOR_GROUP_BY", "process", "nonsense"),
        ("MONITOR_HOST_PROC", "/host/proc", ""),
        ("MONITOR_HOST_ROOT", "/host", ""),
        ("MONITOR_HOST_SYS", "/host/sys", ""),
        ("MONITOR_INTERVAL", "2s", "nonsense"),
        ("MONITOR_LISTEN", "0.0.0.0:1", "nonsense"),
        ("MONITOR_LOG_BPF", "debug", "nonsense"),
        ("MONITOR_LOG_FORMAT", "json", "nonsense"),
        ("MONITOR_LOG_LEVEL", "debug", ""),
        ("MONITOR_OTLP_ENDPOINT", "http://c:4317", "nonsense"),
        ("MONITOR_OTLP_PROTOCOL", "http/protobuf", "nonsense"),
        ("MONITOR_TLS_CERTIFICATE", "/c.pem", ""),
        ("MONITOR_TLS_KEY", "/k.pem", ""),
        ("MONITOR_TOP", "7", "nonsense"),
    ];

    #[test]
    fn every_variable_may_be_unset_empty_or_valid_and_is_named_where_it_is_not() {
        let command = Cli::command();
        let run = command.find_subcommand("run").unwrap();
        let mut names: Vec<_> = run.get_arguments().filter_map(Variable::of).collect();
        names.sort_by(|a, b| a.name.cmp(&b.name));
        assert_eq!(names.iter().map(|it| &it.name).collect::<Vec<_>>(), VALUES.map(|it| it.0));
        let unset = config(&["config"], &[]).unwrap();
        for (name, valid, nonsense) in VALUES {
            assert_eq!(config(&["config"], &[(name, "")]).as_ref(), Ok(&unset), "{name}");
            // One half of a pair needs the other.
            let pair = [("MONITOR_TLS_CERTIFICATE", "/c.pem"), ("MONITOR_TLS_KEY", "/k.pem")];
            let with_it = match name.starts_with("MONITOR_TLS") {
                true => config(&["config"], &pair),
                false => config(&["config"], &[(name, valid)]),
            }
            .unwrap();
            let is_seen = with_it.contains(&format!("  # {name}\n"));
            assert_eq!(is_seen, name != "MONITOR_CONFIG", "{with_it}");
            if !nonsense.is_empty() {
                let error = config(&["config"], &[(name, nonsense)]).unwrap_err();
                let file = "/nonexistent".to_owned();
                let named = if name == "MONITOR_CONFIG" { &file } else { name };
                assert!(error.contains(named) && !error.contains("--log"), "{error}");
            }
        }
    }

    #[test]
    fn variables_do_not_stand_behind_what_ends_the_flags() {
        let printed = config(&["config", "--"], &[("MONITOR_TOP", "7")]).unwrap();
        assert!(printed.contains("top = 7"), "{printed}");
    }

    #[test]
    fn flags_override_variables() {
        let line = ["config", "--interval", "3s", "--top=5"];
        let variables =
            [("MONITOR_INTERVAL", "nonsense"), ("MONITOR_TOP", "7"), ("MONITOR_LISTEN", "[::]:1")];
        let printed = config(&line, &variables).unwrap();
        let origin = |key: &str| {
            let line = printed.lines().find(|line| line.starts_with(key)).unwrap();
            line.split_once("  # ").unwrap().1
        };
        assert!(printed.contains("interval = \"3s\"") && printed.contains("top = 5"), "{printed}");
        assert_eq!(
            ["interval", "top", "listen", "by"].map(origin),
            ["--interval", "--top", "MONITOR_LISTEN", "default"]
        );
    }

    #[test]
    fn commands_have_their_own_variables_and_name_them_in_their_help() {
        assert!(parsed(&["metrics"], &[("MONITOR_LISTEN", "nonsense")]).is_ok());
        let (cli, _) = parsed(&["top"], &[("MONITOR_LISTEN", "127.0.0.1:7")]).unwrap();
        assert!(matches!(cli.command, Command::Top(_)));
        let error = parsed(&["top"], &[("MONITOR_LISTEN", "nonsense")]).err().unwrap();
        assert!(error.contains("MONITOR_LISTEN") && !error.contains("--address"), "{error}");
        let help = parsed(&["run", "--help"], &[("MONITOR_TOP", "nonsense")]).err().unwrap();
        assert!(help.contains("[env: MONITOR_TOP]"), "{help}");
    }

    #[test]
    fn misspelt_variables_are_told_from_those_of_others() {
        let names =
            ["MONITOR_LISTN", "MONITOR_SERVICE_HOST", "MONITOR_PORT", "MONITOR_TOP", "HOME"];
        let misspelt = misspelt(names.into_iter().map(str::to_owned));
        assert_eq!(misspelt, [("MONITOR_LISTN".to_owned(), "MONITOR_LISTEN".to_owned())]);
    }
}
