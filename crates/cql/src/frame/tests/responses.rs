//! Answers, compared with what Cassandra 5.0 sends byte for byte.

use super::super::response::*;
use super::*;
use model::error::{ReplicaFailure, RequestError, WriteType};
use model::types::CqlType;

fn spec(name: &str, cql_type: CqlType) -> ColumnSpec {
    ColumnSpec {
        keyspace: "srv_probe".into(),
        table: "types".into(),
        name: name.into(),
        cql_type,
    }
}

#[test]
fn supported_and_ready_as_cassandra_sends_them() {
    let mut out = Vec::new();
    put_supported(&mut out, ProtocolVersion::V4, 1, "3.4.7", &[]);
    assert_eq!(
        &out[..],
        b"\x84\x00\x00\x01\x06\x00\x00\x00f\x00\x03\x00\x11PROTOCOL_VERSIONS\x00\x04\x00\x043/v3\x00\x044/v4\x00\x045/v5\x00\t6/v6-beta\x00\x0bCOMPRESSION\x00\x02\x00\x06snappy\x00\x03lz4\x00\x0bCQL_VERSION\x00\x01\x00\x053.4.7"
    );
    out.clear();
    put_ready(&mut out, ProtocolVersion::V6, 1);
    assert_eq!(&out[..], b"\x86\x10\x00\x01\x02\x00\x00\x00\x00");
    out.clear();
    put_auth_success(&mut out, ProtocolVersion::V4, 1, None);
    assert_eq!(
        &out[..],
        b"\x84\x00\x00\x01\x10\x00\x00\x00\x04\xff\xff\xff\xff"
    );
}

#[test]
fn rows_as_cassandra_sends_them() {
    let metadata = ResultMetadata::new(vec![
        spec("system.token(a)", CqlType::Bigint),
        spec("count", CqlType::Bigint),
        spec("x", CqlType::Int),
    ]);
    let mut out = Vec::new();
    let envelope = begin(&mut out, ProtocolVersion::V4, 1, Opcode::Result);
    let mut rows = RowsWriter::begin(&mut out, &metadata, ProtocolVersion::V4, MetadataForm::Full);
    rows.cell(None);
    rows.cell(Some(&0_i64.to_be_bytes()));
    rows.cell(None);
    rows.finish(None);
    let warnings = ["Aggregation query used without partition key".to_owned()];
    envelope.finish(
        &mut out,
        &Prologue {
            warnings: &warnings,
            ..Prologue::default()
        },
    );
    assert_eq!(
        &out[..],
        b"\x84\x08\x00\x01\x08\x00\x00\x00\x87\x00\x01\x00,Aggregation query used without partition key\x00\x00\x00\x02\x00\x00\x00\x01\x00\x00\x00\x03\x00\tsrv_probe\x00\x05types\x00\x0fsystem.token(a)\x00\x02\x00\x05count\x00\x02\x00\x01x\x00\t\x00\x00\x00\x01\xff\xff\xff\xff\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff"
    );
}

#[test]
fn pages_and_changed_columns() {
    let metadata = ResultMetadata::new(vec![spec("a", CqlType::Int)]);
    let mut out = Vec::new();
    let mut rows = RowsWriter::begin(
        &mut out,
        &metadata,
        ProtocolVersion::V5,
        MetadataForm::Skipped,
    );
    rows.cell(Some(b"1234"));
    rows.cell(Some(b"5678"));
    assert_eq!(rows.rows(), 2);
    rows.finish(Some(b"state"));
    assert_eq!(
        &out[..],
        b"\x00\x00\x00\x02\x00\x00\x00\x06\x00\x00\x00\x01\x00\x00\x00\x05state\x00\x00\x00\x02\x00\x00\x00\x041234\x00\x00\x00\x045678"
    );
    let mut out = Vec::new();
    RowsWriter::begin(
        &mut out,
        &metadata,
        ProtocolVersion::V5,
        MetadataForm::Changed,
    )
    .finish(Some(b"s"));
    let mut expected =
        b"\x00\x00\x00\x02\x00\x00\x00\x0b\x00\x00\x00\x01\x00\x00\x00\x01s\x00\x10".to_vec();
    expected.extend_from_slice(&metadata.id());
    expected.extend_from_slice(b"\x00\tsrv_probe\x00\x05types\x00\x01a\x00\t\x00\x00\x00\x00");
    assert_eq!(out, expected);
}

