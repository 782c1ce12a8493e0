//! The program as its operators and their visitors meet it: the real binary, real sockets on loopback, real clients.
//!
//! Every test starts its own daemon on free ports in its own directory and waits for events, never for time.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test ends with the first thing that is not as it should be, and says what it saw"
)]

mod support;

mod access;
mod acme_crash;
mod acme_issue;
mod acme_manager;
mod acme_b;
mod acme_peers;
mod acme_refused;
mod acme_stays;
mod acme_unwritable;
mod activation;
mod activity;
mod audit;
mod capability;
mod certificates;
mod clients;
mod config;
mod deadlines;
mod demo;
mod dns;
mod drain;
mod grpc;
mod early;
mod fuzz;
mod h2_attacks;
mod hidden_errors;
mod health;
mod hostile;
mod intake;
mod live;
mod machine;
mod openapi;
mod ops;
mod overload;
mod parking;
mod pool;
mod proxy;
mod proxy_protocol;
mod raw;
mod reload;
mod reload_load;
mod run;
mod slow;
mod smuggling;
mod sites;
mod skew;
mod tidy;
mod tls;
mod top;
mod totp;
mod upstream_h2;
mod upstream_tls;
mod upstreams;
