"""Predict: a coarse pass over the whole scan, a fine pass only where kidneys may be."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from renalis.boxes import Box, scaled_box
from renalis.compute_failures import trim_heap
from renalis.look_spread import LookSpread, spread_map
from renalis.model import Model
from renalis.model_header import Stage
from renalis.prediction.lesions import keep_sure_lesions
from renalis.prediction.memory import fitted, needed_mb
from renalis.prediction.options import Mirror, PredictionOptions, RuntimeName, Windows
from renalis.prediction.region_of_interest import (
    KidneyRegion,
    find,
    large_mass,
    nearest,
    tissue_box,
    unconfirmed_ml,
    without_skin,
)
from renalis.prediction.result import Prediction
from renalis.prediction.runtimes.choice import choose, open_network
from renalis.prediction.runtimes.memory_reuse import keep_freed_memory
from renalis.prediction.sliding import (
    THIN,
    Network,
    SlidingResult,
    looks_of,
    slide,
    worth_looking,
)
from renalis.prediction.view import View
from renalis.prediction.windows import (
    Shape,
    WindowGrid,
    around_windows,
    as_many_voxels,
    fewest_voxels,
    moved_windows,
    regular_windows,
    windows_around,
    windows_over,
)
from renalis.preparation import Grid, linear_weights, window
from renalis.preparation.resample import apply_matrices
from renalis.thresholds import Thresholds
from renalis.volume import Kind, Volume

__all__ = ["Networks", "Progress", "open_networks", "predict", "search"]

Progress = Callable[[str, int, int], None]
"""Called with the step's name, windows done, and windows in all."""


@dataclass(frozen=True, eq=False)
class Networks:
    """A model's networks, ready to compute; made once for many scans."""

    runtime: RuntimeName
    coarse: Network
    fine: Network

    @staticmethod
    def release(network: Network) -> None:
        """Let a runtime give back what it keeps for the next window, where it keeps anything."""
        give_back = getattr(network, "release", None)
        if give_back is not None:
            give_back()


def open_networks(model: Model, options: PredictionOptions) -> Networks:
    """Choose a runtime and make the networks ready.

    Raises
    ------
    InputError
        If the model's weights do not fit its networks.
    """
    if options.keep_heap:
        keep_freed_memory()
    runtime = options.runtime
    if runtime == RuntimeName.AUTO:
        on_cuda = options.device == "cuda"
        runtime = RuntimeName.TORCH if on_cuda else choose(model, options.threads).runtime
    networks = [
        open_network(model, stage, runtime, options.threads, options.device)
        for stage in model.header.stages
    ]
    return Networks(runtime, *networks)


def predict(
    volume: Volume,
    model: Model,
    options: PredictionOptions | None = None,
    *,
    networks: Networks | None = None,
    progress: Progress | None = None,
    announce: Callable[[float], None] | None = None,
) -> Prediction:
    """Find kidneys, tumors and cysts in a scan.

    Parameters
    ----------
    volume : Volume
        HU, any orientation, spacing and memory order.
    model : Model
        From `renalis.model.load_model`.
    options : PredictionOptions, optional
        How to predict.
    networks : Networks, optional
        From `open_networks`, to be used again for further scans.
    progress : callable, optional
        Called after each window.
    announce : callable, optional
        Called with the peak memory (MB) that is expected, once the coarse pass has found where to
        look closely.

    Returns
    -------
    Prediction
        Labels exactly on the scan's grid.

    Raises
    ------
    UsageError
        If the scan needs more memory than ``options.max_ram_mb``.
    InputError
        If the model's weights do not fit its networks.
    """
    options = options or PredictionOptions()
    scan = volume.reoriented()
    options, _, notes = fitted(scan, model, options)
    networks = networks or open_networks(model, options)
    options = replace(options, runtime=networks.runtime)
    view = View.of(scan)
    thresholds = options.decided_by(model.header)
    told = announce or (lambda _: None)
    work = _Work(view, options, thresholds, progress or (lambda *_: None), told)
    coarse, region = work.coarse_pass(model.header.stage("coarse"), networks.coarse)
    own = volume.unlabeled()
    kidney = lesion = spread = None
    lost_ml = 0.0
    if region.boxes:
        fine, box, grid, variance = work.fine_pass(model, networks, coarse, region)
        lost_ml = _lost_ml(model, coarse, fine, box)
        with work.timed("restore"):
            view.restore(fine, box, grid, own.reoriented())
        kidney, lesion = _maps(fine, box, grid)
        spread = _spread(variance, kidney, options.mirror)
    else:
        work.expected(model.header.stage("coarse"), coarse.seen.size, 1)
    return Prediction(
        own,
        kidney,
        lesion,
        (*notes, *work.notes, *view.notes, *_notes(region, own.array, lost_ml)),
        work.seconds,
        work.windows,
        str(networks.runtime),
        work.peak_mb,
        spread,
    )


