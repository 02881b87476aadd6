"""Local features: keypoints, cells and patches of a photo."""
