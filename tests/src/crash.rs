//! Acknowledged is durable, seen from outside: `kill -9` in the middle of a load, restarts, other numbers of shards, and a
//! trace of the system calls between a request and its answer.

use crate::checks::{Check, ensure};
use crate::orders::{self, Load};
use crate::process::{Helenus, Signal, Start};
use crate::wire::connection::Connection;
use crate::wire::response::Answer;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long the load runs before the first kill; each round waits a little longer, so that kills meet other moments of
/// the log's and memtables' lives.
const FIRST_KILL_AFTER: Duration = Duration::from_millis(1500);
const LATER_EACH_ROUND: Duration = Duration::from_millis(137);

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Kills the server `rounds` times in the middle of the load and looks for every order acknowledged: after the kill in its own
/// round, and after the last one.
pub fn kill_checks(start: &Start, rounds: u64) -> Vec<Check> {
    let mut acknowledged: Vec<(u64, Vec<u64>)> = Vec::new();
    let round = |seed: u64, acknowledged: &mut Vec<(u64, Vec<u64>)>| {
        let helenus = Helenus::start(start).map_err(text)?;
        orders::create_schema(helenus.address).map_err(text)?;
        let load = Load::start(helenus.address, seed);
        thread::sleep(FIRST_KILL_AFTER + LATER_EACH_ROUND * seed as u32);
        helenus.kill();
        let numbers = load.finish();
        ensure(!numbers.is_empty(), || {
            "nothing was acknowledged before the kill".to_owned()
        })?;
        acknowledged.push((seed, numbers));
        // What a later kill takes away is still missing after the last.
        let looked_for = if seed == rounds {
            &acknowledged[..]
        } else {
            &acknowledged[acknowledged.len() - 1..]
        };
        verify_all(start, looked_for)
    };
    (1..=rounds)
        .map(|seed| {
            Check::run(&format!("kill -9, round {seed}"), || {
                round(seed, &mut acknowledged)
            })
        })
        .collect()
}

fn verify_all(start: &Start, acknowledged: &[(u64, Vec<u64>)]) -> Result<(), String> {
    let helenus = Helenus::start(start).map_err(text)?;
    for (seed, numbers) in acknowledged {
        let wrong = orders::verify(helenus.address, *seed, numbers).map_err(text)?;
        ensure(wrong.is_empty(), || {
            format!("{} of {}: {}", wrong.len(), numbers.len(), wrong[0])
        })?;
    }
    helenus.stop().map_err(text)
}

/// Orders that must have been acknowledged before a server is killed under a program of `examples/orders`, and how long
/// that and the program's end may take.
const PROGRAM_ORDERS: usize = 1_000;
const PROGRAM_LIMIT: Duration = Duration::from_mins(2);

/// The same with a load program of `examples/orders` and the driver in it: it writes what is acknowledged to a file
/// while it places orders, and after the restart it reads every order of that file back.
pub fn program_kill_check(start: &Start, name: &str, program: &dyn Fn() -> Command) -> Check {
    Check::run(
        &format!("kill -9 under the load of the {name} driver"),
        || {
            let file = start.data.with_extension("acknowledged");
            fs::write(&file, "").map_err(text)?;
            let spawn = |address: SocketAddr, option: &str| {
                let port = address.port().to_string();
                let mut command = program();
                command.args(["--host", "127.0.0.1", "--port", &port, option]);
                let output = fs::File::create(start.data.with_extension("output")).map_err(text)?;
                let errors = output.try_clone().map_err(text)?;
                command
                    .arg(&file)
                    .stdin(Stdio::null())
                    .stdout(output)
                    .stderr(errors);
                command.spawn().map(Running).map_err(text)
            };
            let helenus = Helenus::start(start).map_err(text)?;
            let load = spawn(helenus.address, "--acknowledged")?;
            let acknowledged = || {
                fs::read_to_string(&file)
                    .unwrap_or_default()
                    .lines()
                    .count()
            };
            let began = Instant::now();
            while acknowledged() < PROGRAM_ORDERS {
                ensure(began.elapsed() < PROGRAM_LIMIT, || {
                    format!("{} orders in {PROGRAM_LIMIT:?}", acknowledged())
                })?;
                thread::sleep(POLL);
            }
            helenus.kill();
            load.end()?;
            let helenus = Helenus::start(start).map_err(text)?;
            let verified = spawn(helenus.address, "--verify")?.end();
            let output =
                fs::read_to_string(start.data.with_extension("output")).unwrap_or_default();
            print!("{output}");
            verified?;
            let all = format!("verified {} acknowledged orders", acknowledged());
            ensure(output.contains(&all), || format!("it does not say `{all}`"))?;
            helenus.stop().map_err(text)
        },
    )
}

