//! All tests of the product, in one binary: one link, one place to look.

mod manifest;
mod plans;
mod worlds;
