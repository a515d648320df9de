"""``skadl app``: denoise, check and fit on a page of this machine alone."""
