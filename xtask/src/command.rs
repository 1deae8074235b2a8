//! Runs a program to its end, with a limit of time, and keeps what it said.

use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

const POLL: Duration = Duration::from_millis(50);

/// A program that has ended.
pub struct Ended {
    /// Whether it exited with 0 within its time.
    pub success: bool,
    /// Standard output and error, in the order they came as far as two pipes allow.
    pub output: String,
}

impl Ended {
    /// The last lines of the output.
    pub fn tail(&self, lines: usize) -> String {
        let all: Vec<&str> = self.output.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }
}

/// Runs a command; a program that does not exist, or takes longer than `limit`, has not succeeded.
pub fn run(command: &mut Command, limit: Duration) -> Ended {
    let spawned = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => {
            return Ended {
                success: false,
                output: format!("{command:?}: {error}"),
            };
        }
    };
    let (sender, receiver) = mpsc::channel();
    let out = child
        .stdout
        .take()
        .map(|pipe| Box::new(pipe) as Box<dyn Read + Send>);
    let errors = child
        .stderr
        .take()
        .map(|pipe| Box::new(pipe) as Box<dyn Read + Send>);
    for mut pipe in [out, errors].into_iter().flatten() {
        let sender = sender.clone();
        thread::spawn(move || {
            let mut buffer = [0; 8192];
            while let Ok(count @ 1..) = pipe.read(&mut buffer) {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
    }
    drop(sender);
    let began = Instant::now();
    let mut output = Vec::new();
    let mut ended = None;
    while ended.is_none() && began.elapsed() < limit {
        output.extend(receiver.recv_timeout(POLL).unwrap_or_default());
        ended = child.try_wait().ok().flatten();
    }
    if ended.is_none() {
        let _ = child.kill();
        let _ = child.wait();
        output.extend(format!("\nstopped after {limit:?}").into_bytes());
    }
    // What its own children still hold open is not waited for.
    while let Ok(more) = receiver.recv_timeout(POLL) {
        output.extend(more);
    }
    Ended {
        success: ended.is_some_and(|status| status.success()),
        output: String::from_utf8_lossy(&output).into_owned(),
    }
}

/// Whether a program can be run at all.
pub fn exists(program: &str, argument: &str) -> bool {
    let probe = Command::new(program)
        .arg(argument)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    probe.is_ok_and(|status| status.success())
}
