//! What a run came to, as `rushes run` tells it at its end.

use std::fmt::Write as _;
use std::path::Path;

use crate::console::{Tone, printable};
use crate::format;
use crate::report::{AgentConclusion, Conclusion};

/// The most trials whose films are told of.
const MOST_FILMED: usize = 6;

/// The verdict, a line for each agent, the findings, where the films are and what may come next, for
/// [`crate::console::styled`].
pub(super) fn text(conclusion: &Conclusion, next: &[(String, &str)]) -> String {
    let tone = match conclusion.tone {
        "good" => Tone::Good,
        "bad" => Tone::Bad,
        "mixed" => Tone::Mixed,
        _ => Tone::Strong,
    };
    let mut text = format!("\n{}\n", tone.paint(&conclusion.headline));
    for finding in &conclusion.findings {
        let _ = writeln!(text, "  {}", printable(finding));
    }
    text.push('\n');
    text.push_str(&table(&conclusion.agents));
    if !conclusion.films.is_empty() {
        let _ = writeln!(text, "\n{}", Tone::Strong.paint("films"));
        for (trial, films) in conclusion.films.iter().take(MOST_FILMED) {
            let films = match &films[..] {
                [first, .., last] if films.len() > 3 => {
                    format!("{first}, {} more, {last}", films.len() - 2)
                }
                films => films.join(", "),
            };
            let _ = writeln!(text, "  {}: {}", shown(trial), printable(&films));
        }
        if let Some(more @ 1..) = conclusion.films.len().checked_sub(MOST_FILMED) {
            let _ = writeln!(text, "  and of {} more", format::plural(more, "trial"));
        }
    }
    if !next.is_empty() {
        let _ = writeln!(text, "\n{}", Tone::Strong.paint("next"));
    }
    for (command, what) in next {
        let _ = writeln!(
            text,
            "  {}\n  {}",
            Tone::Faint.paint(&format!("# {what}")),
            printable(command)
        );
    }
    text
}

/// A line for each agent: mean return, interval, before and after training.
fn table(agents: &[AgentConclusion]) -> String {
    let means = agents.iter().flat_map(|agent| [agent.mean, agent.before]).flatten();
    let decimals = format::decimals(means);
    let number = |value: Option<f64>| {
        value.map_or_else(|| "–".to_owned(), |value| format::fixed(value, decimals))
    };
    let mut rows =
        vec![["agent", "mean return", "95 % interval", "before", "seeds"].map(String::from)];
    rows.extend(agents.iter().map(|agent| {
        let interval = agent.interval.map_or_else(
            || "–".to_owned(),
            |i| format!("{} – {}", number(Some(i.low)), number(Some(i.high))),
        );
        let before = agent.before.map_or_else(String::new, |before| number(Some(before)) + " →");
        let name = printable(&format::shorten(&agent.name, 40)).into_owned();
        [name, number(agent.mean), interval, before, format::count(agent.seeds as u64)]
    }));
    let width =
        |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..5).map(width).collect();
    let mut text = String::new();
    for (index, [name, mean, interval, before, seeds]) in rows.iter().enumerate() {
        let [a, b, c, d, e] = widths[..] else { unreachable!("five columns") };
        let line = format!("  {name:<a$}  {before:>d$}  {mean:>b$}  {interval:>c$}  {seeds:>e$}");
        let line = line.trim_end();
        let _ = match index {
            0 => writeln!(text, "{}", Tone::Faint.paint(line)),
            _ => writeln!(text, "{line}"),
        };
        let searched = agents.get(index.wrapping_sub(1)).map_or(&[][..], |agent| &agent.searched);
        if !searched.is_empty() {
            let name = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
            let values = searched.iter().map(|(path, value)| format!("{}={value}", name(path)));
            let values = values.collect::<Vec<_>>().join(" ");
            let _ =
                writeln!(text, "    best sample: {}", printable(&format::shorten(&values, 200)));
        }
    }
    text
}

/// A path as short as it can be said from here.
pub(super) fn shown(path: &Path) -> String {
    let here = std::env::current_dir().ok();
    let below = here.and_then(|here| path.strip_prefix(here).ok().map(Path::to_owned));
    printable(&below.as_deref().unwrap_or(path).display().to_string()).into_owned()
}
