//! What sections are made of. `templates/blocks.html` knows how each of these looks.

use serde::Serialize;

use crate::format;

/// A piece of a section.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Block {
    /// A paragraph.
    Text {
        /// The words.
        text: String,
    },
    /// A heading inside the section.
    Heading {
        /// The words.
        text: String,
    },
    /// Labels and values.
    Facts {
        /// In reading order.
        facts: Vec<Fact>,
    },
    /// A table.
    Table(Table),
    /// A chart, or one in several variants.
    Figure(Figure),
    /// Small charts in rows.
    Grid {
        /// What the charts are called together.
        label: String,
        /// Which line is which, in all of them.
        legend: Vec<LegendEntry>,
        /// In reading order.
        figures: Vec<Figure>,
    },
    /// Text as a terminal shows it.
    Code {
        /// What it is.
        label: String,
        /// The text.
        text: String,
        /// Whether a button copies it.
        copy: bool,
    },
    /// Blocks that unfold.
    Details {
        /// What is always seen.
        summary: String,
        /// What unfolds.
        blocks: Vec<Block>,
    },
    /// The player.
    Player(super::player::Player),
}

impl Block {
    /// A paragraph.
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text { text: text.into() }
    }

    /// The same with `suffix` behind a figure's id, for a page that has the figure several times.
    pub(super) fn with_suffix(mut self, suffix: usize) -> Self {
        let figures = match &mut self {
            Self::Figure(figure) => std::slice::from_mut(figure),
            Self::Grid { figures, .. } => figures,
            _ => &mut [],
        };
        for figure in figures {
            figure.id.push_str(&format!("-{suffix}"));
        }
        self
    }
}

/// A label and its value.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Fact {
    /// What it is.
    pub label: String,
    /// What it is here.
    pub value: String,
    /// Whether the value is code: a path, a hash, a version.
    pub code: bool,
}

impl Fact {
    /// A value in words.
    pub(super) fn new(label: impl Into<String>, value: impl Into<String>) -> Self {
        Self { label: label.into(), value: value.into(), code: false }
    }

    /// A value that is code.
    pub(super) fn code(label: impl Into<String>, value: impl Into<String>) -> Self {
        Self { code: true, ..Self::new(label, value) }
    }
}

/// A table whose first column names its rows.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Table {
    /// What it shows; every table has one, since it may be read aloud.
    pub caption: String,
    /// The columns' titles; `true` for those that hold numbers.
    pub columns: Vec<(String, bool)>,
    /// The rows.
    pub rows: Vec<Row>,
}

/// A row of a table.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Row {
    /// Its cells, the first one its name.
    pub cells: Vec<Cell>,
    /// CSS classes: `baseline`, `changed`, `failed`.
    pub class: &'static str,
}

/// A cell of a table.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Cell {
    /// The words or the number.
    pub text: String,
    /// Less important words below.
    pub note: String,
    /// The CSS class of the swatch before it, empty for none.
    pub swatch: String,
    /// Whether it is code.
    pub code: bool,
}

impl Cell {
    /// Plain words.
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// Code.
    pub(super) fn code(text: impl Into<String>) -> Self {
        Self { code: true, ..Self::new(text) }
    }

    /// A number, or a dash where there is none.
    pub(super) fn number(value: Option<f64>, decimals: usize) -> Self {
        Self::new(value.map_or("–".into(), |value| format::fixed(value, decimals)))
    }

    /// The same with less important words below.
    pub(super) fn with_note(self, note: impl Into<String>) -> Self {
        Self { note: note.into(), ..self }
    }
}

/// A chart with what belongs to it.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Figure {
    /// Its id on the page, unique.
    pub id: String,
    /// Its title.
    pub title: String,
    /// How to read it.
    pub caption: String,
    /// The drawing in each of its sizes.
    pub svgs: Vec<String>,
    /// The horizontal axes that a reader may choose from.
    pub axes: Vec<String>,
    /// The numbers that the page's script draws from ([`super::plot`]), JSON that may stand in a page; empty for a
    /// chart that is drawn once.
    pub data: String,
    /// Which line is which.
    pub legend: Vec<LegendEntry>,
    /// Seeds whose lines can be shown and hidden.
    pub seeds: Vec<u64>,
    /// The same as numbers.
    pub table: Option<Table>,
}

/// A line's name and look.
#[derive(Debug, Clone, Serialize)]
pub(super) struct LegendEntry {
    /// The series' number, which its lines carry as `data-series`.
    pub series: usize,
    /// Its name.
    pub label: String,
    /// Its CSS classes.
    pub class: String,
    /// Where its line ends, in words.
    pub value: String,
}
