//! The errors Railway answers with, in its own words.

#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    pub message: String,
    pub code: &'static str,
    /// A further extension of the error.
    pub more: Option<(&'static str, String)>,
}

impl Refusal {
    pub fn not_authorized() -> Refusal {
        Refusal::new("Not Authorized", UNAUTHENTICATED)
    }

    pub fn problem() -> Refusal {
        Refusal::new("Problem processing request", INTERNAL)
    }

    pub fn bad_input(message: &str) -> Refusal {
        Refusal::new(message, "BAD_USER_INPUT")
    }

    pub fn internal(message: &str) -> Refusal {
        Refusal::new(message, INTERNAL)
    }

    pub fn two_factor(workspace: &str) -> Refusal {
        Refusal {
            more: Some(("workspaceName", workspace.to_string())),
            ..Refusal::internal("Two Factor Authentication Required")
        }
    }

    pub fn new(message: &str, code: &'static str) -> Refusal {
        Refusal {
            message: message.to_string(),
            code,
            more: None,
        }
    }
}

pub const INTERNAL: &str = "INTERNAL_SERVER_ERROR";
/// The environment has moved since the plan was made.
pub const STALE: &str = "STALE_ENVIRONMENT_BASE";
pub const UNAUTHENTICATED: &str = "UNAUTHENTICATED";
