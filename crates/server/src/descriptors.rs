//! File descriptors: every connection and every SSTable is one, and a process that has none left can neither flush nor
//! compact. So the limit is raised as far as the operating system allows, and connections never get all of it.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Kept for SSTables, logs and the process itself where the limit is large.
const MOST_FOR_FILES: u64 = 16_384;
/// Connections beyond those that are served which wait to be told so.
const MOST_REFUSED: u64 = 1_024;

/// How the descriptors are shared out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptors {
    /// Connections that may be served.
    pub connections: u64,
    /// Connections beyond that which may wait to be told that they are too many.
    pub refused: u64,
    /// What is left for files.
    pub files: u64,
}

impl Descriptors {
    /// Shares out so many. Files get half, up to [`MOST_FOR_FILES`].
    pub fn of(limit: u64) -> Self {
        let files = (limit / 2).min(MOST_FOR_FILES);
        let refused = ((limit - files) / 8).min(MOST_REFUSED);
        Self {
            connections: limit - files - refused,
            refused,
            files,
        }
    }

    /// Raises the limit of open files as far as it goes and shares it out.
    pub fn raise() -> Self {
        let limit = getrlimit(Resource::Nofile);
        let most = Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        };
        if limit.current != limit.maximum
            && let Err(error) = setrlimit(Resource::Nofile, most)
        {
            tracing::warn!(%error, limit = ?limit.current, "cannot raise the limit of open files");
        }
        // None is no limit at all.
        let shared = Self::of(getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX));
        tracing::info!(
            connections = shared.connections,
            files = shared.files,
            "file descriptors: so many connections at most, so many kept for files"
        );
        shared
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_never_left_without() {
        for limit in [0, 1, 64, 1_024, 4_096, 1 << 20, u64::MAX] {
            let shared = Descriptors::of(limit);
            assert_eq!(shared.connections + shared.refused + shared.files, limit);
            assert!(shared.files >= (limit / 2).min(MOST_FOR_FILES));
        }
        let small = Descriptors::of(1_024);
        assert_eq!(
            (small.connections, small.refused, small.files),
            (448, 64, 512)
        );
    }

    #[test]
    fn the_limit_is_raised() {
        Descriptors::raise();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
    }
}
