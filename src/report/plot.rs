//! Lines over one or several horizontal axes: learning curves, diagnostics, shares of seeds, runs of a history.
//!
//! plotters draws them once, against the first axis. Their numbers go into the page beside the drawing, so that the
//! page's script (`templates/chart.js`) can tell them, draw a part of them, draw them on logarithmic scales, smoothed
//! or against another axis, and write them down as CSV.

use serde_json::{Value, json};

use super::block::Figure;
use super::chart::{Axis, Chart, Layer, Rule, Size, Ticks};
use super::model::Series;
use crate::format;
use crate::results::Curve;
use crate::results::aggregate::{self, Against, Point};

/// Points that all thin lines in one drawing have together: what a page still opens with at once.
const LINE_BUDGET: usize = 9000;
/// Points that the single values have together, which nobody sees before asking for them.
const EACH_BUDGET: usize = 12_000;
/// With more thin lines than this in one drawing, each is fainter.
const CROWD: usize = 30;
/// With more seeds than this, there are no switches for single ones.
const MOST_SEED_SWITCHES: usize = 60;
/// Significant digits of the page's numbers.
const DIGITS: i32 = 6;

/// Lines with what they are drawn in.
#[derive(Debug, Clone, Default)]
pub(super) struct Plot {
    /// The figure's id on the page, unique.
    pub id: String,
    /// Its title.
    pub title: String,
    /// How to read it.
    pub caption: String,
    /// What the vertical axis shows.
    pub y: String,
    /// Whether that is a share, from nothing to all.
    pub share: bool,
    /// The horizontal axes to choose from, the one to begin with first.
    pub x: Vec<Horizontal>,
    /// The lines.
    pub lines: Vec<PlotLine>,
    /// Values that are marked over the whole width.
    pub rules: Vec<Rule>,
    /// What the single values are that thin lines average over, where they have them ([`Thin::each`]).
    pub each: &'static str,
}

/// A horizontal axis.
#[derive(Debug, Clone, Default)]
pub(super) struct Horizontal {
    /// The word for a button.
    pub word: String,
    /// The words for the axis.
    pub label: String,
    /// Where it begins and ends, where the lines do not say it.
    pub range: Option<(f64, f64)>,
    /// Names of the places 1, 2, …, where they have some.
    pub names: Vec<String>,
}

impl From<Against> for Horizontal {
    fn from(against: Against) -> Self {
        Self { word: against.word().into(), label: against.label().into(), ..Self::default() }
    }
}

/// A thick line, its interval, and thin lines that it is made of.
#[derive(Debug, Clone)]
pub(super) struct PlotLine {
    /// The number of the series among those of the report.
    pub number: usize,
    /// Its name.
    pub label: String,
    /// CSS classes.
    pub class: String,
    /// Whether its points are marked.
    pub dots: bool,
    /// What the legend says of it and ranks it by.
    pub rank: Rank,
    /// The thick line against each horizontal axis.
    pub middle: Vec<Vec<Point>>,
    /// The thin lines.
    pub thin: Vec<Thin>,
}

/// What a legend ranks lines by.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rank {
    /// Where they end.
    Last,
    /// Another value.
    By(Option<f64>),
}

/// A thin line: a seed.
#[derive(Debug, Clone)]
pub(super) struct Thin {
    /// The seed.
    pub seed: u64,
    /// What is drawn.
    pub curve: Curve,
    /// What may be drawn in its place: the single values that it averages over.
    pub each: Curve,
}

impl PlotLine {
    /// A line without thin ones.
    pub(super) fn new(number: usize, series: &Series, middle: Vec<Vec<Point>>) -> Self {
        let (label, class) = (series.label.clone(), series.class.clone());
        Self { number, label, class, dots: false, rank: Rank::Last, middle, thin: Vec::new() }
    }

    /// A line through points that have no interval, against each horizontal axis.
    pub(super) fn plain(number: usize, series: &Series, axes: Vec<Vec<(f64, f64)>>) -> Self {
        let point = |(x, y)| Point { x, middle: y, low: y, high: y };
        let points = |points: Vec<(f64, f64)>| points.into_iter().map(point).collect();
        Self::new(number, series, axes.into_iter().map(points).collect())
    }

    /// What the legend says of it and ranks it by.
    fn value(&self) -> Option<f64> {
        match self.rank {
            Rank::Last => Some(self.middle.first()?.last()?.middle),
            Rank::By(value) => value,
        }
    }

    fn data(&self) -> Vec<(&'static str, u64)> {
        vec![("series", self.number as u64)]
    }
}

