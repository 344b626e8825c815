"""The mallocGame: programs, machines, the simulator, its Gymnasium environment, layouts and their validation."""
