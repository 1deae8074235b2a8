//! What the disk keeps over a crash, and that it can be full.

use super::*;

fn run(disk: &mut SimDisk, request: IoRequest) -> IoOutcome {
    disk.submit(0, IoTag(1), request, 0);
    loop {
        if let Some((_, _, outcome)) = disk.step() {
            return outcome;
        }
    }
}

fn create(disk: &mut SimDisk, path: &str, data: &[u8], sync: bool) {
    let file = FileId(7);
    let mut chain = vec![
        IoRequest::Open {
            file,
            path: path.to_owned(),
            mode: OpenMode::Create,
        },
        IoRequest::Write {
            file,
            offset: 0,
            data: data.to_vec(),
        },
    ];
    if sync {
        chain.push(IoRequest::Sync { file });
        chain.push(IoRequest::SyncDirectory {
            path: ".".to_owned(),
        });
    }
    chain.push(IoRequest::Close { file });
    run(disk, IoRequest::Chain(chain)).unwrap();
}

#[test]
fn what_was_synced_survives_and_only_that_must() {
    let (mut lost, mut kept, mut torn) = (0, 0, 0);
    for seed in 0..200 {
        let mut disk = SimDisk::new(Rng::new(seed));
        create(&mut disk, "synced", &[1; 3000], true);
        create(&mut disk, "loose", &[2; 3000], false);
        disk.crash();
        assert_eq!(disk.content("synced"), Some(&[1; 3000][..]));
        match disk.content("loose") {
            None => lost += 1,
            Some(bytes) if bytes == [2; 3000] => kept += 1,
            Some(_) => torn += 1,
        }
    }
    assert!(lost > 10 && kept > 10 && torn > 10, "{lost} {kept} {torn}");
}

#[test]
fn a_full_disk_says_so_and_takes_space_back() {
    let mut disk = SimDisk::new(Rng::new(1));
    disk.faults.capacity = 2048;
    create(&mut disk, "a", &[1; 2048], true);
    let file = FileId(8);
    run(
        &mut disk,
        IoRequest::Open {
            file,
            path: "b".into(),
            mode: OpenMode::Create,
        },
    )
    .unwrap();
    let write = IoRequest::Write {
        file,
        offset: 0,
        data: vec![1],
    };
    assert!(matches!(
        run(&mut disk, write.clone()),
        Err(IoError::Full(_))
    ));
    run(&mut disk, IoRequest::Remove { path: "a".into() }).unwrap();
    assert_eq!(run(&mut disk, write), Ok(IoDone::Done));
}
