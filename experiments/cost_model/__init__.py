"""What a training step takes on hardware of which a few constants are known; see scaling.py."""
