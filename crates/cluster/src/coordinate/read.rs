//! A read: errors with true counts for the replicas that did not answer.

use super::ReplicaPlan;
use model::error::{ReplicaFailure, RequestError};
use std::net::IpAddr;

/// A read's failure at the only replica that was asked.
pub fn failure(plan: &ReplicaPlan, endpoint: IpAddr, reason: u16, detail: String) -> RequestError {
    RequestError::ReadFailure {
        consistency: plan.consistency,
        received: 0,
        block_for: plan.block_for,
        failures: vec![ReplicaFailure { endpoint, reason }],
        data_present: false,
        detail,
    }
}

/// The deadline passed before the replica answered.
pub fn timeout(plan: &ReplicaPlan) -> RequestError {
    RequestError::ReadTimeout {
        consistency: plan.consistency,
        received: 0,
        block_for: plan.block_for,
        data_present: false,
    }
}
