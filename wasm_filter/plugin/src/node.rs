//! Who this Envoy is, from its bootstrap.

use hfi_engine::sync::poll::Node;

use crate::host;
use crate::pairs::pairs;

/// Node id, cluster, and the labels under `hfi.labels` in the node's metadata.
pub fn identity() -> Node {
    Node { id: text("id"), cluster: text("cluster"), labels: labels() }
}

fn text(field: &str) -> String {
    let value = host::property(&["node", field]).unwrap_or_default();
    String::from_utf8_lossy(&value).into_owned()
}

/// The host serialises a struct of strings as pairs. A label that is no string comes as the bytes of its number,
/// which is why only printable text counts.
fn labels() -> Vec<(String, String)> {
    let serialised = host::property(&["node", "metadata", "hfi", "labels"]).unwrap_or_default();
    pairs(&serialised).filter_map(|(key, value)| Some((printable(key)?, printable(value)?))).collect()
}

fn printable(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    (!text.contains(char::is_control)).then(|| text.to_owned())
}
