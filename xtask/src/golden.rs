//! `cargo xtask golden`: records the answers of Apache Cassandra into `tests/cql/`, or compares a server with them.

use crate::TaskResult;
use crate::cassandra::{self, Login, Node};
use crate::paths::{self, Profile};
use blackbox::golden::compare::{Counts, KnownDifferences, Verdict, judge, one_line, show};
use blackbox::golden::extent::Extent;
use blackbox::golden::script::Script;
use blackbox::golden::session::Session;
use blackbox::process::{Helenus, Scratch, Start};
use blackbox::wire::connection::Connection;
use blackbox::wire::response::Answer;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Differences printed a file unless `--all` is given.
const SHOWN_A_FILE: usize = 3;
/// Scripts of what Helenus does not do yet: recorded, but not compared unless named. Until then each such statement must be
/// refused as one that is not supported yet, and leave the connection as it was.
const LATER: &str = "later-";
/// How statements begin that need what is not there yet.
const NOT_YET: [&str; 6] = [
    "CREATE INDEX",
    "CREATE CUSTOM INDEX",
    "CREATE MATERIALIZED VIEW",
    "CREATE FUNCTION",
    "CREATE AGGREGATE",
    "CREATE TRIGGER",
];
/// Scripts compared at the same time with servers of our own: two cores are what the test command is timed on.
const AT_ONCE: usize = 2;
/// Scripts for a server that asks for a login.
const LOGIN: &str = "auth-";

#[derive(Default)]
struct Options {
    record: bool,
    count: bool,
    all: bool,
    messages: bool,
    profile: Profile,
    files: Vec<String>,
    address: Option<SocketAddr>,
}

/// Outcome of a comparison.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Statements answered as recorded, or known to differ.
    pub passed: usize,
    /// The rest.
    pub failed: usize,
    /// Of those passed, refusals in other words.
    pub reworded: usize,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.reworded += other.reworded;
    }
}

/// The command.
pub fn run(arguments: &[&str]) -> TaskResult {
    let options = parse(arguments)?;
    let scripts = scripts(&options.files)?;
    if options.count {
        return count(&scripts);
    }
    if options.record {
        return record(&options, &scripts);
    }
    let tally = compare(&options, &scripts)?;
    println!("{} passed, {} failed", tally.passed, tally.failed);
    if tally.failed == 0 {
        Ok(())
    } else {
        Err(String::new())
    }
}

/// Compares all scripts with Helenus processes of our own.
pub fn compare_with_own(profile: Profile) -> TaskResult<Tally> {
    let options = Options {
        profile,
        ..Options::default()
    };
    compare(&options, &scripts(&[])?)
}

fn parse(arguments: &[&str]) -> TaskResult<Options> {
    let mut options = Options::default();
    let mut rest = arguments.iter();
    while let Some(option) = rest.next() {
        let mut value = || rest.next().ok_or(format!("{option} needs a value"));
        match *option {
            "--record" => options.record = true,
            "--count" => options.count = true,
            "--all" => options.all = true,
            "--messages" => options.messages = true,
            "--release" => options.profile = Profile::Release,
            "--file" => options.files.push((*value()?).to_owned()),
            "--address" => {
                options.address = Some(value()?.parse().map_err(|_| "--address IP:PORT")?);
            }
            other => return Err(format!("unknown option {other}")),
        }
    }
    Ok(options)
}

fn directory() -> PathBuf {
    paths::root().join("tests/cql")
}

/// The named scripts (with or without `.cql`), or all of them by name.
fn scripts(named: &[String]) -> TaskResult<Vec<PathBuf>> {
    if !named.is_empty() {
        let path =
            |name: &String| directory().join(format!("{}.cql", name.trim_end_matches(".cql")));
        return Ok(named.iter().map(path).collect());
    }
    let entries = fs::read_dir(directory()).map_err(|error| format!("tests/cql: {error}"))?;
    let mut found: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    found.retain(|path| path.extension().is_some_and(|extension| extension == "cql"));
    found.sort();
    Ok(found)
}

