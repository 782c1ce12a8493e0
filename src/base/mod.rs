//! The words everything else is written in: hosts, addresses, ids, units, refusals.
//!
//! Promises: no I/O, no clock, no allocation that its name does not announce.
//! Refuses: anything that would import another module of palisade.

pub mod audit;
mod capability;
mod client_ip;
mod cloudflare;
mod denial;
mod forwarded;
pub mod hex;
mod host;
pub mod path;
mod request_id;
mod role;
mod secret;
mod text;
pub mod timestamp;
pub mod units;
pub mod words;

pub use capability::{Capability, Mode, Override};
pub use client_ip::{ClientIp, IpKey, Said, TrustedProxies, unmapped};
pub use cloudflare::CLOUDFLARE;
pub use denial::{Broke, Denial, Queue};
pub use host::{Host, HostError};
pub use request_id::{RequestId, TEXT_LEN as REQUEST_ID_LEN};
pub use role::{APP_GROUP, CONTROL_GROUP, Role, Scope};
pub use secret::{Secret, SecretRef};
pub use text::{cut, escape_json, is_invisible, sign};
