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
    environment.add_filter("prose", prose);
    for &(name, source) in TEMPLATES {
        environment.add_template(name, source)?;
    }
    Ok(environment.get_template(name)?.render(Serde(values))?)
}

/// A sentence for a page: what stands between backticks is code.
fn prose(text: &str) -> minijinja::Value {
    let escaped = format::escape(text);
    let mut parts = escaped.split('`');
    let mut html = parts.next().unwrap_or_default().to_owned();
    while let Some(part) = parts.next() {
        match parts.next() {
            Some(rest) => html.push_str(&format!("<code>{part}</code>{rest}")),
            None => html.push_str(&format!("`{part}")),
        }
    }
    minijinja::Value::from_safe_string(html)
}

#[cfg(test)]
mod tests {
    use super::prose;

    #[test]
    fn words_between_backticks_are_code_and_nothing_else_is_markup() {
        let html = prose("Try `a < b`, or <b>`tau`</b>.").to_string();
        assert_eq!(html, "Try <code>a &lt; b</code>, or &lt;b&gt;<code>tau</code>&lt;/b&gt;.");
        assert_eq!(prose("`ppo` and ppo`s").to_string(), "<code>ppo</code> and ppo`s");
    }
}
