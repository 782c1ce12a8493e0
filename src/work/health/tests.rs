//! Checks against scripted upstreams.
