//! Scores and shares as the gate writes them.

/// A score with as many decimals as it needs to tell.
pub(super) fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        large if large >= 1e7 => format!("{value:.3e}"),
        large if large >= 1e4 => format!("{value:.0}"),
        large if large >= 10.0 => format!("{value:.1}"),
        large if large >= 0.1 => format!("{value:.3}"),
        _ => format!("{value:.2e}"),
    }
}

/// "4.2 %", "38 %".
pub fn percent(fraction: f64) -> String {
    let percent = fraction * 100.0;
    let whole = (percent - percent.round()).abs() < 1e-6;
    if percent.abs() >= 9.95 || whole {
        format!("{percent:.0} %")
    } else {
        format!("{percent:.1} %")
    }
}

/// "+4.2 %", "−38 %".
pub fn signed_percent(fraction: f64) -> String {
    // What would be printed as 0.0 has no sign.
    const NOTHING: f64 = 0.000_5;
    match fraction {
        fraction if fraction >= NOTHING => format!("+{}", percent(fraction)),
        fraction if fraction <= -NOTHING => format!("−{}", percent(-fraction)),
        _ => "0 %".into(),
    }
}
