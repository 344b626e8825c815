"""The few things that every room needs: catalog, seeds, search spaces, recorder, validation."""
