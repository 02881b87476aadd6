"""From a photo to its descriptors, stage by stage."""
