//! `cassandra-rackdc.properties`, where Cassandra keeps a node's data centre and rack.

use std::path::Path;

/// What the file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RackDc {
    /// `dc`.
    pub dc: Option<String>,
    /// `rack`.
    pub rack: Option<String>,
}

/// Reads the file beside a `cassandra.yaml`; one that is not there says nothing.
pub fn beside(config: &Path) -> RackDc {
    let path = config.with_file_name("cassandra-rackdc.properties");
    std::fs::read_to_string(path)
        .map(|text| parse(&text))
        .unwrap_or_default()
}

fn parse(text: &str) -> RackDc {
    let value = |name: &str| {
        text.lines()
            .map(str::trim)
            .filter(|line| !line.starts_with(['#', '!']))
            .filter_map(|line| line.split_once(['=', ':']))
            .filter(|(key, value)| key.trim() == name && !value.trim().is_empty())
            .map(|(_, value)| value.trim().to_owned())
            .next_back()
    };
    RackDc {
        dc: value("dc"),
        rack: value("rack"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_as_cassandra_ships_them() {
        let text = "# comment\ndc=dc1\nrack = rack7\n# dc=other\nprefer_local=true\n";
        assert_eq!(
            parse(text),
            RackDc {
                dc: Some("dc1".into()),
                rack: Some("rack7".into())
            }
        );
        assert_eq!(parse("#dc=x\n"), RackDc::default());
    }
}
