"""The modules of the model.

Letters of tensor shapes: B batch, N candidate documents, k selected documents, n memory tokens per
document, T tokens, H hidden size, V vocabulary, P labelled positions.
"""
