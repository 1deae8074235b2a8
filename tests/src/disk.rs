//! What clients see of a bad disk: a full one refuses writes and takes them again without a restart, and a block that is
//! no longer what was written is named and costs its own partitions only.
//!
//! The full disk is a small tmpfs in a mount namespace of its own, held open by a process that does nothing, so that it
//! outlives the server that is killed on it. Making one takes root, or a user namespace in which one is root.

use crate::checks::{Check, ensure};
use crate::process::{Helenus, ProcessError, Start};
use crate::wire::connection::Connection;
use crate::wire::response::Answer;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Room for one shard's log segments and a little more, and how much of it the ballast takes.
pub const DISK_BYTES: u64 = 96 << 20;
const BALLAST_BYTES: usize = 40 << 20;
/// Bytes of a value of the load.
const VALUE_BYTES: usize = 100_000;
/// Writes after which a disk of this size must have refused one.
const MAX_WRITES: u32 = (DISK_BYTES as usize / VALUE_BYTES) as u32;
/// How soon writes must be taken again once there is room.
const RECOVERY_LIMIT: Duration = Duration::from_secs(10);
const RECOVERY_POLL: Duration = Duration::from_millis(100);

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Options of `unshare` that make a mount namespace, and of `nsenter` that enter it: as root, and as anybody where the system
/// lets everybody have a user namespace.
const WAYS: [(&[&str], &[&str]); 2] = [
    (&["--mount"], &["--mount"]),
    (
        &["--user", "--map-root-user", "--mount"],
        &["--user", "--preserve-credentials", "--mount"],
    ),
];

/// A tmpfs that only processes in its mount namespace see.
pub struct SmallDisk {
    entrance: &'static [&'static str],
    holder: Child,
    directory: PathBuf,
}

impl SmallDisk {
    /// Mounts one of so many bytes on an empty directory; an error if the system allows that in no way.
    pub fn mount(directory: &Path, bytes: u64) -> Result<Self, ProcessError> {
        let [root, user] = WAYS.map(|way| move || Self::mount_in(way, directory, bytes));
        root().or_else(|_| user())
    }

