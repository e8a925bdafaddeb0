"""Runs a policy in onnxruntime and prints its outputs.

    python run_onnx.py policy.onnx < observations.json > outputs.json

Observations are a JSON list of flat lists of numbers, outputs a JSON object of lists, a row for each observation. Needs
onnxruntime and numpy.
"""

import json
import sys

import numpy
import onnxruntime

session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
[observation] = session.get_inputs()
dtype = {"tensor(float)": numpy.float32, "tensor(uint8)": numpy.uint8}[observation.type]
observations = numpy.array(json.load(sys.stdin)).astype(dtype).reshape(-1, *observation.shape[1:])
names = [output.name for output in session.get_outputs()]
outputs = session.run(names, {observation.name: observations})
json.dump({name: output.tolist() for name, output in zip(names, outputs)}, sys.stdout)
