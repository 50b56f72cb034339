"""Whose person goes before whose background: pairs of images, and the region that is swapped."""
