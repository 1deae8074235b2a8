//! Runs Apache Cassandra 5.0.6, the reference to record answers from and to measure against.
//!
//! The jars come from Maven Central into the cache directory, once. Each loopback address has a directory of its own, so
//! that nodes on several addresses can run side by side. A node is stopped by the process id in that directory, and never
//! started on an address where something answers already.

use crate::{TaskResult, paths};
use std::fs;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The version that decides.
pub const VERSION: &str = "5.0.6";
/// The address used unless another is named.
pub const DEFAULT_IP: &str = "127.0.0.9";
/// The address of the node that asks for a login, so that it can stand beside the other.
pub const PASSWORD_IP: &str = "127.0.0.8";
const CQL_PORT: u16 = 9042;
const START_LIMIT: Duration = Duration::from_mins(3);
const STOP_LIMIT: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(250);
/// JMX port of the node on 127.0.0.N is this plus N.
const JMX_BASE: u16 = 7300;

/// Packages Cassandra 5.0 reaches into on Java 17, from its own `jvm17-server.options`.
const EXPORTS: [&str; 10] = [
    "java.base/jdk.internal.misc",
    "java.base/jdk.internal.ref",
    "java.base/jdk.internal.util",
    "java.base/sun.nio.ch",
    "java.management.rmi/com.sun.jmx.remote.internal.rmi",
    "java.rmi/sun.rmi.registry",
    "java.rmi/sun.rmi.server",
    "java.rmi/sun.rmi.transport",
    "java.rmi/sun.rmi.transport.tcp",
    "java.sql/java.sql",
];
const OPENS: [&str; 17] = [
    "java.base/java.io",
    "java.base/java.lang",
    "java.base/java.lang.module",
    "java.base/java.lang.reflect",
    "java.base/java.nio",
    "java.base/java.util",
    "java.base/java.util.concurrent",
    "java.base/java.util.concurrent.atomic",
    "java.base/jdk.internal.loader",
    "java.base/jdk.internal.math",
    "java.base/jdk.internal.module",
    "java.base/jdk.internal.ref",
    "java.base/jdk.internal.reflect",
    "java.base/jdk.internal.util.jar",
    "java.base/sun.nio.ch",
    "jdk.attach/sun.tools.attach",
    "jdk.management/com.sun.management.internal",
];

/// A node on one loopback address.
pub struct Node {
    ip: IpAddr,
    /// The node whose cluster it joins; itself, if it is the first.
    seed: IpAddr,
    home: PathBuf,
}

/// Whether a client must log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Login {
    /// Anybody may do anything, as shipped.
    Open,
    /// Roles with passwords (`cassandra`/`cassandra` at first), all permitted everything.
    Password,
}

/// How acknowledged writes reach the disk.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// As shipped: every ten seconds.
    Periodic,
    /// Before the acknowledgement.
    Group,
}

/// `cargo xtask server cassandra …`.
pub fn run(arguments: &[&str]) -> TaskResult {
    let usage = "start|stop|wipe|nodetool [--ip 127.0.0.9] [--seed IP] [--sync group] [--login password] [arguments of nodetool]";
    let (verb, mut rest) = arguments.split_first().ok_or(usage)?;
    let (mut ip, mut seed, mut sync, mut login) = (DEFAULT_IP, None, Sync::Periodic, Login::Open);
    while let [option, value, tail @ ..] = rest {
        match *option {
            "--ip" => ip = value,
            "--seed" => seed = Some(*value),
            "--sync" if *value == "group" => sync = Sync::Group,
            "--sync" if *value == "periodic" => sync = Sync::Periodic,
            "--login" if *value == "password" => login = Login::Password,
            "--login" if *value == "open" => login = Login::Open,
            _ => break,
        }
        rest = tail;
    }
    let mut node = Node::on(ip)?;
    if let Some(seed) = seed {
        node = node.joining(seed)?;
    }
    match *verb {
        "start" => node.start(sync, login),
        "stop" => node.stop(),
        "wipe" => node.wipe(),
        "nodetool" => node.nodetool(rest),
        _ => Err(usage.into()),
    }
}

fn address(text: &str) -> TaskResult<IpAddr> {
    let parsed = text.parse();
    parsed.map_err(|_| format!("{text} is no address"))
}

impl Node {
    /// The node on an address, whether it runs or not.
    pub fn on(ip: &str) -> TaskResult<Self> {
        let ip = address(ip)?;
        Ok(Self {
            ip,
            seed: ip,
            home: paths::cache().join(format!("cassandra-{VERSION}")),
        })
    }

    /// The node, as one of the cluster that another is in.
    fn joining(self, seed: &str) -> TaskResult<Self> {
        let seed = address(seed)?;
        Ok(Self { seed, ..self })
    }

