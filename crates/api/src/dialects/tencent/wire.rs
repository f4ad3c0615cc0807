//! The envelope: where a request's parameters may stand, and what answers look like. Every answer is 200 and exactly
//! `application/json`: the vendor's SDKs read nothing else. Knows no operation.

use super::words::VendorError;
use crate::dialects::native;
use crate::fault::Fault;
use crate::http::{Request, Response};
use axum::body::Body;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use serde_json::{Map, Value, json};

/// What every answer says it is. One of the SDKs takes an answer with a charset behind it for a success.
const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/json");
/// Parameters of the older schemes that belong to no operation.
const COMMON: [&str; 11] = [
    "Action",
    "Version",
    "Timestamp",
    "Nonce",
    "SecretId",
    "SignatureMethod",
    "Signature",
    "Region",
    "Token",
    "Language",
    "RequestClient",
];
/// Longest query (vendor: 32 KB).
const MAX_QUERY: usize = 32 * 1024;
/// Longest body of a request with the newer signature (vendor: 10 MB).
const MAX_BODY: usize = 10 * 1024 * 1024;
/// The language of messages that is not English.
const CHINESE: &str = "zh-CN";
/// How deep flattened names may nest; the deepest parameter has three levels.
const MAX_DEPTH: usize = 8;
/// Most flattened parameters.
const MAX_FLAT: usize = 20_000;

/// A request's parts as this vendor's SDKs use them.
pub(super) struct Call<'a> {
    request: &'a Request,
    /// Parameters as `Name.0.Member=value`, decoded: of the query, or of a form body.
    flat: Vec<(String, String)>,
}

impl<'a> Call<'a> {
    /// Takes a request apart. The query of a POST is not signed and therefore not read.
    pub(super) fn of(request: &'a Request) -> Result<Self, VendorError> {
        let source = if request.method == Method::GET {
            if request.query.len() > MAX_QUERY {
                return Err(VendorError::too_large(MAX_QUERY));
            }
            request.query.as_bytes()
        } else if is_form(request) {
            &request.body[..]
        } else {
            b""
        };
        let flat: Vec<_> = form_urlencoded::parse(source).into_owned().take(MAX_FLAT + 1).collect();
        if flat.len() > MAX_FLAT {
            return Err(VendorError::wrong_type("parameters", "there are too many"));
        }
        native::no_zero_parameter(&flat)?;
        Ok(Self { request, flat })
    }

    /// A header that is there and is text.
    pub(super) fn header(&self, name: &str) -> Option<&'a str> {
        self.request.header(name)
    }

    pub(super) fn method(&self) -> &str {
        self.request.method.as_str()
    }

    pub(super) fn is_get(&self) -> bool {
        self.request.method == Method::GET
    }

    /// The query as it came.
    pub(super) fn query(&self) -> &str {
        &self.request.query
    }

    pub(super) fn body(&self) -> &[u8] {
        &self.request.body
    }

    /// Whether parameters come flattened.
    pub(super) fn is_flat(&self) -> bool {
        self.is_get() || is_form(self.request)
    }

    /// Whether a request without `Authorization` is of the older schemes, which have everything among the parameters: what it
    /// lacks is named in the words of its own scheme.
    pub(super) fn is_older(&self) -> bool {
        if self.flat.iter().any(|(name, _)| matches!(name.as_str(), "SecretId" | "Signature")) {
            return true;
        }
        let newer = ["x-tc-action", "x-tc-version", "x-tc-timestamp"];
        if newer.iter().any(|name| self.header(name).is_some()) {
            return false;
        }
        let mut query = form_urlencoded::parse(self.query().as_bytes()).take(MAX_FLAT);
        self.is_flat() || query.any(|(name, _)| COMMON.contains(&&*name))
    }

    /// Flattened parameters, in the order in which they came.
    pub(super) fn flat(&self) -> &[(String, String)] {
        &self.flat
    }

    /// The host as it may have been signed: as it came, and without its port.
    pub(super) fn hosts(&self) -> Vec<&str> {
        let host = self.header("host").unwrap_or_default().trim();
        let bare = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
        [Some(host), bare.map(|(bare, _)| bare)].into_iter().flatten().collect()
    }

    /// A common parameter: of the headers in the newer scheme, among the others in the older ones.
    pub(super) fn common(&self, header: &str, name: &str) -> Option<&str> {
        let value = match self.header("authorization") {
            Some(_) => self.header(header),
            None => self.flat.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str()),
        };
        value.filter(|value| !value.is_empty())
    }

    /// The operation's parameters as one object, whichever way they came.
    pub(super) fn parameters(&self) -> Result<Map<String, Value>, VendorError> {
        if self.is_flat() {
            let of_operation = |name: &str| self.header("authorization").is_some() || !COMMON.contains(&name);
            return unflattened(self.flat.iter().filter(|(name, _)| of_operation(name)));
        }
        if self.request.body.is_empty() {
            return Ok(Map::new());
        }
        let given = serde_json::from_slice(&self.request.body);
        let given = given.map_err(|_| VendorError::wrong_type("body", "must be a JSON object"))?;
        native::no_zero_member(&given).map_err(in_own_words)?;
        Ok(given)
    }
}

