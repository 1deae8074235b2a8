//! `client_encryption_options`: where the certificates are and what is asked of clients.

use super::tree::Node;
use std::path::PathBuf;

/// How clients' connections are encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientEncryption {
    /// PEM file with the private key and the certificates that lead to it.
    pub keystore: PathBuf,
    /// PEM file with the certificates that clients' are signed by.
    pub truststore: Option<PathBuf>,
    /// Whether unencrypted connections are served too, on the same port.
    pub optional: bool,
    /// Whether clients show a certificate.
    pub client_auth: ClientAuth,
    /// Protocol versions allowed, or all that are safe.
    pub protocols: Vec<String>,
}

/// Whether clients show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    /// They are not asked.
    No,
    /// They may, and it must be a good one.
    Optional,
    /// They must.
    Required,
}

/// The keys that are known; all others are refused, because encryption that is not what was meant is no encryption.
const KNOWN: [&str; 15] = [
    "enabled",
    "optional",
    "keystore",
    "keystore_password",
    "keystore_password_file",
    "truststore",
    "truststore_password",
    "truststore_password_file",
    "require_client_auth",
    "require_endpoint_verification",
    "protocol",
    "accepted_protocols",
    "algorithm",
    "store_type",
    "ssl_context_factory",
];

/// Reads the options; `None` if encryption is off.
pub fn read(node: &Node) -> Result<Option<ClientEncryption>, String> {
    for (name, _) in node.entries() {
        if name == "cipher_suites" {
            return Err("cipher_suites is not supported; only safe ones are used".to_owned());
        }
        if !KNOWN.contains(&name.as_str()) {
            return Err(format!("unknown option `{name}`"));
        }
    }
    let text = |name: &str| {
        node.get(name)
            .and_then(Node::text)
            .filter(|text| !text.is_empty())
    };
    let flag = |name: &str| match text(name) {
        None => Ok(false),
        Some("true") => Ok(true),
        Some("false") => Ok(false),
        Some(other) => Err(format!("{name}: `{other}` is not `true` or `false`")),
    };
    if !flag("enabled")? {
        return Ok(None);
    }
    let client_auth = match text("require_client_auth") {
        None | Some("false") => ClientAuth::No,
        Some("optional") => ClientAuth::Optional,
        Some("true") => ClientAuth::Required,
        Some(other) => {
            return Err(format!(
                "require_client_auth: `{other}` is not true, optional or false"
            ));
        }
    };
    let truststore = text("truststore").map(PathBuf::from);
    if client_auth != ClientAuth::No && truststore.is_none() {
        return Err("require_client_auth needs a truststore".to_owned());
    }
    if flag("require_endpoint_verification")? {
        return Err("require_endpoint_verification is not supported".to_owned());
    }
    let keystore = text("keystore").ok_or("keystore is not given")?.into();
    let mut protocols: Vec<String> = node
        .get("accepted_protocols")
        .map(|list| {
            list.elements()
                .iter()
                .filter_map(Node::text)
                .map(str::to_owned)
                .collect()
        })
        .unwrap_or_default();
    protocols.extend(
        text("protocol")
            .filter(|protocol| *protocol != "TLS")
            .map(str::to_owned),
    );
    Ok(Some(ClientEncryption {
        keystore,
        truststore,
        optional: flag("optional")?,
        client_auth,
        protocols,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tree::parse;

    fn options(yaml: &str) -> Result<Option<ClientEncryption>, String> {
        read(&parse(&format!("o:\n{yaml}")).unwrap()[0].1)
    }

    #[test]
    fn what_is_asked_for_is_given_or_refused() {
        assert_eq!(
            options("  enabled: false\n  keystore: conf/.keystore\n"),
            Ok(None)
        );
        let on = options("  enabled: true\n  keystore: a.pem\n  optional: true\n")
            .unwrap()
            .unwrap();
        assert_eq!(
            (on.keystore, on.optional, on.client_auth),
            ("a.pem".into(), true, ClientAuth::No)
        );
        let error = |yaml| options(yaml).unwrap_err();
        assert_eq!(error("  enabled: true\n"), "keystore is not given");
        assert_eq!(
            error("  enabled: yess\n"),
            "enabled: `yess` is not `true` or `false`"
        );
        assert_eq!(error("  keystroe: x\n"), "unknown option `keystroe`");
        let auth = "  enabled: true\n  keystore: a.pem\n  require_client_auth: true\n";
        assert_eq!(error(auth), "require_client_auth needs a truststore");
    }
}
