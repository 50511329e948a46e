"""What an ONNX file must not tell: paths and lines of the machine it was made on are not the model."""

from __future__ import annotations

import onnx


def forget_source(model: onnx.ModelProto) -> None:
    """Drop every doc string and all metadata."""
    model.doc_string = ""
    del model.metadata_props[:]
    for graph in (model.graph, *model.functions):
        graph.doc_string = ""
        del graph.metadata_props[:]
        values = [*graph.value_info]
        if isinstance(graph, onnx.GraphProto):
            values += [*graph.input, *graph.output, *graph.initializer]
        for part in (*graph.node, *values):
            part.doc_string = ""
            del part.metadata_props[:]
