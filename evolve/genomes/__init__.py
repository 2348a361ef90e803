"""What evolves: genes, and the genomes of markets and layer stacks."""
