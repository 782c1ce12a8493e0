//! The OpenAPI 3.1 document of every call, made from the list of calls and the types that they speak.
//!
//! Promises: what it says is what the routers do, since both read `calls`; it is the same at every door.
//! Bounds: made once for each door, when it is first asked for; some 100 KiB.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use axum::Extension;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::api::access::{ELEVATION_HEADER, TOTP_HEADER, TOTP_REQUIRED, TOTP_WRONG};
use super::api::{API_HEADER, API_VERSION, Problem, VERSION_HEADER};
use super::caller::Door;
use super::calls::{Answers, CALLS, Call, SchemaOf};
use super::queries::{Kind, Parameter};
use crate::base::Scope;

const PROBLEM: &str = "application/problem+json";
const SCHEMAS: &str = "/components/schemas";

/// The document as bytes, once somebody has asked for it.
#[derive(Clone, Default)]
pub(super) struct Document(Arc<OnceLock<Bytes>>);

/// `GET /v1/openapi.json`
pub(super) async fn document(Extension(document): Extension<Document>) -> Response {
    let bytes = document.0.get_or_init(|| made().to_string().into());
    ([(CONTENT_TYPE, "application/json")], bytes.clone()).into_response()
}

/// Schemas of what comes in may leave out what has a default; those of what goes out name every field.
struct Schemas {
    taken: SchemaGenerator,
    answered: SchemaGenerator,
}

impl Schemas {
    fn new() -> Self {
        let settings = SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = SCHEMAS.into();
            settings.meta_schema = None;
        });
        Self {
            taken: settings.clone().for_deserialize().into_generator(),
            answered: settings.for_serialize().into_generator(),
        }
    }

    fn taken(&mut self, schema: SchemaOf) -> Value {
        schema(&mut self.taken).to_value()
    }

    fn answered(&mut self, schema: SchemaOf) -> Value {
        schema(&mut self.answered).to_value()
    }

    fn all(mut self) -> Map<String, Value> {
        let mut all = self.taken.take_definitions(true);
        all.extend(self.answered.take_definitions(true));
        for schema in all.values_mut() {
            without_links(schema);
        }
        all
    }
}

/// Comments name other types as links, which lead nowhere from here.
fn without_links(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if name == "description" => {
                        *text = text.replace("[`", "`").replace("`]", "`").replace('\n', " ");
                    }
                    _ => without_links(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(without_links),
        _ => {}
    }
}

fn made() -> Value {
    let mut schemas = Schemas::new();
    let problem = schemas.answered(|generator| generator.subschema_for::<Problem>());
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for call in CALLS {
        let method = call.method.as_str().to_ascii_lowercase();
        paths.entry(call.path).or_default().insert(method, operation(call, &mut schemas));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "palisade",
            "version": env!("CARGO_PKG_VERSION"),
            "description": format!(
                "Version {API_VERSION} of the API, which every answer names in `{API_HEADER}`; `{VERSION_HEADER}` \
                 has the version of the daemon. Within one version of the API fields are added, never renamed or \
                 removed: leave aside what you do not know. Every refusal is a problem document (RFC 9457). \
                 `x-palisade-doors` says where a call is answered: on the control socket, on the app's socket, on \
                 the ops address. `x-palisade-role` is the weakest role that may make it; a token may be limited to \
                 scopes, which are the tags. `x-palisade-confirm` marks calls that want a second factor once there \
                 is one."
            ),
            "license": { "name": "Apache-2.0 OR MIT", "identifier": "Apache-2.0 OR MIT" },
        },
        "servers": [
            { "url": "http://127.0.0.1:9180", "description": "The ops address (listen.ops)" },
            {
                "url": "http://localhost",
                "description": "A Unix socket (listen.control, listen.app): curl --unix-socket PATH http://localhost/…",
            },
        ],
        "tags": Scope::ALL.map(|scope| json!({ "name": scope.word() })),
        "paths": paths,
        "components": {
            "schemas": schemas.all(),
            "responses": { "Problem": answer(OTHER, PROBLEM, &problem) },
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description":
                        "On the ops address: a token of `palisade token create`. On a Unix socket no token is wanted: \
                         the kernel says which user asks.",
                },
            },
        },
    })
}

fn operation(call: &Call, schemas: &mut Schemas) -> Value {
    let mut operation = json!({
        "operationId": call.name,
        "summary": call.summary,
        "tags": [call.scope.word()],
        "parameters": parameters(call),
        "responses": responses(call, schemas),
        "security": if wants_token(call) { json!([{ "bearer": [] }]) } else { json!([]) },
        "x-palisade-doors": call.doors.iter().map(|door| word(*door)).collect::<Vec<_>>(),
        "x-palisade-role": call.role.word(),
        "x-palisade-confirm": call.confirm,
    });
    if let (Some(taken), Some(fields)) = (call.takes, operation.as_object_mut()) {
        let content = json!({ "application/json": { "schema": schemas.taken(taken) } });
        fields.insert("requestBody".into(), json!({ "required": true, "content": content }));
    }
    operation
}

fn wants_token(call: &Call) -> bool {
    call.doors.contains(&Door::Ops) && !call.open
}

const fn word(door: Door) -> &'static str {
    match door {
        Door::Control => "control",
        Door::App => "app",
        Door::Ops => "ops",
    }
}

