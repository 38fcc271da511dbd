//! The answer where nothing is modelled: null, and where that is not allowed an empty list, a zero or an empty object.

use apollo_compiler::resolvers::{FieldError, ObjectValue, ResolveInfo, ResolvedValue};
use apollo_compiler::response::JsonValue;
use apollo_compiler::schema::{ExtendedType, Type};
use apollo_compiler::{Name, Schema};

use crate::language::Language;
use crate::node::Scene;

/// An object of which nothing is known.
struct Empty<'s> {
    scene: &'s Scene,
    type_name: Name,
}

impl ObjectValue for Empty<'_> {
    fn type_name(&self) -> &str {
        &self.type_name
    }

    fn resolve_field<'a>(
        &'a self,
        info: &'a ResolveInfo<'a>,
    ) -> Result<ResolvedValue<'a>, FieldError> {
        Ok(nothing(self.scene, &info.field_definition().ty))
    }
}

pub fn nothing<'s>(scene: &'s Scene, of: &Type) -> ResolvedValue<'s> {
    let name = match of {
        Type::Named(_) | Type::List(_) => return ResolvedValue::null(),
        Type::NonNullList(_) => return ResolvedValue::list(std::iter::empty()),
        Type::NonNullNamed(name) => name,
    };
    let language = &scene.language;
    let object = |type_name: &Name| {
        let type_name = type_name.clone();
        ResolvedValue::object(Empty { scene, type_name })
    };
    match language.schema.types.get(name) {
        Some(ExtendedType::Object(_)) => object(name),
        Some(ExtendedType::Interface(_) | ExtendedType::Union(_)) => {
            possible(language, name).map_or_else(ResolvedValue::null, object)
        }
        Some(ExtendedType::Enum(words)) => match words.values.keys().next() {
            Some(word) => ResolvedValue::leaf(word.as_str()),
            None => ResolvedValue::null(),
        },
        _ => ResolvedValue::Leaf(zero(scene, name)),
    }
}

fn zero(scene: &Scene, scalar: &str) -> JsonValue {
    match scalar {
        "Int" => 0.into(),
        "Float" => JsonValue::from(0.0),
        "Boolean" => false.into(),
        "String" | "ID" => "".into(),
        "DateTime" => scene.state.seed.start.to_string().into(),
        _ => JsonValue::Object(Default::default()),
    }
}

/// Some type that the abstract one may turn out to be.
fn possible<'l>(language: &'l Language, name: &Name) -> Option<&'l Name> {
    let schema: &Schema = &language.schema;
    match schema.types.get(name)? {
        ExtendedType::Union(union) => union.members.iter().next().map(|member| &member.name),
        _ => language.implementers.get(name)?.objects.iter().min(),
    }
}
