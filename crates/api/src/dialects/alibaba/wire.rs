//! The envelope: where a request's parameters may stand, and what answers look like. Knows no operation.

use super::VendorError;
use crate::dialects::native;
use crate::fault::Fault;
use crate::http::{Request, Response};
use axum::body::Body;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};

/// What every answer says it is.
const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/json;charset=utf-8");
/// Where the vendor explains its errors.
const TROUBLESHOOTING: &str = "https://api.aliyun.com/troubleshoot";

/// When a throttled client may ask again where nothing says it, in seconds.
const AGAIN_IN_S: u32 = 1;
/// Names of a flattened parameter; the vendor's own objects have four at most.
const MAX_DEPTH: usize = 16;
/// Entries of a flattened list; the vendor's own have a hundred at most.
const MAX_LIST: usize = 1000;
/// Entries of all lists of one flattened parameter, also those that nobody filled.
const MAX_SLOTS: usize = 10_000;

/// A request's parts as this vendor's SDKs use them.
pub(super) struct Call<'a> {
    /// The method's name.
    pub(super) method: &'a str,
    /// The query's parameters, decoded as form data.
    pub(super) query: Vec<(String, String)>,
    /// The form body's parameters.
    pub(super) form: Vec<(String, String)>,
    /// The body's bytes.
    pub(super) body: &'a [u8],
    headers: &'a HeaderMap,
    json: Map<String, Value>,
}

impl<'a> Call<'a> {
    /// Takes a request apart.
    pub(super) fn of(request: &'a Request) -> Result<Self, Fault> {
        let mut call = Self {
            method: request.method.as_str(),
            query: pairs(request.query.as_bytes()),
            form: if is_of_type(request, "application/x-www-form-urlencoded") {
                pairs(&request.body)
            } else {
                Vec::new()
            },
            body: &request.body,
            headers: &request.headers,
            json: Map::new(),
        };
        // The older scheme signs no JSON body: what it says could be anybody's.
        if call.is_v3() && is_of_type(request, "application/json") && !request.body.is_empty() {
            call.json = serde_json::from_slice(&request.body)
                .map_err(|_| Fault::Malformed { rule: String::from("the body must be a JSON object") })?;
        }
        native::no_zero_parameter(&call.query)?;
        native::no_zero_parameter(&call.form)?;
        native::no_zero_member(&call.json)?;
        Ok(call)
    }

    /// A header that is there and is text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The names of all headers, in lower case.
    pub(super) fn header_names(&self) -> impl Iterator<Item = &str> {
        self.headers.keys().map(HeaderName::as_str)
    }

    /// A header as it is signed: blanks around it cut, repeated ones sorted and joined with commas.
    pub(super) fn canonical_header(&self, name: &str) -> Option<String> {
        let values: Option<Vec<&str>> = self
            .headers
            .get_all(name)
            .iter()
            .map(|value| std::str::from_utf8(value.as_bytes()).ok().map(str::trim))
            .collect();
        let mut values = values.filter(|values| !values.is_empty())?;
        values.sort_unstable();
        Some(values.join(","))
    }

