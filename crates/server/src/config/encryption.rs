//! `client_encryption_options` and `server_encryption_options`: where the certificates are, what is asked of clients, and
//! which connections between nodes are encrypted.

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

/// How connections between nodes are encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerEncryption {
    /// Which are.
    pub scope: EncryptionScope,
    /// Whether the other kind is served too, whatever the scope: while a cluster is switched over.
    pub optional: bool,
    /// PEM file with the private key and the certificates that lead to it, shown to nodes that connect.
    pub keystore: PathBuf,
    /// The same, shown to nodes that this one connects to.
    pub outbound_keystore: PathBuf,
    /// PEM file with the certificates that nodes' are signed by.
    pub truststore: PathBuf,
    /// Whether nodes that connect show a certificate.
    pub client_auth: ClientAuth,
    /// Whether a node's certificate must be for the address that it is reached by.
    pub verifies_endpoint: bool,
    /// Protocol versions allowed, or all that are safe.
    pub protocols: Vec<String>,
    /// Whether `ssl_storage_port` is listened on beside `storage_port`.
    pub has_ssl_port: bool,
}

/// Which connections between nodes are encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncryptionScope {
    /// None that this node opens.
    None,
    /// Those to other data centres.
    Datacenters,
    /// Those to other racks.
    Racks,
    /// All.
    All,
}

/// The keys that both know; all others are refused, because encryption that is not what was meant is no encryption.
const KNOWN: [&str; 14] = [
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
/// The keys that only clients' options have.
const KNOWN_OF_CLIENTS: [&str; 1] = ["enabled"];
/// The keys that only nodes' options have.
const KNOWN_OF_NODES: [&str; 7] = [
    "enabled",
    "internode_encryption",
    "legacy_ssl_storage_port_enabled",
    "enable_legacy_ssl_storage_port",
    "outbound_keystore",
    "outbound_keystore_password",
    "outbound_keystore_password_file",
];

/// The keys of either, by their types.
struct Options<'a>(&'a Node);

impl<'a> Options<'a> {
    /// Refuses keys that neither knows.
    fn of(node: &'a Node, own: &[&str]) -> Result<Self, String> {
        for (name, _) in node.entries() {
            if name == "cipher_suites" {
                return Err("cipher_suites is not supported; only safe ones are used".to_owned());
            }
            if !KNOWN.contains(&name.as_str()) && !own.contains(&name.as_str()) {
                return Err(format!("unknown option `{name}`"));
            }
        }
        Ok(Self(node))
    }

    fn text(&self, name: &str) -> Option<&'a str> {
        let text = self.0.get(name).and_then(Node::text);
        text.filter(|text| !text.is_empty())
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        self.text(name).map(PathBuf::from)
    }

    fn flag(&self, name: &str) -> Result<bool, String> {
        match self.text(name) {
            None => Ok(false),
            Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(other) => Err(format!("{name}: `{other}` is not `true` or `false`")),
        }
    }

    fn client_auth(&self) -> Result<ClientAuth, String> {
        match self.text("require_client_auth") {
            None | Some("false") => Ok(ClientAuth::No),
            Some("optional") => Ok(ClientAuth::Optional),
            Some("true") => Ok(ClientAuth::Required),
            Some(other) => Err(format!(
                "require_client_auth: `{other}` is not true, optional or false"
            )),
        }
    }

    fn protocols(&self) -> Vec<String> {
        let list = self.0.get("accepted_protocols");
        let listed = list.map_or(&[][..], Node::elements).iter();
        let one = self.text("protocol").filter(|protocol| *protocol != "TLS");
        let names = listed.filter_map(Node::text).chain(one);
        names.map(str::to_owned).collect()
    }
}

/// Reads the options for clients; `None` if encryption is off.
pub fn read(node: &Node) -> Result<Option<ClientEncryption>, String> {
    let options = Options::of(node, &KNOWN_OF_CLIENTS)?;
    if !options.flag("enabled")? {
        return Ok(None);
    }
    let client_auth = options.client_auth()?;
    let truststore = options.path("truststore");
    if client_auth != ClientAuth::No && truststore.is_none() {
        return Err("require_client_auth needs a truststore".to_owned());
    }
    if options.flag("require_endpoint_verification")? {
        return Err("require_endpoint_verification is not supported".to_owned());
    }
    Ok(Some(ClientEncryption {
        keystore: options.path("keystore").ok_or("keystore is not given")?,
        truststore,
        optional: options.flag("optional")?,
        client_auth,
        protocols: options.protocols(),
    }))
}

/// Reads the options for nodes; `None` if nothing is encrypted and nothing encrypted is served.
pub fn read_server(node: &Node) -> Result<Option<ServerEncryption>, String> {
    let options = Options::of(node, &KNOWN_OF_NODES)?;
    let scope = match options.text("internode_encryption") {
        None | Some("none") => EncryptionScope::None,
        Some("dc") => EncryptionScope::Datacenters,
        Some("rack") => EncryptionScope::Racks,
        Some("all") => EncryptionScope::All,
        Some(other) => {
            return Err(format!(
                "internode_encryption: `{other}` is not none, dc, rack or all"
            ));
        }
    };
    let optional = options.flag("optional")?;
    let client_auth = options.client_auth()?;
    let verifies_endpoint = options.flag("require_endpoint_verification")?;
    let has_ssl_port = options.flag("legacy_ssl_storage_port_enabled")?
        || options.flag("enable_legacy_ssl_storage_port")?;
    if scope == EncryptionScope::None && !optional {
        return Ok(None);
    }
    let keystore = options.path("keystore").ok_or("keystore is not given")?;
    Ok(Some(ServerEncryption {
        scope,
        optional,
        outbound_keystore: options
            .path("outbound_keystore")
            .unwrap_or_else(|| keystore.clone()),
        keystore,
        truststore: options
            .path("truststore")
            .ok_or("truststore is not given")?,
        client_auth,
        verifies_endpoint,
        protocols: options.protocols(),
        has_ssl_port,
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

    #[test]
    fn nodes_options_are_those_of_cassandra() {
        let options = |yaml: &str| read_server(&parse(&format!("o:\n{yaml}")).unwrap()[0].1);
        let shipped = "  internode_encryption: none\n  legacy_ssl_storage_port_enabled: false\n  keystore: conf/.keystore\n  \
                       require_client_auth: false\n  truststore: conf/.truststore\n  require_endpoint_verification: false\n";
        assert_eq!(options(shipped), Ok(None));
        let stores = "  keystore: a.pem\n  truststore: b.pem\n";
        let on = options(&format!(
            "  internode_encryption: rack\n  require_client_auth: true\n{stores}"
        ))
        .unwrap()
        .unwrap();
        assert_eq!(
            (on.scope, on.client_auth),
            (EncryptionScope::Racks, ClientAuth::Required)
        );
        assert_eq!((on.optional, on.outbound_keystore), (false, "a.pem".into()));
        let on = options(&format!(
            "  optional: true\n  outbound_keystore: c.pem\n{stores}"
        ))
        .unwrap()
        .unwrap();
        assert_eq!(
            (on.scope, on.outbound_keystore),
            (EncryptionScope::None, "c.pem".into())
        );
        let error = |yaml| options(yaml).unwrap_err();
        assert_eq!(
            error("  internode_encryption: some\n"),
            "internode_encryption: `some` is not none, dc, rack or all"
        );
        assert_eq!(
            error("  internode_encryption: all\n  keystore: a.pem\n"),
            "truststore is not given"
        );
        assert_eq!(
            error("  internode_encription: all\n"),
            "unknown option `internode_encription`"
        );
    }
}
