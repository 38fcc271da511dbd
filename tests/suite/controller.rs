//! `reconciler run` as a real process: on a bare repository, a store in a folder, and a sandbox behind a real port.

mod commits;
mod direct;
mod killed;
mod orders;
mod pair;
mod scenarios;
mod stage;
mod window;
