//! Two data centres of two processes each: one of them goes away, and comes back.

use crate::checks::{Check, ensure};
use crate::cluster::{Cluster, ask, count, insert, soon, verify};
use crate::process::Start;

/// The data centre of each node.
const PLACES: [&str; 4] = ["dc1", "dc1", "dc2", "dc2"];
/// Rows that are written at each stage.
const ROWS: u32 = 100;
const KEYSPACE: &str =
    "CREATE KEYSPACE checks WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': 2}";
const BOTH: &str = "ALTER KEYSPACE checks WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': 2, 'dc2': 2}";
const TABLE: &str = "CREATE TABLE checks.rows (id int PRIMARY KEY, value text)";

/// A keyspace is in one data centre first, then in both; one is lost and comes back.
pub fn checks(start: &Start) -> Vec<Check> {
    let mut formed = None;
    let mut checks = vec![Check::run("two data centres are one cluster", || {
        let cluster = formed.insert(Cluster::form(start, &PLACES)?);
        cluster.know_each_other()
    })];
    let Some(mut cluster) = formed else {
        return checks;
    };
    checks.push(Check::run(
        "a data centre that a keyspace is replicated to gets what there is",
        || replicated(&cluster),
    ));
    checks.push(Check::run(
        "LOCAL_QUORUM goes on when the other data centre is gone",
        || {
            cluster.kill(3);
            cluster.kill(4);
            without_the_other(&cluster)
        },
    ));
    checks.push(Check::run(
        "a data centre that returns has what it missed",
        || {
            cluster.restart(3)?;
            cluster.restart(4)?;
            for number in [3, 4] {
                let mut connection = cluster.connect(number)?;
                soon(|| verify(&mut connection, 0..3 * ROWS, "LOCAL_QUORUM"))?;
                soon(|| verify(&mut connection, 0..3 * ROWS, "LOCAL_ONE"))?;
            }
            Ok(())
        },
    ));
    checks.push(Check::run("the nodes of both end", || cluster.stop()));
    checks
}

fn replicated(cluster: &Cluster) -> Result<(), String> {
    let mut here = cluster.connect(1)?;
    let mut there = cluster.connect(3)?;
    ask(&mut here, KEYSPACE, "ONE")?;
    ask(&mut here, TABLE, "ONE")?;
    insert(&mut here, 0..ROWS, "LOCAL_QUORUM")?;
    let refused = ask(&mut there, "SELECT id FROM checks.rows", "LOCAL_QUORUM");
    ensure(refused.is_err(), || {
        "nothing is replicated there yet".to_owned()
    })?;
    ask(&mut here, BOTH, "ONE")?;
    insert(&mut here, ROWS..2 * ROWS, "LOCAL_QUORUM")?;
    // It is not read there before it is there.
    soon(|| {
        let found = count(&mut there, "SELECT id FROM checks.rows", "LOCAL_QUORUM")?;
        ensure(found == 2 * ROWS as usize, || format!("{found} rows"))
    })?;
    for level in ["LOCAL_ONE", "LOCAL_QUORUM", "QUORUM", "ALL"] {
        soon(|| verify(&mut there, 0..2 * ROWS, level))?;
    }
    Ok(())
}

fn without_the_other(cluster: &Cluster) -> Result<(), String> {
    for number in [1, 2] {
        let mut connection = cluster.connect(number)?;
        // What was under way when the others died may time out; nothing after that.
        soon(|| insert(&mut connection, 2 * ROWS..2 * ROWS + 1, "LOCAL_QUORUM"))?;
        insert(&mut connection, 2 * ROWS..3 * ROWS, "LOCAL_QUORUM")?;
        verify(&mut connection, 0..3 * ROWS, "LOCAL_QUORUM")?;
        soon(|| match insert(&mut connection, 0..1, "EACH_QUORUM") {
            Err(_) => Ok(()),
            Ok(()) => Err("EACH_QUORUM without a data centre".to_owned()),
        })?;
    }
    Ok(())
}