/// A program that is ended on drop.
struct Running(Child);

impl Running {
    /// Waits for its end; an error if that takes too long or it does not exit with 0.
    fn end(mut self) -> Result<(), String> {
        let began = Instant::now();
        while began.elapsed() < PROGRAM_LIMIT {
            match self.0.try_wait().map_err(text)? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(format!("the program ended with {status}")),
                None => thread::sleep(POLL),
            }
        }
        Err(format!("the program runs on after {PROGRAM_LIMIT:?}"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the server with 2, 3 and 1 shards on the same data; everything must be there each time.
pub fn shard_checks(start: &Start) -> Vec<Check> {
    let mut acknowledged: Vec<(u64, Vec<u64>)> = Vec::new();
    let mut check = |shards: u64| {
        let start = Start {
            settings: vec![format!("helenus_shards={shards}")],
            ..start.clone()
        };
        let seed = 100 + shards;
        let helenus = Helenus::start(&start).map_err(text)?;
        orders::create_schema(helenus.address).map_err(text)?;
        let load = Load::start(helenus.address, seed);
        thread::sleep(FIRST_KILL_AFTER);
        acknowledged.push((seed, load.finish()));
        for (seed, numbers) in &acknowledged {
            let wrong = orders::verify(helenus.address, *seed, numbers).map_err(text)?;
            ensure(wrong.is_empty(), || {
                format!("{} of {}: {}", wrong.len(), numbers.len(), wrong[0])
            })?;
        }
        // Once drained, once with the log still to replay.
        if shards == 3 {
            helenus.kill();
            Ok(())
        } else {
            helenus.stop().map_err(text)
        }
    };
    [2, 3, 1]
        .map(|shards| Check::run(&format!("restart with {shards} shards"), || check(shards)))
        .into()
}

/// SIGTERM and SIGINT drain and end with 0, and a start after that finds everything.
pub fn drain_checks(start: &Start) -> Vec<Check> {
    let check = |signal: Signal, seed: u64| {
        let helenus = Helenus::start(start).map_err(text)?;
        orders::create_schema(helenus.address).map_err(text)?;
        let load = Load::start(helenus.address, seed);
        thread::sleep(FIRST_KILL_AFTER);
        let numbers = load.finish();
        helenus.stop_by(signal).map_err(text)?;
        verify_all(start, &[(seed, numbers)])
    };
    [(Signal::Terminate, 500), (Signal::Interrupt, 501)]
        .map(|(signal, seed)| {
            Check::run(&format!("{signal} drains and exits with 0"), || {
                check(signal, seed)
            })
        })
        .into()
}

/// How long the description of all shards may take.
const DESCRIPTION_LIMIT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(50);

/// SIGQUIT writes the state of every shard to the log, and the server goes on: on the same connection, too.
pub fn describe_check(start: &Start) -> Check {
    const SHARDS: usize = 2;
    let start = Start {
        settings: vec![format!("helenus_shards={SHARDS}")],
        ..start.clone()
    };
    Check::run("SIGQUIT describes every shard and goes on", || {
        let mut helenus = Helenus::start(&start).map_err(text)?;
        let mut connection = Connection::open(helenus.address, 4, None).map_err(text)?;
        let before = helenus.log().len();
        helenus.signal(Signal::Quit).map_err(text)?;
        let began = Instant::now();
        let described = |shard| helenus.log()[before..].contains(&format!("shard {shard}: "));
        while !(0..SHARDS).all(described) {
            ensure(began.elapsed() < DESCRIPTION_LIMIT, || {
                format!(
                    "not described within {DESCRIPTION_LIMIT:?}:\n{}",
                    helenus.log_tail()
                )
            })?;
            thread::sleep(POLL);
        }
        let select = "SELECT release_version FROM system.local";
        let answer = connection.query(select).map_err(text)?.answer;
        ensure(matches!(answer, Answer::Rows(_)), || {
            format!("it answers {answer:?} afterwards")
        })?;
        ensure(helenus.is_running(), || "it has ended".to_owned())?;
        helenus.stop().map_err(text)
    })
}

/// Whether `strace` is there and may trace.
pub fn can_trace() -> bool {
    let run = Command::new("strace")
        .args(["-f", "-o", "/dev/null", "true"])
        .status();
    run.is_ok_and(|status| status.success())
}

const MARKER: &str = "a-value-that-is-easily-found-in-a-trace";

/// Traces the server through one write and checks that the log was synced between its record and the answer.
pub fn sync_check(start: &Start, trace: &Path) -> Check {
    Check::run("fdatasync comes before the answer", || {
        let calls = "trace=read,recvfrom,recvmsg,write,writev,pwrite64,pwritev,pwritev2,sendto,sendmsg,fsync,fdatasync,\
                     sync_file_range";
        let wrapper = ["strace", "-f", "-s", "8192", "-e", calls, "-o"].map(str::to_owned);
        let wrapper = wrapper
            .into_iter()
            .chain([trace.display().to_string()])
            .collect();
        let helenus = Helenus::start(&Start {
            wrapper,
            ..start.clone()
        })
        .map_err(text)?;
        let mut connection = Connection::open(helenus.address, 4, None).map_err(text)?;
        let keyspace = "CREATE KEYSPACE traced WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}";
        connection.query(keyspace).map_err(text)?;
        connection
            .query("CREATE TABLE traced.t (k int PRIMARY KEY, v text)")
            .map_err(text)?;
        let insert = format!("INSERT INTO traced.t (k, v) VALUES (1, '{MARKER}')");
        connection.query(&insert).map_err(text)?;
        drop(connection);
        helenus.stop().map_err(text)?;
        judge_trace(&std::fs::read_to_string(trace).map_err(text)?)
    })
}

/// Looks for: the request is read; a record with its value is written to a file; a sync of that file returns; the
/// answer is written to the connection the request came from.
fn judge_trace(trace: &str) -> Result<(), String> {
    let lines: Vec<&str> = trace.lines().collect();
    let descriptor = |line: &str| {
        let arguments = line.split_once('(')?.1;
        let digits = arguments
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(arguments.len());
        Some(arguments[..digits].to_owned())
    };
    let position = |from: usize, what: &str, test: &dyn Fn(&str) -> bool| {
        let found = lines[from..].iter().position(|line| test(line));
        found
            .map(|at| from + at)
            .ok_or_else(|| format!("the trace shows no {what}"))
    };
    let is_read = |line: &str| {
        line.contains(MARKER)
            && [" read(", " recvfrom(", " recvmsg("]
                .iter()
                .any(|call| line.contains(call))
    };
    let read = position(0, "request", &is_read)?;
    let socket = descriptor(lines[read]).unwrap_or_default();
    let record = position(read + 1, "record in the log", &|line| {
        line.contains(MARKER) && line.contains("write")
    })?;
    let file = descriptor(lines[record]).unwrap_or_default();
    let synced = position(record + 1, "sync of the log", &|line| {
        (line.contains("fdatasync(") || line.contains("fsync("))
            && descriptor(line).as_deref() == Some(&file)
    })?;
    let returned = if lines[synced].contains("unfinished") {
        let thread = lines[synced].split_whitespace().next().unwrap_or_default();
        position(synced + 1, "return of the sync", &|line| {
            line.starts_with(thread) && line.contains("sync resumed")
        })?
    } else {
        synced
    };
    let answers = |line: &str| {
        [" write(", " writev(", " sendto(", " sendmsg("]
            .iter()
            .any(|call| line.contains(call))
            && descriptor(line) == Some(socket.clone())
    };
    let answer = position(read + 1, "answer", &answers)?;
    ensure(returned < answer, || {
        format!(
            "answered before the sync:\n{}\n{}",
            lines[answer], lines[returned]
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ: &str = "7 recvfrom(9, \"INSERT a-value-that-is-easily-found-in-a-trace\", 99, 0, NULL, NULL) = 50\n";
    const RECORD: &str = "7 pwrite64(4, \"a-value-that-is-easily-found-in-a-trace\", 50, 0) = 50\n";
    const SYNC: &str = "8 fdatasync(4 <unfinished ...>\n8 <... fdatasync resumed>) = 0\n";
    const ANSWER: &str = "7 sendto(9, \"ok\", 2, 0, NULL, 0) = 2\n";

    #[test]
    fn an_answer_before_the_sync_is_seen() {
        assert_eq!(judge_trace(&[READ, RECORD, SYNC, ANSWER].concat()), Ok(()));
        assert!(judge_trace(&[READ, RECORD, ANSWER, SYNC].concat()).is_err());
        assert!(judge_trace(&[READ, RECORD, ANSWER].concat()).is_err());
    }
}
