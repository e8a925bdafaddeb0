//! The signs, each a file's section in `docs/diagnosis.md`.
//!
//! The numbers that they are held against were chosen on seeds 100 to 119 of `tests/diagnosis/run` and measured on others.

use super::course::Course;
use crate::format;
use crate::stats;

/// A sign.
pub(super) struct Sign {
    /// Its name, the heading in `docs/diagnosis.md`.
    pub(super) name: &'static str,
    /// What is seen.
    pub(super) what: &'static str,
    /// What to try.
    pub(super) advice: &'static str,
    /// Signs that it explains: they are not told beside it.
    explains: &'static [&'static str],
    /// Whether a trial shows it, how plainly, and the numbers that say so.
    look: fn(&Course) -> Option<(f64, String)>,
}

/// A sign that a trial shows.
pub(super) struct Seen {
    pub(super) sign: &'static Sign,
    /// Greater where it is plainer.
    pub(super) strength: f64,
    pub(super) evidence: String,
}

/// What a trial shows that does not learn, what explains most first.
pub(super) fn seen(course: &Course) -> Vec<Seen> {
    if course.learns() {
        return Vec::new();
    }
    let mut seen: Vec<Seen> = Vec::new();
    for sign in SIGNS {
        if seen.iter().any(|before| before.sign.explains.contains(&sign.name)) {
            continue;
        }
        if let Some((strength, evidence)) = (sign.look)(course) {
            seen.push(Seen { sign, strength, evidence });
        }
    }
    seen
}

/// All signs, those that explain most first.
pub(super) const SIGNS: &[Sign] = &[
    Sign {
        name: "few-updates",
        what: "the policy was hardly ever updated",
        advice: "Train for longer, or update sooner: a smaller `learning_starts`, `n_steps` × `n_envs`, `train_freq` or \
                 `episodes_per_update`.",
        explains: &[
            "weights-at-rest",
            "target-at-rest",
            "entropy-kept",
            "only-time-limit",
            "still-rising",
        ],
        look: few_updates,
    },
    Sign {
        name: "weights-at-rest",
        what: "all steps of the optimiser together could hardly move the weights",
        advice: "Try a larger `learning_rate`, or train for longer.",
        explains: &["target-at-rest", "entropy-kept", "only-time-limit"],
        look: weights_at_rest,
    },
    Sign {
        name: "replay-short",
        what: "the replay memory holds only what happened last",
        advice: "Try a larger `buffer_size`: a tenth of the schedule's steps or more.",
        explains: &["values-exploding", "only-time-limit"],
        look: replay_short,
    },
    Sign {
        name: "target-at-rest",
        what: "the target networks were hardly ever updated, so that values look one step ahead",
        advice: "Try a smaller `target_update_interval` or a larger `tau`.",
        explains: &["only-time-limit"],
        look: target_at_rest,
    },
    Sign {
        name: "horizon-short",
        what: "`gamma` makes it look only a few steps ahead in episodes that are long",
        advice: "Try 0.99: rewards count over 1 / (1 − gamma) steps.",
        explains: &["only-time-limit"],
        look: horizon_short,
    },
    Sign {
        name: "reward-scale",
        what: "the values to learn are far from unit scale",
        advice: "Try `normalize_rewards` where the algorithm has it, or `environment.wrappers.reward_scale`, so that the \
                 discounted return is between 1 and 1,000.",
        explains: &["values-exploding", "only-time-limit"],
        look: reward_scale,
    },
    Sign {
        name: "values-exploding",
        what: "the learned values are far larger than any return can be",
        advice: "Try a smaller `learning_rate`, and targets that follow more slowly (`tau`, `target_update_interval`).",
        explains: &["only-time-limit"],
        look: values_exploding,
    },
    Sign {
        name: "policy-jumps",
        what: "an update changes the policy far more than its clipping allows for",
        advice: "Try a smaller `learning_rate`, fewer `n_epochs`, a `clip_range` of 0.2, or set `target_kl`.",
        explains: &["entropy-gone", "only-time-limit"],
        look: policy_jumps,
    },
    Sign {
        name: "entropy-gone",
        what: "the policy stopped exploring early on, before it had learned",
        advice: "Try a smaller `learning_rate`, or a larger `ent_coef`.",
        explains: &["only-time-limit"],
        look: entropy_gone,
    },
    Sign {
        name: "entropy-kept",
        what: "the policy is still as random as before training",
        advice: "Try a smaller `ent_coef`, or a larger `learning_rate`.",
        explains: &["only-time-limit"],
        look: entropy_kept,
    },
    Sign {
        name: "only-time-limit",
        what: "every episode ends by the time limit with the same return, which tells good actions from bad ones nowhere",
        advice: "The reward may be too rare to be found: explore for longer (`ent_coef`, `exploration_fraction`, action \
                 noise, `use_sde`), shape the reward, or begin with a policy that finds it (`initial_policy`).",
        explains: &[],
        look: only_time_limit,
    },
    Sign {
        name: "still-rising",
        what: "returns were still rising when the schedule ended",
        advice: "Train for longer: `rushes run FILE --resume=RUN --set …steps=…` goes on where a run of rushes' own ended.",
        explains: &[],
        look: still_rising,
    },
];

