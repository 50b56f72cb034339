"""Derived-data stages, one file each. They meet only through files, never by import."""

STAGES = {  # in the order of the flow; the summary is what `reid --help` shows
    "joints": "18 body joints with confidence, OpenPose order.",
    "parts": "Whole body and four part boxes from joints (Yang et al., eqs. 1 and 2).",
    "masks": "The person's mask, its box and its area.",
    "backgrounds": "Training images without their person, and who may be put there instead.",
    "swaps": "A data set of persons before other images' backgrounds (Yaghoubi et al.).",
    "crops": "A data set of the person in each overhead frame, cut out of colour and depth.",
    "jet": "Depth as a colour image, near blue and far red.",
    "flow": "Optical flow from each frame to the next of its tracklet.",
}
NETWORKS = ("joints", "masks", "crops", "flow")  # those that may run one
