//! ERROR: the one place that knows the protocol's numbers for failures and their bodies (section 9).
//!
//! An error that a version does not know is sent as the nearest one it does, as Cassandra does.

use super::put::Put;
use super::version::ProtocolVersion;
use model::error::{Consistency, ReplicaFailure, RequestError, WriteType};

mod code {
    pub const SERVER: i32 = 0x0000;
    pub const PROTOCOL: i32 = 0x000A;
    pub const BAD_CREDENTIALS: i32 = 0x0100;
    pub const UNAVAILABLE: i32 = 0x1000;
    pub const OVERLOADED: i32 = 0x1001;
    pub const BOOTSTRAPPING: i32 = 0x1002;
    pub const TRUNCATE: i32 = 0x1003;
    pub const WRITE_TIMEOUT: i32 = 0x1100;
    pub const READ_TIMEOUT: i32 = 0x1200;
    pub const READ_FAILURE: i32 = 0x1300;
    pub const FUNCTION_FAILURE: i32 = 0x1400;
    pub const WRITE_FAILURE: i32 = 0x1500;
    pub const CAS_WRITE_UNKNOWN: i32 = 0x1700;
    pub const SYNTAX: i32 = 0x2000;
    pub const UNAUTHORIZED: i32 = 0x2100;
    pub const INVALID: i32 = 0x2200;
    pub const CONFIG: i32 = 0x2300;
    pub const ALREADY_EXISTS: i32 = 0x2400;
    pub const UNPREPARED: i32 = 0x2500;
}

/// The code a client of this version is told.
fn code(error: &RequestError, version: ProtocolVersion) -> i32 {
    let before_v4 = version < ProtocolVersion::V4;
    match error {
        RequestError::Server(_) => code::SERVER,
        RequestError::Protocol(_) => code::PROTOCOL,
        RequestError::BadCredentials(_) => code::BAD_CREDENTIALS,
        RequestError::Unavailable { .. } => code::UNAVAILABLE,
        RequestError::Overloaded(_) => code::OVERLOADED,
        RequestError::Bootstrapping(_) => code::BOOTSTRAPPING,
        RequestError::Truncate(_) => code::TRUNCATE,
        RequestError::WriteTimeout { .. } => code::WRITE_TIMEOUT,
        RequestError::ReadTimeout { .. } => code::READ_TIMEOUT,
        RequestError::ReadFailure { .. } if before_v4 => code::READ_TIMEOUT,
        RequestError::ReadFailure { .. } => code::READ_FAILURE,
        RequestError::FunctionFailure { .. } if before_v4 => code::INVALID,
        RequestError::FunctionFailure { .. } => code::FUNCTION_FAILURE,
        RequestError::WriteFailure { .. } if before_v4 => code::WRITE_TIMEOUT,
        RequestError::WriteFailure { .. } => code::WRITE_FAILURE,
        RequestError::CasWriteUnknown { .. } if version < ProtocolVersion::V5 => {
            code::WRITE_TIMEOUT
        }
        RequestError::CasWriteUnknown { .. } => code::CAS_WRITE_UNKNOWN,
        RequestError::Syntax(_) => code::SYNTAX,
        RequestError::Unauthorized(_) => code::UNAUTHORIZED,
        RequestError::Invalid(_) => code::INVALID,
        RequestError::Config(_) => code::CONFIG,
        RequestError::AlreadyExists { .. } => code::ALREADY_EXISTS,
        RequestError::Unprepared { .. } => code::UNPREPARED,
    }
}

/// Appends the body of an ERROR answer.
pub fn put_error(out: &mut Vec<u8>, version: ProtocolVersion, error: &RequestError) {
    out.put_int(code(error, version));
    out.put_string(&error.to_string());
    if let Some((consistency, first, second)) = counts(error) {
        out.put_short(consistency as u16);
        out.put_int(first as i32);
        out.put_int(second as i32);
    }
    match error {
        RequestError::WriteTimeout {
            write_type,
            contentions,
            ..
        } => {
            out.put_string(write_type.name());
            if let (true, Some(contentions)) = (version >= ProtocolVersion::V5, contentions) {
                out.put_short(*contentions);
            }
        }
        RequestError::ReadTimeout { data_present, .. } => out.put_byte(u8::from(*data_present)),
        RequestError::ReadFailure {
            failures,
            data_present,
            ..
        } => {
            put_failures(out, version, failures);
            out.put_byte(u8::from(*data_present));
        }
        RequestError::WriteFailure {
            failures,
            write_type,
            ..
        } => {
            put_failures(out, version, failures);
            out.put_string(write_type.name());
        }
        RequestError::CasWriteUnknown { .. } if version < ProtocolVersion::V5 => {
            out.put_string(WriteType::Cas.name());
        }
        RequestError::FunctionFailure {
            keyspace,
            function,
            arg_types,
            ..
        } if version >= ProtocolVersion::V4 => {
            out.put_string(keyspace);
            out.put_string(function);
            out.put_string_list(arg_types);
        }
        RequestError::AlreadyExists { keyspace, table } => {
            out.put_string(keyspace);
            out.put_string(table);
        }
        RequestError::Unprepared { id } => {
            out.put_short_bytes(&id[..id.len().min(usize::from(u16::MAX))]);
        }
        _ => {}
    }
}

/// The level, and the two numbers of replicas, that many errors start their body with.
fn counts(error: &RequestError) -> Option<(Consistency, u32, u32)> {
    match error {
        RequestError::Unavailable {
            consistency,
            required,
            alive,
        } => Some((*consistency, *required, *alive)),
        RequestError::WriteTimeout {
            consistency,
            received,
            block_for,
            ..
        }
        | RequestError::ReadTimeout {
            consistency,
            received,
            block_for,
            ..
        }
        | RequestError::ReadFailure {
            consistency,
            received,
            block_for,
            ..
        }
        | RequestError::WriteFailure {
            consistency,
            received,
            block_for,
            ..
        }
        | RequestError::CasWriteUnknown {
            consistency,
            received,
            block_for,
        } => Some((*consistency, *received, *block_for)),
        _ => None,
    }
}

/// How many replicas failed and, from version 5 on, which and why; nothing for version 3, which has no failures.
fn put_failures(out: &mut Vec<u8>, version: ProtocolVersion, failures: &[ReplicaFailure]) {
    if version >= ProtocolVersion::V4 {
        out.put_int(failures.len() as i32);
    }
    if version >= ProtocolVersion::V5 {
        for failure in failures {
            out.put_address(failure.endpoint);
            out.put_short(failure.reason);
        }
    }
}
