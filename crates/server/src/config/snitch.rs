//! Where a node stands: data centre and rack, by the snitch that is configured and the files and metadata it reads.
//!
//! `helenus_dc` and `helenus_rack` win over all. Files lie beside the `cassandra.yaml`. What the clouds' snitches ask a metadata
//! service for is given: `helenus_availability_zone`. How names follow from a zone is Cassandra's (the classes of
//! `org.apache.cassandra.locator`, as its documentation describes them).

use std::net::IpAddr;
use std::path::Path;

/// What is known of a node's place, before what was configured for it by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// Data centre.
    pub dc: Option<String>,
    /// Rack.
    pub rack: Option<String>,
}

/// A Java properties file.
#[derive(Debug, Clone, Default)]
pub struct Properties(Vec<(String, String)>);

impl Properties {
    /// Reads a file beside a `cassandra.yaml`; one that is not there says nothing.
    pub fn beside(config: &Path, name: &str) -> Self {
        let text = std::fs::read_to_string(config.with_file_name(name));
        text.map(|text| Self::parse(&text)).unwrap_or_default()
    }

    fn parse(text: &str) -> Self {
        let lines = text.lines().map(str::trim);
        let lines = lines.filter(|line| !line.starts_with(['#', '!']));
        // Colons of IPv6 addresses are escaped, as in any key.
        let split = |line: &str| {
            let at = line
                .char_indices()
                .find(|(at, c)| matches!(c, '=' | ':') && !line[..*at].ends_with('\\'))?
                .0;
            let key = line[..at].trim().replace('\\', "");
            Some((key, line[at + 1..].trim().to_owned()))
        };
        Self(lines.filter_map(split).collect())
    }

    /// The last value of a key, if it has one that is not empty.
    fn get(&self, name: &str) -> Option<&str> {
        let mut values = self.0.iter().rev();
        let (_, value) = values.find(|(key, value)| key == name && !value.is_empty())?;
        Some(value)
    }
}

/// What snitches read.
#[derive(Debug, Clone, Default)]
pub struct Files {
    /// `cassandra-rackdc.properties`.
    pub rackdc: Properties,
    /// `cassandra-topology.properties`.
    pub topology: Properties,
}

impl Files {
    /// Those beside a `cassandra.yaml`.
    pub fn beside(config: &Path) -> Self {
        Self {
            rackdc: Properties::beside(config, "cassandra-rackdc.properties"),
            topology: Properties::beside(config, "cassandra-topology.properties"),
        }
    }
}

/// Finds the place; an error is told to the operator.
pub fn place(
    snitch: &str,
    zone: Option<&str>,
    own: IpAddr,
    files: &Files,
) -> Result<Place, String> {
    let suffix = files.rackdc.get("dc_suffix").unwrap_or_default();
    let of_zone = |split: fn(&str, &Properties) -> Option<(String, String)>| {
        let zone = zone.ok_or_else(|| {
            format!("{snitch} needs helenus_availability_zone: no metadata service is asked for it")
        })?;
        let (dc, rack) = split(zone, &files.rackdc).ok_or_else(|| {
            format!("helenus_availability_zone `{zone}` is not one of {snitch}'s")
        })?;
        Ok(Place {
            dc: Some(format!("{dc}{suffix}")),
            rack: Some(rack),
        })
    };
    match snitch {
        "SimpleSnitch" | "GossipingPropertyFileSnitch" => Ok(Place {
            dc: files.rackdc.get("dc").map(str::to_owned),
            rack: files.rackdc.get("rack").map(str::to_owned),
        }),
        "PropertyFileSnitch" => of_file(own, &files.topology),
        "RackInferringSnitch" => of_address(own),
        "Ec2Snitch" | "Ec2MultiRegionSnitch" => of_zone(ec2),
        "GoogleCloudSnitch" | "AlibabaCloudSnitch" => of_zone(last_part),
        "AzureSnitch" => of_zone(azure),
        other => Err(format!(
            "`{other}` is not known; use GossipingPropertyFileSnitch, or helenus_dc and helenus_rack"
        )),
    }
}

/// `address=dc:rack`, with `default` for whoever is not named.
fn of_file(own: IpAddr, topology: &Properties) -> Result<Place, String> {
    let written = topology
        .get(&own.to_string())
        .or_else(|| topology.get("default"))
        .ok_or_else(|| {
            format!("cassandra-topology.properties names neither {own} nor a default")
        })?;
    let (dc, rack) = written
        .split_once(':')
        .ok_or_else(|| format!("cassandra-topology.properties: `{written}` is not dc:rack"))?;
    Ok(Place {
        dc: Some(dc.trim().to_owned()),
        rack: Some(rack.trim().to_owned()),
    })
}

