"""Finished runs as tables for people."""

from __future__ import annotations

from itertools import product

import pandas as pd

from benchmarks.tables.log import Results
from benchmarks.tables.methods import ADDED
from benchmarks.tables.rough import N_DARKS, N_ISOS
from benchmarks.tables.simulation import HARMFUL, NO_POOL
from benchmarks.tables.strategies import ABLATIONS

BEST = "ADL-start"  # what all methods are compared with
NOTHING = {"Nothing yet": "None of the runs is done."}
READING = """\
PSNR in dB as in `ADLDenoiser.score`, mean over the test images; ± is the standard
deviation over seeds, for all targets that of their mean. `worst image` is the lowest
gain over the noisy input of any test image, `worse` counts the images that end more
than 0.05 dB below it. `useful`, `harmful1` and `harmful2` are the shares of offered
batches that were accepted. All strategies take the same number of steps. Test scenes
occur in no training; they span the camera's ISO range and light factors 1 to 300."""
_POOL_ORDER = {"": 0, "harm": 1, "clean": 2}
PAIRED = ["target", "seed", "pool", "target_pairs"]


def compare_strategies(results: Results) -> dict[str, pd.DataFrame | str]:
    """Tabulate every strategy and pool, one table for each number of target pairs."""
    if results.runs.empty:
        return NOTHING
    sections: dict[str, pd.DataFrame | str] = {}
    for size, own in results.runs.groupby("target_pairs"):
        table = tabulate_psnr(own, ["strategy", "pool"])
        sections[f"{size} target pairs"] = table.sort_values(
            "pool", kind="stable", key=lambda pools: pools.map(_POOL_ORDER)
        )
    oracle = (
        "The oracle of clean sources only, for pool `harm`, is `adl` on pool `clean`: "
        "the same training that never saw the harmful sets. `oracle-noise` is `adl` "
        "told the target's true noise, row noise and black-level error."
    )
    return {**sections, "Reading": f"{READING}\n\n{oracle}"}


def compare_on_sensors(results: Results) -> dict[str, pd.DataFrame | str]:
    """Tabulate every strategy on pairs from disk, each sensor left out in turn."""
    if results.runs.empty:
        return NOTHING
    (protocol,) = results.runs.protocol.unique()
    sections: dict[str, pd.DataFrame | str] = {}
    for size, own in results.runs.groupby("target_pairs"):
        table = tabulate_psnr(own, ["strategy"]).drop(columns=[*HARMFUL])
        ssim = (
            own.groupby(["strategy", "target"]).ssim.mean().groupby("strategy").mean()
        )
        shown = table.strategy.map(ssim.map("{:.4f}".format)).fillna("")
        table.insert(2, "SSIM", shown)
        sections[f"{size} target pairs, protocol {protocol}"] = table
    note = (
        f"PSNR in dB and SSIM under protocol `{protocol}` "
        "(`skadl.evaluation.protocols`): not to be compared with figures of another. "
        "Mean over the test images; ± is the "
        "standard deviation over seeds, for all targets that of their mean. `worst "
        "image` is the lowest gain over the noisy input of any test image, `worse` "
        "counts the images that end more than 0.05 dB below it. `useful` is the share "
        "of offered batches that was accepted. Sources are all sensors but the target; "
        "no scene of a test image is in any training. All strategies take the same "
        "number of steps."
    )
    return {**sections, "Reading": note}