    fn mount_in(
        (exit, entrance): (&[&str], &'static [&'static str]),
        directory: &Path,
        bytes: u64,
    ) -> Result<Self, ProcessError> {
        let script = "mount -t tmpfs -o size=\"$0\" tmpfs \"$1\" && mkdir \"$1/data\" && echo mounted && read -r line";
        let failed = |why: String| ProcessError(format!("a disk of its own: {why}"));
        fs::create_dir_all(directory).map_err(|error| failed(error.to_string()))?;
        let mut holder = Command::new("unshare")
            .args(exit)
            .args(["sh", "-c", script, &bytes.to_string()])
            .arg(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| failed(format!("unshare: {error}")))?;
        let mut line = String::new();
        if let Some(output) = holder.stdout.take() {
            BufReader::new(output)
                .read_line(&mut line)
                .map_err(|error| failed(error.to_string()))?;
        }
        let disk = Self {
            entrance,
            holder,
            directory: directory.to_path_buf(),
        };
        if line.trim() == "mounted" {
            Ok(disk)
        } else {
            Err(failed("the system does not let us mount one".into()))
        }
    }

    /// A path on it as everybody sees it.
    fn outside(&self, name: &str) -> PathBuf {
        let root = format!("/proc/{}/root", self.holder.id());
        let below = self.directory.strip_prefix("/").unwrap_or(&self.directory);
        Path::new(&root).join(below).join(name)
    }

    /// How a server is started on it.
    fn start(&self, start: &Start) -> Start {
        let holder = self.holder.id().to_string();
        let mut wrapper = vec!["nsenter", "--target", &holder];
        wrapper.extend(self.entrance);
        wrapper.push("--");
        Start {
            data: self.directory.join("data"),
            wrapper: wrapper.into_iter().map(str::to_owned).collect(),
            settings: vec!["helenus_shards=1".into()],
            ..start.clone()
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// The value of a key: told apart from every other, and not to be compressed away.
fn value(key: u32, bytes: usize) -> String {
    let mut state = u64::from(key) + 1;
    let letters = (0..bytes).map(|_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        char::from(b'a' + (state >> 58) as u8 % 26)
    });
    letters.collect()
}

/// A table of text by number, and which numbers it acknowledged.
struct Table {
    connection: Connection,
    value_bytes: usize,
    acknowledged: Vec<u32>,
    next: u32,
}

impl Table {
    fn create(helenus: &Helenus, value_bytes: usize) -> Result<Self, String> {
        let mut table = Self {
            connection: connect(helenus)?,
            value_bytes,
            acknowledged: Vec::new(),
            next: 0,
        };
        let keyspace = "CREATE KEYSPACE bad WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}";
        table.query(keyspace)?;
        table.query("CREATE TABLE bad.t (k int PRIMARY KEY, v text)")?;
        Ok(table)
    }

    /// The error's class and message, if it is one of the server's.
    fn query(&mut self, statement: &str) -> Result<Answer, String> {
        match self.connection.query(statement).map_err(text)?.answer {
            Answer::Error(error) => Err(format!("{}: {}", error.class(), error.message)),
            answer => Ok(answer),
        }
    }

    fn write(&mut self) -> Result<(), String> {
        let (key, bytes) = (self.next, self.value_bytes);
        self.next += 1;
        let insert = format!(
            "INSERT INTO bad.t (k, v) VALUES ({key}, '{}')",
            value(key, bytes)
        );
        self.query(&insert)?;
        self.acknowledged.push(key);
        Ok(())
    }

    fn read(&mut self, key: u32) -> Result<(), String> {
        let answer = self.query(&format!("SELECT v FROM bad.t WHERE k = {key}"))?;
        let wanted = value(key, self.value_bytes);
        match answer {
            Answer::Rows(rows) if rows.rows == [[Some(wanted.into_bytes())]] => Ok(()),
            _ => Err(format!("{key} is lost or has another value")),
        }
    }

    fn read_all(&mut self) -> Result<(), String> {
        for key in self.acknowledged.clone() {
            self.read(key)?;
        }
        Ok(())
    }
}

fn connect(helenus: &Helenus) -> Result<Connection, String> {
    Connection::open(helenus.address, 4, None).map_err(text)
}

/// Whether a write is refused as a full disk must refuse it.
fn refused(outcome: Result<(), String>) -> Result<bool, String> {
    match outcome {
        Ok(()) => Ok(false),
        Err(error) if error.starts_with("WriteFailure") && error.contains("no space left") => {
            Ok(true)
        }
        Err(error) => Err(error),
    }
}

/// Fills a disk up, restarts the server while it is full, frees space: reads are served all the time, writes again once
/// there is room, and everything acknowledged stays.
pub fn full_disk_check(start: &Start, disk: &SmallDisk) -> Check {
    let name = "a full disk refuses writes, serves reads, and recovers";
    Check::run(name, || {
        let start = disk.start(start);
        let ballast = disk.outside("ballast");
        fs::write(&ballast, vec![1; BALLAST_BYTES]).map_err(text)?;
        let helenus = Helenus::start(&start).map_err(text)?;
        let mut table = Table::create(&helenus, VALUE_BYTES)?;
        fill(&mut table)?;
        table.read_all()?;
        helenus.kill();
        let helenus = Helenus::start(&start).map_err(text)?;
        table.connection = connect(&helenus)?;
        table.read_all()?;
        fill(&mut table)?;
        table.read_all()?;
        fs::remove_file(&ballast).map_err(text)?;
        recover(&mut table)?;
        for _ in 0..20 {
            table.write()?;
        }
        helenus.kill();
        let helenus = Helenus::start(&start).map_err(text)?;
        table.connection = connect(&helenus)?;
        table.read_all()?;
        helenus.stop().map_err(text)
    })
}

fn fill(table: &mut Table) -> Result<(), String> {
    for _ in 0..MAX_WRITES {
        if refused(table.write())? {
            return Ok(());
        }
    }
    Err(format!("{MAX_WRITES} writes and the disk is not full"))
}

fn recover(table: &mut Table) -> Result<(), String> {
    let began = Instant::now();
    while refused(table.write())? {
        ensure(began.elapsed() < RECOVERY_LIMIT, || {
            format!("writes are still refused {RECOVERY_LIMIT:?} after there is room")
        })?;
        thread::sleep(RECOVERY_POLL);
    }
    Ok(())
}

/// Partitions of the table whose file is damaged: several blocks of them.
const PARTITIONS: u32 = 1000;
const SMALL_VALUE_BYTES: usize = 500;

/// Flips a byte of an SSTable: reads of that block name the file, everything else is served.
pub fn rot_check(start: &Start) -> Check {
    Check::run(
        "a flipped byte in an SSTable is named, the rest is served",
        || {
            let helenus = Helenus::start(start).map_err(text)?;
            let mut table = Table::create(&helenus, SMALL_VALUE_BYTES)?;
            for _ in 0..PARTITIONS {
                table.write()?;
            }
            helenus.stop().map_err(text)?;
            let file = largest_sstable(&start.data)?;
            let mut bytes = fs::read(&file).map_err(text)?;
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(&file, bytes).map_err(text)?;
            let helenus = Helenus::start(start).map_err(text)?;
            table.connection = connect(&helenus)?;
            let name = file
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let mut damaged = 0;
            for key in table.acknowledged.clone() {
                match table.read(key) {
                    Ok(()) => {}
                    Err(error) if error.contains(&name) && error.contains("corrupt") => {
                        damaged += 1
                    }
                    Err(error) => return Err(format!("a read says `{error}`, not {name}")),
                }
            }
            ensure(damaged > 0 && damaged < PARTITIONS / 4, || {
                format!("{damaged} of {PARTITIONS} partitions cannot be read")
            })?;
            table.write()?;
            helenus.stop().map_err(text)
        },
    )
}

/// The largest SSTable below a directory: it holds the load, all others a few rows of the system's tables.
fn largest_sstable(data: &Path) -> Result<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut directories = vec![data.to_path_buf()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).map_err(text)? {
            let entry = entry.map_err(text)?;
            let metadata = entry.metadata().map_err(text)?;
            if metadata.is_dir() {
                directories.push(entry.path());
            } else if entry.path().extension().is_some_and(|name| name == "sst") {
                found.insert(metadata.len(), entry.path());
            }
        }
    }
    let largest = found.pop_last().map(|(_, path)| path);
    largest.ok_or_else(|| "a clean end left no SSTable".into())
}
