//! The header of a trial.

use std::net::SocketAddr;

use foreword::{BuildError, Builder, Version};

/// The header that a peer sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Introduction {
    /// Its version.
    pub version: Version,
    /// Whom it names; `None` is a header that names nobody: UNKNOWN in v1, LOCAL in v2.
    pub client: Option<SocketAddr>,
    /// Its TLVs, in order; only v2 has them.
    pub tlvs: Vec<(u8, Vec<u8>)>,
}

impl Introduction {
    /// Writes it. The client called `destination`.
    pub(super) fn write(&self, destination: SocketAddr, out: &mut Vec<u8>) -> Result<(), BuildError> {
        let builder = match (self.version, self.client) {
            (version, Some(client)) => Builder::new(version).proxy(client, destination),
            (Version::One, None) => Builder::v1().unknown(),
            (Version::Two, None) => Builder::v2().local(),
        };
        let builder = self.tlvs.iter().fold(builder, |builder, (kind, value)| builder.raw_tlv(*kind, value));
        builder.write_to(out).map(|_| ())
    }
}
