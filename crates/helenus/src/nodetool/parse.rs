//! Reads a command line as Cassandra's users write it: options of one dash with several letters (`-pw`, `-pr`) among them, and
//! options of all commands before or after the command's name.

use super::commands;
use super::help;
use super::report::Failure;
use super::spec::{Command, GLOBAL, Opt};
use std::net::IpAddr;

const DEFAULT_HOST: &str = "127.0.0.1";
const DEFAULT_PORT: u16 = 7199;

/// What is wanted.
pub enum Wish {
    /// To read this.
    Help(String),
    /// To have a command carried out.
    Command(Box<Invocation>),
}

/// A command with what was given to it.
pub struct Invocation {
    /// Which.
    pub command: &'static Command,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its options and those of all commands: first name, and value or nothing.
    options: Vec<(&'static str, String)>,
    /// Where the admin API is.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether JSON is wanted.
    pub json: bool,
    /// Whether nodes are shown with their ports.
    pub print_port: bool,
}

/// Reads a command line; the error says what is not understood.
pub fn parse(line: &[String]) -> Result<Wish, String> {
    let place = command_place(line)?;
    let Some(place) = place else {
        return match line.first().map(String::as_str) {
            Some("--help") | None => Ok(Wish::Help(help::overview())),
            Some(_) => Err("which command?".to_owned()),
        };
    };
    let name = line[place].as_str();
    let rest = || line[..place].iter().chain(&line[place + 1..]);
    if name == "help" {
        let topic = line.get(place + 1);
        return topic.map_or_else(|| Ok(Wish::Help(help::overview())), |topic| help_of(topic));
    }
    if rest().any(|word| word == "--help") {
        return help_of(name);
    }
    let command = commands::find(name).ok_or_else(|| unknown(name))?;
    let words: Vec<&String> = rest().collect();
    let (options, arguments) = split(command, &words)?;
    if arguments.len() < command.at_least {
        return Err(missing(command));
    }
    if arguments.len() > command.at_most {
        let spare = arguments[command.at_most..].join(", ");
        return Err(unknown(&spare));
    }
    invocation(command, options, arguments).map(|invocation| Wish::Command(Box::new(invocation)))
}

fn help_of(name: &str) -> Result<Wish, String> {
    let command = commands::find(name).ok_or_else(|| unknown(name))?;
    Ok(Wish::Help(help::of(command)))
}

fn unknown(name: &str) -> String {
    format!("Found unexpected parameters: [{name}]")
}

/// What Cassandra's tool says where arguments are missing, if it has the command; scripts look for it.
fn missing(command: &Command) -> String {
    let required = match command.name {
        "assassinate" => "ip address",
        "describering" => "keyspace",
        "move" => "newToken",
        "removenode" => "remove_operation",
        "settraceprobability" => "trace_probability",
        "getendpoints" => {
            return "getendpoints requires keyspace, table and partition key arguments".to_owned();
        }
        "refresh" => return "refresh requires ks and cf args".to_owned(),
        "import" => return "import requires keyspace, table name and directories".to_owned(),
        name => return format!("{name} takes {}", command.arguments),
    };
    format!("Required parameters are missing: {required}")
}

/// Where the command's name is: the first word that is no option of all commands and no value of one.
fn command_place(line: &[String]) -> Result<Option<usize>, String> {
    let mut place = 0;
    while let Some(word) = line.get(place) {
        if !word.starts_with('-') {
            return Ok(Some(place));
        }
        if word == "--help" {
            return Ok(None);
        }
        let (name, inline) = cut(word);
        let option = find(GLOBAL, name).ok_or_else(|| unknown(word))?;
        place += 1 + usize::from(option.value.is_some() && inline.is_none());
    }
    Ok(None)
}

/// The name of an option and the value after `=`, if it is written so.
fn cut(word: &str) -> (&str, Option<&str>) {
    match word.split_once('=') {
        Some((name, value)) if name.starts_with("--") => (name, Some(value)),
        _ => (word, None),
    }
}

fn find<'a>(options: &'a [Opt], name: &str) -> Option<&'a Opt> {
    options.iter().find(|option| option.names.contains(&name))
}

