"""The proof that the model learns: small decoders, a made-up world, unseen entities."""
