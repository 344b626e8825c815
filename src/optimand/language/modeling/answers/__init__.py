"""An answer to a problem in words: attempts, their verification against the text, and a verdict."""
