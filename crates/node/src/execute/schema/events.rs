//! What clients are told of a change of the schema, beside the change itself: drivers read again only what they are told
//! of. A type that changes changes the types and tables it occurs in; a keyspace that goes takes with it what is in it.

use cql::frame::response::{Event, SchemaChange, SchemaTarget};
use model::schema::{Keyspace, Schema};
use model::types::UserType;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The events of a change that made `before` to `after`, in the order they are sent: types before the tables they occur
/// in, and a keyspace that is dropped after all that was in it.
pub fn events(
    change: SchemaChange,
    target: &SchemaTarget,
    before: &Schema,
    after: &Schema,
) -> Vec<Event> {
    let own = Event::Schema(change, target.clone());
    match (change, target) {
        (SchemaChange::Updated, SchemaTarget::Type { keyspace, .. }) => {
            match (before.keyspace(keyspace), after.keyspace(keyspace)) {
                (Some(before), Some(after)) => of_types(before, after),
                _ => vec![own],
            }
        }
        (SchemaChange::Dropped, SchemaTarget::Keyspace { keyspace }) => {
            let mut events = before.keyspace(keyspace).map_or_else(Vec::new, |gone| {
                let tables = gone.tables.keys().map(|name| table(keyspace, name));
                let types = gone.types.keys().map(|name| user_type(keyspace, name));
                let dropped = |target| Event::Schema(SchemaChange::Dropped, target);
                tables.chain(types).map(dropped).collect()
            });
            events.push(own);
            events
        }
        _ => vec![own],
    }
}

/// The events of a change that somebody else made, from what differs: what comes before what it is in when it goes, after it
/// when it comes.
pub fn differences(before: &Schema, after: &Schema) -> Vec<Event> {
    let mut events = Vec::new();
    for (name, gone) in before
        .keyspaces
        .iter()
        .filter(|(name, _)| after.keyspace(name).is_none())
    {
        let target = SchemaTarget::Keyspace {
            keyspace: name.clone(),
        };
        let dropped = self::events(SchemaChange::Dropped, &target, before, after);
        debug_assert!(
            dropped.len() > gone.tables.len(),
            "all that is in it goes too"
        );
        events.extend(dropped);
    }
    for (name, now) in &after.keyspaces {
        let target = SchemaTarget::Keyspace {
            keyspace: name.clone(),
        };
        match before.keyspace(name) {
            None => events.push(Event::Schema(SchemaChange::Created, target)),
            Some(then) => {
                if (&then.replication, then.durable_writes)
                    != (&now.replication, now.durable_writes)
                {
                    events.push(Event::Schema(SchemaChange::Updated, target));
                }
            }
        }
        let empty = Keyspace::empty(name, &now.replication);
        let then = before.keyspace(name).map_or(&empty, |then| then);
        events.extend(within(then, now));
    }
    events
}

/// What differs within a keyspace.
fn within(before: &Keyspace, after: &Keyspace) -> Vec<Event> {
    let compare = |then: bool, now: bool, same: bool| match (then, now) {
        (true, false) => Some(SchemaChange::Dropped),
        (false, true) => Some(SchemaChange::Created),
        _ => (!same).then_some(SchemaChange::Updated),
    };
    let names: BTreeSet<&String> = before.types.keys().chain(after.types.keys()).collect();
    let types = names.into_iter().filter_map(|name| {
        let (then, now) = (before.types.get(name), after.types.get(name));
        let change = compare(then.is_some(), now.is_some(), then == now)?;
        Some(Event::Schema(change, user_type(&after.name, name)))
    });
    let names: BTreeSet<&String> = before.tables.keys().chain(after.tables.keys()).collect();
    let tables = names.into_iter().filter_map(|name| {
        let (then, now) = (before.tables.get(name), after.tables.get(name));
        let change = compare(then.is_some(), now.is_some(), then == now)?;
        Some(Event::Schema(change, table(&after.name, name)))
    });
    types.chain(tables).collect()
}