/// Algorithms with a gradient make hundreds of updates.
fn few_updates(course: &Course) -> Option<(f64, String)> {
    course.setting("learning_rate").filter(|_| !is_tabular(course))?;
    let progress = course.trial.progress;
    (progress.updates < 10 && progress.steps > 0).then(|| {
        let updates = format::plural(progress.updates as usize, "update");
        (
            -(progress.updates as f64),
            format!("{updates} in {} steps", format::count(progress.steps)),
        )
    })
}

fn is_tabular(course: &Course) -> bool {
    matches!(course.trial.plan.settings.policy, crate::policy::PolicySpec::Tabular(_))
}

/// Adam moves a weight by about its step size at a time, and fresh weights are about a tenth.
fn weights_at_rest(course: &Course) -> Option<(f64, String)> {
    let rate = course.metric_mean("learning_rate", 0.0, 1.0)?;
    let steps = course.gradient_steps()?;
    let moved = rate * steps;
    (moved < 0.05 && !is_tabular(course)).then(|| {
        let evidence = format!(
            "{} steps of {} move a weight by {} at most",
            format::count(steps as u64),
            format::number(rate),
            format::number(moved)
        );
        (-moved, evidence)
    })
}

fn replay_short(course: &Course) -> Option<(f64, String)> {
    let (held, batch) = (course.setting("buffer_size")?, course.setting("batch_size")?);
    let steps = course.trial.progress.steps as f64;
    let few = held < 1_000.0_f64.max(4.0 * batch) && held < steps / 10.0;
    few.then(|| {
        let evidence =
            format!("{} of {} steps", format::count(held as u64), format::count(steps as u64));
        (-held, evidence)
    })
}

fn target_at_rest(course: &Course) -> Option<(f64, String)> {
    let tau = course.setting("tau")?;
    let updates = match course.setting("target_update_interval") {
        Some(interval) if course.has("exploration_fraction") => {
            (course.trial.progress.steps as f64 / interval).floor()
        }
        _ => course.gradient_steps()?,
    };
    let moved = tau * updates;
    (moved < 1.0).then(|| {
        let evidence = format!(
            "{} by a share of {} each",
            format::plural(updates as usize, "update"),
            format::number(tau)
        );
        (-moved, evidence)
    })
}

fn horizon_short(course: &Course) -> Option<(f64, String)> {
    let horizon = course.horizon()?;
    let length = course.time_limit?;
    let short = horizon <= 10.0 && length >= 5.0 * horizon;
    short.then(|| {
        let evidence = format!(
            "about {} of up to {} steps",
            format::number(horizon),
            format::count(length as u64)
        );
        (-horizon, evidence)
    })
}

fn reward_scale(course: &Course) -> Option<(f64, String)> {
    let normalised =
        course.settings()?.get("normalize_rewards").and_then(serde_json::Value::as_bool);
    if normalised == Some(true) || is_tabular(course) {
        return None;
    }
    course.setting("learning_rate")?;
    let value = course.reward_size()? * course.horizon()?;
    let far = value > 5_000.0 || (value > 0.0 && value < 1e-3);
    far.then(|| {
        let evidence = format!("discounted returns of about {}", format::number(value));
        (value.log10().abs(), evidence)
    })
}

