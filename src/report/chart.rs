//! Charts: plotters draws, a backend of our own writes SVG whose look the page decides.
//!
//! plotters' own SVG backend fixes colours and fonts in the file. Here every shape carries CSS classes
//! instead, so that one drawing follows light and dark themes, and data attributes, so that the page's
//! script can find a seed's line. Coordinates are finer than pixels by [`SCALE`], because plotters counts in
//! whole ones.

use std::cell::RefCell;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::rc::Rc;

use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters_backend::{
    BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingErrorKind,
};

use crate::format;

/// Drawing units per pixel.
const SCALE: i32 = 10;
/// Height of tick labels in pixels; `style.css` sets the same.
const TICK_SIZE: f64 = 11.0;

/// A chart's size in pixels. Each chart is drawn for wide and for narrow pages, because shrinking one
/// drawing would shrink its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    /// The class that the page shows or hides it by.
    pub name: &'static str,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
}

/// Charts over the whole width, for wide and for narrow pages.
pub(super) const FULL: [Size; 2] = [
    Size { name: "wide", width: 900, height: 340 },
    Size { name: "narrow", width: 358, height: 260 },
];

/// Charts of which several stand in a row.
pub(super) const SMALL: [Size; 1] = [Size { name: "any", width: 358, height: 190 }];

/// One axis.
#[derive(Debug, Clone)]
pub(super) struct Axis {
    /// What it shows, with its unit.
    pub label: String,
    /// Where it begins.
    pub min: f64,
    /// Where it ends.
    pub max: f64,
    /// How its numbers are written; an empty axis has none.
    pub ticks: Ticks,
}

/// How an axis is labelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ticks {
    /// Plain numbers.
    Number,
    /// Whole numbers alone.
    Whole,
    /// Per cent of one.
    Percent,
    /// No ticks: rows are labelled by [`Layer::RowLabel`].
    Rows,
    /// No axis: columns are labelled by [`Layer::Column`].
    Columns,
}

impl Axis {
    /// An axis that shows all of `values`, with some air above and below.
    pub(super) fn around(label: impl Into<String>, values: impl IntoIterator<Item = f64>) -> Self {
        Self::around_with(label, values, &[])
    }

    /// The same with the `rules` that are near: one that would leave less than half of the height to the values is
    /// left outside.
    pub(super) fn around_with(
        label: impl Into<String>,
        values: impl IntoIterator<Item = f64>,
        rules: &[Rule],
    ) -> Self {
        let (mut min, mut max) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.into_iter().filter(|value| value.is_finite()) {
            min = min.min(value);
            max = max.max(value);
        }
        if min > max {
            (min, max) = (0.0, 1.0);
        }
        let from_zero = |min: f64, max: f64| min >= 0.0 && min < 0.4 * max;
        let seen = if from_zero(min, max) { max } else { max - min };
        for rule in rules {
            let (low, high) = (min.min(rule.y), max.max(rule.y));
            if high - low <= 2.0 * seen {
                (min, max) = (low, high);
            }
        }
        // What differs by rounding alone is a constant: a line in the middle, and no noise from edge to edge.
        let constant = max - min <= 1e-9 * min.abs().max(max.abs());
        let air = match max.abs() {
            _ if !constant => (max - min) * 0.05,
            0.0 => 1.0,
            size => size * 0.1,
        };
        // A return that is never negative reads best from zero.
        let floor = if from_zero(min, max) { 0.0 } else { min - air };
        Self { label: label.into(), min: floor, max: max + air, ticks: Ticks::Number }
    }

    /// An axis from zero to `max`.
    pub(super) fn from_zero(label: impl Into<String>, max: f64) -> Self {
        let max = if max.is_finite() && max > 0.0 { max } else { 1.0 };
        Self { label: label.into(), min: 0.0, max, ticks: Ticks::Number }
    }

    fn write(&self, value: f64) -> String {
        match self.ticks {
            Ticks::Number => format::tick(value, self.max),
            Ticks::Whole if value.fract() != 0.0 => String::new(),
            Ticks::Whole => format::number(value),
            Ticks::Percent => format!("{:.0} %", value * 100.0),
            Ticks::Rows | Ticks::Columns => String::new(),
        }
    }
}

