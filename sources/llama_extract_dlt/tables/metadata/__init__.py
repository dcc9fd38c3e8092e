"""Field metadata: trees of confidences and citations in, rows out, each with the value that it is about."""
