"""A text to a vector by a table: the tokens' rows, their mean, what follows it. Imports no onnxruntime."""
