//! The templates of all pages.

use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, escape_formatter};
use serde::Serialize;

use crate::format;

/// The templates by name; styles and scripts are put into the pages.
const TEMPLATES: &[(&str, &str)] = &[
    ("base.html", include_str!("../../templates/base.html")),
    ("head.html", include_str!("../../templates/head.html")),
    ("blocks.html", include_str!("../../templates/blocks.html")),
    ("style.css", include_str!("../../templates/style.css")),
    ("page.js", include_str!("../../templates/page.js")),
    ("playhead.js", include_str!("../../templates/playhead.js")),
    ("player.js", include_str!("../../templates/player.js")),
    ("chart.js", include_str!("../../templates/chart.js")),
    ("table.js", include_str!("../../templates/table.js")),
    ("theme.js", include_str!("../../templates/theme.js")),
    ("live.js", include_str!("../../templates/live.js")),
    ("runs.html", include_str!("../../templates/runs.html")),
    ("run.html", include_str!("../../templates/run.html")),
    ("runs.js", include_str!("../../templates/runs.js")),
];

/// Fills the template of this name in.
///
/// # Errors
/// Fails if the template is wrong, which is a mistake of this program.
pub fn render(name: &str, values: &impl Serialize) -> anyhow::Result<String> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|name| {
        if name.ends_with(".html") { AutoEscape::Html } else { AutoEscape::None }
    });
    // The engine's own escaping also rewrites slashes, which doubles the length of links.
    environment.set_formatter(|out, state, value| match value.as_str() {
        Some(text) if *state.auto_escape() == AutoEscape::Html && !value.is_safe() => {
            out.write_str(&format::escape(text)).map_err(minijinja::Error::from)
        }
        _ => escape_formatter(out, state, value),
    });
    for &(name, source) in TEMPLATES {
        environment.add_template(name, source)?;
    }
    Ok(environment.get_template(name)?.render(Serde(values))?)
}
