//! The tables of a report by themselves, for papers and for comments: as LaTeX and as Markdown.

use super::block::{Block, Cell, Figure, Table};
use super::model::Report;
use super::page;
use super::sections::SECTIONS;
use crate::format;

/// A table of the report.
#[derive(Debug)]
pub struct NamedTable {
    /// A name that no other table of the report has, of lower-case letters, digits and dashes.
    pub name: String,
    table: Table,
}

/// Every table of a report, in the order of the page.
///
/// # Errors
/// Fails if a chart cannot be laid out.
pub(super) fn of(report: &Report) -> anyhow::Result<Vec<NamedTable>> {
    let mut found = Found::default();
    for section in SECTIONS {
        found.look_into(page::blocks(*section, report)?, section.id());
    }
    Ok(found.tables)
}

#[derive(Default)]
struct Found {
    tables: Vec<NamedTable>,
}

impl Found {
    /// Takes the tables of `blocks`, which lie in what is called `place`.
    fn look_into(&mut self, blocks: Vec<Block>, place: &str) {
        let mut name = place.to_owned();
        for block in blocks {
            match block {
                Block::Heading { text } => name = format!("{place}-{}", slug(&text)),
                Block::Table(table) => self.take(&name, table),
                Block::Figure(figure) => self.take_from(figure),
                Block::Grid { figures, .. } => {
                    figures.into_iter().for_each(|one| self.take_from(one))
                }
                Block::Details { summary, blocks } => {
                    let title = summary.split(':').next().unwrap_or_default();
                    self.look_into(blocks, &format!("{name}-{}", slug(title)));
                }
                Block::Text { .. }
                | Block::Facts { .. }
                | Block::Code { .. }
                | Block::Player(_) => {}
            }
        }
    }

    fn take_from(&mut self, figure: Figure) {
        if let Some(table) = figure.table {
            self.take(&slug(&figure.id), table);
        }
    }

    fn take(&mut self, name: &str, table: Table) {
        let taken = |name: &str| self.tables.iter().any(|table| table.name == name);
        let numbered = (2..).map(|number| format!("{name}-{number}"));
        let name = std::iter::once(name.to_owned()).chain(numbered).find(|name| !taken(name));
        self.tables.extend(name.map(|name| NamedTable { name, table }));
    }
}

/// Words as part of a file's name and of a label.
fn slug(words: &str) -> String {
    let letters = words.to_lowercase();
    let words = letters.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-")
}

impl NamedTable {
    /// As a LaTeX table of the package booktabs, with the label `tab:NAME`.
    pub fn latex(&self) -> String {
        let Self { name, table } = self;
        let alignment: String =
            table.columns.iter().map(|(_, number)| if *number { 'r' } else { 'l' }).collect();
        // After a line's end these would belong to it.
        let guard = |row: &str| if row.starts_with(['[', '*']) { "{}" } else { "" };
        let line = |cells: Vec<String>| {
            let row = cells.join(" & ");
            format!("    {}{row} \\\\\n", guard(&row))
        };
        let header = line(table.columns.iter().map(|(title, _)| latex(title)).collect());
        let cell = |cell: &Cell| {
            let text = latex(&cell.text);
            let text = if cell.code { format!("\\texttt{{{text}}}") } else { text };
            noted(text, &latex(&cell.note))
        };
        let rows = table.rows.iter().map(|row| line(row.cells.iter().map(cell).collect()));
        format!(
            "\\begin{{table}}\n  \\centering\n  \\caption{{{}}}\n  \\label{{tab:{name}}}\n  \\begin{{tabular}}{{{alignment}}}\n    \
             \\toprule\n{header}    \\midrule\n{}    \\bottomrule\n  \\end{{tabular}}\n\\end{{table}}\n",
            latex(&table.caption),
            rows.collect::<String>(),
        )
    }

