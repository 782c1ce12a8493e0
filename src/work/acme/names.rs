//! Names for the connections to the CA, through the port that everything else asks too.

use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::dns::Name;
use tower_service::Service;

use crate::ports::{self, Resolver};

/// [`Resolver`] in the shape that hyper asks for.
#[derive(Clone)]
pub struct Names(pub Arc<dyn Resolver>);

/// A name that did not resolve; found again in the chain of causes.
#[derive(Debug)]
pub struct Unresolved {
    pub name: String,
    pub why: ports::Unresolved,
}

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} does not resolve: {}", self.name, self.why)
    }
}

impl std::error::Error for Unresolved {}

impl Service<Name> for Names {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = Unresolved;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Unresolved>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Unresolved>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let resolver = Arc::clone(&self.0);
        Box::pin(async move {
            let unresolved = |why| Unresolved { name: name.to_string(), why };
            // The port is put in by the connector.
            let found = resolver.resolve(name.as_str()).await.map_err(unresolved)?;
            let found: Vec<SocketAddr> =
                found.addresses.into_iter().map(|ip| SocketAddr::new(ip, 0)).collect();
            Ok(found.into_iter())
        })
    }
}
