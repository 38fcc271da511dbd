//! The Railway provider on the wire: every document, every trap, every failure and every answer that nobody states, against the sandbox.

pub mod railway;

mod documents;
mod failures;
mod health;
mod releases;
mod requests;
mod starts;
mod stories;
mod switches;
mod to_and_fro;
mod traps;
