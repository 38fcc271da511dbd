//! Every GraphQL document is valid for the upstream schema and for the sandbox's own.

use apollo_compiler::validation::Valid;
use apollo_compiler::{ExecutableDocument, Schema};
use reconciler::probe::Sheet;
use reconciler::providers::railway::documents::ALL;
use serde_json::Value;
use std::fmt::Write as _;
use std::path::Path;

#[test]
fn every_document_is_valid_for_the_upstream_schema() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/contracts/railway-schema.json");
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!(
            "skipped: the upstream schema is not at hand ({})",
            path.display()
        );
        return;
    };
    let introspection: Value = serde_json::from_str(&text).unwrap();
    let schema = introspection
        .pointer("/data/__schema")
        .or(introspection.get("__schema"))
        .unwrap();

    // Railway's own schema breaks a rule of the language (Node.id), so only the documents are judged.
    let schema = Valid::assume_valid(Schema::parse(sdl(schema), "upstream.graphql").unwrap());

    all_are_valid(&schema);
}

#[test]
fn every_document_is_valid_for_the_sandbox() {
    let schema = Schema::parse_and_validate(sandbox::SDL, "sandbox.graphql").unwrap();

    all_are_valid(&schema);
}

#[test]
fn a_document_that_asks_for_what_is_not_there_would_be_found() {
    let schema = Schema::parse_and_validate(sandbox::SDL, "sandbox.graphql").unwrap();

    let wrong = "query { environment(id: \"e\") { replicas } }";

    assert!(ExecutableDocument::parse_and_validate(&schema, wrong, "wrong").is_err());
}

fn all_are_valid(schema: &Valid<Schema>) {
    let sheet = Sheet::read().unwrap();
    let asked: Vec<(&str, &str)> = sheet.requests().collect();
    let problems: Vec<String> = ALL
        .iter()
        .chain(&asked)
        .filter_map(|(name, document)| {
            let invalid = ExecutableDocument::parse_and_validate(schema, *document, *name).err()?;
            Some(format!("{name}: {}", invalid.errors))
        })
        .collect();
    assert_eq!(problems, Vec::<String>::new());
    assert!(ALL.len() >= 15, "every document is in ALL");
    assert!(
        asked.len() >= 50,
        "every request of the probe file is there"
    );
}

/// An introspection answer as schema text.
fn sdl(schema: &Value) -> String {
    let mut out = String::from("schema {");
    for (word, key) in [("query", "queryType"), ("mutation", "mutationType")] {
        let _ = write!(out, " {word}: {}", schema[key]["name"].as_str().unwrap());
    }
    out.push_str(" }\n");
    for of in list(&schema["types"]) {
        let name = of["name"].as_str().unwrap();
        let built_in = ["String", "Int", "Float", "Boolean", "ID"].contains(&name);
        if name.starts_with("__") || built_in {
            continue;
        }
        match of["kind"].as_str().unwrap() {
            "SCALAR" => {
                let _ = writeln!(out, "scalar {name}");
            }
            "ENUM" => {
                let values: Vec<&str> = list(&of["enumValues"])
                    .map(|value| value["name"].as_str().unwrap())
                    .collect();
                let _ = writeln!(out, "enum {name} {{ {} }}", values.join(" "));
            }
            "UNION" => {
                let members: Vec<&str> = list(&of["possibleTypes"])
                    .map(|member| member["name"].as_str().unwrap())
                    .collect();
                let _ = writeln!(out, "union {name} = {}", members.join(" | "));
            }
            "INPUT_OBJECT" => {
                let fields: Vec<String> = list(&of["inputFields"]).map(input).collect();
                let _ = writeln!(out, "input {name} {{ {} }}", fields.join(" "));
            }
            kind => {
                let word = if kind == "OBJECT" {
                    "type"
                } else {
                    "interface"
                };
                let fields: Vec<String> = list(&of["fields"]).map(field).collect();
                let _ = writeln!(out, "{word} {name} {{ {} }}", fields.join(" "));
            }
        }
    }
    out
}

fn list(of: &Value) -> impl Iterator<Item = &Value> {
    of.as_array().into_iter().flatten()
}

fn field(field: &Value) -> String {
    let arguments: Vec<String> = list(&field["args"]).map(input).collect();
    let arguments = if arguments.is_empty() {
        String::new()
    } else {
        format!("({})", arguments.join(", "))
    };
    format!(
        "{}{arguments}: {}",
        field["name"].as_str().unwrap(),
        written(&field["type"])
    )
}

fn input(input: &Value) -> String {
    let default = input["defaultValue"]
        .as_str()
        .map(|value| format!(" = {value}"))
        .unwrap_or_default();
    format!(
        "{}: {}{default}",
        input["name"].as_str().unwrap(),
        written(&input["type"])
    )
}

fn written(of: &Value) -> String {
    match of["kind"].as_str() {
        Some("NON_NULL") => format!("{}!", written(&of["ofType"])),
        Some("LIST") => format!("[{}]", written(&of["ofType"])),
        _ => of["name"].as_str().unwrap().to_owned(),
    }
}
