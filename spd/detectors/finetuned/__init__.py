"""2-class detection: backbones fine-tuned on normal and anomalous images, as a classifier and as a U-Net."""