/// A value that a chart marks over its whole width. One that lies above or below the axis is told of at its edge.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rule {
    /// Where.
    pub y: f64,
    /// The words.
    pub label: String,
    /// `goal` for what an experiment is about, with its words at the left end; else empty, with them at the right.
    pub class: &'static str,
}

/// Something drawn; later layers cover earlier ones. `class` holds CSS classes.
#[derive(Debug, Clone)]
pub(super) enum Layer {
    /// A line through points; `data` becomes `data-…` attributes.
    Line {
        /// CSS classes.
        class: String,
        /// Where it runs.
        points: Vec<(f64, f64)>,
        /// Names and values of data attributes.
        data: Vec<(&'static str, u64)>,
    },
    /// The area between two lines: x, lower and upper y.
    Band {
        /// CSS classes.
        class: String,
        /// x, lower and upper y.
        points: Vec<(f64, f64, f64)>,
        /// Names and values of data attributes.
        data: Vec<(&'static str, u64)>,
    },
    /// A horizontal line over the whole width, with words above it.
    Rule(Rule),
    /// Dots.
    Dots {
        /// CSS classes.
        class: String,
        /// Where.
        points: Vec<(f64, f64)>,
        /// Names and values of data attributes.
        data: Vec<(&'static str, u64)>,
    },
    /// An upright axis of its own, for parallel coordinates.
    Column {
        /// Where it stands.
        x: f64,
        /// Its name, above it.
        name: String,
        /// Heights and the words beside them.
        ticks: Vec<(f64, String)>,
    },
    /// Words to the left of the axis at a height, for charts whose rows are things.
    RowLabel {
        /// The height.
        y: f64,
        /// The words.
        text: String,
    },
}

/// A chart, before it has a size.
#[derive(Debug, Clone)]
pub(super) struct Chart {
    /// What it shows, for those who cannot see it.
    pub description: String,
    /// The axis to the right.
    pub x: Axis,
    /// The axis upwards.
    pub y: Axis,
    /// What is drawn.
    pub layers: Vec<Layer>,
}

impl Chart {
    /// Draws it in each of these sizes.
    ///
    /// # Errors
    /// As [`Chart::svg`].
    pub(super) fn svgs(&self, sizes: &[Size]) -> anyhow::Result<Vec<String>> {
        sizes.iter().map(|&size| self.svg(size)).collect()
    }

    /// Draws it.
    ///
    /// # Errors
    /// Fails if plotters cannot lay it out, which a size that is too small would cause.
    pub(super) fn svg(&self, size: Size) -> anyhow::Result<String> {
        let sheet = Rc::new(RefCell::new(Sheet::default()));
        let backend = Backend { sheet: Rc::clone(&sheet), size };
        let plot = self
            .draw(backend, size, &sheet)
            .map_err(|error| anyhow::anyhow!("failed to draw a chart: {error}"))?;
        let body = std::mem::take(&mut sheet.borrow_mut().body);
        let [left, right, top, bottom] = plot.map(|place| f64::from(place) / f64::from(SCALE));
        Ok(format!(
            "<svg class=\"chart {name}\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" role=\"img\" aria-label=\"{description}\" \
             data-plot=\"{left} {right} {top} {bottom}\" data-x=\"{} {}\" data-y=\"{} {}\">{body}</svg>",
            self.x.min,
            self.x.max,
            self.y.min,
            self.y.max,
            name = size.name,
            width = size.width,
            height = size.height,
            description = format::escape(&self.description),
        ))
    }

    /// Draws onto `backend`; gives the plot's left, right, top and bottom in drawing units.
    fn draw(
        &self,
        backend: Backend,
        size: Size,
        sheet: &RefCell<Sheet>,
    ) -> Result<[i32; 4], DrawingAreaErrorKind<Infallible>> {
        let narrow = size.width < 500;
        let rows = self.y.ticks == Ticks::Rows;
        let columns = self.y.ticks == Ticks::Columns;
        let root = backend.into_drawing_area();
        let left = match (rows, narrow) {
            _ if columns => 6,
            (true, true) => 96,
            (true, false) => 150,
            (false, _) => 12 + (self.widest_tick() as f64 * TICK_SIZE * 0.62) as i32,
        };
        let mut chart = ChartBuilder::on(&root)
            .margin_top((if self.y.label.is_empty() && !columns { 8 } else { 24 }) * SCALE)
            .margin_right((if columns { 52 } else { 14 }) * SCALE)
            .margin_left(2 * SCALE)
            .margin_bottom((if self.x.label.is_empty() { 2 } else { 18 }) * SCALE)
            .x_label_area_size(22 * SCALE)
            .y_label_area_size(left * SCALE)
            .build_cartesian_2d(self.x.min..self.x.max, self.y.min..self.y.max)?;
        let font = ("sans-serif", TICK_SIZE * f64::from(SCALE)).into_font();
        let mut mesh = chart.configure_mesh();
        mesh.axis_style(AXIS)
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .label_style(font)
            .set_all_tick_mark_size(4 * SCALE)
            .x_labels(if narrow { 5 } else { 9 })
            .y_labels(if size.height < 220 { 4 } else { 6 });
        let (x_ticks, y_ticks) = (|v: &f64| self.x.write(*v), |v: &f64| self.y.write(*v));
        mesh.x_label_formatter(&x_ticks).y_label_formatter(&y_ticks);
        if columns {
            mesh.disable_mesh().disable_axes();
        } else if rows {
            mesh.disable_y_mesh().disable_y_axis();
        } else {
            mesh.disable_x_mesh();
        }
        mesh.draw()?;
        let (xs, ys) = chart.plotting_area().get_pixel_range();
        let plot = [xs.start, xs.end, ys.start, ys.end];
        for layer in &self.layers {
            draw_layer(&mut chart, &root, sheet, layer, plot)?;
        }
        let title = |text: &str, place, anchor: Pos, class: &str| {
            sheet.borrow_mut().pen = format!("class=\"{class}\"");
            root.draw_text(text, &label_style(anchor), place)
        };
        let (width, height) = (size.width as i32 * SCALE, size.height as i32 * SCALE);
        if !self.y.label.is_empty() {
            title(
                &self.y.label,
                (2 * SCALE, 4 * SCALE),
                Pos::new(HPos::Left, VPos::Top),
                "axis-title",
            )?;
        }
        if !self.x.label.is_empty() {
            let place = (width - 14 * SCALE, height - 2 * SCALE);
            title(&self.x.label, place, Pos::new(HPos::Right, VPos::Bottom), "axis-title")?;
        }
        drop(chart);
        Ok(plot)
    }

    /// Characters of the longest number beside the y axis, near enough to leave room for it.
    fn widest_tick(&self) -> usize {
        let step = (self.y.max - self.y.min) / 5.0;
        let digits = if step > 0.0 { 10_f64.powf(step.log10().floor()) } else { 1.0 };
        (0..=5)
            .map(|i| ((self.y.min + f64::from(i) * step) / digits).round() * digits)
            .map(|value| self.y.write(value).chars().count())
            .max()
            .unwrap_or(4)
    }
}

type Plot<'a> = ChartContext<'a, Backend, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

fn draw_layer(
    chart: &mut Plot<'_>,
    root: &DrawingArea<Backend, plotters::coord::Shift>,
    sheet: &RefCell<Sheet>,
    layer: &Layer,
    plot: [i32; 4],
) -> Result<(), DrawingAreaErrorKind<Infallible>> {
    let pen = |attributes: String| sheet.borrow_mut().pen = attributes;
    match layer {
        Layer::Line { class, points, data } => {
            pen(attributes(class, data));
            chart.draw_series([PathElement::new(points.clone(), BLACK)])?;
        }
        Layer::Band { class, points, data } => {
            pen(attributes(class, data));
            let lower = points.iter().map(|&(x, low, _)| (x, low));
            let upper = points.iter().rev().map(|&(x, _, high)| (x, high));
            chart.draw_series([Polygon::new(lower.chain(upper).collect::<Vec<_>>(), BLACK)])?;
        }
        Layer::Dots { class, points, data } => {
            pen(attributes(class, data));
            chart.draw_series(
                points.iter().map(|&at| Circle::new(at, 2 * SCALE + 5, BLACK.filled())),
            )?;
        }
        Layer::Rule(Rule { y, label, class }) => {
            let [left, right, top, bottom] = plot;
            let (_, at) = chart.backend_coord(&(0.0, *y));
            let (edge, arrow) = match at {
                _ if at < top => (top + 14 * SCALE, " ↑"),
                _ if at > bottom => (bottom, " ↓"),
                _ => (at, ""),
            };
            if arrow.is_empty() {
                pen(format!("class=\"rule {class}\""));
                root.draw(&PathElement::new([(left, at), (right, at)], BLACK))?;
            }
            pen(format!("class=\"rule-label {class}\""));
            let (side, from) = match *class {
                "goal" => (HPos::Left, left + 6 * SCALE),
                _ => (HPos::Right, right - 2 * SCALE),
            };
            let style = label_style(Pos::new(side, VPos::Bottom));
            let most = if right - left < 500 * SCALE { 40 } else { 80 };
            let label = format!("{}{arrow}", format::shorten(label, most));
            root.draw_text(&label, &style, (from, edge - 3 * SCALE))?;
        }
        Layer::Column { x, name, ticks } => {
            let [left, right, top, bottom] = plot;
            let (at, _) = chart.backend_coord(&(*x, 0.0));
            pen("class=\"axis\"".into());
            root.draw(&PathElement::new([(at, top), (at, bottom)], BLACK))?;
            pen("class=\"column-label\"".into());
            let style = label_style(Pos::new(HPos::Left, VPos::Center));
            for (y, text) in ticks {
                let (_, height) = chart.backend_coord(&(*x, *y));
                root.draw_text(&format::shorten(text, 12), &style, (at + 5 * SCALE, height))?;
            }
            pen("class=\"axis-title\"".into());
            let side = if at == left { HPos::Left } else { HPos::Center };
            let style = label_style(Pos::new(side, VPos::Bottom));
            let most = if right - left < 500 * SCALE { 13 } else { 22 };
            root.draw_text(&format::shorten(name, most), &style, (at, top - 8 * SCALE))?;
        }
        Layer::RowLabel { y, text } => {
            let (_, at) = chart.backend_coord(&(0.0, *y));
            pen("class=\"row-label\"".into());
            let style = label_style(Pos::new(HPos::Right, VPos::Center));
            let most = if plot[0] < 120 * SCALE { 14 } else { 22 };
            root.draw_text(&format::shorten(text, most), &style, (plot[0] - 10 * SCALE, at))?;
        }
    }
    Ok(())
}

fn label_style(anchor: Pos) -> TextStyle<'static> {
    TextStyle::from(("sans-serif", TICK_SIZE * f64::from(SCALE)).into_font()).pos(anchor)
}

fn attributes(class: &str, data: &[(&'static str, u64)]) -> String {
    let mut attributes = format!("class=\"{class}\"");
    for (name, value) in data {
        let _ = write!(attributes, " data-{name}=\"{value}\"");
    }
    attributes
}

/// The mesh is drawn in one go, so its parts are told apart by colour.
const GRID: RGBColor = RGBColor(1, 0, 0);
const AXIS: RGBColor = RGBColor(2, 0, 0);

/// What has been drawn, and the attributes of what comes next (by colour where there are none).
#[derive(Default)]
struct Sheet {
    body: String,
    pen: String,
}

impl Sheet {
    fn attributes(&self, color: BackendColor) -> String {
        match color.rgb {
            _ if !self.pen.is_empty() => self.pen.clone(),
            (1, 0, 0) => "class=\"grid\"".into(),
            _ => "class=\"axis\"".into(),
        }
    }
}

/// plotters' way onto a [`Sheet`].
struct Backend {
    sheet: Rc<RefCell<Sheet>>,
    size: Size,
}

/// A coordinate in pixels, with a decimal where there is one.
struct Px(i32);

impl std::fmt::Display for Px {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (sign, whole, part) =
            (if self.0 < 0 { "-" } else { "" }, self.0.abs() / SCALE, self.0.abs() % SCALE);
        if part == 0 { write!(f, "{sign}{whole}") } else { write!(f, "{sign}{whole}.{part}") }
    }
}

/// Writes an SVG path; `relative` moves are shorter than absolute ones.
fn path_data(points: impl IntoIterator<Item = BackendCoord>) -> String {
    let mut data = String::new();
    let mut last: Option<BackendCoord> = None;
    for (x, y) in points {
        match last {
            None => {
                let _ = write!(data, "M{} {}", Px(x), Px(y));
            }
            Some(at) if at == (x, y) => {}
            Some((from_x, from_y)) => {
                let _ = write!(data, "l{} {}", Px(x - from_x), Px(y - from_y));
            }
        }
        last = Some((x, y));
    }
    data
}

type Drawn = Result<(), DrawingErrorKind<Infallible>>;

impl DrawingBackend for Backend {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        (self.size.width * SCALE as u32, self.size.height * SCALE as u32)
    }

    fn ensure_prepared(&mut self) -> Drawn {
        Ok(())
    }

    fn present(&mut self) -> Drawn {
        Ok(())
    }

    fn draw_pixel(&mut self, point: BackendCoord, color: BackendColor) -> Drawn {
        self.draw_rect(point, point, &color, true)
    }

    fn draw_line<S: BackendStyle>(
        &mut self,
        from: BackendCoord,
        to: BackendCoord,
        style: &S,
    ) -> Drawn {
        self.draw_path([from, to], style)
    }

    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        path: I,
        style: &S,
    ) -> Drawn {
        if style.color().alpha > 0.0 {
            let mut sheet = self.sheet.borrow_mut();
            let attributes = sheet.attributes(style.color());
            let _ = write!(sheet.body, "<path {attributes} d=\"{}\"/>", path_data(path));
        }
        Ok(())
    }

    fn draw_rect<S: BackendStyle>(
        &mut self,
        (left, top): BackendCoord,
        (right, bottom): BackendCoord,
        style: &S,
        _: bool,
    ) -> Drawn {
        let corners = [(left, top), (right, top), (right, bottom), (left, bottom)];
        self.fill_polygon(corners, style)
    }

    fn draw_circle<S: BackendStyle>(
        &mut self,
        (x, y): BackendCoord,
        radius: u32,
        style: &S,
        _: bool,
    ) -> Drawn {
        let mut sheet = self.sheet.borrow_mut();
        let attributes = sheet.attributes(style.color());
        let _ = write!(
            sheet.body,
            "<circle {attributes} cx=\"{}\" cy=\"{}\" r=\"{}\"/>",
            Px(x),
            Px(y),
            Px(radius as i32)
        );
        Ok(())
    }

    fn fill_polygon<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        vert: I,
        style: &S,
    ) -> Drawn {
        // A shape without an area may have been clipped away.
        let outline = path_data(vert);
        if !outline.is_empty() {
            let mut sheet = self.sheet.borrow_mut();
            let attributes = sheet.attributes(style.color());
            let _ = write!(sheet.body, "<path {attributes} d=\"{outline}z\"/>");
        }
        Ok(())
    }

