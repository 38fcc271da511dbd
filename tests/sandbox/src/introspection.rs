//! The JSON of an introspection, written out as SDL.

use std::fmt::Write;

use serde_json::Value;

/// The schema in an introspection's answer, with or without its `data`.
pub fn sdl_of(text: &str) -> Result<String, String> {
    let json: Value =
        serde_json::from_str(text).map_err(|error| format!("cannot read the schema: {error}"))?;
    let schema = [&json["data"]["__schema"], &json["__schema"]]
        .into_iter()
        .find(|schema| schema.is_object())
        .ok_or("cannot read the schema: there is no __schema in it")?;
    let mut sdl = roots(schema);
    for definition in list(&schema["types"]) {
        let name = word(&definition["name"]);
        if !name.starts_with("__") && !BUILT_IN.contains(&name) {
            write_type(&mut sdl, name, definition);
        }
    }
    Ok(sdl)
}

const BUILT_IN: [&str; 5] = ["String", "Int", "Float", "Boolean", "ID"];

fn roots(schema: &Value) -> String {
    let mut sdl = String::from("schema {");
    for (root, key) in [
        ("query", "queryType"),
        ("mutation", "mutationType"),
        ("subscription", "subscriptionType"),
    ] {
        if let Some(name) = schema[key]["name"].as_str() {
            let _ = write!(sdl, " {root}: {name}");
        }
    }
    sdl + " }\n"
}

fn write_type(sdl: &mut String, name: &str, definition: &Value) {
    let named = |key: &str| -> Vec<&str> {
        list(&definition[key])
            .map(|one| word(&one["name"]))
            .collect()
    };
    let _ = match word(&definition["kind"]) {
        "SCALAR" => writeln!(sdl, "scalar {name}"),
        "UNION" => writeln!(sdl, "union {name} = {}", named("possibleTypes").join(" | ")),
        "ENUM" => writeln!(sdl, "enum {name} {{ {} }}", named("enumValues").join(" ")),
        "INPUT_OBJECT" => {
            let fields: Vec<String> = list(&definition["inputFields"]).map(input).collect();
            writeln!(sdl, "input {name} {{ {} }}", fields.join(" "))
        }
        kind => {
            let word = if kind == "INTERFACE" {
                "interface"
            } else {
                "type"
            };
            let claims = named("interfaces");
            let claims = match claims.is_empty() {
                true => String::new(),
                false => format!(" implements {}", claims.join(" & ")),
            };
            let fields: Vec<String> = list(&definition["fields"]).map(field).collect();
            writeln!(sdl, "{word} {name}{claims} {{ {} }}", fields.join(" "))
        }
    };
}

fn field(field: &Value) -> String {
    let arguments: Vec<String> = list(&field["args"]).map(input).collect();
    let arguments = match arguments.is_empty() {
        true => String::new(),
        false => format!("({})", arguments.join(" ")),
    };
    let deprecated = if field["isDeprecated"] == true {
        " @deprecated"
    } else {
        ""
    };
    format!(
        "{}{arguments}: {}{deprecated}",
        word(&field["name"]),
        of(&field["type"])
    )
}

fn input(input: &Value) -> String {
    let default = match input["defaultValue"].as_str() {
        Some(default) => format!(" = {default}"),
        None => String::new(),
    };
    format!("{}: {}{default}", word(&input["name"]), of(&input["type"]))
}

fn of(kind: &Value) -> String {
    match word(&kind["kind"]) {
        "NON_NULL" => format!("{}!", of(&kind["ofType"])),
        "LIST" => format!("[{}]", of(&kind["ofType"])),
        _ => word(&kind["name"]).to_string(),
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
