//! Which crate may depend on which: the direction that keeps protocols apart from disks and clocks.

/// Crates of the workspace with those of it they may use.
const ALLOWED: [(&str, &[&str]); 12] = [
    ("model", &[]),
    ("cql", &["model"]),
    ("storage", &["model"]),
    ("cluster", &["model"]),
    ("node", &["model", "cql", "storage", "cluster"]),
    ("server", &["model", "cql", "storage", "cluster", "node"]),
    ("sim", &["model", "cql", "storage", "cluster", "node"]),
    ("orders", &[]),
    (
        "lab",
        &[
            "model", "cql", "storage", "cluster", "node", "sim", "orders",
        ],
    ),
    (
        "helenus",
        &[
            "model", "cql", "storage", "cluster", "node", "server", "sim", "orders", "lab",
        ],
    ),
    ("blackbox", &[]),
    ("xtask", &["blackbox"]),
];

/// Crates that may know an asynchronous runtime.
const ASYNCHRONOUS: [&str; 5] = ["server", "helenus", "orders", "lab", "bench"];

/// Findings in one `Cargo.toml`.
pub fn check(path: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    let mut section = "";
    let mut package = String::new();
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            section = line.trim_matches(['[', ']']);
            continue;
        }
        let Some((key, value)) = line.split_once('=') else {
            continue;
        };
        let key = key.trim().split('.').next().unwrap_or_default();
        if section == "package" && key == "name" {
            value.trim().trim_matches('"').clone_into(&mut package);
        }
        if section.ends_with("dependencies") && section != "workspace.dependencies" {
            findings.extend(edge(path, &package, key));
        }
    }
    findings
}

fn edge(path: &str, package: &str, dependency: &str) -> Option<String> {
    let allowed = ALLOWED
        .iter()
        .find(|(name, _)| *name == package)
        .map(|(_, allowed)| *allowed)?;
    let internal = ALLOWED.iter().any(|(name, _)| *name == dependency);
    if internal && dependency != package && !allowed.contains(&dependency) {
        return Some(format!("{path}: {package} must not depend on {dependency}"));
    }
    if dependency == "tokio" && !ASYNCHRONOUS.contains(&package) {
        return Some(format!(
            "{path}: {package} must not know tokio; only the shell does"
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_against_the_direction_is_found() {
        let manifest = "[package]\nname = \"storage\"\n[dependencies]\nmodel.workspace = true\ncql.workspace = true\n";
        assert_eq!(check("a", manifest), ["a: storage must not depend on cql"]);
        let manifest = "[package]\nname = \"node\"\n[dev-dependencies]\ntokio = \"1\"\n";
        assert_eq!(check("a", manifest).len(), 1);
    }
}
