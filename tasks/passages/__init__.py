"""Texts to passages: blocks, sentences, packing, and the split by source document."""
