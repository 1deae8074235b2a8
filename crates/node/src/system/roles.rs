//! `system_auth`: the roles of the schema, as Cassandra would have stored them.

use super::rows::Rows;
use super::values::{boolean, text, texts};
use super::view::NodeView;

pub(super) fn roles(view: &NodeView<'_>, rows: &mut Rows<'_>) {
    for role in view.schema.roles.values() {
        let member_of = (!role.member_of.is_empty()).then(|| texts(&role.member_of));
        rows.row()
            .set("role", text(&role.name))
            .set("can_login", boolean(role.login))
            .set("is_superuser", boolean(role.superuser))
            .set("member_of", member_of)
            .set("salted_hash", role.salted_hash.as_ref().map(text))
            .add();
    }
}

pub(super) fn role_members(view: &NodeView<'_>, rows: &mut Rows<'_>) {
    for member in view.schema.roles.values() {
        for role in &member.member_of {
            rows.row()
                .set("role", text(role))
                .set("member", text(&member.name))
                .add();
        }
    }
}
