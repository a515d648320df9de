"""The selection of a short fit with one harmful source, as a heat-map."""

from skadl import ADLDenoiser, SourcePool
from skadl.datasets import make_domain, make_harmful_truth
from skadl.plots import plot_acceptance


def draw():
    """Fit in small and draw which batches were taken."""
    pairs = make_domain("CanonEOS70D", 8, size=96, random_state=0)
    sources = {
        name: make_domain(name, 12, size=96, random_state=1)
        for name in ("SonyA7S2", "NikonD850")
    }
    sources["wrong truth"] = make_harmful_truth(
        12, camera="Pixel4a", size=96, random_state=2
    )
    denoiser = ADLDenoiser(
        start="random",
        n_pretrain_iter=20,
        n_iter=200,
        n_finetune_iter=5,
        patch_size=32,
        base_channels=8,
        n_levels=3,
        random_state=0,
    )
    denoiser.fit(pairs, source_pairs=SourcePool(sources))
    figure = plot_acceptance(denoiser.selection_report_, n_epochs=8)
    figure.set_size_inches(5.6, 3.2)
    return figure