fn values_exploding(course: &Course) -> Option<(f64, String)> {
    let learned = course.metric_mean("q_value", 0.8, 1.0)?.abs();
    // Soft values count the bonus for entropy, too.
    let bonus = course.metric_mean("ent_coef", 0.0, 1.0).unwrap_or(0.0)
        * course.metric_mean("entropy", 0.0, 1.0).unwrap_or(0.0).abs();
    let possible = (course.reward_size()? + bonus) * course.horizon()?;
    (learned > 10.0 * possible && learned > 10.0).then(|| {
        let evidence = format!(
            "values of {} where discounted returns are about {}",
            format::number(learned),
            format::number(possible)
        );
        (learned / possible, evidence)
    })
}

fn policy_jumps(course: &Course) -> Option<(f64, String)> {
    let kl = course.metric_mean("approx_kl", 0.0, 0.5)?;
    let clipped = course.metric_mean("clip_fraction", 0.0, 0.5)?;
    (kl > 0.1 || clipped > 0.5).then(|| {
        let evidence = format!(
            "a KL divergence of {} and {:.0} % of the ratios clipped",
            format::number(kl),
            100.0 * clipped
        );
        (kl, evidence)
    })
}

fn entropy_gone(course: &Course) -> Option<(f64, String)> {
    let values = &course.metric("entropy")?.returns;
    // The entropy of a density may be below 0 and says nothing by itself.
    if course.has("target_entropy") || values.iter().any(|entropy| *entropy < 0.0) {
        return None;
    }
    let early = course.metric_mean("entropy", 0.2, 0.5)?;
    (early < 0.05).then(|| {
        let evidence =
            format!("an entropy of {} nats in the first half of training", format::number(early));
        (-early, evidence)
    })
}

fn entropy_kept(course: &Course) -> Option<(f64, String)> {
    let first = course.metric_mean("entropy", 0.0, 0.05)?;
    let last = course.metric_mean("entropy", 0.9, 1.0)?;
    // Of a policy that chooses nothing any more, all changes are small.
    let kept = first > 0.3 && last > 0.97 * first;
    kept.then(|| {
        let evidence = format!(
            "an entropy of {} nats at the start and {} at the end",
            format::number(first),
            format::number(last)
        );
        (last / first, evidence)
    })
}

fn only_time_limit(course: &Course) -> Option<(f64, String)> {
    let (cut, all) = (course.trial.truncated, course.trial.progress.episodes);
    let returns = &course.trial.returns.returns;
    let (low, high) =
        (returns.iter().copied().reduce(f64::min)?, returns.iter().copied().reduce(f64::max)?);
    let same = high - low <= 0.01 * low.abs().max(high.abs());
    (all > 0 && cut as f64 >= 0.99 * all as f64 && same).then(|| {
        let evidence = format!(
            "{} of {} training episodes, with returns of {} to {}",
            format::count(cut),
            format::count(all),
            format::number(low),
            format::number(high)
        );
        (all as f64, evidence)
    })
}

fn still_rising(course: &Course) -> Option<(f64, String)> {
    let returns = &course.trial.returns.returns;
    let part = |from: f64, to: f64| {
        let at = |share: f64| (share * returns.len() as f64) as usize;
        &returns[at(from)..at(to)]
    };
    let (first, middle, end) = (part(0.0, 0.2), part(0.33, 0.67), part(0.75, 1.0));
    let error = |values: &[f64]| Some(stats::sample_std(values)? / (values.len() as f64).sqrt());
    let [a, b, c] = [stats::mean(first)?, stats::mean(middle)?, stats::mean(end)?];
    let doubt = error(middle)?.hypot(error(end)?);
    (c - b > 2.0 * doubt && c - b > 0.2 * (c - a) && c > a).then(|| {
        let evidence = format!(
            "training returns of {} in the middle and {} at the end",
            format::number(b),
            format::number(c)
        );
        ((c - b) / doubt, evidence)
    })
}
