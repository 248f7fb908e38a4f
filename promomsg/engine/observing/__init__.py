"""What hooks are told of a run: asked of the engine, which does not know who wants to know."""
