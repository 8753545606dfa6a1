//! Calls of gRPC: `content-type: application/grpc` and a path of two parts.

use crate::request::{Request, RequestView};

/// A call of gRPC.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GrpcMatch {
    /// The service, with its package.
    pub service: Option<Box<str>>,
    /// The method.
    pub method: Option<Box<str>>,
}

impl GrpcMatch {
    pub(super) fn holds<V: RequestView>(&self, request: &Request<'_, V>) -> bool {
        let Some((service, method)) = call(request.path()) else { return false };
        let wanted = |wanted: &Option<Box<str>>, is: &[u8]| {
            wanted.as_ref().is_none_or(|wanted| wanted.as_bytes() == is)
        };
        // The path first: it is there already, and the header is a question to the host.
        wanted(&self.service, service) && wanted(&self.method, method) && is_grpc(request)
    }
}

/// Whether the request says that it is one of gRPC. In lower case and without parameters, as Envoy looks at it.
#[must_use]
pub fn is_grpc<V: RequestView>(request: &Request<'_, V>) -> bool {
    request.any_value("content-type", &mut |kind| {
        let more = kind.strip_prefix(b"application/grpc");
        more.is_some_and(|more| matches!(more.first(), None | Some(b'+')))
    })
}

/// `/service/method`.
fn call(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let path = path.strip_prefix(b"/")?;
    let mut parts = path.split(|byte| *byte == b'/');
    let (service, method) = (parts.next()?, parts.next()?);
    (parts.next().is_none() && !service.is_empty() && !method.is_empty()).then_some((service, method))
}
