"""A fitted network applied to images of any size."""
