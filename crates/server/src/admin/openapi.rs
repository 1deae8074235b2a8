//! The OpenAPI document of the API, made of the table of paths.

use super::routes::{Route, all};
use serde_json::{Map, Value, json};

/// The document.
pub fn document() -> Value {
    let mut paths = Map::new();
    for route in all() {
        let entry = paths.entry(route.path).or_insert_with(|| json!({}));
        entry[route.method.name()] = operation(route);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Helenus admin API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What one node of Helenus shows of itself and of its cluster, and what an operator can have it do.",
        },
        "paths": paths,
        "components": {
            "schemas": {
                "Error": {
                    "type": "object",
                    "required": ["error"],
                    "properties": { "error": { "type": "string" } },
                },
            },
        },
    })
}

fn operation(route: &Route) -> Value {
    let parameters: Vec<Value> = route.parameters.iter().map(parameter).collect();
    let error = |about: &str| {
        json!({
            "description": about,
            "content": {
                "application/json": { "schema": { "$ref": "#/components/schemas/Error" } },
            },
        })
    };
    let mut responses = json!({
        "200": { "description": "What was asked for, or that it is done." },
    });
    if route.path.starts_with("/api/") {
        responses["400"] = error("It makes no sense: the text says why.");
        responses["403"] = json!({ "description": "Refused: see the text." });
        responses["500"] = error("It went wrong.");
    }
    json!({
        "summary": route.about,
        "parameters": parameters,
        "responses": responses,
    })
}

fn parameter(parameter: &super::routes::Parameter) -> Value {
    json!({
        "name": parameter.name,
        "in": "query",
        "required": parameter.required,
        "description": parameter.about,
        "schema": { "type": "string" },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_path_is_documented_once_with_what_it_takes() {
        let document = document();
        let mut known = BTreeSet::new();
        for route in all() {
            let key = (route.path, route.method.name());
            assert!(known.insert(key), "{key:?} twice");
            let operation = &document["paths"][route.path][route.method.name()];
            assert_eq!(operation["summary"], route.about);
            let parameters = operation["parameters"].as_array().unwrap();
            assert_eq!(parameters.len(), route.parameters.len());
            assert!(route.about.len() > 10 && !route.about.ends_with('.'));
        }
        let documented = document["paths"].as_object().unwrap().values();
        let documented: usize = documented.map(|path| path.as_object().unwrap().len()).sum();
        assert_eq!(documented, known.len());
    }
}
