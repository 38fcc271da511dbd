//! The sandbox as a client meets it: one file for each subject.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(
    clippy::needless_pass_by_value,
    reason = "phrases read better with `json!({ … })` than with a reference to it"
)]

mod client;

mod activity;
mod by_itself;
mod change_sets;
mod configuration;
mod deployments;
mod domains;
mod faults;
mod limits;
mod pages;
mod protocol;
mod schema;
mod secrets;
mod settings;
mod speed;
mod stranger;
mod subscriptions;
mod tcp;
mod tokens;
mod traps;
mod volumes;
mod wider;