def compare_methods(
    results: Results, best: str = BEST
) -> dict[str, pd.DataFrame | str]:
    """Tabulate every method: quality, what it costs, how far `best` is above it."""
    if results.runs.empty:
        return NOTHING
    (protocol,) = results.runs.protocol.unique()
    sections: dict[str, pd.DataFrame | str] = {}
    runs, images = results.runs, results.images
    pools = [pool for pool in runs.pool.unique() if pool != NO_POOL] or [NO_POOL]
    for size, pool in product(sorted(runs.target_pairs.unique()), pools):
        own, shown = (
            rows[(rows.target_pairs == size) & rows.pool.isin([pool, NO_POOL])]
            for rows in (runs, images)
        )
        rows = []
        for strategy, group in own.groupby("strategy", sort=False):
            whole = on_every_target(group, own)
            row = {"method": strategy, "PSNR": over_targets(whole)}
            row["SSIM"] = over_targets(whole, "ssim", 4)
            row[f"lead of {best}"] = lead_on_images(shown, best, strategy)
            row |= {name: mean_and_spread(x) for name, x in _psnr_by_target(group)}
            row["worst image"] = f"{group.worst_gain.min():+.2f}"
            row["s a fit"] = f"{group.seconds.mean():.0f}"
            row["MiB a fit"] = f"{group.fit_mib.mean():.0f}"
            row["s a MP"] = f"{group.seconds_per_megapixel.mean():.2g}"
            row["images"] = f"{group.n_test.iloc[0]}"
            row["runs"] = f"{len(group)}"
            rows.append(row)
        if not rows:
            continue
        where = "" if pool in (NO_POOL, "sensors") else f", pool {pool}"
        sections[f"{size} target pairs{where}"] = pd.DataFrame(rows).fillna("")
    note = (
        f"PSNR in dB and SSIM under protocol `{protocol}` "
        "(`skadl.evaluation.protocols`), mean over the test images; ± is the standard "
        "deviation over seeds, for all targets that of their mean. "
        f"`lead of {best}` is its PSNR above the method's on the same images, of the "
        "same seed and pool: mean, in brackets the lowest target. A method that was "
        "not measured on every target has no mean. `worst image` is "
        "the lowest gain over the noisy input. Time and memory (peak of the process, "
        "torch and data in it) are of one fit, `s a MP` of a million predicted pixels. "
        "`images` counts those tested on: methods that train on each image see fewer, "
        "and their means are of these alone. Networks are of one size and trained with "
        "about as many passes; each method has the loss and the conditioning of its "
        "own recipe, and `-start` begins at the network that comes with skadl."
    )
    return {**sections, "Reading": note}


def compare_additions(results: Results) -> dict[str, pd.DataFrame | str]:
    """Tabulate what each addition to a strategy is worth, beside the strategy alone."""
    if results.runs.empty:
        return NOTHING
    sections: dict[str, pd.DataFrame | str] = {}
    for size, own in results.by_target_pairs():
        rows = []
        for strategy, (base, added) in ADDED.items():
            group = own.runs[own.runs.strategy == strategy]
            if group.empty:
                continue
            row = {"strategy": base, "with": added, "PSNR": over_targets(group)}
            row["SSIM"] = over_targets(group, "ssim", 4)
            row["added"] = lead_on_images(own.images, strategy, base)
            row |= {name: mean_and_spread(x) for name, x in _psnr_by_target(group)}
            row["worst image"] = f"{group.worst_gain.min():+.2f}"
            row["s a fit"] = f"{group.cpu_seconds.mean():.0f}"
            row["runs"] = f"{len(group)}"
            rows.append(row)
        sections[f"{size} target pairs"] = pd.DataFrame(rows).fillna("")
    note = (
        "PSNR in dB as in `ADLDenoiser.score`, mean over the test images; ± is the "
        "standard deviation over seeds. All cameras have dark shading: a smooth "
        "pattern, one of columns and one of pixels, each half as strong as the read "
        f"noise. `dark-shading` is told {N_DARKS} dark frames at each of {N_ISOS} ISOs "
        "of every camera, and what they show is taken off in training and prediction. "
        "`shot-augmented` makes half of the images of a batch brighter or darker with "
        "the shot noise of their new signal; `pmn` does both. Without dark frames what "
        "the target's pairs show of columns, rows and shading is taken off, and "
        "`pattern-kept` takes off nothing. `added` is the PSNR above the strategy "
        "alone on the same images: mean, spread over seeds, in brackets the lowest "
        "target. `s a fit` is processor time."
    )
    return {**sections, "Reading": note}


def compare_pools(results: Results) -> dict[str, pd.DataFrame | str]:
    """Tabulate strategies against pools, with what each harmful set costs."""
    if results.runs.empty:
        return NOTHING
    names = {
        "clean": "Base",
        "harm1": "Base + Harmful1",
        "harm2": "Base + Harmful2",
    }
    runs = results.runs.assign(pool=results.runs.pool.replace(names))
    sections: dict[str, pd.DataFrame | str] = {}
    for size, own in runs.groupby("target_pairs"):
        rows = []
        for strategy, group in own.groupby("strategy", sort=False):
            row = {"strategy": strategy}
            for name in names.values():
                row[name] = over_targets(group[group.pool == name])
            rows.append(row)
        sections[f"{size} target pairs, mean of targets"] = pd.DataFrame(rows)
        sections[f"{size} target pairs, by target"] = tabulate_psnr(
            own, ["strategy", "pool"]
        )
    sizes = "Each harmful set has as many pairs as one camera of the base."
    return {**sections, "Reading": f"{READING} {sizes}"}


