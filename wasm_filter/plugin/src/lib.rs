//! HFI's Envoy filter: host glue around the rule engine.
