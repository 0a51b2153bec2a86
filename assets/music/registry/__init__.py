"""What every music table is made of, a module per layer; ``assets.music.tables`` gives it out."""