/// The second and third byte of the address.
fn of_address(own: IpAddr) -> Result<Place, String> {
    let IpAddr::V4(address) = own else {
        return Err("RackInferringSnitch needs an IPv4 address".to_owned());
    };
    let [_, dc, rack, _] = address.octets();
    Ok(Place {
        dc: Some(dc.to_string()),
        rack: Some(rack.to_string()),
    })
}

/// `us-east-1a`: by the legacy names `us-east` and `1a`, for regions with other numbers than 1 `us-west-2` and `2a`; with
/// `ec2_naming_scheme=standard` the region and the zone.
fn ec2(zone: &str, rackdc: &Properties) -> Option<(String, String)> {
    let last = zone.chars().next_back()?;
    let region = zone.strip_suffix(|c: char| c.is_ascii_lowercase())?;
    let (area, number) = region.rsplit_once('-')?;
    if rackdc.get("ec2_naming_scheme") == Some("standard") {
        return Some((region.to_owned(), zone.to_owned()));
    }
    let dc = if number.ends_with('1') { area } else { region };
    Some((dc.to_owned(), format!("{number}{last}")))
}

/// `us-central1-a`: `us-central1` and `a`.
fn last_part(zone: &str, _: &Properties) -> Option<(String, String)> {
    let (dc, rack) = zone.rsplit_once('-')?;
    Some((dc.to_owned(), rack.to_owned()))
}

/// `eastus-1`: `eastus` and `rack-1`.
fn azure(zone: &str, _: &Properties) -> Option<(String, String)> {
    let (location, zone) = zone.rsplit_once('-').unwrap_or((zone, "0"));
    Some((location.to_owned(), format!("rack-{zone}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 20, 30, 40));

    fn found(snitch: &str, zone: Option<&str>, rackdc: &str, topology: &str) -> Option<String> {
        let files = Files {
            rackdc: Properties::parse(rackdc),
            topology: Properties::parse(topology),
        };
        let place = place(snitch, zone, OWN, &files).ok()?;
        let shown = |name: Option<String>| name.unwrap_or_else(|| "-".to_owned());
        Some(format!("{}/{}", shown(place.dc), shown(place.rack)))
    }

    #[test]
    fn properties_as_cassandra_ships_them() {
        let text = "# comment\ndc=dc1\nrack = rack7\n# dc=other\nprefer_local=true\n";
        let gossiping = "GossipingPropertyFileSnitch";
        assert_eq!(
            found(gossiping, None, text, "").as_deref(),
            Some("dc1/rack7")
        );
        assert_eq!(
            found("SimpleSnitch", None, "#dc=x\n", "").as_deref(),
            Some("-/-")
        );
    }

    #[test]
    fn addresses_are_looked_up_in_the_topology() {
        let file = "10.20.30.40=DC2:RAC1\ndefault=DC1:r1\nfe80\\:0=D:r\n";
        let snitch = "PropertyFileSnitch";
        assert_eq!(found(snitch, None, "", file).as_deref(), Some("DC2/RAC1"));
        assert_eq!(
            found(snitch, None, "", "default=DC1:r1").as_deref(),
            Some("DC1/r1")
        );
        assert_eq!(found(snitch, None, "", "default=DC1"), None);
        assert_eq!(found(snitch, None, "", ""), None);
        assert_eq!(
            found("RackInferringSnitch", None, "", "").as_deref(),
            Some("20/30")
        );
    }

    #[test]
    fn zones_name_data_centres_and_racks() {
        for (snitch, zone, rackdc, expected) in [
            ("Ec2Snitch", "us-east-1a", "", "us-east/1a"),
            ("Ec2Snitch", "us-west-2b", "", "us-west-2/2b"),
            (
                "Ec2Snitch",
                "us-east-1a",
                "ec2_naming_scheme=standard",
                "us-east-1/us-east-1a",
            ),
            (
                "Ec2MultiRegionSnitch",
                "us-east-1a",
                "dc_suffix=_x",
                "us-east_x/1a",
            ),
            ("GoogleCloudSnitch", "us-central1-a", "", "us-central1/a"),
            ("AlibabaCloudSnitch", "cn-hangzhou-f", "", "cn-hangzhou/f"),
            ("AzureSnitch", "eastus-1", "", "eastus/rack-1"),
        ] {
            let found = found(snitch, Some(zone), rackdc, "");
            assert_eq!(found.as_deref(), Some(expected), "{snitch} {zone}");
        }
        assert_eq!(found("Ec2Snitch", None, "", ""), None);
        assert_eq!(found("Ec2Snitch", Some("mars"), "", ""), None);
        assert_eq!(found("OtherSnitch", None, "", ""), None);
    }
}
