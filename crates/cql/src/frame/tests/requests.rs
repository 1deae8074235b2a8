//! Bodies of requests: read whole, refused in Cassandra's words, and harmless however broken.

use super::super::request::{BatchKind, BatchQuery, EventType, Execute, Query};
use super::*;

#[test]
fn a_query_is_read_with_all_its_parameters() {
    for version in ProtocolVersion::ALL {
        let frame = frame(
            version,
            Opcode::Query,
            flags::TRACING,
            &query_body(version, "select"),
        );
        let message = frame.message().unwrap();
        assert!(message.tracing);
        let Request::Query(query) = message.request else {
            panic!()
        };
        assert_eq!(query.text, "select");
        let parameters = query.parameters;
        assert_eq!(parameters.consistency, Consistency::LocalQuorum);
        let unset = if version == ProtocolVersion::V3 {
            Value::Null
        } else {
            Value::Unset
        };
        let values: Vec<_> = parameters.values.iter().collect();
        assert_eq!(
            values,
            [
                (None, Value::Set(b"one")),
                (None, Value::Null),
                (None, unset)
            ]
        );
        assert!(parameters.skip_metadata);
        assert_eq!(parameters.page_size, Some(5000));
        assert_eq!(parameters.paging_state, Some(&b"page"[..]));
        assert_eq!(
            parameters.serial_consistency,
            Some(Consistency::LocalSerial)
        );
        assert_eq!(parameters.timestamp, Some(1234));
    }
}

#[test]
fn what_version_5_added_is_read() {
    let mut body = long_string("select");
    body.put_short(1);
    body.put_int(0x01 | 0x40 | 0x80 | 0x100);
    body.put_short(1);
    body.put_string("name");
    body.put_bytes(Some(b"v"));
    body.put_string("ks");
    body.put_int(99);
    let query_frame = frame(ProtocolVersion::V5, Opcode::Query, 0, &body);
    let Request::Query(query) = query_frame.message().unwrap().request else {
        panic!()
    };
    assert!(query.parameters.values.are_named());
    assert_eq!(
        query.parameters.values.iter().collect::<Vec<_>>(),
        [(Some("name"), Value::Set(b"v"))]
    );
    assert_eq!(query.parameters.keyspace, Some("ks"));
    assert_eq!(query.parameters.now_in_seconds, Some(99));

    let mut body = long_string("select");
    body.put_int(1);
    body.put_string("ks");
    let prepare_frame = frame(ProtocolVersion::V5, Opcode::Prepare, 0, &body);
    let Request::Prepare(prepare) = prepare_frame.message().unwrap().request else {
        panic!()
    };
    assert_eq!((prepare.text, prepare.keyspace), ("select", Some("ks")));

    let mut body = Vec::new();
    body.put_short_bytes(b"id");
    body.put_short_bytes(b"metadata");
    body.put_short(1);
    body.put_int(0);
    let execute_frame = frame(ProtocolVersion::V5, Opcode::Execute, 0, &body);
    let Request::Execute(execute) = execute_frame.message().unwrap().request else {
        panic!()
    };
    assert_eq!(
        (execute.id, execute.result_metadata_id),
        (&b"id"[..], Some(&b"metadata"[..]))
    );
}

#[test]
fn a_batch_is_read_with_its_statements() {
    for version in ProtocolVersion::ALL {
        let frame = frame(version, Opcode::Batch, 0, &batch_body(version));
        let Request::Batch(batch) = frame.message().unwrap().request else {
            panic!()
        };
        assert_eq!(batch.kind, BatchKind::Unlogged);
        assert_eq!(batch.parameters.timestamp, Some(77));
        let statements: Vec<_> = batch.statements.collect();
        assert_eq!(statements[0].query, BatchQuery::Text("insert"));
        assert_eq!(
            statements[0].values.iter().next(),
            Some((None, Value::Set(b"v")))
        );
        assert_eq!(statements[1].query, BatchQuery::Prepared(b"id"));
        assert!(statements[1].values.is_empty());
    }
    let error = frame(ProtocolVersion::V4, Opcode::Batch, 0, &[3, 0, 0, 0, 1, 0])
        .message()
        .unwrap_err();
    assert_eq!(error.to_string(), "Invalid BATCH message type 3");
    let error = frame(ProtocolVersion::V4, Opcode::Batch, 0, &[0, 0, 1, 2, 0, 0])
        .message()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "Invalid query kind in BATCH messages. Must be 0 or 1 but got 2"
    );
}

