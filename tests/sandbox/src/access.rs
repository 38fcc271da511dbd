//! Who is calling, and what that token may see and write.

use http::HeaderMap;

use crate::refusal::{INTERNAL, Refusal, STALE, UNAUTHENTICATED};
use crate::seed::TokenKind;
use crate::state::{Environment, Project, State};
use crate::switches::{AuthCode, Switches};

#[derive(Clone, Debug)]
pub struct Caller {
    /// The token as sent, the key of its rate limit.
    pub token: Option<String>,
    pub kind: Option<TokenKind>,
    pub project_id: Option<String>,
    pub environment_id: Option<String>,
    read_only: bool,
    /// Why every field is refused.
    trouble: Option<Refusal>,
    /// Why everything but the person's own account is refused.
    second_factor: Option<Refusal>,
}

impl Caller {
    pub fn of(headers: &HeaderMap, state: &State) -> Caller {
        let text = |name: &str| {
            headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .map(str::trim)
        };
        if let Some(token) = text("project-access-token") {
            return Caller::with_token(token, true, state);
        }
        let bearer = text("authorization").and_then(|value| {
            value
                .strip_prefix("Bearer ")
                .or(value.strip_prefix("bearer "))
        });
        match bearer {
            Some(token) => Caller::with_token(token.trim(), false, state),
            None => Caller::nobody(),
        }
    }

    /// Nobody: may only ask what the schema is.
    pub fn nobody() -> Caller {
        let trouble = Some(Refusal::not_authorized());
        Caller {
            token: None,
            kind: None,
            project_id: None,
            environment_id: None,
            read_only: true,
            trouble,
            second_factor: None,
        }
    }

    fn with_token(token: &str, project_header: bool, state: &State) -> Caller {
        let nobody = |trouble: Refusal| Caller {
            token: Some(token.to_string()),
            trouble: Some(trouble),
            ..Caller::nobody()
        };
        let known = state
            .seed
            .tokens
            .get(token)
            .filter(|known| (known.kind == TokenKind::Project) == project_header);
        let Some(known) = known else {
            let unknown = if project_header {
                Refusal::new("Project Token not found", UNAUTHENTICATED)
            } else {
                Refusal::not_authorized()
            };
            return nobody(unknown);
        };
        if known.expires.is_some_and(|expires| state.now >= expires) {
            return nobody(Refusal::not_authorized());
        }
        let project = known.project.as_ref().and_then(|name| {
            state
                .projects
                .values()
                .find(|project| project.name == *name)
        });
        let environment = project.and_then(|project| {
            project
                .environments
                .iter()
                .filter_map(|id| state.environments.get(id))
                .find(|environment| Some(&environment.name) == known.environment.as_ref())
        });
        let workspace = &state.seed.workspace;
        let lacks_factor = known.kind == TokenKind::Session && workspace.requires_two_factor;
        let kind = match known.kind {
            TokenKind::Session => TokenKind::Account,
            kind => kind,
        };
        Caller {
            token: Some(token.to_string()),
            second_factor: lacks_factor.then(|| Refusal::two_factor(&workspace.name)),
            kind: Some(kind),
            project_id: project.map(|project| project.id.clone()),
            environment_id: environment.map(|environment| environment.id.clone()),
            read_only: known.read_only,
            trouble: None,
        }
    }

    /// The same caller with a token that has just run out.
    pub fn expired(self) -> Caller {
        Caller {
            trouble: Some(Refusal::not_authorized()),
            ..self
        }
    }

    pub fn check(&self) -> Result<(), Refusal> {
        self.trouble.clone().map_or(Ok(()), Err)
    }

    /// For everything that is the workspace's and not the person's own.
    pub fn check_second_factor(&self) -> Result<(), Refusal> {
        self.second_factor.clone().map_or(Ok(()), Err)
    }

    pub fn check_writer(&self) -> Result<(), Refusal> {
        self.check()?;
        self.check_second_factor()?;
        if self.read_only {
            Err(Refusal::not_authorized())
        } else {
            Ok(())
        }
    }

    pub fn check_kind(&self, kinds: &[TokenKind]) -> Result<(), Refusal> {
        match self.kind {
            Some(kind) if kinds.contains(&kind) => Ok(()),
            _ => Err(Refusal::not_authorized()),
        }
    }

    pub fn sees_environment(&self, environment: &Environment) -> bool {
        match &self.environment_id {
            Some(bound) => *bound == environment.id,
            None => !environment.restricted,
        }
    }

    pub fn sees_project(&self, project: &Project) -> bool {
        self.project_id
            .as_ref()
            .is_none_or(|bound| *bound == project.id)
    }

    pub fn may_read_project(&self, project: &Project, switches: &Switches) -> Result<(), Refusal> {
        let barred =
            self.kind == Some(TokenKind::Project) && !switches.project_token_may_read_project;
        if barred || !self.sees_project(project) {
            Err(Refusal::not_authorized())
        } else {
            Ok(())
        }
    }

    pub fn may_write_project(&self, project: &Project, switches: &Switches) -> Result<(), Refusal> {
        let barred =
            self.kind == Some(TokenKind::Project) && !switches.project_token_may_write_project;
        if barred || !self.sees_project(project) {
            Err(Refusal::not_authorized())
        } else {
            Ok(())
        }
    }

    /// The name that goes into histories.
    pub fn author(&self) -> String {
        self.token.clone().unwrap_or_default()
    }
}

/// The code beside a message: whether a refused token has one of its own is a switch.
pub fn code_shown(code: &str, switches: &Switches) -> &'static str {
    match (code, switches.auth_code) {
        (UNAUTHENTICATED, AuthCode::Unauthenticated) => UNAUTHENTICATED,
        ("BAD_USER_INPUT", _) => "BAD_USER_INPUT",
        (STALE, _) => STALE,
        _ => INTERNAL,
    }
}
