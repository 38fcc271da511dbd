//! What nobody states about Railway, as questions that are asked of Railway itself.
//!
//! The questions stand in `railway/*.yaml`, which is documentation too: each with what it is asked with and what every
//! answer means for the product. Pure: `sheet` reads them, `seen` picks values out of replies, `answer` chooses. Shell:
//! `ground` makes a throw-away environment and takes it away, `ask` sends the requests, `run` asks one question after the
//! other. `report` tells what came out.

mod answer;
mod ask;
mod ground;
mod report;
mod run;
mod seen;
mod sheet;

pub use ground::Names;
pub use report::{Finding, Outcome, Report};
pub use run::{Audience, Manner, Run};
pub use sheet::{Need, NotProbed, Probe, Sheet};
