//! Apache Cassandra, run by the project's launcher (`cargo xtask server cassandra`).

use super::{Cache, Directories, STOP_LIMIT, Target, signal};
use crate::failure::{Failure, Outcome};
use rustix::process::Signal;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

const CQL_PORT: u16 = 9042;
const HEAP: &str = "2G";
/// What Cassandra takes by itself where the cache is switched on and there is memory enough.
const AMPLE_CACHE_MIB: u64 = 512;

/// A node on a loopback address.
#[derive(Debug)]
pub struct Cassandra {
    launcher: PathBuf,
    ip: IpAddr,
    directory: PathBuf,
    /// The node whose cluster it joins.
    seed: Option<IpAddr>,
    starting: Option<Child>,
    started: bool,
}

impl Cassandra {
    /// Run by `launcher`, which keeps its nodes in directories by address below `home`.
    pub fn new(launcher: &Path, home: &Path, ip: IpAddr) -> Self {
        Self {
            launcher: launcher.to_path_buf(),
            ip,
            directory: home.join(ip.to_string()),
            seed: None,
            starting: None,
            started: false,
        }
    }

    /// The node, as one of the cluster that another is in, if there is one.
    pub fn joining(mut self, seed: Option<IpAddr>) -> Self {
        self.seed = seed;
        self
    }

    fn address(&self) -> SocketAddr {
        SocketAddr::new(self.ip, CQL_PORT)
    }

    fn process(&self) -> Outcome<u32> {
        let path = self.directory.join("pid");
        let text = fs::read_to_string(&path).map_err(|error| Failure::at(&path, error))?;
        text.trim()
            .parse()
            .map_err(|error| Failure::at(&path, error))
    }

    fn launcher(&self, verb: &str) -> Command {
        let mut command = Command::new(&self.launcher);
        command
            .args(["server", "cassandra", verb, "--ip", &self.ip.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        command
    }

    fn run(command: &mut Command) -> Outcome {
        let status = command.status()?;
        if status.success() {
            Ok(())
        } else {
            Err(Failure::new(format!("the launcher ended with {status}")))
        }
    }

    /// Waits for the launcher of a start, which ends by itself soon after the node answers.
    fn join_launcher(&mut self) -> Outcome {
        if let Some(mut launcher) = self.starting.take() {
            launcher.wait()?;
        }
        Ok(())
    }
}

impl Target for Cassandra {
    fn title(&self) -> &'static str {
        "Apache Cassandra 5.0.6"
    }

    fn addresses(&self) -> Vec<SocketAddr> {
        vec![self.address()]
    }

    fn processes(&self) -> Outcome<Vec<u32>> {
        Ok(vec![self.process()?])
    }

    fn wipe(&mut self) -> Outcome {
        super::must_be_free(self.address())?;
        Self::run(&mut self.launcher("wipe"))
    }

    fn launch(&mut self, cache: Cache) -> Outcome {
        super::must_be_free(self.address())?;
        let mut command = self.launcher("start");
        command.args(["--sync", "group"]).env("HEAP", HEAP);
        if let Some(seed) = self.seed {
            command.args(["--seed", &seed.to_string()]);
        }
        let cache_mib = match cache {
            Cache::Ample => AMPLE_CACHE_MIB,
            Cache::Scarce { bytes } => bytes >> 20,
        };
        // The launcher writes the configuration; system properties override it. As shipped Cassandra 5.0 has no block
        // cache of its own at all, and decompresses a block for every read of it.
        command.env(
            "JDK_JAVA_OPTIONS",
            format!(
                "-Dcassandra.config.allow_system_properties=true -Dcassandra.settings.file_cache_enabled=true \
                 -Dcassandra.settings.file_cache_size={cache_mib}MiB"
            ),
        );
        self.starting = Some(command.spawn()?);
        self.started = true;
        Ok(())
    }

    fn ended(&mut self) -> Option<String> {
        match self.starting.as_mut()?.try_wait() {
            Ok(Some(status)) if !status.success() => {
                Some(format!("the launcher ended with {status}"))
            }
            _ => None,
        }
    }

    fn flush(&mut self) -> Outcome {
        Self::run(self.launcher("nodetool").arg("flush"))
            .map_err(|failure| failure.during("nodetool flush"))
    }

    fn kill(&mut self) -> Outcome {
        self.join_launcher()?;
        let id = self.process()?;
        signal(id, Signal::KILL)?;
        let began = Instant::now();
        // Its threads end one by one, and the socket with the last.
        while is_alive(id) || super::must_be_free(self.address()).is_err() {
            if began.elapsed() > STOP_LIMIT {
                return Err(Failure::new(format!("process {id} does not end")));
            }
            sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn stop(&mut self) -> Outcome {
        self.join_launcher()?;
        if std::mem::take(&mut self.started) {
            Self::run(&mut self.launcher("stop"))?;
        }
        Ok(())
    }

    fn directories(&self) -> Option<Directories> {
        Some(Directories {
            data: self.directory.join("data"),
            log: self.directory.join("commitlog"),
        })
    }
}

/// Whether a process has not ended. One that has may stay in the table until its parent looks.
fn is_alive(id: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    stat.rsplit_once(')')
        .is_some_and(|(_, state)| !state.trim_start().starts_with(['Z', 'X']))
}

impl Drop for Cassandra {
    fn drop(&mut self) {
        // Nothing is left to tell about a failure here.
        let _ = self.stop();
    }
}
