//! A decision as JUnit XML, which every CI system shows.

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::text::{headline, score};
use super::{Decision, Verdict};

/// One test case for each comparison: regressed is a failure, inconclusive an error.
///
/// # Errors
/// Fails if the XML cannot be written.
pub fn junit(decision: &Decision) -> anyhow::Result<String> {
    let mut suite = TestSuite::new(format!("rushes check {}", decision.experiment));
    for comparison in &decision.comparisons {
        let failed = |kind: NonSuccessKind| {
            let mut status = TestCaseStatus::non_success(kind);
            status
                .set_type(comparison.verdict.word())
                .set_message(format!("{}: {}", comparison.agent, comparison.explanation));
            status
        };
        let status = match comparison.verdict {
            Verdict::Held | Verdict::Improved | Verdict::Same => TestCaseStatus::success(),
            Verdict::Regressed | Verdict::Different => failed(NonSuccessKind::Failure),
            Verdict::Inconclusive => failed(NonSuccessKind::Error),
        };
        let name = format!("{}: {}", comparison.agent, comparison.metric);
        let mut case = TestCase::new(name, status);
        case.set_classname(decision.experiment.as_str());
        case.set_system_out(format!(
            "{}: {}\nbaseline {}\nrun {}",
            comparison.verdict.word(),
            comparison.explanation,
            score(comparison.baseline),
            comparison.run.map_or("–".into(), score)
        ));
        suite.add_test_case(case);
    }
    let mut output = headline(decision);
    for note in &decision.notes {
        output.push_str("\nnote: ");
        output.push_str(note);
    }
    suite.set_system_out(output);
    let mut report = Report::new("rushes check");
    report.add_test_suite(suite);
    Ok(report.to_string()?)
}
