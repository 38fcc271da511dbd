//! An answer as a tree in which what there is of each service stays text until it is read: as a tree, a thousand services take ten times the memory.

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Number, Value};
use std::borrow::Cow;
use std::fmt;

/// An answer, read. The nodes below `serviceInstances` and the services below `config` are texts in it: [`whole`] reads one.
///
/// # Errors
/// Where it is not JSON.
pub(super) fn read(body: &[u8]) -> Result<Value, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let value = Part::Whole.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

/// A part of a tree that [`read`] has left as text; any other part as it is.
pub(super) fn whole(part: &Value) -> Cow<'_, Value> {
    match part {
        Value::String(text) => Cow::Owned(serde_json::from_str(text).unwrap_or_default()),
        other => Cow::Borrowed(other),
    }
}

/// Where in an answer something stands.
#[derive(Debug, Clone, Copy)]
enum Part {
    /// Read as it is.
    Whole,
    /// Kept as text.
    Text,
    Instances,
    Edges,
    Edge,
    Config,
    Services,
}

impl Part {
    fn below(self, key: &str) -> Part {
        match (self, key) {
            (Part::Whole, "serviceInstances") => Part::Instances,
            (Part::Instances, "edges") => Part::Edges,
            (Part::Edge, "node") | (Part::Services, _) => Part::Text,
            (Part::Whole, "config") => Part::Config,
            (Part::Config, "services") => Part::Services,
            _ => Part::Whole,
        }
    }

    fn item(self) -> Part {
        match self {
            Part::Edges => Part::Edge,
            _ => Part::Whole,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Part {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match self {
            Part::Text => {
                let text = <&RawValue>::deserialize(deserializer)?;
                Ok(Value::String(text.get().to_owned()))
            }
            _ => deserializer.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Part {
    type Value = Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self.item())? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let value = entries.next_value_seed(self.below(&key))?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}
