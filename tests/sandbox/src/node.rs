//! Objects of the answer: a piece of the state, of which any fields may be asked.

use std::borrow::Cow;
use std::cell::Cell;
use std::ops::Range;
use std::sync::Arc;

use apollo_compiler::Name;
use apollo_compiler::resolvers::{FieldError, ObjectValue, ResolveInfo, ResolvedValue};
use apollo_compiler::response::{JsonMap, JsonValue};
use apollo_compiler::schema::ExtendedType;
use serde_json::Value;

use crate::access::Caller;
use crate::deployment::Deployment;
use crate::events::Event;
use crate::graphql::{carried, from_wire, to_wire};
use crate::language::Language;
use crate::nothing::nothing;
use crate::page::Page;
use crate::patch::Patch;
use crate::refusal::Refusal;
use crate::state::{Environment, Instance, Project, Service, State, VariableRecord, Volume};
use crate::time::Time;
use crate::volumes::VolumeInstance;
use crate::{fields, query};

/// What one request is answered from.
pub struct Scene {
    pub state: Arc<State>,
    pub caller: Caller,
    pub language: Arc<Language>,
    pub failing: Option<Failing>,
    /// Rows of logs are only shown from this time, when they are followed.
    pub window: Option<Range<Time>>,
    /// Fields resolved so far.
    pub resolved: Cell<usize>,
}

/// Which field of the answer fails.
#[derive(Clone, Debug)]
pub enum Failing {
    Named(String),
    Nth(usize),
}

impl Scene {
    pub fn new(state: Arc<State>, caller: Caller, language: Arc<Language>) -> Scene {
        Scene {
            state,
            caller,
            language,
            failing: None,
            window: None,
            resolved: Cell::new(0),
        }
    }

    /// Whether the field that is resolved now is the one to fail.
    fn fails(&self, field: &str) -> bool {
        let nth = self.resolved.get();
        self.resolved.set(nth + 1);
        match &self.failing {
            None => false,
            Some(Failing::Named(name)) => name == field,
            Some(Failing::Nth(which)) => *which == nth,
        }
    }
}

#[derive(Clone)]
pub enum Node<'s> {
    Query,
    Project(&'s Project),
    Environment(&'s Environment),
    Service(&'s Project, &'s Service),
    Instance(&'s Environment, &'s str, &'s Instance),
    Deployment(&'s Deployment),
    Patch(&'s Environment, &'s Patch),
    ProjectToken(&'s Project, &'s Environment),
    Person,
    Workspace,
    Variable(
        &'s Environment,
        &'s (Option<String>, String),
        &'s VariableRecord,
    ),
    Bucket(&'s Project, Box<Value>),
    Event(&'s Event),
    Volume(&'s Project, &'s Volume),
    VolumeInstance(&'s Environment, &'s str, &'s VolumeInstance),
    Page(Page<'s>),
    Edge(String, Box<Node<'s>>),
    /// Anything small: fields are the entries of a JSON object.
    Plain(Cow<'s, Value>),
}

impl Node<'_> {
    /// Where the schema leaves several types possible, the value names its own.
    fn own_type(&self) -> Option<Name> {
        match self {
            Node::Plain(value) => Name::new(value.get("__typename")?.as_str()?).ok(),
            _ => None,
        }
    }
}

/// What a field answers.
pub enum Answer<'s> {
    Leaf(JsonValue),
    One(Node<'s>),
    Many(Vec<Node<'s>>),
}

impl<'s> Answer<'s> {
    pub fn null() -> Answer<'s> {
        Answer::Leaf(JsonValue::Null)
    }

    pub fn leaf(value: impl Into<JsonValue>) -> Answer<'s> {
        Answer::Leaf(value.into())
    }

    pub fn text(value: impl std::fmt::Display) -> Answer<'s> {
        Answer::Leaf(value.to_string().into())
    }

    pub fn json(value: &Value) -> Answer<'s> {
        Answer::Leaf(to_wire(value))
    }

    pub fn plain(value: Value) -> Answer<'s> {
        Answer::One(Node::Plain(Cow::Owned(value)))
    }

    pub fn plains(values: impl IntoIterator<Item = Value>) -> Answer<'s> {
        Answer::Many(
            values
                .into_iter()
                .map(|value| Node::Plain(Cow::Owned(value)))
                .collect(),
        )
    }

    pub fn one(node: Option<Node<'s>>) -> Answer<'s> {
        node.map_or_else(Answer::null, Answer::One)
    }
}

/// A node that knows the scene it stands in and its type's name.
pub struct Object<'s> {
    scene: &'s Scene,
    node: Node<'s>,
    type_name: Name,
}

pub fn query_root(scene: &Scene) -> Object<'_> {
    Object {
        scene,
        node: Node::Query,
        type_name: Name::new_static_unchecked("Query"),
    }
}

impl ObjectValue for Object<'_> {
    fn type_name(&self) -> &str {
        &self.type_name
    }

    fn resolve_field<'a>(
        &'a self,
        info: &'a ResolveInfo<'a>,
    ) -> Result<ResolvedValue<'a>, FieldError> {
        if !self
            .scene
            .language
            .models(&self.type_name, info.field_name())
        {
            return Ok(nothing(self.scene, &info.field_definition().ty));
        }
        resolve(self.scene, &self.node, info)
    }
}