#[test]
fn the_other_requests_are_read() {
    let mut body = Vec::new();
    body.put_string_list(&["SCHEMA_CHANGE", "status_change", "SCHEMA_CHANGE"]);
    let register = frame(ProtocolVersion::V4, Opcode::Register, 0, &body);
    let Request::Register(register) = register.message().unwrap().request else {
        panic!()
    };
    assert_eq!(
        register.events,
        [EventType::SchemaChange, EventType::StatusChange]
    );
    let mut body = Vec::new();
    body.put_string_list(&["FOO"]);
    let error = frame(ProtocolVersion::V4, Opcode::Register, 0, &body)
        .message()
        .unwrap_err();
    assert_eq!(error.to_string(), "Invalid value 'FOO' for Type");

    let mut body = Vec::new();
    body.put_short(1);
    body.put_string("k");
    body.put_bytes(Some(b"v"));
    body.put_bytes(Some(b"\0user\0secret"));
    let auth = frame(
        ProtocolVersion::V4,
        Opcode::AuthResponse,
        flags::CUSTOM_PAYLOAD,
        &body,
    );
    let message = auth.message().unwrap();
    assert_eq!(message.payload, [("k", Some(&b"v"[..]))]);
    assert!(!format!("{message:?}").contains("secret"));
    let Request::AuthResponse(auth) = message.request else {
        panic!()
    };
    assert_eq!(auth.token, Some(&b"\0user\0secret"[..]));
}

#[test]
fn refusals_in_cassandras_words() {
    let refuse = |version, opcode, body: &[u8]| {
        frame(version, opcode, 0, body)
            .message()
            .unwrap_err()
            .to_string()
    };
    let v4 = ProtocolVersion::V4;
    assert_eq!(
        refuse(v4, Opcode::Query, b"\0\0\0\x30sel"),
        "Not enough bytes to read an UTF8 serialized string preceded by its 4 bytes length"
    );
    assert_eq!(
        refuse(v4, Opcode::Query, b"\xff\xff\xff\xff\0\x01\0"),
        "Not enough bytes to read an UTF8 serialized string preceded by its 4 bytes length"
    );
    assert_eq!(
        refuse(v4, Opcode::Startup, b"\0\x01\0\x0bCQL"),
        "Not enough bytes to read an UTF8 serialized string preceded by its 2 bytes length"
    );
    let select = long_string("s");
    let query = |rest: &[u8]| [&select[..], rest].concat();
    assert_eq!(
        refuse(v4, Opcode::Query, &query(b"\0\x22\0")),
        "Unknown code 34 for a consistency level"
    );
    assert_eq!(
        refuse(
            v4,
            Opcode::Query,
            &query(b"\0\x01\x01\0\x01\xff\xff\xff\xfd")
        ),
        "Invalid ByteBuf length -3"
    );
    assert_eq!(
        refuse(v4, Opcode::Query, &query(b"\0\x01\x20\x80\0\0\0\0\0\0\0")),
        "Out of bound timestamp, must be in [-9223372036854775807, 9223372036854775807] (got -9223372036854775808)"
    );
}

#[test]
fn no_body_cut_or_changed_anywhere_can_panic() {
    let mut random = Xorshift(0x9E37_79B9_7F4A_7C15);
    for version in ProtocolVersion::ALL {
        let mut execute = Vec::new();
        execute.put_short_bytes(&[7; 16]);
        execute.extend(query_body(version, ""));
        let mut register = Vec::new();
        register.put_string_list(&["SCHEMA_CHANGE"]);
        let bodies = [
            (
                Opcode::Query,
                query_body(version, "select * from t where a = ?"),
            ),
            (Opcode::Batch, batch_body(version)),
            (Opcode::Execute, execute),
            (Opcode::Prepare, query_body(version, "select")),
            (
                Opcode::Startup,
                startup_body(&[("CQL_VERSION", "3.0.0"), ("COMPRESSION", "lz4")]),
            ),
            (Opcode::Register, register),
            (Opcode::AuthResponse, long_string("token")),
        ];
        for (opcode, body) in bodies {
            for cut in 0..body.len() {
                let _ = frame(version, opcode, flags::CUSTOM_PAYLOAD, &body[..cut]).message();
                let _ = frame(version, opcode, 0, &body[..cut]).message();
            }
            for _ in 0..3000 {
                let mut body = body.clone();
                for _ in 0..=random.next() % 4 {
                    let at = random.next() % body.len();
                    body[at] = if random.next().is_multiple_of(2) {
                        0xff
                    } else {
                        random.next() as u8
                    };
                }
                let frame = frame(version, opcode, 0, &body);
                let Ok(message) = frame.message() else {
                    continue;
                };
                // What was checked once reads the same again, to the last value.
                match message.request {
                    Request::Query(Query { parameters, .. })
                    | Request::Execute(Execute { parameters, .. }) => {
                        assert_eq!(parameters.values.iter().count(), parameters.values.len());
                    }
                    Request::Batch(batch) => {
                        let count = batch.statements.len();
                        let statements: Vec<_> = batch.statements.collect();
                        assert_eq!(statements.len(), count);
                        for statement in statements {
                            assert_eq!(statement.values.iter().count(), statement.values.len());
                        }
                    }
                    _ => {}
                }
            }
        }
    }
}