    /// Where CQL answers.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.ip, CQL_PORT)
    }

    fn directory(&self) -> PathBuf {
        self.home.join(self.ip.to_string())
    }

    fn jmx_port(&self) -> u16 {
        let last = match self.ip {
            IpAddr::V4(address) => address.octets()[3],
            IpAddr::V6(address) => address.octets()[15],
        };
        JMX_BASE + u16::from(last)
    }

    /// The running process this launcher started, if any. A process id that now belongs to another program is not it.
    fn process(&self) -> Option<u32> {
        let id: u32 = fs::read_to_string(self.directory().join("pid"))
            .ok()?
            .trim()
            .parse()
            .ok()?;
        let command = fs::read(format!("/proc/{id}/cmdline")).ok()?;
        let command = String::from_utf8_lossy(&command).into_owned();
        command
            .contains(&self.directory().display().to_string())
            .then_some(id)
    }

    /// Whether CQL answers on the address, whoever serves it.
    pub fn answers(&self) -> bool {
        TcpStream::connect_timeout(&self.address(), Duration::from_secs(1)).is_ok()
    }

    /// Starts it and waits until CQL answers.
    pub fn start(&self, sync: Sync, login: Login) -> TaskResult {
        if self.process().is_some() {
            println!("already running on {}", self.ip);
            return Ok(());
        }
        if self.answers() {
            return Err(format!(
                "something else answers on {}; choose another --ip",
                self.address()
            ));
        }
        self.fetch()?;
        let directory = self.directory();
        for name in ["conf", "logs"] {
            fs::create_dir_all(directory.join(name))
                .map_err(|error| format!("{}: {error}", directory.display()))?;
        }
        self.write_configuration(sync, login)?;
        let output = fs::File::create(directory.join("logs/stdout.log"))
            .map_err(|error| error.to_string())?;
        let errors = output.try_clone().map_err(|error| error.to_string())?;
        let mut command = self.java();
        let heap = std::env::var("HEAP").unwrap_or_else(|_| "1G".into());
        command
            .args([format!("-Xms{heap}"), format!("-Xmx{heap}")])
            .args(["-XX:+UseG1GC", "-XX:+AlwaysPreTouch"]);
        let shown = directory.display();
        command.arg(format!(
            "-Dcassandra.config=file://{shown}/conf/cassandra.yaml"
        ));
        command.arg(format!("-Dcassandra.storagedir={shown}"));
        command.arg(format!("-Dcassandra.jmx.local.port={}", self.jmx_port()));
        command.args([
            "-Dcassandra.ring_delay_ms=2000",
            "-Dcassandra.superuser_setup_delay_ms=100",
        ]);
        command.arg("-Dcassandra.sai.vector.allow_custom_parameters=true");
        command.arg("org.apache.cassandra.service.CassandraDaemon");
        // A process group of its own, so that Ctrl-C at the terminal does not reach it.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn();
        let mut child = child.map_err(|error| format!("java: {error}"))?;
        fs::write(directory.join("pid"), child.id().to_string())
            .map_err(|error| error.to_string())?;
        let began = Instant::now();
        while began.elapsed() < START_LIMIT {
            if self.answers() {
                println!("Cassandra {VERSION} answers on {}", self.address());
                return Ok(());
            }
            if let Ok(Some(status)) = child.try_wait() {
                return Err(format!(
                    "Cassandra ended at its start ({status}); see {shown}/logs"
                ));
            }
            sleep(POLL);
        }
        Err(format!(
            "no answer on {} within {START_LIMIT:?}; see {shown}/logs",
            self.address()
        ))
    }

    /// Copies the jars into the cache unless they are there.
    fn fetch(&self) -> TaskResult {
        let library = self.home.join("lib");
        if library
            .join(format!("cassandra-all-{VERSION}.jar"))
            .exists()
        {
            return Ok(());
        }
        fs::create_dir_all(&library).map_err(|error| format!("{}: {error}", library.display()))?;
        let pom = paths::root().join("xtask/cassandra-pom.xml");
        let mut maven = Command::new("mvn");
        maven
            .arg("-q")
            .arg("-f")
            .arg(pom)
            .arg("dependency:copy-dependencies");
        maven.arg(format!("-DoutputDirectory={}", library.display()));
        match maven.status() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("mvn: {status}")),
            Err(error) => Err(format!(
                "mvn: {error} (Maven and Java 17 are needed to run Cassandra)"
            )),
        }
    }

    fn java(&self) -> Command {
        let library = self.home.join("lib/*");
        let configuration = self.directory().join("conf");
        let mut command = Command::new(java_17());
        command.args([
            "-Djdk.attach.allowAttachSelf=true",
            "-Djava.security.manager=allow",
        ]);
        for package in EXPORTS {
            command.args(["--add-exports", &format!("{package}=ALL-UNNAMED")]);
        }
        for package in OPENS {
            command.args(["--add-opens", &format!("{package}=ALL-UNNAMED")]);
        }
        command.arg(format!(
            "-Dlogback.configurationFile={}/logback.xml",
            configuration.display()
        ));
        command
            .arg("-cp")
            .arg(format!("{}:{}", configuration.display(), library.display()));
        command
    }

    fn write_configuration(&self, sync: Sync, login: Login) -> TaskResult {
        let (directory, ip, seed) = (self.directory(), self.ip, self.seed);
        let shown = directory.display();
        let sync = match sync {
            Sync::Periodic => "commitlog_sync: periodic\ncommitlog_sync_period: 10000ms",
            Sync::Group => "commitlog_sync: group\ncommitlog_sync_group_window: 1ms",
        };
        let (authenticator, authorizer) = match login {
            Login::Open => ("AllowAllAuthenticator", "AllowAllAuthorizer"),
            Login::Password => ("PasswordAuthenticator", "AllowAllAuthorizer"),
        };
        let settings = format!(
            "cluster_name: reference
num_tokens: 16
allocate_tokens_for_local_replication_factor: 3
data_file_directories: [ {shown}/data ]
commitlog_directory: {shown}/commitlog
hints_directory: {shown}/hints
cdc_raw_directory: {shown}/cdc_raw
saved_caches_directory: {shown}/saved_caches
{sync}
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
endpoint_snitch: GossipingPropertyFileSnitch
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters: [ {{ seeds: \"{seed}\" }} ]
listen_address: {ip}
rpc_address: {ip}
authenticator: {authenticator}
authorizer: {authorizer}
permissions_validity: 100ms
user_defined_functions_enabled: true
materialized_views_enabled: true
sasi_indexes_enabled: true
auto_snapshot: false
storage_compatibility_mode: NONE
memtable: {{ configurations: {{ default: {{ inherits: trie }}, trie: {{ class_name: TrieMemtable }} }} }}
sstable: {{ selected_format: bti }}
"
        );
        let log = format!(
            "<configuration><appender name=\"F\" class=\"ch.qos.logback.core.FileAppender\">\
             <file>{shown}/logs/system.log</file><encoder><pattern>%-5level [%thread] %date{{ISO8601}} %F:%L - %msg%n\
             </pattern></encoder></appender><root level=\"INFO\"><appender-ref ref=\"F\"/></root></configuration>\n"
        );
        let files = [
            ("cassandra.yaml", settings),
            (
                "cassandra-rackdc.properties",
                "dc=datacenter1\nrack=rack1\n".to_owned(),
            ),
            ("logback.xml", log),
        ];
        for (name, text) in files {
            write(&directory.join("conf").join(name), &text)?;
        }
        Ok(())
    }

    /// Stops it: SIGTERM, and SIGKILL if that takes too long.
    pub fn stop(&self) -> TaskResult {
        let Some(id) = self.process() else {
            return Ok(());
        };
        signal(id, "-TERM")?;
        let began = Instant::now();
        while self.process().is_some() {
            if began.elapsed() > STOP_LIMIT {
                signal(id, "-KILL")?;
            }
            if began.elapsed() > STOP_LIMIT * 2 {
                return Err(format!("process {id} does not end"));
            }
            sleep(POLL);
        }
        Ok(())
    }

    fn wipe(&self) -> TaskResult {
        self.stop()?;
        match fs::remove_dir_all(self.directory()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.to_string()),
            _ => Ok(()),
        }
    }

    fn nodetool(&self, arguments: &[&str]) -> TaskResult {
        let mut command = self.java();
        command.args([
            "-XX:TieredStopAtLevel=1",
            "org.apache.cassandra.tools.NodeTool",
            "-p",
        ]);
        let status = command
            .arg(self.jmx_port().to_string())
            .args(arguments)
            .status();
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("nodetool: {status}")),
            Err(error) => Err(format!("java: {error}")),
        }
    }
}

/// Java 17 where Linux distributions install it, or whatever `java` is.
fn java_17() -> PathBuf {
    let installed = fs::read_dir("/usr/lib/jvm").into_iter().flatten().flatten();
    let mut found = installed
        .map(|entry| entry.path())
        .filter(|path| path.to_string_lossy().contains("java-17"));
    let found = found.find(|path| path.join("bin/java").exists());
    found.map_or_else(|| PathBuf::from("java"), |path| path.join("bin/java"))
}

fn signal(id: u32, name: &str) -> TaskResult {
    let status = Command::new("kill").arg(name).arg(id.to_string()).status();
    status.map(|_| ()).map_err(|error| format!("kill: {error}"))
}

fn write(path: &Path, text: &str) -> TaskResult {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}
