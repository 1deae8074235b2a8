//! CREATE TYPE.

use crate::ast::maybe_quote;
use model::types::UserType;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// The statement that creates a user type.
pub fn create_type(definition: &UserType) -> String {
    let fields: Vec<String> = definition
        .fields
        .iter()
        .map(|(name, ctype)| format!("    {} {ctype}", maybe_quote(name)))
        .collect();
    format!(
        "CREATE TYPE {}.{} (\n{}\n);",
        maybe_quote(&definition.keyspace),
        maybe_quote(&definition.name),
        fields.join(",\n")
    )
}

/// The types of a keyspace, each after those it is made of, else by name (Kahn's algorithm).
pub fn by_dependency(types: &BTreeMap<String, Arc<UserType>>) -> Vec<&UserType> {
    let uses = |user: &UserType, used: &UserType| {
        user.name != used.name
            && user
                .fields
                .iter()
                .any(|(_, field)| field.references(&used.keyspace, &used.name))
    };
    let mut waiting: BTreeMap<&str, usize> = types
        .values()
        .map(|definition| {
            let needed = types
                .values()
                .filter(|other| uses(definition, other))
                .count();
            (definition.name.as_str(), needed)
        })
        .collect();
    let mut ready: VecDeque<&UserType> = types
        .values()
        .map(AsRef::as_ref)
        .filter(|definition| waiting[definition.name.as_str()] == 0)
        .collect();
    let mut ordered = Vec::with_capacity(types.len());
    while let Some(next) = ready.pop_front() {
        ordered.push(next);
        for definition in types.values().filter(|definition| uses(definition, next)) {
            if let Some(needed) = waiting.get_mut(definition.name.as_str()) {
                *needed -= 1;
                if *needed == 0 {
                    ready.push_back(definition);
                }
            }
        }
    }
    debug_assert_eq!(ordered.len(), types.len(), "no type is made of itself");
    ordered
}
