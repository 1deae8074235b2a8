//! The table of paths: what the router and the OpenAPI document are made of, so that neither knows what the other does not.

use super::api::Shared;
use super::handlers;
use axum::Router;
use axum::routing::MethodRouter;

/// Methods the API knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Shows.
    Get,
    /// Does.
    Post,
    /// Sets.
    Put,
    /// Removes.
    Delete,
}

impl Method {
    /// As OpenAPI writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Post => "post",
            Self::Put => "put",
            Self::Delete => "delete",
        }
    }
}

/// A parameter of a query.
#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// What it says.
    pub about: &'static str,
    /// Whether there must be one.
    pub required: bool,
}

/// A parameter that may be left out.
pub const fn optional(name: &'static str, about: &'static str) -> Parameter {
    Parameter {
        name,
        about,
        required: false,
    }
}

/// A parameter that there must be.
pub const fn required(name: &'static str, about: &'static str) -> Parameter {
    Parameter {
        name,
        about,
        required: true,
    }
}

/// Whether a path may be read by anyone who reaches the port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It shows only what a scraper or load balancer needs.
    Anyone,
    /// Programs on this machine alone.
    Guarded,
}

/// A path and what is there.
pub struct Route {
    /// How it is asked.
    pub method: Method,
    /// Where.
    pub path: &'static str,
    /// What it does, in a line.
    pub about: &'static str,
    /// Parameters of its query.
    pub parameters: &'static [Parameter],
    /// Who may ask.
    pub access: Access,
    /// Who answers.
    pub handler: fn() -> MethodRouter<Shared>,
}

/// All of them.
pub fn all() -> impl Iterator<Item = &'static Route> {
    let tables = [
        handlers::node::ROUTES,
        handlers::cluster::ROUTES,
        handlers::ring::ROUTES,
        handlers::repair::ROUTES,
        handlers::handoff::ROUTES,
        handlers::tables::ROUTES,
        handlers::snapshots::ROUTES,
        handlers::control::ROUTES,
    ];
    tables.into_iter().flatten()
}

/// The router of the paths with this access.
pub fn router(access: Access) -> Router<Shared> {
    let routes = all().filter(|route| route.access == access);
    routes.fold(Router::new(), |router, route| {
        router.route(route.path, (route.handler)())
    })
}
