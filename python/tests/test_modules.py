"""The modules that scripts of one's own import."""

import subprocess
import sys


def test_importing_rushes_policy_leaves_standard_input_and_output_alone():
    told = subprocess.run(
        [sys.executable, "-c", "import rushes_policy; print(input())"], input="still here", capture_output=True, text=True
    )
    assert (told.stdout, told.stderr) == ("still here\n", "")


def test_a_policy_that_rushes_did_not_start_is_told_so():
    told = subprocess.run(
        [sys.executable, "-c", "import rushes_policy; rushes_policy.serve(None)"], capture_output=True, text=True
    )
    assert told.returncode == 1 and "let rushes start it" in told.stderr