    /// A parameter that the older scheme signs: of the query, then of the form.
    pub(super) fn signed(&self, name: &str) -> Option<&str> {
        self.query.iter().chain(&self.form).find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// A parameter: query, then form body, then JSON body, the first that is there; an empty one counts as absent. An object
    /// may come flattened, as generic clients send it: `Config.LlmConfig.LlmHistory.1.Role=user`.
    pub(super) fn parameter(&self, name: &str) -> Option<String> {
        let mut given = self.query.iter().chain(&self.form).filter(|(given, text)| given == name && !text.is_empty());
        let text = match (given.next().map(|(_, text)| text), self.json.get(name)) {
            (Some(text), _) => text.clone(),
            (None, Some(Value::String(text))) => text.clone(),
            (None, None | Some(Value::Null)) => self.gathered(name)?.to_string(),
            (None, Some(other)) => other.to_string(),
        };
        Some(text).filter(|text| !text.is_empty())
    }

    /// The object whose members came one by one.
    fn gathered(&self, name: &str) -> Option<Value> {
        let (mut whole, mut slots) = (Value::Null, MAX_SLOTS);
        for (given, text) in self.query.iter().chain(&self.form) {
            if let Some(path) = given.strip_prefix(name).and_then(|rest| rest.strip_prefix('.')) {
                put(&mut whole, &mut slots, (path, text));
            }
        }
        (!whole.is_null()).then_some(whole)
    }

    /// A parameter that is true or false; Python's SDKs capitalise the words.
    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, Fault> {
        let Some(text) = self.parameter(name) else { return Ok(None) };
        match text.to_ascii_lowercase().as_str() {
            "true" => Ok(Some(true)),
            "false" => Ok(Some(false)),
            _ => Err(super::invalid(name, "must be true or false")),
        }
    }

    /// The operation's name, from the place that its signature covers.
    pub(super) fn action(&self) -> Option<&str> {
        if self.is_v3() { self.header("x-acs-action") } else { self.signed("Action") }
    }

    /// The API's version, from the place that its signature covers.
    pub(super) fn version(&self) -> Option<&str> {
        if self.is_v3() { self.header("x-acs-version") } else { self.signed("Version") }
    }

    /// Whether the operation is named the way of the newer scheme, and nothing of either scheme says who asks.
    pub(super) fn lacks_authorization(&self) -> bool {
        let older = ["Action", "AccessKeyId", "Signature"];
        self.headers.contains_key("x-acs-action")
            && !self.is_v3()
            && older.iter().all(|name| self.signed(name).is_none())
    }

    fn is_v3(&self) -> bool {
        self.headers.contains_key(header::AUTHORIZATION)
    }
}

/// Puts a text to its place in an object: names between dots, places in a list from 1. What does not fit to what is there
/// already is left out, as of two parameters of one name the second is; so is what would make lists longer than `slots`.
fn put(whole: &mut Value, slots: &mut usize, (path, text): (&str, &str)) {
    let mut place = whole;
    for part in path.splitn(MAX_DEPTH, '.') {
        let at = part.parse::<usize>().ok().filter(|at| (1..=MAX_LIST).contains(at));
        if place.is_null() {
            *place = if at.is_some() { json!([]) } else { json!({}) };
        }
        place = match (place, at) {
            (Value::Array(items), Some(at)) => {
                let more = at.saturating_sub(items.len());
                if more > *slots {
                    return;
                }
                *slots -= more;
                items.resize(at.max(items.len()), Value::Null);
                &mut items[at - 1]
            }
            (Value::Object(members), _) => members.entry(part).or_insert(Value::Null),
            _ => return,
        };
    }
    if place.is_null() {
        *place = Value::String(text.to_owned());
    }
}

/// Whether a request bears this vendor's signs: its headers, its scheme, its key's name, its nonce's or its version among the
/// parameters; one that lacks the others is told so in this vendor's words. Several vendors share `POST /`.
pub(super) fn bears_signs(request: &Request) -> bool {
    let authorization = request.header("authorization").unwrap_or_default();
    if request.headers.contains_key("x-acs-action") || authorization.starts_with("ACS3-") {
        return true;
    }
    let mut given = pairs(request.query.as_bytes());
    if is_of_type(request, "application/x-www-form-urlencoded") {
        given.extend(pairs(&request.body));
    }
    let is_sign = |(name, value): &(String, String)| match name.as_str() {
        "AccessKeyId" | "SignatureNonce" => true,
        "Version" => value == super::VERSION,
        _ => false,
    };
    given.iter().any(is_sign)
}

fn pairs(text: &[u8]) -> Vec<(String, String)> {
    form_urlencoded::parse(text).into_owned().collect()
}

fn is_of_type(request: &Request, wanted: &str) -> bool {
    let essence = request.header("content-type").and_then(|value| value.split(';').next()).unwrap_or_default();
    essence.trim().eq_ignore_ascii_case(wanted)
}

/// The answer to an operation that was carried out: its members and the request's id.
pub(super) fn success(request: &Request, mut body: Value) -> Response {
    body["RequestId"] = json!(request_id(request));
    response(request, StatusCode::OK, &body)
}

/// The answer to one that was not.
pub(super) fn failure(request: &Request, error: &VendorError) -> Response {
    let id = request_id(request);
    let recommend =
        format!("{TROUBLESHOOTING}?q={}&product=ICE&requestId={id}", crate::sign::percent_encoded(&error.code));
    let body = json!({
        "RequestId": id,
        "HostId": request.header("host").unwrap_or_default(),
        "Code": error.code,
        "Message": error.message,
        "Recommend": recommend,
    });
    let mut answer = response(request, error.status, &body);
    if error.code.starts_with("Throttling") {
        // The SDKs know by it that they may ask again, and when.
        let wait = HeaderValue::from(error.again_in_s.unwrap_or(AGAIN_IN_S) * 1000);
        answer.headers_mut().insert(HeaderName::from_static("x-acs-retry-after"), wait);
    }
    if error.status == StatusCode::METHOD_NOT_ALLOWED {
        answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static(super::METHODS));
    }
    if let Some(seconds) = error.again_in_s {
        answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    answer
}

fn request_id(request: &Request) -> String {
    request.uuid().to_ascii_uppercase()
}

fn response(request: &Request, status: StatusCode, body: &Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, CONTENT_TYPE);
    if let Ok(id) = HeaderValue::try_from(request_id(request)) {
        response.headers_mut().insert(HeaderName::from_static("x-acs-request-id"), id);
    }
    response
}
