/// One fence around a child. Each is tried on the machine by [`crate::probe`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layer {
    ProcessGroup,
    NoNewPrivs,
    Rlimits,
    PrivateDir,
    CleanEnv,
    ParentDeath,
    /// Files, and (from Landlock ABI 6) signals and abstract sockets to outside.
    Landlock,
    /// TCP (Landlock ABI 4). A second fence behind [`Layer::Seccomp`], which leaves no socket to connect.
    LandlockNet,
    Seccomp,
}

/// What the probe observed of one layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    Holds,
    /// What was tried, and what happened instead.
    Missing(String),
}

/// Every layer, as observed on this machine.
#[derive(Clone, Debug)]
pub struct Report {
    pub layers: Vec<(Layer, Status)>,
}

impl Layer {
    pub const ALL: [Layer; 9] = [
        Layer::ProcessGroup,
        Layer::NoNewPrivs,
        Layer::Rlimits,
        Layer::PrivateDir,
        Layer::CleanEnv,
        Layer::ParentDeath,
        Layer::Landlock,
        Layer::LandlockNet,
        Layer::Seccomp,
    ];

    /// The name to allow it by.
    pub fn name(self) -> &'static str {
        self.words().0
    }

    pub fn from_name(name: &str) -> Option<Layer> {
        Layer::ALL.into_iter().find(|layer| layer.name() == name)
    }

    /// What it protects, as a sentence without its full stop.
    pub fn protects(self) -> &'static str {
        self.words().1
    }

    /// What can happen without it, as the second half of a sentence.
    pub fn unprotected(self) -> &'static str {
        self.words().2
    }

    /// What to do when it is missing, as a sentence without its full stop.
    pub fn remedy(self) -> &'static str {
        self.words().3
    }

    fn words(self) -> (&'static str, &'static str, &'static str, &'static str) {
        match self {
            Layer::ProcessGroup => (
                "process-group",
                "One kill ends the child and everything it started",
                "what a child starts can outlive it",
                "Any Unix has this; look for a container profile that denies setpgid",
            ),
            Layer::NoNewPrivs => (
                "no-new-privs",
                "No set-uid program gives the child more rights",
                "a child can gain rights through a set-uid program",
                "Use Linux 3.5 or newer",
            ),
            Layer::Rlimits => (
                "rlimits",
                "The kernel bounds the child's CPU time, address space and file size",
                "a child can exhaust memory and disk",
                "Look for a container profile that denies setrlimit",
            ),
            Layer::PrivateDir => (
                "private-dir",
                "The child's files are its own, readable by no other user",
                "other users can read or replace what a child works on",
                "Make the temporary directory writable, and give it a file system with Unix permissions",
            ),
            Layer::CleanEnv => (
                "clean-env",
                "The child sees no credential from this process's environment",
                "a child can read credentials",
                "Install /bin/sh, which the probe starts to look at the environment from inside",
            ),
            Layer::ParentDeath => (
                "parent-death",
                "The child dies when this process is killed",
                "a child survives when this process is killed with SIGKILL",
                "Use Linux",
            ),
            Layer::Landlock => (
                "landlock",
                "The child reads and writes no file outside of its list",
                "hostile input can make a child read any file this user can read",
                "Use Linux 5.13 or newer with CONFIG_SECURITY_LANDLOCK=y and `landlock` in the lsm= boot option, \
                 and a container runtime whose seccomp profile allows landlock_create_ruleset",
            ),
            Layer::LandlockNet => (
                "landlock-net",
                "The child opens no TCP connection, should a socket ever reach it",
                "only the seccomp layer keeps a child off the network",
                "Use Linux 6.7 or newer",
            ),
            Layer::Seccomp => (
                "seccomp",
                "The child opens no socket and leaves none of its limits or its group",
                "hostile input can make a child reach the network",
                "Use Linux on x86_64 or aarch64 with CONFIG_SECCOMP_FILTER=y",
            ),
        }
    }
}

impl Report {
    pub fn holds(&self, layer: Layer) -> bool {
        self.layers.iter().any(|(l, status)| *l == layer && *status == Status::Holds)
    }

    /// The layers that do not hold, each with its reason.
    pub fn missing(&self) -> impl Iterator<Item = (Layer, &str)> {
        self.layers.iter().filter_map(|(layer, status)| match status {
            Status::Holds => None,
            Status::Missing(reason) => Some((*layer, reason.as_str())),
        })
    }

    /// Whether another layer that holds keeps the same promise.
    pub(crate) fn has_second_fence(&self, layer: Layer) -> bool {
        layer == Layer::LandlockNet && self.holds(Layer::Seccomp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_layer_is_found_by_its_name() {
        for layer in Layer::ALL {
            assert_eq!(Layer::from_name(layer.name()), Some(layer));
        }
    }
}
