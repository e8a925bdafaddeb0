//! Policies read by other programs.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use rushes::experiment::AgentSpec;
use rushes::nn::{self, MlpConfig, Network, Scalar, Tensors};
use rushes::policy::PolicySpec;
use rushes::rng::{Purpose, stream};

use crate::cli::run_smoke;

/// The outputs of the network in a policy file, as this program computes them.
fn outputs<T: Scalar>(file: &Path, observations: &[f32]) -> Vec<f64> {
    let tensors = Tensors::load(file).unwrap();
    let agent: AgentSpec = tensors.value("agent").unwrap();
    let PolicySpec::Neural(policy) = agent.policy else { panic!("the policy is neural") };
    let config = MlpConfig {
        dropout: policy.dropout,
        ..MlpConfig::new(4, &policy.hidden, 2, policy.activation)
    };
    let mut rng = stream(0, Purpose::Initialisation, 0);
    let mut network: Box<dyn Network<T>> =
        nn::build(&config, nn::Engine::Native, nn::Device::Cpu, &mut rng).unwrap();
    tensors.load_network("", &mut *network).unwrap();
    let rows = observations.len() / 4;
    let mut outputs = vec![T::zero(); 2 * rows];
    network.forward(observations, rows, &mut outputs);
    outputs.into_iter().map(Scalar::as_f64).collect()
}

#[test]
fn pytorch_computes_the_same_outputs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join(".deps/interop-venv/bin/python");
    if !python.exists() {
        eprintln!("skipped: no .deps/interop-venv with torch, safetensors and numpy");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let observations = [0.01_f32, -0.2, 0.03, 0.4, -1.5, 0.7, -0.1, -2.0, 0.0, 0.0, 0.0, 0.0];
    for precision in ["float32", "float64"] {
        let setting = format!("agents.reinforce.policy.precision={precision}");
        let dropout = "agents.reinforce.policy.dropout=0.1";
        let run = run_smoke(directory.path(), &["--quick", "--set", &setting, "--set", dropout]);
        let file = run.join("trials/reinforce--s0/policy.safetensors");
        let expected = match precision {
            "float32" => outputs::<f32>(&file, &observations),
            _ => outputs::<f64>(&file, &observations),
        };
        let mut child = Command::new(&python)
            .arg(root.join("tests/interop/load_policy.py"))
            .arg(&file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let rows: Vec<&[f32]> = observations.chunks_exact(4).collect();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(serde_json::to_string(&rows).unwrap().as_bytes()).unwrap();
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        let found: Vec<Vec<f64>> = serde_json::from_slice(&output.stdout).unwrap();
        let found = found.concat();
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-6, "{precision}: {found} is not {expected}");
        }
    }
}
