//! A Helenus process under test: started on a data directory, waited for, killed.
//!
//! Always stopped by its own process id, also when a test fails: [`Helenus`] kills on drop.

use crate::wire::connection::Connection;
use std::fmt;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

const READY_LIMIT: Duration = Duration::from_mins(1);
/// A server of a debug build on a machine that does other things beside it.
const STOP_LIMIT: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(20);

/// What went wrong with a process.
#[derive(Debug)]
pub struct ProcessError(pub String);

impl fmt::Display for ProcessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ProcessError {}

/// A signal that a Helenus knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM: drain and end.
    Terminate,
    /// SIGINT, what Ctrl-C sends: drain and end.
    Interrupt,
    /// SIGQUIT: describe the state of every shard and go on.
    Quit,
}

impl Signal {
    /// Its name as `kill` takes it, with `SIG` left out.
    fn name(self) -> &'static str {
        match self {
            Signal::Terminate => "TERM",
            Signal::Interrupt => "INT",
            Signal::Quit => "QUIT",
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SIG{}", self.name())
    }
}

/// How to start a Helenus.
#[derive(Debug, Clone)]
pub struct Start {
    /// The executable.
    pub binary: PathBuf,
    /// Where its data lives.
    pub data: PathBuf,
    /// Where clients reach it.
    pub host: Ipv4Addr,
    /// The port they use; a free one if there is none.
    pub port: Option<u16>,
    /// `--set key=value` pairs beside address and ports.
    pub settings: Vec<String>,
    /// A command to run it under, such as `strace -f …`.
    pub wrapper: Vec<String>,
}

/// A running Helenus.
pub struct Helenus {
    child: Child,
    /// Whether `child` is a wrapper whose child the server is.
    wrapped: bool,
    /// Where CQL answers.
    pub address: SocketAddr,
    /// Where its admin API answers.
    pub admin: SocketAddr,
    /// How long it took until CQL answered.
    pub started_in: Duration,
    log: PathBuf,
}

impl Helenus {
    /// Starts it on free ports and waits until it answers a CQL statement.
    pub fn start(start: &Start) -> Result<Self, ProcessError> {
        std::fs::create_dir_all(&start.data)
            .map_err(|error| ProcessError(format!("{}: {error}", start.data.display())))?;
        let (free, admin) = (free_port()?, free_port()?);
        let port = start.port.unwrap_or(free);
        let log = start.data.with_extension("log");
        let output = File::options().create(true).append(true).open(&log);
        let output = output.map_err(|error| ProcessError(format!("{}: {error}", log.display())))?;
        let mut command = match start.wrapper.split_first() {
            Some((program, arguments)) => {
                let mut command = Command::new(program);
                command.args(arguments).arg(&start.binary);
                command
            }
            None => Command::new(&start.binary),
        };
        command.arg("server").arg("--data-dir").arg(&start.data);
        let settings = [
            format!("rpc_address={}", start.host),
            format!("native_transport_port={port}"),
            "storage_port=0".to_owned(),
            format!("helenus_shard_aware_port={}", free_port()?),
            format!("helenus_admin_address={}:{admin}", start.host),
        ];
        for setting in settings.iter().chain(&start.settings) {
            command.arg("--set").arg(setting);
        }
        let errors = output
            .try_clone()
            .map_err(|error| ProcessError(error.to_string()))?;
        let began = Instant::now();
        let child = command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn();
        let child =
            child.map_err(|error| ProcessError(format!("{}: {error}", start.binary.display())))?;
        let address = SocketAddr::from((start.host, port));
        let mut helenus = Self {
            child,
            wrapped: !start.wrapper.is_empty(),
            address,
            admin: SocketAddr::from((Ipv4Addr::LOCALHOST, admin)),
            started_in: Duration::ZERO,
            log,
        };
        helenus.wait_until_ready(began)?;
        helenus.started_in = began.elapsed();
        Ok(helenus)
    }

    fn wait_until_ready(&mut self, began: Instant) -> Result<(), ProcessError> {
        while began.elapsed() < READY_LIMIT {
            let answers = Connection::open(self.address, 4, None).and_then(|mut connection| {
                connection.query("SELECT release_version FROM system.local")
            });
            if answers.is_ok() {
                return Ok(());
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(ProcessError(format!(
                    "it ended at its start ({status}):\n{}",
                    self.log_tail()
                )));
            }
            sleep(POLL);
        }
        Err(ProcessError(format!(
            "no CQL answer within {READY_LIMIT:?}:\n{}",
            self.log_tail()
        )))
    }

    /// The server's process id. A wrapper such as strace keeps signals to itself, so they must go to its child.
    pub fn id(&self) -> u32 {
        let own = self.child.id();
        let children = format!("/proc/{own}/task/{own}/children");
        let first = || {
            std::fs::read_to_string(children)
                .ok()?
                .split_whitespace()
                .next()?
                .parse()
                .ok()
        };
        if self.wrapped {
            first().unwrap_or(own)
        } else {
            own
        }
    }

    /// All it wrote to its standard output and error, and those before it on the same data.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The end of what it wrote to its standard output and error.
    pub fn log_tail(&self) -> String {
        let text = self.log();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Ends it with no warning: SIGKILL.
    pub fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        // It may have ended by itself; these calls then have nothing to do.
        if self.wrapped && self.is_running() {
            let _ = Command::new("kill")
                .arg("-KILL")
                .arg(self.id().to_string())
                .status();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to stop (SIGTERM) and waits; an error if it takes too long or does not exit with 0.
    pub fn stop(self) -> Result<(), ProcessError> {
        self.stop_by(Signal::Terminate)
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<(), ProcessError> {
        let mut kill = Command::new("kill");
        kill.args(["-s", signal.name(), &self.id().to_string()]);
        match kill.status() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(ProcessError(format!("{signal} cannot be sent: {status}"))),
            Err(error) => Err(ProcessError(format!("kill: {error}"))),
        }
    }

    /// Asks it to stop by a signal and waits; an error if it takes too long or does not exit with 0.
    pub fn stop_by(mut self, signal: Signal) -> Result<(), ProcessError> {
        self.signal(signal)?;
        let began = Instant::now();
        while began.elapsed() < STOP_LIMIT {
            match self.child.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => {
                    return Err(ProcessError(format!("{signal} ended it with {status}")));
                }
                _ => sleep(POLL),
            }
        }
        Err(ProcessError(format!(
            "{signal} did not end it within {STOP_LIMIT:?}"
        )))
    }
}

impl Drop for Helenus {
    fn drop(&mut self) {
        self.end();
    }
}

/// Where ports are taken from: below those that systems give to connections by themselves.
const PORTS: std::ops::Range<u32> = 10_000..30_000;
/// How many of them each process has for itself, before it comes to those of others.
const PORTS_EACH: u32 = 256;

/// A port nobody listens on now. Tests that run beside in other processes take theirs from elsewhere.
pub fn free_port() -> Result<u16, ProcessError> {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id().wrapping_mul(PORTS_EACH);
    for _ in PORTS {
        let next = first.wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed));
        let port = (PORTS.start + next % (PORTS.end - PORTS.start)) as u16;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    Err(ProcessError("no free port".to_owned()))
}

/// A directory below the system's for temporary files that is removed on drop.
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes `helenus-NAME-PID`.
    pub fn new(name: &str) -> Result<Self, ProcessError> {
        let path = std::env::temp_dir().join(format!("helenus-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path)
            .map_err(|error| ProcessError(format!("{}: {error}", path.display())))?;
        Ok(Self(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
