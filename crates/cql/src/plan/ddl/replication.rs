//! The `replication` option: which strategies there are, what they accept, how a factor is spread over data centres.

use super::{DdlContext, number};
use model::error::RequestError;
use model::schema::Replication;
use std::collections::BTreeMap;

/// The option as written.
pub(super) type Options = BTreeMap<String, String>;

const PACKAGE: &str = "org.apache.cassandra.locator.";
const FACTOR: &str = "replication_factor";
const SIMPLE: &str = "SimpleStrategy";
const NETWORK_TOPOLOGY: &str = "NetworkTopologyStrategy";

/// The replication that options with a class ask for, in place of `previous`.
pub(super) fn resolve(
    mut options: Options,
    previous: Option<&Replication>,
    context: &DdlContext<'_>,
) -> Result<Replication, RequestError> {
    let class = options.remove("class").unwrap_or_default();
    let class = strategy(&class)?;
    let default = || context.config.default_keyspace_rf.to_string();
    match class {
        SIMPLE => {
            options.entry(FACTOR.into()).or_insert_with(default);
        }
        _ => spread(&mut options, previous, context),
    }
    Ok(Replication {
        class: class.to_owned(),
        options,
    })
}

fn strategy(class: &str) -> Result<&'static str, RequestError> {
    let config = |message: String| Err(RequestError::Config(message));
    let full = if class.contains('.') {
        class.to_owned()
    } else {
        format!("{PACKAGE}{class}")
    };
    match full.strip_prefix(PACKAGE) {
        Some(SIMPLE) => Ok(SIMPLE),
        Some(NETWORK_TOPOLOGY) => Ok(NETWORK_TOPOLOGY),
        Some("LocalStrategy") => Err(RequestError::invalid(
            "Unable to use given strategy class: LocalStrategy is reserved for internal use.",
        )),
        Some("OldNetworkTopologyStrategy") => config(
            "The support for the OldNetworkTopologyStrategy has been removed in C* version 4.0. The keyspace strategy \
             should be switch to NetworkTopologyStrategy"
                .into(),
        ),
        _ => config(format!("Unable to find replication strategy class '{full}'")),
    }
}

/// Turns `replication_factor` into a factor for every data centre that has none. What a keyspace had before stays as it
/// was, for safety, unless a factor is given for that very data centre.
fn spread(options: &mut Options, previous: Option<&Replication>, context: &DdlContext<'_>) {
    let before = previous.map(|previous| &previous.options);
    let mut factor = options.remove(FACTOR);
    if factor.is_none() && !options.is_empty() {
        options.retain(|_, factor| factor != "0");
        return;
    }
    for (datacenter, factor) in before.into_iter().flatten() {
        if datacenter != FACTOR {
            options
                .entry(datacenter.clone())
                .or_insert_with(|| factor.clone());
        }
    }
    if factor.is_none() {
        factor = before.and_then(|before| before.get(FACTOR).cloned());
    }
    let factor = factor.unwrap_or_else(|| context.config.default_keyspace_rf.to_string());
    // Cassandra takes a factor it cannot read for none at all, and complains only if nothing else is left.
    if let Ok(factor) = parse(&factor) {
        for datacenter in context.datacenters.keys() {
            options
                .entry(datacenter.clone())
                .or_insert_with(|| factor.to_string());
        }
    }
    options.retain(|_, factor| factor != "0");
}

fn parse(factor: &str) -> Result<u32, RequestError> {
    let config = |message: String| RequestError::Config(message);
    let number = |text: &str| {
        number::int(text).ok_or_else(|| config(format!("For input string: \"{text}\"")))
    };
    if let Some((full, transient)) = factor.split_once('/') {
        if transient.contains('/') {
            return Err(config(
                "Replication factor format is <replicas> or <replicas>/<transient>".into(),
            ));
        }
        number(full)?;
        number(transient)?;
        return Err(config(
            "Transient replication is not enabled on this node".into(),
        ));
    }
    let factor = number(factor)?;
    u32::try_from(factor).map_err(|_| {
        config(format!(
            "Replication factor must be non-negative, found {factor}"
        ))
    })
}

/// Copies of each row in all.
pub(super) fn factor(replication: &Replication) -> u64 {
    let factors = replication.options.values();
    factors
        .filter_map(|factor| parse(factor).ok())
        .map(u64::from)
        .sum()
}

/// Checks a replication, and warns where there are fewer nodes than copies.
pub(super) fn check(
    replication: &Replication,
    keyspace: &str,
    context: &DdlContext<'_>,
) -> Result<Vec<String>, RequestError> {
    let network = replication.class == NETWORK_TOPOLOGY;
    if network && replication.options.is_empty() {
        return Err(RequestError::Config(
            "Configuration for at least one datacenter must be present".into(),
        ));
    }
    for (option, factor) in &replication.options {
        if network || option == FACTOR {
            parse(factor)?;
        }
    }
    let unknown = replication.options.keys().find(|option| {
        if network {
            !context.datacenters.contains_key(*option)
        } else {
            *option != FACTOR
        }
    });
    if let Some(option) = unknown {
        return Err(RequestError::Config(format!(
            "Unrecognized strategy option {{{option}}} passed to {} for keyspace {keyspace}",
            replication.class
        )));
    }
    let mut warnings = Vec::new();
    for (option, factor) in &replication.options {
        let (nodes, place) = if network {
            let nodes = context.datacenters.get(option).copied().unwrap_or(0);
            (nodes, format!(" for datacenter {option}"))
        } else {
            (context.datacenters.values().sum(), String::new())
        };
        let factor = parse(factor)?;
        if factor > nodes {
            warnings.push(format!(
                "Your replication factor {factor} for keyspace {keyspace} is higher than the number of nodes \
                 {nodes}{place}"
            ));
        }
    }
    Ok(warnings)
}
