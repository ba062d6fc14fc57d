"""Our trees in other runtimes: forest.onnx has those that Go fitted."""
import os
import subprocess

import numpy as np

from peer import seconds

ROW, TABLE = "one-row prediction, the same trees", "20,736-row table, the same trees"


def off(got, want):
    """The largest difference, of the largest value."""
    return np.max(np.abs(got - want)) / np.max(np.abs(want))


def onnxruntime(data):
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(f"{data.folder}/forest.onnx", options, providers=["CPUExecutionProvider"])
    predict = lambda x: session.run(None, {"x": x})[0]
    checks = {"off": off(predict(data["fit, trace.testx"]), data["predicted"])}
    grid = data["grid"]
    data.case(TABLE, np.median([seconds(lambda: predict(grid)) for _ in range(3)]), **checks)
    data.case("model file", os.path.getsize(f"{data.folder}/forest.onnx"))
    # One row from Go, where no interpreter is in the way.
    library = os.path.join(os.path.dirname(ort.__file__), "capi", "libonnxruntime.so." + ort.__version__)
    data.case(ROW, native_rows(data, "onnxruntime", library, f"{data.folder}/forest.onnx"), **checks)
    return "onnxruntime " + ort.__version__


def native_rows(data, kind, library, model):
    """The median time of one row, by the program rows, in s."""
    r = subprocess.run([os.environ["MESHBENCH_ROWS"], kind, library, model, f"{data.folder}/fit, trace.testx.f64"], capture_output=True, text=True)
    if r.returncode:
        raise RuntimeError(f"rows: {r.stderr.strip()[-200:]}")
    return float(r.stdout)


def compiled(data):
    """C code of small trees by treelite and tl2cgen, compiled once."""
    from importlib.metadata import version

    import tl2cgen
    import treelite
    from treelite.model_builder import Metadata, ModelBuilder, PostProcessorFunc, TreeAnnotation

    library, nodes = f"{data.folder}/trees.so", data["nodes"]
    outputs, inputs, trees = nodes.shape[1] - 4, data["grid"].shape[1], int(nodes[-1, 0]) + 1
    if not os.path.exists(library):
        data.all_cores()
        builder = ModelBuilder(
            threshold_type="float64", leaf_output_type="float64",
            metadata=Metadata(num_feature=inputs, task_type="kRegressor", average_tree_output=True, num_target=outputs,
                              num_class=[1] * outputs, leaf_vector_shape=(outputs, 1)),
            tree_annotation=TreeAnnotation(num_tree=trees, target_id=[-1] * trees, class_id=[0] * trees),
            postprocessor=PostProcessorFunc(name="identity"), base_scores=[0.0] * outputs)
        for t in range(trees):
            builder.start_tree()
            for k, node in enumerate(nodes[nodes[:, 0] == t].tolist()):
                builder.start_node(k)
                if node[1] < 0:
                    builder.leaf(node[4:])
                else:
                    builder.numerical_test(feature_id=int(node[1]), threshold=node[2], default_left=True, opname="<=",
                                           left_child_key=int(node[3]), right_child_key=int(node[3]) + 1)
                builder.end_node()
            builder.end_tree()
        tl2cgen.export_lib(builder.commit(), toolchain="gcc", libpath=library, params={"parallel_comp": 8}, options=["-O2"],
                           nthread=len(data.cores))
        data.one_core()
    rows = data["fit, trace.testx"]
    got = tl2cgen.Predictor(library, nthread=1).predict(tl2cgen.DMatrix(rows, dtype="float64")).reshape(-1, outputs)
    data.case("one-row prediction, the same small trees", native_rows(data, "compiled", library, str(inputs)), off=off(got, data["smallpredicted"]))
    return f"treelite {treelite.__version__} and tl2cgen " + version("tl2cgen")
