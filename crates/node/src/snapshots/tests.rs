//! What is removed and what is found again; that snapshots are taken at all is the simulator's.

use super::*;
use model::env::OpenMode;
use model::time::WallMicros;

const DROPPED: &str = "data/ks/old-000102030405060708090a0b0c0d0e0f";
const LIVE: &str = "data/ks/new-ffeeddccbbaa99887766554433221100";

fn at(millis: i64) -> Now {
    Now {
        wall: WallMicros(millis * 1000),
        boot: BootNanos(0),
    }
}

/// A disk of directories and files; answers what it is asked and notes what is removed.
struct Disk {
    files: BTreeMap<String, Vec<u8>>,
    open: BTreeMap<FileId, String>,
    removed: Vec<String>,
}

impl Disk {
    fn new(files: &[(&str, &[u8])]) -> Self {
        let files = files
            .iter()
            .map(|(path, bytes)| ((*path).to_owned(), bytes.to_vec()));
        Self {
            files: files.collect(),
            open: BTreeMap::new(),
            removed: Vec::new(),
        }
    }

    fn list(&self, path: &str) -> Vec<Entry> {
        let below = self
            .files
            .iter()
            .filter_map(|(file, bytes)| Some((file.strip_prefix(path)?.strip_prefix('/')?, bytes)));
        let entries = below.map(|(rest, bytes)| match rest.split_once('/') {
            Some((name, _)) => (name.to_owned(), 0, true),
            None => (rest.to_owned(), bytes.len() as u64, false),
        });
        let mut entries: Vec<Entry> = entries
            .map(|(name, length, directory)| Entry {
                name,
                length,
                directory,
            })
            .collect();
        entries.dedup();
        entries
    }

    fn answer(&mut self, request: IoRequest) -> IoOutcome {
        match request {
            IoRequest::Chain(requests) => {
                let mut last = Ok(IoDone::Done);
                for request in requests {
                    last = Ok(self.answer(request)?);
                }
                return last;
            }
            IoRequest::List { path } => return Ok(IoDone::Listed(self.list(&path))),
            IoRequest::Open { file, path, mode } => {
                if mode == OpenMode::Create {
                    self.files.insert(path.clone(), Vec::new());
                }
                self.open.insert(file, path);
            }
            IoRequest::Read { file, .. } => {
                return Ok(IoDone::Read(self.files[&self.open[&file]].clone()));
            }
            IoRequest::Write { file, data, .. } => {
                self.files.insert(self.open[&file].clone(), data);
            }
            IoRequest::Remove { path } | IoRequest::RemoveTree { path } => {
                self.files
                    .retain(|file, _| *file != path && !file.starts_with(&format!("{path}/")));
                self.removed.push(path);
            }
            _ => {}
        }
        Ok(IoDone::Done)
    }

    fn run(&mut self, snapshots: &mut Snapshots, io: &mut IoQueue) {
        let is_live = |id: TableId| LIVE.ends_with(&id.0.as_simple().to_string());
        while !io.is_empty() {
            for (tag, request) in io.drain().collect::<Vec<_>>() {
                let outcome = self.answer(request);
                snapshots.on_io(tag, outcome, is_live, io);
            }
        }
    }
}

