//! What names look like: Kubernetes' for policies and labels, HTTP's for methods and headers.

/// DNS-1123 subdomain: `checkout-outage.team-a`.
pub(crate) fn is_dns_subdomain(text: &str) -> bool {
    let label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        label.bytes().all(inner) && ends_well(label)
    };
    text.len() <= 253 && text.split('.').all(label)
}

/// A rule's name, and the name part of a label key: `slow-then-503`, `R.2_b`.
pub(crate) fn is_qualified_name(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    text.len() <= 63 && text.bytes().all(inner) && ends_well(text)
}

/// `track`, or `example.com/track`.
pub(crate) fn is_label_key(text: &str) -> bool {
    match text.rsplit_once('/') {
        Some((prefix, name)) => is_dns_subdomain(prefix) && is_qualified_name(name),
        None => is_qualified_name(text),
    }
}

/// A label's value, which may be empty.
pub(crate) fn is_label_value(text: &str) -> bool {
    text.is_empty() || is_qualified_name(text)
}

/// Not empty, and the first and the last are letters or digits.
fn ends_well(text: &str) -> bool {
    let good = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    good(text.as_bytes().first()) && good(text.as_bytes().last())
}

/// A token of RFC 9110, section 5.6.2.
pub(crate) fn is_token(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(good)
}

/// A method that some request may have: methods are case-sensitive, and in upper case.
pub(crate) fn is_method(text: &str) -> bool {
    is_token(text) && !text.bytes().any(|byte| byte.is_ascii_lowercase())
}

/// A header that a rule may look at; `:authority` and its like are among them.
pub(crate) fn is_matchable_header(text: &str) -> bool {
    is_token(text.strip_prefix(':').unwrap_or(text))
}

/// What a header may hold (RFC 9110, section 5.5). Anything else could split the response.
pub(crate) fn is_header_value(text: &str) -> bool {
    text.chars().all(|char| char == '\t' || (char >= ' ' && char != '\u{7f}'))
}

/// A service of gRPC, with its package: `shop.v1.Cart`.
pub(crate) fn is_grpc_service(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.".contains(&byte))
}

/// A method of such a service.
pub(crate) fn is_grpc_method(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// A header that no rule may change: the message would then be another than its framing says, or reach somebody
/// else. Those that are about one connection alone (RFC 9113, section 8.2.2) would break HTTP/2.
pub(crate) fn is_bound_header(text: &str) -> bool {
    const BOUND: [&str; 8] = [
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "upgrade",
    ];
    BOUND.iter().any(|bound| text.eq_ignore_ascii_case(bound))
}
