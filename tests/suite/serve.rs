//! The controller over HTTP, on real sockets of loopback: who is let in, what is said, what a push does, and the page in a browser.

mod api;
mod browser;
mod chromium;
mod connections;
mod doors;
mod health;
mod metrics;
mod orders;
mod page;
mod stage;
mod webhook;
