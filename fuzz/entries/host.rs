//! `Host` and `:authority` fields: any text, and what parses once parses to itself again.

use palisade::base::Host;

pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(host) = Host::from_authority(text) else { return };
    assert_eq!(host.as_str(), host.as_str().to_ascii_lowercase(), "names are lower case");
    assert!(!host.as_str().is_empty() && host.as_str().len() <= 253);
    assert_eq!(Host::from_authority(&host.authority()), Ok(host.clone()), "written and read back");
    if host.is_wildcard() {
        assert!(host.ip().is_none());
    }
}
