//! The errors Railway answers with, in its own words.

#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    pub message: String,
    pub code: &'static str,
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

    pub fn new(message: &str, code: &'static str) -> Refusal {
        Refusal {
            message: message.to_string(),
            code,
        }
    }
}

pub const INTERNAL: &str = "INTERNAL_SERVER_ERROR";
pub const UNAUTHENTICATED: &str = "UNAUTHENTICATED";
