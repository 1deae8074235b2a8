//! Every request against a real directory.

use super::*;
use model::env::{Entry, FileId, IoDone, IoError, OpenMode};
use std::path::PathBuf;
use std::sync::mpsc;

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("helenus-disk-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const FILE: FileId = FileId(1);

fn open(path: &str, mode: OpenMode) -> IoRequest {
    IoRequest::Open {
        file: FILE,
        path: path.into(),
        mode,
    }
}

#[test]
fn a_file_from_creation_to_removal() {
    let scratch = Scratch::new("file");
    let disk = Disk::new(&scratch.0);
    let done = |request| disk.execute(0, request).unwrap();
    done(IoRequest::CreateDirectory { path: "a/b".into() });
    assert_eq!(
        done(open("a/b/f", OpenMode::Create)),
        IoDone::Opened { length: 0 }
    );
    let chain = IoRequest::Chain(vec![
        IoRequest::Write {
            file: FILE,
            offset: 3,
            data: b"hello".to_vec(),
        },
        IoRequest::Sync { file: FILE },
        IoRequest::SyncDirectory { path: "a/b".into() },
    ]);
    assert_eq!(done(chain), IoDone::Done);
    assert_eq!(
        done(IoRequest::Read {
            file: FILE,
            offset: 2,
            length: 4
        }),
        IoDone::Read(b"\0hel".to_vec())
    );
    assert_eq!(
        done(IoRequest::Read {
            file: FILE,
            offset: 6,
            length: 99
        }),
        IoDone::Read(b"lo".to_vec())
    );
    for used in [&b""[..], b"longer than what is read"] {
        let read = done(IoRequest::ReadInto {
            file: FILE,
            offset: 2,
            length: 9,
            buffer: used.to_vec(),
        });
        assert_eq!(read, IoDone::Read(b"\0hello".to_vec()));
    }
}

#[test]
fn names_are_made_changed_and_removed() {
    let scratch = Scratch::new("names");
    let disk = Disk::new(&scratch.0);
    let done = |request| disk.execute(0, request).unwrap();
    done(IoRequest::CreateDirectory { path: "a/b".into() });
    done(open("a/b/f", OpenMode::Create));
    done(IoRequest::SetLength {
        file: FILE,
        length: 4,
    });
    done(IoRequest::Link {
        from: "a/b/f".into(),
        to: "a/g".into(),
    });
    done(IoRequest::Rename {
        from: "a/b/f".into(),
        to: "a/b/h".into(),
    });
    assert_eq!(
        done(IoRequest::List { path: "a".into() }),
        IoDone::Listed(vec![
            Entry {
                name: "b".into(),
                length: 0,
                directory: true
            },
            Entry {
                name: "g".into(),
                length: 4,
                directory: false
            }
        ])
    );
    assert_eq!(
        done(IoRequest::List {
            path: "nowhere".into()
        }),
        IoDone::Listed(Vec::new())
    );
    done(IoRequest::Close { file: FILE });
    assert!(disk.execute(0, IoRequest::Sync { file: FILE }).is_err());
    assert_eq!(
        done(open("a/b/h", OpenMode::Read)),
        IoDone::Opened { length: 4 }
    );
    done(IoRequest::Remove { path: "a/g".into() });
    done(IoRequest::Remove { path: "a/g".into() });
    done(IoRequest::RemoveTree { path: "a".into() });
    assert_eq!(
        done(IoRequest::List { path: "a".into() }),
        IoDone::Listed(Vec::new())
    );
}

#[test]
fn errors_are_classed_by_what_to_do() {
    let scratch = Scratch::new("errors");
    let disk = Disk::new(&scratch.0);
    assert!(matches!(
        disk.execute(0, open("none", OpenMode::Read)),
        Err(IoError::NotFound(_))
    ));
    disk.execute(0, open("f", OpenMode::Create)).unwrap();
    let other = IoRequest::Open {
        file: FileId(2),
        path: "f".into(),
        mode: OpenMode::Create,
    };
    assert!(matches!(disk.execute(0, other), Err(IoError::Exists(_))));
    assert!(
        matches!(
            disk.execute(0, open("f", OpenMode::Write)),
            Err(IoError::Other(_))
        ),
        "the id is in use"
    );
    assert!(
        disk.execute(1, open("f", OpenMode::Write)).is_ok(),
        "ids belong to a shard"
    );
    for outside in ["../f", "/etc/passwd", "a/../../f"] {
        assert!(
            matches!(
                disk.execute(0, open(outside, OpenMode::Read)),
                Err(IoError::Other(_))
            ),
            "{outside}"
        );
    }
    let stops = IoRequest::Chain(vec![
        IoRequest::Rename {
            from: "none".into(),
            to: "x".into(),
        },
        IoRequest::Remove { path: "f".into() },
    ]);
    assert!(disk.execute(0, stops).is_err());
    assert!(
        scratch.0.join("f").exists(),
        "a chain stops at its first error"
    );
    if std::path::Path::new("/dev/full").exists() {
        std::os::unix::fs::symlink("/dev/full", scratch.0.join("full")).unwrap();
        let id = FileId(9);
        disk.execute(
            0,
            IoRequest::Open {
                file: id,
                path: "full".into(),
                mode: OpenMode::Write,
            },
        )
        .unwrap();
        let write = IoRequest::Write {
            file: id,
            offset: 0,
            data: vec![1],
        };
        assert!(matches!(disk.execute(0, write), Err(IoError::Full(_))));
    }
}

struct Channel(Mutex<mpsc::Sender<(u16, IoTag, IoOutcome)>>);

impl Completions for Channel {
    fn complete(&self, shard: u16, tag: IoTag, outcome: IoOutcome) {
        self.0.lock().unwrap().send((shard, tag, outcome)).unwrap();
    }
}

#[test]
fn the_pool_answers_every_request_and_finishes_before_it_closes() {
    let scratch = Scratch::new("pool");
    let (sender, receiver) = mpsc::channel();
    let threads = DiskPool::start(&scratch.0, 3, &Arc::new(Channel(Mutex::new(sender)))).unwrap();
    let pool = threads.pool();
    for shard in 0..2 {
        let requests = (0..100).map(|tag| {
            let create = IoRequest::Open {
                file: FileId(tag),
                path: format!("{shard}-{tag}"),
                mode: OpenMode::Create,
            };
            let write = IoRequest::Write {
                file: FileId(tag),
                offset: 0,
                data: vec![7; 10],
            };
            let close = IoRequest::Close { file: FileId(tag) };
            let lane = if tag % 2 == 0 {
                Lane::Awaited
            } else {
                Lane::Bulk
            };
            (
                IoTag(tag),
                lane,
                IoRequest::Chain(vec![create, write, close]),
            )
        });
        let mut done = Vec::new();
        pool.submit(shard, requests, &mut done);
        assert_eq!(done, [], "only reads are carried out at once");
    }
    drop(pool);
    threads.close();
    let mut answered: Vec<_> = receiver
        .iter()
        .map(|(shard, tag, outcome)| (shard, tag, outcome.is_ok()))
        .collect();
    answered.sort_unstable();
    assert_eq!(answered.len(), 200);
    assert!(answered.iter().all(|(_, _, ok)| *ok));
    assert_eq!(std::fs::read_dir(&scratch.0).unwrap().count(), 200);
}

fn read(length: usize) -> IoRequest {
    IoRequest::ReadInto {
        file: FILE,
        offset: 2,
        length,
        buffer: vec![1; 3],
    }
}

#[test]
fn what_is_in_memory_is_read_at_once_and_nothing_else() {
    let scratch = Scratch::new("at-once");
    let disk = Disk::new(&scratch.0);
    disk.execute(0, open("f", OpenMode::Create)).unwrap();
    let write = IoRequest::WriteShared {
        file: FILE,
        offset: 0,
        data: Arc::new(b"hello".to_vec()),
    };
    disk.execute(0, write).unwrap();
    let mut budget = 5;
    match disk.read_at_once(0, read(3), &mut budget) {
        Ok(done) => assert_eq!((done, budget), (IoDone::Read(b"llo".to_vec()), 2)),
        // Not every file system can tell; then threads read.
        Err(request) => assert!(matches!(request, IoRequest::ReadInto { length: 3, .. })),
    }
    let refused = |request, mut budget| disk.read_at_once(0, request, &mut budget).is_err();
    assert!(refused(read(3), 2), "beyond the budget");
    assert!(refused(read(4), 9), "beyond the end of the file");
    assert!(refused(IoRequest::Sync { file: FILE }, 9));
    assert!(disk.read_at_once(1, read(3), &mut 9).is_err(), "not open");
    let later = disk.read_at_once(0, read(4), &mut 9).unwrap_err();
    assert_eq!(disk.execute(0, later), Ok(IoDone::Read(b"llo".to_vec())));
}

#[test]
fn what_clients_wait_for_does_not_queue_behind_what_nobody_waits_for() {
    let scratch = Scratch::new("lanes");
    let fifo = scratch.0.join("fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status();
    assert!(made.unwrap().success());
    let (sender, receiver) = mpsc::channel();
    let threads = DiskPool::start(&scratch.0, 2, &Arc::new(Channel(Mutex::new(sender)))).unwrap();
    let pool = threads.pool();
    // Opening a pipe that nobody writes to takes as long as one likes.
    let stuck = (0..8).map(|tag| {
        let request = IoRequest::Open {
            file: FileId(tag),
            path: "fifo".into(),
            mode: OpenMode::Read,
        };
        (IoTag(tag), Lane::Bulk, request)
    });
    let mut done = Vec::new();
    pool.submit(0, stuck, &mut done);
    let waited = (IoTag(99), Lane::Awaited, open("f", OpenMode::Create));
    pool.submit(0, std::iter::once(waited), &mut done);
    let (_, tag, outcome) = receiver.recv().unwrap();
    assert_eq!((tag, outcome.is_ok()), (IoTag(99), true));
    let writer = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&fifo);
    drop(pool);
    threads.close();
    drop(writer);
    assert_eq!(receiver.iter().count(), 8);
}
