//! Domains and proxies as Railway tells them, with the DNS records that a custom domain needs.

use serde_json::{Value, json};

use crate::edge::GENERATED;
use crate::networking::{CUSTOM, PROXIES, SERVICE, Standing, id_of, key_of, named, proxy_address};
use crate::random::hash;
use crate::state::{Environment, State};

/// All domains of a service, both kinds.
pub fn domains(state: &State, environment: &Environment, service_id: &str) -> Value {
    let all = |kind: &str| -> Vec<Value> {
        let here = environment.service(service_id).into_iter().flat_map(named);
        here.filter(|(known, _, _)| *known == kind)
            .map(|(kind, name, _)| domain(state, environment, service_id, kind, name))
            .collect()
    };
    json!({ SERVICE: all(SERVICE), CUSTOM: all(CUSTOM) })
}

pub fn domain(
    state: &State,
    environment: &Environment,
    service_id: &str,
    kind: &str,
    name: &str,
) -> Value {
    let stored = environment
        .service(service_id)
        .and_then(|service| service.get("networking")?.get(kind)?.get(name));
    let known = environment.names.get(name);
    let mut domain = json!({
        "id": id_of(environment, service_id, kind, name),
        "__typename": if kind == CUSTOM { "CustomDomain" } else { "ServiceDomain" },
        "domain": name,
        "targetPort": stored.and_then(|here| here.get("port")),
        "environmentId": environment.id,
        "projectId": environment.project_id,
        "serviceId": service_id,
        "syncStatus": "ACTIVE",
        "createdAt": known.map(|known| known.created),
        "updatedAt": known.map(|known| known.updated),
    });
    if kind == CUSTOM {
        domain["isRailwayDomain"] = json!(false);
        domain["status"] = status(state, environment, name);
        domain["cnameCheck"] = json!({
            "status": match state.standing(environment, name) {
                Standing::Unverified => "WAITING",
                _ => "VALID",
            },
            "message": "",
        });
    } else {
        domain["suffix"] = json!(GENERATED.trim_start_matches('.'));
    }
    domain
}

/// DNS, ownership and certificate of a custom domain.
pub fn status(state: &State, environment: &Environment, domain: &str) -> Value {
    let standing = state.standing(environment, domain);
    let is_verified = standing != Standing::Unverified;
    let sum = hash(domain);
    let target = format!("{:08x}{GENERATED}", sum >> 32);
    let (host, zone) = split(domain);
    let certificate = match standing {
        Standing::Unverified => "VALIDATING_OWNERSHIP",
        Standing::Issuing => "ISSUING",
        Standing::Valid => "VALID",
        Standing::Failed => "ISSUE_FAILED",
    };
    let detailed = match standing {
        Standing::Unverified => "INITIATING_CHALLENGES",
        Standing::Issuing => "CREATING_ORDER",
        Standing::Valid => "COMPLETE",
        Standing::Failed => "FAILED",
    };
    let certificates = (standing == Standing::Valid).then(|| {
        let issued = environment.names.get(domain).map(|name| name.asked);
        json!([{
            "domainNames": [domain],
            "fingerprintSha256": format!("{:016x}", hash(&target)),
            "keyType": "KEY_TYPE_ECDSA",
            "issuedAt": issued,
            "expiresAt": issued.map(|issued| issued.plus_seconds(90.0 * 86_400.0)),
        }])
    });
    let failed = standing == Standing::Failed;
    json!({
        "verified": is_verified,
        "verificationToken": format!("railway-verify={sum:016x}"),
        "verificationDnsHost": if host.is_empty() { "_railway-verify".to_string() } else { format!("_railway-verify.{host}") },
        "cdnProvider": "DETECTED_CDN_PROVIDER_UNSPECIFIED",
        "certificateStatus": format!("CERTIFICATE_STATUS_TYPE_{certificate}"),
        "certificateStatusDetailed": format!("CERTIFICATE_STATUS_TYPE_DETAILED_{detailed}"),
        "certificateErrorMessage": failed.then_some("the authority refuses to issue for this domain"),
        "certificateErrorType": failed.then_some("CERTIFICATE_ERROR_TYPE_AUTHORIZATION_FAILED"),
        "certificateRetryable": failed.then_some(true),
        "certificates": certificates,
        "dnsRecords": [{
            "hostlabel": host,
            "fqdn": domain,
            "zone": zone,
            "recordType": "DNS_RECORD_TYPE_CNAME",
            "purpose": "DNS_RECORD_PURPOSE_TRAFFIC_ROUTE",
            "requiredValue": target,
            "currentValue": if is_verified { target.clone() } else { String::new() },
            "status": if is_verified { "DNS_RECORD_STATUS_PROPAGATED" } else { "DNS_RECORD_STATUS_REQUIRES_UPDATE" },
        }],
    })
}

pub fn proxies(environment: &Environment, service_id: &str) -> Vec<Value> {
    let here = environment.service(service_id).into_iter().flat_map(named);
    here.filter(|(kind, _, _)| *kind == PROXIES)
        .map(|(_, port, _)| proxy(environment, service_id, port))
        .collect()
}

pub fn proxy(environment: &Environment, service_id: &str, port: &str) -> Value {
    let known = environment.names.get(&key_of(service_id, PROXIES, port));
    let (domain, proxy_port) = proxy_address(environment, service_id, port);
    json!({
        "id": id_of(environment, service_id, PROXIES, port),
        "applicationPort": port.parse::<u16>().unwrap_or(0),
        "proxyPort": proxy_port,
        "domain": domain,
        "environmentId": environment.id,
        "serviceId": service_id,
        "syncStatus": "ACTIVE",
        "createdAt": known.map(|known| known.created),
        "updatedAt": known.map(|known| known.updated),
    })
}

/// The label below the zone, and the zone.
fn split(domain: &str) -> (String, String) {
    let labels: Vec<&str> = domain.split('.').collect();
    let at = labels.len().saturating_sub(2);
    (labels[..at].join("."), labels[at..].join("."))
}
