//! palisade: the front line of a web app in one process. Modules in reading order.

pub mod base;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod demo;
pub mod edge;
pub mod guard;
pub mod ops;
pub mod ports;
pub mod sys;
pub mod telemetry;
pub mod work;
