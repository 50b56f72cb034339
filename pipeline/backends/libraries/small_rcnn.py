"""A Mask R-CNN of torchvision with a small backbone and small heads, for crops of one person.

A ResNet of one block a stage, a pyramid of 64 channels, and heads of as many; its masks are 56 x 56
of the finest level, twice the library's, since a person fills the crop. With the library's own
heads even a MobileNet would take 43 MB in half precision; this takes 12.
"""

from __future__ import annotations

from typing import Any

NAME = "maskrcnn_small"
CHANNELS = 64  # of the pyramid and the heads
HIDDEN = 256  # of the box head
MASK_CELLS = 28  # a side, of the features that a mask is made of; the mask has twice as many
RATIOS = (1.0, 2.0, 3.0)  # of anchors, height to width: standing people


def small_mask_rcnn(**options: Any) -> Any:
    """The network, untrained; `options` go to torchvision's `MaskRCNN`."""
    from torch.nn import BatchNorm2d
    from torchvision.models.detection.backbone_utils import BackboneWithFPN
    from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
    from torchvision.models.detection.mask_rcnn import (
        MaskRCNN,
        MaskRCNNHeads,
        MaskRCNNPredictor,
    )
    from torchvision.models.detection.rpn import AnchorGenerator
    from torchvision.models.resnet import BasicBlock, ResNet
    from torchvision.ops import MultiScaleRoIAlign

    body = ResNet(BasicBlock, [1, 1, 1, 1], num_classes=1)
    layers = {f"layer{number + 1}": str(number) for number in range(4)}
    backbone = BackboneWithFPN(body, layers, [64, 128, 256, 512], CHANNELS, norm_layer=BatchNorm2d)
    return MaskRCNN(
        backbone,
        rpn_anchor_generator=AnchorGenerator(
            tuple((size,) for size in (16, 32, 64, 128, 256)), (RATIOS,) * 5
        ),
        box_roi_pool=MultiScaleRoIAlign(["0", "1", "2", "3"], 7, 2),
        box_head=TwoMLPHead(CHANNELS * 7 * 7, HIDDEN),
        box_predictor=FastRCNNPredictor(HIDDEN, 2),
        mask_roi_pool=MultiScaleRoIAlign(["0"], MASK_CELLS, 2),
        mask_head=MaskRCNNHeads(CHANNELS, (CHANNELS, CHANNELS), 1),
        mask_predictor=MaskRCNNPredictor(CHANNELS, CHANNELS, 2),
        **options,
    )
