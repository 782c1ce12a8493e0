//! palisade: the front line of a web app in one process. Modules in reading order.

pub mod sys;
pub mod base;
pub mod ports;
pub mod telemetry;
pub mod store;
pub mod keyring;
pub mod guard;
pub mod work;
pub mod config;
pub mod edge;
pub mod ops;
pub mod daemon;
pub mod demo;
pub mod tui;
pub mod cli;
