"""Images of a data set, decoded and brought to one geometry once, for every backbone, detector and seed."""
