//! What each strategy chooses.

use super::{Candidate, Choice, Strategy};
use std::collections::BTreeMap;

const MIB: u64 = 1 << 20;
const DAY: i64 = 86_400_000_000;

fn strategy(options: &[(&str, &str)]) -> Strategy {
    let owned = |text: &&str| (*text).to_owned();
    let options: BTreeMap<String, String> = options
        .iter()
        .map(|(name, value)| (owned(name), owned(value)))
        .collect();
    Strategy::new(&options)
}

fn candidate(id: u64, mebibytes: u64) -> Candidate {
    Candidate {
        id,
        bytes: mebibytes * MIB,
        level: 0,
        tokens: (i64::MIN, i64::MAX),
        max_timestamp: 0,
        droppable: 0.0,
        written_at: id as i64,
    }
}

fn sizes(mebibytes: &[u64]) -> Vec<Candidate> {
    (1..)
        .zip(mebibytes)
        .map(|(id, size)| candidate(id, *size))
        .collect()
}

#[test]
fn size_tiered_takes_the_smallest_bucket_that_is_full() {
    let strategy = strategy(&[("class", "SizeTieredCompactionStrategy")]);
    assert_eq!(strategy.choose(&sizes(&[1, 20, 40]), 0), None);
    assert_eq!(
        strategy.choose(&sizes(&[1, 20, 40, 49]), 0),
        Some(Choice::one([1, 2, 3, 4]))
    );
    let tables = sizes(&[1000, 200, 1100, 210, 1200, 190, 900, 3, 205]);
    assert_eq!(strategy.choose(&tables, 0), Some(Choice::one([6, 2, 9, 4])));
    assert_eq!(strategy.choose(&sizes(&[100, 250, 600, 1500]), 0), None);
}

#[test]
fn size_tiered_obeys_its_options() {
    let few = strategy(&[("min_threshold", "2"), ("max_threshold", "3")]);
    assert_eq!(
        few.choose(&sizes(&[1, 1, 1, 1, 1]), 0),
        Some(Choice::one([1, 2, 3]))
    );
    assert_eq!(
        strategy(&[("enabled", "false")]).choose(&sizes(&[1; 9]), 0),
        None
    );
    let narrow = strategy(&[
        ("bucket_high", "1.05"),
        ("bucket_low", "0.95"),
        ("min_sstable_size", "0"),
    ]);
    assert_eq!(narrow.choose(&sizes(&[100, 120, 140, 160]), 0), None);
}

#[test]
fn tombstones_alone_are_a_reason() {
    let strategy = strategy(&[]);
    let mut tables = sizes(&[100]);
    tables[0].droppable = 0.3;
    assert_eq!(strategy.choose(&tables, DAY / 2), None, "too young");
    assert_eq!(strategy.choose(&tables, 2 * DAY), Some(Choice::one([1])));
    tables.push(candidate(2, 1000));
    assert_eq!(strategy.choose(&tables, 2 * DAY), None, "another overlaps");
}

#[test]
fn time_windows_are_merged_when_past() {
    let strategy = strategy(&[
        ("class", "TimeWindowCompactionStrategy"),
        ("compaction_window_unit", "DAYS"),
    ]);
    let mut tables = sizes(&[10, 10, 10, 10]);
    for (table, day) in tables.iter_mut().zip([0, 3, 3, 5]) {
        table.max_timestamp = day * DAY + 1;
    }
    assert_eq!(strategy.choose(&tables, 0), Some(Choice::one([2, 3])));
    tables.remove(2);
    assert_eq!(strategy.choose(&tables, 0), None);
}

#[test]
fn leveled_moves_up_what_is_too_much() {
    let strategy = strategy(&[
        ("class", "LeveledCompactionStrategy"),
        ("sstable_size_in_mb", "10"),
    ]);
    let mut tables = sizes(&[5, 5, 5, 10]);
    tables[3].level = 1;
    assert_eq!(strategy.choose(&tables, 0), None);
    tables.push(candidate(5, 5));
    let choice = strategy.choose(&tables, 0).unwrap();
    assert_eq!(
        (choice.inputs, choice.level, choice.split_bytes),
        (vec![1, 2, 3, 5, 4], 1, Some(10 * MIB))
    );
    let mut full: Vec<Candidate> = sizes(&[10; 13]);
    for (index, table) in full.iter_mut().enumerate() {
        table.level = if index < 11 { 1 } else { 2 };
        table.tokens = (index as i64 * 10, index as i64 * 10 + 9);
    }
    full[11].tokens = (0, 15);
    let choice = strategy.choose(&full, 0).unwrap();
    assert_eq!((choice.inputs, choice.level), (vec![1, 12], 2));
}

#[test]
fn unified_is_tiered_or_leveled_by_its_parameter() {
    let tiered = strategy(&[("class", "UnifiedCompactionStrategy")]);
    assert_eq!(tiered.choose(&sizes(&[1, 2, 3]), 0), None);
    assert_eq!(
        tiered.choose(&sizes(&[1, 2, 3, 4]), 0),
        Some(Choice::one([1, 2, 3, 4]))
    );
    let leveled = strategy(&[
        ("class", "UnifiedCompactionStrategy"),
        ("scaling_parameters", "L10, T4"),
    ]);
    assert_eq!(
        leveled.choose(&sizes(&[1, 2]), 0),
        Some(Choice::one([1, 2]))
    );
    assert_eq!(
        leveled.choose(&sizes(&[20, 30, 40]), 0),
        None,
        "the second level is tiered"
    );
}
