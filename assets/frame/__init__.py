"""What every pipeline has: the declaration, the step around a batch, reports, checks, pictures."""
