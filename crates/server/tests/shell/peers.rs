//! Processes that talk to each other.

use crate::Process;
use crate::echo::EchoPeer;
use cql::frame::{Opcode, ProtocolVersion};
use server::process::Addresses;

fn node(name: &str, port: &str) -> Process {
    let factory = |addresses: &Addresses| EchoPeer {
        address: addresses.internode.expect("it talks to others"),
    };
    Process::start_with(name, &[port], factory)
}

#[test]
fn a_client_of_one_node_is_answered_by_another() {
    let (one, two) = (
        node("peer-one", "storage_port=0"),
        node("peer-two", "storage_port=0"),
    );
    let address = two.serving().addresses.internode.unwrap();
    // On both shards, as each connection goes to the one with the fewest.
    let mut clients = [(); 2].map(|()| one.connect(ProtocolVersion::V5, None));
    for client in &mut clients {
        for stream in 0..100 {
            client.append_query(stream, &format!("ask {address}"));
        }
        client.send();
        (0..100).for_each(|_| assert_eq!(client.receive().opcode, Opcode::Result));
    }
    let page = one.http("GET", "/metrics");
    // What was asked before the connection was there was asked again.
    let sent: Vec<&str> = page
        .lines()
        .filter(|line| line.starts_with("helenus_internode_sent_messages_total"))
        .collect();
    assert_eq!(sent.len(), 2, "of each shard: {page}");
    assert!(sent.iter().all(|line| !line.ends_with(" 0")), "{sent:?}");
    let shards = one.http("GET", "/api/v1/shards");
    assert!(
        shards.contains(&format!("peer {address} small open")),
        "{shards}"
    );
}

#[test]
fn a_node_that_has_gone_is_found_again() {
    let one = node("returns-one", "storage_port=0");
    let mut two = node("returns-two", "storage_port=0");
    let address = two.serving().addresses.internode.unwrap();
    let mut client = one.connect(ProtocolVersion::V4, None);
    assert_eq!(
        client.query(1, &format!("ask {address}")).opcode,
        Opcode::Result
    );
    two.stop();
    drop(two);
    // Nobody is there to answer it, until somebody is.
    client.append_query(2, &format!("ask {address}"));
    client.send();
    let port = format!("storage_port={}", address.port());
    let _two = node("returns-again", &port);
    assert_eq!(client.receive().opcode, Opcode::Result);
}