impl Plot {
    /// The figure, its legend ranked; nothing where no line has two points.
    ///
    /// # Errors
    /// Fails if the chart cannot be laid out.
    pub(super) fn figure(self, sizes: &[Size]) -> anyhow::Result<Option<Figure>> {
        let is_line = |line: &PlotLine| line.middle.iter().any(|points| points.len() > 1);
        if !self.lines.iter().any(is_line) {
            return Ok(None);
        }
        let svgs: Vec<String> =
            sizes.iter().map(|&size| self.chart(size).svg(size)).collect::<anyhow::Result<_>>()?;
        let mut ranked: Vec<&PlotLine> = self.lines.iter().collect();
        let value = |line: &PlotLine| line.value().unwrap_or(f64::NEG_INFINITY);
        ranked.sort_by(|a, b| value(b).total_cmp(&value(a)));
        let legend = ranked.iter().map(|line| super::block::LegendEntry {
            series: line.number,
            label: line.label.clone(),
            class: line.class.clone(),
            value: line.value().map_or_else(String::new, |value| match (self.share, line.rank) {
                (true, Rank::Last) => format!("{:.0} %", value * 100.0),
                _ => format::number(value),
            }),
        });
        let mut seeds: Vec<u64> =
            self.lines.iter().flat_map(|line| &line.thin).map(|thin| thin.seed).collect();
        seeds.sort_unstable();
        seeds.dedup();
        if seeds.len() < 2 || seeds.len() > MOST_SEED_SWITCHES {
            seeds.clear();
        }
        let axes = self.x.iter().map(|x| x.word.clone()).collect();
        Ok(Some(Figure {
            legend: legend.collect(),
            data: self.data(),
            id: self.id,
            title: self.title,
            caption: self.caption,
            svgs,
            axes,
            seeds,
            table: None,
        }))
    }

    /// How many points a thin line may have, where all have so many together.
    fn share_of(&self, budget: usize) -> usize {
        let count: usize = self.lines.iter().map(|line| line.thin.len()).sum();
        (budget / count.max(1)).max(24)
    }

    fn chart(&self, size: Size) -> Chart {
        let count: usize = self.lines.iter().map(|line| line.thin.len()).sum();
        let crowd = if count > CROWD { " crowd" } else { "" };
        let each = self.share_of(LINE_BUDGET).min(size.width as usize / 3);
        let against = Against::ALL[0];
        let first = |line: &PlotLine| line.middle.first().cloned().unwrap_or_default();
        let (mut bands, mut thin, mut means) = (Vec::new(), Vec::new(), Vec::new());
        let mut places = Vec::new();
        for line in &self.lines {
            let points = first(line);
            places.extend(points.iter().flat_map(|p| match line.thin.is_empty() {
                true => vec![(p.x, p.low), (p.x, p.high)],
                false => vec![(p.x, p.middle)],
            }));
            if points.iter().any(|point| point.low != point.high) {
                bands.push(Layer::Band {
                    class: format!("band {}", line.class),
                    points: points.iter().map(|p| (p.x, p.low, p.high)).collect(),
                    data: line.data(),
                });
            }
            for one in &line.thin {
                let points = against.points(&one.curve);
                places.extend(&points);
                let data = [line.data(), vec![("seed", one.seed)]].concat();
                thin.push(Layer::Line {
                    class: format!("seed {}{crowd}", line.class),
                    points: aggregate::thinned(&points, each),
                    data,
                });
            }
            let class = format!("mean {}", line.class);
            let points: Vec<_> = points.iter().map(|point| (point.x, point.middle)).collect();
            if points.len() > 1 {
                let (points, class) = (points.clone(), class.clone());
                means.push(Layer::Line { class, points, data: line.data() });
            }
            if line.dots || points.len() == 1 {
                means.push(Layer::Dots { class, points, data: line.data() });
            }
        }
        let rules = self.rules.iter().cloned().map(Layer::Rule);
        let Horizontal { label, range, names, .. } = self.x.first().cloned().unwrap_or_default();
        let ticks = if names.is_empty() { Ticks::Number } else { Ticks::Whole };
        let end = places.iter().map(|&(x, _)| x).fold(0.0, f64::max);
        let x = match range {
            Some((min, max)) => Axis { label, min, max, ticks },
            None => Axis::from_zero(label, end),
        };
        let y = match self.share {
            true => Axis { label: self.y.clone(), min: 0.0, max: 1.02, ticks: Ticks::Percent },
            false => Axis::around_with(self.y.clone(), places.iter().map(|&(_, y)| y), &self.rules),
        };
        let names: Vec<_> = self.lines.iter().map(|line| line.label.clone()).collect();
        Chart {
            description: format!(
                "{} against {} for {}; the numbers can be read with the arrow keys",
                self.title,
                x.label,
                format::list(&names)
            ),
            x,
            y,
            layers: bands.into_iter().chain(thin).chain(rules).chain(means).collect(),
        }
    }

