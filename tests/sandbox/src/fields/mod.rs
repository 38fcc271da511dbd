//! The fields of Railway's larger types, one file for each group; smaller types are plain JSON.

mod account;
pub mod activity;
mod deployment;
mod environment;
pub mod logs;
pub mod networking;
mod project;
mod service;

pub use account::{person, project_token, token, workspace};
pub use deployment::{deployment, events};
pub use environment::{environment, patch, triggers, variable, volume_instance};
pub use project::{environments, project, volume};
pub use service::{instance, service};
