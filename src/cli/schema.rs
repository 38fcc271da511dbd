//! `reconciler schema`: the JSON Schemas of the kinds, and of a plan as JSON.

use super::Exit;
use super::screen::Screen;
use crate::kinds::KINDS;
use crate::kinds::shown::one_line;
use crate::manifest::{all_schemas, schema_of};
use crate::plan::json;
use crate::problem::nearest;
use crate::status;
use std::fs;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The kind, such as `Service`, or `plan`, `status` or `event`; all names where none is given.
    kind: Option<String>,
    /// Write all schemas into this directory.
    #[arg(long, conflicts_with = "kind", env = "RECONCILER_WRITE")]
    write: Option<PathBuf>,
}

/// A name with what writes its schema.
type Printed = (&'static str, fn() -> String);

/// What is printed as JSON, beside the kinds.
const DOCUMENTS: [Printed; 3] = [
    ("plan", json::schema),
    ("status", status::schema),
    ("event", status::event::schema),
];

pub(super) fn schema(arguments: &Arguments, screen: &Screen) -> Exit {
    match (&arguments.write, &arguments.kind) {
        (Some(directory), _) => write(directory, screen),
        (None, Some(kind)) => print(kind, screen),
        (None, None) => screen.result(&(names().join("\n") + "\n")),
    }
}

fn names() -> Vec<&'static str> {
    let documents = DOCUMENTS.iter().map(|(name, _)| *name);
    KINDS
        .iter()
        .map(|kind| kind.name)
        .chain(documents)
        .collect()
}

fn print(kind: &str, screen: &Screen) -> Exit {
    let known = names()
        .into_iter()
        .find(|name| name.eq_ignore_ascii_case(kind));
    let document = DOCUMENTS.iter().find(|(name, _)| Some(*name) == known);
    let text = match (known, document) {
        (_, Some((_, schema))) => Some(schema()),
        (Some(name), None) => schema_of(name)
            .and_then(|schema| serde_json::to_string_pretty(&schema).ok())
            .map(|text| text + "\n"),
        (None, None) => None,
    };
    if let Some(text) = text {
        return screen.result(&text);
    }
    let help = nearest(kind, names()).map_or_else(
        || "`reconciler schema` lists the kinds".to_owned(),
        |near| format!("did you mean `{near}`?"),
    );
    screen.complain(&format!("there is no kind `{}`; {help}", one_line(kind)));
    Exit::Trouble
}

fn write(directory: &Path, screen: &Screen) -> Exit {
    let documents = DOCUMENTS.map(|(name, schema)| (format!("{name}.schema.json"), schema()));
    let written = fs::create_dir_all(directory).and_then(|()| {
        all_schemas()
            .into_iter()
            .chain(documents)
            .try_for_each(|(name, text)| fs::write(directory.join(name), text))
    });
    match written {
        Ok(()) => Exit::InStep,
        Err(failure) => {
            screen.complain(&format!(
                "cannot write schemas to {}: {failure}",
                directory.display()
            ));
            Exit::Trouble
        }
    }
}
