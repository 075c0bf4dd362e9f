"""Captioning: images to text through a vision model, and back into the documents."""