/// Resolves one field of a node.
pub fn resolve<'s>(
    scene: &'s Scene,
    node: &Node<'s>,
    info: &ResolveInfo<'_>,
) -> Result<ResolvedValue<'s>, FieldError> {
    let field = info.field_name();
    if scene.fails(field) {
        return Err(field_error(&Refusal::problem()));
    }
    let asked = Asked {
        field,
        arguments: info.arguments(),
    };
    let answer = match node {
        Node::Query => query::answer(scene, &asked),
        Node::Project(project) => fields::project(scene, project, &asked),
        Node::Environment(environment) => fields::environment(scene, environment, &asked),
        Node::Service(project, service) => fields::service(scene, project, service, &asked),
        Node::Instance(environment, id, instance) => {
            fields::instance(scene, environment, id, instance, &asked)
        }
        Node::Deployment(deployment) => fields::deployment(scene, deployment, &asked),
        Node::Patch(environment, patch) => fields::patch(scene, environment, patch, &asked),
        Node::ProjectToken(project, environment) => {
            Ok(fields::project_token(scene, project, environment, &asked))
        }
        Node::Person => Ok(fields::person(scene, &asked)),
        Node::Workspace => Ok(fields::workspace(scene, &asked)),
        Node::Variable(environment, key, record) => {
            fields::variable(scene, environment, key, record, &asked)
        }
        Node::Bucket(project, _) if field == "project" => Ok(Answer::One(Node::Project(project))),
        Node::Bucket(_, value) => Ok(plain(value, info)),
        Node::Event(event) => fields::activity::event(scene, event, &asked),
        Node::Volume(project, volume) => fields::volume(scene, project, volume, &asked),
        Node::VolumeInstance(environment, id, instance) => {
            fields::volume_instance(scene, environment, id, instance, &asked)
        }
        Node::Page(page) => Ok(page.answer(field)),
        Node::Edge(cursor, node) => Ok(if field == "node" {
            Answer::One((**node).clone())
        } else {
            Answer::text(cursor)
        }),
        Node::Plain(value) => Ok(plain(value, info)),
    };
    let answer = answer.map_err(|refusal| field_error(&refusal))?;
    let of = &info.field_definition().ty;
    Ok(match answer {
        Answer::Leaf(JsonValue::Array(items)) if of.is_list() => {
            ResolvedValue::list(items.into_iter().map(ResolvedValue::Leaf))
        }
        answer => resolved(scene, answer, of.inner_named_type()),
    })
}

pub fn field_error(refusal: &Refusal) -> FieldError {
    FieldError {
        message: carried(refusal),
    }
}

pub fn resolved<'s>(scene: &'s Scene, answer: Answer<'s>, type_name: &Name) -> ResolvedValue<'s> {
    let object = |node: Node<'s>, of: &Name| {
        let type_name = node.own_type().unwrap_or_else(|| of.clone());
        ResolvedValue::object(Object {
            scene,
            node,
            type_name,
        })
    };
    match answer {
        Answer::Leaf(value) => ResolvedValue::Leaf(value),
        Answer::One(node) => object(node, type_name),
        Answer::Many(nodes) => {
            let type_name = type_name.clone();
            ResolvedValue::list(nodes.into_iter().map(move |node| object(node, &type_name)))
        }
    }
}

/// An entry of a JSON object, as leaf or as object, whichever the schema says.
fn plain<'s>(value: &Value, info: &ResolveInfo<'_>) -> Answer<'s> {
    let entry = value.get(info.field_name()).cloned().unwrap_or(Value::Null);
    let of = info.field_definition().ty.inner_named_type();
    let is_object = matches!(
        info.schema().types.get(of),
        Some(ExtendedType::Object(_) | ExtendedType::Interface(_) | ExtendedType::Union(_))
    );
    match entry {
        Value::Array(items) if is_object => Answer::plains(items),
        Value::Null => Answer::null(),
        entry if is_object => Answer::plain(entry),
        entry => Answer::json(&entry),
    }
}

/// A field and its arguments.
pub struct Asked<'a> {
    pub field: &'a str,
    pub arguments: &'a JsonMap,
}

impl<'a> Asked<'a> {
    /// A required text; the schema has made sure of it.
    pub fn text(&self, name: &str) -> &'a str {
        self.optional(name).unwrap_or_default()
    }

    pub fn optional(&self, name: &str) -> Option<&'a str> {
        self.arguments.get(name).and_then(|value| value.as_str())
    }

    pub fn moment(&self, name: &str) -> Option<Time> {
        self.optional(name).and_then(|text| Time::parse(text).ok())
    }

    pub fn flag(&self, name: &str) -> Option<bool> {
        self.arguments.get(name).and_then(|value| value.as_bool())
    }

    pub fn number(&self, name: &str) -> Option<usize> {
        self.arguments
            .get(name)
            .and_then(|value| value.as_i64())
            .map(|number| number.max(0) as usize)
    }

    pub fn json(&self, name: &str) -> Value {
        self.arguments.get(name).map_or(Value::Null, from_wire)
    }
}
