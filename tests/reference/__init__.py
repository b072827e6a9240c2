"""An independent SR-GNN, written from the equations in float64; shares no code with the package."""
