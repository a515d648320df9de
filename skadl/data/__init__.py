"""Pairs to fit on: sources, folders of files, a store on disk, what to shoot."""
