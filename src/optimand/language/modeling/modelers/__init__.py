"""Ways to turn words into a program: by a language model, free or held to a form, and by the nearest example."""