#[test]
fn prepared_as_cassandra_sends_it() {
    let key = ResultMetadata::new(vec![spec("a", CqlType::Int)]);
    let columns = ResultMetadata::new(vec![spec("a", CqlType::Int), spec("b", CqlType::Bigint)]);
    let none = ResultMetadata::default();
    let put = |version, id, markers, partition_key, result| {
        let mut out = Vec::new();
        put_prepared(
            &mut out,
            version,
            &PreparedResult {
                id,
                markers,
                partition_key,
                result,
            },
        );
        out
    };
    let id = prepared_id(None, "select a,b from srv_probe.types where a=?");
    assert_eq!(
        put(ProtocolVersion::V4, id, &key, &[0], &columns),
        b"\x00\x00\x00\x04\x00\x10\x80\xcb\x87\x8e=]&C\xd16<\x95\xaff\x8f\xec\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\tsrv_probe\x00\x05types\x00\x01a\x00\t\x00\x00\x00\x01\x00\x00\x00\x02\x00\tsrv_probe\x00\x05types\x00\x01a\x00\t\x00\x01b\x00\x02"
    );
    assert_eq!(
        put(ProtocolVersion::V3, id, &key, &[0], &columns),
        b"\x00\x00\x00\x04\x00\x10\x80\xcb\x87\x8e=]&C\xd16<\x95\xaff\x8f\xec\x00\x00\x00\x01\x00\x00\x00\x01\x00\tsrv_probe\x00\x05types\x00\x01a\x00\t\x00\x00\x00\x01\x00\x00\x00\x02\x00\tsrv_probe\x00\x05types\x00\x01a\x00\t\x00\x01b\x00\x02"
    );
    let id = prepared_id(None, "insert into srv_probe.types (a,b) values (1,2)");
    assert_eq!(
        put(ProtocolVersion::V5, id, &none, &[], &none),
        b"\x00\x00\x00\x04\x00\x10V.u\xbb\x1f\xafA\xa6&\x14\xf6sUq\x01R\x00\x10\xd4\x1d\x8c\xd9\x8f\x00\xb2\x04\xe9\x80\t\x98\xec\xf8B~\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x04\x00\x00\x00\x00"
    );
    assert_eq!(
        prepared_id(Some("srv_probe"), "select a,b from types where a=?")[..4],
        [0xe5, 0x5f, 0xe0, 0xd0],
        "the keyspace is part of the id"
    );
}

#[test]
fn schema_changes_and_events() {
    let function = SchemaTarget::Function {
        keyspace: "srv_probe".into(),
        name: "f".into(),
        arguments: vec!["int".into(), "list<text>".into()],
    };
    let mut out = Vec::new();
    put_schema_change(
        &mut out,
        ProtocolVersion::V4,
        SchemaChange::Dropped,
        &function,
    );
    assert_eq!(
        &out[..],
        b"\x00\x00\x00\x05\x00\x07DROPPED\x00\x08FUNCTION\x00\tsrv_probe\x00\x01f\x00\x02\x00\x03int\x00\nlist<text>"
    );
    out.clear();
    put_schema_change(
        &mut out,
        ProtocolVersion::V3,
        SchemaChange::Dropped,
        &function,
    );
    assert_eq!(
        &out[..],
        b"\x00\x00\x00\x05\x00\x07UPDATED\x00\x08KEYSPACE\x00\tsrv_probe"
    );
    out.clear();
    put_event(
        &mut out,
        ProtocolVersion::V4,
        &Event::NodeUp("127.0.0.1:9042".parse().unwrap()),
    );
    assert_eq!(
        &out[..],
        b"\x84\x00\xff\xff\x0c\x00\x00\x00\x1c\x00\rSTATUS_CHANGE\x00\x02UP\x04\x7f\x00\x00\x01\x00\x00\x23\x52"
    );
    out.clear();
    let table = SchemaTarget::Table {
        keyspace: "k".into(),
        name: "t".into(),
    };
    put_event(
        &mut out,
        ProtocolVersion::V4,
        &Event::Schema(SchemaChange::Created, table),
    );
    assert!(out.ends_with(b"\x00\rSCHEMA_CHANGE\x00\x07CREATED\x00\x05TABLE\x00\x01k\x00\x01t"));
}

fn error_body(version: ProtocolVersion, error: &RequestError) -> Vec<u8> {
    let mut out = Vec::new();
    put_error_response(&mut out, version, 1, error, &Prologue::default());
    out.split_off(HEADER_BYTES)
}

