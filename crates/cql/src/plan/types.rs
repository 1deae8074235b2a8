//! Resolves types as they are written to types as columns have them, with Cassandra's rules and messages.
//!
//! `frozen<…>` freezes what is inside it too, but stops at a vector; a tuple freezes its elements. A user type must be
//! of the keyspace that the statement is about.

mod class_name;

use crate::ast::{NativeType, QualifiedName, Type};
use model::error::RequestError;
use model::types::{CqlType, Frozen, UserType};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The user types of a keyspace, by name.
pub type UserTypes = BTreeMap<String, Arc<UserType>>;

/// Resolves a type written in a statement about `keyspace`, whose user types are `types`.
pub fn resolve(written: &Type, keyspace: &str, types: &UserTypes) -> Result<CqlType, RequestError> {
    Resolver { keyspace, types }.resolve(written, Frozen::No)
}

/// The CQL type of a native one.
pub fn native(native: NativeType) -> CqlType {
    match native {
        NativeType::Ascii => CqlType::Ascii,
        NativeType::Bigint => CqlType::Bigint,
        NativeType::Blob => CqlType::Blob,
        NativeType::Boolean => CqlType::Boolean,
        NativeType::Counter => CqlType::Counter,
        NativeType::Date => CqlType::Date,
        NativeType::Decimal => CqlType::Decimal,
        NativeType::Double => CqlType::Double,
        NativeType::Duration => CqlType::Duration,
        NativeType::Float => CqlType::Float,
        NativeType::Inet => CqlType::Inet,
        NativeType::Int => CqlType::Int,
        NativeType::Smallint => CqlType::Smallint,
        NativeType::Text | NativeType::Varchar => CqlType::Text,
        NativeType::Time => CqlType::Time,
        NativeType::Timestamp => CqlType::Timestamp,
        NativeType::Timeuuid => CqlType::Timeuuid,
        NativeType::Tinyint => CqlType::Tinyint,
        NativeType::Uuid => CqlType::Uuid,
        NativeType::Varint => CqlType::Varint,
    }
}

/// Whether it is a user type without `frozen`.
pub(super) fn is_unfrozen_user_type(written: &Type) -> bool {
    matches!(written, Type::User(_))
}

/// Whether it is `counter`.
pub(super) fn is_counter(written: &Type) -> bool {
    *written == Type::Native(NativeType::Counter)
}

fn is_duration(written: &Type) -> bool {
    *written == Type::Native(NativeType::Duration)
}

/// The type as Cassandra prints one that is being resolved: frozen collections and user types say so, tuples and
/// vectors do not; user types with `keyspace` before them, where one is given.
pub(super) fn text(written: &Type, frozen: Frozen, keyspace: Option<&str>) -> String {
    let frame = |inner: String| match frozen {
        Frozen::Yes => format!("frozen<{inner}>"),
        Frozen::No => inner,
    };
    let inner = |element: &Type| text(element, frozen, keyspace);
    match written {
        Type::List(element) => frame(format!("list<{}>", inner(element))),
        Type::Set(element) => frame(format!("set<{}>", inner(element))),
        Type::Map(key, value) => frame(format!("map<{}, {}>", inner(key), inner(value))),
        Type::Tuple(elements) => {
            let elements: Vec<String> = elements
                .iter()
                .map(|element| text(element, Frozen::Yes, keyspace))
                .collect();
            format!("tuple<{}>", elements.join(", "))
        }
        Type::Vector(element, dimension) => {
            let element = text(element, Frozen::No, keyspace);
            format!("vector<{element}, {dimension}>")
        }
        Type::User(name) => frame(match (&name.keyspace, keyspace) {
            (None, Some(keyspace)) => format!("{keyspace}.{}", name.name),
            _ => name.to_string(),
        }),
        Type::Frozen(inner) => text(inner, Frozen::Yes, keyspace),
        Type::Native(_) | Type::Custom(_) => written.to_string(),
    }
}

struct Resolver<'a> {
    keyspace: &'a str,
    types: &'a UserTypes,
}

