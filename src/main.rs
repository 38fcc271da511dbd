//! The `reconciler` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    reconciler::cli::run()
}