fn parameters(call: &Call) -> Vec<Value> {
    let names = call.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let named = names.map(|name| {
        let schema = json!({ "type": "string" });
        json!({ "name": name, "in": "path", "required": true, "description": call.of, "schema": schema })
    });
    let proofs = [
        (TOTP_HEADER, "A code of a second factor, where there is one"),
        (ELEVATION_HEADER, "In place of a code: what POST /v1/elevation gave"),
    ];
    let proofs = proofs.iter().filter(|_| call.confirm).map(|(name, about)| {
        let schema = json!({ "type": "string" });
        json!({ "name": name, "in": "header", "description": about, "schema": schema })
    });
    named.chain(call.query.iter().map(in_query)).chain(proofs).collect()
}

fn in_query(parameter: &Parameter) -> Value {
    let (schema, explode) = match parameter.kind {
        Kind::Text => (json!({ "type": "string" }), None),
        Kind::Whole(from, u64::MAX) => (json!({ "type": "integer", "minimum": from }), None),
        Kind::Whole(from, to) => {
            (json!({ "type": "integer", "minimum": from, "maximum": to, "default": to }), None)
        }
        Kind::TimeMs => (json!({ "type": "integer", "format": "int64" }), None),
        Kind::Word(words) => (json!({ "type": "string", "enum": words }), None),
        Kind::Words(words) => {
            let word = json!({ "type": "string", "enum": words });
            (json!({ "type": "array", "items": word, "minItems": 1 }), Some(false))
        }
        Kind::Status => {
            (json!({ "type": "string", "pattern": "^([1-5]xx|[1-5][0-9][0-9])$" }), None)
        }
        Kind::Address => {
            let address = [json!({ "format": "ipv4" }), json!({ "format": "ipv6" })];
            (json!({ "type": "string", "anyOf": address }), None)
        }
        Kind::Texts => (json!({ "type": "array", "items": { "type": "string" } }), Some(true)),
    };
    let mut value = json!({
        "name": parameter.name,
        "in": "query",
        "required": parameter.required,
        "description": parameter.about,
        "schema": schema,
    });
    if let (Some(explode), Some(fields)) = (explode, value.as_object_mut()) {
        fields.insert("style".into(), "form".into());
        fields.insert("explode".into(), explode.into());
    }
    value
}

fn answer(about: &str, media_type: &str, schema: &Value) -> Value {
    json!({ "description": about, "content": { media_type: { "schema": schema } } })
}

const OTHER: &str =
    "Any other refusal, as a problem document: `title` says what, `detail` why and what to do";
/// Calls that take a code in their body.
const CODES: [&str; 2] = ["activate_totp", "elevate"];

/// Several reasons may have one status.
fn responses(call: &Call, schemas: &mut Schemas) -> BTreeMap<String, Value> {
    let (media_type, schema) = match call.answers {
        Answers::Json(schema) => ("application/json", schemas.answered(schema)),
        Answers::Lines(schema) => ("application/x-ndjson", schemas.answered(schema)),
        Answers::Text(media_type) => (media_type, json!({ "type": "string" })),
    };
    let about = match call.answers {
        Answers::Lines(_) => "One JSON object per line, until the client or the daemon ends it",
        Answers::Json(_) | Answers::Text(_) => "Done",
    };
    let problem = schemas.answered(|generator| generator.subschema_for::<Problem>());
    let mut why: BTreeMap<u16, Vec<String>> = BTreeMap::new();
    for (status, about) in gate(call).into_iter().chain(call.refuses.iter().copied()) {
        why.entry(status).or_default().push(about.to_owned());
    }
    if call.confirm {
        let text = format!("A second factor is wanted: the type is `{TOTP_REQUIRED}`");
        why.entry(403).or_default().push(text);
    }
    if call.confirm || CODES.contains(&call.name) {
        why.entry(403).or_default().push(format!("The code is wrong: the type is `{TOTP_WRONG}`"));
        why.entry(429)
            .or_default()
            .push("Too many codes were wrong; `detail` says how long to wait".into());
    }
    let refusals = why
        .into_iter()
        .map(|(status, about)| (status.to_string(), answer(&about.join(". "), PROBLEM, &problem)));
    let other = json!({ "$ref": "#/components/responses/Problem", "description": OTHER });
    let whole = [("200".to_owned(), answer(about, media_type, &schema)), ("default".into(), other)];
    refusals.chain(whole).collect()
}

/// What is refused before the call, or while it is read.
fn gate(call: &Call) -> Vec<(u16, &'static str)> {
    let mut refusals = vec![(403, "Whoever asks may not, or a web page asks")];
    if wants_token(call) {
        refusals.push((401, "On the ops address: no token, or none that counts"));
    }
    if !call.query.is_empty() {
        refusals.push((400, "The query has a name or a value that is none"));
    }
    if !call.of.is_empty() {
        refusals.push((400, "The name in the path is not UTF-8"));
    }
    if call.takes.is_some() {
        refusals.push((400, "The body is not what the call takes"));
        refusals.push((408, "The body did not arrive"));
        refusals.push((StatusCode::PAYLOAD_TOO_LARGE.as_u16(), "The body is larger than 2 MiB"));
    }
    refusals
}

#[cfg(test)]
#[path = "openapi_tests.rs"]
mod tests;
