"""Where two photos agree."""