def search(
    volume: Volume, model: Model, networks: Networks, options: PredictionOptions
) -> KidneyRegion:
    """The first half of `predict`: the region of interest of the fine pass, on the coarse grid."""
    thresholds = options.decided_by(model.header)
    work = _Work(View.of(volume.reoriented()), options, thresholds, lambda *_: None)
    return work.coarse_pass(model.header.stage("coarse"), networks.coarse)[1]


@dataclass(eq=False)
class _Work:
    """One scan's way through both passes, with its clock."""

    view: View
    options: PredictionOptions
    thresholds: Thresholds
    progress: Progress
    announce: Callable[[float], None] = field(default=lambda _: None)
    seconds: dict[str, float] = field(default_factory=dict)
    windows: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    peak_mb: float = 0.0

    def expected(self, stage: Stage, voxels: int, windows: int) -> None:
        """Reckon and announce what a pass over so many voxels of its grid needs.

        Raises
        ------
        UsageError
            If that is more than the limit.
        """
        needed = needed_mb(self.view, stage, self.options, voxels, windows)
        self.peak_mb = max(self.peak_mb, needed)
        self.announce(self.peak_mb)

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Add the time of a block to a step."""
        began = time.perf_counter()
        yield
        self.seconds[step] = self.seconds.get(step, 0.0) + time.perf_counter() - began

    def image(self, stage: Stage, box: Box | None = None) -> NDArray[np.float32]:
        """The scan as a stage sees it."""
        with self.timed("prepare"):
            image = self.view.image(stage.spacing_mm, box, self.options.interpolated(stage))
            return window(image, *stage.window_hu)

    def coarse_pass(self, stage: Stage, network: Network) -> tuple[SlidingResult, KidneyRegion]:
        """Predict the whole body; probabilities on the coarse grid, and the region of interest."""
        image = self.image(stage)
        z, y, x = image.shape
        with self.timed("prepare"):
            body = without_skin(tissue_box(image), (z, y, x), stage.spacing_mm)
        starts = WindowGrid.of(self.view.grid(stage.spacing_mm).affine, stage.stride)
        windows = windows_over(body, (z, y, x), stage.patch, self.options.overlap, starts)
        windows = worth_looking(image, windows, stage.patch)
        seen = self.infer(stage, network, image[None], windows)
        Networks.release(network)
        trim_heap()
        with self.timed(stage.name):
            rules = self.thresholds
            choices = rules.find_at, rules.find_ml, rules.reach_mm
            return seen, find(seen.probability, stage.spacing_mm, *choices)

    def fine_pass(
        self, model: Model, networks: Networks, coarse: SlidingResult, region: KidneyRegion
    ) -> tuple[NDArray[np.float32], Box, Grid, NDArray[np.float32] | None]:
        """Predict the region of interest; probabilities on a box of the fine grid, and how much
        the looks differed there.
        """
        low, stage = model.header.stage("coarse"), model.header.stage("fine")
        given = stage.patch
        grid = self.view.grid(stage.spacing_mm)
        ratio = tuple(a / b for a, b in zip(low.spacing_mm, stage.spacing_mm, strict=True))
        renal = coarse.probability.sum(0) * region.allowed
        large = large_mass(renal, low.spacing_mm, self.thresholds.large_mm)
        massive = bool(large.any())
        if self.options.windows == Windows.LATTICE:
            where = renal > self.thresholds.find_at
            windows = regular_windows(grid.shape, stage.patch)
            windows = windows_around(windows, where, grid.shape, stage.patch, ratio)
        else:
            boxes = [scaled_box(box, ratio, grid.shape) for box in region.boxes]
            starts = WindowGrid.of(grid.affine, stage.stride)
            longer = 0.0 if massive else self.options.longer
            patch, windows = fewest_voxels(
                boxes, grid.shape, stage.patch, self.options.overlap, starts, longer
            )
            stage = stage.model_copy(update={"patch": patch})
        box = around_windows(windows, grid.shape, stage.patch)
        voxels = int(np.prod([side.stop - side.start for side in box]))
        together = 1 if massive else as_many_voxels(self.options.together, given, stage.patch)
        self.expected(stage, voxels, min(len(windows), together))
        image = self.image(stage, box)
        allowed = nearest(region.allowed, box, tuple(1 / r for r in ratio))
        windows = worth_looking(image, moved_windows(windows, box), stage.patch, allowed)
        mirror = self.options.mirror
        found = self.infer(stage, networks.fine, image[None], windows, mirror, together)
        Networks.release(networks.fine)
        trim_heap()  # nothing that comes later takes as much as the windows did
        probability = found.probability
        with self.timed("fine"):
            large = nearest(large, box, tuple(1 / r for r in ratio))
            _mix(probability, coarse.probability, box, ratio, large, self.thresholds)
            probability *= allowed
            voxel_ml = float(np.prod(stage.spacing_mm)) / 1000
            keep_sure_lesions(probability, voxel_ml, self.thresholds)
        return probability, box, grid, found.variance

    def infer(
        self,
        stage: Stage,
        network: Network,
        image: NDArray[np.float32],
        windows: list[Shape],
        mirror: Mirror = Mirror.NONE,
        together: int = 1,
    ) -> SlidingResult:
        """Sliding window with a stage's network."""
        self.windows[stage.name] = len(windows)
        with self.timed(stage.name):
            result = slide(
                image,
                network,
                stage.patch,
                windows,
                together=together if stage.pooled else 1,
                mirror=mirror,
                progress=lambda done, total: self.progress(stage.name, done, total),
            )
        if result.fewer is not None:
            self.notes.append(
                f"Memory ran out with {min(together, len(windows))} windows at a time; "
                f"{result.fewer} were computed together instead, and this network's labels depend "
                "a little on that."
            )
        return result


