"""Regenerating figures, recording the reference, filling READMEs: for maintainers and make."""
