"""The fit: pairs prepared, patches drawn, and the three stages of Algorithm 1."""