def _mix(
    fine: NDArray[np.float32],
    coarse: NDArray[np.float32],
    box: Box,
    ratio: tuple[float, ...],
    large: NDArray[np.bool_],
    thresholds: Thresholds,
) -> None:
    """Give the coarse pass its weight on a box of the fine grid, in place; a greater one in large
    masses.

    Coarse probabilities (3, Z, Y, X) are interpolated linearly, one class at a time.
    """
    share = np.where(
        large, np.float32(thresholds.large_weight), np.float32(thresholds.coarse_weight)
    )
    matrices = [
        linear_weights(n, b.start, b.stop, 1 / r)
        for n, b, r in zip(coarse.shape[1:], box, ratio, strict=True)
    ]
    rest = 1 - share
    for number, seen in enumerate(coarse):
        overview = apply_matrices(seen, list(matrices))
        overview *= share
        fine[number] *= rest
        fine[number] += overview


def _maps(fine: NDArray[np.float32], box: Box, grid: Grid) -> tuple[Volume, Volume]:
    """Renal and lesion probability as uint8 on the fine box."""
    place = Volume(np.broadcast_to(np.uint8(0), grid.shape), grid.affine).cropped(box)
    lesion = fine[1] + fine[2]
    renal = fine[0] + lesion
    maps = [np.rint(p * 255).clip(0, 255).astype(np.uint8) for p in (renal, lesion)]
    return place.like(maps[0], Kind.PROBABILITY), place.like(maps[1], Kind.PROBABILITY)


def _spread(
    variance: NDArray[np.float32] | None, fine: Volume, mirror: Mirror
) -> LookSpread | None:
    """The looks' variances (2, z, y, x) at every second voxel of the fine box, as volumes."""
    if variance is None:
        return None
    affine = fine.affine.copy()
    affine[:3, :3] *= THIN
    kidney, lesion = (Volume(spread_map(own), affine, Kind.PROBABILITY) for own in variance)
    return LookSpread(kidney, lesion, looks_of(mirror))


def _lost_ml(model: Model, coarse: SlidingResult, fine: NDArray[np.float32], box: Box) -> float:
    """How much of what the coarse pass takes for a kidney the fine pass did not confirm."""
    low, high = (np.array(model.header.stage(name).spacing_mm) for name in ("coarse", "fine"))
    seen = coarse.probability
    confirmed = np.zeros(seen.shape[1:], dtype=bool)
    places = np.argwhere(fine.sum(0) > 0.5) + [side.start for side in box]
    index = ((places + 0.5) * high / low).astype(np.intp)
    confirmed[tuple(np.minimum(index, np.array(confirmed.shape) - 1).T)] = True
    return unconfirmed_ml(seen, confirmed, (float(low[0]), float(low[1]), float(low[2])))


def _notes(region: KidneyRegion, labels: NDArray[np.uint8], lost_ml: float) -> tuple[str, ...]:
    """What a reader should know about how the result came about."""
    if not region.boxes:
        return ("No kidney was found in this scan.",)
    notes = []
    if region.unsure:
        notes.append(
            "The coarse pass was unsure where the kidneys are; the whole scan was searched closely."
        )
    if lost_ml:
        notes.append(
            f"The coarse pass took {lost_ml:.0f} ml more for kidney tissue than the close look "
            "confirmed; a kidney, or the tip of one that the scan's border cuts, may be missed."
        )
    if not labels.any():
        notes.append("No kidney was found in this scan.")
    return tuple(notes)
