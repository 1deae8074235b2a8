//! Verdicts over small matrices, with their sentences.

use super::*;

/// One character a member: `.` reached, `x` not, `h` not, though its pings arrive. A row that begins with `-` is of a
/// node whose heart stands still. Two nodes a rack. This node is number 1.
fn judge(rows: &[&str]) -> Vec<String> {
    let lists: Vec<Vec<Unreachable>> = rows
        .iter()
        .map(|row| {
            let marks = row.trim_start_matches('-').chars().enumerate();
            let entries = marks.filter(|(_, mark)| *mark != '.');
            entries
                .map(|(index, mark)| Unreachable {
                    node: NodeId(index as u32 + 1),
                    heard: mark == 'h',
                })
                .collect()
        })
        .collect();
    let members: Vec<Member<'_>> = rows
        .iter()
        .zip(&lists)
        .enumerate()
        .map(|(index, (row, unreachable))| Member {
            node: NodeId(index as u32 + 1),
            place: ["dc1/a", "dc1/b", "dc1/c", "dc1/d"][index / 2],
            heard_ms_ago: if row.starts_with('-') { BEAT_MS } else { 900 },
            unreachable,
        })
        .collect();
    let verdicts = verdicts(NodeId(1), &members);
    verdicts.iter().map(ToString::to_string).collect()
}

#[test]
fn all_is_well() {
    assert_eq!(judge(&["...", "...", "..."]), [""; 0]);
    assert_eq!(judge(&["."]), [""; 0]);
}

#[test]
fn a_dead_node_is_told_from_one_that_just_went() {
    // Both others list it: nobody reaches it, whatever its heart did a second ago.
    let down = "node 3 is down, or cut off from all: nobody reaches it (nodes 1 and 2 tried)";
    assert_eq!(judge(&["..x", "..x", "..."]), [down]);
    let one = "node 3 is down, or cut off from all: nobody reaches it (node 2 tried)";
    assert_eq!(judge(&["....", "..x.", "-....", "...."]), [one]);
    let unclear =
        "node 3 does not answer node 2: it went down a moment ago, or is cut off from there";
    assert_eq!(judge(&["....", "..x.", "....", "...."]), [unclear]);
    // A silent node that nobody tried is not judged.
    assert_eq!(judge(&["...", "...", "-..."]), [""; 0]);
}

#[test]
fn of_two_the_other_is_the_one_that_is_away() {
    let down = "node 2 is down, or cut off from all: nobody reaches it (node 1 tried)";
    assert_eq!(judge(&[".x", "-x."]), [down]);
}

#[test]
fn cut_off_from_this_node_only() {
    let here =
        "node 2 is alive, but it and this node do not reach each other; nodes 3 and 4 reach both";
    assert_eq!(judge(&[".x..", "x...", "....", "...."]), [here]);
}

#[test]
fn one_against_two_that_see_each_other() {
    // A reaches neither B nor C, B and C see each other; D reaches all.
    let partial = "a partial partition: node 1 and nodes 2 and 3 do not reach each other; node 4 reaches both";
    assert_eq!(judge(&[".xx.", "x...", "x...", "...."]), [partial]);
    // The same, seen from elsewhere.
    let partial = "a partial partition: nodes 2 and 3 and node 4 do not reach each other; node 1 reaches both";
    assert_eq!(judge(&["....", "...x", "...x", ".xx."]), [partial]);
}

#[test]
fn three_zones_of_which_one_lost_the_two_others() {
    // Zones {1,2}, {3,4}, {5,6}: the first loses both others, which see each other; 7 bridges.
    let verdicts = judge(&[
        "..xxxx.", "..xxxx.", "xx.....", "xx.....", "xx.....", "xx.....", ".......",
    ]);
    let partial = "a partial partition: nodes 1 and 2 and nodes 3, 4, 5 and 6 do not reach each other; \
                   node 7 reaches both";
    assert_eq!(verdicts, [partial]);
    // Without a bridge the others are not heard of: 2 of 6 is the smaller side.
    let cut =
        "this side is cut off: only 2 of 6 members are heard of here, none of nodes 3, 4, 5 and 6";
    let rows = [
        "..xxxx", "..xxxx", "-......", "-......", "-......", "-......",
    ];
    assert_eq!(judge(&rows), [cut]);
}

#[test]
fn a_rack_that_went_is_told_as_one() {
    let verdicts = judge(&["..xx..", "..xx..", "-......", "-......", "..xx..", "..xx.."]);
    let rack = "all of dc1/b (nodes 3 and 4) is down or cut off: nobody reaches any of it";
    assert_eq!(verdicts, [rack]);
}

#[test]
fn one_way_only() {
    let one_way = "one way only: node 2 gets no answers from node 3, whose own pings arrive";
    assert_eq!(judge(&["...", "..h", "..."]), [one_way]);
    // What node 2 sends is lost on the way to node 3, pings and answers alike: neither gets answers, but 2 hears 3.
    assert_eq!(judge(&["...", "..h", ".x."]), [one_way]);
}

#[test]
fn a_death_beside_a_partition() {
    let verdicts = judge(&[".x..x", "x...x", "....x", "....x", "-....."]);
    assert_eq!(
        verdicts,
        [
            "node 5 is down, or cut off from all: nobody reaches it (nodes 1, 2, 3 and 4 tried)",
            "node 2 is alive, but it and this node do not reach each other; nodes 3 and 4 reach both",
        ]
    );
}

#[test]
fn any_matrix_gets_verdicts_that_name_members_only() {
    use proptest::prelude::*;
    proptest!(|(cells in proptest::collection::vec((0..6u8, any::<bool>()), 36))| {
        let rows: Vec<String> = cells
            .chunks(6)
            .map(|row| {
                let marks = row.iter().map(|(mark, _)| match mark { 0 => 'x', 1 => 'h', _ => '.' });
                let silent = if row[0].1 { "-" } else { "" };
                format!("{silent}{}", marks.collect::<String>())
            })
            .collect();
        let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
        let verdicts = judge(&rows);
        let unique: BTreeSet<&String> = verdicts.iter().collect();
        prop_assert_eq!(unique.len(), verdicts.len(), "nothing is told twice: {:?}", verdicts);
        prop_assert!(verdicts.iter().all(|verdict| !verdict.contains("node 1 is down")));
    });
}
