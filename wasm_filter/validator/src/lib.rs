//! HFI's rule engine as a WebAssembly module without imports.
