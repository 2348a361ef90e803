"""Evolution of a genome by scores alone, recorded so that a kill costs at most a generation.

Knows: genomes, the searches, the sweep's loop, its lineage, its checkpoint, MLflow's view.
Does not know: markets, models or fitness; whoever evaluates is handed in.
"""