def compare_ablations(results: Results) -> dict[str, pd.DataFrame | str]:
    """Tabulate what the default gains over itself without each of its parts."""
    if results.runs.empty:
        return NOTHING
    sections: dict[str, pd.DataFrame | str] = {}
    runs = results.runs
    from_start = runs.strategy.map(_base_of) == BEST
    for size, where in product(sorted(runs.target_pairs.unique()), (True, False)):
        own = runs[(runs.target_pairs == size) & (from_start == where)]
        if own.empty:
            continue
        table = tabulate_psnr(own, ["strategy"])
        leads = [
            describe_lead(own, ABLATIONS[name].base, name) if name in ABLATIONS else ""
            for name in table.strategy
        ]
        names = [
            f"{ABLATIONS[name].label} (`{name}`)" if name in ABLATIONS else name
            for name in table.strategy
        ]
        bases = [
            f"`{ABLATIONS[name].base}`" if name in ABLATIONS else ""
            for name in table.strategy
        ]
        table = table.drop(columns="strategy")
        table.insert(0, "what is off", names)
        table.insert(1, "lost", leads)
        table.insert(2, "against", bases)
        begun = ", from the network that comes with skadl" if where else ""
        sections[f"{size} target pairs{begun}"] = table
    lost = (
        "`lost`: mean difference to the row it is compared with, of the same target "
        "and seed, in dB, and the range over targets of its mean over seeds; positive "
        "where the part helps. Sensor type and ISO are ablated where they are all "
        "that the network is told, as in the paper."
    )
    return {**sections, "Reading": f"{READING}\n\n{lost}"}


def _base_of(strategy: str) -> str:
    """Name what a strategy is an ablation of, or the strategy itself."""
    return ABLATIONS[strategy].base if strategy in ABLATIONS else strategy


def compare_cost(results: Results) -> dict[str, pd.DataFrame | str]:
    """Tabulate how much longer fits with selection take than without."""
    if results.runs.empty:
        return NOTHING
    rows = []
    for (size, pool), own in results.runs.groupby(["target_pairs", "pool"]):
        row = {"target pairs": size, "pool": pool}
        for column in ("cpu_seconds", "seconds"):
            ratios = paired_ratio(own, column)
            if len(ratios):
                row[column.replace("_", " ")] = (
                    f"{ratios.median() - 1:+.0%} "
                    f"({ratios.min() - 1:+.0%} to {ratios.max() - 1:+.0%})"
                )
        rows.append({**row, "pairs of runs": len(paired_ratio(own, "seconds"))})
    table = pd.DataFrame(rows).fillna("")
    note = (
        "Time of `adl` over that of `no-gate`, same target and seed: median and range. "
        "Time of the processor is what to trust where runs shared a machine."
    )
    return {"Extra time": table, "Reading": note}


def paired_ratio(runs: pd.DataFrame, column: str) -> pd.Series:
    """Divide the times of `adl` by those of `no-gate`, run by run on one device."""
    by_key = runs.set_index([*PAIRED, "device", "settings"])
    with_gate = by_key[by_key.strategy == "adl"][column]
    without = by_key[by_key.strategy == "no-gate"][column]
    return (with_gate / without).dropna()


def paired_lead(
    runs: pd.DataFrame,
    first: str,
    second: str,
    *,
    pool: str | None = None,
    second_pool: str | None = None,
) -> pd.DataFrame:
    """PSNR of one strategy minus that of another, target by target and seed by seed.

    Of the runs, which are of one number of target pairs, only these pools; the second
    is the first's unless given. A strategy without sources has none. Gives the columns
    target, seed and lead, in dB, for what both have.
    """
    own = runs[runs.strategy == first]
    other = runs[runs.strategy == second]
    second_pool = second_pool or pool
    if pool is not None:
        own = own[own.pool == pool]
        other = other[other.pool.isin([second_pool, NO_POOL])]
    both = own.merge(other, on=["target", "seed", "target_pairs", "settings"])
    return both[["target", "seed"]].assign(lead=both.psnr_x - both.psnr_y)


