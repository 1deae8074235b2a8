//! Who may connect and do what, encryption and audit.

use super::Kind::*;
use super::State::*;
use super::Was::*;
use super::{Key, key};

/// Of security.
#[rustfmt::skip]
pub(super) const KEYS: &[Key] = &[
    key("authenticator", Class, "", &[], Effective("`AllowAllAuthenticator` or `PasswordAuthenticator`; any other class is refused.")),
    key("authorizer", Class, "", &[], NotYetRefused),
    key("role_manager", Class, "", &[], Effective("`CassandraRoleManager`; any other class is refused.")),
    key("crypto_provider", Class, "", &[], NotYetRefused),
    key("network_authorizer", Class, "", &[], NotYetRefused),
    key("cidr_authorizer", Class, "", &[], NotYetRefused),
    key("permissions_validity", Duration, "2s", &[("permissions_validity_in_ms", Millis)], NotYet),
    key("permissions_cache_max_entries", Integer, "1000", &[], NotYet),
    key("permissions_update_interval", Duration, "", &[("permissions_update_interval_in_ms", Millis)], NotYet),
    key("permissions_cache_active_update", Flag, "false", &[], NotYet),
    key("roles_validity", Duration, "2s", &[("roles_validity_in_ms", Millis)], NotYet),
    key("roles_cache_max_entries", Integer, "1000", &[], NotYet),
    key("roles_update_interval", Duration, "", &[("roles_update_interval_in_ms", Millis)], NotYet),
    key("roles_cache_active_update", Flag, "false", &[], NotYet),
    key("credentials_validity", Duration, "2s", &[("credentials_validity_in_ms", Millis)], NotYet),
    key("credentials_cache_max_entries", Integer, "1000", &[], NotYet),
    key("credentials_update_interval", Duration, "", &[("credentials_update_interval_in_ms", Millis)], NotYet),
    key("credentials_cache_active_update", Flag, "false", &[], NotYet),
    key("internode_authenticator", Class, "", &[], NotYetRefused),
    key("traverse_auth_from_root", Flag, "false", &[], NotYet),
    key("transparent_data_encryption_options", Tree, "", &[], NotYetRefused),
    key("server_encryption_options", Tree, "", &[], Effective("`internode_encryption` `none`, `dc`, `rack` or `all`; `optional`, `require_client_auth`, `require_endpoint_verification`, `outbound_keystore`. `keystore` and `truststore` are PEM files, as of Cassandra's `PEMBasedSslContextFactory`; TLS 1.2 and 1.3. With `dc` and `rack`, unencrypted connections are taken only from nodes known to be near.")),
    key("client_encryption_options", Tree, "", &[], Effective("`keystore` and `truststore` are PEM files, as of Cassandra's `PEMBasedSslContextFactory`; `optional` and `require_client_auth` work; TLS 1.2 and 1.3.")),
    key("audit_logging_options", Tree, "", &[], NotYetRefused),
    key("full_query_logging_options", Tree, "", &[], NotYet),
    key("auth_cache_warming_enabled", Flag, "false", &[], NotYet),
    key("auth_read_consistency_level", Text, "LOCAL_QUORUM", &[], NotYet),
    key("auth_write_consistency_level", Text, "EACH_QUORUM", &[], NotYet),
    key("partition_denylist_enabled", Flag, "false", &[], NotYetRefused),
    key("denylist_writes_enabled", Flag, "true", &[], NotYet),
    key("denylist_reads_enabled", Flag, "true", &[], NotYet),
    key("denylist_range_reads_enabled", Flag, "true", &[], NotYet),
    key("denylist_refresh", Duration, "600s", &[], NotYet),
    key("denylist_initial_load_retry", Duration, "5s", &[], NotYet),
    key("denylist_max_keys_per_table", Integer, "1000", &[], NotYet),
    key("denylist_max_keys_total", Integer, "10000", &[], NotYet),
    key("denylist_consistency_level", Text, "QUORUM", &[], NotYet),
];
