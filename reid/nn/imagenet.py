"""ImageNet's channel statistics, which networks pretrained on it expect."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)  # RGB, of values 0 to 1
IMAGENET_STD = (0.229, 0.224, 0.225)
