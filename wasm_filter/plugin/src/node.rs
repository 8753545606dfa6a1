//! Who this Envoy is, from its bootstrap.

use hfi_engine::sync::poll::Node;

use crate::host;
use crate::pairs::pairs;

/// Node id, cluster, and the labels under `hfi.labels` in the node's metadata.
pub fn identity() -> Node {
    Node { id: text("id"), cluster: text("cluster"), labels: labels() }
}

fn text(field: &str) -> String {
    String::from_utf8_lossy(&attribute(&[field])).into_owned()
}

/// A field of the node. It is under `xds` in today's Envoy (1.40), and was not in those that many people run.
fn attribute(field: &[&str]) -> Vec<u8> {
    let path = |prefix: &[&str]| host::property(&[prefix, field].concat());
    path(&["xds", "node"]).or_else(|| path(&["node"])).unwrap_or_default()
}

/// The host serialises a struct of strings as pairs. A label that is no string comes as the bytes of its number,
/// which is why only printable text counts.
fn labels() -> Vec<(String, String)> {
    pairs(&attribute(&["metadata", "hfi", "labels"]))
        .filter_map(|(key, value)| Some((printable(key)?, printable(value)?)))
        .collect()
}

fn printable(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    (!text.contains(char::is_control)).then(|| text.to_owned())
}
