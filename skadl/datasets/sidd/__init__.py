"""Smartphone Image Denoising Dataset (SIDD): its folders, block files and metadata."""
