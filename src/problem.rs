//! What is wrong with a manifest, where, and what would be right: one value for every check and every face.

use crate::source::Place;
use serde::Serialize;

/// One thing that is wrong in a manifest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Problem {
    /// The path of the file as people are shown it.
    pub file: String,
    /// Counts from 1; 0 where the file as a whole is meant.
    pub line: u32,
    /// Counts from 1, in characters.
    pub column: u32,
    /// A stable word for the sort of problem, such as `unknown-field`.
    pub code: &'static str,
    /// What is wrong, in a lowercase sentence without a full stop.
    pub message: String,
    /// What would be right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// Another place that explains this one: the first of two, the base that is laid over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub related: Option<Related>,
}

/// A second place that explains a problem.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Related {
    /// The path of the file as people are shown it.
    pub file: String,
    /// Counts from 1.
    pub line: u32,
    /// What is there: `first declared here`.
    pub label: String,
}

impl Problem {
    /// A problem at a place.
    pub fn at(place: &Place, code: &'static str, message: impl Into<String>) -> Problem {
        Problem {
            file: place.file.to_string(),
            line: place.line,
            column: place.column,
            code,
            message: message.into(),
            help: None,
            related: None,
        }
    }

    /// A problem of a whole file or directory.
    pub fn of_file(file: &str, code: &'static str, message: impl Into<String>) -> Problem {
        Problem {
            file: file.to_owned(),
            line: 0,
            column: 0,
            code,
            message: message.into(),
            help: None,
            related: None,
        }
    }

    /// Adds what would be right.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Problem {
        self.help = Some(help.into());
        self
    }

    /// Adds a second place.
    #[must_use]
    pub fn related(mut self, place: &Place, label: impl Into<String>) -> Problem {
        self.related = Some(Related {
            file: place.file.to_string(),
            line: place.line,
            label: label.into(),
        });
        self
    }
}

/// The candidate nearest to a mistyped word, when it is near enough to be what was meant.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let bound = (word.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .map(|candidate| {
            (
                strsim::osa_distance(&word.to_lowercase(), &candidate.to_lowercase()),
                candidate,
            )
        })
        .filter(|(distance, _)| *distance <= bound)
        .min()
        .map(|(_, candidate)| candidate)
}
