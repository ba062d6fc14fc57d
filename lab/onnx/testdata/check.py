"""Runs an ONNX model on inputs and compares its outputs with those of Go.

Usage: check.py MODEL.onnx CASE.json

CASE.json lists arrays, each with name, type, shape and the file of its
little-endian values: inputs, and the outputs that are expected. It prints, as
JSON, for every output in how many rows it is equal, and the largest relative
difference.
"""

import json
import os
import sys

import numpy
import onnxruntime


def read(folder, array):
    values = numpy.fromfile(os.path.join(folder, array["file"]), dtype=array["type"])
    return values.reshape(array["shape"])


def main():
    model, case = sys.argv[1:]
    folder = os.path.dirname(case)
    with open(case, encoding="utf-8") as f:
        case = json.load(f)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    wanted = [a["name"] for a in case["outputs"]]
    got = session.run(wanted, {a["name"]: read(folder, a) for a in case["inputs"]})
    result = {"inputs": [i.name for i in session.get_inputs()], "outputs": {}}
    for array, value in zip(case["outputs"], got):
        want = read(folder, array)
        if value.shape != want.shape:
            raise SystemExit(f"{array['name']} has shape {value.shape}, not {want.shape}")
        equal = (value == want).reshape(len(want), -1).all(axis=1)
        apart = numpy.abs(value.astype("float64") - want.astype("float64"))
        scale = numpy.maximum(numpy.abs(want.astype("float64")), 1e-300)
        result["outputs"][array["name"]] = {
            "rows": len(want),
            "equal": int(equal.sum()),
            "relative": float((apart / scale).max()),
            "absolute": float(apart.max()),
        }
    print(json.dumps(result))


main()
