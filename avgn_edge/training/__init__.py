"""What training is for every network: stages, the loop over them, batches, state, monitors, several processes."""