fn read(path: &Path) -> TaskResult<Script> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Script::parse(&text).map_err(|error| format!("{}: {error}", path.display()))
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn stem(path: &Path) -> String {
    path.file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn count(scripts: &[PathBuf]) -> TaskResult {
    let mut extent = Extent::default();
    for path in scripts {
        let script = read(path)?;
        let (counts, fresh) = (Counts::of(&script), extent.add(&script));
        println!(
            "{:36} {:5} statements, {:4} refused, {fresh:4} new shapes",
            file_name(path),
            counts.statements,
            counts.refusals,
        );
    }
    println!("{extent}");
    Ok(())
}

/// Says how much the scripts ask; an error if that is less than it must be.
pub fn enough() -> TaskResult {
    let mut extent = Extent::default();
    for path in scripts(&[])? {
        extent.add(&read(&path)?);
    }
    println!("{extent}");
    extent.judge()
}

fn record(options: &Options, scripts: &[PathBuf]) -> TaskResult {
    for path in scripts {
        let address = match options.address {
            Some(address) => address,
            None => reference(login_of(path))?,
        };
        require_reference(address)?;
        let mut script = read(path)?;
        let mut session = Session::open(address, &stem(path)).map_err(|error| error.to_string())?;
        let (mut changed, mut unusable) = (0, Vec::new());
        for block in script.blocks_mut() {
            let fresh = session.run(block);
            if fresh
                .first()
                .is_some_and(|line| line.starts_with("no answer"))
            {
                unusable.push(show(&file_name(path), block, &fresh));
            }
            changed += usize::from(block.answer != fresh);
            block.answer = fresh;
        }
        session.close().map_err(|error| error.to_string())?;
        fs::write(path, script.print()).map_err(|error| error.to_string())?;
        let counts = Counts::of(&script);
        println!(
            "{}: {} statements, {} refused, {changed} changed",
            file_name(path),
            counts.statements,
            counts.refusals
        );
        print!("{}", unusable.concat());
    }
    Ok(())
}

fn login_of(path: &Path) -> Login {
    if file_name(path).starts_with(LOGIN) {
        Login::Password
    } else {
        Login::Open
    }
}

/// The Cassandra that answers on the usual address for scripts of this kind, started if none does.
fn reference(login: Login) -> TaskResult<SocketAddr> {
    let ip = match login {
        Login::Open => cassandra::DEFAULT_IP,
        Login::Password => cassandra::PASSWORD_IP,
    };
    let node = Node::on(ip)?;
    if !node.answers() {
        node.start(cassandra::Sync::Periodic, login)?;
    }
    Ok(node.address())
}

fn require_reference(address: SocketAddr) -> TaskResult {
    let query =
        |mut connection: Connection| connection.query("SELECT release_version FROM system.local");
    let response = Connection::open(address, 5, None)
        .and_then(query)
        .map_err(|error| error.to_string())?;
    let Answer::Rows(rows) = response.answer else {
        return Err("system.local cannot be read".into());
    };
    let version = rows
        .rows
        .first()
        .and_then(|row| row.first().cloned().flatten());
    if version.as_deref() == Some(cassandra::VERSION.as_bytes()) {
        return Ok(());
    }
    Err(format!(
        "{address} is not Cassandra {}: only that may be recorded",
        cassandra::VERSION
    ))
}

fn compare(options: &Options, scripts: &[PathBuf]) -> TaskResult<Tally> {
    let known = directory().join("known-differences.txt");
    let known = KnownDifferences::parse(&fs::read_to_string(known).unwrap_or_default())?;
    // A script waits for one answer after the other: several at once, each against a server of its own, since scripts may
    // look at what a server holds as a whole.
    let at_once = if options.address.is_some() {
        1
    } else {
        AT_ONCE
    };
    let next = AtomicUsize::new(0);
    let next = &next;
    let worker = |number: usize| -> TaskResult<Tally> {
        let mut servers = Servers::new(options, number)?;
        let mut tally = Tally::default();
        while let Some(path) = scripts.get(next.fetch_add(1, Ordering::Relaxed)) {
            tally.add(
                if options.files.is_empty() && file_name(path).starts_with(LATER) {
                    refused_for_now(servers.address(Kind::Later)?, path)?
                } else {
                    let address = servers.address(Kind::Usual(login_of(path)))?;
                    compare_file(options, address, path, &known)?
                },
            );
        }
        Ok(tally)
    };
    let tallies: Vec<TaskResult<Tally>> = thread::scope(|scope| {
        let workers: Vec<_> = (0..at_once.min(scripts.len()))
            .map(|number| scope.spawn(move || worker(number)))
            .collect();
        let ended = workers.into_iter().map(|worker| worker.join());
        ended
            .map(|ended| ended.map_err(|_| "a worker panicked".to_owned())?)
            .collect()
    });
    let mut tally = Tally::default();
    for of_worker in tallies {
        tally.add(of_worker?);
    }
    let names: Vec<String> = scripts.iter().map(|path| file_name(path)).collect();
    for file in known
        .files()
        .iter()
        .filter(|file| options.files.is_empty() && !names.iter().any(|name| name == *file))
    {
        println!("known-differences.txt names {file}, which does not exist");
        tally.failed += 1;
    }
    println!(
        "{} refusals in other words than Cassandra's",
        tally.reworded
    );
    Ok(tally)
}

/// Sends a script of what is not there yet, all over one connection: what Cassandra accepts of it is refused with a reason, and
/// whatever else comes is answered, and never as a fault of the server.
fn refused_for_now(address: SocketAddr, path: &Path) -> TaskResult<Tally> {
    let (script, file) = (read(path)?, file_name(path));
    let mut session = Session::open(address, &stem(path)).map_err(|error| error.to_string())?;
    let (mut tally, mut shown) = (Tally::default(), String::new());
    for block in script.blocks() {
        let fresh = session.run(block);
        let begins = |line: &str| fresh.first().is_some_and(|first| first.starts_with(line));
        let accepted = !block.answer.iter().any(|line| line.starts_with("error: "));
        let asked = one_line(block).to_uppercase();
        let right = if accepted && NOT_YET.iter().any(|words| asked.starts_with(words)) {
            begins("error: Invalid 0x2200")
                && fresh.iter().any(|line| line.contains("not supported yet"))
                || block.answer == fresh
        } else {
            !begins("no answer") && !begins("error: ServerError")
        };
        if right {
            tally.passed += 1;
        } else {
            tally.failed += 1;
            shown += &show(&file, block, &fresh);
        }
    }
    if session.close().is_err() {
        shown += &format!("{file}: the keyspace could not be dropped\n");
        tally.failed += 1;
    }
    print!(
        "{file:36} {:4} refused for now or answered, {:4} failed\n{shown}",
        tally.passed, tally.failed
    );
    Ok(tally)
}

fn compare_file(
    options: &Options,
    address: SocketAddr,
    path: &Path,
    known: &KnownDifferences,
) -> TaskResult<Tally> {
    let (script, file) = (read(path)?, file_name(path));
    let mut tally = Tally::default();
    let mut session = match Session::open(address, &stem(path)) {
        Ok(session) => session,
        Err(error) => {
            println!("{file:36} 0 passed, all failed: {error}");
            return Ok(Tally {
                failed: script.blocks().count(),
                ..tally
            });
        }
    };
    let (mut shown, mut used) = (String::new(), Vec::new());
    for block in script.blocks() {
        let fresh = session.run(block);
        let verdict = judge(block, &fresh);
        let excused = verdict == Verdict::Different && known.covers(&file, block);
        if excused {
            used.push(one_line(block));
        }
        if verdict == Verdict::Different && !excused {
            tally.failed += 1;
            if options.all || tally.failed <= SHOWN_A_FILE {
                shown += &show(&file, block, &fresh);
            }
        } else {
            tally.passed += 1;
            tally.reworded += usize::from(verdict == Verdict::Reworded);
            if options.messages && verdict == Verdict::Reworded {
                shown += &show(&file, block, &fresh);
            }
        }
    }
    for statement in known.unneeded(&file, &used) {
        shown += &format!(
            "{file}: known-differences.txt lists a statement that does not differ: {statement}\n"
        );
        tally.failed += 1;
    }
    if session.close().is_err() {
        shown += &format!("{file}: the keyspace could not be dropped\n");
    }
    // One call, so that the lines of two workers do not mix.
    print!(
        "{file:36} {:4} passed, {:4} failed\n{shown}",
        tally.passed, tally.failed
    );
    Ok(tally)
}

/// The servers compared with: the one named, or Helenus processes of our own, started when first needed.
struct Servers {
    named: Option<SocketAddr>,
    binary: PathBuf,
    scratch: Scratch,
    started: Vec<(Kind, Helenus)>,
}

/// Which configuration a server has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Usual(Login),
    /// What is not there yet is enabled, as it was when the scripts were recorded.
    Later,
}

