"""The base decoder and its tokenizer."""
