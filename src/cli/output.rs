//! In which form a result is printed: by `-o`, else by `RECONCILER_OUTPUT`, else as text.

use super::Exit;
use super::screen::Screen;
use crate::config::Config;
use crate::kinds::shown::one_line;
use clap::ValueEnum;

/// Every form that some command knows. The variable is for all commands; one that has no such form prints text.
const FORMS: &[&str] = &["text", "json", "markdown", "github"];

/// The form that is wanted.
pub(super) fn chosen<T: ValueEnum + Default>(
    given: Option<T>,
    config: &Config,
    screen: &Screen,
) -> Result<T, Exit> {
    if let Some(given) = given {
        return Ok(given);
    }
    let Some(word) = config.plain("RECONCILER_OUTPUT") else {
        return Ok(T::default());
    };
    if let Ok(form) = T::from_str(word, true) {
        return Ok(form);
    }
    if FORMS.contains(&word.to_lowercase().as_str()) {
        return Ok(T::default());
    }
    screen.complain(&format!(
        "RECONCILER_OUTPUT is `{}`; there are {}",
        one_line(word),
        FORMS.join(", ")
    ));
    Err(Exit::Trouble)
}