    fn draw_text<S: BackendTextStyle>(
        &mut self,
        text: &str,
        style: &S,
        (x, y): BackendCoord,
    ) -> Drawn {
        let Pos { h_pos, v_pos } = style.anchor();
        let anchor = match h_pos {
            HPos::Left => "start",
            HPos::Center => "middle",
            HPos::Right => "end",
        };
        // Shifted by hand: renderers disagree on `dominant-baseline`.
        let shift = match v_pos {
            VPos::Top => TICK_SIZE * 0.85,
            VPos::Center => TICK_SIZE * 0.35,
            VPos::Bottom => 0.0,
        };
        let mut sheet = self.sheet.borrow_mut();
        let attributes =
            if sheet.pen.is_empty() { "class=\"tick\"".into() } else { sheet.pen.clone() };
        let _ = write!(
            sheet.body,
            "<text {attributes} x=\"{}\" y=\"{}\" text-anchor=\"{anchor}\">{}</text>",
            Px(x),
            Px(y + (shift * f64::from(SCALE)) as i32),
            format::escape(text)
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(layers: Vec<Layer>) -> Chart {
        Chart {
            description: "a <test>".into(),
            x: Axis::from_zero("steps", 10.0),
            y: Axis::around("return", [0.0, 5.0]),
            layers,
        }
    }

    #[test]
    fn shapes_carry_classes_and_no_colours() {
        let line = Layer::Line {
            class: "line c0".into(),
            points: vec![(0.0, 0.0), (10.0, 5.0)],
            data: vec![("seed", 3)],
        };
        let svg = chart(vec![line]).svg(FULL[0]).unwrap();
        assert!(svg.contains("<path class=\"line c0\" data-seed=\"3\" d=\"M"), "{svg}");
        assert!(svg.contains("class=\"grid\"") && svg.contains("class=\"tick\""), "{svg}");
        assert!(!svg.contains("fill=") && !svg.contains('#'), "{svg}");
    }

    #[test]
    fn a_shape_without_an_area_leaves_no_broken_path() {
        let bar = |end: f64| Layer::Band {
            class: "bar".into(),
            points: vec![(0.0, 1.0, 2.0), (end, 1.0, 2.0)],
            data: vec![],
        };
        let svg = chart(vec![bar(0.0), bar(5.0)]).svg(FULL[0]).unwrap();
        assert!(!svg.contains("d=\"z\""), "{svg}");
        assert!(svg.contains("<path class=\"bar\" d=\"M"), "{svg}");
    }

    #[test]
    fn words_are_escaped() {
        let label = Layer::Rule(Rule { y: 2.0, label: "<script>".into(), class: "" });
        let svg = chart(vec![label]).svg(SMALL[0]).unwrap();
        assert!(svg.contains("&lt;script&gt;") && svg.contains("a &lt;test&gt;"), "{svg}");
        assert!(!svg.contains("<script"), "{svg}");
    }

    #[test]
    fn an_axis_has_an_extent_for_flat_missing_and_infinite_values() {
        let flat = Axis::around("", [500.0, 500.0]);
        assert!(flat.min < 500.0 && flat.max > 500.0);
        let nothing = Axis::around("", [f64::NAN]);
        assert!(nothing.min < nothing.max);
        assert!(Axis::around("", [f64::INFINITY, 1.0]).max.is_finite());
        assert!(Axis::from_zero("", 0.0).max > 0.0);
        let noise = Axis::around("", [3e-4, 3e-4 + 1e-19, 3e-4 - 1e-19]);
        assert!(noise.min < 2.8e-4 && noise.max > 3.2e-4 && noise.max < 1e-3, "{noise:?}");
    }

    #[test]
    fn a_rule_that_would_flatten_the_values_is_told_of_at_the_edge() {
        let rule = |y| Rule { y, label: format!("threshold {y}"), class: "" };
        let axis = |low, high, y| Axis::around_with("", [low, high], &[rule(y)]);
        assert!(axis(0.0, 200.0, 390.0).max > 390.0);
        assert!(axis(0.0, 200.0, 475.0).max < 250.0);
        assert!(axis(-400.0, -300.0, -250.0).max > -250.0);
        assert!(axis(-400.0, -300.0, -100.0).max < -290.0);
        let svg = chart(vec![Layer::Rule(rule(475.0)), Layer::Rule(rule(3.0))]).svg(FULL[0]);
        let svg = svg.unwrap();
        assert_eq!(svg.matches("<path class=\"rule").count(), 1, "{svg}");
        assert!(svg.contains("threshold 475 ↑</text>"), "{svg}");
    }

    #[test]
    fn pixels_keep_one_decimal_and_their_sign() {
        let written: Vec<_> = [0, 5, 10, -5, -23].map(|n| Px(n).to_string()).into();
        assert_eq!(written, ["0", "0.5", "1", "-0.5", "-2.3"]);
    }
}
