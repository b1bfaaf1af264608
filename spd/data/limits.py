"""What readers of images and the configuration share, so that the readers need no options of data sets."""

RESERVED_OBJECTS = ("", "mean", "all", ".", "..")
MAX_PIXELS = 178_956_970  # of one image; Pillow's own bound on decompression bombs