#[test]
fn errors_with_their_bodies() {
    use ProtocolVersion::*;
    let unprepared = RequestError::Unprepared {
        id: b"aaa".to_vec(),
    };
    let body = error_body(V4, &unprepared);
    assert!(body.starts_with(b"\x00\x00%\x00\x00\xd3Prepared query with ID 616161 not found"));
    assert!(body.ends_with(b"internal cache)\x00\x03aaa"));

    let exists = RequestError::AlreadyExists {
        keyspace: "srv_probe".into(),
        table: String::new(),
    };
    assert_eq!(
        error_body(V4, &exists),
        b"\x00\x00$\x00\x00(Cannot add existing keyspace \"srv_probe\"\x00\tsrv_probe\x00\x00"
    );

    let unavailable = RequestError::Unavailable {
        consistency: Consistency::Quorum,
        required: 2,
        alive: 1,
    };
    let body = error_body(V5, &unavailable);
    assert!(body.starts_with(&[0, 0, 0x10, 0]) && body.ends_with(&[0, 4, 0, 0, 0, 2, 0, 0, 0, 1]));

    let failure = RequestError::ReadFailure {
        consistency: Consistency::One,
        received: 0,
        block_for: 1,
        failures: vec![ReplicaFailure {
            endpoint: "10.0.0.1".parse().unwrap(),
            reason: 1,
        }],
        data_present: true,
        detail: String::new(),
    };
    let counts = [0, 1, 0, 0, 0, 0, 0, 0, 0, 1];
    assert!(
        error_body(V5, &failure)
            .ends_with(&[&counts[..], &[0, 0, 0, 1, 4, 10, 0, 0, 1, 0, 1, 1]].concat())
    );
    assert!(error_body(V4, &failure).ends_with(&[&counts[..], &[0, 0, 0, 1, 1]].concat()));
    let v3 = error_body(V3, &failure);
    assert!(v3.starts_with(&[0, 0, 0x12, 0]) && v3.ends_with(&[&counts[..], &[1]].concat()));

    let timeout = RequestError::WriteTimeout {
        consistency: Consistency::Serial,
        received: 0,
        block_for: 1,
        write_type: WriteType::Cas,
        contentions: Some(5),
    };
    assert!(error_body(V5, &timeout).ends_with(b"\x00\x03CAS\x00\x05"));
    assert!(error_body(V4, &timeout).ends_with(b"\x00\x03CAS"));

    let unknown = RequestError::CasWriteUnknown {
        consistency: Consistency::Serial,
        received: 1,
        block_for: 2,
    };
    assert!(error_body(V5, &unknown).starts_with(&[0, 0, 0x17, 0]));
    let v4 = error_body(V4, &unknown);
    assert!(v4.starts_with(&[0, 0, 0x11, 0]) && v4.ends_with(b"\x00\x03CAS"));

    let long = RequestError::Invalid("é".repeat(50_000));
    let body = error_body(V4, &long);
    assert!(std::str::from_utf8(&body[6..]).is_ok());
    assert_eq!(body.len(), 6 + 65_534);
}

#[test]
fn a_response_carries_what_precedes_it_in_order() {
    let trace = uuid::Uuid::from_u128(5);
    let prologue = Prologue {
        trace: Some(trace),
        warnings: &["careful".to_owned()],
        payload: &[("k".to_owned(), Some(b"v".to_vec()))],
    };
    let respond = |version| {
        let mut out = b"before".to_vec();
        let envelope = begin(&mut out, version, 3, Opcode::Result);
        put_void(&mut out);
        envelope.finish(&mut out, &prologue);
        out.split_off(6)
    };
    let out = respond(ProtocolVersion::V4);
    let mut body = trace.as_bytes().to_vec();
    body.extend_from_slice(
        b"\x00\x01\x00\x07careful\x00\x01\x00\x01k\x00\x00\x00\x01v\x00\x00\x00\x01",
    );
    assert_eq!(
        out[1],
        flags::TRACING | flags::WARNING | flags::CUSTOM_PAYLOAD
    );
    assert_eq!(out[HEADER_BYTES..], body);
    assert_eq!(out[5..9], (body.len() as u32).to_be_bytes());
    let out = respond(ProtocolVersion::V3);
    assert_eq!(out[1], flags::TRACING);
    assert_eq!(out.len(), HEADER_BYTES + 16 + 4);
}
