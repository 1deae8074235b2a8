//! What is logged, as an operator can change it while the process runs.
//!
//! Who sets the log up hands over how its filter is replaced ([`install`]). Levels are kept here as `root` and by module; the filter
//! is made of all of them. A process whose log was not set up so refuses changes.

use crate::admin::answer::LogLevels;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Replaces the log's filter by one of these directives; says why it cannot.
type Replace = Box<dyn Fn(&str) -> Result<(), String> + Send>;

const LEVELS: [&str; 6] = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "OFF"];
/// The module that stands for all.
const ROOT: &str = "root";

struct Log {
    replace: Replace,
    /// As the process was started.
    first: BTreeMap<String, String>,
    now: BTreeMap<String, String>,
}

/// The log is the process', and there is one.
static LOG: Mutex<Option<Log>> = Mutex::new(None);

fn log() -> MutexGuard<'static, Option<Log>> {
    // Nothing panics while it holds the lock.
    LOG.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes over how the filter is replaced; it has these directives now, as `level` and `module=level` with commas.
pub fn install(directives: &str, replace: Replace) {
    let first = parse(directives);
    *log() = Some(Log {
        replace,
        now: first.clone(),
        first,
    });
}

/// The levels in force.
pub fn shown() -> LogLevels {
    let log = log();
    let levels = log.as_ref().map(|log| log.now.clone());
    LogLevels {
        levels: levels.unwrap_or_default(),
    }
}

/// Sets the level of a module, or of all; without a level that of the start, or all levels.
pub fn set(module: Option<&str>, level: Option<&str>) -> Result<(), String> {
    let mut guard = log();
    let log = guard.as_mut().ok_or("this process' log has one level")?;
    let mut wanted = log.now.clone();
    let module = module.unwrap_or(ROOT);
    match level.map(str::to_ascii_uppercase) {
        Some(level) if LEVELS.contains(&level.as_str()) => {
            if module.is_empty() || module.contains([',', '=', ' ']) {
                return Err(format!("`{module}` is not a module's name"));
            }
            wanted.insert(module.to_owned(), level);
        }
        Some(level) => {
            let known = LEVELS.join(", ");
            return Err(format!("`{level}` is not a level: one of {known}"));
        }
        None if module == ROOT => wanted.clone_from(&log.first),
        None => match log.first.get(module) {
            Some(level) => drop(wanted.insert(module.to_owned(), level.clone())),
            None => drop(wanted.remove(module)),
        },
    }
    (log.replace)(&text(&wanted))?;
    log.now = wanted;
    Ok(())
}

fn parse(directives: &str) -> BTreeMap<String, String> {
    let parts = directives.split(',').map(str::trim);
    let levels = parts.filter(|part| !part.is_empty());
    let levels = levels.map(|part| match part.split_once('=') {
        Some((module, level)) => (module.to_owned(), level.to_ascii_uppercase()),
        None => (ROOT.to_owned(), part.to_ascii_uppercase()),
    });
    levels.collect()
}

fn text(levels: &BTreeMap<String, String>) -> String {
    let parts = levels.iter().map(|(module, level)| match module.as_str() {
        ROOT => level.clone(),
        module => format!("{module}={level}"),
    });
    parts.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn levels_are_set_by_module_and_put_back() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let noted = seen.clone();
        install(
            "info,server=debug",
            Box::new(move |directives| {
                noted.lock().unwrap().push(directives.to_owned());
                Ok(())
            }),
        );
        set(Some("node"), Some("trace")).unwrap();
        set(None, Some("WARN")).unwrap();
        assert!(set(None, Some("loud")).unwrap_err().contains("LOUD"));
        assert!(set(Some("a=b"), Some("INFO")).is_err());
        set(Some("node"), None).unwrap();
        set(None, None).unwrap();
        assert_eq!(
            *seen.lock().unwrap(),
            [
                "node=TRACE,INFO,server=DEBUG",
                "node=TRACE,WARN,server=DEBUG",
                "WARN,server=DEBUG",
                "INFO,server=DEBUG"
            ]
        );
        assert_eq!(shown().levels["root"], "INFO");
    }
}
