//! Members of a group on a seeded network, with disks that lose what was not synced. Whatever happens, a member that says it
//! is fresh holds what was acknowledged, what is proved is so, and once the faults end all hold all.

mod world;

use crate::topology::NodeId;
use model::time::BootNanos;
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
    for seed in 0..25 {
        let (proved, looked, written) = storm(seed);
        proofs += proved;
        looks += looked;
        writes += written;
    }
    assert!(
        proofs > 25 * 20 && looks > 25 * 100 && writes > 25 * 100,
        "{proofs} proofs, {looks} looks, {writes} writes"
    );
}

#[test]
fn one_seed_is_one_history() {
    assert_eq!(storm(5), storm(5));
}
