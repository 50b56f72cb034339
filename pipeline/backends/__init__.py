"""Thin adapters around outside model libraries; a stage sees only arrays.

A backend is a module `<stage>/<name>.py` with `build(settings, device)`, which loads the model and
returns a function from images, a list of (H, W, 3) uint8 RGB, to as many results, None where the
model detects nobody. Libraries are imported in `build`. A result is

    joints    (18, 3) float32 joints in pixels of the image
    masks     a `masks.person_mask.PersonMask`: (H, W) bool and a score
    crops     the persons' boxes and scores, see `crops.person_box`
    flow      a `reid.arrays.flow.Flow` for each pair of frames of one size, from pairs

`<stage>/given.py` has `load(path)` instead, labels that the user has already; see `given`.
"""