    /// The numbers, for the page's script.
    fn data(&self) -> String {
        let (of_curves, of_each) = (self.share_of(LINE_BUDGET), self.share_of(EACH_BUDGET));
        let axes = self.x.len();
        let curve = |curve: &Curve, most: usize| -> Value {
            let curve = curve.thinned(most);
            let mut columns: Vec<Value> = Vec::new();
            for against in &Against::ALL[..axes.min(Against::ALL.len())] {
                columns.push(match against {
                    Against::Steps => json!(curve.steps),
                    Against::Episodes => json!(curve.episodes),
                    Against::Seconds => rounded(curve.seconds.iter().copied()),
                });
            }
            columns.push(rounded(curve.returns.iter().copied()));
            columns.into()
        };
        let middle = |points: &Vec<Point>| -> Value {
            let column = |of: fn(&Point) -> f64| rounded(points.iter().map(of));
            json!([column(|p| p.x), column(|p| p.middle), column(|p| p.low), column(|p| p.high)])
        };
        let line = |line: &PlotLine| {
            let thin =
                line.thin.iter().map(|thin| json!([thin.seed, curve(&thin.curve, of_curves)]));
            let each = line
                .thin
                .iter()
                .filter(|thin| !thin.each.is_empty())
                .map(|thin| json!([thin.seed, curve(&thin.each, of_each)]));
            json!({
                "series": line.number,
                "label": line.label,
                "class": line.class,
                "dots": line.dots,
                "middle": line.middle.iter().map(middle).collect::<Vec<_>>(),
                "thin": thin.collect::<Vec<_>>(),
                "each": each.collect::<Vec<_>>(),
            })
        };
        let rule = |rule: &Rule| json!({ "y": rule.y, "label": rule.label, "class": rule.class });
        let horizontal = |x: &Horizontal| json!({ "word": x.word, "label": x.label, "range": x.range, "names": x.names });
        let thin = || self.lines.iter().flat_map(|line| &line.thin).map(|thin| &thin.each);
        let drawn: usize = thin().map(|each| each.len().min(of_each)).sum();
        let all: u64 = thin().filter_map(|each| each.episodes.last()).sum();
        let data = json!({
            "y": self.y,
            "share": self.share,
            "each": if drawn > 0 { json!({ "label": self.each, "drawn": drawn, "of": all }) } else { Value::Null },
            "x": self.x.iter().map(horizontal).collect::<Vec<_>>(),
            "rules": self.rules.iter().map(rule).collect::<Vec<_>>(),
            "lines": self.lines.iter().map(line).collect::<Vec<_>>(),
        });
        // No name may end the script.
        data.to_string().replace('<', "\\u003c")
    }
}

/// Numbers to [`DIGITS`] significant digits; null for what is none.
fn rounded(values: impl Iterator<Item = f64>) -> Value {
    let round = |value: f64| {
        let exponent = value.abs().log10().floor();
        match value {
            _ if !exponent.is_finite() => json!(value),
            _ => {
                let text = format!("{value:.*e}", (DIGITS - 1) as usize);
                let value: f64 = text.parse().unwrap_or(value);
                // Whole numbers without their fraction: shorter.
                if value.fract() == 0.0 && value.abs() < 1e15 {
                    json!(value as i64)
                } else {
                    json!(value)
                }
            }
        }
    };
    values.map(round).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pages_numbers_keep_six_digits_at_every_scale() {
        let values = [1_234_567.0, 0.0, -0.123_456_78, 3.000_000_01e-5, 12.0, f64::NAN];
        let written = rounded(values.into_iter()).to_string();
        assert_eq!(written, "[1234570,0.0,-0.123457,0.00003,12,null]");
    }

    fn line(points: &[(f64, f64)]) -> PlotLine {
        let point = |&(x, y): &(f64, f64)| Point { x, middle: y, low: y, high: y };
        PlotLine {
            number: 0,
            label: "ppo".into(),
            class: "c0 d0".into(),
            dots: false,
            rank: Rank::Last,
            middle: vec![points.iter().map(point).collect()],
            thin: Vec::new(),
        }
    }

    fn figure(lines: Vec<PlotLine>) -> Option<Figure> {
        let x = vec![Against::Steps.into()];
        Plot { x, lines, ..Plot::default() }.figure(&super::super::chart::SMALL).unwrap()
    }

    #[test]
    fn one_point_is_no_chart() {
        assert!(figure(vec![line(&[(1.0, 2.0)])]).is_none());
        assert!(figure(vec![line(&[(1.0, 2.0), (2.0, 3.0)])]).is_some());
    }

    #[test]
    fn a_legend_is_ranked_by_where_the_lines_end() {
        let low = line(&[(0.0, 9.0), (1.0, 1.0)]);
        let high = PlotLine { label: "sac".into(), ..line(&[(0.0, 0.0), (1.0, 5.5)]) };
        let legend = figure(vec![low, high]).unwrap().legend;
        let names: Vec<_> = legend.iter().map(|e| (e.label.as_str(), e.value.as_str())).collect();
        assert_eq!(names, [("sac", "5.5"), ("ppo", "1")]);
    }
}
