//! The load: a program that is told what happens to nodes, and says in the end what it makes of their answers.

use crate::checks::Check;
use std::io::{BufRead, BufReader, Write};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Longest time until it runs.
const START_LIMIT: Duration = Duration::from_mins(1);
/// Longest time until it has looked for everything.
const JUDGE_LIMIT: Duration = Duration::from_mins(5);

/// The program.
pub struct Load {
    child: Child,
    input: ChildStdin,
    /// What it says, line by line.
    lines: Receiver<String>,
}

impl Load {
    /// Starts it and waits until the load runs.
    pub fn start(
        python: &Path,
        script: &Path,
        port: u16,
        hosts: Vec<Ipv4Addr>,
    ) -> Result<Self, String> {
        let mut child = Command::new(python)
            .arg(script)
            .arg(port.to_string())
            .args(hosts.iter().map(Ipv4Addr::to_string))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{}: {error}", python.display()))?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let (Some(input), Some(output)) = (input, output) else {
            return Err("the load has no pipes".to_owned());
        };
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let load = Self {
            child,
            input,
            lines,
        };
        match load.lines.recv_timeout(START_LIMIT) {
            Ok(line) if line == "READY" => Ok(load),
            other => Err(format!("the load does not run: {other:?}")),
        }
    }

    fn tell(&mut self, words: &str) -> Result<(), String> {
        let told = writeln!(self.input, "{words}").and_then(|()| self.input.flush());
        told.map_err(|error| format!("the load has ended: {error}"))
    }

    fn tell_of(&mut self, words: &str, hosts: Vec<Ipv4Addr>) -> Result<(), String> {
        let hosts: Vec<String> = hosts.iter().map(Ipv4Addr::to_string).collect();
        self.tell(&format!("{words} {}", hosts.join(" ")))
    }

    /// Something is wrong with nodes from now on.
    pub fn struck(&mut self, name: &str, hosts: Vec<Ipv4Addr>) -> Result<(), String> {
        self.tell_of(&format!("struck {name}"), hosts)
    }

    /// Nothing is wrong any more.
    pub fn healed(&mut self) -> Result<(), String> {
        self.tell("healed")
    }

    /// What a node alone had is gone.
    pub fn lost(&mut self, host: Ipv4Addr) -> Result<(), String> {
        self.tell_of("lost", vec![host])
    }

    /// The nodes there are from now on.
    pub fn hosts(&mut self, hosts: Vec<Ipv4Addr>) -> Result<(), String> {
        self.tell_of("hosts", hosts)
    }

    /// Ends the load and has it look for everything that was acknowledged.
    pub fn judge(mut self) -> Result<Vec<Check>, String> {
        self.tell("verify")?;
        let end = Instant::now() + JUDGE_LIMIT;
        let mut checks = Vec::new();
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let line = match self.lines.recv_timeout(left) {
                Ok(line) => line,
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    return Err(format!("the load goes on after {JUDGE_LIMIT:?}"));
                }
            };
            match line.split_once(' ') {
                Some(("PASS", name)) => checks.push(Check::run(name, || Ok(()))),
                Some(("FAIL", said)) => {
                    let (name, why) = said.split_once(": ").unwrap_or((said, ""));
                    checks.push(Check::run(name, || Err(why.to_owned())));
                }
                _ => println!("{line}"),
            }
        }
        let status = self.child.wait().map_err(|error| error.to_string())?;
        if checks.is_empty() || !status.success() {
            return Err(format!("the load ended with {status}"));
        }
        Ok(checks)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
