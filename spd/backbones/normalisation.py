"""ImageNet's mean and standard deviation of RGB in [0, 1], which most published backbones expect."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
