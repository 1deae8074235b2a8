//! Encrypted connections, with certificates made here.

use crate::Process;
use crate::client::Client;
use cql::frame::compression::Compression;
use cql::frame::{Opcode, ProtocolVersion};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Arc;

struct Identity {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    pem: PathBuf,
}

fn identity(name: &str) -> Identity {
    let CertifiedKey { cert, key_pair } =
        generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let pem = std::env::temp_dir().join(format!("helenus-tls-{}-{name}.pem", std::process::id()));
    std::fs::write(&pem, format!("{}{}", key_pair.serialize_pem(), cert.pem())).unwrap();
    let key = PrivateKeyDer::try_from(key_pair.serialize_der()).unwrap();
    Identity {
        certificate: cert.der().clone(),
        key,
        pem,
    }
}

impl Drop for Identity {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.pem);
    }
}

fn connect(process: &Process, server: &Identity, own: Option<&Identity>) -> Client {
    Client::over(Box::new(open(process, server, own)))
}

fn open(
    process: &Process,
    server: &Identity,
    own: Option<&Identity>,
) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(server.certificate.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match own {
        Some(own) => builder
            .with_client_auth_cert(vec![own.certificate.clone()], own.key.clone_key())
            .unwrap(),
        None => builder.with_no_client_auth(),
    };
    let session =
        ClientConnection::new(Arc::new(config), ServerName::try_from("localhost").unwrap())
            .unwrap();
    StreamOwned::new(session, Client::open(process.serving().addresses.native))
}

fn speaks(mut client: Client, version: ProtocolVersion, compression: Option<Compression>) {
    client.startup(version, compression);
    for text in ["now", "hop", "disk", "big 400000"] {
        assert_eq!(client.query(1, text).opcode, Opcode::Result, "{text}");
    }
    for stream in 0..1000 {
        client.append_query(stream, "big 3000");
    }
    client.send();
    (0..1000).for_each(|_| assert_eq!(client.receive().opcode, Opcode::Result));
}

#[test]
fn encrypted_connections_are_served() {
    let server = identity("server");
    let keystore = format!(
        "client_encryption_options.keystore={}",
        server.pem.display()
    );
    let process = Process::start(
        "tls",
        &["client_encryption_options.enabled=true", &keystore],
    );
    speaks(connect(&process, &server, None), ProtocolVersion::V4, None);
    speaks(
        connect(&process, &server, None),
        ProtocolVersion::V5,
        Some(Compression::Lz4),
    );
    let mut plain = Client::connect(process.serving().addresses.native);
    plain.send_startup(ProtocolVersion::V4, None);
    assert!(
        plain
            .try_receive()
            .is_none_or(|answer| answer.version != 0x84),
        "not in the clear"
    );
}

#[test]
fn the_end_of_an_encrypted_connection_is_said() {
    let server = identity("goodbye");
    let keystore = format!(
        "client_encryption_options.keystore={}",
        server.pem.display()
    );
    let process = Process::start(
        "tls-goodbye",
        &["client_encryption_options.enabled=true", &keystore],
    );
    let mut stream = open(&process, &server, None);
    stream.write_all(b"\x84\0\0\x01\x07\0\0\0\0").unwrap();
    let mut answer = Vec::new();
    // Without the goodbye the end is `UnexpectedEof`.
    stream.read_to_end(&mut answer).unwrap();
    assert_eq!(answer.get(4), Some(&(Opcode::Error as u8)));
}

#[test]
fn both_kinds_where_encryption_is_optional() {
    let server = identity("optional");
    let keystore = format!(
        "client_encryption_options.keystore={}",
        server.pem.display()
    );
    let options = [
        "client_encryption_options.enabled=true",
        "client_encryption_options.optional=true",
        &keystore,
    ];
    let process = Process::start("tls-optional", &options);
    speaks(connect(&process, &server, None), ProtocolVersion::V5, None);
    speaks(
        Client::connect(process.serving().addresses.native),
        ProtocolVersion::V5,
        None,
    );
}

#[test]
fn a_certificate_is_asked_for() {
    let (server, known, unknown) = (identity("asked"), identity("known"), identity("unknown"));
    let keystore = format!(
        "client_encryption_options.keystore={}",
        server.pem.display()
    );
    let truststore = format!(
        "client_encryption_options.truststore={}",
        known.pem.display()
    );
    let process = Process::start(
        "tls-auth",
        &[
            "client_encryption_options.enabled=true",
            "client_encryption_options.require_client_auth=true",
            &keystore,
            &truststore,
        ],
    );
    speaks(
        connect(&process, &server, Some(&known)),
        ProtocolVersion::V4,
        None,
    );
    for stranger in [None, Some(&unknown)] {
        let refused = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut client = connect(&process, &server, stranger);
            client.send_startup(ProtocolVersion::V4, None);
            client.receive()
        }));
        assert!(refused.is_err());
    }
}