#[test]
fn what_is_left_of_a_dropped_table_goes_but_its_snapshots_stay() {
    let files = [
        format!("{DROPPED}/1-0-7.sst"),
        format!("{DROPPED}/dropped-1-0"),
        format!("{DROPPED}/manifest-1-0"),
        format!("{LIVE}/1-0-1.sst"),
        format!("{LIVE}/dropped-1-0"),
        "data/ks/unknown-11111111111111111111111111111111/1-0-1.sst".to_owned(),
    ];
    let kept = format!("{DROPPED}/snapshots/dropped-5-old/1-0-7.sst");
    for with_snapshot in [false, true] {
        let mut all: Vec<(&str, &[u8])> = files.iter().map(|path| (&path[..], &b""[..])).collect();
        if with_snapshot {
            all.push((&kept, b"kept"));
        }
        let (mut disk, mut io) = (Disk::new(&all), IoQueue::default());
        let mut snapshots = Snapshots::open(4, "data", &mut io);
        disk.run(&mut snapshots, &mut io);
        let left: Vec<&str> = disk.files.keys().map(String::as_str).collect();
        let mut wanted: Vec<&str> = files[3..].iter().map(String::as_str).collect();
        if with_snapshot {
            wanted.push(&kept);
        }
        wanted.sort_unstable();
        assert_eq!(left, wanted);
        let last = disk.removed.last().expect("something was removed");
        if with_snapshot {
            assert!(last.ends_with("dropped-1-0"), "the mark goes last: {last}");
        } else {
            assert_eq!(last, DROPPED);
        }
    }
}

#[test]
fn a_snapshot_is_made_whole_found_again_and_expires() {
    let linked = Linked {
        name: "truncated-5000-new".into(),
        keyspace: "ks".into(),
        table: "new".into(),
        table_directory: LIVE.into(),
        schema_cql: "CREATE TABLE ks.new (…);\n".into(),
        created_millis: 5000,
        expires_millis: Some(9000),
    };
    let directory = linked.directory();
    let sstable = format!("{directory}/1-0-1.sst");
    let mut disk = Disk::new(&[(&sstable, b"four")]);
    let mut io = IoQueue::default();
    let mut snapshots = Snapshots::open(4, "data", &mut io);
    disk.run(&mut snapshots, &mut io);
    assert!(snapshots.shown().is_empty(), "it is not whole");
    snapshots.complete(77, linked.clone(), &mut io);
    disk.run(&mut snapshots, &mut io);
    assert_eq!(snapshots.take_finished(), [(77, Ok(()))]);
    assert_eq!(
        disk.files[&format!("{directory}/schema.cql")],
        linked.schema_cql.as_bytes()
    );
    let manifest = String::from_utf8(disk.files[&format!("{directory}/manifest.json")].clone());
    let manifest = manifest.expect("text");
    assert!(
        manifest.contains(r#""created_at": "1970-01-01T00:00:05.000Z""#),
        "{manifest}"
    );

    let mut again = Snapshots::open(4, "data", &mut io);
    disk.run(&mut again, &mut io);
    let shown = again.shown();
    let [found] = &shown[..] else {
        panic!("{shown:?}")
    };
    let bytes = 4 + linked.schema_cql.len() + manifest.len();
    assert_eq!(found.bytes, bytes as u64);
    assert_eq!(
        (found.keyspace.as_str(), found.table.as_str(), &*found.name),
        ("ks", "new", "truncated-5000-new")
    );
    assert_eq!(
        (found.created_millis, found.expires_millis),
        (5000, Some(9000))
    );

    assert_eq!(again.next_deadline(at(8999)), Some(BootNanos(1_000_000)));
    again.expire(at(8999), &mut io);
    assert!(io.is_empty());
    again.expire(at(9000), &mut io);
    disk.run(&mut again, &mut io);
    assert!(disk.files.is_empty() && again.shown().is_empty());
    assert_eq!(again.next_deadline(at(9000)), None);
}

#[test]
fn where_nothing_was_linked_there_is_no_snapshot() {
    let linked = Linked {
        name: "dropped-1-new".into(),
        keyspace: "ks".into(),
        table: "new".into(),
        table_directory: LIVE.into(),
        schema_cql: String::new(),
        created_millis: 1,
        expires_millis: None,
    };
    let (mut disk, mut io) = (Disk::new(&[]), IoQueue::default());
    let mut snapshots = Snapshots::open(4, "data", &mut io);
    snapshots.complete(1, linked, &mut io);
    disk.run(&mut snapshots, &mut io);
    assert_eq!(snapshots.take_finished(), [(1, Ok(()))]);
    assert!(disk.files.is_empty() && snapshots.shown().is_empty());
}