def spread_over_seeds(leads: pd.DataFrame) -> float:
    """Give the spread over seeds of the mean over targets; NaN for one seed."""
    by_seed = leads.pivot_table(index="seed", columns="target", values="lead")
    return by_seed.dropna().mean(axis=1).std()


def describe_lead(runs: pd.DataFrame, first: str, second: str) -> str:
    """Format the mean lead of one strategy over another and its range over targets."""
    leads = paired_lead(runs, first, second)
    if leads.empty:
        return ""
    by_target = leads.groupby("target").lead.mean()
    return (
        f"{leads.lead.mean():+.2f} ({by_target.min():+.2f} to {by_target.max():+.2f})"
    )


def tabulate_psnr(runs: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Give mean and spread of PSNR for each target and over the targets; see `READING`.

    The runs are of one number of target pairs; the columns `by` tell the rows apart.
    The first row is the noisy input.
    """
    targets = runs.groupby("target")
    noisy = targets.noisy.first()
    rows = [
        dict.fromkeys(by, "")
        | {by[0]: "noisy input", "mean of targets": f"{noisy.mean():.2f}"}
        | {target: f"{value:.2f}" for target, value in noisy.items()}
    ]
    for key, group in runs.groupby(by, sort=False):
        row = dict(zip(by, key, strict=True))
        row["mean of targets"] = over_targets(group)
        row |= {target: mean_and_spread(own) for target, own in _psnr_by_target(group)}
        row["worst image"] = f"{group.worst_gain.min():+.2f}"
        row["worse"] = f"{group.n_worse.sum()}"
        for kind in ("useful", *HARMFUL):
            row[kind] = share(group, kind)
        row["runs"] = f"{len(group)}"
        rows.append(row)
    table = pd.DataFrame(rows).fillna("")
    if "pool" in by:
        table["pool"] = table["pool"].replace(NO_POOL, "")
    return table


def share(runs: pd.DataFrame, kind: str) -> str:
    """Format the share of offered batches of a kind that were accepted."""
    offered = runs[f"offered_{kind}"].sum()
    return f"{runs[f'accepted_{kind}'].sum() / offered:.0%}" if offered else ""


def lead_on_images(images: pd.DataFrame, first: str, second: str) -> str:
    """Format how far one strategy is above another on the images that both saw.

    Mean over targets of the mean PSNR, its spread over seeds, the lowest target.
    """
    if first == second:
        return ""
    own, other = (images[images.strategy == name] for name in (first, second))
    keys = ["target", "seed", "target_pairs", "settings", "image"]
    both = own.merge(other, on=keys)
    if both.empty:
        return ""
    both = both.assign(lead=both.psnr_x - both.psnr_y)
    leads = both.groupby(["target", "seed"]).lead.mean()
    by_seed, lowest = leads.groupby("seed").mean(), leads.groupby("target").mean().min()
    return f"{mean_and_spread(by_seed, shown='+.2f')} ({lowest:+.2f})"


def on_every_target(runs: pd.DataFrame, all_runs: pd.DataFrame) -> pd.DataFrame:
    """Keep the numbers of target pairs that were measured on every target.

    The mean of fewer targets would say more of these than of a strategy.
    """
    n_targets = runs.groupby("target_pairs").target.transform("nunique")
    return runs[n_targets == all_runs.target.nunique()]


def over_targets(runs: pd.DataFrame, column: str = "psnr", digits: int = 2) -> str:
    """Format the mean of a column over targets, and its spread over seeds."""
    if runs.empty:
        return ""
    # Seeds that lack a target would shift the mean by what targets differ.
    by_seed = runs.pivot_table(index="seed", columns="target", values=column)
    complete = by_seed.dropna()
    mean = by_seed.mean().mean()
    return mean_and_spread(complete.mean(axis=1), mean, f".{digits}f")


def mean_and_spread(
    values: pd.Series, mean: float | None = None, shown: str = ".2f"
) -> str:
    """Format mean and standard deviation; without the latter for fewer than two.

    Examples
    --------
    >>> mean_and_spread(pd.Series([30.0, 32.0]))
    '31.00 ± 1.41'
    """
    mean = values.mean() if mean is None else mean
    spread = f" ± {values.std():{shown.lstrip('+')}}" if len(values) > 1 else ""
    return f"{mean:{shown}}{spread}"


def _psnr_by_target(runs: pd.DataFrame):
    return ((target, own.psnr) for target, own in runs.groupby("target"))
