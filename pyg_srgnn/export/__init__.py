"""Exports a trained model to a folder that serves it."""