impl Resolver<'_> {
    fn resolve(&self, written: &Type, frozen: Frozen) -> Result<CqlType, RequestError> {
        Ok(match written {
            Type::Native(found) => native(*found),
            Type::Custom(class) => class_name::resolve(class)?,
            Type::Frozen(inner) => self.resolve(inner, Frozen::Yes)?,
            Type::List(element) => {
                check_element(written, element, frozen)?;
                CqlType::List(self.shared(element, frozen)?, frozen)
            }
            Type::Set(element) => {
                check_element(written, element, frozen)?;
                if is_duration(element) {
                    return Err(refusal(
                        "Durations are not allowed inside sets",
                        written,
                        frozen,
                    ));
                }
                CqlType::Set(self.shared(element, frozen)?, frozen)
            }
            Type::Map(key, value) => {
                check_element(written, value, frozen)?;
                if is_duration(key) {
                    return Err(refusal(
                        "Durations are not allowed as map keys",
                        written,
                        frozen,
                    ));
                }
                check_element(written, key, frozen)?;
                // Cassandra resolves the value first, and so names its unknown type first.
                let value = self.shared(value, frozen)?;
                CqlType::Map(self.shared(key, frozen)?, value, frozen)
            }
            Type::Tuple(elements) => {
                let mut resolved = Vec::with_capacity(elements.len());
                for element in elements {
                    if is_counter(element) {
                        return Err(RequestError::invalid(
                            "Counters are not allowed inside tuples",
                        ));
                    }
                    resolved.push(self.resolve(element, Frozen::Yes)?);
                }
                CqlType::Tuple(resolved.into())
            }
            Type::Vector(element, dimension) => {
                let element = self.shared(element, Frozen::No)?;
                match u32::try_from(*dimension) {
                    Ok(dimension) if dimension > 0 => CqlType::Vector(element, dimension),
                    _ => {
                        return Err(RequestError::invalid(format!(
                            "vectors may only have positive dimensions; given {dimension}"
                        )));
                    }
                }
            }
            Type::User(name) => self.user_type(name, frozen)?,
        })
    }

    fn user_type(&self, name: &QualifiedName, frozen: Frozen) -> Result<CqlType, RequestError> {
        if let Some(keyspace) = &name.keyspace
            && keyspace != self.keyspace
        {
            return Err(RequestError::invalid(format!(
                "Statement on keyspace {} cannot refer to a user type in keyspace {keyspace}; user types can only be \
                 used in the keyspace they are defined in",
                self.keyspace
            )));
        }
        let definition = self.types.get(&name.name).ok_or_else(|| {
            RequestError::invalid(format!("Unknown type {}.{}", self.keyspace, name.name))
        })?;
        let user_type = CqlType::Udt(definition.clone(), Frozen::No);
        Ok(match frozen {
            Frozen::Yes => user_type.freeze(),
            Frozen::No => user_type,
        })
    }

    fn shared(&self, written: &Type, frozen: Frozen) -> Result<Arc<CqlType>, RequestError> {
        self.resolve(written, frozen).map(Arc::new)
    }
}

/// What may not be in a collection: something not frozen in one that is not frozen either, and counters.
fn check_element(collection: &Type, element: &Type, frozen: Frozen) -> Result<(), RequestError> {
    if frozen == Frozen::No {
        match element {
            Type::List(_) | Type::Set(_) | Type::Map(..) => {
                let what = "Non-frozen collections are not allowed inside collections";
                return Err(refusal(what, collection, frozen));
            }
            Type::User(_) => {
                let what = "Non-frozen UDTs are not allowed inside collections";
                return Err(refusal(what, collection, frozen));
            }
            _ => {}
        }
    }
    if is_counter(element) {
        return Err(refusal(
            "Counters are not allowed inside collections",
            collection,
            frozen,
        ));
    }
    Ok(())
}

fn refusal(what: &str, written: &Type, frozen: Frozen) -> RequestError {
    RequestError::invalid(format!("{what}: {}", text(written, frozen, None)))
}
