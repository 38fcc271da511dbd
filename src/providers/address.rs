//! Which addresses may be asked for a page: public ones, and those that somebody allowed; never what only this machine's network can reach.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Hosts that may be asked although their addresses are private.
#[derive(Debug, Clone)]
pub struct Allowed {
    hosts: Vec<String>,
    setting: &'static str,
}

impl Default for Allowed {
    fn default() -> Allowed {
        Allowed::of("")
    }
}

impl Allowed {
    /// For pages, from a list with commas between.
    pub fn of(list: &str) -> Allowed {
        Allowed::by("RECONCILER_PAGES_ALLOW", list)
    }

    /// From the list of a setting, with commas between.
    pub fn by(setting: &'static str, list: &str) -> Allowed {
        let hosts = list.split(',').map(|host| host.trim().to_lowercase());
        Allowed {
            hosts: hosts.filter(|host| !host.is_empty()).collect(),
            setting,
        }
    }

    /// Whether somebody named a host.
    pub fn names(&self, host: &str) -> bool {
        let host = host.trim_matches(['[', ']']).to_lowercase();
        self.hosts.contains(&host)
    }

    /// Why an address is not asked.
    pub(super) fn not_public(&self) -> String {
        format!(
            "it has no public address, and {} does not name it",
            self.setting
        )
    }

    /// Refuses an address that stands there itself and may not be asked. A name is checked when it is resolved.
    pub(super) fn check(&self, host: &str) -> Result<(), String> {
        match host.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(address) if !self.admits(host, address) => Err(self.not_public()),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Whether a host may be asked at an address.
    pub fn admits(&self, host: &str, address: IpAddr) -> bool {
        is_public(address) || self.names(host)
    }
}

/// Whether everybody on the internet can reach an address. Private networks, this machine, its neighbours and a cloud's metadata are not.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [first, second, third, _] = address.octets();
    let is_special = address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_broadcast()
        || address.is_documentation()
        || address.is_multicast()
        || first == 0
        || first >= 240
        || (first == 100 && (64..128).contains(&second))
        || (first == 192 && second == 0 && third == 0)
        || (first == 198 && (18..20).contains(&second));
    !is_special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    // An address of the older sort may be wrapped in three ways.
    let wrapped = match segments {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            Some((high, low))
        }
        [0x2002, high, low, ..] => Some((high, low)),
        _ => None,
    };
    if let Some((high, low)) = wrapped {
        let bits = (u32::from(high) << 16) | u32::from(low);
        return is_public_v4(Ipv4Addr::from_bits(bits));
    }
    // Everything that is given out to the public begins with 001.
    segments[0] >> 13 == 1 && segments[0] != 0x2001 || is_public_2001(segments)
}

/// 2001::/16 holds ordinary addresses beside tunnels, benchmarks and examples (2001:0::/23 and 2001:db8::/32).
fn is_public_2001(segments: [u16; 8]) -> bool {
    segments[0] == 0x2001 && segments[1] >= 0x200 && segments[1] != 0xdb8
}

/// Resolves names to the addresses that may be asked, so that a name cannot be made to lead inside between a check and the request.
#[derive(Debug, Clone)]
pub(super) struct Resolver {
    pub allowed: Allowed,
}

impl reqwest::dns::Resolve for Resolver {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let allowed = self.allowed.clone();
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let found: Vec<SocketAddr> = tokio::net::lookup_host((host.as_str(), 0))
                .await?
                .filter(|address| allowed.admits(&host, address.ip()))
                .collect();
            if found.is_empty() {
                return Err(allowed.not_public().into());
            }
            Ok(Box::new(found.into_iter()) as reqwest::dns::Addrs)
        })
    }
}