type Split = (Vec<(&'static str, String)>, Vec<String>);

/// Options with their values, and arguments.
fn split(command: &'static Command, words: &[&String]) -> Result<Split, String> {
    let (mut options, mut arguments) = (Vec::new(), Vec::new());
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if *word == "--" {
            arguments.extend(words.map(|word| (*word).clone()));
            break;
        }
        // A number below zero is an argument: a token.
        if !word.starts_with('-') || word.parse::<i64>().is_ok() {
            arguments.push((*word).clone());
            continue;
        }
        let (name, inline) = cut(word);
        let option = find(command.options, name).or_else(|| find(GLOBAL, name));
        let option = option.ok_or_else(|| unknown(word))?;
        if let Some(why) = option.refused {
            return Err(format!("{name} is not supported: {why}"));
        }
        let value = match (option.value, inline) {
            (None, None) => String::new(),
            (None, Some(_)) => return Err(format!("{name} takes no value")),
            (Some(_), Some(inline)) => inline.to_owned(),
            (Some(what), None) => {
                let next = words.next().map(|word| (*word).clone());
                next.ok_or_else(|| format!("{name} takes {what}"))?
            }
        };
        options.push((option.names[0], value));
    }
    Ok((options, arguments))
}

fn invocation(
    command: &'static Command,
    options: Vec<(&'static str, String)>,
    arguments: Vec<String>,
) -> Result<Invocation, String> {
    let mut invocation = Invocation {
        command,
        arguments,
        options,
        host: DEFAULT_HOST.to_owned(),
        port: DEFAULT_PORT,
        json: false,
        print_port: false,
    };
    invocation.json = invocation.has("--json");
    invocation.print_port = invocation.has("--print-port");
    if let Some(host) = invocation.option("--host") {
        invocation.host = host.to_owned();
    }
    if let Some(port) = invocation.option("--port") {
        let parsed = port.parse();
        invocation.port = parsed.map_err(|_| format!("`{port}` is not a port"))?;
    }
    Ok(invocation)
}

impl Invocation {
    /// Whether an option was given, by its first name.
    pub fn has(&self, name: &str) -> bool {
        self.options.iter().any(|(known, _)| *known == name)
    }

    /// The value of an option; of several the last.
    pub fn option(&self, name: &str) -> Option<&str> {
        let mut given = self.options.iter().rev();
        given
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value.as_str())
    }

    /// The values of an option that may be given several times, with commas.
    pub fn options(&self, name: &str) -> Option<String> {
        let given = self.options.iter().filter(|(known, _)| *known == name);
        let values: Vec<&str> = given.map(|(_, value)| value.as_str()).collect();
        (!values.is_empty()).then(|| values.join(","))
    }

    /// An argument, if there is one at this place.
    pub fn argument(&self, place: usize) -> Option<&str> {
        self.arguments.get(place).map(String::as_str)
    }

    /// A node's address as it is to be shown.
    pub fn shown(&self, address: std::net::SocketAddr) -> String {
        match (self.print_port, address.ip()) {
            (true, _) => address.to_string(),
            (false, IpAddr::V4(ip)) => ip.to_string(),
            (false, IpAddr::V6(ip)) => ip.to_string(),
        }
    }

    /// Role and password, if any were given.
    pub fn credentials(&self) -> Result<Option<(String, String)>, Failure> {
        let user = self.option("--username");
        let password = match (self.option("--password"), self.option("--password-file")) {
            (Some(password), _) => Some(password.to_owned()),
            (None, Some(path)) => {
                let user =
                    user.ok_or_else(|| Failure::usage("a password file needs --username"))?;
                Some(password_in(path, user)?)
            }
            (None, None) => None,
        };
        match (user, password) {
            (Some(user), Some(password)) => Ok(Some((user.to_owned(), password))),
            (None, None) => Ok(None),
            (Some(_), None) => Err(Failure::usage(
                "--username needs --password or --password-file",
            )),
            (None, Some(_)) => Err(Failure::usage("--password needs --username")),
        }
    }
}

/// The password of a user in a file of lines `<username> <password>`.
fn password_in(path: &str, user: &str) -> Result<String, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::usage(&format!("cannot read {path}: {error}")))?;
    let mut lines = text
        .lines()
        .filter_map(|line| line.trim().split_once([' ', '\t']));
    let line = lines.find(|(name, _)| *name == user);
    let password = line.map(|(_, password)| password.trim().to_owned());
    password.ok_or_else(|| Failure::usage(&format!("{path} has no password of {user}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Wish, String> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        parse(&words)
    }

    fn command(line: &str) -> Invocation {
        match read(line) {
            Ok(Wish::Command(invocation)) => *invocation,
            Ok(Wish::Help(text)) => panic!("{line}: {text}"),
            Err(error) => panic!("{line}: {error}"),
        }
    }

    fn error(line: &str) -> String {
        match read(line) {
            Err(error) => error,
            Ok(_) => panic!("{line} is understood"),
        }
    }

    #[test]
    fn options_stand_before_and_after_the_command() {
        let invocation = command("-h 10.0.0.1 --port=7200 status -pp ks --json");
        assert_eq!(invocation.command.name, "status");
        assert_eq!(
            (invocation.host.as_str(), invocation.port),
            ("10.0.0.1", 7200)
        );
        assert!(invocation.json && invocation.print_port);
        assert_eq!(invocation.arguments, ["ks"]);
        let invocation = command("-u ann -pw secret flush -- -odd name");
        assert_eq!(invocation.arguments, ["-odd", "name"]);
        let invocation_of_two = command("repair -hosts a -hosts b,c ks");
        let hosts = invocation_of_two.options("--in-hosts");
        assert_eq!(hosts.as_deref(), Some("a,b,c"));
        assert_eq!(invocation_of_two.options("--in-dc"), None);
        let credentials = invocation.credentials().ok().flatten();
        assert_eq!(credentials, Some(("ann".to_owned(), "secret".to_owned())));
    }

    #[test]
    fn what_is_not_understood_says_why() {
        assert!(error("stauts").contains("[stauts]"));
        assert!(error("status --wat").contains("[--wat]"));
        assert!(error("-p seven status").contains("not a port"));
        assert_eq!(error("status a b"), "Found unexpected parameters: [b]");
        let missing = "Required parameters are missing: newToken";
        assert_eq!(error("move"), missing);
        assert!(error("version x").contains("[x]"));
        assert!(error("flush --host").contains("--host takes <host>"));
        assert!(command("-u ann info").credentials().is_err());
    }

    #[test]
    fn every_command_is_named_once_and_has_help() {
        let mut names: Vec<&str> = commands::all().map(|command| command.name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        for command in commands::all() {
            assert!(command.at_least <= command.at_most, "{}", command.name);
            assert!(help::of(command).contains(command.about));
            for option in command.options {
                let clash = option
                    .names
                    .iter()
                    .find(|name| find(GLOBAL, name).is_some());
                assert_eq!(clash, None, "{}", command.name);
            }
        }
        assert!(matches!(read("help status"), Ok(Wish::Help(_))));
        assert!(matches!(read("status --help"), Ok(Wish::Help(_))));
        assert!(matches!(read("help"), Ok(Wish::Help(_))));
        assert!(matches!(read(""), Ok(Wish::Help(_))));
    }
}