impl Servers {
    fn new(options: &Options, number: usize) -> TaskResult<Self> {
        let binary = match options.address {
            Some(_) => PathBuf::new(),
            None => paths::helenus(options.profile)?,
        };
        let scratch =
            Scratch::new(&format!("golden-{number}")).map_err(|error| error.to_string())?;
        Ok(Self {
            named: options.address,
            binary,
            scratch,
            started: Vec::new(),
        })
    }

    fn address(&mut self, kind: Kind) -> TaskResult<SocketAddr> {
        if let Some(address) = self.named {
            return Ok(address);
        }
        if let Some((_, helenus)) = self.started.iter().find(|(known, _)| *known == kind) {
            return Ok(helenus.address);
        }
        let (name, settings): (&str, &[&str]) = match kind {
            Kind::Usual(Login::Open) => ("open", &[]),
            Kind::Usual(Login::Password) => ("password", &["authenticator=PasswordAuthenticator"]),
            Kind::Later => (
                "later",
                &[
                    "user_defined_functions_enabled=true",
                    "materialized_views_enabled=true",
                    "sasi_indexes_enabled=true",
                ],
            ),
        };
        let settings = settings.iter().map(|text| (*text).to_owned()).collect();
        let data = self.scratch.path().join(name);
        let start = Start {
            binary: self.binary.clone(),
            data,
            settings,
            wrapper: Vec::new(),
            host: std::net::Ipv4Addr::LOCALHOST,
            port: None,
        };
        let helenus = Helenus::start(&start).map_err(|error| error.to_string())?;
        let address = helenus.address;
        self.started.push((kind, helenus));
        Ok(address)
    }
}
