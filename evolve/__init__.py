"""Evolution of a genome by scores alone: searches, the loop, lineage, checkpoint, tracking."""
