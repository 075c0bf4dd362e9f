"""The built-in decoder: its settings, its tokenizer, and its pretraining on the spot."""
