"""Serving: the inference service, its releases and predictors; numpy and onnxruntime, never torch."""
