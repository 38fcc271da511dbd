//! Where a Redis server is: what the variables of its Railway service say, or a secret.

use crate::kinds::shown::one_line;
use crate::world::railway::{Railway, Service, Variable};
use crate::world::redis::{At, Of};
use crate::world::secret::Secret;
use crate::world::{Seen, World};
use std::collections::BTreeMap;

/// The variables that hold a whole address, the private one first: it is nearer, where it can be reached at all.
const WHOLE: &[&str] = &["REDIS_URL", "REDIS_PRIVATE_URL", "REDIS_PUBLIC_URL"];
/// References may lead to references.
const DEEPEST: usize = 8;

/// The addresses to try, in order; or why there is none.
pub fn addresses(of: &Of, world: &World) -> Result<Vec<Secret>, String> {
    match &of.at {
        At::Nowhere => Err("it is not to be looked at".to_owned()),
        At::Secret(name) => match world.secrets.get(name) {
            Some(Seen::Facts(secret)) => Ok(vec![secret.clone()]),
            Some(Seen::Unseen(reason)) => Err(reason.clone()),
            Some(Seen::Unasked) | None => Err(format!("the secret {name} was not looked for")),
        },
        At::Service(name) => {
            let Some(railway) = world.railway.facts() else {
                return Err("Railway could not be seen".to_owned());
            };
            match railway.services.get(name) {
                Some(Seen::Facts(service)) => of_service(name, service, railway),
                Some(Seen::Unseen(reason)) => Err(reason.clone()),
                Some(Seen::Unasked) | None => {
                    Err(format!("there is no service {} at Railway", one_line(name)))
                }
            }
        }
    }
}

fn of_service(name: &str, service: &Service, railway: &Railway) -> Result<Vec<Secret>, String> {
    let variables = match &service.variables {
        Seen::Facts(variables) => variables,
        Seen::Unseen(reason) => return Err(reason.clone()),
        Seen::Unasked => return Err(format!("the variables of {name} were not looked at")),
    };
    let place = Place {
        name,
        variables,
        railway,
    };
    let mut why = format!("the service {name} has no variable REDIS_URL");
    let mut found: Vec<Secret> = Vec::new();
    for variable in WHOLE.iter().filter(|name| variables.contains_key(**name)) {
        match place.value(variable, 0) {
            Ok(address) => found.push(Secret::new(address)),
            Err(words) => why = words,
        }
    }
    if variables.contains_key("REDISHOST") && found.is_empty() {
        match place.of_parts() {
            Ok(address) => found.push(Secret::new(address)),
            Err(words) => why = words,
        }
    }
    if found.is_empty() {
        Err(format!(
            "{why}; `address` can name a secret that holds the whole address"
        ))
    } else {
        Ok(found)
    }
}

/// Where references are looked up.
struct Place<'a> {
    name: &'a str,
    variables: &'a BTreeMap<String, Variable>,
    railway: &'a Railway,
}

impl Place<'_> {
    /// A variable's value, with what it refers to put in.
    fn value(&self, variable: &str, depth: usize) -> Result<String, String> {
        let words = format!("{}.{variable}", self.name);
        match self.variables.get(variable) {
            Some(Variable {
                value: Some(value), ..
            }) => self.rendered(value.reveal(), depth),
            Some(Variable { sealed: true, .. }) => Err(format!("{words} is sealed")),
            Some(_) => Err(format!("the token may not see {words}")),
            // Railway gives every service this name in its private network (facts/railway.md 8).
            None if variable == "RAILWAY_PRIVATE_DOMAIN" => {
                Ok(format!("{}.railway.internal", self.name.to_lowercase()))
            }
            None => Err(format!("{words} is not there")),
        }
    }

    fn rendered(&self, text: &str, depth: usize) -> Result<String, String> {
        if depth > DEEPEST {
            return Err(format!(
                "the variables of {} refer to each other",
                self.name
            ));
        }
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${{") {
            out.push_str(before);
            let Some((inside, tail)) = after.split_once("}}") else {
                return Err(format!("a reference of {} has no end", self.name));
            };
            out.push_str(&self.referred(inside.trim(), depth + 1)?);
            rest = tail;
        }
        out.push_str(rest);
        Ok(out)
    }

    fn referred(&self, reference: &str, depth: usize) -> Result<String, String> {
        let Some((owner, variable)) = reference.split_once('.') else {
            return self.value(reference, depth);
        };
        let variables = if owner == "shared" {
            self.railway.shared.facts()
        } else {
            let service = self.railway.services.get(owner).and_then(Seen::facts);
            service.and_then(|service| service.variables.facts())
        };
        let Some(variables) = variables else {
            let reference = one_line(reference);
            return Err(format!(
                "{reference} cannot be seen, which {} refers to",
                self.name
            ));
        };
        let place = Place {
            name: owner,
            variables,
            railway: self.railway,
        };
        place.value(variable, depth)
    }

    /// An address made of its parts, as Railway's template names them.
    fn of_parts(&self) -> Result<String, String> {
        let host = self.value("REDISHOST", 0)?;
        let port = self
            .value("REDISPORT", 0)
            .unwrap_or_else(|_| "6379".to_owned());
        let user = self.value("REDISUSER", 0).unwrap_or_default();
        let password = self
            .value("REDISPASSWORD", 0)
            .or_else(|_| self.value("REDIS_PASSWORD", 0));
        Ok(match password {
            Ok(password) => format!(
                "redis://{}:{}@{host}:{port}",
                encoded(&user),
                encoded(&password)
            ),
            Err(_) => format!("redis://{host}:{port}"),
        })
    }
}

fn encoded(part: &str) -> String {
    percent_encoding::utf8_percent_encode(part, percent_encoding::NON_ALPHANUMERIC).to_string()
}
