//! The schema that documents are checked against: the modelled part alone, or the whole upstream one around it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use apollo_compiler::schema::{Component, EnumValueDefinition, ExtendedType, Implementers, Type};
use apollo_compiler::validation::{DiagnosticList, Valid};
use apollo_compiler::{ExecutableDocument, Name, Schema, ast};

use crate::graphql::Invalid;
use crate::introspection;
use crate::switches::{FailedPatch, Switches};

pub const SDL: &str = include_str!("../schema/railway.graphql");

const MOST_DOCUMENTS: usize = 1_000;

pub type Document = Arc<Valid<ExecutableDocument>>;

pub struct Language {
    pub schema: Valid<Schema>,
    pub implementers: apollo_compiler::collections::HashMap<Name, Implementers>,
    /// Documents by their text.
    known: Mutex<HashMap<String, Result<Document, Invalid>>>,
    /// Whether it has more than what is modelled.
    is_wider: bool,
}

/// Another server's whole schema, read once and shared by any number of sandboxes.
#[derive(Clone)]
pub struct Upstream {
    plain: Arc<Language>,
    newer: Arc<Language>,
}

impl Upstream {
    /// From the JSON of an introspection, or from SDL.
    pub fn parse(text: &str) -> Result<Upstream, String> {
        let sdl = match text.trim_start().starts_with('{') {
            true => introspection::sdl_of(text)?,
            false => text.to_string(),
        };
        let schema = read(&sdl).map_err(|errors| format!("cannot read the schema: {errors}"))?;
        let missing = own().schema.types.iter().find_map(|(type_name, own)| {
            let ExtendedType::Object(own) = own else {
                return None;
            };
            let mut fields = own.fields.keys();
            let field = fields.find(|field| schema.type_field(type_name, field).is_err())?;
            (!type_name.starts_with("__")).then(|| format!("{type_name}.{field}"))
        });
        if let Some(missing) = missing {
            return Err(format!(
                "the schema lacks {missing}, which the sandbox models"
            ));
        }
        Ok(Upstream {
            plain: Arc::new(Language::of(schema.clone(), true)),
            newer: Arc::new(Language::of(newer(schema), true)),
        })
    }
}

impl Language {
    /// What a sandbox with these switches speaks, with or without the schema around it.
    pub fn spoken(upstream: Option<&Upstream>, switches: &Switches) -> Arc<Language> {
        static NEWER: OnceLock<Arc<Language>> = OnceLock::new();
        let is_newer = switches.failed_patch == FailedPatch::Failed;
        match (upstream, is_newer) {
            (Some(upstream), true) => upstream.newer.clone(),
            (Some(upstream), false) => upstream.plain.clone(),
            (None, false) => own().clone(),
            (None, true) => {
                let make = || Arc::new(Language::of(newer(own().schema.clone()), false));
                NEWER.get_or_init(make).clone()
            }
        }
    }

    fn of(schema: Valid<Schema>, is_wider: bool) -> Language {
        Language {
            implementers: schema.implementers_map(),
            schema,
            known: Mutex::default(),
            is_wider,
        }
    }

    /// Whether the field of that type is modelled; anything else is answered with nothing.
    pub fn models(&self, type_name: &str, field: &str) -> bool {
        !self.is_wider || own().schema.type_field(type_name, field).is_ok()
    }

    /// Parses and validates; documents are remembered by their text.
    pub fn document(&self, text: &str) -> Result<Document, Invalid> {
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known().get(text) {
            return found.clone();
        }
        let parsed = self.parse(text);
        let mut known = known();
        if known.len() >= MOST_DOCUMENTS {
            known.clear();
        }
        known.insert(text.to_string(), parsed.clone());
        parsed
    }

    fn parse(&self, text: &str) -> Result<Document, Invalid> {
        let invalid = |code, list: DiagnosticList| {
            let messages = list
                .iter()
                .map(|diagnostic| diagnostic.error.to_string())
                .collect();
            Invalid { code, messages }
        };
        let parsed = ast::Document::parse(text, "request.graphql")
            .map_err(|errors| invalid("GRAPHQL_PARSE_FAILED", errors.errors))?;
        let valid = parsed
            .to_executable_validate(&self.schema)
            .map_err(|errors| invalid("GRAPHQL_VALIDATION_FAILED", errors.errors))?;
        Ok(Arc::new(valid))
    }
}

/// The modelled part, parsed once in a process.
pub fn own() -> &'static Arc<Language> {
    static OWN: OnceLock<Arc<Language>> = OnceLock::new();
    OWN.get_or_init(|| {
        let schema = Schema::parse_and_validate(SDL, "railway.graphql")
            .expect("the schema of the sandbox is valid");
        Arc::new(Language::of(schema, false))
    })
}

/// Reads a schema that a lenient server published: a type may claim an interface that it does not quite fulfil.
fn read(sdl: &str) -> Result<Valid<Schema>, String> {
    let mut schema =
        Schema::parse(sdl, "upstream.graphql").map_err(|errors| errors.errors.to_string())?;
    let unfit: Vec<(Name, Name)> = schema
        .types
        .iter()
        .flat_map(|(name, definition)| {
            let claims = match definition {
                ExtendedType::Object(object) => object.implements_interfaces.iter(),
                _ => return Vec::new(),
            };
            let unfit = claims.filter(|claim| !fulfils(&schema, name, claim));
            unfit
                .map(|claim| (name.clone(), claim.name.clone()))
                .collect()
        })
        .collect();
    for (name, interface) in unfit {
        if let Some(ExtendedType::Object(object)) = schema.types.get_mut(&name) {
            let claims = &mut object.make_mut().implements_interfaces;
            claims.retain(|claim| claim.name != interface);
        }
    }
    schema
        .validate()
        .map_err(|errors| errors.errors.to_string())
}

fn fulfils(schema: &Schema, type_name: &str, interface: &str) -> bool {
    let Some(interface) = schema.get_interface(interface) else {
        return false;
    };
    interface.fields.iter().all(|(name, wanted)| {
        let own = schema.type_field(type_name, name);
        own.is_ok_and(|own| is_as_strict(&own.ty, &wanted.ty))
    })
}

fn is_as_strict(own: &Type, wanted: &Type) -> bool {
    own.inner_named_type() == wanted.inner_named_type()
        && own.is_list() == wanted.is_list()
        && (own.is_non_null() || !wanted.is_non_null())
}

/// The live service has already more than the published schema says.
fn newer(schema: Valid<Schema>) -> Valid<Schema> {
    let mut schema = schema.into_inner();
    let failed = EnumValueDefinition {
        description: None,
        value: Name::new_static_unchecked("FAILED"),
        directives: Default::default(),
    };
    if let Some(ExtendedType::Enum(statuses)) = schema.types.get_mut("EnvironmentPatchStatus") {
        let statuses = &mut statuses.make_mut().values;
        statuses.insert(failed.value.clone(), Component::new(failed));
    }
    schema
        .validate()
        .expect("one more word in an enum keeps a schema valid")
}
