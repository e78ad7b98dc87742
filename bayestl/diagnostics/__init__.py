"""Whether a fit can be trusted: draws at the rows of a table, their export to ArviZ, and checks with advice."""