/// The types that differ, and the tables in which one of them occurs.
fn of_types(before: &Keyspace, after: &Keyspace) -> Vec<Event> {
    let differs = |types: &BTreeMap<String, Arc<UserType>>, name: &String, now: &UserType| {
        types.get(name).is_none_or(|then| **then != *now)
    };
    let changed: Vec<&String> = after
        .types
        .iter()
        .filter(|(name, now)| differs(&before.types, name, now))
        .map(|(name, _)| name)
        .collect();
    let tables = after
        .tables
        .iter()
        .filter(|(_, table)| changed.iter().any(|name| table.references_type(name)));
    let types = changed.iter().map(|name| user_type(&after.name, name));
    types
        .chain(tables.map(|(name, _)| table(&after.name, name)))
        .map(|target| Event::Schema(SchemaChange::Updated, target))
        .collect()
}

fn table(keyspace: &str, name: &str) -> SchemaTarget {
    SchemaTarget::Table {
        keyspace: keyspace.to_owned(),
        name: name.to_owned(),
    }
}

fn user_type(keyspace: &str, name: &str) -> SchemaTarget {
    SchemaTarget::Type {
        keyspace: keyspace.to_owned(),
        name: name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cql::plan::ddl::{DdlConfig, DdlContext, SchemaPlan, plan};

    /// What is sent for the last statement, in words.
    fn told(statements: &[&str]) -> Vec<String> {
        let (mut schema, mut told) = (Schema::default(), Vec::new());
        for (index, text) in statements.iter().enumerate() {
            let context = DdlContext {
                keyspace: Some("ks"),
                now_micros: 1,
                new_id: uuid::Uuid::from_u128(index as u128),
                datacenters: &BTreeMap::from([("datacenter1".to_owned(), 1)]),
                virtual_keyspaces: &BTreeMap::new(),
                config: &DdlConfig::default(),
            };
            let statement = cql::parse::parse(text).expect("valid").statement;
            let planned = plan(&statement, &schema, &context).expect("of the schema");
            let Ok(SchemaPlan::Change { edits, event, .. }) = planned else {
                panic!("{text}: {planned:?}");
            };
            let after = schema.apply_all(&edits);
            let events = events(event.change, &event.target, &schema, &after);
            let sorted = |events: &[Event]| {
                let mut lines: Vec<String> =
                    events.iter().map(|event| format!("{event:?}")).collect();
                lines.sort();
                lines
            };
            // Nodes that are not told what was asked for find the same out.
            assert_eq!(
                sorted(&differences(&schema, &after)),
                sorted(&events),
                "{text}"
            );
            told = events.iter().map(|event| format!("{event:?}")).collect();
            schema = after;
        }
        told
    }

    const SCHEMA: [&str; 6] = [
        "CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
        "CREATE TYPE b (a int)",
        "CREATE TYPE a (x frozen<b>)",
        "CREATE TABLE t1 (k int PRIMARY KEY, v list<frozen<a>>)",
        "CREATE TABLE t2 (k int PRIMARY KEY, v b)",
        "CREATE TABLE t3 (k int PRIMARY KEY)",
    ];

    fn names(told: &[String]) -> Vec<String> {
        let word = |line: &String| {
            let kind = line.split(['(', ' ']).nth(1).map(ToOwned::to_owned);
            let name = line.rsplit('"').nth(1).map(ToOwned::to_owned);
            format!("{}{}", kind.unwrap_or_default(), name.unwrap_or_default())
        };
        told.iter().map(word).collect()
    }

    #[test]
    fn a_type_changes_what_it_occurs_in() {
        let told = told(&[&SCHEMA[..], &["ALTER TYPE b ADD z int"]].concat());
        assert_eq!(
            names(&told),
            ["Updated,a", "Updated,b", "Updated,t1", "Updated,t2"]
        );
    }

    #[test]
    fn a_keyspace_takes_what_is_in_it_with_it() {
        let told = told(&[&SCHEMA[..], &["DROP KEYSPACE ks"]].concat());
        let expected = ["t1", "t2", "t3", "a", "b", "ks"].map(|name| format!("Dropped,{name}"));
        assert_eq!(names(&told), expected);
    }
}