    /// As a table of GitHub-flavoured Markdown below its caption.
    pub fn markdown(&self) -> String {
        let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        let Table { caption, columns, rows } = &self.table;
        let header = line(columns.iter().map(|(title, _)| format::markdown(title)).collect());
        let rule = columns.iter().map(|(_, number)| if *number { "--:" } else { "---" });
        let cell = |cell: &Cell| noted(format::markdown(&cell.text), &format::markdown(&cell.note));
        let rows = rows.iter().map(|row| line(row.cells.iter().map(cell).collect()));
        format!(
            "{}\n\n{header}{}{}",
            format::markdown(caption),
            line(rule.map(str::to_owned).collect()),
            rows.collect::<String>()
        )
    }
}

/// A cell's text with its note behind it.
fn noted(text: String, note: &str) -> String {
    match (text.is_empty(), note.is_empty()) {
        (_, true) => text,
        (true, false) => note.to_owned(),
        (false, false) => format!("{text} ({note})"),
    }
}

/// Text that LaTeX sets as it is: its own characters escaped, and those that not every engine knows in commands.
fn latex(text: &str) -> String {
    format::escaped(text, |character| {
        Some(match character {
            '&' => r"\&",
            '%' => r"\%",
            '$' => r"\$",
            '#' => r"\#",
            '_' => r"\_",
            '{' => r"\{",
            '}' => r"\}",
            '\\' => r"\textbackslash{}",
            '~' => r"\textasciitilde{}",
            '^' => r"\textasciicircum{}",
            '<' => r"\textless{}",
            '>' => r"\textgreater{}",
            '|' => r"\textbar{}",
            '"' => r"\symbol{34}",
            '–' => "--",
            '—' => "---",
            '−' => "$-$",
            '…' => r"\dots{}",
            '×' => r"$\times$",
            '±' => r"$\pm$",
            '·' => r"$\cdot$",
            '→' => r"$\to$",
            '≥' => r"$\geq$",
            '≤' => r"$\leq$",
            '∞' => r"$\infty$",
            _ => return None,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::block::Row;

    fn table() -> Table {
        Table {
            caption: "Returns of 100 % of_it".into(),
            columns: vec![("agent".into(), false), ("mean".into(), true)],
            rows: vec![Row {
                cells: vec![Cell::code("a|b_1").with_note("50 % – 60 %"), Cell::new("−1.5")],
                class: "",
            }],
        }
    }

    #[test]
    fn a_table_is_set_in_latex_and_in_markdown() {
        let named = NamedTable { name: "evaluation".into(), table: table() };
        insta::assert_snapshot!(named.latex(), @r#"
        \begin{table}
          \centering
          \caption{Returns of 100 \% of\_it}
          \label{tab:evaluation}
          \begin{tabular}{lr}
            \toprule
            agent & mean \\
            \midrule
            \texttt{a\textbar{}b\_1} (50 \% -- 60 \%) & $-$1.5 \\
            \bottomrule
          \end{tabular}
        \end{table}
        "#);
        insta::assert_snapshot!(named.markdown(), @r#"
        Returns of 100 % of\_it

        | agent | mean |
        | --- | --: |
        | a\|b\_1 (50 % – 60 %) | −1.5 |
        "#);
    }

    #[test]
    fn tables_are_named_by_where_they_lie_and_no_two_alike() {
        let figure =
            Figure { id: "return-distribution".into(), table: Some(table()), ..Figure::default() };
        let details = |summary: &str| Block::Details {
            summary: summary.into(),
            blocks: vec![Block::Table(table())],
        };
        let mut found = Found::default();
        found.look_into(
            vec![
                Block::Table(table()),
                Block::Table(table()),
                Block::Figure(figure),
                details("Run A, agent PPO: 3 set, 40 settings in all"),
                Block::Heading { text: "CartPole-v1".into() },
                Block::Table(table()),
            ],
            "settings",
        );
        let names: Vec<_> = found.tables.iter().map(|table| table.name.as_str()).collect();
        let expected = [
            "settings",
            "settings-2",
            "return-distribution",
            "settings-run-a-agent-ppo",
            "settings-cartpole-v1",
        ];
        assert_eq!(names, expected);
    }
}