/// Places in lists are told as this vendor tells them: `Callees.3`.
fn in_own_words(fault: Fault) -> Fault {
    match fault {
        Fault::Invalid { field, rule } => Fault::Invalid { field: field.replace('[', ".").replace(']', ""), rule },
        other => other,
    }
}

/// `Callers.0=1&Variables.0.Key=k` as `{"Callers": ["1"], "Variables": [{"Key": "k"}]}`.
fn unflattened<'a>(pairs: impl Iterator<Item = &'a (String, String)>) -> Result<Map<String, Value>, VendorError> {
    let mut root = Map::new();
    for (name, value) in pairs {
        let segments: Vec<&str> = name.split('.').collect();
        let malformed = || VendorError::unknown_parameter(name);
        let Some((last, path)) = segments.split_last().filter(|(_, path)| path.len() < MAX_DEPTH) else {
            return Err(malformed());
        };
        let mut place = &mut root;
        for segment in path {
            let inner = place.entry((*segment).to_owned()).or_insert_with(|| Value::Object(Map::new()));
            let Value::Object(members) = inner else { return Err(malformed()) };
            place = members;
        }
        if place.insert((*last).to_owned(), json!(value)).is_some() {
            return Err(malformed());
        }
    }
    Ok(root.into_iter().map(|(name, value)| (name, listed(value))).collect())
}

/// Objects whose members are named 0, 1, 2, … are lists.
fn listed(value: Value) -> Value {
    let Value::Object(members) = value else { return value };
    let count = members.len();
    let is_list = (0..count).all(|at| members.contains_key(&at.to_string()));
    if count > 0 && is_list {
        let mut items: Vec<(usize, Value)> =
            members.into_iter().map(|(at, value)| (at.parse().unwrap_or(count), listed(value))).collect();
        items.sort_unstable_by_key(|(at, _)| *at);
        return items.into_iter().map(|(_, value)| value).collect();
    }
    Value::Object(members.into_iter().map(|(name, value)| (name, listed(value))).collect())
}

/// The longest body of a request with the newer signature; others are as long as everybody's.
pub(super) fn longest_body(request: &Request) -> Option<usize> {
    let newer = request.header("authorization").is_some_and(|text| text.starts_with("TC3-"));
    (newer && request.path == "/" && request.method == Method::POST).then_some(MAX_BODY)
}

/// Whether a request wants to be answered in Chinese: by a header with the newer signature, by a parameter with the older ones.
fn wants_chinese(request: &Request) -> bool {
    if let Some(language) = request.header("x-tc-language") {
        return language.eq_ignore_ascii_case(CHINESE);
    }
    let source = if is_form(request) { &request.body[..] } else { request.query.as_bytes() };
    let mut given = form_urlencoded::parse(source).take(MAX_FLAT);
    given.find(|(name, _)| name == "Language").is_some_and(|(_, language)| language.eq_ignore_ascii_case(CHINESE))
}

/// Whether a request bears this vendor's signs: its headers, its scheme, its key's name or its version among the parameters,
/// or the beginning of its host's name; one that lacks the others is told so in this vendor's words. Several vendors share
/// `POST /`.
pub(super) fn bears_signs(request: &Request) -> bool {
    let authorization = request.header("authorization").unwrap_or_default();
    let host = request.header("host").unwrap_or_default();
    if request.headers.contains_key("x-tc-action")
        || request.headers.contains_key("x-tc-version")
        || authorization.starts_with("TC3-")
        || host.starts_with("ccc.")
    {
        return true;
    }
    let source = if is_form(request) { &request.body[..] } else { request.query.as_bytes() };
    form_urlencoded::parse(source)
        .take(MAX_FLAT)
        .any(|(name, value)| name == "SecretId" || (name == "Version" && value == super::VERSION))
}

fn is_form(request: &Request) -> bool {
    let essence = request.header("content-type").and_then(|value| value.split(';').next()).unwrap_or_default();
    request.method != Method::GET && essence.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// The answer to an operation that was carried out: its members and the request's id.
pub(super) fn success(request: &Request, mut members: Value) -> Response {
    members["RequestId"] = json!(request.uuid());
    response(request, &json!({ "Response": members }))
}

/// The answer to one that was not.
pub(super) fn failure(request: &Request, error: &VendorError) -> Response {
    let message = if wants_chinese(request) { error.in_chinese() } else { error.message.clone() };
    let error = json!({"Code": error.code, "Message": message});
    response(request, &json!({"Response": {"Error": error, "RequestId": request.uuid()}}))
}

fn response(request: &Request, body: &Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = StatusCode::OK;
    response.headers_mut().insert(header::CONTENT_TYPE, CONTENT_TYPE);
    // One of the SDKs shows it in the text of its exceptions.
    if let Some(trace) = request.headers.get("x-tc-traceid") {
        response.headers_mut().insert(HeaderName::from_static("x-tc-traceid"), trace.clone());
    }
    response
}
