"""How good a denoised image is: scores under named protocols, and its stars."""
