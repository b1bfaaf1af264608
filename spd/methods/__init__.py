"""SimSiam, MoCo, SimCLR and supervised pre-training, each heads + loss, and the SPD term that is added to any
of them."""
