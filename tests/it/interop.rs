//! Policies read by other programs.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rushes::algorithm::settings;
use rushes::experiment::AgentSpec;
use rushes::nn::{self, CnnConfig, MlpConfig, Network, Scalar, Tensors};
use rushes::policy::{ObservationSpec, PolicySpec};
use rushes::rng::{Purpose, stream};

use crate::cli::run_smoke;

/// The outputs of the network in a policy file, as this program computes them.
fn outputs<T: Scalar>(file: &Path, observations: &[Vec<f32>]) -> Vec<f64> {
    let tensors = Tensors::load(file).unwrap();
    let agent: AgentSpec = tensors.value("agent").unwrap();
    let PolicySpec::Neural(policy) = agent.policy else { panic!("the policy is neural") };
    let training = agent.training.expect("the policy is learned");
    let config = MlpConfig {
        dropout: policy.dropout,
        normalisation: settings(&training.algorithm).unwrap().normalisation(),
        ..MlpConfig::new(observations[0].len(), &policy.hidden, 2, policy.activation)
    };
    let mut rng = stream(0, Purpose::Initialisation, 0);
    rushes_torch::register();
    let (engine, device) = (nn::Engine::AUTO, nn::Device::Cpu);
    let mut network: Box<dyn Network<T>> = match policy.observation {
        ObservationSpec::State => nn::build(&config, engine, device, &mut rng).unwrap(),
        ObservationSpec::Pixels(pixels) => {
            let config = CnnConfig::new(pixels.shape().into(), &policy.convolutions, config);
            nn::build_cnn(&config, engine, device, &mut rng).unwrap()
        }
    };
    tensors.load_network("", &mut *network).unwrap();
    let mut outputs = vec![T::zero(); 2 * observations.len()];
    network.forward(&observations.concat(), observations.len(), &mut outputs);
    outputs.into_iter().map(Scalar::as_f64).collect()
}

/// A Python with what the programs below `tests/interop` import, and the program `name` there.
pub(crate) fn python_program(name: &str) -> (PathBuf, PathBuf) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let environment = root.join(".deps/test-venv");
    // Written when all packages are there.
    assert!(
        environment.join(".installed").is_file(),
        "{} is missing or incomplete: run `./bootstrap --tests`",
        environment.display()
    );
    (environment.join("bin/python"), root.join("tests/interop").join(name))
}

/// The same outputs as PyTorch computes them.
fn pytorch(file: &Path, observations: &[Vec<f32>]) -> Vec<f64> {
    let (python, program) = python_program("load_policy.py");
    let mut child = Command::new(python)
        .arg(program)
        .arg(file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(serde_json::to_string(observations).unwrap().as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let found: Vec<Vec<f64>> = serde_json::from_slice(&output.stdout).unwrap();
    found.concat()
}

fn assert_close(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
    }
}

#[test]
fn pytorch_computes_the_same_outputs() {
    let directory = tempfile::tempdir().unwrap();
    let observations = [vec![0.01_f32, -0.2, 0.03, 0.4], vec![-1.5, 0.7, -0.1, -2.0], vec![0.0; 4]];
    for precision in ["float32", "float64"] {
        let setting = format!("agents.reinforce.policy.precision={precision}");
        let dropout = "agents.reinforce.policy.dropout=0.1";
        let pqn = r#"agents.reinforce.training.algorithm={"name":"pqn","n_steps":8}"#;
        for more in [vec![], vec!["--set", pqn]] {
            let changes = ["--quick", "--set", &setting, "--set", dropout];
            let run = run_smoke(directory.path(), &[&changes[..], &more].concat());
            let file = run.join("trials/reinforce--s0/policy.safetensors");
            let found = pytorch(&file, &observations);
            let expected = match precision {
                "float32" => outputs::<f32>(&file, &observations),
                _ => outputs::<f64>(&file, &observations),
            };
            assert_close(&found, &expected);
        }
    }
}

#[test]
fn pytorch_convolves_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let run = run_smoke(
        directory.path(),
        &[
            "--quick",
            "--set",
            r#"agents.reinforce.policy.observation={"type":"pixels","width":16,"height":10,"channels":"rgb"}"#,
            "--set",
            r#"agents.reinforce.policy.convolutions=[{"channels":4,"kernel":4,"stride":2},{"channels":3,"kernel":2}]"#,
        ],
    );
    let file = run.join("trials/reinforce--s0/policy.safetensors");
    let picture = |scale: f32| (0..3 * 10 * 16).map(|i| (i as f32 * scale).sin().abs()).collect();
    let observations: [Vec<f32>; 3] = [0.1, 1.0, 7.0].map(picture);
    let found = pytorch(&file, &observations);
    assert_close(&found, &outputs::<f32>(&file, &observations));
}
