"""Runs a policy in onnxruntime and prints its outputs.

    python run_onnx.py policy.onnx < observations.json > outputs.json

Observations are a JSON list of flat lists of numbers, outputs a JSON object of lists, a row for each observation. Those of a
recurrent policy are the steps of an episode. Needs onnxruntime and numpy.
"""

import json
import sys

import numpy
import onnxruntime

session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
[observation, *states] = session.get_inputs()
dtype = {"tensor(float)": numpy.float32, "tensor(uint8)": numpy.uint8}[observation.type]
observations = numpy.array(json.load(sys.stdin)).astype(dtype).reshape(-1, *observation.shape[1:])
names = [output.name for output in session.get_outputs()]
if states:
    [state] = states
    precision = {"tensor(float)": numpy.float32, "tensor(double)": numpy.float64}[state.type]
    present = numpy.zeros((1, *state.shape[1:]), precision)
    steps = []
    for row in observations:
        steps.append(session.run(names, {observation.name: row[None], state.name: present}))
        present = steps[-1][names.index("next_state")]
    outputs = [numpy.concatenate(rows) for rows in zip(*steps)]
else:
    outputs = session.run(names, {observation.name: observations})
json.dump({name: output.tolist() for name, output in zip(names, outputs)}, sys.stdout)
