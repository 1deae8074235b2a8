//! Internet addresses from their texts, as Java's `InetAddress.getByName` reads them.
//!
//! IPv4 may leave parts out (`127.1`, and `1` is 0.0.0.1: the last part fills what is left) and zeros in front mean
//! nothing. IPv6 may stand in brackets and end in a zone, which is forgotten; an IPv4-mapped address becomes the IPv4
//! address. No name is looked up: `localhost` alone is known.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The longest text of an IPv4 address.
const LONGEST_V4: usize = 15;

/// The address a text writes; `None` if it is none.
pub fn parse(text: &str) -> Option<IpAddr> {
    if let Some(bracketed) = text.strip_prefix('[') {
        return v6(bracketed.strip_suffix(']')?);
    }
    match text {
        "localhost" => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        _ if text.contains(':') => v6(text),
        _ => v4(text).map(IpAddr::V4),
    }
}

fn v4(text: &str) -> Option<Ipv4Addr> {
    if text.len() > LONGEST_V4 {
        return None;
    }
    let mut parts: Vec<u32> = Vec::with_capacity(4);
    for part in text.split('.') {
        let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits || parts.len() == 4 {
            return None;
        }
        parts.push(part.parse().ok()?);
    }
    let (last, leading) = parts.split_last()?;
    // What the last part fills: all the bytes the others left.
    let room = 32 - 8 * leading.len();
    if u64::from(*last) >> room != 0 || leading.iter().any(|part| *part > 255) {
        return None;
    }
    let high = leading
        .iter()
        .enumerate()
        .fold(0, |address, (index, part)| {
            address | part << (24 - 8 * index)
        });
    Some(Ipv4Addr::from(high | last))
}

fn v6(text: &str) -> Option<IpAddr> {
    let (address, zone) = text
        .split_once('%')
        .map_or((text, None), |(address, zone)| (address, Some(zone)));
    let numeric = |zone: &str| !zone.is_empty() && zone.bytes().all(|byte| byte.is_ascii_digit());
    if !zone.is_none_or(numeric) {
        return None;
    }
    let mut groups: Vec<String> = Vec::new();
    for group in address.split(':') {
        if group.contains('.') {
            // The last 32 bits as an IPv4 address, which must have all its parts.
            if group.split('.').count() != 4 {
                return None;
            }
            let [a, b, c, d] = v4(group)?.octets();
            groups.push(format!("{a:02x}{b:02x}:{c:02x}{d:02x}"));
        } else {
            let short = group.trim_start_matches('0');
            groups.push(match (group, short) {
                ("", _) => String::new(),
                (_, "") => "0".into(),
                _ => short.into(),
            });
        }
    }
    let whole: Ipv6Addr = groups.join(":").parse().ok()?;
    match whole.to_ipv4_mapped() {
        Some(_) if zone.is_some() => None,
        Some(mapped) => Some(IpAddr::V4(mapped)),
        None => Some(IpAddr::V6(whole)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_as_java_reads_them() {
        for (text, address) in [
            ("1", "0.0.0.1"),
            ("4294967295", "255.255.255.255"),
            ("1.256", "1.0.1.0"),
            ("1.16777215", "1.255.255.255"),
            ("127.0.0", "127.0.0.0"),
            ("1.2.65535", "1.2.255.255"),
            ("010.0.0.1", "10.0.0.1"),
            ("1.2.3.004", "1.2.3.4"),
            ("localhost", "127.0.0.1"),
            ("[::1]", "::1"),
            ("[::1%1]", "::1"),
            ("fe80::1%1", "fe80::1"),
            ("FE80::A", "fe80::a"),
            ("00001::", "1::"),
            ("::", "::"),
            ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"),
            ("::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"),
            ("::ffff:1.2.3.4", "1.2.3.4"),
            ("::ffff:0102:0304", "1.2.3.4"),
            ("[::ffff:1.2.3.4]", "1.2.3.4"),
            ("::01.2.3.4", "::1.2.3.4"),
            ("1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"),
        ] {
            assert_eq!(parse(text), address.parse().ok(), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "abc",
            "4294967296",
            "1.16777216",
            "1.2.65536",
            "256.0.0.1",
            "1.2.3.4.5",
            "0x7f.0.0.1",
            "1.",
            ".1",
            "1..2",
            " 1",
            "1 ",
            "-1",
            "+1",
            "[1.2.3.4]",
            "[::1",
            "::1]",
            "[]",
            "::1%nosuch",
            "::1%",
            "1::2::3",
            "12345::",
            ":1",
            "1:",
            ":::",
            "::1::",
            "::g",
            "::ffff:1.2.3",
            "::ffff:1.2.3.4%1",
            "1.2.3.4%1",
            "00000000000000000001",
            "1:2:3:4:5:6:7",
            "1:2:3:4:5:6:7:8::",
            "::1:2:3:4:5:6:7:8",
            "::1.2.3.256",
            "1:2:3:4:5:6:7:1.2.3.4",
            "1.2.3.4:80",
            "::1/64",
            "\u{663}",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
