"""Recommending with a trained or exported model; imports torch, NumPy and safetensors alone."""
