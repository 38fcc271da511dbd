//! The repository of manifests: real git repositories, read through the mirror.

mod mirror;
mod origin;
mod web;
