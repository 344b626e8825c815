"""What the searches share: settings with presets, the space they work in, fitting, proposals, generative networks."""
