"""Fitted models as folders of one safetensors file: no pickle, so loading never runs code."""
