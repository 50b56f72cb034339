"""Thin adapters around outside model libraries; a stage sees only arrays.

A joint backend is a module `joints_<name>.py` with `build(settings, device)`, which loads the model
and returns a function from images, a list of (H, W, 3) uint8 RGB, to as many (18, 3) float32 joints
in pixels of each image, or None where the model found nobody. Libraries are imported in `build`.
"""
