"""Fitted models as folders of JSON and safetensors: no pickle, so loading never runs code."""
