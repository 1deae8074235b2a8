//! STARTUP, OPTIONS, REGISTER and logging in: what is about the connection and not about data.

use super::work::AfterWork;
use crate::auth;
use crate::client::{ClientId, Stage};
use crate::effects::{Effects, SlowWork};
use crate::reply::Reply;
use crate::shard::Shard;
use cql::frame::request::{Register, Request, Startup};
use cql::frame::response::{put_auth_success, put_authenticate, put_ready, put_supported};
use cql::frame::{ProtocolVersion, RequestFrame};
use model::error::RequestError;
use model::limits::SHARDING_IGNORE_MSB;
use model::time::Now;
use std::sync::Arc;

/// Milliseconds a login may take.
const LOGIN_TIMEOUT_MS: u64 = 10_000;

impl Shard {
    /// Serves a frame by what it asks and how far the connection has come.
    pub(crate) fn serve(
        &mut self,
        id: ClientId,
        frame: RequestFrame,
        reply: Reply,
        now: Now,
        out: &mut Effects,
    ) {
        let Some(client) = self.clients.get(&id) else {
            return;
        };
        let (stage, version) = (client.stage, reply.version);
        let message = match frame.message() {
            Ok(message) => message,
            Err(error) => {
                // The frame was whole, so the connection is still in step.
                return reply.error(out, &RequestError::Protocol(error.to_string()));
            }
        };
        match (&message.request, stage) {
            (Request::Options, _) => self.options(version, reply.stream, id, out),
            (Request::Startup(startup), Stage::Fresh) => self.startup(id, startup, &reply, out),
            (Request::AuthResponse(response), Stage::Authenticating) => {
                self.log_in(id, response.token, reply, now, out)
            }
            (Request::Register(register), Stage::Ready) => self.register(id, register, &reply, out),
            (
                Request::Query(_) | Request::Prepare(_) | Request::Execute(_) | Request::Batch(_),
                Stage::Ready,
            ) => {
                self.serve_request(id, &frame, message, reply, now, out);
            }
            (_, stage) => {
                let expected = match stage {
                    Stage::Fresh => "STARTUP or OPTIONS",
                    Stage::Authenticating => "SASL_RESPONSE",
                    Stage::Verifying => "no other until the login is answered",
                    Stage::Ready => "a request",
                };
                let message = format!(
                    "Unexpected message {}, expecting {expected}",
                    frame.header.opcode.name()
                );
                reply.error(out, &RequestError::Protocol(message));
            }
        }
    }

    fn options(&self, version: ProtocolVersion, stream: i16, id: ClientId, out: &mut Effects) {
        let mut more = vec![
            ("SCYLLA_SHARD", self.number.to_string()),
            ("SCYLLA_NR_SHARDS", self.config.shards.to_string()),
            (
                "SCYLLA_SHARDING_ALGORITHM",
                "biased-token-round-robin".to_owned(),
            ),
            (
                "SCYLLA_SHARDING_IGNORE_MSB",
                SHARDING_IGNORE_MSB.to_string(),
            ),
            (
                "SCYLLA_PARTITIONER",
                "org.apache.cassandra.dht.Murmur3Partitioner".to_owned(),
            ),
        ];
        if let Some(port) = self.config.shard_aware_port {
            more.push(("SCYLLA_SHARD_AWARE_PORT", port.to_string()));
        }
        out.respond(id, |buffer| {
            put_supported(buffer, version, stream, crate::system::CQL_VERSION, &more)
        });
    }

    fn startup(&mut self, id: ClientId, startup: &Startup<'_>, reply: &Reply, out: &mut Effects) {
        let compression = match startup.agree(reply.version) {
            Ok(compression) => compression,
            Err(error) => return reply.error(out, &RequestError::Protocol(error.to_string())),
        };
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        client.options = startup
            .options()
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let authenticates = self.config.password_authentication;
        client.stage = if authenticates {
            Stage::Authenticating
        } else {
            Stage::Ready
        };
        let (version, stream) = (reply.version, reply.stream);
        out.respond(id, |buffer| {
            if authenticates {
                put_authenticate(buffer, version, stream, auth::PASSWORD_AUTHENTICATOR);
            } else {
                put_ready(buffer, version, stream);
            }
        });
        out.started.push((id, compression));
    }

    fn register(&mut self, id: ClientId, register: &Register, reply: &Reply, out: &mut Effects) {
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        for event in register.events.iter().copied() {
            if !client.events.contains(&event) {
                client.events.push(event);
            }
        }
        out.respond(id, |buffer| put_ready(buffer, reply.version, reply.stream));
    }

    /// A login: the password is checked on a worker thread.
    fn log_in(
        &mut self,
        id: ClientId,
        token: Option<&[u8]>,
        reply: Reply,
        now: Now,
        out: &mut Effects,
    ) {
        let attempt = match auth::attempt(token.unwrap_or_default(), &self.schema) {
            Ok(attempt) => attempt,
            Err(error) => return reply.error(out, &error),
        };
        if let Some(client) = self.clients.get_mut(&id) {
            client.stage = Stage::Verifying;
        }
        let work = SlowWork::VerifyPassword {
            password: attempt.password,
            hash: attempt.hash,
        };
        let then = AfterWork::LogIn {
            client: id,
            user: attempt.user.into(),
            reply,
        };
        let deadline = now.boot.plus_millis(LOGIN_TIMEOUT_MS);
        self.order_work(work, then, deadline, out);
    }

    /// A login ended without its password being checked: the client may try again.
    pub(super) fn login_failed(&mut self, client: ClientId) {
        if let Some(client) = self.clients.get_mut(&client) {
            client.stage = Stage::Authenticating;
        }
    }

    /// The password was checked.
    pub(super) fn logged_in(
        &mut self,
        client: ClientId,
        user: &Arc<str>,
        password_fits: bool,
        reply: &Reply,
        out: &mut Effects,
    ) {
        if let Err(error) = auth::finish(user, password_fits, &self.schema) {
            self.login_failed(client);
            return reply.error(out, &error);
        }
        let Some(known) = self.clients.get_mut(&client) else {
            return;
        };
        known.stage = Stage::Ready;
        known.user = Some(user.clone());
        out.respond(client, |buffer| {
            put_auth_success(buffer, reply.version, reply.stream, None);
        });
    }
}
