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
            (
                IoTag(tag),
                IoRequest::Chain(vec![create, write, IoRequest::Close { file: FileId(tag) }]),
            )
        });
        pool.submit(shard, requests);
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
