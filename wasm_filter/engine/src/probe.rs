//! Health checks are left alone unless a policy says otherwise (design, section 3, decision 8).

use crate::request::{Request, RequestView};

const KUBE_PROBE: &[u8] = b"kube-probe/";
const GRPC_HEALTH: &[u8] = b"/grpc.health.v1.Health/";

/// What counts as a probe beside the well-known ones: the paths named in the filter's bootstrap.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Probes {
    paths: Vec<Box<str>>,
}

/// Why a request is a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeKind {
    /// The kubelet's `user-agent: kube-probe/…`.
    Kubelet,
    /// A call to `grpc.health.v1.Health`.
    GrpcHealth,
    /// A path listed in the bootstrap.
    Path,
}

impl Probes {
    /// The well-known probes and these exact paths, which are compared without query and fragment.
    #[must_use]
    pub fn new<P: Into<Box<str>>>(paths: impl IntoIterator<Item = P>) -> Probes {
        Probes { paths: paths.into_iter().map(Into::into).collect() }
    }

    /// Which kind of probe the request is, if any.
    pub(crate) fn kind<V: RequestView>(&self, request: &Request<'_, V>) -> Option<ProbeKind> {
        let path = request.path();
        if path.starts_with(GRPC_HEALTH) {
            Some(ProbeKind::GrpcHealth)
        } else if self.paths.iter().any(|probe| probe.as_bytes() == path) {
            Some(ProbeKind::Path)
        } else if request.any_value("user-agent", &mut |agent| agent.starts_with(KUBE_PROBE)) {
            Some(ProbeKind::Kubelet)
        } else {
            None
        }
    }
}
