//! Runtime switches of capabilities.

use super::control::{Daemon, Inner};
use crate::base::Capability;
use crate::ops::api::CapabilityStatus;
use crate::ops::api::switches::SetCapability;
use crate::ops::{Answer, Caller, Switches};

impl Daemon {
    pub(super) fn capabilities_of(&self, inner: &Inner) -> Vec<CapabilityStatus> {
        let capabilities = inner.settings.capabilities;
        let status = |name: Capability| CapabilityStatus {
            name,
            mode: capabilities.mode(name),
            configured: capabilities.file_mode(name),
            available: name.is_available(),
            flag: name.flag().to_owned(),
            flag_value: capabilities.flag(name),
            runtime: None,
        };
        Capability::ALL.into_iter().map(status).collect()
    }
}

impl Switches for Daemon {
    fn capabilities(&self) -> Vec<CapabilityStatus> {
        self.capabilities_of(&self.inner())
    }

    fn set_capability<'a>(
        &'a self,
        _caller: &'a Caller,
        _name: Capability,
        _wanted: SetCapability,
    ) -> Answer<'a, CapabilityStatus> {
        super::access::later()
    }
}
