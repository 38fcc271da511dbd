//! The repository of manifests: real git repositories, read through the mirror.

mod accept;
mod before;
mod commits;
mod environments;
mod mirror;
mod origin;
mod web;
