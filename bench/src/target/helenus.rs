//! Helenus, as a user starts it.

use super::{Cache, Directories, Target, stop_child};
use crate::failure::{Failure, Outcome};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const CQL_PORT: u16 = 9042;
const ADMIN_PORT: u16 = 7199;
/// As much as Cassandra's heap.
const MEMORY_MIB: u64 = 2048;
/// The least that Helenus takes for an answer.
const LEAST_MEMORY_MIB: u64 = 64;
/// Of its memory, what it uses as block cache, in hundredths.
const CACHE_HUNDREDTHS: u64 = 30;
const ADMIN_LIMIT: Duration = Duration::from_mins(1);

/// A node on a loopback address, with its data in a directory.
#[derive(Debug)]
pub struct Helenus {
    binary: PathBuf,
    ip: IpAddr,
    directory: PathBuf,
    settings: Vec<String>,
    /// What the program is asked to be.
    role: &'static str,
    /// The node whose cluster it joins.
    seed: Option<IpAddr>,
    child: Option<Child>,
}

impl Helenus {
    /// With further `key=value` settings.
    pub fn new(binary: &Path, ip: IpAddr, directory: &Path, settings: &[String]) -> Self {
        Self {
            binary: binary.to_path_buf(),
            ip,
            directory: directory.to_path_buf(),
            settings: settings.to_vec(),
            role: "server",
            seed: None,
            child: None,
        }
    }

    /// The node, as one of the cluster that another is in, if there is one.
    pub fn joining(mut self, seed: Option<IpAddr>) -> Self {
        self.seed = seed;
        self
    }

    /// The node without mutation tracking; its program has to be `measured_node`.
    pub fn untracked(mut self) -> Self {
        self.role = "untracked";
        self
    }

    fn address(&self) -> SocketAddr {
        SocketAddr::new(self.ip, CQL_PORT)
    }

    fn log(&self) -> PathBuf {
        self.directory.with_extension("log")
    }

    fn log_tail(&self) -> String {
        let text = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }

    /// Asks the admin API.
    fn post(&self, path: &str) -> Outcome {
        let address = SocketAddr::new(self.ip, ADMIN_PORT);
        let mut socket = TcpStream::connect_timeout(&address, ADMIN_LIMIT)?;
        socket.set_read_timeout(Some(ADMIN_LIMIT))?;
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        socket.write_all(request.as_bytes())?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        let status = answer.lines().next().unwrap_or_default();
        if status.contains(" 200 ") {
            Ok(())
        } else {
            Err(Failure::new(format!("POST {path}: {status}")))
        }
    }
}

/// The budget in which the block cache has the size wanted: it has no setting of its own.
fn memory(cache: Cache) -> String {
    let mib = match cache {
        Cache::Ample => MEMORY_MIB,
        Cache::Scarce { bytes } => (bytes >> 20) * 100 / CACHE_HUNDREDTHS,
    };
    format!("{}MiB", mib.max(LEAST_MEMORY_MIB))
}

impl Target for Helenus {
    fn title(&self) -> &'static str {
        "Helenus"
    }

    fn addresses(&self) -> Vec<SocketAddr> {
        vec![self.address()]
    }

    fn processes(&self) -> Outcome<Vec<u32>> {
        let child = self.child.as_ref();
        child
            .map(|child| vec![child.id()])
            .ok_or_else(|| Failure::new("Helenus does not run"))
    }

    fn wipe(&mut self) -> Outcome {
        match fs::remove_dir_all(&self.directory) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Failure::at(&self.directory, error))
            }
            _ => Ok(()),
        }
    }

    fn launch(&mut self, cache: Cache) -> Outcome {
        super::must_be_free(self.address())?;
        fs::create_dir_all(&self.directory).map_err(|error| Failure::at(&self.directory, error))?;
        let log = File::options().create(true).append(true).open(self.log())?;
        let ip = self.ip;
        let mut settings = vec![
            format!("rpc_address={ip}"),
            format!("listen_address={ip}"),
            format!("native_transport_port={CQL_PORT}"),
            format!("helenus_admin_address={ip}:{ADMIN_PORT}"),
            "commitlog_sync=group".to_owned(),
        ];
        settings.extend(self.settings.iter().cloned());
        let mut command = Command::new(&self.binary);
        command
            .arg(self.role)
            .arg("--data-dir")
            .arg(&self.directory);
        command.args(["--memory", &memory(cache)]);
        if let Some(seed) = self.seed {
            command.args(["--seeds", &seed.to_string()]);
        }
        for setting in &settings {
            command.args(["--set", setting]);
        }
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let child = command.spawn();
        self.child = Some(child.map_err(|error| Failure::at(&self.binary, error))?);
        Ok(())
    }

    fn ended(&mut self) -> Option<String> {
        let status = self.child.as_mut()?.try_wait().ok()??;
        Some(format!("{status}\n{}", self.log_tail()))
    }

    fn flush(&mut self) -> Outcome {
        self.post("/api/v1/flush")
    }

    fn kill(&mut self) -> Outcome {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    fn stop(&mut self) -> Outcome {
        let Some(mut child) = self.child.take() else {
            return Ok(());
        };
        let status = stop_child(&mut child)?;
        if status.success() {
            Ok(())
        } else {
            Err(Failure::new(format!(
                "Helenus ended with {status}\n{}",
                self.log_tail()
            )))
        }
    }

    fn directories(&self) -> Option<Directories> {
        Some(Directories {
            data: self.directory.join("data"),
            log: self.directory.join("commitlog"),
        })
    }
}

impl Drop for Helenus {
    fn drop(&mut self) {
        // Nothing is left to tell about a failure here.
        let _ = self.stop();
    }
}
