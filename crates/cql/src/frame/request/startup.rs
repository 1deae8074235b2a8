//! STARTUP: opens the connection and agrees on compression.
//!
//! Body: `[string map]`. Names count in any case, as in Cassandra.

use super::super::compression::Compression;
use super::super::decode_error::DecodeError;
use super::super::reader::Reader;
use super::super::version::ProtocolVersion;

/// The oldest CQL that Cassandra lets in: a pre-release of 3.0.0.
const OLDEST_CQL: [u32; 3] = [2, 99, 0];

/// The options a client opens a connection with.
#[derive(Debug, Clone)]
pub struct Startup<'a> {
    options: Vec<(&'a str, &'a str)>,
}

impl<'a> Startup<'a> {
    pub(super) fn decode(body: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            options: body.string_map()?,
        })
    }

    /// All options as sent, for `system_views.clients`.
    pub fn options(&self) -> &[(&'a str, &'a str)] {
        &self.options
    }

    /// The option of this name. The last one counts, as in a map.
    pub fn option(&self, name: &str) -> Option<&'a str> {
        self.options
            .iter()
            .rev()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| *value)
    }

    /// Checks the options against a version and returns the compression agreed on.
    pub fn agree(&self, version: ProtocolVersion) -> Result<Option<Compression>, DecodeError> {
        let cql = self
            .option("CQL_VERSION")
            .ok_or(DecodeError::StartupMissing("CQL_VERSION"))?;
        if parse_version(cql).ok_or_else(|| DecodeError::CqlVersion(cql.to_owned()))? < OLDEST_CQL {
            return Err(DecodeError::CqlVersionTooOld(cql.to_owned()));
        }
        let Some(name) = self.option("COMPRESSION") else {
            return Ok(None);
        };
        match Compression::from_name(name) {
            None => Err(DecodeError::Compression(name.to_owned())),
            Some(Compression::Snappy) if version.has_segments() => {
                Err(DecodeError::SnappyInSegments)
            }
            agreed => Ok(agreed),
        }
    }
}

/// `major.minor[.patch][-anything]`.
fn parse_version(text: &str) -> Option<[u32; 3]> {
    let number = text.split(['-', '+', '~']).next()?;
    let mut parts = number.split('.');
    let mut part = || parts.next().map(str::parse::<u32>);
    let version = [part()?.ok()?, part()?.ok()?, part().unwrap_or(Ok(0)).ok()?];
    Some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agree(
        options: &[(&'static str, &'static str)],
        version: ProtocolVersion,
    ) -> Result<Option<Compression>, String> {
        Startup {
            options: options.to_vec(),
        }
        .agree(version)
        .map_err(|error| error.to_string())
    }

    #[test]
    fn options_are_judged_as_cassandra_judges_them() {
        use ProtocolVersion::*;
        assert_eq!(agree(&[("CQL_VERSION", "3.0.0")], V4), Ok(None));
        assert_eq!(agree(&[("cql_version", "3.4")], V4), Ok(None));
        assert_eq!(agree(&[("CQL_VERSION", "4.0.0")], V4), Ok(None));
        assert_eq!(
            agree(&[], V4),
            Err("Missing value CQL_VERSION in STARTUP message".into())
        );
        assert_eq!(
            agree(&[("CQL_VERSION", "x")], V4),
            Err("Invalid version value: x".into())
        );
        assert_eq!(
            agree(&[("CQL_VERSION", "2.0.0")], V4),
            Err("CQL version 2.0.0 is not supported by the binary protocol (supported version are >= 3.0.0)".into())
        );
        assert_eq!(
            agree(&[("CQL_VERSION", "3.0.0"), ("Compression", "Snappy")], V4),
            Ok(Some(Compression::Snappy))
        );
        assert_eq!(
            agree(&[("CQL_VERSION", "3.0.0"), ("COMPRESSION", "LZ4")], V5),
            Ok(Some(Compression::Lz4))
        );
        assert_eq!(
            agree(&[("CQL_VERSION", "3.0.0"), ("COMPRESSION", "snappy")], V5),
            Err("Snappy compression is not supported in protocol V5".into())
        );
        assert_eq!(
            agree(&[("CQL_VERSION", "3.0.0"), ("COMPRESSION", "foo")], V4),
            Err("Unknown compression algorithm: foo".into())
        );
    }
}
