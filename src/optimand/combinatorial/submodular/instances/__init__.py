"""What the problems are made of: graphs, verses of a text, images and tables; streams of updates."""
