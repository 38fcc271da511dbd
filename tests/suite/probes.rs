//! The probe file: held to the facts, and asked of the sandbox in each position of its switches.

mod facts;
mod file;
mod left;
mod positions;
mod secrets;
mod stage;
