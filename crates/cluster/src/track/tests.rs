//! Members of a group on a seeded network, with disks that lose what was not synced. Whatever happens, a member that says it
//! is fresh holds what was acknowledged, what is proved is so, and once the faults end all hold all.

mod world;

use crate::topology::NodeId;
use model::time::BootNanos;
use model::track::Intervals;
use world::{MILLISECOND, World};

/// One history by its seed: proofs, looks at fresh members, acknowledged writes.
fn storm(seed: u64) -> (u64, u64, usize) {
    let mut world = World::new(seed, 3 + (seed % 2) as u32 * 2);
    world.lossy = !seed.is_multiple_of(3);
    for _ in 0..40 {
        for _ in 0..world.random.below(30) {
            world.write();
            let pause = world.random.below(20);
            world.run(pause);
        }
        if world.random.below(3) == 0 {
            world.fault();
        }
        let pause = world.random.below(300);
        world.run(pause);
    }
    world.heal();
    (world.proofs, world.fresh_looks, world.acknowledged.len())
}

#[test]
fn in_calm_everybody_is_fresh_and_proofs_follow_the_clock() {
    let mut world = World::new(1, 3);
    world.run(1_000);
    for _ in 0..100 {
        world.write();
        world.run(20);
    }
    world.run(2_000);
    for (id, member) in &world.members {
        let group = member.group.as_ref().expect("it runs");
        assert!(group.freshness(*id, BootNanos(world.now)).all);
        let proved = group.proved().expect("proofs go on").0;
        assert!(
            world.now - proved < 1_000 * MILLISECOND,
            "{} ms behind",
            (world.now - proved) / MILLISECOND
        );
    }
}

#[test]
fn nobody_ceases_to_be_fresh_because_nothing_happens() {
    for seed in 0..5 {
        let mut world = World::new(seed, 3);
        world.run(3_000);
        for _ in 0..500 {
            world.run(10);
            for id in world.ids() {
                let group = world.members[&id].group.as_ref().expect("it runs");
                for other in world.ids() {
                    let fresh = group.freshness(other, BootNanos(world.now));
                    assert!(
                        fresh.all,
                        "{other:?} at {id:?} after {} ms",
                        world.now / MILLISECOND
                    );
                }
            }
        }
    }
}

#[test]
fn a_member_that_was_cut_off_or_paused_is_not_fresh_until_it_has_what_it_missed() {
    let mut world = World::new(2, 3);
    world.run(1_000);
    let lonely = NodeId(3);
    for peer in world.ids() {
        world.cut.insert((lonely, peer));
        world.cut.insert((peer, lonely));
    }
    for _ in 0..50 {
        world.write();
        world.run(40);
    }
    assert!(
        !world.members[&lonely]
            .group
            .as_ref()
            .expect("it runs")
            .freshness(lonely, BootNanos(world.now))
            .all
    );
    world.cut.clear();
    world.run(3_000);
    assert!(
        world.members[&lonely]
            .group
            .as_ref()
            .expect("it runs")
            .freshness(lonely, BootNanos(world.now))
            .all
    );
    world.heal();
}

#[test]
fn what_was_acknowledged_is_held_whatever_happens() {
    let (mut proofs, mut looks, mut writes) = (0, 0, 0);
    for seed in 0..40 {
        let (proved, looked, written) = storm(seed);
        proofs += proved;
        looks += looked;
        writes += written;
    }
    assert!(
        proofs > 40 * 15 && looks > 40 * 100 && writes > 40 * 100,
        "{proofs} proofs, {looks} looks, {writes} writes"
    );
}

#[test]
fn members_whose_groups_are_made_anew_hear_each_other() {
    for pause in 0..40 {
        let mut world = World::new(pause, 3);
        world.run(1_000);
        world.write();
        for id in [2, 1, 3] {
            world.renew(NodeId(id));
            world.run(pause * 5);
        }
        world.run(2_000);
        for (id, member) in &world.members {
            let group = member.group.as_ref().expect("it runs");
            for other in world.ids() {
                let fresh = group.freshness(other, BootNanos(world.now));
                assert!(fresh.all, "{other:?} at {id:?}, {pause}");
            }
        }
    }
}

#[test]
fn a_debt_is_paid_when_the_other_has_it_or_is_no_member() {
    let mut world = World::new(3, 3);
    world.run(1_000);
    world.write();
    world.run(3_000);
    let (id, _, sequence) = *world.acknowledged.keys().next().expect("a write");
    let group = world.members[&NodeId(1)].group.as_ref().expect("it runs");
    let owed = Intervals::run(sequence, sequence + 1);
    let paid = Intervals::run(sequence, sequence);
    assert_eq!(group.paid(NodeId(2), id, &owed), paid);
    assert_eq!(group.paid(NodeId(9), id, &owed), owed);
    assert!(group.has_answered(NodeId(2)));
    world.crash(NodeId(1));
    world.start(NodeId(1));
    let group = world.members[&NodeId(1)].group.as_ref().expect("it runs");
    assert!(!group.has_answered(NodeId(2)), "not since this start");
}

#[test]
fn one_seed_is_one_history() {
    assert_eq!(storm(5), storm(5));
}
